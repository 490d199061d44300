"""The Task: the smallest unit of work, as its author writes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

from minorch.errors import SpecError, brief, did_you_mean
from minorch.ids import check_name
from minorch.model.affinity import MOST_WEIGHT, Affinity, SpreadOver, check_affinity, check_spread
from minorch.model.base import (
    MOST_TEXT,
    NOTHING,
    Model,
    as_mapping,
    as_models,
    as_words,
    one_of,
    require_number,
    require_text,
    set_field,
)
from minorch.model.constraint import check_constraints, parse_constraint
from minorch.model.labels import LONGEST_TAINT, check_labels
from minorch.model.policy import HealthCheck, Mount, Port, RestartPolicy
from minorch.model.secret import Secret
from minorch.resources import Resources

__all__ = ["Named", "OnLost", "PullPolicy", "SecurityProfile", "Task"]

PullPolicy = Literal["always", "if-not-present", "never"]
SecurityProfile = Literal["baseline", "restricted"]
OnLost = Literal["replace", "hold"]

_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,254}\Z")
_MOST_ENV: Final = 1024
_MOST_OF_TASK: Final = 1024 * 1024
"""A hundred tasks of a node have to fit into one message. No Linux starts a command with more than 2 MiB."""
_MOST_PREFERENCES: Final = 16
_MOST_AFFINITIES: Final = 16
_MOST_SPREADS: Final = 8
_PLATFORM: Final = re.compile(r"[a-z0-9]+/[a-z0-9_]+(?:/[a-z0-9_.]+)?\Z")
_PROCESSORS: Final = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "x64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm/v7",
}
"""Names of processors that no node calls them by."""
_PLATFORMS: Final = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "windows/amd64")


def _check_env_name(name: str, where: str) -> None:
    if not _ENV_NAME.match(name):
        raise SpecError(f'"{name[:70]}" is not the name of an environment variable', where)


def _check_platform(platform: object) -> None:
    require_text(platform, "$.platform", most=255)
    assert isinstance(platform, str)
    system, _, processor = platform.lower().partition("/")
    if not _PLATFORM.match(platform) or processor in _PROCESSORS:
        usual = f"{system}/{_PROCESSORS.get(processor, processor)}"
        near = [usual] if processor in _PROCESSORS else _PLATFORMS
        hint = did_you_mean(usual, near) or '; write e.g. "linux/arm64"'
        raise SpecError(f'"{platform[:60]}" is not a platform{hint}', "$.platform")


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
    env: Mapping[str, str] = NOTHING
    secrets: Mapping[str, Secret] = NOTHING
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
    labels: Mapping[str, str] = NOTHING
    restart: RestartPolicy | None = None
    """None: never for a batch, always for a service."""
    health: HealthCheck | None = None
    constraints: Sequence[str] = ()
    """What its node must say of itself, such as ``"disk == ssd"``, ``"cores >= 16"`` or ``"zone in a, b"``.
    All must hold. See :class:`~minorch.model.Constraint`."""
    preferences: Mapping[str, int] = NOTHING
    """Constraints that need not hold, each with its weight from 1 to 1000: nodes that satisfy them are
    preferred."""
    affinity: Sequence[Affinity] = ()
    """Which other tasks it has to be near or apart from, or would rather be."""
    spread_over: Sequence[SpreadOver] = ()
    """Over the values of which node labels its instances are spread."""
    tolerations: Sequence[str] = ()
    """Taints of nodes that it may run on in spite of."""
    runtime: str | None = None
    """The runtime its node must offer, such as ``"docker"``; None: any."""
    platform: str | None = None
    """The platform that its image is for, such as ``"linux/arm64"``; only nodes of it take the task."""
    pull: PullPolicy = "if-not-present"
    security: SecurityProfile = "baseline"
    stop_grace_s: float = 10.0
    """How long it has to end by itself when stopped, before it is killed."""
    on_lost: OnLost = "replace"
    """When its node is lost: place it anew, or hold it for the node's return: it never runs side by side.

    With ``restart=RestartPolicy.never()``, ``hold`` also means that none of its attempts ever begins twice,
    whatever is lost: it begins when the manager has made durable that it may, and where nobody knows whether
    it did it is over with ``exit_unknown``."""
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
            if len(value) > MOST_TEXT:
                raise SpecError("a value is at most 128 KiB of text", f"$.env.{name}")
        both = sorted(self.env.keys() & self.secrets.keys())
        if both:
            raise SpecError(f'"{both[0]}" is in env too', f"$.secrets.{both[0]}")
        for field in ("user", "workdir", "runtime"):
            if getattr(self, field) is not None:
                require_text(getattr(self, field), f"$.{field}")
        if self.workdir is not None and not self.workdir.startswith("/"):
            raise SpecError(f'"{self.workdir[:60]}" is not an absolute path', "$.workdir")
        self._check_size()
        self._check_needs()
        self._check_course()

    def _check_size(self) -> None:
        words = [*self.command, *(self.entrypoint or ()), *self.env.values()]
        if self.health is not None and isinstance(self.health, HealthCheck):
            words += self.health.command
        size = sum(map(len, words)) + sum(len(secret.reveal()) for secret in self.secrets.values())
        if size > _MOST_OF_TASK:
            raise SpecError(
                f"command, environment and secrets have {size:,} characters in all; at most "
                f"{_MOST_OF_TASK:,}: give the task a file or a volume",
                "$",
            )

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
        self._check_place()
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

    def _check_place(self) -> None:
        set_field(self, "constraints", as_words(self.constraints, "$.constraints", most=64))
        check_constraints(self.constraints, "$.constraints")
        preferences = as_mapping(self.preferences, "$.preferences", kind=object, most=_MOST_PREFERENCES)
        for text, weight in preferences.items():
            path = f"$.preferences.{text[:70]}"
            parse_constraint(text, path)
            require_number(weight, path, least=1, most=MOST_WEIGHT, whole=True)
        set_field(self, "preferences", preferences)
        wishes = [self.affinity] if isinstance(self.affinity, Affinity) else self.affinity
        set_field(self, "affinity", as_models(wishes, "$.affinity", kind=Affinity, most=_MOST_AFFINITIES))
        check_affinity(self.affinity, "$.affinity")
        spread = [self.spread_over] if isinstance(self.spread_over, SpreadOver) else self.spread_over
        set_field(
            self, "spread_over", as_models(spread, "$.spread_over", kind=SpreadOver, most=_MOST_SPREADS)
        )
        check_spread(self.spread_over, "$.spread_over")
        set_field(
            self, "tolerations", as_words(self.tolerations, "$.tolerations", most=64, longest=LONGEST_TAINT)
        )
        if self.platform is not None:
            _check_platform(self.platform)

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
