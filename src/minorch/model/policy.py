"""How a task is restarted, checked, reached and given storage: the small records inside a Task."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Sequence
from typing import Final, Literal, get_args

from minorch.errors import SpecError
from minorch.model.base import (
    Model,
    as_words,
    one_of,
    require_flag,
    require_number,
    require_text,
    set_field,
)
from minorch.resources import parse_size

__all__ = ["HealthCheck", "Mount", "Port", "RestartMode", "RestartPolicy"]

RestartMode = Literal["never", "on-failure", "always"]
HealthKind = Literal["exec", "tcp", "http"]
MountKind = Literal["volume", "bind", "tmpfs", "secret", "config"]
Protocol = Literal["tcp", "udp"]

_DAY_S: Final = 86_400.0
_VOLUME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}\Z")


class RestartPolicy(Model, frozen=True, kw_only=True):
    """When the worker starts a task again on the same node, and after how long.

    The n-th restart in a row waits ``backoff_s * 2**(n-1)`` seconds, at most ``max_backoff_s``,
    lengthened by a random share of up to ``jitter``.  After ``reset_after_s`` of running the count
    starts again.
    """

    mode: RestartMode = "on-failure"
    attempts: int | None = 3
    """How many restarts in a row; None: without end."""
    backoff_s: float = 1.0
    max_backoff_s: float = 60.0
    jitter: float = 0.1
    """From 0 to 1: the largest random share added to a wait."""
    reset_after_s: float = 600.0

    def __post_init__(self) -> None:
        one_of(self.mode, get_args(RestartMode), "$.mode")
        if self.attempts is not None:
            require_number(self.attempts, "$.attempts", whole=True)
        require_number(self.backoff_s, "$.backoff_s", most=_DAY_S)
        require_number(self.max_backoff_s, "$.max_backoff_s", most=_DAY_S)
        require_number(self.jitter, "$.jitter", most=1)
        require_number(self.reset_after_s, "$.reset_after_s")

    @classmethod
    def never(cls) -> RestartPolicy:
        """Never start it again on the same node."""
        return cls(mode="never", attempts=0)

    @classmethod
    def on_failure(
        cls, attempts: int | None = 3, *, backoff_s: float = 1.0, max_backoff_s: float = 60.0
    ) -> RestartPolicy:
        """Start it again when it failed, *attempts* times in a row at most."""
        return cls(mode="on-failure", attempts=attempts, backoff_s=backoff_s, max_backoff_s=max_backoff_s)

    @classmethod
    def always(
        cls, attempts: int | None = None, *, backoff_s: float = 1.0, max_backoff_s: float = 60.0
    ) -> RestartPolicy:
        """Start it again however it ended."""
        return cls(mode="always", attempts=attempts, backoff_s=backoff_s, max_backoff_s=max_backoff_s)


class HealthCheck(Model, frozen=True, kw_only=True):
    """How the worker asks whether a running task still does its work.

    Use :meth:`exec`, :meth:`tcp` or :meth:`http`.  A task whose check fails ``threshold`` times in
    a row is stopped and handled by its restart policy, with the reason ``unhealthy``.
    """

    kind: HealthKind
    command: Sequence[str] = ()
    """For ``exec``: runs inside the task; exit code 0 is healthy."""
    port: int = 0
    """For ``tcp`` and ``http``: the port inside the task."""
    path: str = "/"
    """For ``http``: any answer from 200 to 399 is healthy."""
    interval_s: float = 10.0
    timeout_s: float = 3.0
    threshold: int = 3
    """How many failures in a row make it unhealthy."""
    start_period_s: float = 0.0
    """For so long after the start, failures do not count."""

    def __post_init__(self) -> None:
        one_of(self.kind, get_args(HealthKind), "$.kind")
        set_field(self, "command", as_words(self.command, "$.command", command=True))
        if (self.kind == "exec") != bool(self.command):
            raise SpecError(
                "an exec check needs a command" if self.kind == "exec" else f"a {self.kind} check takes none",
                "$.command",
            )
        if self.kind != "exec":
            require_number(self.port, "$.port", least=1, most=65_535, whole=True)
        elif self.port != 0:
            raise SpecError("an exec check takes no port", "$.port")
        require_text(self.path, "$.path", most=2048)
        if not self.path.startswith("/") or any(c.isspace() for c in self.path):
            raise SpecError(
                f'"{self.path[:40]}" is not a path: it starts with "/" and has no blanks', "$.path"
            )
        require_number(self.interval_s, "$.interval_s", least=0.05, most=_DAY_S)
        require_number(self.timeout_s, "$.timeout_s", least=0.01, most=3600)
        require_number(self.threshold, "$.threshold", least=1, most=1000, whole=True)
        require_number(self.start_period_s, "$.start_period_s", most=_DAY_S)

    @classmethod
    def exec(
        cls,
        command: Sequence[str],
        *,
        interval_s: float = 10.0,
        timeout_s: float = 3.0,
        threshold: int = 3,
        start_period_s: float = 0.0,
    ) -> HealthCheck:
        """Healthy while *command*, run inside the task, exits with 0."""
        return cls(
            kind="exec",
            command=command,
            interval_s=interval_s,
            timeout_s=timeout_s,
            threshold=threshold,
            start_period_s=start_period_s,
        )

    @classmethod
    def tcp(
        cls,
        port: int,
        *,
        interval_s: float = 10.0,
        timeout_s: float = 3.0,
        threshold: int = 3,
        start_period_s: float = 0.0,
    ) -> HealthCheck:
        """Healthy while the task accepts connections on its *port*."""
        return cls(
            kind="tcp",
            port=port,
            interval_s=interval_s,
            timeout_s=timeout_s,
            threshold=threshold,
            start_period_s=start_period_s,
        )

    @classmethod
    def http(
        cls,
        port: int,
        path: str = "/",
        *,
        interval_s: float = 10.0,
        timeout_s: float = 3.0,
        threshold: int = 3,
        start_period_s: float = 0.0,
    ) -> HealthCheck:
        """Healthy while a GET of *path* on the task's *port* answers 200 to 399."""
        return cls(
            kind="http",
            port=port,
            path=path,
            interval_s=interval_s,
            timeout_s=timeout_s,
            threshold=threshold,
            start_period_s=start_period_s,
        )


class _ContainerPort(Model, frozen=True):
    container: int


class Port(_ContainerPort, frozen=True, kw_only=True):
    """A port that the task listens on, reachable from the host.

    ``Port(80)`` is published on a free host port, which the task's handle then tells; ``Port(80,
    host=8080)`` on that one.  It is bound to the loopback address unless *host_ip* says otherwise.
    """

    host: int | None = None
    protocol: Protocol = "tcp"
    host_ip: str = "127.0.0.1"

    def __post_init__(self) -> None:
        require_number(self.container, "$.container", least=1, most=65_535, whole=True)
        if self.host is not None:
            require_number(self.host, "$.host", least=1, most=65_535, whole=True)
        one_of(self.protocol, get_args(Protocol), "$.protocol")
        require_text(self.host_ip, "$.host_ip", most=45)
        try:
            ipaddress.ip_address(self.host_ip)
        except ValueError:
            hint = '; write "127.0.0.1" for this machine only, "0.0.0.0" for everybody'
            raise SpecError(f'"{self.host_ip}" is not an IP address{hint}', "$.host_ip") from None


class _MountTarget(Model, frozen=True):
    target: str


class Mount(_MountTarget, frozen=True, kw_only=True):
    """Storage inside the container at *target*.

    A ``volume`` is named storage kept by the engine, ``tmpfs`` is memory that goes with the
    container, and ``bind`` shows a directory of the host, which the worker's policy must allow.  ``secret``
    and ``config`` show one that a Docker Swarm keeps as a file, which can only be read.
    """

    source: str = ""
    """The name of the volume, secret or config, or for ``bind`` the absolute path on the host."""
    kind: MountKind = "volume"
    read_only: bool = False
    size: int | str = 0
    """For ``tmpfs``: its largest size, bytes or text such as ``"64MiB"``; 0: the engine's default."""

    def __post_init__(self) -> None:
        one_of(self.kind, get_args(MountKind), "$.kind")
        _absolute(self.target, "$.target")
        if self.kind == "bind":
            _absolute(self.source, "$.source")
        elif self.kind == "tmpfs":
            if self.source:
                raise SpecError("a tmpfs has no source", "$.source")
        elif not self.source:
            raise SpecError(f'a {self.kind} needs a name, e.g. source="data"', "$.source")
        else:
            require_text(self.source, "$.source", most=128)
            if not _VOLUME.match(self.source):
                raise SpecError(
                    f'"{self.source[:40]}" is not a {self.kind}\'s name; a host path needs kind="bind"',
                    "$.source",
                )
        require_flag(self.read_only, "$.read_only")
        set_field(self, "size", parse_size(self.size, "$.size"))
        if self.size and self.kind != "tmpfs":
            raise SpecError("only a tmpfs has a size", "$.size")


def _absolute(path: object, where: str) -> None:
    require_text(path, where)
    assert isinstance(path, str)
    plain = path.startswith("/") and not path.startswith("//")  # normpath keeps two slashes, as POSIX allows
    if not plain or posixpath.normpath(path) != path.rstrip("/"):
        raise SpecError(f'"{path[:60]}" is not a plain absolute path (no "..", no "//", not "/")', where)
