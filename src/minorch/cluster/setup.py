"""From what the user gave to the parts of a cluster: which runtime, which nodes, how capacity is shared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict

import msgspec

from minorch.contracts import Fleet, Member, Runtime, RuntimeInfo, Store
from minorch.errors import RuntimeFault, UnknownPlugin, UsageError
from minorch.manager import Manager, ManagerConfig
from minorch.model import Node
from minorch.plugins import Registry
from minorch.resources import Resources
from minorch.scheduling import CostFunction, CustomFilter, Scheduler
from minorch.state.pictures import NodeInfo
from minorch.worker import NOT_ASKED, WorkerConfig

if TYPE_CHECKING:
    from minorch.runtimes.docker.fleet import DockerEngine

__all__ = [
    "Chosen",
    "ClusterOptions",
    "ask_for_members",
    "choose_fleet",
    "choose_runtime",
    "choose_store",
    "make_nodes",
    "nodes_left_over",
    "ready_or_told",
]

_MOST_WORKERS: Final = 10_000
_LEFT_OVER: Final = "left-over-from-an-earlier-cluster"


class ClusterOptions(TypedDict, total=False):
    """What a cluster takes whatever its machines are; see :class:`~minorch.Cluster`."""

    scheduler: str | Scheduler | CostFunction
    store: str | Path | Store
    filters: Sequence[str | CustomFilter]
    plugins: Sequence[object]
    registry: Registry | None
    detach: bool
    seed: int | None
    manager_config: ManagerConfig | None
    worker_config: WorkerConfig | None


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The runtime that a cluster uses, and why."""

    runtime: Runtime
    info: RuntimeInfo
    ours: bool
    """Whether the cluster made it, and closes it."""
    why: str


def choose_runtime(wanted: str | Runtime, registry: Registry, *, durable: bool) -> Chosen:
    """Make or take the runtime and ask it what its machine offers.

    Args:
        wanted: a registered name, a runtime, or ``"auto"``: Docker if an engine answers, else processes.
        registry: where names are looked up.
        durable: whether tasks are to outlive this process, so that their exit codes must be written down.

    Raises:
        UnknownPlugin: nothing of that name is registered.
        EngineUnavailable: the engine does not answer.
    """
    if not isinstance(wanted, str):
        if not isinstance(wanted, Runtime):
            raise UsageError(f"runtime= takes a name or a runtime, not a {type(wanted).__name__}")
        return Chosen(runtime=wanted, info=wanted.describe(), ours=False, why="as asked")
    if wanted == "auto":
        return _choose_by_itself(registry, durable=durable)
    runtime = _make(wanted, registry, durable=durable)
    return _described(runtime, "as asked")


def _choose_by_itself(registry: Registry, *, durable: bool) -> Chosen:
    docker = _make("docker", registry, durable=durable)
    try:
        return _described(docker, "a Docker Engine answers")
    except RuntimeFault as error:  # none answers, or one that refuses us
        why = str(error)  # it says what is wrong with the engine, and what to do
    return _described(_make("process", registry, durable=durable), why)


def _make(name: str, registry: Registry, *, durable: bool) -> Runtime:
    if name == "process" and durable:
        return registry.make_runtime(name, record_exits=True)
    return registry.make_runtime(name)


def _described(runtime: Runtime, why: str) -> Chosen:
    try:
        info = runtime.describe()
    except BaseException:
        runtime.close()
        raise
    return Chosen(runtime=runtime, info=info, ours=True, why=why)


def choose_fleet(
    wanted: str | Fleet | Sequence[str | DockerEngine], registry: Registry
) -> tuple[Fleet, bool]:
    """Make or take the fleet; also whether the cluster made it, and closes it.

    Args:
        wanted: a registered name, the address of a Docker Engine, several of these, or a fleet.
        registry: where names are looked up.

    Raises:
        UnknownPlugin: nothing of that name is registered.
        UsageError: an address is none.
    """
    if isinstance(wanted, str) and ":" not in wanted:
        try:
            return registry.make_fleet(wanted), True
        except UnknownPlugin as error:
            if not any((info.kind, info.name) == ("runtime", wanted) for info in registry.describe()):
                raise
            raise UnknownPlugin(
                f'{error}. For this machine write runtime="{wanted}"; Docker Engines of others are named by '
                'their addresses: engine=["ssh://user@host"]'
            ) from None
    if isinstance(wanted, str):
        wanted = [wanted]
    if isinstance(wanted, Fleet):
        return wanted, False
    if not isinstance(wanted, Sequence):
        raise UsageError(
            f"engine= takes a name, addresses of Docker Engines or a fleet, not a {type(wanted).__name__}"
        )
    from minorch.runtimes.docker.fleet import DockerFleet

    return DockerFleet(wanted), True


def ask_for_members(fleet: Fleet, *, own: bool) -> Sequence[Member]:
    """The machines of a fleet.

    Args:
        fleet: it is closed if it has none to offer.
        own: whether the cluster made it.

    Raises:
        EngineUnavailable: not one of them answers.
        UsageError: two have the same name.
    """
    try:
        members = fleet.members()
        _refuse_doubles([member.node.name for member in members])
    except BaseException:
        if own:
            fleet.close()
        raise
    return members


def ready_or_told(nodes: Iterable[NodeInfo], *, patient: bool) -> set[str]:
    """The names of the nodes of which it is known how they stand.

    Args:
        nodes: all there are.
        patient: only those that are ready; else also those of which it is known why they are not.
    """
    return {
        node.name for node in nodes if node.ready or (not patient and node.message not in ("", NOT_ASKED))
    }


def choose_store(wanted: str | Path | Store, registry: Registry) -> tuple[Store, bool]:
    """Make or take the store; also whether the cluster made it, and closes it.

    Raises:
        UnknownPlugin: nothing of that name is registered.
        StoreError: it cannot be opened.
    """
    if isinstance(wanted, Path) or (isinstance(wanted, str) and _is_path(wanted)):
        return registry.make_store("sqlite", path=str(wanted)), True
    if isinstance(wanted, str):
        return registry.make_store(wanted), True
    if not isinstance(wanted, Store):
        raise UsageError(f"store= takes a name, a URL, a path or a store, not a {type(wanted).__name__}")
    return wanted, False


def _is_path(text: str) -> bool:
    """Whether a text can only mean a file: no store is called so, and it is no URL."""
    return ":" not in text and ("/" in text or text.endswith((".db", ".sqlite", ".sqlite3")))


def make_nodes(workers: int | Sequence[Node], chosen: Chosen) -> tuple[Node, ...]:
    """The nodes of a cluster on one machine; those without a capacity share what the others leave.

    Raises:
        UsageError: there are none, too many, two of one name, or those with a capacity leave nothing to
            the others. Together they may promise more than the machine has.
    """
    given: object = workers  # whatever the annotation says
    if not isinstance(given, (int, Sequence)):
        hint = "; write workers=[Node(...)]" if isinstance(given, Node) else ""
        raise UsageError(f"workers= takes a number or a list of Node, not a {type(workers).__name__}{hint}")
    if isinstance(workers, int):
        if isinstance(workers, bool) or not 1 <= workers <= _MOST_WORKERS:
            raise UsageError(f"workers={workers!r}: a cluster has 1 to {_MOST_WORKERS:,} of them")
        workers = [Node(f"worker-{number}") for number in range(1, workers + 1)]
    nodes = list(workers)
    for node in nodes:
        if not isinstance(node, Node):
            raise UsageError(f"workers= takes a number or a list of Node, not of {type(node).__name__}")
    if not nodes:
        raise UsageError("workers=[]: a cluster has at least one worker")
    _refuse_doubles([node.name for node in nodes])
    given = sum((node.capacity for node in nodes), Resources())
    sharing = sum(not node.capacity for node in nodes)
    left = chosen.info.capacity - given
    if sharing and any(amount <= 0 for name, amount in left.amounts() if name in ("cpu", "memory")):
        raise UsageError(
            f"the workers with a capacity take all the machine has ({chosen.info.capacity}); "
            f"give the other {sharing} one too"
        )
    share = left.share(sharing) if sharing else left
    return tuple(
        msgspec.structs.replace(
            node,
            capacity=node.capacity or share,
            runtime=chosen.runtime.name,
            platform=chosen.info.platform,
            address=chosen.info.address,
        )
        for node in nodes
    )


def _refuse_doubles(names: Sequence[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise UsageError(f'two workers are called "{twice[0]}"')


def nodes_left_over(manager: Manager, nodes: Sequence[Node], chosen: Chosen) -> tuple[Node, ...]:
    """Nodes of an earlier cluster on this store that are not among *nodes* and still have runs.

    They need a worker too: without one their runs would be lost and started a second time elsewhere, and
    nobody would ever stop the first.  They get a taint, so that nothing new is placed on them.

    Raises:
        UsageError: tasks run on another runtime than the chosen one, which would not find them.
    """
    for info in manager.nodes():
        if info.tasks and info.node.runtime != chosen.runtime.name:
            theirs, ours = info.node.runtime, chosen.runtime.name
            raise UsageError(
                f"{info.tasks} tasks in this store are on node {info.name} with runtime "
                f'"{theirs}", and runtime "{ours}" ({chosen.why}) would not find them; '
                f'write runtime="{theirs}", or take another store'
            )
    listed = {node.name for node in nodes}
    missing = {info.name: info.node for info in manager.nodes() if info.name not in listed}
    if not missing:
        return ()
    held = {task.node for job in manager.jobs() for task in job.tasks if task.run_key is not None}
    return tuple(
        msgspec.structs.replace(node, taints=(_LEFT_OVER,))
        for name, node in missing.items()
        if name in held and node.runtime == chosen.runtime.name
    )
