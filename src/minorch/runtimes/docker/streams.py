"""A long answer of an engine: events, a followed log, a pull, the output of a command."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minorch.runtimes.docker.faults import failures, unreachable

if TYPE_CHECKING:
    from docker import APIClient
    from requests import Response

__all__ = ["Stream"]


class Stream:
    """One long answer. :meth:`close` may come from another thread and ends it at once."""

    def __init__(self, client: APIClient, response: Response, url: str, silence_s: float | None) -> None:
        self._client = client
        self._response = response
        self._url = url
        self._pid = os.getpid()
        self._socket = _socket(response)
        self._reading = False
        self.closed = False
        if self._socket is not None:
            self._socket.settimeout(silence_s)

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes as they come; ends normally when the engine dies, and after :meth:`close`.

        Raises:
            EngineUnavailable: the connection broke, or was silent for too long.
        """
        self._reading = True
        chunked = getattr(self._response.raw, "chunked", False)
        try:
            # Unchunked (an exec's output), a size of None would wait for the end and keep it all.
            yield from self._response.iter_content(None if chunked else 512)
        except failures() as error:
            if not self.closed:
                raise unreachable(error, self._url) from None
        except (AttributeError, ValueError):  # http.client's reader, closed under its feet
            if not self.closed:
                raise
        finally:
            self._reading = False
            self.closed = True
            self._let_go()

    def close(self) -> None:
        """End it. Closing twice is fine. In a fork it does nothing: the socket is its parent's too."""
        if self.closed or os.getpid() != self._pid:
            return
        self.closed = True
        if self._socket is not None:
            with contextlib.suppress(*failures()):  # it may be closed already
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes a reader, who then lets go
        if not self._reading:
            self._let_go()

    def _let_go(self) -> None:
        self._response.close()
        self._client.close()


def _socket(response: Response) -> Any:  # noqa: ANN401  # a socket or an SSL socket
    reader = getattr(getattr(response.raw, "_fp", None), "fp", None)  # where docker-py looks for it too
    return getattr(getattr(reader, "raw", None), "_sock", None)
