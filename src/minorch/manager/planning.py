"""From waiting tasks to placements: the manager's side of scheduling.

The scheduler proposes on frozen views; what it proposes is checked again here against the tables
before an attempt begins.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING

from minorch.errors import PluginError
from minorch.manager.desk import Desk
from minorch.manager.lifecycle import end_task, place
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
from minorch.state.queue import Line
from minorch.state.records import TaskRecord
from minorch.state.tables import ClusterState, NodeEntry
from minorch.states import AttemptState, Reason, TaskState

if TYPE_CHECKING:
    from random import Random

__all__ = ["Planner", "task_view"]


def _node_view(entry: NodeEntry) -> NodeView:
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
        shape=entry.lines[task.position].shape,
        avoid=frozenset(
            attempt.node
            for attempt in task.attempts
            if attempt.state is AttemptState.FAILED and attempt.reason is not Reason.NODE_LOST
        ),
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


class Planner:
    """Keeps the views of the nodes up to date and has the scheduler place what waits.

    Args:
        scheduler: the strategy, which serves this planner alone.
        random: the only randomness that it gets.
        filters: what decides whether a node can take a task.
    """

    def __init__(self, scheduler: Scheduler, random: Random, filters: Filters | None = None) -> None:
        self.scheduler = scheduler
        self.random = random
        self.board = Board(filters=filters)
        """The nodes as they were at the last plan or question; see :meth:`view`."""
        self._blocked: dict[Line, int] = {}
        """Lines whose first task fitted nowhere, with the state of the board then: as long as no node has
        changed for the better, it is not tried again."""
        self._infeasible_since: dict[Line, float] = {}

    def view(self, state: ClusterState, now: float) -> ClusterView:
        """The nodes as they stand; views of nodes that did not change are kept."""
        for name in state.changed_nodes:
            self.board.update(_node_view(state.nodes[name]))
        state.changed_nodes.clear()
        return ClusterView(nodes=self.board.nodes, now=now, random=self.random)

    def run(self, desk: Desk, now: float) -> None:
        """Place what can be placed; note why the rest cannot, and fail what never will be."""
        desk.plan_due = False
        state = desk.state
        if not desk.queue:
            self._blocked.clear()
            self._infeasible_since.clear()
            return
        plan = self.plan(desk, now)
        self._commit(desk, plan, now)
        for task_id, words in plan.broken.items():
            end_task(desk, state.tasks[task_id], TaskState.FAILED, Reason.PLUGIN_ERROR, None, words, now)
        self._note_blocked(desk, plan, now)

    def plan(self, desk: Desk, now: float) -> Plan:
        """Make a plan, of which nothing is carried out yet."""
        view = self.view(desk.state, now)
        return make_plan(
            view, self._groups(desk), self.scheduler, board=self.board, ageing_s=desk.config.ageing_s
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
        twin._blocked = {
            line: twin.board.improved for line, at in self._blocked.items() if at == self.board.improved
        }
        return twin

    def _groups(self, desk: Desk) -> list[Iterator[TaskView]]:
        """The waiting tasks of every line that a change may have helped since it was last tried."""
        state, queue = desk.state, desk.queue
        return [
            (task_view(state, state.tasks[task_id]) for task_id in queue.waiting(line))
            for line in queue.lines()
            if self._blocked.get(line) != self.board.improved
        ]

    def _commit(self, desk: Desk, plan: Plan, now: float) -> None:
        """Begin an attempt for each placement that the tables agree to."""
        state = desk.state
        disputed: dict[str, None] = {}
        for placement in plan.placements:
            node = state.nodes[placement.node]
            if _has_room(node, placement.task):
                place(desk, state.tasks[placement.task.id], placement.node, now)
            else:  # it waits for the next plan, which sees the tables as they are then
                disputed[placement.node] = None
                desk.plan_due = True
        # The board shows every placement; where the tables differ, they are right.
        state.changed_nodes.clear()
        state.changed_nodes.update(disputed)

    def _note_blocked(self, desk: Desk, plan: Plan, now: float) -> None:
        queue, board = desk.queue, self.board
        for task in plan.waiting:
            line = queue.line_of(task.id)
            if line is not None:
                self._blocked[line] = board.improved
        lines = queue.lines()
        self._blocked = {line: self._blocked[line] for line in lines if line in self._blocked}
        since: dict[Line, float] = {}
        for line in self._blocked:
            first = task_view(desk.state, desk.state.tasks[next(queue.waiting(line))])
            if line.patient or not board.nodes or board.could_ever_hold(first):
                continue
            start = since[line] = self._infeasible_since.get(line, now)
            due = start + desk.config.unschedulable_after_s
            if due <= now:
                self._fail_line(desk, line, str(board.why_blocked(first)), now)
            elif line not in self._infeasible_since:
                desk.timers.add(due, "plan")
        self._infeasible_since = since

    @staticmethod
    def _fail_line(desk: Desk, line: Line, words: str, now: float) -> None:
        for task_id in list(desk.queue.waiting(line)):
            task = desk.state.tasks[task_id]
            end_task(desk, task, TaskState.FAILED, Reason.UNSCHEDULABLE, None, words, now)
