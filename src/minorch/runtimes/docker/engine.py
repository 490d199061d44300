"""One Docker Engine: where it is, short calls to it, and how long answers begin.

docker-py finds the transport (unix socket, TCP with TLS, SSH)
and the registry credentials; the requests themselves are written here, because its own methods put
ids into paths unquoted, inspect more often than needed, and drop time-outs on streams.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from minorch.errors import EngineUnavailable, RuntimeFault, StartFailed, UsageError
from minorch.runtimes.docker.faults import (
    DEFAULT_URL,
    ConnectionBroke,
    NotReady,
    Refused,
    failures,
    unreachable,
)
from minorch.runtimes.docker.streams import Stream
from minorch.runtimes.docker.tunnel import Tunnel

if TYPE_CHECKING:
    from docker import APIClient
    from docker.tls import TLSConfig
    from requests import Response

__all__ = ["Engine", "container_path", "filters"]

_SCHEMES: Final = ("unix", "tcp", "http", "https", "ssh", "npipe")
_WITH_PORT: Final = ("tcp", "http", "https")
_ID: Final = re.compile(r"[0-9a-f]{64}\Z")
_NEWEST_API: Final = (1, 44)
"""What this package was written against; an older engine's own version is used instead."""
_OLDEST_API: Final = (1, 40)
"""The first that has all that is asked of it: limits of processes, an init, device requests."""
_WANTS_TLS: Final = "HTTP request to an HTTPS server"
_GATEWAY: Final = (502, 503, 504)
"""Answers of something between us and the engine, or of an engine that is not ready."""


def container_path(container_id: str, action: str = "") -> str:
    """Return the path of a container that the engine named by *container_id*.

    Raises:
        RuntimeFault: it is no full id. Anything else must not get into a path:
            deleting ``../volumes/x`` deleted a volume.
    """
    if not _ID.match(container_id):
        raise RuntimeFault(f"{container_id!r:.80} is not the full id of a container")
    return f"/containers/{container_id}/{action}".rstrip("/")


def filters(**wanted: list[str]) -> str:
    """Return the text of a ``filters`` parameter."""
    return msgspec.json.encode(wanted).decode()


class Engine:
    """Calls to one engine. Connects at the first call; any thread may use it.

    Args:
        url: ``unix:///path``, ``tcp://host:port``, ``ssh://user@host``; None: ``DOCKER_HOST``, or the
            usual socket. The active context of the docker command is never used.
        timeout_s: how long one call may take to answer.
        connections: how many connections are kept for short calls.
        certificates: a directory with ``ca.pem``, ``cert.pem`` and ``key.pem``, for TLS;
            None: ``DOCKER_CERT_PATH``, if ``DOCKER_TLS_VERIFY`` is set and *url* is None.

    Raises:
        UsageError: the url is none.
    """

    def __init__(
        self, url: str | None, *, timeout_s: float, connections: int, certificates: str | Path | None = None
    ) -> None:
        environment = os.environ
        self._url = url or environment.get("DOCKER_HOST") or DEFAULT_URL
        if url is None and certificates is None and environment.get("DOCKER_TLS_VERIFY"):
            certificates = environment.get("DOCKER_CERT_PATH") or Path.home() / ".docker"
        self._certificates = None if certificates is None else Path(certificates)
        parts = _split(self._url)
        _check_address(self._url, parts)
        self.url: str = self._url
        """Where it is, for a person."""
        self.socket_path: str | None = parts.path if parts.scheme == "unix" else None
        self.local: bool = parts.scheme in ("unix", "npipe")
        """Whether it is taken to run on this machine."""
        self.address: str = "127.0.0.1" if self.local else parts.hostname or "127.0.0.1"
        self.timeout_s: float = timeout_s
        """How long one call may take to answer."""
        self._connections = connections
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._client: APIClient | None = None
        self._version: str | None = None
        self._closed = False
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._tunnel = Tunnel(self._url) if parts.scheme == "ssh" else None

    # -- short calls -----------------------------------------------------------------------------------------

    def record(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: object = None,
        timeout_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Make one call and return the JSON object that it answers; an empty one for an empty answer.

        Raises:
            Refused: the engine answered with an error.
            EngineUnavailable: it did not answer; what was asked may have been done or not.
        """
        answer = self._call(method, path, query, body, timeout_s, headers)
        return answer if isinstance(answer, dict) else {}

    def records(self, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """GET the JSON list at *path*; raises like :meth:`record`."""
        answer = self._call("GET", path, query, None, None)
        return answer if isinstance(answer, list) else []

    def ping(self, timeout_s: float) -> bool:
        """Whether it answers within *timeout_s*."""
        try:
            self._call("GET", "/_ping", None, None, timeout_s)
        except RuntimeFault:
            return False
        return True

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        timeout_s: float | None,
        headers: Mapping[str, str] | None = None,
    ) -> object:
        try:
            response = self._send(method, path, query, body, timeout_s, headers)
        except ConnectionBroke:
            if method != "GET" or self._closed:
                raise
            response = self._send(method, path, query, body, timeout_s, headers)
        if response.headers.get("Content-Type", "").startswith("application/json") and response.content:
            return self._decode(response)
        return None

    def _decode(self, response: Response) -> object:
        try:
            return msgspec.json.decode(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._no_engine() from None

    def _no_engine(self) -> EngineUnavailable:
        return EngineUnavailable(
            f"what answers at {self.url} does not speak as a Docker Engine does: is it the right address?"
        )

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        timeout_s: float | None,
        headers: Mapping[str, str] | None,
    ) -> Response:
        client = self._shared()
        timeout_s = timeout_s or self.timeout_s
        version = self._version or self._negotiate(client, timeout_s)
        url = f"{client.base_url}/v{version}{path}"
        return self._request(client, method, url, query, body, timeout_s, headers=headers)

    def _request(
        self,
        client: APIClient,
        method: str,
        url: str,
        query: Mapping[str, str] | None,
        body: object,
        timeout_s: float,
        *,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        sent = dict(headers or {})
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            response = client.request(
                method,
                url,
                params=query,
                data=None if body is None else msgspec.json.encode(body),
                headers=sent,
                timeout=timeout_s,
                stream=stream,
                allow_redirects=False,
            )
            if response.status_code < 300 or response.status_code == 304:
                return response
            text = _message(response.content)
        except failures() as error:
            self._version = None  # another engine may answer next time
            raise self._unreachable(error) from None
        if response.status_code in _GATEWAY:
            raise NotReady(response.status_code, text, self.url)
        if response.status_code == 400 and _WANTS_TLS in text:
            raise EngineUnavailable(
                f"the Docker Engine at {self.url} wants TLS: give a directory with ca.pem, "
                "cert.pem and key.pem as certificates="
            )
        raise Refused(response.status_code, text, f"{method} {urlsplit(url).path}")

    def _unreachable(self, error: BaseException) -> EngineUnavailable:
        words = self._tunnel.explain() if self._tunnel is not None else None
        return EngineUnavailable(words) if words else unreachable(error, self.url)

    # -- long answers ----------------------------------------------------------------------------------------

    def stream(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        silence_s: float | None = None,
    ) -> Stream:
        """Make a call with a long answer, on a connection of its own.

        Args:
            method: ``GET`` or ``POST``.
            path: without the API version.
            query: parameters.
            body: what is sent as JSON.
            headers: more headers.
            silence_s: the longest silence within the answer; None: it may be silent for ever.

        Raises:
            Refused: the engine answered with an error.
            EngineUnavailable: it did not answer.
        """
        shared = self._shared()
        version = self._version or self._negotiate(shared, self.timeout_s)
        client = self._connect(1)
        try:
            response = self._request(
                client,
                method,
                f"{client.base_url}/v{version}{path}",
                query,
                body,
                self.timeout_s,
                stream=True,
                headers=headers,
            )
        except RuntimeFault:
            client.close()
            raise
        stream = Stream(client, response, self.url, silence_s)
        with self._lock:
            self._streams.add(stream)
            closed = self._closed
        if closed:
            stream.close()
        return stream

    def registry_header(self, repository: str) -> dict[str, str]:
        """Return the header with this user's credentials (``docker login``) for *repository*'s registry."""
        from docker import auth, errors

        try:
            registry, _name = auth.resolve_repository_name(repository)
            header = auth.get_config_header(self._shared(), registry)
        except errors.DockerException as error:
            raise StartFailed(f"no credentials for the registry of {repository}: {error}"[:500]) from None
        return {"X-Registry-Auth": header.decode()} if header else {}

    # -- connections -----------------------------------------------------------------------------------------

    def _begin_anew_in_a_fork(self) -> None:
        """Its parent's connections are not its own: two processes would read each other's answers."""
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            self._lock = threading.Lock()  # the parent's may have been held
            self._client = None
            self._streams = weakref.WeakSet()
            self._tunnel = None if self._tunnel is None else Tunnel(self._url)

    def _shared(self) -> APIClient:
        self._begin_anew_in_a_fork()
        if self._tunnel is not None and not self._closed:
            self._tunnel.socket()  # so that it stands
        with self._lock:
            if self._closed:
                raise RuntimeFault("this Docker runtime was closed")
            if self._client is None:
                self._client = self._connect(self._connections)
            return self._client

    def _connect(self, connections: int) -> APIClient:
        import docker

        tls: Any = False
        if self._certificates is not None and not self.local:
            tls = _tls(self._certificates)
        socket_path = self.socket_path if self._tunnel is None else self._tunnel.socket()
        try:
            client = docker.APIClient(
                base_url=self._url if self._tunnel is None else f"unix://{socket_path}",
                version=f"{_NEWEST_API[0]}.{_NEWEST_API[1]}",
                timeout=self.timeout_s,  # type: ignore[arg-type]  # the stubs want whole seconds; sockets do not
                tls=tls,
                num_pools=1,
                max_pool_size=connections,
            )
        except failures() as error:
            raise unreachable(error, self.url) from None
        if socket_path is not None:
            self._mend(client, socket_path, connections)
        else:
            self._watch_over(client, connections)
        client.trust_env = False  # neither proxies nor REQUESTS_CA_BUNDLE from the environment
        client.proxies = {}
        return client

    def _mend(self, client: APIClient, socket_path: str, connections: int) -> None:
        from minorch.runtimes.docker.transport import UnixAdapter

        adapter = UnixAdapter(
            f"http+unix://{socket_path}",
            self.timeout_s,  # type: ignore[arg-type]  # as above
            pool_connections=1,
            max_pool_size=connections,
        )
        client.mount("http+docker://", adapter)

    @staticmethod
    def _watch_over(client: APIClient, connections: int) -> None:
        from minorch.runtimes.docker.transport import TcpAdapter

        for scheme in ("http://", "https://"):
            client.mount(scheme, TcpAdapter(pool_connections=1, pool_maxsize=connections))

    def _negotiate(self, client: APIClient, timeout_s: float) -> str:
        """Ask which API versions it speaks; the newest that both know is used from then on."""
        response = self._request(client, "GET", f"{client.base_url}/version", None, None, timeout_s)
        answer = self._decode(response)
        if not isinstance(answer, dict):
            raise self._no_engine()
        newest, oldest = _version(answer.get("ApiVersion", "")), _version(answer.get("MinAPIVersion", ""))
        if newest is not None and newest < _OLDEST_API:
            raise EngineUnavailable(
                f"the Docker Engine at {self.url} is too old: its API is "
                f"{newest[0]}.{newest[1]}, and {_OLDEST_API[0]}.{_OLDEST_API[1]} (Docker 19.03) is needed"
            )
        major, minor = max(min(newest or _NEWEST_API, _NEWEST_API), oldest or (0, 0))
        self._version = f"{major}.{minor}"
        return self._version

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def close(self) -> None:
        """End every stream and let go of every connection."""
        self._begin_anew_in_a_fork()
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
            streams = list(self._streams)
        for stream in streams:
            stream.close()
        if client is not None:
            client.close()
        if self._tunnel is not None:
            self._tunnel.close()


def _message(content: bytes) -> str:
    try:
        return str(msgspec.json.decode(content)["message"])
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError):
        return content.decode(errors="replace")  # it is cut where it is told of


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # looked at only when it is asked for
    except ValueError as error:
        raise UsageError(f"{url!r:.100} is not the address of a Docker Engine: {error}") from None
    return parts


def _check_address(url: str, parts: SplitResult) -> None:
    """Refuse what leads to no engine; a password in it is not shown."""
    shown = f"{parts.scheme}://{parts.hostname or parts.path}" if "@" in url else url
    if parts.scheme not in _SCHEMES or parts.password is not None:
        raise UsageError(
            f'"{shown:.80}" is not the address of a Docker Engine: write unix:///var/run/docker.sock, '
            "tcp://host:2376 or ssh://user@host, no password"
        )
    if parts.scheme in _WITH_PORT and not (parts.hostname and parts.port):
        raise UsageError(
            f'"{shown:.80}" has no host or no port: write tcp://host:2376 for an engine over TLS, and '
            "tcp://host:2375 for one without"
        )


def _tls(folder: Path) -> TLSConfig:
    from docker import errors, tls

    names = ("ca.pem", "cert.pem", "key.pem")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise EngineUnavailable(f"no TLS to the Docker Engine: {folder} has no {', '.join(missing)}")
    ca, certificate, key = (str(folder / name) for name in names)
    try:
        return tls.TLSConfig(client_cert=(certificate, key), ca_cert=ca, verify=True)
    except errors.DockerException as error:
        raise EngineUnavailable(f"no TLS to the Docker Engine: {error}"[:500]) from None


def _version(text: str) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)\Z", text)
    return None if match is None else (int(match[1]), int(match[2]))
