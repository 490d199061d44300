"""The Task: the smallest unit of work, as its author writes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

from minorch.errors import SpecError, brief
from minorch.ids import check_name
from minorch.model.base import (
    Model,
    as_mapping,
    as_models,
    as_words,
    one_of,
    require_number,
    require_text,
    set_field,
)
from minorch.model.constraint import parse_constraint
from minorch.model.policy import HealthCheck, Mount, Port, RestartPolicy
from minorch.model.secret import Secret
from minorch.resources import Resources

__all__ = ["Named", "OnLost", "PullPolicy", "SecurityProfile", "Task", "check_labels"]

PullPolicy = Literal["always", "if-not-present", "never"]
SecurityProfile = Literal["baseline", "restricted"]
OnLost = Literal["replace", "hold"]

_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,254}\Z")
_RESERVED: Final = "minorch."
_MOST_LABELS: Final = 64
_MOST_ENV: Final = 1024


def _check_env_name(name: str, where: str) -> None:
    if not _ENV_NAME.match(name):
        raise SpecError(f'"{name[:70]}" is not the name of an environment variable', where)


def check_labels(labels: object, path: str) -> dict[str, str]:
    """Return a copy of user labels: at most 64, of at most 4 KiB, none beginning with ``minorch.``.

    Raises:
        SpecError: they are something else.
    """
    checked = as_mapping(labels, path, kind=str, most=_MOST_LABELS)
    for name, value in checked.items():
        if len(name) > 256 or len(value) > 4096:
            raise SpecError("a label has at most 256 characters and its value 4096", f"{path}.{name[:70]}")
        if name.startswith(_RESERVED):
            raise SpecError(f'labels that begin with "{_RESERVED}" are ours', f"{path}.{name[:70]}")
    return checked


class Named(Model, frozen=True):
    """A record whose name comes first and may be given without its keyword."""

    name: str


class Task(Named, frozen=True, kw_only=True):
    """One unit of work: what to run, what it needs, and what to do when it ends or fails.

    A task needs an ``image`` or a ``command``.  Where the runtime is plain processes, the command
    runs on the machine itself and the image is not used.

    Raises:
        SpecError: a field is not well formed; the message names it.

    >>> Task("greet", image="busybox", command=["echo", "hi"], resources=Resources(cpu=0.5))
    Task('greet', image='busybox', command=('echo', 'hi'), resources=Resources(cpu=0.5))
    """

    image: str | None = None
    command: Sequence[str] = ()
    entrypoint: Sequence[str] | None = None
    """Replaces the image's entry point; an empty list clears it."""
    env: Mapping[str, str] = {}
    secrets: Mapping[str, Secret] = {}
    """Environment variables whose values are never shown."""
    user: str | None = None
    workdir: str | None = None
    resources: Resources = Resources()
    """What is reserved for it on its node, and the limit it runs under. Zero: nothing reserved, no limit."""
    pids: int = 512
    """The most processes and threads it may have."""
    ports: Sequence[Port] = ()
    mounts: Sequence[Mount] = ()
    networks: Sequence[str] = ()
    """Engine networks to join; ``["none"]`` for no network; empty: the engine's default."""
    labels: Mapping[str, str] = {}
    restart: RestartPolicy | None = None
    """None: never for a batch, always for a service."""
    health: HealthCheck | None = None
    constraints: Sequence[str] = ()
    """What its node's labels must say, such as ``"disk == ssd"`` or ``"zone != b"``."""
    tolerations: Sequence[str] = ()
    """Taints of nodes that it may run on in spite of."""
    runtime: str | None = None
    """The runtime its node must offer, such as ``"docker"``; None: any."""
    pull: PullPolicy = "if-not-present"
    security: SecurityProfile = "baseline"
    stop_grace_s: float = 10.0
    """How long it has to end by itself when stopped, before it is killed."""
    on_lost: OnLost = "replace"
    """When its node is lost: place it anew, or hold it for the node's return (it never runs twice)."""
    after: Sequence[str] = ()
    """Tasks of the same job that must have completed first."""
    completions: int = 1
    """In a batch: how many instances must complete, each with its own ``MINORCH_TASK_INDEX``."""
    replicas: int = 1
    """In a service: how many instances are kept running."""

    def __post_init__(self) -> None:
        check_name(self.name, "task")
        if self.image is not None:
            require_text(self.image, "$.image", most=512)
            if any(c.isspace() for c in self.image) or self.image.startswith("-"):
                raise SpecError(f'"{self.image[:60]}" is not the name of an image', "$.image")
        set_field(self, "command", as_words(self.command, "$.command", command=True))
        if self.entrypoint is not None:
            set_field(self, "entrypoint", as_words(self.entrypoint, "$.entrypoint", command=True))
        if self.image is None and not self.command:
            raise SpecError('a task needs an image or a command, e.g. command=["echo", "hi"]', "$")
        set_field(self, "env", as_mapping(self.env, "$.env", kind=str, most=_MOST_ENV))
        set_field(self, "secrets", as_mapping(self.secrets, "$.secrets", kind=Secret, most=_MOST_ENV))
        for where, names in (("$.env", self.env), ("$.secrets", self.secrets)):
            for name in names:
                _check_env_name(name, where)
        for name, value in self.env.items():
            if len(value) > 131_072:
                raise SpecError("a value is at most 128 KiB of text", f"$.env.{name}")
        both = sorted(self.env.keys() & self.secrets.keys())
        if both:
            raise SpecError(f'"{both[0]}" is in env too', f"$.secrets.{both[0]}")
        for field in ("user", "workdir", "runtime"):
            if getattr(self, field) is not None:
                require_text(getattr(self, field), f"$.{field}")
        if self.workdir is not None and not self.workdir.startswith("/"):
            raise SpecError(f'"{self.workdir[:60]}" is not an absolute path', "$.workdir")
        self._check_needs()
        self._check_course()

    def _check_needs(self) -> None:
        if not isinstance(self.resources, Resources):
            raise SpecError(
                f"expected Resources(...), got {type(self.resources).__name__}; "
                'write Resources(cpu=0.5, memory="64MiB")',
                "$.resources",
            )
        require_number(self.pids, "$.pids", least=1, most=4_194_304, whole=True)
        set_field(self, "ports", as_models(self.ports, "$.ports", kind=Port, most=128))
        set_field(self, "mounts", as_models(self.mounts, "$.mounts", kind=Mount, most=128))
        set_field(self, "networks", as_words(self.networks, "$.networks", most=32))
        for index, name in enumerate(self.networks):
            require_text(name, f"$.networks[{index}]", most=128)
        set_field(self, "labels", check_labels(self.labels, "$.labels"))
        set_field(self, "constraints", as_words(self.constraints, "$.constraints", most=64))
        for index, text in enumerate(self.constraints):
            parse_constraint(text, f"$.constraints[{index}]")
        set_field(self, "tolerations", as_words(self.tolerations, "$.tolerations", most=64))
        seen: set[tuple[int, str]] = set()
        taken: set[tuple[int, str, str]] = set()
        for index, port in enumerate(self.ports):
            if (port.container, port.protocol) in seen:
                raise SpecError(f"port {port.container}/{port.protocol} is listed twice", f"$.ports[{index}]")
            seen.add((port.container, port.protocol))
            if port.host is not None:
                if (port.host, port.protocol, port.host_ip) in taken:
                    raise SpecError(
                        f"host port {port.host}/{port.protocol} is listed twice", f"$.ports[{index}].host"
                    )
                taken.add((port.host, port.protocol, port.host_ip))
        targets = [mount.target.rstrip("/") for mount in self.mounts]
        for index, target in enumerate(targets):
            if target in targets[:index]:
                raise SpecError(f'two mounts at "{target}"', f"$.mounts[{index}].target")

    def _check_course(self) -> None:
        for field, kind in (("restart", RestartPolicy), ("health", HealthCheck)):
            value = getattr(self, field)
            if value is not None and not isinstance(value, kind):
                hint = "; write RestartPolicy.on_failure(3)" if field == "restart" else ""
                raise SpecError(f"expected a {kind.__name__}, got {brief(value)}{hint}", f"$.{field}")
        one_of(self.pull, get_args(PullPolicy), "$.pull")
        one_of(self.security, get_args(SecurityProfile), "$.security")
        one_of(self.on_lost, get_args(OnLost), "$.on_lost")
        require_number(self.stop_grace_s, "$.stop_grace_s", most=86_400)
        set_field(self, "after", as_words(self.after, "$.after", most=10_000))
        require_number(self.completions, "$.completions", least=1, most=1_000_000, whole=True)
        require_number(self.replicas, "$.replicas", least=0, most=1_000_000, whole=True)

    def __repr__(self) -> str:
        shown = [repr(self.name)]
        for field in self.__struct_fields__[1:]:
            value = getattr(self, field)
            if value != (() if field == "command" else getattr(_TEMPLATE, field)):
                shown.append(f"{field}={value!r}")
        return f"Task({', '.join(shown)})"


_TEMPLATE: Final = Task("template", command=["true"])
"""Every field at its default, so that a repr shows only what the author wrote."""
