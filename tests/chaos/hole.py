"""A socket in front of an engine's that can swallow what is said: a network that fails without a word."""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tools.relay import end, pieces

__all__ = ["Hole", "Mode"]

Mode = Literal["open", "silent", "deaf", "wedged"]
"""``silent``: nothing gets through. ``deaf``: the engine does as it is asked, and its answers are lost.
``wedged``: questions are answered, and whatever is to change something hangs; a real engine did that once."""

_CHANGES = re.compile(rb"(?:POST|DELETE) ")


class Hole:
    """``url`` leads to the engine at *target*, as long as :attr:`mode` is ``open``."""

    def __init__(self, target: str) -> None:
        self.mode: Mode = "open"
        self.swallowed = 0
        """How many pieces were."""
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="minorch-hole-", dir="/tmp")
        path = str(Path(self._folder.name, "socket"))
        self.url = f"unix://{path}"
        hole = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                hole._carry(self.request, target)

        class Server(socketserver.ThreadingUnixStreamServer):
            request_queue_size = 128
            daemon_threads = True

        self._server = Server(path, Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def swallow(self, mode: Mode) -> None:
        """Swallow from now on what goes to the engine, or only what comes from it."""
        self.mode = mode

    def heal(self) -> None:
        """Let everything through again. The connections that were there end: words are missing in them."""
        self.mode = "open"
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            end(connection, socket.SHUT_RDWR)

    def close(self) -> None:
        """End it, and every connection through it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.heal()
        self._folder.cleanup()

    def _carry(self, client: socket.socket, target: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as engine, contextlib.suppress(OSError):
            engine.connect(target)
            with self._lock:
                self._open |= {client, engine}
            there = threading.Thread(target=self._pump, args=(client, engine, self._unheard), daemon=True)
            there.start()
            self._pump(engine, client, lambda piece: self.mode in ("silent", "deaf"))
            end(client, socket.SHUT_RDWR)
            there.join()
        with self._lock:
            self._open -= {client, engine}

    def _unheard(self, piece: bytes) -> bool:
        """Whether the engine does not hear a piece that somebody said."""
        return self.mode == "silent" or (self.mode == "wedged" and _CHANGES.match(piece) is not None)

    def _pump(self, source: socket.socket, sink: socket.socket, lost: Callable[[bytes], bool]) -> None:
        losing = False  # after a gap the rest makes no sense
        with contextlib.suppress(OSError):
            for piece in pieces(source):
                losing = losing or lost(piece)
                if losing:
                    self.swallowed += 1
                else:
                    sink.sendall(piece)
        end(sink, socket.SHUT_WR)
