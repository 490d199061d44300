"""docker-py's unix transport, with one mend: a connection that fails closes its socket.

docker-py leaves it to the garbage collector, so every call to an engine that is down leaks a
descriptor for a while, with a ResourceWarning. Imports docker, so it is imported only in a function.
"""

from __future__ import annotations

import socket

from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

__all__ = ["UnixAdapter"]


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
