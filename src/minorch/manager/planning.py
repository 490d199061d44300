"""From waiting tasks to placements: the manager's side of scheduling.

The scheduler proposes on frozen views; what it proposes is checked again here against the tables
before an attempt begins.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from minorch.errors import PluginError
from minorch.manager.desk import Desk
from minorch.manager.holds import Hold, Holds
from minorch.manager.lifecycle import end_task, move_away, place
from minorch.manager.timing import Stopwatch, Timing
from minorch.scheduling import (
    Board,
    ClusterView,
    Filters,
    NodeView,
    Plan,
    Scheduler,
    TaskView,
    make_plan,
)
from minorch.scheduling.plan import name_of
from minorch.scheduling.preemption import Resident
from minorch.scheduling.room import nearest
from minorch.state.queue import Line
from minorch.state.records import TaskRecord
from minorch.state.shape import Shape
from minorch.state.tables import ClusterState, NodeEntry
from minorch.states import AttemptState, Reason, TaskState

if TYPE_CHECKING:
    from random import Random

__all__ = ["Planner", "node_view", "task_view"]

_NOWHERE: Final = frozenset[str]()


def node_view(entry: NodeEntry, held_for: str = "") -> NodeView:
    """A node as a scheduler sees it, made from the tables."""
    record = entry.record
    return NodeView(
        index=record.index,
        node=record.node,
        reserved=entry.reserved,
        tasks=len(entry.live),
        job_tasks=dict(entry.job_tasks),
        groups=dict(entry.groups),
        picky=sum(tasks for group, tasks in entry.groups.items() if group.apart),
        host_ports=frozenset(entry.host_ports),
        stats=entry.stats,
        ready=entry.ready,
        cordoned=record.cordoned,
        held_for=held_for,
    )


def task_view(state: ClusterState, task: TaskRecord) -> TaskView:
    """A task as a scheduler sees it."""
    entry = state.jobs[task.job_id]
    return TaskView(
        id=task.id,
        name=task.name,
        job_id=task.job_id,
        job=entry.job.name,
        task=entry.job.tasks[task.position],
        order=task.order,
        priority=entry.job.priority,
        submitted_at=task.submitted_at,
        gang=entry.lines[task.position].gang,
        group=entry.groups[task.position],
        shape=entry.shapes[task.position],
        avoid=_failed_on(task) if task.attempts else _NOWHERE,
    )


def _failed_on(task: TaskRecord) -> frozenset[str]:
    """Where a task failed before, or hung over its start."""
    return frozenset(
        attempt.node
        for attempt in task.attempts
        if attempt.hung_since is not None
        or (attempt.state is AttemptState.FAILED and attempt.reason is not Reason.NODE_LOST)
    )


def _has_room(entry: NodeEntry, task: TaskView) -> bool:
    """Whether a node still has room for a task, by the tables."""
    return (
        entry.ready
        and not entry.record.cordoned
        and len(entry.live) < entry.record.node.max_tasks
        and (entry.reserved + task.resources).fits(entry.record.node.capacity)
        and entry.host_ports.isdisjoint(task.host_ports)
    )


def _making_s(desk: Desk) -> float:
    """How long a room is kept that is being made; longer if those who make room take longer."""
    return max(desk.config.reserve_for_s, desk.config.lease_s)


def _turn(desk: Desk, task: TaskRecord) -> tuple[float, int]:
    """Whose turn it is, as :func:`~minorch.scheduling.make_plan` has it: the lowest first."""
    priority = desk.state.jobs[task.job_id].job.priority
    return task.submitted_at - priority * desk.config.ageing_s, task.order


def _staying(state: ClusterState, node: NodeView) -> NodeView:
    """A node with only those of its tasks that do not end by themselves: the ones of services."""
    for task_id in state.nodes[node.name].live:
        task = state.tasks[task_id]
        if state.jobs[task.job_id].job.kind == "batch" or task.ending is not None or task.moving:
            node = node.without_task(task_view(state, task))
    return node


class Planner:
    """Keeps the views of the nodes up to date and has the scheduler place what waits.

    Args:
        scheduler: the strategy, which serves this planner alone.
        random: the only randomness that it gets.
        filters: what decides whether a node can take a task.
        stopwatch: real time, to tell how long plans take; None: it is not told.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        random: Random,
        filters: Filters | None = None,
        stopwatch: Stopwatch | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.random = random
        self.board = Board(filters=filters)
        """The nodes as they were at the last plan or question; see :meth:`view`."""
        self.blocked: dict[Line, int] = {}
        """Lines whose first task fitted nowhere, with the count of the board's improvements then, or where
        any change may help the count of its changes, negative: as long as it is the same, the line is not
        tried again."""
        self._blocked_since: dict[Line, tuple[str, float]] = {}
        """By line: which task is its first, and since when that has fitted nowhere."""
        self._infeasible_since: dict[Line, float] = {}
        self._sizes: dict[Line, int] = {}
        """How many waited in a blocked line, where it helps to try again if they are more or fewer: of a gang
        that did not fit together fewer may, and others may go where the first of a line may not."""
        self.holds = Holds()
        """The nodes that are kept for tasks."""
        self._stopwatch = stopwatch
        self._timing = Timing(name_of(scheduler))

    def view(self, state: ClusterState, now: float) -> ClusterView:
        """The nodes as they stand; views of nodes that did not change are kept."""
        for name in state.changed_nodes:
            self.board.update(node_view(state.nodes[name], self.holds.task_on(name)))
        state.changed_nodes.clear()
        return ClusterView(nodes=self.board.nodes, now=now, random=self.random)

    def run(self, desk: Desk, now: float) -> None:
        """Place what can be placed; note why the rest cannot, and fail what never will be."""
        desk.plan_due = False
        state = desk.state
        if not desk.queue:
            self._give_up_holds(desk, now)
            self.blocked.clear()
            self._blocked_since.clear()
            self._infeasible_since.clear()
            self._sizes.clear()
            return
        if self._stopwatch is None:
            plan = self.plan(desk, now)
        else:
            begun = self._stopwatch()
            plan = self.plan(desk, now)
            self._timing.add(desk, self._stopwatch() - begun, len(plan.placements), now)
        self._commit(desk, plan, now)
        for task_id, words in plan.broken.items():
            end_task(desk, state.tasks[task_id], TaskState.FAILED, Reason.PLUGIN_ERROR, None, words, now)
        self._note_blocked(desk, plan, now)

    def plan(self, desk: Desk, now: float) -> Plan:
        """Make a plan, of which nothing is carried out yet."""
        self._give_up_holds(desk, now)
        return make_plan(
            self.view(desk.state, now),
            self._groups(desk),
            self.scheduler,
            board=self.board,
            ageing_s=desk.config.ageing_s,
            residents=self.residents(desk.state) if desk.config.preemption else None,
        )

    def twin(self, state: ClusterState, now: float) -> Planner:
        """A planner that would decide the same from here on, and whose plans change nothing of this one.

        Raises:
            PluginError: the strategy cannot be copied.
        """
        self.view(state, now)
        try:
            scheduler = copy.deepcopy(self.scheduler)
        except Exception as error:
            name = type(self.scheduler).__name__
            raise PluginError(
                f"scheduler {name} cannot be asked what it would do, for it cannot be copied: "
                f"{type(error).__name__}: {error}"[:2000]
            ) from error
        twin = Planner(scheduler, copy.copy(self.random), self.board.filters)
        for node in self.board.nodes:
            twin.board.update(node)
        now_as_well = {self.board.improved: twin.board.improved, -self.board.changes: -twin.board.changes}
        twin.blocked = {line: now_as_well[at] for line, at in self.blocked.items() if at in now_as_well}
        twin._sizes = dict(self._sizes)
        twin.holds = copy.deepcopy(self.holds)
        return twin

    def _groups(self, desk: Desk) -> list[Iterator[TaskView]]:
        """The waiting tasks of every line that a change may have helped since it was last tried."""
        queue, board, state = desk.queue, self.board, desk.state
        kept = dict.fromkeys(hold.task_id for hold in self.holds if hold.task_id in queue)
        groups = [
            (
                self.task_view(state, state.tasks[task_id])
                for task_id in queue.waiting(line)
                if task_id not in kept
            )
            for line in queue.lines()
            if self.blocked.get(line) not in (board.improved, -board.changes)
            or self._sizes.get(line, queue.size(line)) != queue.size(line)
        ]
        # A task that a room is kept for does not wait for those before it in its line to have theirs.
        return groups + [iter([self.task_view(state, state.tasks[task_id])]) for task_id in kept]

    def task_view(self, state: ClusterState, task: TaskRecord) -> TaskView:
        """A task as a scheduler sees it, with the node that is kept for it."""
        view, node = task_view(state, task), self.holds.node_for(task.id)
        if node is None:
            return view
        return msgspec.structs.replace(view, kept_node=state.nodes[node].record.index)

    @staticmethod
    def residents(state: ClusterState) -> Callable[[NodeView], Sequence[Resident]]:
        """What says which tasks are on a node and could be moved aside; for one plan."""

        @functools.cache
        def on(name: str) -> Sequence[Resident]:
            tasks = [state.tasks[task_id] for task_id in state.nodes[name].live]
            return [
                Resident(
                    task=task_view(state, task),
                    priority=state.jobs[task.job_id].job.priority,
                    since=task.attempts[-1].scheduled_at,
                )
                for task in tasks
                if task.ending is None and not task.moving
            ]

        return lambda node: on(node.name)

    def _commit(self, desk: Desk, plan: Plan, now: float) -> None:
        """Begin an attempt for each placement that the tables agree to; keep and make rooms."""
        state = desk.state
        disputed = dict(state.changed_nodes)  # what changed while the plan was made
        broken_gangs = {
            placement.task.gang
            for placement in plan.placements
            if placement.task.gang and placement.node in state.changed_nodes
        }
        for placement in plan.placements:
            node, task = state.nodes[placement.node], placement.task
            if task.gang in broken_gangs or not _has_room(node, task):
                # It waits for the next plan, which sees the tables as they are then.
                disputed[placement.node] = None
                desk.plan_due = True
                continue
            place(desk, state.tasks[task.id], placement.node, now)
            hold = self.holds.give_up(task.id)
            if hold is not None:  # what it leaves is for others
                disputed[hold.node] = None
                self.board.update(msgspec.structs.replace(self.board.named(hold.node), held_for=""))
                desk.plan_due = True
        # The board shows every placement; where the tables differ, they are right.
        state.changed_nodes.clear()
        state.changed_nodes.update(disputed)
        for preemption in plan.preemptions:
            task_id = preemption.task.id
            hold = Hold(task_id, preemption.node, now, now + _making_s(desk))
            self._keep(desk, hold, "room is made for it", now)
            for victim in preemption.victims:
                move_away(desk, state.tasks[victim.task.id], now, room_for=task_id)

    # -- rooms that are kept ------------------------------------------------------------------

    def resume(self, desk: Desk, now: float) -> None:
        """Keep again, after the tables were read from a store, the rooms that were being made."""
        for name, entry in desk.state.nodes.items():
            for task_id in entry.live:
                room_for = desk.state.tasks[task_id].room_for
                if room_for in desk.queue:
                    until = now + _making_s(desk)
                    self.holds.keep(Hold(room_for, name, now, until))
                    desk.timers.add(until, "plan")

    def _keep(self, desk: Desk, hold: Hold, why: str, now: float) -> None:
        self.holds.keep(hold)
        desk.timers.add(hold.until, "plan")
        desk.state.changed_nodes[hold.node] = None
        desk.state.log("room_kept", now, task=desk.state.tasks[hold.task_id], node=hold.node, detail=why)

    def _give_up_holds(self, desk: Desk, now: float) -> None:
        """Give up what is kept for a task that does not wait, on a node that takes none, or in vain."""
        state = desk.state
        for hold in self.holds:
            node, line = state.nodes[hold.node], desk.queue.line_of(hold.task_id)
            if line is None:
                words = "it does not wait any more"
            elif node.record.cordoned:
                words = "the node is cordoned"
            elif node.record.lost or (not node.engine_ok and desk.session(hold.node).connected):
                words = "the node is not ready"
            elif now < hold.until:
                continue
            elif any(state.tasks[task_id].room_for == hold.task_id for task_id in node.live):
                until = now + desk.config.lease_s  # those who make room for it take their time
                self.holds.keep(hold._replace(until=until))
                desk.timers.add(until, "plan")
                continue
            else:
                words = f"kept for {now - hold.since:g} s in vain"
                self._blocked_since.pop(line, None)  # it waits anew for the next one
            self.holds.give_up(hold.task_id)
            state.changed_nodes[hold.node] = None
            if line is not None:
                self.blocked.pop(line, None)
            task = state.tasks.get(hold.task_id)
            if task is not None:  # in a rehearsal its job may be gone
                state.log("room_given_up", now, task=task, node=hold.node, detail=words)

    def _reserve(self, desk: Desk, lines: Sequence[Line], now: float) -> None:
        """Keep nodes for the first tasks of lines that have fitted nowhere for long, in turn."""
        config, state, nodes = desk.config, desk.state, self.board.nodes
        due: list[tuple[float, int, Line]] = []
        for line in lines:
            first = state.tasks[next(desk.queue.waiting(line))]
            task_id, since = self._blocked_since.get(line, ("", now))
            if task_id != first.id:
                since = self._wait_anew(desk, line, first.id, now)
            if (
                config.reserve_for_s
                and not line.gang
                and now >= since + config.reserve_after_s
                and self.holds.node_for(first.id) is None
            ):
                due.append((*_turn(desk, first), line))
        for _, _, line in sorted(due, key=lambda row: row[:2]):
            if 8 * len(self.holds) >= len(nodes):
                return
            first = state.tasks[next(desk.queue.waiting(line))]
            view, (_, since) = self.task_view(state, first), self._blocked_since[line]
            around = self.board.around(view)
            node = nearest(
                view, nodes, self.board.filters, around=around, staying=functools.partial(_staying, state)
            )
            if node is None:
                self._wait_anew(desk, line, first.id, now)
                continue
            hold = Hold(first.id, node.name, now, now + config.reserve_for_s)
            self._keep(desk, hold, f"it has waited for {now - since:.0f} s", now)
            self.board.update(msgspec.structs.replace(node, held_for=first.id))

    def _wait_anew(self, desk: Desk, line: Line, task_id: str, now: float) -> float:
        self._blocked_since[line] = (task_id, now)
        desk.timers.add(now + desk.config.reserve_after_s, "plan")
        return now

    # -- what fits nowhere --------------------------------------------------------------------

    def _note_blocked(self, desk: Desk, plan: Plan, now: float) -> None:
        queue, board = desk.queue, self.board
        for task in plan.waiting:
            line = queue.line_of(task.id)
            if line is None or task.kept_node >= 0:
                continue
            tried = plan.tried[task.id]
            self.blocked[line] = min(tried, self.blocked[line]) if self.blocked.get(line, 0) < 0 else tried
            if line.gang or board.stands_out(task):
                self._sizes[line] = queue.size(line)
            else:
                self._sizes.pop(line, None)
        lines = queue.lines()
        self.blocked = {line: self.blocked[line] for line in lines if line in self.blocked}
        self._blocked_since = {
            line: since for line, since in self._blocked_since.items() if line in self.blocked
        }
        self._sizes = {line: size for line, size in self._sizes.items() if line in self.blocked}
        if plan.placements and any(at < 0 and at != -board.changes for at in self.blocked.values()):
            desk.plan_due = True  # what was placed may be what others have to be near to
        since: dict[Line, float] = {}
        waiting: list[Line] = []
        for line in self.blocked:
            misfit = self._misfit(desk, line)
            if misfit is None:
                waiting.append(line)
                continue
            start = since[line] = self._infeasible_since.get(line, now)
            due = start + desk.config.unschedulable_after_s
            if due <= now:
                self._fail_line(desk, line, str(board.why_blocked(misfit)), now)
            elif line not in self._infeasible_since:
                desk.timers.add(due, "plan")
        self._infeasible_since = since
        self._reserve(desk, waiting, now)

    def _misfit(self, desk: Desk, line: Line) -> TaskView | None:
        """A task of a line that no node could hold even when empty, if the line does not wait for one."""
        if line.patient or not self.board.nodes:
            return None
        state = desk.state
        waiting = desk.queue.waiting(line)
        shapes: dict[Shape, TaskRecord] = {}
        for task_id in waiting if line.gang else itertools.islice(waiting, 1):
            task = state.tasks[task_id]
            shapes.setdefault(state.jobs[task.job_id].shapes[task.position], task)
        for task in shapes.values():
            view = task_view(state, task)
            if not self.board.could_ever_hold(view):
                return view
        return None

    @staticmethod
    def _fail_line(desk: Desk, line: Line, words: str, now: float) -> None:
        for task_id in list(desk.queue.waiting(line)):
            task = desk.state.tasks[task_id]
            end_task(desk, task, TaskState.FAILED, Reason.UNSCHEDULABLE, None, words, now)
