"""What must always hold between tables, waiting queue, planner and the conversations with workers.

For tests and the simulator, like :mod:`minorch.state.invariants`.
"""

from __future__ import annotations

import msgspec

from minorch.manager.desk import Desk
from minorch.manager.planning import Planner, node_view
from minorch.state.invariants import require
from minorch.state.records import TaskRecord
from minorch.state.tables import JobEntry
from minorch.states import TaskState

__all__ = ["check_desk", "check_planner"]


def check_desk(desk: Desk) -> None:
    """Check that every open task has somebody who will go on with it, and every worker what it should have.

    To be called after :meth:`~minorch.manager.Manager.settle`.

    Raises:
        InvariantError: something does not hold.
    """
    require(not desk.ended, "ends of tasks were not followed up")
    require(not desk.plan_due, "a plan is due and was not made")
    waiting = 0
    for entry in desk.state.jobs.values():
        waiting += _check_job(desk, entry)
    require(waiting == len(desk.queue), "tasks wait that are gone")
    _check_queue(desk)
    _check_sessions(desk)
    _check_drains(desk)


def _check_job(desk: Desk, entry: JobEntry) -> int:
    """Check a job's tasks, and return how many of them are queued."""
    name, most, backlog = entry.job.name, entry.job.parallelism, set(entry.backlog)
    require(len(entry.backlog) == len(backlog), f"job {name} has a task in its backlog twice")
    require(most is None or len(entry.active) <= most, f"job {name} has {len(entry.active)} at a time")
    room = most is None or len(entry.active) < most
    require(not backlog or not room, f"job {name} has a backlog and room for it")
    for position, ids in enumerate(entry.tasks):
        for task_id in ids:
            task = desk.state.tasks[task_id]
            unmet = task.state is TaskState.PENDING and entry.unmet[position] > 0
            in_backlog = (
                task_id in backlog and not task.state.terminal
            )  # what was stopped there is passed over
            _check_owner(desk, entry, task, in_backlog=in_backlog, unmet=unmet)
    return sum(task_id in desk.queue for task_id in entry.task_ids())


def _check_owner(desk: Desk, entry: JobEntry, task: TaskRecord, *, in_backlog: bool, unmet: bool) -> None:
    def story() -> str:
        return desk.state.story(task)

    queued, placed, delayed = task.id in desk.queue, task.live is not None, task.id in desk.delayed
    owners = [
        *(["the queue"] if queued else []),
        *(["the backlog"] if in_backlog else []),
        *(["what it comes after"] if unmet else []),
        *(["its worker"] if placed else []),
        *(["its wait"] if delayed else []),
    ]
    over = task.state.terminal
    require(len(owners) == (not over), f"owners of a task that is {task.state}: {owners}", story)
    require(delayed == (task.retry_at is not None), "waits and nobody knows, or the reverse", story)
    require(
        (task.id in entry.active) == (queued or placed or delayed),
        "counts wrongly against the parallelism",
        story,
    )
    require(over or entry.record.ending is None or task.ending is not None, "its job stops, not it", story)


def _check_queue(desk: Desk) -> None:
    for line in desk.queue.lines():
        orders = [desk.state.tasks[task_id].order for task_id in desk.queue.waiting(line)]
        require(orders == sorted(orders), "tasks of one line wait out of turn")


def _check_sessions(desk: Desk) -> None:
    wanted = {
        (task.attempts[-1].node, task.id): task.attempt
        for task in desk.state.tasks.values()
        if task.attempts and not task.released
    }
    held = {
        (name, task_id): attempt
        for name, session in desk.sessions.items()
        for task_id, attempt in session.held.items()
    }
    require(held == wanted, f"workers should have {wanted}, and are told to have {held}")
    for name, session in desk.sessions.items():
        require(name == session.worker, f"the session of {session.worker} is filed as {name}")
        require(set(session.changed) <= set(session.held), f"{name} is to be told of what it should not have")


def _check_drains(desk: Desk) -> None:
    under_way = []
    for name, entry in desk.state.nodes.items():
        drain = entry.record.drain
        if drain is None:
            continue
        require(entry.record.cordoned, f"{name} is drained and takes tasks")
        require(not drain.done or not entry.live, f"{name} is drained and holds {list(entry.live)}")
        if not drain.done:
            under_way.append(name)
            there = {task_id for task_id in entry.live if desk.state.tasks[task_id].moving}
            require(there <= set(drain.moving), f"{name} does not count all that leave it: {there}")
    require(sorted(desk.draining) == sorted(under_way), f"of {under_way}, {list(desk.draining)} are drained")
    require(not desk.drained, "ends of drains were not told")


def check_planner(desk: Desk, planner: Planner) -> None:
    """Check that the planner sees the nodes as the tables have them, and forgets none that waits.

    To be called after :meth:`~minorch.manager.Manager.settle`.

    Raises:
        InvariantError: something does not hold.
    """
    state, board = desk.state, planner.board
    for name, entry in state.nodes.items():
        if name in state.changed_nodes:
            continue
        require(entry.record.index < len(board.nodes), f"node {name} is not on the board")
        seen = msgspec.structs.asdict(board.nodes[entry.record.index])
        meant = msgspec.structs.asdict(node_view(entry, planner.holds.task_on(name)))
        wrong = [field for field in meant if seen[field] != meant[field]]
        require(not wrong, f"the board has node {name} with other {', '.join(wrong)} than the tables: {seen}")
    kept = {hold.task_id: hold.node for hold in planner.holds}
    require(len(kept) == len(planner.holds), "two rooms are kept for one task")
    require(len(set(kept.values())) == len(kept), "a room is kept for two tasks")
    for task_id, node in kept.items():
        require(task_id in desk.queue, f"node {node} is kept for {task_id}, which does not wait")
        require(planner.holds.node_for(task_id) == node, f"node {node} is kept for {task_id} by halves")
        require(planner.holds.task_on(node) == task_id, f"node {node} is kept for {task_id} by halves")
    for line in desk.queue.lines():
        tried = line in planner.blocked or all(task_id in kept for task_id in desk.queue.waiting(line))
        require(tried, f"nobody tries to place what waits in line {line}")
