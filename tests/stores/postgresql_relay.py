"""A line to a PostgreSQL that breaks where it is told to: after so many bytes of a request or an answer."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import threading
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from tests.private_postgresql import Server

__all__ = ["Relay"]

Way = Literal["to the server", "to the client"]
_NAME = ".s.PGSQL.5432"


class Relay:
    """Stands before a server, in a directory of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._directory = tempfile.mkdtemp(prefix="minorch-relay-", dir="/tmp")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(os.path.join(self._directory, _NAME))
        self._listener.listen(50)
        self._lock = threading.Lock()
        self._cut: tuple[Way, int] | None = None
        self._hold = False
        self.counts: dict[Way, int] = {"to the server": 0, "to the client": 0}
        """Bytes that were carried since :meth:`arm` or :meth:`count`."""
        self.cuts = 0
        self.held: list[tuple[socket.socket, bytes]] = []
        """What was kept back from the server when the line to the client was cut, and the server's line."""
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, schema: str) -> str:
        """The store of the server, through this line."""
        return f"postgresql://minorch@/postgres?host={quote(self._directory, safe='')}&schema={schema}"

    def count(self) -> None:
        """Begin to count, and break nothing."""
        with self._lock:
            self.counts = {"to the server": 0, "to the client": 0}
            self._cut, self._hold = None, False

    def arm(self, way: Way, after_bytes: int, *, hold: bool = False) -> None:
        """Break the line once, when so many bytes have gone this way.

        Args:
            way: which way.
            after_bytes: what comes after these is not carried.
            hold: cut only the client off; what it had sent is kept, and its line to the server stays open.
        """
        with self._lock:
            self.counts = {"to the server": 0, "to the client": 0}
            self._cut, self._hold = (way, after_bytes), hold

    def let_go(self) -> None:
        """Have what was kept back reach the server now, and the answers nobody."""
        for line, rest in self.held:
            line.sendall(rest)
            with contextlib.suppress(OSError):
                while line.recv(65536):
                    if not line.recv(65536, socket.MSG_DONTWAIT):
                        break
            line.close()
        self.held.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                server.connect(str(self._server.directory / _NAME))
            except OSError:
                client.close()
                server.close()
                continue
            self._open += [client, server]
            for way, source, sink in (("to the server", client, server), ("to the client", server, client)):
                threading.Thread(target=self._carry, args=(way, source, sink), daemon=True).start()

    def _carry(self, way: Way, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    keep = None
                    if self._cut is not None and self._cut[0] == way:
                        keep = self._cut[1] - self.counts[way]
                    self.counts[way] += len(data)
                    if keep is None or len(data) <= keep:
                        keep = None
                    else:
                        self._cut = None
                if keep is None:
                    sink.sendall(data)
                    continue
                self.cuts += 1
                if self._hold:
                    self.held.append((sink.dup(), data))
                elif keep:
                    sink.sendall(data[:keep])
                break
        for line in (source,) if self.held else (source, sink):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._open:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()
        shutil.rmtree(self._directory)
