"""What a scheduler sees: frozen pictures of the nodes and of the task to place. No decisions here."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from random import Random

import msgspec

from minorch.model import Constraint, Node, NodeStats, Task, parse_constraint
from minorch.resources import Resources
from minorch.state.shape import TaskGroup, group_of, shape_of

__all__ = ["ClusterView", "NodeView", "TaskView"]

_NOTHING = Resources()
_UNKNOWN = TaskGroup(job_id="", job="", name="")


class NodeView(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """One node as it stands while a plan is made. A placement gives a new view; none ever changes."""

    index: int
    """Its place in the order in which nodes joined; ties go to the lower one."""
    node: Node
    """What the machine said of itself: capacity, labels, taints, runtime."""
    reserved: Resources = _NOTHING
    """What the tasks placed here asked for, in all."""
    tasks: int = 0
    """How many tasks are placed here."""
    job_tasks: Mapping[str, int] = {}
    """How many of them, by job id."""
    groups: Mapping[TaskGroup, int] = {}
    """How many of them, by the task that they are instances of."""
    picky: int = 0
    """How many of them must be apart from others."""
    host_ports: frozenset[tuple[int, str]] = frozenset()
    """Fixed host ports that they were promised, with protocol."""
    stats: NodeStats | None = None
    """What was last measured on the machine; None: nothing is known, which is not the same as idle."""
    ready: bool = True
    """Whether its worker is heard of and its engine answers."""
    cordoned: bool = False
    """Whether somebody asked that nothing new be placed here."""
    held_for: str = ""
    """The id of the task that its room is kept for; empty: it is kept for none."""

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return self.node.labels

    @property
    def capacity(self) -> Resources:
        """What it can give in all."""
        return self.node.capacity

    @property
    def free(self) -> Resources:
        """What is not reserved."""
        return self.node.capacity - self.reserved

    def share(self, extra: Resources = _NOTHING) -> dict[str, float]:
        """How full it is in each dimension that it has, from 0 to 1, if *extra* were reserved too."""
        used = dict((self.reserved + extra).amounts())
        return {name: used.get(name, 0) / most for name, most in self.capacity.amounts() if most}

    def shares(self, extra: Resources = _NOTHING) -> list[float]:
        """What :meth:`share` gives, without the names and in less time."""
        used, most = self.reserved, self.node.capacity
        found = []
        if most.cpu_millis:
            found.append((used.cpu_millis + extra.cpu_millis) / most.cpu_millis)
        if most.memory:
            found.append((used.memory + extra.memory) / most.memory)
        if most.disk:
            found.append((used.disk + extra.disk) / most.disk)
        for name, amount in most.custom_millis.items():
            found.append((used.custom_millis.get(name, 0) + extra.custom_millis.get(name, 0)) / amount)
        return found

    def with_task(self, task: TaskView) -> NodeView:
        """This node once *task* is placed on it too."""
        jobs = dict(self.job_tasks)
        jobs[task.job_id] = jobs.get(task.job_id, 0) + 1
        groups = dict(self.groups)
        groups[task.group] = groups.get(task.group, 0) + 1
        return msgspec.structs.replace(
            self,
            reserved=self.reserved + task.resources,
            tasks=self.tasks + 1,
            job_tasks=jobs,
            groups=groups,
            picky=self.picky + 1 if task.group.apart else self.picky,
            host_ports=self.host_ports | task.host_ports if task.host_ports else self.host_ports,
        )

    def without_task(self, task: TaskView) -> NodeView:
        """This node once *task*, which is placed on it, is gone."""
        jobs = dict(self.job_tasks)
        jobs[task.job_id] -= 1
        if not jobs[task.job_id]:
            del jobs[task.job_id]
        groups = dict(self.groups)
        groups[task.group] -= 1
        if not groups[task.group]:
            del groups[task.group]
        return msgspec.structs.replace(
            self,
            reserved=self.reserved - task.resources,
            tasks=self.tasks - 1,
            job_tasks=jobs,
            groups=groups,
            picky=self.picky - 1 if task.group.apart else self.picky,
            host_ports=self.host_ports - task.host_ports if task.host_ports else self.host_ports,
        )


class TaskView(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One task that waits for a node."""

    id: str
    name: str
    """The instance's name, such as ``greet[3]``."""
    job_id: str
    job: str
    """The job's name."""
    task: Task
    priority: int = 0
    """Its job's; see :func:`~minorch.scheduling.make_plan` for how it decides whose turn it is."""
    submitted_at: float = 0.0
    """Seconds since 1970."""
    order: int = 0
    """The order of submission, which decides where priority and waiting do not."""
    gang: str = ""
    """Its group is placed as a whole or not at all; empty: it is placed by itself."""
    kept_node: int = -1
    """The index of the node whose room is kept for it; -1: there is none."""
    group: TaskGroup = _UNKNOWN
    """What it is an instance of, as other tasks look for it."""
    shape: Hashable = None
    """Equal for tasks that can go to the same nodes at the same cost."""
    avoid: frozenset[str] = frozenset()
    """Nodes where it failed before, or whose engine hung over its start; they are taken only if no other will
    do."""

    def __post_init__(self) -> None:
        if self.shape is None:
            social = self.task.affinity or self.task.spread_over
            shape = shape_of(self.task, job_id=self.job_id if social else None)
            msgspec.structs.force_setattr(self, "shape", shape)
        if self.group is _UNKNOWN:
            group = group_of(self.task, job_id=self.job_id, job=self.job)
            msgspec.structs.force_setattr(self, "group", group)

    @property
    def labels(self) -> Mapping[str, str]:
        """Its own labels, as its author wrote them."""
        return self.task.labels

    @property
    def resources(self) -> Resources:
        """What it asks for."""
        return self.task.resources

    @property
    def host_ports(self) -> frozenset[tuple[int, str]]:
        """The fixed host ports it asks for, with protocol."""
        ports = self.task.ports
        return frozenset((p.host, p.protocol) for p in ports if p.host is not None) if ports else frozenset()

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """What it asks of its node's labels."""
        return tuple(parse_constraint(text) for text in self.task.constraints)

    @property
    def preferences(self) -> tuple[tuple[int, Constraint], ...]:
        """What it would like its node to say of itself, each with its weight."""
        return tuple((weight, parse_constraint(text)) for text, weight in self.task.preferences.items())


class ClusterView(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Everything a plan may depend on."""

    nodes: Sequence[NodeView]
    """Every node that is known, in the order of their index."""
    now: float
    """Seconds since 1970."""
    random: Random
    """The only source of randomness a strategy may use; seeded."""
