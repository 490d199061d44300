"""What happens to jobs and tasks: admitted, made ready, placed, ended, tried again, stopped. All the policy.

Functions here change the tables through :class:`~minorch.state.tables.ClusterState` and say what must
be told to workers; they never look at messages.  What one task's end means for others is worked off
in :func:`follow_up`, so that a long chain of dependencies is a loop and not a recursion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from minorch.decisions.restart import has_end, wait_s
from minorch.manager.desk import Desk, Ended
from minorch.model import Job, RestartPolicy
from minorch.state.records import AttemptRecord, JobRecord, TaskRecord
from minorch.state.tables import JobEntry
from minorch.states import AttemptState, JobState, Reason, TaskState

__all__ = [
    "admit",
    "attempt_began",
    "end_attempt",
    "end_task",
    "follow_up",
    "is_ready",
    "lose_attempt",
    "move_away",
    "place",
    "resume",
    "retry",
    "stop_job",
    "stop_task",
]

_ENDINGS: Final = {
    Reason.STOPPED: (TaskState.STOPPED, "stopped as asked"),
    Reason.DEADLINE: (TaskState.FAILED, "its job's deadline passed"),
    Reason.JOB_FAILED: (TaskState.STOPPED, "another task of its job failed"),
}


def admit(desk: Desk, job: Job, *, ids: Callable[[], str], now: float) -> JobEntry:
    """Take in a job with all its instances; those that wait for nothing are queued."""
    state = desk.state
    record = JobRecord(id=ids(), number=state.meta.next_job, submitted_at=now)
    state.meta.next_job += 1
    entry = state.add_job(record, job)
    positions = {id(task): at for at, task in enumerate(job.tasks)}
    for instance in job.instances():
        state.add_task(
            entry,
            TaskRecord(
                id=ids(),
                job_id=record.id,
                name=instance.name,
                position=positions[id(instance.task)],
                number=instance.number or 0,
                order=state.meta.next_order,
                submitted_at=now,
            ),
        )
        state.meta.next_order += 1
    state.count_dependencies(entry)
    state.log("job_submitted", now, job=entry, detail=f"{entry.open} tasks")
    if job.deadline_s is not None:
        desk.timers.add(now + job.deadline_s, "deadline", record.id)
    _make_ready(desk, entry)
    _finish_job_if_over(desk, entry, now)  # a service of no replicas is over at once
    return entry


def resume(desk: Desk, now: float) -> None:
    """Rebuild everything that follows from the tables after they were read from a store."""
    finished: list[tuple[float, int, JobEntry]] = []
    for entry in desk.state.jobs.values():
        record = entry.record
        if record.state.terminal:
            finished.append((record.finished_at or now, record.number, entry))
            continue
        if entry.job.deadline_s is not None:
            desk.timers.add(record.submitted_at + entry.job.deadline_s, "deadline", record.id)
        for task_id in entry.task_ids():
            task = desk.state.tasks[task_id]
            if task.live is not None:
                entry.active.add(task_id)
                if task.live.hung_since is not None:
                    desk.timers.add(now + desk.config.engine_patience_s, "engine", task.live.node)
            elif task.retry_at is not None:
                entry.active.add(task_id)
                _delay(desk, task, task.retry_at)
        _make_ready(desk, entry)
    for at, _, entry in sorted(finished, key=lambda row: row[:2]):
        _remember_job(desk, entry, at)
    held = [task for task in desk.state.tasks.values() if task.attempts and not task.released]
    for task in held:
        desk.session(task.attempts[-1].node).held[task.id] = task.attempt
    for task in sorted((t for t in held if t.state.terminal), key=lambda t: (t.finished_at or now, t.order)):
        desk.finished_runs.append((task.finished_at or now, task.id))


# -- waiting ----------------------------------------------------------------------------------


def _make_ready(desk: Desk, entry: JobEntry, position: int | None = None) -> None:
    """Queue, or put in the backlog, the pending instances of one task, or of all that wait for nothing."""
    positions = range(len(entry.tasks)) if position is None else (position,)
    for at in positions:
        if entry.unmet[at]:
            continue
        for task_id in entry.tasks[at]:
            task = desk.state.tasks[task_id]
            if task.state is TaskState.PENDING and task_id not in entry.active:
                entry.backlog.append(task_id)
    _pull_backlog(desk, entry)


def _pull_backlog(desk: Desk, entry: JobEntry) -> None:
    """Queue as many instances as the job's parallelism allows."""
    most = entry.job.parallelism
    while entry.backlog and (most is None or len(entry.active) < most):
        task = desk.state.tasks[entry.backlog.popleft()]
        if task.state is TaskState.PENDING:
            entry.active.add(task.id)
            _queue(desk, entry, task)


def _queue(desk: Desk, entry: JobEntry, task: TaskRecord) -> None:
    desk.queue.add(task.id, task.order, entry.lines[task.position])
    desk.plan_due = True


# -- attempts ---------------------------------------------------------------------------------


def place(desk: Desk, task: TaskRecord, node: str, now: float) -> None:
    """Begin an attempt of a waiting task on a node; what is left of an earlier one is released."""
    before = task.current
    if before is not None and not task.released:
        desk.release(before.node, task.id, before.number)
    desk.queue.remove(task.id)
    desk.state.add_attempt(task, node, now)
    desk.state.move_task(task, TaskState.SCHEDULED, now)
    task.message = ""
    desk.state.log("task_scheduled", now, task=task, node=node)
    desk.tell(node, task)


def attempt_began(desk: Desk, task: TaskRecord, now: float) -> None:
    """The attempt runs: so does its task, and its job."""
    if task.state is TaskState.SCHEDULED:
        desk.state.move_task(task, TaskState.RUNNING, now)
        desk.state.log("task_running", now, task=task, node=task.attempts[-1].node)
    entry = desk.state.jobs[task.job_id]
    desk.changed_jobs[task.job_id] = None
    if entry.record.state is JobState.PENDING:
        desk.state.move_job(entry, JobState.RUNNING, now)


def is_ready(task: TaskRecord, entry: JobEntry) -> bool:
    """Whether a task runs, and is healthy where it has a check, or is over."""
    if task.state is not TaskState.RUNNING:
        return task.state.terminal
    if task.attempts[-1].finished_at is not None:
        return False  # its run has ended; it waits for the next one
    checked = entry.job.tasks[task.position].health is not None
    return task.attempts[-1].healthy is True or not checked


def end_attempt(desk: Desk, task: TaskRecord, state: AttemptState, now: float) -> None:
    """The attempt is over, as its record tells: decide whether its task is too."""
    attempt = task.attempts[-1]
    desk.state.move_attempt(task, state, now)
    desk.plan_due = True
    match state:
        case AttemptState.COMPLETED:
            end_task(desk, task, TaskState.COMPLETED, Reason.EXITED, attempt.exit_code, attempt.message, now)
        case AttemptState.STOPPED:
            _after_stop(desk, task, attempt, now)
        case _:
            _after_failure(desk, task, attempt, now)


def _after_stop(desk: Desk, task: TaskRecord, attempt: AttemptRecord, now: float) -> None:
    if task.ending is not None:
        _end_as_asked(desk, task, now)
    elif task.room_for:
        attempt.reason, attempt.message = Reason.PREEMPTED, f"made room for {_whom(desk, task.room_for)}"
        _try_again(desk, task, attempt.message, now)
    elif task.moving:
        _try_again(desk, task, "moved to another node", now)
    else:
        lose_attempt(desk, task, "its worker stopped it unasked", now)


def _after_failure(desk: Desk, task: TaskRecord, attempt: AttemptRecord, now: float) -> None:
    entry = desk.state.jobs[task.job_id]
    can_retry = entry.record.retries_used < entry.job.retries
    kept_up = entry.job.kind == "service" and not has_end(entry.policies[task.position])
    if (can_retry or kept_up) and task.ending is not None:
        _end_as_asked(desk, task, now)
    elif kept_up:
        _try_later(desk, task, attempt, entry.policies[task.position], now)
    elif can_retry:
        entry.record.retries_used += 1
        desk.state.touch(entry.record)
        words = f"attempt {attempt.number} failed on {attempt.node}: {_how(attempt)}"
        _try_again(desk, task, f"{words}; retry {entry.record.retries_used} of {entry.job.retries}", now)
    else:
        end_task(desk, task, TaskState.FAILED, attempt.reason, attempt.exit_code, attempt.message, now)


def lose_attempt(desk: Desk, task: TaskRecord, words: str, now: float) -> None:
    """The attempt is lost through no fault of its own. It costs no retry; too many are told as a failure."""
    attempt = task.attempts[-1]
    if _ran_well(desk, attempt):
        task.lost = 0
    if not attempt.state.terminal:
        attempt.reason = Reason.NODE_LOST
        attempt.message = words
        desk.state.move_attempt(task, AttemptState.FAILED, now)
        desk.plan_due = True
        desk.tell(attempt.node, task)  # it cannot hear, but when it returns it is seen to have missed this
    task.lost += 1
    if task.ending is not None:
        _end_as_asked(desk, task, now)
    elif task.lost > desk.config.max_lost:
        words = f"{task.lost} attempts in a row were lost with their nodes, the last one on {attempt.node}"
        end_task(desk, task, TaskState.FAILED, Reason.NODE_LOST, None, words, now)
    else:
        _try_again(desk, task, words, now)


def _ran_well(desk: Desk, attempt: AttemptRecord) -> bool:
    """Whether an attempt ran for long before its worker was last heard of; what is not known did not."""
    if attempt.running_since is None or attempt.healthy is False:
        return False
    if not desk.session(attempt.node).connected:
        return False  # this manager has never heard of its worker
    return desk.state.nodes[attempt.node].heard_at - attempt.running_since >= desk.config.lost_reset_s


def _try_again(desk: Desk, task: TaskRecord, words: str, now: float) -> None:
    _back_to_pending(desk, task, words, now)
    _queue(desk, desk.state.jobs[task.job_id], task)


def _try_later(
    desk: Desk, task: TaskRecord, attempt: AttemptRecord, policy: RestartPolicy, now: float
) -> None:
    """Have a service's task placed anew after a wait that doubles: nothing but a stop ends it."""
    before = attempt.streak
    restarts = 0 if before is None else before.restarts
    pause_s = wait_s(policy, restarts)
    task.failed = restarts + 1
    why = f": {attempt.message}" if attempt.message else ""
    words = f"attempt {attempt.number} failed on {attempt.node}: {_how(attempt)}{why}"
    words = f"{words}; tried again in {pause_s:g} s, {task.failed} in a row"
    _delay(desk, task, now + pause_s)
    after = task.streak
    if after is not None and after.crash_looping:
        words = f"crash looping: {words}"
        if before is None or not before.crash_looping:
            desk.state.log("task_crash_looping", now, task=task, node=attempt.node, detail=words)
    _back_to_pending(desk, task, words, now)


def _back_to_pending(desk: Desk, task: TaskRecord, words: str, now: float) -> None:
    task.moving, task.room_for = False, ""
    task.message = words
    desk.state.move_task(task, TaskState.PENDING, now)
    desk.state.log("task_rescheduled", now, task=task, node=task.attempts[-1].node, detail=words)


def _delay(desk: Desk, task: TaskRecord, until: float) -> None:
    task.retry_at = until
    desk.delayed.add(task.id)
    desk.timers.add(until, "retry", task.id)


def retry(desk: Desk, task_id: str) -> None:
    """Queue a task whose wait is over, unless it was stopped meanwhile."""
    if task_id in desk.delayed:
        task = desk.state.tasks[task_id]
        _end_delay(desk, task)
        desk.state.touch(task)
        _queue(desk, desk.state.jobs[task.job_id], task)


def _end_delay(desk: Desk, task: TaskRecord) -> None:
    desk.delayed.discard(task.id)
    task.retry_at = None


def _how(attempt: AttemptRecord) -> str:
    code = "" if attempt.exit_code is None else f" (exit code {attempt.exit_code})"
    return f"{attempt.reason or 'failed'}{code}"


# -- ends -------------------------------------------------------------------------------------


def end_task(
    desk: Desk,
    task: TaskRecord,
    state: TaskState,
    reason: Reason | None,
    exit_code: int | None,
    message: str,
    now: float,
) -> None:
    """The task is over for good. What follows for its job is done by :func:`follow_up`."""
    entry = desk.state.jobs[task.job_id]
    if desk.queue.remove(task.id):
        desk.plan_due = True  # a room may have been kept for it, and what is left of its gang may fit
    entry.active.discard(task.id)
    _end_delay(desk, task)
    desk.changed_jobs[task.job_id] = None
    desk.state.ended_with(task, reason, exit_code, message)
    desk.state.move_task(task, state, now)
    node = task.attempts[-1].node if task.attempts else ""
    code = "" if exit_code is None else f"exit code {exit_code}"
    detail = "; ".join(part for part in (str(reason or ""), code, message) if part)
    desk.state.log(f"task_{state.lower()}", now, task=task, node=node, detail=detail, reason=reason)
    if task.attempts:
        desk.finished_runs.append((now, task.id))
    desk.ended.append(
        Ended(entry.record.id, task.position, state is TaskState.COMPLETED, state is TaskState.FAILED)
    )


def _end_as_asked(desk: Desk, task: TaskRecord, now: float) -> None:
    ending = task.ending or Reason.STOPPED
    state, words = _ENDINGS[ending]
    exit_code = task.attempts[-1].exit_code if task.attempts else None
    end_task(desk, task, state, ending, exit_code, words, now)


def follow_up(desk: Desk, now: float) -> None:
    """Work off what the ends of tasks mean for their jobs, until nothing more follows."""
    while desk.ended:
        ended = desk.ended.popleft()
        entry = desk.state.jobs[ended.job_id]
        if ended.completed:
            for dependent in entry.dependents[ended.position]:
                entry.unmet[dependent] -= 1
                if not entry.unmet[dependent]:
                    _make_ready(desk, entry, dependent)
        elif ended.position not in entry.doomed:
            entry.doomed.add(ended.position)
            for dependent in entry.dependents[ended.position]:
                _fail_dependents(desk, entry, ended.position, dependent, now)
        if ended.failed and entry.job.on_failure == "stop" and entry.record.ending is None:
            stop_job(desk, entry, Reason.JOB_FAILED, now)
        _pull_backlog(desk, entry)
        _finish_job_if_over(desk, entry, now)


def _fail_dependents(desk: Desk, entry: JobEntry, position: int, dependent: int, now: float) -> None:
    words = f'"{entry.job.tasks[position].name}", which it comes after, did not complete'
    for task_id in entry.tasks[dependent]:
        task = desk.state.tasks[task_id]
        if task.state is TaskState.PENDING:
            end_task(desk, task, TaskState.FAILED, Reason.DEPENDENCY_FAILED, None, words, now)


def _finish_job_if_over(desk: Desk, entry: JobEntry, now: float) -> None:
    record = entry.record
    if entry.open or record.state.terminal:
        return
    if record.ending is Reason.DEADLINE:
        state = JobState.FAILED
    elif record.ending is Reason.STOPPED:
        state = JobState.STOPPED if entry.stopped else JobState.FAILED if entry.failed else JobState.COMPLETED
    elif entry.failed:
        state = JobState.FAILED
    else:
        state = JobState.STOPPED if entry.stopped else JobState.COMPLETED
    if entry.job.deadline_s is not None:
        desk.timers.drop("deadline", record.id)
    desk.state.move_job(entry, state, now)
    desk.state.log(f"job_{state.lower()}", now, job=entry, detail=record.message)
    desk.changed_jobs[record.id] = None
    _remember_job(desk, entry, now)


def _remember_job(desk: Desk, entry: JobEntry, at: float) -> None:
    count = max(1, sum(len(ids) for ids in entry.tasks))  # a job of no tasks is remembered too
    desk.finished_jobs.append((at, entry.record.id, count))
    desk.finished_tasks += count


# -- stops ------------------------------------------------------------------------------------


def stop_job(desk: Desk, entry: JobEntry, reason: Reason, now: float) -> None:
    """Have everything of a job end. From now on nothing of it starts."""
    record = entry.record
    if record.state.terminal or record.ending in (Reason.STOPPED, Reason.DEADLINE):
        return
    record.ending = reason
    record.message = _ENDINGS[reason][1] if reason is not Reason.DEADLINE else "its deadline passed"
    desk.state.touch(record)
    desk.state.log("job_stopping", now, job=entry, detail=record.message)
    for task_id in entry.task_ids():
        stop_task(desk, desk.state.tasks[task_id], reason, now)
    entry.backlog.clear()


def stop_task(desk: Desk, task: TaskRecord, reason: Reason, now: float) -> None:
    """Have a task end: at once if it only waits, else when its worker has stopped it."""
    if task.state.terminal or task.ending is not None:
        return
    task.ending = reason
    desk.state.touch(task)
    attempt = task.live
    if attempt is None:
        _end_as_asked(desk, task, now)
    elif desk.state.nodes[attempt.node].record.lost:
        lose_attempt(desk, task, f"node {attempt.node} is lost", now)
    else:
        desk.state.log("task_stopping", now, task=task, node=attempt.node, detail=str(reason))
        desk.tell(attempt.node, task)


def move_away(desk: Desk, task: TaskRecord, now: float, *, room_for: str = "") -> None:
    """Have a placed task stop where it is, to be placed on another node.

    Args:
        desk: the manager's.
        task: the task.
        now: seconds since 1970.
        room_for: the id of the task that takes its room; empty: it is moved for another reason.
    """
    attempt = task.live
    if attempt is None or task.ending is not None or task.moving:
        return
    task.moving, task.room_for = True, room_for
    desk.state.touch(task)
    kind = "task_preempted" if room_for else "task_moving"
    detail = f"makes room for {_whom(desk, room_for)}" if room_for else ""
    desk.state.log(kind, now, task=task, node=attempt.node, detail=detail)
    desk.tell(attempt.node, task)


def _whom(desk: Desk, task_id: str) -> str:
    """A task that others make room for, in words."""
    task = desk.state.tasks.get(task_id)
    if task is None:
        return "a task of higher priority"
    job = desk.state.jobs[task.job_id].job
    return f"{job.name}/{task.name} (priority {job.priority})"
