"""From waiting tasks to placements: the manager's side of scheduling.

The scheduler proposes on frozen views; what it proposes is checked again here against the tables
before an attempt begins.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from minorch.errors import PluginError, UnschedulableError
from minorch.manager.desk import Desk
from minorch.manager.lifecycle import end_task, place
from minorch.model import Job, Node
from minorch.scheduling import (
    Blocked,
    Board,
    ClusterView,
    Explanation,
    Filters,
    NodeView,
    Plan,
    Scheduler,
    TaskView,
    make_plan,
)
from minorch.scheduling.explain import count_refusals
from minorch.scheduling.filters import could_ever_hold
from minorch.scheduling.plan import blame
from minorch.state.queue import Line
from minorch.state.records import TaskRecord
from minorch.state.tables import ClusterState, NodeEntry
from minorch.states import AttemptState, Reason, TaskState

if TYPE_CHECKING:
    from random import Random

__all__ = ["Planner", "check_feasible"]

_COSTS_SHOWN = 10


def _node_view(entry: NodeEntry) -> NodeView:
    record = entry.record
    return NodeView(
        index=record.index,
        node=record.node,
        reserved=entry.reserved,
        tasks=len(entry.live),
        job_tasks=dict(entry.job_tasks),
        host_ports=frozenset(entry.host_ports),
        stats=entry.stats,
        ready=entry.ready,
        cordoned=record.cordoned,
    )


def _task_view(state: ClusterState, task: TaskRecord) -> TaskView:
    entry = state.jobs[task.job_id]
    return TaskView(
        id=task.id,
        name=task.name,
        job_id=task.job_id,
        job=entry.job.name,
        task=entry.job.tasks[task.position],
        order=task.order,
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
        self._random = random
        self._board = Board(filters=filters)
        self._blocked: dict[Line, int] = {}
        """Lines whose first task fitted nowhere, with the state of the board then: as long as no node has
        changed for the better, it is not tried again."""
        self._infeasible_since: dict[Line, float] = {}

    def view(self, state: ClusterState, now: float) -> ClusterView:
        """The nodes as they stand; views of nodes that did not change are kept."""
        for name in state.changed_nodes:
            self._board.update(_node_view(state.nodes[name]))
        state.changed_nodes.clear()
        return ClusterView(nodes=self._board.nodes, now=now, random=self._random)

    def run(self, desk: Desk, now: float) -> None:
        """Place what can be placed; note why the rest cannot, and fail what never will be."""
        desk.plan_due = False
        state = desk.state
        if not desk.queue:
            self._blocked.clear()
            self._infeasible_since.clear()
            return
        view = self.view(state, now)
        plan = make_plan(view, self._groups(desk), self.scheduler, board=self._board)
        self._commit(desk, plan, now)
        for task_id, words in plan.broken.items():
            end_task(desk, state.tasks[task_id], TaskState.FAILED, Reason.PLUGIN_ERROR, None, words, now)
        self._note_blocked(desk, plan, now)

    def _groups(self, desk: Desk) -> list[Iterator[TaskView]]:
        """The waiting tasks of every line that a change may have helped since it was last tried."""
        state, queue = desk.state, desk.queue
        return [
            (_task_view(state, state.tasks[task_id]) for task_id in queue.waiting(line))
            for line in queue.lines()
            if self._blocked.get(line) != self._board.improved
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
        queue, board = desk.queue, self._board
        for task in plan.waiting:
            line = queue.line_of(task.id)
            if line is not None:
                self._blocked[line] = board.improved
        lines = queue.lines()
        self._blocked = {line: self._blocked[line] for line in lines if line in self._blocked}
        since: dict[Line, float] = {}
        for line in self._blocked:
            first = _task_view(desk.state, desk.state.tasks[next(queue.waiting(line))])
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

    def explain(self, desk: Desk, task: TaskRecord, now: float) -> Explanation:
        """Why a task is where it is, or why it is nowhere; nothing is changed."""
        state = desk.state
        entry = state.jobs[task.job_id]
        view = _task_view(state, task)
        live = task.live
        name = f"{entry.job.name}/{task.name}"
        node = task.attempts[-1].node if task.attempts else None
        code = "" if task.exit_code is None else f"exit code {task.exit_code}"
        detail = "; ".join(part for part in (str(task.reason or ""), code, task.message) if part)
        if task.state.terminal:
            return Explanation(task=name, state=str(task.state), node=node, detail=detail)
        if live is not None:
            return Explanation(
                task=name,
                state=str(task.state),
                node=node,
                costs=self._costs(desk, view, now),
                detail=live.message,
            )
        waits = self._waits_for(entry.unmet[task.position], task.id in entry.active)
        self.view(state, now)
        blocked = self._board.why_blocked(view)
        if not blocked.feasible and entry.job.wait_for_nodes:
            detail = "waits for a node that can hold it"
        fits = bool(self._board.feasible(view))
        return Explanation(
            task=name,
            state=str(task.state),
            costs=self._costs(desk, view, now) if fits and not waits else (),
            blocked=None if fits else blocked,
            detail=waits or detail,
        )

    @staticmethod
    def _waits_for(unmet: int, active: bool) -> str:
        if unmet:
            return f"waits for {unmet} task{'' if unmet == 1 else 's'} that it comes after"
        return "" if active else "waits for its turn under the job's parallelism"

    def _costs(self, desk: Desk, task: TaskView, now: float) -> tuple[tuple[str, float], ...]:
        view = self.view(desk.state, now)
        nodes = self._board.feasible(task)
        if not nodes:
            return ()
        asked = msgspec.structs.replace(view, random=copy.copy(self._random))
        try:
            scheduler = copy.deepcopy(self.scheduler)  # a question must not move a rotation on
            scheduler.begin(asked)
            costs = scheduler.score(task, nodes)
            rows = [(float(cost), node.index, node.name) for cost, node in zip(costs, nodes, strict=True)]
        except (Exception, SystemExit) as error:
            raise PluginError(blame(self.scheduler, task, error)) from error
        return tuple((name, cost) for cost, _, name in sorted(rows)[:_COSTS_SHOWN])


def check_feasible(job: Job, nodes: Mapping[str, NodeEntry]) -> None:
    """Refuse a job with a task that no present node could hold even when empty.

    Raises:
        UnschedulableError: naming the task and counting the nodes by what they lack.
    """
    if job.wait_for_nodes or not nodes:
        return
    empty = [_empty(entry.record.index, entry.record.node) for entry in nodes.values()]
    for index, task in enumerate(job.tasks):
        view = TaskView(id="", name=task.name, job_id="", job=job.name, task=task)
        if not any(could_ever_hold(view, node) for node in empty):
            blocked: Blocked = count_refusals(view, empty)
            raise UnschedulableError(
                f'$.tasks[{index}]: task "{task.name}" ({task.resources}) fits on no node, even if empty: '
                f"{'; '.join(str(refused) for refused in blocked.refused)}; "
                f"{_advice(blocked)}, add a node that can hold it, or set wait_for_nodes=True to wait for one"
            )


def _advice(blocked: Blocked) -> str:
    short = all(" short by " in refused.words for refused in blocked.refused)
    return "ask for less" if short else "change what it asks of its node"


def _empty(index: int, node: Node) -> NodeView:
    return NodeView(index=index, node=node)
