"""Transports for docker-py: unix sockets that are closed when they fail, and TCP that notices a dead machine.

Unix: docker-py leaves it to the garbage collector, so every call to an engine that is down leaks a
descriptor for a while, with a ResourceWarning. TLS: so does the standard library where the other side resets
a connection before the handshake. Imports docker, so it is imported only in a function.
"""

from __future__ import annotations

import socket
import ssl
import traceback
from typing import Any, Final

from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

__all__ = ["TcpAdapter", "UnixAdapter"]


class _Connection(UnixHTTPConnection):
    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self.unix_socket)
        except OSError:
            sock.close()
            raise
        self.sock = sock


class _Pool(UnixHTTPConnectionPool):
    def _new_conn(self) -> _Connection:  # type: ignore[override]  # docker-py's own does the same
        return _Connection(self.base_url, self.socket_path, self.timeout)  # type: ignore[arg-type]


class UnixAdapter(UnixHTTPAdapter):
    """Connects to ``http+unix:///path``, for ``APIClient.mount``."""

    def get_connection(self, url: str | bytes, proxies: object = None) -> UnixHTTPConnectionPool:
        """Return the pool for *url*, as requests asks for it."""
        with self.pools.lock:
            pool = self.pools.get(self.socket_path)
            if pool is None:
                pool = _Pool("http://localhost", self.socket_path, self.timeout, maxsize=self.max_pool_size)
                self.pools[self.socket_path] = pool
        return pool


_KEEP_ALIVE: Final = tuple(
    (level, getattr(socket, name), value)
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 3),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 2),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 9_000),
    )
    if hasattr(socket, name)
)
"""A machine that is cut off breaks its connections within nine seconds, also those that only listen."""


class _TlsConnection(HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except OSError as error:
            for frame, _line in traceback.walk_tb(error.__traceback__):
                left = frame.f_locals.get("self")  # of ssl.SSLSocket._create, from where nobody else gets it
                if isinstance(left, ssl.SSLSocket):
                    left.close()
            raise


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class TcpAdapter(HTTPAdapter):
    """Connects over TCP, with TLS or without, for ``APIClient.mount``."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pool, as requests asks for it."""
        usual = list(HTTPConnection.default_socket_options)
        super().init_poolmanager(*args, **{**options, "socket_options": [*usual, *_KEEP_ALIVE]})
        self.poolmanager.pool_classes_by_scheme = {"http": HTTPConnectionPool, "https": _TlsPool}
