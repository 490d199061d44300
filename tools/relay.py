"""A relay in front of a Docker Engine's socket that notes which containers are made through it.

Other programs use the same engine, and their containers look the same. What a program made is known for
certain if it reaches the engine through a socket of its own.
"""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from tools.engine import request

MADE = re.compile(rb'\{"Id":"([0-9a-f]{64})","Warnings":')
"""An engine's answer to ``POST /containers/create``."""
LONGEST = 100
"""More bytes than such an answer's beginning has, which may come in two pieces."""


class Relay:
    """A context in which ``url`` leads to the engine; ``made`` holds the ids of what is made that way."""

    def __init__(self, target: str) -> None:
        self.made: set[str] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="minorch-relay-", dir="/tmp")
        path = str(Path(self._folder.name, "socket"))
        self.url = f"unix://{path}"
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                relay._carry(self.request, target)

        self._server = socketserver.ThreadingUnixStreamServer(path, Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="relay")

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._folder.cleanup()

    def _carry(self, client: socket.socket, target: str) -> None:
        """Carry one connection's bytes both ways until both sides have ended."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as engine, contextlib.suppress(OSError):
            engine.connect(target)
            there = threading.Thread(target=pump, args=(client, engine), daemon=True)
            there.start()
            self._pump_back(engine, client)
            there.join()

    def _pump_back(self, engine: socket.socket, client: socket.socket) -> None:
        tail = b""
        for piece in pieces(engine):
            tail += piece
            self.made.update(found.decode() for found in MADE.findall(tail))
            tail = tail[-LONGEST:]
            with contextlib.suppress(OSError):  # a client that was killed does not hear what was made for it
                client.sendall(piece)
        end(client, socket.SHUT_RDWR)


def still_there(socket_path: str, made: set[str], settle_s: float) -> set[str]:
    """Which of these containers an engine still has after some time to settle."""
    deadline = time.monotonic() + settle_s
    while True:
        left = {id_ for id_ in made if request(socket_path, "GET", f"/containers/{id_}/json")[0] != 404}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Carry bytes one way; the end of one side's words is told to the other."""
    with contextlib.suppress(OSError):
        for piece in pieces(source):
            sink.sendall(piece)
    end(sink, socket.SHUT_WR)


def pieces(source: socket.socket) -> Iterator[bytes]:
    """What comes, until nothing more does."""
    with contextlib.suppress(ConnectionResetError):
        while piece := source.recv(65536):
            yield piece


def end(side: socket.socket, how: int) -> None:
    """Say that no more comes, to whoever still listens."""
    with contextlib.suppress(OSError):
        side.shutdown(how)
