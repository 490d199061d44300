"""Which nodes could run a task at all, and in words why the others could not. No preferences here.

Each filter looks at one thing and returns None or a :class:`Refusal`.  :func:`refusal` asks them in
the order of :data:`FILTERS`, cheapest first, and gives the first objection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from minorch.resources import format_size
from minorch.scheduling.view import NodeView, TaskView

__all__ = ["FILTERS", "Filter", "Refusal", "could_ever_hold", "refusal"]


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


def ready(task: TaskView, node: NodeView) -> Refusal | None:
    """Refuse a node that is not heard of, whose engine is down, or that is cordoned."""
    if not node.ready:
        return Refusal("ready", "not ready", passing=True)
    return Refusal("ready", "cordoned", passing=True) if node.cordoned else None


def runtime(task: TaskView, node: NodeView) -> Refusal | None:
    """Refuse a node whose runtime is not the one asked for."""
    wanted = task.task.runtime
    return (
        None if wanted is None or wanted == node.node.runtime else Refusal("runtime", f"no {wanted} runtime")
    )


def taints(task: TaskView, node: NodeView) -> Refusal | None:
    """Refuse a node with a taint that the task does not tolerate."""
    for taint in node.node.taints:
        if taint not in task.task.tolerations:
            return Refusal("taints", f"taint {taint} not tolerated")
    return None


def constraints(task: TaskView, node: NodeView) -> Refusal | None:
    """Refuse a node whose labels do not say what the task asks for."""
    if not task.task.constraints:
        return None
    for constraint in task.constraints:
        if not constraint.allows(node.node.labels):
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


FILTERS: Final[tuple[Filter, ...]] = (ready, runtime, slots, resources, taints, constraints, host_ports)
"""In the order in which they are asked."""


def refusal(task: TaskView, node: NodeView) -> Refusal | None:
    """The first objection to placing *task* on *node*; None: it can go there."""
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
