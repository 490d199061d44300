"""What a Swarm says of its nodes and of our tasks at one moment, and how the two are joined. Pure.

A task's own record is not enough: on a node that was lost it stays ``running`` for ever.  And a service may
have several tasks, of which one is the run: the others are what Swarm would start next if it could, which is
nothing (see :mod:`~minorch.runtimes.swarm.translation`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from minorch.contracts import Maker, Owner
from minorch.errors import SpecError
from minorch.ids import RunKey
from minorch.resources import Resources
from minorch.runtimes.docker.labels import key_of, maker_of, names_in, owner_of
from minorch.runtimes.docker.status import parse_time

__all__ = ["Reader", "Snapshot", "SwarmNode", "SwarmTask", "read_snapshot"]

_PROCESSORS: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "i686": "386"}
_OVER: Final = ("complete", "failed", "shutdown", "rejected", "orphaned", "remove")


class SwarmNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node as its Swarm describes it."""

    id: str
    hostname: str
    state: str
    """``ready``, ``down``, ``unknown`` (a new leader has not heard of it yet) or ``disconnected``."""
    message: str
    availability: str
    """``active``, ``pause`` (nothing new) or ``drain`` (Swarm ends what runs there)."""
    role: str
    address: str
    platform: str
    version: str
    capacity: Resources
    kinds: Mapping[str, str]
    """What Swarm calls each of its own resources, by the name that it has in ``capacity``."""
    labels: Mapping[str, str]
    engine_labels: Mapping[str, str]
    created_at: float

    @property
    def answers(self) -> bool:
        """Whether what its Swarm says of its tasks is worth something."""
        return self.state in ("ready", "unknown")


class SwarmTask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The task of a service that is a run."""

    key: RunKey
    owner: Owner | None
    job: str
    name: str
    maker: Maker | None
    id: str
    service_id: str
    node_id: str
    """Empty: no node was found for it yet."""
    state: str
    desired: str
    message: str
    error: str
    container_id: str
    exit_code: int | None
    created_at: float | None
    changed_at: float | None
    """When it came into its state."""
    ports: tuple[tuple[int, str, int], ...]
    """Of the container, its protocol, and of the host."""
    replaced: bool
    """Whether its service was changed so that it ends: somebody asked for that, and not Swarm itself."""

    @property
    def over(self) -> bool:
        """Whether nothing will become of it any more."""
        return self.state in _OVER


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a Swarm."""

    began_at: float
    """When it was asked for, by the clock of its reader."""
    manager: str
    """Who told it."""
    nodes: Mapping[str, SwarmNode]
    """By id."""
    tasks: Mapping[RunKey, SwarmTask]
    """Those of services that are there, whoever owns them."""

    def same_tasks(self, other: Snapshot) -> bool:
        """Whether no task has come, gone or changed since *other*, a look of the same reader."""
        theirs = other.tasks
        return len(self.tasks) == len(theirs) and all(
            (before := theirs.get(key)) is task or before == task for key, task in self.tasks.items()
        )


class Reader:
    """Reads one look after the other. A task whose version is that of the look before is not read again."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, SwarmTask]] = {}

    def read(
        self,
        nodes: Sequence[Mapping[str, Any]],
        tasks: Iterable[Mapping[str, Any]],
        *,
        began_at: float,
        manager: str,
    ) -> Snapshot:
        """Put together what a manager answered."""
        found: dict[RunKey, list[SwarmTask]] = {}
        known: dict[str, tuple[int, SwarmTask]] = {}
        for record in tasks:
            task = self._task(record)
            if task is not None:
                found.setdefault(task.key, []).append(task)
                known[task.id] = _version(record), task
        self._known = known
        return Snapshot(
            began_at=began_at,
            manager=manager,
            nodes={str(node["ID"]): _node(node) for node in nodes},
            tasks={key: task for key, several in found.items() if (task := _run_of(several)) is not None},
        )

    def _task(self, record: Mapping[str, Any]) -> SwarmTask | None:
        version, task = self._known.get(str(record["ID"]), (0, None))
        return task if version and version == _version(record) else _task(record)


def read_snapshot(
    nodes: Sequence[Mapping[str, Any]],
    tasks: Iterable[Mapping[str, Any]],
    *,
    began_at: float,
    manager: str,
) -> Snapshot:
    """Put together what a manager answered, once."""
    return Reader().read(nodes, tasks, began_at=began_at, manager=manager)


def _version(record: Mapping[str, Any]) -> int:
    return int((record.get("Version") or {}).get("Index") or 0)


# -- nodes ---------------------------------------------------------------------------------------------------


def _node(record: Mapping[str, Any]) -> SwarmNode:
    spec, status = record.get("Spec") or {}, record.get("Status") or {}
    said = record.get("Description") or {}
    platform, engine = said.get("Platform") or {}, said.get("Engine") or {}
    processor = str(platform.get("Architecture", ""))
    capacity, kinds = _capacity(said.get("Resources") or {})
    return SwarmNode(
        id=str(record["ID"]),
        hostname=str(said.get("Hostname") or ""),
        state=str(status.get("State") or "unknown"),
        message=str(status.get("Message") or ""),
        availability=str(spec.get("Availability") or "active"),
        role=str(spec.get("Role") or "worker"),
        address=_address(record),
        platform=f"{platform.get('OS') or 'linux'}/{_PROCESSORS.get(processor, processor)}",
        version=str(engine.get("EngineVersion") or ""),
        capacity=capacity,
        kinds=kinds,
        labels=dict(spec.get("Labels") or {}),
        engine_labels=dict(engine.get("Labels") or {}),
        created_at=parse_time(record.get("CreatedAt")) or 0.0,
    )


def _address(record: Mapping[str, Any]) -> str:
    """Where its ports are reached. A manager's own may be 0.0.0.0 here, and is right elsewhere."""
    address = str((record.get("Status") or {}).get("Addr") or "")
    if address in ("", "0.0.0.0", "::"):
        host = str((record.get("ManagerStatus") or {}).get("Addr") or "").rpartition(":")[0]
        address = host.strip("[]")
    return address or "127.0.0.1"


def _capacity(record: Mapping[str, Any]) -> tuple[Resources, dict[str, str]]:
    """Cores, memory and generic resources: so many where they are counted, one for each that has a name."""
    amounts: dict[str, int] = {}
    kinds: dict[str, str] = {}
    for entry in record.get("GenericResources") or ():
        counted = entry.get("DiscreteResourceSpec") or {}
        named = entry.get("NamedResourceSpec") or {}
        kind = str(counted.get("Kind") or named.get("Kind") or "")
        name = kind.lower()
        if kinds.setdefault(name, kind) == kind:
            amounts[name] = amounts.get(name, 0) + (int(counted.get("Value") or 0) if counted else 1)
    whole = Resources(cpu=int(record.get("NanoCPUs") or 0) / 1e9, memory=int(record.get("MemoryBytes") or 0))
    for name in list(amounts):
        try:
            whole += Resources(**{name: amounts[name]})
        except SpecError:  # no task could ask for what is called so
            del kinds[name]
    return whole, kinds


# -- tasks ---------------------------------------------------------------------------------------------------


def _labels(record: Mapping[str, Any]) -> Mapping[str, str]:
    spec = (record.get("Spec") or {}).get("ContainerSpec") or {}
    return spec.get("Labels") or {}


def _run_of(tasks: Sequence[SwarmTask]) -> SwarmTask | None:
    """Which of a service's tasks is the run: the first that Swarm gave to a node, or one that runs."""
    first = tasks[0]
    if len(tasks) > 1:
        first = replace(min(tasks, key=_order), replaced=True)
    return None if first.desired == "remove" and first.over else first


def _order(task: SwarmTask) -> tuple[object, ...]:
    return (not task.node_id, task.state != "running", task.created_at or 0.0, task.id)


def _task(record: Mapping[str, Any]) -> SwarmTask | None:
    """Read one; None: it is no run's."""
    key = key_of(_labels(record))
    if key is None:
        return None
    status, labels = record.get("Status") or {}, _labels(record)
    container = status.get("ContainerStatus") or {}
    code = container.get("ExitCode")
    job, name = names_in(labels)
    return SwarmTask(
        key=key,
        owner=owner_of(labels),
        job=job,
        name=name,
        maker=maker_of(labels),
        id=str(record["ID"]),
        service_id=str(record.get("ServiceID") or ""),
        node_id=str(record.get("NodeID") or ""),
        state=str(status.get("State") or "new"),
        desired=str(record.get("DesiredState") or ""),
        message=str(status.get("Message") or ""),
        error=str(status.get("Err") or ""),
        container_id=str(container.get("ContainerID") or ""),
        exit_code=code if isinstance(code, int) and code >= 0 else None,  # -1 while it is being stopped
        created_at=parse_time(record.get("CreatedAt")),
        changed_at=parse_time(status.get("Timestamp")),
        ports=tuple(
            (int(port.get("TargetPort") or 0), str(port.get("Protocol") or "tcp"), int(port["PublishedPort"]))
            for port in (status.get("PortStatus") or {}).get("Ports") or ()
            if port.get("PublishedPort")
        ),
        replaced=False,
    )
