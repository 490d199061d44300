"""From waiting tasks to placements: the manager's side of scheduling.

The scheduler proposes on frozen views; what it proposes is checked again here against the tables
before an attempt begins.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from minorch.errors import PluginError, UnschedulableError
from minorch.manager.desk import Desk
from minorch.manager.lifecycle import end_task, place
from minorch.model import Job, Node
from minorch.scheduling import (
    Blocked,
    ClusterView,
    Explanation,
    NodeView,
    Plan,
    Scheduler,
    TaskView,
    make_plan,
)
from minorch.scheduling.explain import count_refusals
from minorch.scheduling.filters import could_ever_hold, refusal
from minorch.scheduling.plan import blame
from minorch.state.records import TaskRecord
from minorch.state.tables import ClusterState, NodeEntry, Shape
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
        avoid=frozenset(
            attempt.node
            for attempt in task.attempts
            if attempt.state is AttemptState.FAILED and attempt.reason is not Reason.NODE_LOST
        ),
    )


class Planner:
    """Keeps the views of the nodes up to date and has the scheduler place what waits.

    Args:
        scheduler: the strategy, which serves this planner alone.
        random: the only randomness that it gets.
    """

    def __init__(self, scheduler: Scheduler, random: Random) -> None:
        self.scheduler = scheduler
        self._random = random
        self._views: list[NodeView] = []

    def view(self, state: ClusterState, now: float) -> ClusterView:
        """The nodes as they stand; views of nodes that did not change are kept."""
        for name in state.changed_nodes:
            view = _node_view(state.nodes[name])
            if view.index < len(self._views):
                self._views[view.index] = view
            else:
                self._views.append(view)
        state.changed_nodes.clear()
        return ClusterView(nodes=self._views, now=now, random=self._random)

    def run(self, desk: Desk, now: float) -> None:
        """Place what can be placed; note why the rest cannot, and fail what never will be."""
        desk.plan_due = False
        state = desk.state
        if not desk.queue:
            desk.blocked.clear()
            desk.infeasible_since.clear()
            return
        plan = make_plan(self.view(state, now), self._groups(desk), self.scheduler)
        for placement in plan.placements:
            task = state.tasks[placement.task.id]
            node = state.nodes[placement.node]
            if refusal(placement.task, _node_view(node)) is not None:
                continue  # it waits for the next plan, which sees the tables as they are then
            place(desk, task, placement.node, now)
        for task_id, words in plan.broken.items():
            end_task(desk, state.tasks[task_id], TaskState.FAILED, Reason.PLUGIN_ERROR, None, words, now)
        self._note_blocked(desk, plan, now)

    def _groups(self, desk: Desk) -> list[Iterator[TaskView]]:
        state = desk.state
        return [(_task_view(state, state.tasks[i]) for i in ids) for ids in desk.queue.groups()]

    def _note_blocked(self, desk: Desk, plan: Plan, now: float) -> None:
        desk.blocked = {_shape(desk, task_id): blocked for task_id, blocked in plan.blocked.items()}
        since = {
            shape: desk.infeasible_since.get(shape, now)
            for shape, blocked in desk.blocked.items()
            if blocked.refused and not blocked.feasible and not shape[0]
        }
        for shape, start in since.items():
            due = start + desk.config.unschedulable_after_s
            if due <= now:
                self._fail_shape(desk, shape, now)
            elif shape not in desk.infeasible_since:
                desk.timers.add(due, "plan")
        desk.infeasible_since = since

    def _fail_shape(self, desk: Desk, shape: Shape, now: float) -> None:
        words = str(desk.blocked[shape])
        for task_id in desk.queue.waiting(shape):
            end_task(
                desk, desk.state.tasks[task_id], TaskState.FAILED, Reason.UNSCHEDULABLE, None, words, now
            )

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
        blocked = count_refusals(view, self.view(state, now).nodes)
        if not blocked.feasible and entry.job.wait_for_nodes:
            detail = "waits for a node that can hold it"
        fits = any(refusal(view, other) is None for other in self._views)
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
        nodes = [node for node in self.view(desk.state, now).nodes if refusal(task, node) is None]
        if not nodes:
            return ()
        asked = ClusterView(nodes=self._views, now=now, random=copy.copy(self._random))
        try:
            scheduler = copy.deepcopy(self.scheduler)  # a question must not move a rotation on
            scheduler.begin(asked)
            candidates = scheduler.candidates(task, nodes)
            costs = scheduler.score(task, candidates)
            rows = [
                (float(cost), node.index, node.name) for cost, node in zip(costs, candidates, strict=True)
            ]
        except (Exception, SystemExit) as error:
            raise PluginError(blame(self.scheduler, task, error)) from error
        return tuple((name, cost) for cost, _, name in sorted(rows)[:_COSTS_SHOWN])


def _shape(desk: Desk, task_id: str) -> Shape:
    task = desk.state.tasks[task_id]
    return desk.state.jobs[task.job_id].shapes[task.position]


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
