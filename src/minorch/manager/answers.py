"""Answers to people: why a task is where it is, or nowhere. Nothing that is asked here changes anything."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import msgspec

from minorch.errors import PluginError, UnschedulableError
from minorch.manager.desk import Desk
from minorch.manager.planning import Planner, task_view
from minorch.model import Job, Node
from minorch.scheduling import Blocked, Explanation, NodeView, TaskView
from minorch.scheduling.explain import count_refusals
from minorch.scheduling.filters import could_ever_hold
from minorch.scheduling.plan import blame
from minorch.state.records import TaskRecord
from minorch.state.tables import NodeEntry

__all__ = ["Answers", "check_feasible"]

_COSTS_SHOWN = 10


class Answers:
    """Answers questions about what a planner did, does and would do.

    Args:
        planner: whose strategy, nodes and randomness the answers are about.
    """

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

    def explain(self, desk: Desk, task: TaskRecord, now: float) -> Explanation:
        """Why a task is where it is, or why it is nowhere; nothing is changed."""
        state = desk.state
        entry = state.jobs[task.job_id]
        view = task_view(state, task)
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
        self._planner.view(state, now)
        blocked = self._planner.board.why_blocked(view)
        if not blocked.feasible and entry.job.wait_for_nodes:
            detail = "waits for a node that can hold it"
        fits = bool(self._planner.board.feasible(view))
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
        view = self._planner.view(desk.state, now)
        nodes = self._planner.board.feasible(task)
        if not nodes:
            return ()
        asked = msgspec.structs.replace(view, random=copy.copy(self._planner.random))
        try:
            scheduler = copy.deepcopy(self._planner.scheduler)  # a question must not move a rotation on
            scheduler.begin(asked)
            costs = scheduler.score(task, nodes)
            rows = [(float(cost), node.index, node.name) for cost, node in zip(costs, nodes, strict=True)]
        except (Exception, SystemExit) as error:
            raise PluginError(blame(self._planner.scheduler, task, error)) from error
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
