"""Answers to people: why a task is where it is, or nowhere, and what would be if. Nothing changes by asking.

The strategy, the source of randomness and the nodes are copied for each question (``Planner.twin``), so that
an answer is what the very same code would decide, and no rotation moves on because somebody was curious.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence

import msgspec

from minorch.errors import PluginError, UnschedulableError, UsageError
from minorch.manager.config import ManagerConfig
from minorch.manager.desk import Desk
from minorch.manager.lifecycle import admit
from minorch.manager.planning import Planner, task_view
from minorch.model import Job, Node
from minorch.scheduling import Blocked, Choice, Explanation, JobPlan, NodeView, Plan, Rebalance, TaskView
from minorch.scheduling.explain import count_refusals, rank_choices
from minorch.scheduling.filters import could_ever_hold
from minorch.scheduling.job_plan import (
    PlannedPlacement,
    PlannedPreemption,
    PlannedWait,
    changes_between,
)
from minorch.scheduling.plan import blame
from minorch.scheduling.rebalance import Placed, propose_moves
from minorch.state.records import TaskRecord
from minorch.state.tables import ClusterState, JobEntry, NodeEntry

__all__ = ["Answers", "check_count", "check_feasible"]

_ANY = "any"
"""The shape of a task that is not looked up by its shape."""
_MOST_RECENT = 16
_MOST_REFUSALS = 100_000
"""How many nodes are asked, at most, why they refuse the tasks of one job."""


class Answers:
    """Answers questions about what a planner did, does and would do.

    Args:
        planner: whose strategy, nodes and randomness the answers are about.
    """

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

    # -- why a task is where it is ------------------------------------------------------------

    def explain(self, desk: Desk, task: TaskRecord, now: float) -> Explanation:
        """Why a task is where it is, or why it is nowhere.

        Raises:
            PluginError: the strategy, or a filter of one's own, failed when it was asked.
        """
        state = desk.state
        entry = state.jobs[task.job_id]
        live = task.live
        code = "" if task.exit_code is None else f"exit code {task.exit_code}"
        detail = "; ".join(part for part in (str(task.reason or ""), code, task.message) if part)
        told = Explanation(
            task=f"{entry.job.name}/{task.name}",
            state=str(task.state),
            node=task.attempts[-1].node if task.attempts else None,
            detail=detail if live is None else live.message,
        )
        if task.state.terminal:
            return told
        twin = self._planner.twin(state, now)
        view, board = twin.task_view(state, task), twin.board
        if live is not None:
            here = board.named(live.node)
            board.update(here.without_task(view))
        blocked = board.why_blocked(view)
        fitting = len(board.nodes) - sum(refused.nodes for refused in blocked.refused)
        choices = self._choices(twin, view, state, now, None if live is None else live.node)
        told = msgspec.structs.replace(told, fitting=fitting, refused=blocked.refused, choices=choices)
        if live is not None:
            return told
        waits = waits_for(entry, task)
        if waits:
            told = msgspec.structs.replace(told, detail=waits)
        if fitting:
            return told
        return msgspec.structs.replace(
            told, blocked=blocked, outlook=_outlook(blocked, entry.job, desk.config)
        )

    @staticmethod
    def _choices(
        twin: Planner, view: TaskView, state: ClusterState, now: float, here: str | None
    ) -> Sequence[Choice]:
        nodes = twin.board.feasible(view)
        if not nodes:
            return ()
        try:
            twin.scheduler.begin(twin.view(state, now))
            return rank_choices(twin.scheduler, view, nodes, here)
        except (Exception, SystemExit) as error:
            raise PluginError(blame(twin.scheduler, view, error)) from error

    # -- what would become of a job -----------------------------------------------------------

    def plan(self, desk: Desk, job: Job, now: float) -> JobPlan:
        """What would be placed where if *job* were submitted now, after all that waits already.

        A job of that name that is not over is taken to be gone.

        Raises:
            PluginError: the strategy cannot be copied, or a filter of one's own failed.
        """
        state = desk.state
        other = state.jobs.get(state.job_ids.get(job.name, ""))
        if other is not None and other.record.state.terminal:
            other = None
        changes = None if other is None else changes_between(other.job, job, str(other.record.state))
        rehearsal = Desk(state.rehearsal(other), desk.config)
        try:
            check_count(job, rehearsal.state.open_tasks, desk.config)
        except UsageError as error:
            return JobPlan(job=job.name, refused=str(error), changes=changes)
        try:
            refused = ""
            check_feasible(job, state.nodes)
        except UnschedulableError as error:
            refused = str(error)
        rehearsal.queue = desk.queue.copy()
        for task_id in () if other is None else other.task_ids():
            rehearsal.queue.remove(task_id)
        twin = self._planner.twin(state, now)
        numbers = itertools.count(1)
        entry = admit(rehearsal, job, ids=lambda: f"planned-{next(numbers)}", now=now)
        plan = twin.plan(rehearsal, now)
        own = [placement for placement in plan.placements if placement.task.job_id == entry.record.id]
        return JobPlan(
            job=job.name,
            placements=[PlannedPlacement(task=p.task.name, node=p.node, cost=p.cost) for p in own],
            waiting=_waits(rehearsal.state, twin, entry, plan),
            preempted=[
                PlannedPreemption(
                    task=preemption.task.name,
                    node=preemption.node,
                    moved=[f"{victim.task.job}/{victim.task.name}" for victim in preemption.victims],
                )
                for preemption in plan.preemptions
                if preemption.task.job_id == entry.record.id
            ],
            before=len(plan.placements) - len(own),
            refused=refused,
            changes=changes,
        )

    # -- what would be better off elsewhere ---------------------------------------------------

    def rebalance(self, desk: Desk, now: float, max_moves: int) -> Callable[[], Rebalance]:
        """Prepare the question what would be better off elsewhere, and return what answers it, once.

        Everything that the answer depends on is copied, so that it can be worked out at leisure.

        Raises:
            PluginError: the strategy cannot be copied.
        """
        state = desk.state
        twin = self._planner.twin(state, now)
        placed = [
            Placed(task_view(state, task), entry.record.index)
            for entry in state.nodes.values()
            if entry.ready
            for task in (state.tasks[task_id] for task_id in entry.live)
            if task.ending is None and not task.moving
        ]
        return functools.partial(
            propose_moves,
            twin.view(state, now),
            twin.board,
            placed,
            twin.scheduler,
            max_moves=max_moves,
            waiting=len(desk.queue),
        )


# -- why not ----------------------------------------------------------------------------------


def waits_for(entry: JobEntry, task: TaskRecord) -> str:
    """What a waiting task waits for that is not room, in words; empty: nothing else."""
    if task.retry_at is not None:
        return f"waits before it is tried again: {task.message}"
    unmet = entry.unmet[task.position]
    if unmet:
        return f"waits for {unmet} task{'' if unmet == 1 else 's'} that it comes after"
    if task.id not in entry.active:
        return "waits for its turn under the job's parallelism"
    if entry.job.gang and entry.open > 1:
        return f"is placed together with all {entry.open} tasks of its job, or not at all"
    return ""


def _outlook(blocked: Blocked, job: Job, config: ManagerConfig) -> str:
    if blocked.feasible or not blocked.refused:
        return "it waits until there is room"
    end = (
        "it waits for one that can"
        if job.wait_for_nodes
        else f"it fails as unschedulable when that was so for {config.unschedulable_after_s:g} s"
    )
    return f"no node could hold it even when empty; {end}"


def _waits(state: ClusterState, twin: Planner, entry: JobEntry, plan: Plan) -> Sequence[PlannedWait]:
    """Why those tasks of a job that are not placed are not, those of one task with one reason together."""
    placed = {placement.task.id for placement in plan.placements}
    reasons = _Reasons(state, twin, entry, plan)
    waits: dict[tuple[int, str], tuple[list[str], PlannedWait]] = {}
    for task_id in entry.task_ids():
        if task_id in placed:
            continue
        task = state.tasks[task_id]
        wait = reasons.of(task)
        names, _ = waits.setdefault((task.position, wait.why), ([], wait))
        names.append(task.name)
    return [
        PlannedWait(tasks=names, why=wait.why, blocked=wait.blocked, fails=wait.fails)
        for names, wait in waits.values()
    ]


class _Reasons:
    """Why tasks of one job are not placed by a plan; nodes are asked once for each of the job's tasks."""

    def __init__(self, state: ClusterState, twin: Planner, entry: JobEntry, plan: Plan) -> None:
        self._state = state
        self._twin = twin
        self._entry = entry
        self._plan = plan
        self._room: dict[int, PlannedWait] = {}
        self._gangs = {task.job_id: task.gang for task in plan.waiting if task.gang}

    def of(self, task: TaskRecord) -> PlannedWait:
        """Why one of its tasks is not placed."""
        broken = self._plan.broken.get(task.id)
        if broken is not None:
            return PlannedWait(tasks=(), why=broken, fails=True)
        waits = waits_for(self._entry, task)
        fit = self._gangs.get(task.job_id)
        if waits:
            return PlannedWait(tasks=(), why=f"{waits}; {fit} would fit" if fit else waits)
        found = self._room.get(task.position)
        if found is None:
            found = self._room[task.position] = self._no_room(task)
        return found

    def _no_room(self, task: TaskRecord) -> PlannedWait:
        board = self._plan.board
        if len(self._room) * len(board.nodes) > _MOST_REFUSALS:
            return PlannedWait(tasks=(), why="fits nowhere")
        blocked = board.why_blocked(self._twin.task_view(self._state, task))
        if sum(refused.nodes for refused in blocked.refused) < len(board.nodes):
            return PlannedWait(tasks=(), why="fitted nowhere when its turn came")
        return PlannedWait(tasks=(), why=str(blocked), blocked=blocked)


# -- what is refused at once ------------------------------------------------------------------


def check_count(job: Job, open_tasks: int, config: ManagerConfig) -> None:
    """Refuse a job of more tasks than are accepted.

    Raises:
        UsageError: with how many there would be.
    """
    count = sum(task.completions if job.kind == "batch" else task.replicas for task in job.tasks)
    if open_tasks + count > config.max_open_tasks:
        raise UsageError(
            f"{count:,} more tasks would make {open_tasks + count:,} unfinished ones; "
            f"at most {config.max_open_tasks:,} are accepted"
        )


def check_feasible(job: Job, nodes: Mapping[str, NodeEntry], recent: dict[str, None] | None = None) -> None:
    """Refuse a job with a task that no present node could hold even when empty.

    Args:
        job: the job.
        nodes: the nodes.
        recent: names of nodes that could hold tasks lately, which are asked first, as what holds one task
            mostly holds the next; brought up to date.

    Raises:
        UnschedulableError: naming the task and counting the nodes by what they lack.
    """
    if job.wait_for_nodes or not nodes:
        return
    recent = {} if recent is None else recent
    for index, task in enumerate(job.tasks):
        view = TaskView(id="", name=task.name, job_id="", job=job.name, task=task, shape=_ANY)
        asked = itertools.chain(reversed(recent), nodes)
        empty = (_empty(nodes[name].record.index, nodes[name].record.node) for name in asked if name in nodes)
        able = next((node for node in empty if could_ever_hold(view, node)), None)
        if able is not None:
            recent.pop(able.name, None)
            recent[able.name] = None
            if len(recent) > _MOST_RECENT:
                del recent[next(iter(recent))]
        else:
            every = [_empty(entry.record.index, entry.record.node) for entry in nodes.values()]
            blocked: Blocked = count_refusals(view, every)
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
