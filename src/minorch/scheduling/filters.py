"""Which nodes could run a task at all, and in words why the others could not. No preferences here.

Each filter looks at one thing and returns None or a :class:`Refusal`.  :func:`refusal` asks them in
the order of :data:`FILTERS`, cheapest first, and gives the first objection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from minorch.errors import PluginError, UsageError
from minorch.model import Affinity, Node
from minorch.resources import format_size
from minorch.scheduling.view import NodeView, TaskView
from minorch.state.shape import TaskGroup

__all__ = [
    "FILTERS",
    "CustomFilter",
    "Filter",
    "FilterFault",
    "Filters",
    "Refusal",
    "could_ever_hold",
    "refusal",
    "selects",
]


class Refusal(NamedTuple):
    """Why a node was refused."""

    kind: str
    """The filter that objected."""
    words: str
    """The objection, the same for all nodes that are refused for the same thing."""
    lacking: int = 0
    """For resources: by how much, in the integers of :class:`~minorch.resources.Resources`."""
    passing: bool = False
    """Whether it may go away with the node described as it is: when tasks end or the node returns."""


Filter = Callable[[TaskView, NodeView], Refusal | None]
CustomFilter = Callable[[TaskView, NodeView], str | None]
"""A filter of one's own: None if the task may go to the node; else why not, in words that are the same for
all nodes that are refused for the same reason."""


def ready(task: TaskView, node: NodeView) -> Refusal | None:
    """Refuse a node that is not heard of, whose engine is down, or that is cordoned."""
    if not node.ready:
        return Refusal("ready", "not ready", passing=True)
    return Refusal("ready", "cordoned", passing=True) if node.cordoned else None


def held(task: TaskView, node: NodeView) -> Refusal | None:
    """Refuse a node whose room is kept for another task."""
    if node.held_for in ("", task.id):
        return None
    return Refusal("held", "kept free for another task", passing=True)


def runtime(task: TaskView, node: NodeView) -> Refusal | None:
    """Refuse a node whose runtime is not the one asked for."""
    wanted = task.task.runtime
    return (
        None if wanted is None or wanted == node.node.runtime else Refusal("runtime", f"no {wanted} runtime")
    )


def platform(task: TaskView, node: NodeView) -> Refusal | None:
    """Refuse a node of another platform than the task's image is for."""
    wanted = task.task.platform
    return None if wanted is None or wanted == node.node.platform else Refusal("platform", f"not {wanted}")


def taints(task: TaskView, node: NodeView) -> Refusal | None:
    """Refuse a node with a taint that the task does not tolerate."""
    for taint in node.node.taints:
        if taint not in task.task.tolerations:
            return Refusal("taints", f"taint {taint} not tolerated")
    return None


def constraints(task: TaskView, node: NodeView) -> Refusal | None:
    """Refuse a node that does not say of itself what the task asks for."""
    if not task.task.constraints:
        return None
    for constraint in task.constraints:
        if not constraint.admits(node.node):
            return Refusal("constraints", f"constraint {constraint} not met")
    return None


def slots(task: TaskView, node: NodeView) -> Refusal | None:
    """Refuse a node that has as many tasks as it takes."""
    if node.tasks < node.node.max_tasks:
        return None
    return Refusal("slots", f"holds its most tasks ({node.node.max_tasks})", passing=True)


def host_ports(task: TaskView, node: NodeView) -> Refusal | None:
    """Refuse a node where a fixed host port that the task asks for is promised to another."""
    if not task.task.ports:
        return None
    taken = sorted(task.host_ports & node.host_ports)
    return Refusal("host_ports", f"host port {taken[0][0]} taken", passing=True) if taken else None


def resources(task: TaskView, node: NodeView) -> Refusal | None:
    """Refuse a node with too little room left in any dimension."""
    wanted = task.task.resources
    capacity, reserved = node.node.capacity, node.reserved
    if (
        not wanted.custom_millis
        and wanted.cpu_millis + reserved.cpu_millis <= capacity.cpu_millis
        and wanted.memory + reserved.memory <= capacity.memory
        and wanted.disk + reserved.disk <= capacity.disk
    ):
        return None
    free = node.free
    if wanted.fits(free):
        return None
    name, lacking = next((n, a) for n, a in wanted.shortfall(free).amounts() if a)
    return Refusal("resources", f"{name} short", lacking, wanted.fits(capacity))


def apart(task: TaskView, node: NodeView) -> Refusal | None:
    """Refuse a node with tasks that this one must be apart from, or that must be apart from it."""
    if task.group.apart:
        for wish in task.group.apart:
            if wish.topology == "node":
                for group in node.groups:
                    if selects(wish, task.job_id, group):
                        return Refusal(
                            "apart",
                            f"{group.job}/{group.name} is there, from which it is apart",
                            passing=True,
                        )
    if node.picky:
        for group in node.groups:
            for wish in group.apart:
                if wish.topology == "node" and selects(wish, group.job_id, task.group):
                    return Refusal(
                        "apart", f"{group.job}/{group.name} is there, which is apart from it", passing=True
                    )
    return None


def selects(wish: Affinity, job_id: str, group: TaskGroup) -> bool:
    """Whether the wish of a task of that job is about the tasks of *group*."""
    if wish.job is not None:
        return group.job == wish.job
    if wish.labels:
        return all(group.labels.get(name) == value for name, value in wish.labels.items())
    return group.job_id == job_id and wish.task in (None, group.name)


FILTERS: Final[tuple[Filter, ...]] = (
    ready,
    held,
    runtime,
    platform,
    slots,
    resources,
    taints,
    constraints,
    host_ports,
    apart,
)
"""In the order in which they are asked."""


class Filters:
    """All filters of one cluster: the built-in ones, then its own.

    Args:
        custom: more filters, by name: each gets a task and a node and returns None, or in words why not.

    Raises:
        UsageError: a built-in filter has that name.
    """

    def __init__(self, custom: Mapping[str, CustomFilter] | None = None) -> None:
        self._custom = dict(custom or {})
        for name in sorted(self._custom.keys() & {objects.__name__ for objects in FILTERS}):
            raise UsageError(f'a filter called "{name}" is built in; give yours another name')

    def refusal(self, task: TaskView, node: NodeView) -> Refusal | None:
        """The first objection to placing *task* on *node*; None: it can go there.

        Raises:
            PluginError: a filter of one's own failed.
        """
        for objects in FILTERS:
            objection = objects(task, node)
            if objection is not None:
                return objection
        for name, objects_too in self._custom.items():
            words = _ask(name, objects_too, task, node)
            if words is not None:
                return Refusal(name, words, passing=True)
        return None

    def admit(self, task: TaskView, node: NodeView) -> bool:
        """Whether there is no objection; the same as :meth:`refusal`, in less time.

        Raises:
            PluginError: a filter of one's own failed.
        """
        spec, machine, reserved = task.task, node.node, node.reserved
        wanted, capacity = spec.resources, machine.capacity
        if (
            not node.ready
            or node.cordoned
            or node.tasks >= machine.max_tasks
            or wanted.cpu_millis + reserved.cpu_millis > capacity.cpu_millis
            or wanted.memory + reserved.memory > capacity.memory
            or wanted.disk + reserved.disk > capacity.disk
        ):
            return False
        if not (
            wanted.custom_millis
            or node.held_for
            or spec.runtime
            or spec.platform
            or spec.affinity
            or node.picky
            or machine.taints
            or spec.constraints
            or spec.ports
            or self._custom
        ):
            return True
        return self.refusal(task, node) is None

    def room(self, task: TaskView, *, shunned: bool) -> Callable[[NodeView, Node], bool]:
        """:meth:`admit` in less time: for nodes kept for none, of which :meth:`could_ever_hold` is true.

        What is returned is given a node and any machine with the same capacity and slots: with one for many
        nodes it is sooner found in memory than each node's own.

        Args:
            task: the task.
            shunned: whether there may be tasks that must be apart from it, on their node.
        """
        wanted, ports, refusal = task.resources, bool(task.task.ports), self.refusal
        cpu, memory, disk = wanted.cpu_millis, wanted.memory, wanted.disk
        custom, much = tuple(wanted.custom_millis.items()), ports or bool(self._custom)

        def has_room(node: NodeView, machine: Node) -> bool:
            reserved, capacity = node.reserved, machine.capacity
            if (
                cpu + reserved.cpu_millis > capacity.cpu_millis
                or memory + reserved.memory > capacity.memory
                or disk + reserved.disk > capacity.disk
                or node.tasks >= machine.max_tasks
                or not node.ready
                or node.cordoned
            ):
                return False
            for name, amount in custom:
                if amount + reserved.custom_millis.get(name, 0) > capacity.custom_millis.get(name, 0):
                    return False
            return not (much or (shunned and node.picky)) or refusal(task, node) is None

        return has_room

    def could_ever_hold(self, task: TaskView, node: NodeView) -> bool:
        """Whether *node* could run *task* if it were ready and empty."""
        return could_ever_hold(task, node)

    def alike(self, task: TaskView) -> bool:
        """Whether nodes of the same state are the same to all filters, for this task."""
        if self._custom or task.group.apart:
            return False
        return not (task.task.constraints and any(c.about_name for c in task.constraints))


def _ask(name: str, objects: CustomFilter, task: TaskView, node: NodeView) -> str | None:
    try:
        words = objects(task, node)
    except Exception as error:
        words = f"filter {name} raised {type(error).__name__} for node {node.name}: {error}"
        raise FilterFault(words[:1000]) from error
    if words is None or isinstance(words, str):
        return words
    raise FilterFault(f"filter {name} returned {words!r:.40} for node {node.name}, neither text nor None")


class FilterFault(PluginError):
    """A filter of one's own raised, or returned neither text nor None; the message names it and the node."""


def refusal(task: TaskView, node: NodeView) -> Refusal | None:
    """The first objection of the built-in filters to placing *task* on *node*; None: it can go there."""
    for objects in FILTERS:
        objection = objects(task, node)
        if objection is not None:
            return objection
    return None


def could_ever_hold(task: TaskView, node: NodeView) -> bool:
    """Whether *node* could run *task* if it were ready and empty."""
    lasting = (objects(task, node) for objects in FILTERS)
    return node.node.max_tasks > 0 and all(objection is None or objection.passing for objection in lasting)


def amount(name: str, value: int) -> str:
    """An amount of a resource in words: ``2.0 GiB``, ``0.5``."""
    return format_size(value) if name in ("memory", "disk") else f"{value / 1000:g}"
