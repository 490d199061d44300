"""What must always hold of the cluster's state, checked the slow way: by counting everything again.

Tests and the simulator call these after every step; nothing else does.  What needs the waiting queue or
the conversations with workers is in :mod:`minorch.manager.invariants`.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Collection, Iterable, Mapping

from minorch.contracts import Change
from minorch.errors import InvariantError
from minorch.resources import Resources
from minorch.state.records import ATTEMPTS_KEPT, AttemptRecord, Record, TaskRecord, dump
from minorch.state.tables import ClusterState, JobEntry, NodeEntry
from minorch.states import AttemptState, TaskState

__all__ = ["check_changed", "check_invariants", "check_stored", "require"]

_ATTEMPT_OF: Mapping[TaskState, tuple[AttemptState, ...]] = {
    TaskState.SCHEDULED: (AttemptState.SCHEDULED, AttemptState.PREPARING),
    TaskState.RUNNING: (AttemptState.RUNNING,),
    TaskState.COMPLETED: (AttemptState.COMPLETED,),
}
"""Which states the latest attempt of a task in this state can be in; others depend on the task's past."""


def require(holds: bool, words: str, story: Callable[[], str] = str) -> None:
    """Raise :class:`~minorch.errors.InvariantError`, with *words* and the *story*, unless it *holds*."""
    if not holds:
        raise InvariantError(f"{words}\n{story()}".rstrip())


def check_invariants(state: ClusterState, *, shrunk: Collection[str] = ()) -> None:
    """Check the tables, every count and every index over them.

    Args:
        state: what is checked, between two turns of the manager.
        shrunk: nodes that once said to have less than before, and so may hold more than they have.

    Raises:
        InvariantError: something does not hold; the message has the story of the task that it is about.
    """
    by_job: dict[str, list[TaskRecord]] = {job_id: [] for job_id in state.jobs}
    by_node: dict[str, list[TaskRecord]] = {name: [] for name in state.nodes}
    for task_id, task in state.tasks.items():
        story = _story_of(state, task)
        require(task_id == task.id, f"task {task.id} is filed as {task_id}", story)
        require(task.job_id in by_job, f"task {task.id} has no job")
        by_job[task.job_id].append(task)
        _check_task(task, story)
        if task.live is not None:
            require(task.live.node in by_node, f"the attempt is on unknown node {task.live.node}", story)
            by_node[task.live.node].append(task)
    for job_id, entry in state.jobs.items():
        require(job_id == entry.record.id, f"job {entry.record.id} is filed as {job_id}")
        _check_job(state, entry, by_job[job_id])
    for name, node in state.nodes.items():
        require(name == node.record.node.name, f"node {node.record.node.name} is filed as {name}")
        _check_node(state, node, by_node[name], shrunk=name in shrunk)
    _check_names(state)
    _check_events(state)


def check_changed(state: ClusterState, changes: Iterable[Change], *, shrunk: Collection[str] = ()) -> None:
    """Check the rows that changed, and the jobs and nodes that they belong to: as much as a turn can spoil.

    Args:
        state: what is checked, between two turns of the manager.
        changes: what it wrote in the last one.
        shrunk: as for :func:`check_invariants`.

    Raises:
        InvariantError: something does not hold; the message has the story of the task that it is about.
    """
    jobs: dict[str, None] = {}
    nodes: dict[str, None] = {}
    for table, key, _ in changes:
        if table == "job" and key in state.jobs:
            jobs[key] = None
        elif table == "node":
            nodes[key] = None
        elif table == "task" and key in state.tasks:
            task = state.tasks[key]
            story = _story_of(state, task)
            _check_task(task, story)
            jobs[task.job_id] = None
            for attempt in task.attempts[-2:]:
                nodes[attempt.node] = None
            if task.live is not None:
                require(task.id in state.nodes[task.live.node].live, "its node does not know of it", story)
    for job_id in jobs:
        entry = state.jobs[job_id]
        _check_job(state, entry, [state.tasks[task_id] for task_id in entry.task_ids()])
    for name in nodes:
        node = state.nodes[name]
        _check_node(state, node, [state.tasks[task_id] for task_id in node.live], shrunk=name in shrunk)


def _story_of(state: ClusterState, task: TaskRecord) -> Callable[[], str]:
    return lambda: state.story(task)


def _check_task(task: TaskRecord, story: Callable[[], str]) -> None:
    state, current = task.state, task.current
    require(state.terminal == (task.finished_at is not None), "over without an end, or the reverse", story)
    require(state.terminal == (task.reason is not None), "over without a reason, or the reverse", story)
    numbers = [attempt.number for attempt in task.attempts]
    first = max(1, task.attempt - ATTEMPTS_KEPT + 1)
    require(numbers == list(range(first, task.attempt + 1)), f"attempts are numbered {numbers}", story)
    for attempt in task.attempts:
        _check_attempt(attempt, story)
    require(all(attempt.state.terminal for attempt in task.attempts[:-1]), "two live attempts", story)
    if state in (TaskState.SCHEDULED, TaskState.RUNNING):
        require(task.live is not None, f"{state} without a live attempt", story)
    else:
        require(task.live is None, f"{state} with a live attempt", story)
    if state in _ATTEMPT_OF:
        fits = current is not None and current.state in _ATTEMPT_OF[state]
        require(fits, f"{state}, but not its attempt", story)
    if state is TaskState.PENDING:
        require(task.ending is None, "waits although it was asked to stop", story)
        require(not task.moving, "waits although it is still to be moved", story)
    if state is TaskState.COMPLETED:
        require(task.exit_code == 0, f"COMPLETED with exit code {task.exit_code}", story)
    require(not task.released or state.terminal, "released before it is over", story)
    require(task.lost <= task.attempt, f"{task.lost} of {task.attempt} attempts lost", story)


def _check_attempt(attempt: AttemptRecord, story: Callable[[], str]) -> None:
    words = f"attempt {attempt.number}"
    over = attempt.state.terminal
    require(not over or attempt.finished_at is not None, f"{words} is over without an end", story)
    require(not over or attempt.reason is not None, f"{words} is over without a reason", story)
    running = attempt.state is AttemptState.RUNNING
    require(not running or attempt.run > 0, f"{words} is RUNNING and no run began", story)


def _check_job(state: ClusterState, entry: JobEntry, tasks: list[TaskRecord]) -> None:
    record, name = entry.record, entry.job.name
    require([task.id for task in tasks] == list(entry.task_ids()), f"job {name} has lost count of its tasks")
    for position, ids in enumerate(entry.tasks):
        found = [task.id for task in tasks if task.position == position]
        require(ids == found, f"task {position} of job {name} has lost count of its instances")
    states = collections.Counter(task.state for task in tasks)
    unfinished = sum(count for task_state, count in states.items() if not task_state.terminal)
    require(entry.open == unfinished, f"job {name} counts {entry.open} open tasks, not {unfinished}")
    failed, stopped = states[TaskState.FAILED], states[TaskState.STOPPED]
    require(entry.failed == failed, f"job {name} counts {entry.failed} failed tasks, not {failed}")
    require(entry.stopped == stopped, f"job {name} counts {entry.stopped} stopped tasks, not {stopped}")
    require(entry.unmet == _unmet(state, entry), f"job {name} counts {entry.unmet} dependencies as unmet")
    over = record.state.terminal
    require(over == (not unfinished), f"job {name} is {record.state} with {unfinished} open tasks")
    require(over == (record.finished_at is not None), f"job {name} is over without an end, or the reverse")
    used, most = record.retries_used, entry.job.retries
    require(used <= most, f"job {name} used {used} retries of {most}")


def _unmet(state: ClusterState, entry: JobEntry) -> list[int]:
    left = {
        task.name: sum(state.tasks[i].state is not TaskState.COMPLETED for i in entry.tasks[at])
        for at, task in enumerate(entry.job.tasks)
    }
    return [sum(left[name] for name in dict.fromkeys(task.after)) for task in entry.job.tasks]


def _check_node(state: ClusterState, entry: NodeEntry, tasks: list[TaskRecord], *, shrunk: bool) -> None:
    name, capacity = entry.record.node.name, entry.record.node.capacity
    reserved = Resources()
    ports: collections.Counter[tuple[int, str]] = collections.Counter()
    for task in tasks:
        spec = state.spec(task)
        reserved = reserved + spec.resources
        ports.update((port.host, port.protocol) for port in spec.ports if port.host is not None)
    require(set(entry.live) == {task.id for task in tasks}, f"node {name} has lost count of its tasks")
    require(entry.reserved == reserved, f"node {name} has {entry.reserved} reserved, not {reserved}")
    by_job = collections.Counter(task.job_id for task in tasks)
    require(entry.job_tasks == by_job, f"node {name} counts tasks by job as {entry.job_tasks}")
    require(
        entry.host_ports == set(ports), f"node {name} promises ports {entry.host_ports}, not {set(ports)}"
    )
    if not shrunk:
        require(reserved.fits(capacity), f"node {name} of {capacity} has {reserved} reserved")
        most = entry.record.node.max_tasks
        require(len(tasks) <= most, f"node {name} holds {len(tasks)} tasks of {most}")
    require(all(count == 1 for count in ports.values()), f"node {name} promises a port twice: {ports}")


def _check_names(state: ClusterState) -> None:
    open_tasks = sum(not task.state.terminal for task in state.tasks.values())
    require(state.open_tasks == open_tasks, f"{state.open_tasks} tasks are counted open, not {open_tasks}")
    latest: dict[str, str] = {}
    for job_id, entry in state.jobs.items():
        latest[entry.job.name] = job_id
    require(state.job_ids == latest, "the names of jobs do not lead to the latest ones")
    open_names = [entry.job.name for entry in state.jobs.values() if not entry.record.state.terminal]
    require(len(set(open_names)) == len(open_names), "two jobs of one name are not over")
    orders = [task.order for task in state.tasks.values()]
    require(orders == sorted(set(orders)), "the tasks are out of order")
    indices = [node.record.index for node in state.nodes.values()]
    require(indices == list(range(state.meta.next_node)), f"the nodes are numbered {indices}")
    require(set(state.task_stats) <= set(state.tasks), "there are figures of tasks that are gone")


def _check_events(state: ClusterState) -> None:
    numbers = [event.number for event in state.events.since(0)]
    first = state.meta.next_event - len(numbers)
    require(
        numbers == list(range(first, state.meta.next_event)), "event numbers have gaps, or are used twice"
    )


def check_stored(
    state: ClusterState,
    rows: Iterable[Change],
    *,
    most_events: int,
    now: float,
    shrunk: Collection[str] = (),
) -> None:
    """Check that *rows*, which were committed, read back as just this *state*.

    Raises:
        InvariantError: a row is missing, left over or out of date.
    """
    fresh = ClusterState.read(rows, most_events=most_events, now=now)
    if fresh is None:
        raise InvariantError("nothing was committed")
    check_invariants(fresh, shrunk=shrunk)
    for (table, held), stored in zip(_tables(state).items(), _tables(fresh).values(), strict=True):
        require(list(stored) == list(held), f"the store has other rows of table {table}, or in another order")
        for key, record in held.items():
            row = stored[key]
            if dump(row) != dump(record) and row != record:  # a default may be written out or left out
                raise InvariantError(f"row {key} of {table}: stored is {row!r}, meant is {record!r}")
    require(fresh.events.since(0) == state.events.since(0), "the store has other events than the memory")


def _tables(state: ClusterState) -> dict[str, dict[str, Record]]:
    return {
        "meta": {"meta": state.meta},
        "job": {job_id: entry.record for job_id, entry in state.jobs.items()},
        "spec": {job_id: entry.job for job_id, entry in state.jobs.items()},
        "task": dict(state.tasks),
        "node": {name: entry.record for name, entry in state.nodes.items()},
    }
