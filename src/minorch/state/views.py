"""Jobs, tasks, nodes and events as HTML, for notebooks: the pictures of :mod:`minorch.state`, drawn."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

from minorch.markup import Cell, Html, badge, counts, gantt, join, lines, note, table, time_words, view
from minorch.state.events import Event
from minorch.state.pictures import JobInfo, TaskInfo
from minorch.state.rows import ran_s, task_rows
from minorch.state.timeline import attempt_lanes, busy, keys_of, latest, task_lanes
from minorch.states import TaskState

__all__ = ["events_view", "job_view", "names_view", "task_view", "tasks_view"]

_MOST_LANES: Final = 30
"""Of more tasks than that it is drawn how many did what, not what each did."""
_MOST_ROWS: Final = 12
"""Of more tasks than can be drawn one by one so many are listed."""
_MOST_EVENTS: Final = 20
_MOST_TASKS: Final = 20_000
"""Of more tasks the first are drawn, so that a notebook does not wait."""
# What somebody has to look at comes first.
_URGENCY: Final = {
    TaskState.FAILED: 0,
    TaskState.STOPPED: 1,
    TaskState.PENDING: 2,
    TaskState.SCHEDULED: 3,
    TaskState.RUNNING: 4,
    TaskState.COMPLETED: 5,
}


def job_view(job: JobInfo, now: float | None = None) -> str:
    """A job: what its tasks did when, and a table of them.

    Args:
        job: the picture.
        now: when it was taken, in seconds since 1970; None: the last time that it tells of.
    """
    words = [job.kind, f"{len(job.tasks):,} task{'' if len(job.tasks) == 1 else 's'}"]
    end_s = job.finished_at if job.finished_at is not None else now
    if end_s is not None:
        words.append(time_words(max(0.0, end_s - job.submitted_at)))
    if job.retries_used:
        words.append("1 retry" if job.retries_used == 1 else f"{job.retries_used:,} retries")
    parts = [note(job.message), _counts(job.tasks), _over_time(job.tasks, job.submitted_at, end_s)]
    return view(
        f"job {job.name}", *parts, _task_table(job.tasks), state=str(job.state), words=" · ".join(words)
    )


def names_view(kind: str, states: Sequence[tuple[str, str]], count: int) -> str:
    """Names of jobs or tasks, and how each stands.

    Args:
        kind: ``job`` or ``task``.
        states: the name and the state of each that is shown.
        count: how many there are in all.
    """
    rows = [(name, badge(state)) for name, state in states]
    title = f"{count:,} {kind}{'' if count == 1 else 's'}"
    return view(title, table([kind, "state"], rows, whole=[0]), note(_more(count - len(rows), f"{kind}s")))


def tasks_view(tasks: Sequence[TaskInfo]) -> str:
    """Tasks of any jobs: how many are in which state, and a table."""
    count = f"{len(tasks):,} task{'' if len(tasks) == 1 else 's'}"
    return view(count, _counts(tasks), _task_table(tasks, with_jobs=True))


def task_view(task: TaskInfo, events: Sequence[Event] = (), now: float | None = None) -> str:
    """A task: its attempts over time and as a table, and what happened to it.

    Args:
        task: the picture.
        events: what happened, oldest first.
        now: when the picture was taken, in seconds since 1970; None: the last time that it tells of.
    """
    words = [str(task.reason or "").replace("_", " ")]
    words += [f"exit {task.exit_code}"] if task.exit_code is not None else []
    words += ["stopping"] if task.stopping and not task.state.terminal else []
    words += [f"on {task.node}"] if task.node is not None else []
    lanes = attempt_lanes(task)
    end_s = task.finished_at if task.finished_at is not None else now
    picture = gantt(
        lanes,
        title=f"the attempts of {task.name} over time",
        begin_s=task.submitted_at,
        end_s=max(end_s or 0.0, latest([task])),
        keys=keys_of(lanes),
        noun="attempts",
    )
    return view(
        f"task {task.job}/{task.name}",
        note(task.message),
        picture,
        _attempt_table(task),
        _event_table(events, task.submitted_at, caption="History") if events else Html(),
        state=str(task.state),
        words=" · ".join(word for word in words if word),
    )


def events_view(events: Sequence[Event]) -> str:
    """What happened, oldest first; of many the latest."""
    count = f"{len(events):,} event{'' if len(events) == 1 else 's'}"
    return view(count, _event_table(events, events[0].at, everything=True) if events else Html())


def _counts(tasks: Sequence[TaskInfo]) -> Html:
    """How many are in which state; nothing if all are in the same."""
    states = dict.fromkeys(map(str, TaskState), 0)
    for task in tasks:
        states[task.state] += 1
    return counts(states) if max(states.values()) < len(tasks) else Html()


def _over_time(tasks: Sequence[TaskInfo], begin_s: float, end_s: float | None) -> Html:
    drawn = tasks[:_MOST_TASKS]
    end_s = max(end_s or 0.0, latest(drawn))
    if len(tasks) > _MOST_LANES:
        remark = f"the first {len(drawn):,} of {len(tasks):,} tasks" if len(drawn) < len(tasks) else ""
        picture = lines(
            busy(drawn),
            title="how many tasks were running, starting and waiting over time",
            unit="tasks",
            begin_s=begin_s,
            end_s=end_s,
            stacked=True,
        )
        return join([picture, note(remark)])
    lanes = task_lanes(tasks)
    return gantt(
        lanes, title="the tasks over time", begin_s=begin_s, end_s=end_s, keys=keys_of(lanes), noun="tasks"
    )


def _task_table(tasks: Sequence[TaskInfo], *, with_jobs: bool = False) -> Html:
    shown: Sequence[TaskInfo] = tasks
    if len(tasks) > _MOST_LANES:
        shown = heapq.nsmallest(_MOST_ROWS, tasks, key=lambda task: _URGENCY[task.state])
    heading, *rows = task_rows(shown)
    cells: list[list[Cell]] = []
    for task, (name, state, reason, code, node, attempts, restarts, _) in zip(shown, rows, strict=True):
        ran = ran_s(task.attempts[-1]) if task.attempts else None
        cells.append(
            [
                f"{task.job}/{name}" if with_jobs else name,
                badge(state),
                "" if task.state is TaskState.COMPLETED else reason.replace("_", " "),
                code if task.exit_code else "",
                node,
                "" if attempts in ("0", "1") else attempts,
                "" if restarts == "0" else restarts,
                "" if ran is None else time_words(ran),
                task.message,
            ]
        )
    drawn = table([*heading, "message"], cells, right=[3, 5, 6, 7], whole=[0, 1, 2, 4], sparse=True)
    left = len(tasks) - len(shown)
    return join([drawn, note(_more(left, "tasks, of which none is in a worse state"))])


def _attempt_table(task: TaskInfo) -> Html:
    rows: list[list[Cell]] = []
    for attempt in task.attempts:
        ran = ran_s(attempt)
        rows.append(
            [
                attempt.number,
                attempt.node,
                badge(str(attempt.state)),
                str(attempt.reason or "").replace("_", " "),
                attempt.exit_code,
                attempt.restarts or None,
                "" if ran is None else time_words(ran),
                attempt.message,
            ]
        )
    heading = ["attempt", "node", "state", "reason", "exit", "restarts", "ran", "message"]
    return table(heading, rows, right=[6], whole=[1, 2, 3], sparse=True) if rows else Html()


def _event_table(
    events: Sequence[Event], begin_s: float, *, caption: str = "", everything: bool = False
) -> Html:
    shown = events[-_MOST_EVENTS:]
    rows: list[list[Cell]] = []
    for event in shown:
        subject = "/".join(part for part in (event.job, event.task) if part)
        later_s = max(0.0, event.at - begin_s)
        row: list[Cell] = [event.number, f"+{time_words(later_s)}" if later_s else "0"]
        row += [event.kind.replace("_", " ")]
        row += [subject] if everything else []
        rows.append([*row, event.node, event.detail])
    heading = ["no.", "at", "what", *(["of"] if everything else []), "node", "more"]
    earlier = len(events) - len(shown)
    remark = note(f"{earlier:,} earlier ones are not shown" if earlier else "")
    return join([table(heading, rows, caption=caption, right=[1], whole=[2], sparse=True), remark])


def _more(count: int, noun: str) -> str:
    return f"and {count:,} more {noun}" if count else ""
