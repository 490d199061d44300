"""The nodes while plans are made: which could take a task, and which of them is the cheapest.

Two ways give the same answers.  The scan asks every node each time.  The index keeps, for each shape of
task, what the scan would find (:mod:`minorch.scheduling.index`); when a node changes it is only noted, and
a shape looks at what changed when it is next asked about.  So a decision costs as much as there were
changes, not as there are nodes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final

import msgspec

from minorch.scheduling.explain import Blocked, count_refusals
from minorch.scheduling.filters import Filters, Refusal, selects
from minorch.scheduling.index import Cheapest, Feasible, Indices, NodeList
from minorch.scheduling.neighbours import Neighbourhood, Tally, is_local, prefers
from minorch.scheduling.scheduler import Scheduler
from minorch.scheduling.view import NodeView, TaskView
from minorch.state.shape import TaskGroup

__all__ = ["Board"]

_MOST_ENTRIES: Final = 4_000_000
"""How many nodes all indexed shapes may hold in all; the shape that was not asked about for longest goes."""
_LEAST_SHAPES: Final = 4
_SHORTEST_LOG: Final = 4096
_MOST_TALLIES: Final = 256
_MOST_DESCRIPTIONS: Final = 200_000
_ANYBODY: Final = TaskGroup(job_id="", job="", name="")


class _Description:
    """What some nodes, alike but for their name and address, say of themselves."""

    __slots__ = ("example", "key", "machine", "uses")

    def __init__(self, key: Hashable, example: NodeView) -> None:
        self.key = key
        self.example = example
        self.machine = example.node
        self.uses = 0


class _Lasting(dict[_Description, bool]):
    """Whether nodes of each description could ever hold tasks of one shape; asked when it is wanted."""

    def __init__(self, filters: Filters, task: TaskView) -> None:
        super().__init__()
        self._filters = filters
        self._task = task

    def __missing__(self, description: _Description) -> bool:
        if len(self) >= _MOST_DESCRIPTIONS:
            self.clear()
        able = self[description] = self._filters.could_ever_hold(self._task, description.example)
        return able


class Board:
    """All nodes, in the order of their index, with what was found out about them.

    Args:
        nodes: the nodes; their indices are their positions.
        filters: what decides whether a node can take a task; the built-in ones if not given.
        indexed: keep an index; otherwise every answer is a full scan.
    """

    def __init__(
        self, nodes: Iterable[NodeView] = (), *, filters: Filters | None = None, indexed: bool = True
    ) -> None:
        self.filters = filters or Filters()
        self.nodes: list[NodeView] = []
        self.improved = 0
        """A number that is new whenever a node changed so that it may take what it could not before."""
        self._indexed = indexed
        self._tick = 0
        self._log: list[int] = []
        self._looks: OrderedDict[Hashable, Cheapest | Feasible] = OrderedDict()
        self._costs_of: tuple[Scheduler, int] | None = None
        self._at: dict[str, int] = {}
        self._descriptions: list[_Description] = []
        """By index: what each node says of itself."""
        self._described: dict[Hashable, _Description] = {}
        self._tallies: OrderedDict[Hashable, Tally] = OrderedDict()
        self._wide: dict[TaskGroup, int] = {}
        """Groups that must be apart from others in more than their node, and how many of each there are."""
        self._narrow: dict[TaskGroup, int] = {}
        """Groups that must be apart from others on their node, and how many of each there are."""
        self._shunned: dict[TaskGroup, bool] = {}
        """Whether some of those are about the tasks of a group."""
        self._holders: dict[Hashable, bool] = {}
        """By shape: whether some node could ever hold it, as nodes describe themselves now."""
        for node in nodes:
            self.update(node)

    # -- changes ------------------------------------------------------------------------------

    def update(self, node: NodeView) -> None:
        """Take a node as it is now, or a new one at the end."""
        at = node.index
        self._tick += 1
        if at < len(self.nodes):
            before = self.nodes[at]
            if self._tallies or node.picky or before.picky:
                self._recount(before, node)
            if before.node is not node.node:
                self._drop_description(self._descriptions[at])
                self._descriptions[at] = self._describe(node)
                self.improved += 1
            elif not _only_fuller(before, node):
                self.improved += 1
            self.nodes[at] = node
        else:
            self._at[node.name] = at
            self._recount(None, node)
            self._descriptions.append(self._describe(node))
            self.nodes.append(node)
            self.improved += 1
        if self._looks:
            self._log.append(at)
            if len(self._log) > max(_SHORTEST_LOG, 2 * len(self.nodes)):
                self._shorten_log()

    def _recount(self, before: NodeView | None, after: NodeView) -> None:
        """Keep the counts of tasks by place."""
        if before is not None and before.groups is after.groups and before.node is after.node:
            return
        for tally in self._tallies.values():
            tally.replace(before, after)
        for node, sign in ((before, -1), (after, 1)):
            if node is not None and node.picky:
                for group, tasks in node.groups.items():
                    if any(wish.topology != "node" for wish in group.apart):
                        _count(self._wide, group, sign * tasks)
                    on_node = any(wish.topology == "node" for wish in group.apart)
                    if on_node and _count(self._narrow, group, sign * tasks):
                        self._shunned.clear()

    def _describe(self, node: NodeView) -> _Description:
        """What a node says of itself, but for its name and address."""
        key = (
            node.node.capacity,
            node.node.runtime,
            tuple(sorted(node.node.labels.items())),
            tuple(node.node.taints),
            node.node.platform,
            node.node.max_tasks,
        )
        description = self._described.get(key)
        if description is None:
            description = self._described[key] = _Description(key, node)
            self._holders.clear()
        description.uses += 1
        return description

    def _is_shunned(self, group: TaskGroup) -> bool:
        """Whether some tasks must be apart, on their node, from those of *group*."""
        found = self._shunned.get(group)
        if found is None:
            found = self._shunned[group] = any(
                wish.topology == "node" and selects(wish, other.job_id, group)
                for other in self._narrow
                for wish in other.apart
            )
        return found

    def _like(self, task: TaskView) -> Hashable:
        """Equal for tasks that the same nodes of this board can take, as long as it does not change."""
        if self.filters.alike(task) and not (self._narrow and self._is_shunned(task.group)):
            return task.shape
        return (task.shape, task.group)

    def _drop_description(self, description: _Description) -> None:
        description.uses -= 1
        if not description.uses:
            del self._described[description.key]
            self._holders.clear()

    def _shorten_log(self) -> None:
        """Drop the older half of the changes, and what was not asked about since."""
        half = len(self._log) // 2
        del self._log[:half]
        for key in [key for key, look in self._looks.items() if look.at < half]:
            del self._looks[key]
        for look in self._looks.values():
            look.at -= half

    @property
    def changes(self) -> int:
        """A number that is new after each change."""
        return self._tick

    # -- answers ------------------------------------------------------------------------------

    def named(self, name: str) -> NodeView:
        """The node of that name, as it is now."""
        return self.nodes[self._at[name]]

    def why_blocked(self, task: TaskView) -> Blocked:
        """Ask every node why it refuses *task*, and count."""
        return count_refusals(task, self.nodes, self.filters, self.refusal(task))

    def could_ever_hold(self, task: TaskView) -> bool:
        """Whether some node could run *task* if it were ready and empty.

        Asked once for each shape and then only of nodes that joined or describe themselves anew.
        """
        if not self.filters.alike(task):
            return any(self.filters.could_ever_hold(task, node) for node in self.nodes)
        found = self._holders.get(task.shape)
        if found is None:
            examples = (description.example for description in self._described.values())
            found = any(self.filters.could_ever_hold(task, node) for node in examples)
            if len(self._holders) > _SHORTEST_LOG:
                self._holders.clear()
            self._holders[task.shape] = found
        return found

    def feasible(self, task: TaskView) -> Sequence[NodeView]:
        """The nodes that could take *task* now, by index; those to avoid only if there are no others."""
        found = self._admitted(task)
        if not self.is_local(task) or prefers(task):
            around = self._neighbourhood(task)
            found = [node for node in found if around.objection(node) is None]
            if prefers(task) and len(found) > 1:
                penalties = [around.penalty(node) for node in found]
                least = min(penalties)
                found = [node for node, missed in zip(found, penalties, strict=True) if missed == least]
        if task.avoid:
            if isinstance(found, NodeList):
                return found.without(self._at[name] for name in task.avoid if name in self._at) or found
            return [node for node in found if node.name not in task.avoid] or found
        return found

    def cheapest(self, task: TaskView, scheduler: Scheduler) -> tuple[NodeView, float] | None:
        """The node that *scheduler*, whose costs depend on the node or the job alone, would pick.

        Raises:
            PluginError: a cost is not a finite number.
        """
        known = self._costs_of
        if known is None or known[0] is not scheduler or known[1] != scheduler.generation:
            for key in [key for key, look in self._looks.items() if isinstance(look, Cheapest)]:
                del self._looks[key]
            self._costs_of = (scheduler, scheduler.generation)
        key = ("cheapest", self._like(task), task.job_id if scheduler.depends_on == "job" else None)
        look = self._look(key, task, scheduler)
        assert isinstance(look, Cheapest)
        at = look.first(task.avoid)
        return None if at is None else (self.nodes[at[1]], at[0])

    def indexes(self, task: TaskView, scheduler: Scheduler) -> bool:
        """Whether :meth:`cheapest` may answer for this strategy and task."""
        return (
            self._indexed and scheduler.depends_on != "anything" and not prefers(task) and self.is_local(task)
        )

    def stands_out(self, task: TaskView) -> bool:
        """Whether some tasks must be apart from this one that need not be apart from others of its shape."""
        return bool(self._narrow and self._is_shunned(task.group)) or self._is_shunned_widely(task)

    def is_local(self, task: TaskView) -> bool:
        """Whether it depends on nothing but each node itself whether it can take *task*."""
        return is_local(task) and not self._is_shunned_widely(task)

    def around(self, task: TaskView) -> Callable[[NodeView], Refusal | None]:
        """Return what says why *task* cannot go to a node because of tasks on other nodes; None: it can."""
        if self.is_local(task):
            return lambda node: None
        return self._neighbourhood(task).objection

    def _is_shunned_widely(self, task: TaskView) -> bool:
        return any(
            selects(wish, group.job_id, task.group)
            for group in self._wide
            for wish in group.apart
            if wish.topology != "node"
        )

    def refusal(self, task: TaskView) -> Callable[[NodeView], Refusal | None]:
        """Return what says, of a node of this board, why it cannot take *task* now; None: it can."""
        if self.is_local(task):
            return lambda node: self.filters.refusal(task, node)
        around = self._neighbourhood(task)
        return lambda node: self.filters.refusal(task, node) or around.objection(node)

    def _admitted(self, task: TaskView) -> Sequence[NodeView]:
        """The nodes that could take *task* for all that can be seen on each of them."""
        if self._indexed:
            look = self._look(("feasible", self._like(task)), task, None)
            assert isinstance(look, Feasible)
            return look.nodes()
        admit = self.filters.admit
        return NodeList(self.nodes, Indices(node.index for node in self.nodes if admit(task, node)))

    def admits(self, task: TaskView) -> Callable[[NodeView], bool]:
        """Return what says whether a node of this board could take tasks like *task*, for many questions.

        What no change of a node's tasks can alter is asked once for each description.  A node that is kept
        for one task takes none of the others; that one is not looked for by its shape.
        """
        filters = self.filters
        if not filters.alike(task):
            return lambda node: not node.held_for and filters.admit(task, node)
        shunned = bool(self._narrow) and self._is_shunned(task.group)
        if not shunned:  # nor are others of its shape, for whom it stands, though it may come to be
            task = msgspec.structs.replace(task, group=_ANYBODY)
        has_room = filters.room(task, shunned=shunned)
        descriptions, lasting = self._descriptions, _Lasting(filters, task)

        def admitted(node: NodeView) -> bool:
            alike = descriptions[node.index]
            return lasting[alike] and not node.held_for and has_room(node, alike.machine)

        return admitted

    def _neighbourhood(self, task: TaskView) -> Neighbourhood:
        def eligible(node: NodeView) -> bool:
            return node.ready and not node.cordoned and self.filters.could_ever_hold(task, node)

        return Neighbourhood(task, self.nodes, self._tally, self._wide, eligible)

    def _tally(self, key: Hashable, topology: str, counts: Callable[[TaskGroup], bool]) -> Tally:
        """The tally of a kind of tasks by place, kept up to date while it is asked for."""
        tally = self._tallies.get((key, topology))
        if tally is None:
            if len(self._tallies) >= _MOST_TALLIES:
                self._tallies.popitem(last=False)
            tally = self._tallies[key, topology] = Tally(topology, counts, self.nodes)
        else:
            self._tallies.move_to_end((key, topology))
        return tally

    def _look(self, key: Hashable, task: TaskView, scheduler: Scheduler | None) -> Cheapest | Feasible:
        look = self._looks.get(key)
        if look is not None:
            self._looks.move_to_end(key)
            if look.at < len(self._log):
                try:
                    look.catch_up(dict.fromkeys(self._log[look.at :]))
                except BaseException:
                    del self._looks[key]
                    raise
                look.at = len(self._log)
            return look
        most = max(_LEAST_SHAPES, _MOST_ENTRIES // (1 + len(self.nodes)))
        while len(self._looks) >= most:
            self._looks.popitem(last=False)
        nodes, admits = self.nodes, self.admits(task)
        look = Feasible(nodes, admits) if scheduler is None else Cheapest(nodes, admits, task, scheduler)
        look.catch_up(range(len(self.nodes)))
        look.at = len(self._log)
        self._looks[key] = look
        return look


def _count(counts: dict[TaskGroup, int], group: TaskGroup, more: int) -> bool:
    """Add to the count of a group; whether it joined or left."""
    before = counts.pop(group, 0)
    if before + more:
        counts[group] = before + more
    return not before or not before + more


def _only_fuller(before: NodeView, after: NodeView) -> bool:
    """Whether a node can take nothing now that it could not take before."""
    then, now = before.reserved, after.reserved
    return (
        (after.tasks >= before.tasks)
        and (before.ready or not after.ready)
        and (after.cordoned or not before.cordoned)
        and (after.held_for == before.held_for or not before.held_for)
        and now.cpu_millis >= then.cpu_millis
        and now.memory >= then.memory
        and now.disk >= then.disk
        and (not then.custom_millis or then.fits(now))
        and before.host_ports <= after.host_ports
    )
