"""What tasks did over time, as spans and counts to be drawn: worked out of their attempts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from minorch.markup import Hue, Lane, Series, Span, hue_of, time_words
from minorch.state.pictures import AttemptInfo, TaskInfo
from minorch.state.rows import ran_s
from minorch.states import AttemptState, Reason, TaskState

__all__ = ["attempt_lanes", "busy", "keys_of", "latest", "task_lanes"]

_PHASES = (
    ("waits", Hue.GREY),
    ("starts", hue_of(AttemptState.PREPARING)),
    ("restarts", Hue.ORANGE),
    ("runs", hue_of(AttemptState.RUNNING)),
    ("completed", hue_of(AttemptState.COMPLETED)),
    ("failed", hue_of(AttemptState.FAILED)),
    ("stopped", hue_of(AttemptState.STOPPED)),
)
_AT_WORK = (Hue.BLUE, Hue.SKY, Hue.GREY)


def latest(tasks: Sequence[TaskInfo]) -> float:
    """The last time that is known of any of some tasks, in seconds since 1970; 0 for none."""
    return max((time for task in tasks for time in _times(task)), default=0.0)


def _times(task: TaskInfo) -> Iterator[float]:
    yield task.submitted_at
    if task.finished_at is not None:
        yield task.finished_at
    for attempt in task.attempts:
        yield attempt.scheduled_at
        yield from (time for time in (attempt.started_at, attempt.finished_at) if time is not None)


def task_lanes(tasks: Sequence[TaskInfo]) -> list[Lane]:
    """A lane for each task, with all that is remembered of it."""
    return [
        Lane(task.name, [span for part in _parts(task) for span in part], _ending(task)) for task in tasks
    ]


def attempt_lanes(task: TaskInfo) -> list[Lane]:
    """A lane for each attempt of a task, and one for what it waits for now."""
    lanes = [
        Lane(f"attempt {attempt.number}", part, _how(attempt))
        for attempt, part in zip(task.attempts, _parts(task), strict=False)
    ]
    waits = _parts(task)[len(task.attempts) :]
    return lanes + [Lane("not placed", part) for part in waits]


def keys_of(lanes: Sequence[Lane]) -> list[tuple[str, Hue]]:
    """What the colours in these lanes mean."""
    used = {span.hue for lane in lanes for span in lane.spans}
    return [(name, hue) for name, hue in _PHASES if hue in used]


def busy(tasks: Sequence[TaskInfo]) -> list[Series]:
    """How many tasks were starting, running and waiting at each time, to be stacked."""
    changes: dict[Hue, list[tuple[float, int]]] = {hue: [] for hue in _AT_WORK}
    for task in tasks:
        for span in (span for part in _parts(task) for span in part):
            hue = span.hue if span.hue in changes else Hue.BLUE  # however it ended, until then it ran
            changes[hue].append((span.begin_s, 1))
            if span.end_s is not None:
                changes[hue].append((span.end_s, -1))
    named = {"running": Hue.BLUE, "starting": Hue.SKY, "waiting": Hue.GREY}
    return [Series(name, _summed(changes[hue]), hue) for name, hue in named.items()]


def _summed(changes: list[tuple[float, int]]) -> list[tuple[float, float]]:
    count, points = 0, []
    for time_s, change in sorted(changes):
        count += change
        points.append((time_s, float(count)))
    return points


def _parts(task: TaskInfo) -> list[list[Span]]:
    """The spans of each attempt, with the waiting before it, and of the waiting after the last."""
    parts, since = [], task.submitted_at
    for attempt in task.attempts:
        parts.append([*_waiting(since, attempt.scheduled_at), *_spans(attempt)])
        since = attempt.finished_at if attempt.finished_at is not None else attempt.scheduled_at
    if not task.attempts or (not task.state.terminal and task.attempts[-1].state.terminal):
        parts.append([Span(since, task.finished_at, Hue.GREY, task.message or "waits", thin=True)])
    return parts


def _waiting(since: float, until: float) -> list[Span]:
    return [Span(since, until, Hue.GREY, "waits", thin=True)] if until > since else []


def _spans(attempt: AttemptInfo) -> list[Span]:
    started, where = attempt.started_at, f"on {attempt.node}"
    prepared = started if started is not None else attempt.finished_at
    if attempt.restarts and started is not None:  # when its earlier runs began and ended is not remembered
        words = f"{attempt.restarts} restart{'' if attempt.restarts == 1 else 's'} {where}"
        spans = [Span(attempt.scheduled_at, prepared, Hue.ORANGE, words)]
    else:
        spans = [Span(attempt.scheduled_at, prepared, Hue.SKY, f"starts {where}")]
    if started is not None:
        words = f"{_how(attempt)} {where}"
        spans.append(Span(started, attempt.finished_at, hue_of(attempt.state), words, label=attempt.node))
    elif attempt.state.terminal:  # it failed or was stopped before it ran
        end = attempt.finished_at if attempt.finished_at is not None else attempt.scheduled_at
        spans.append(Span(end, end, hue_of(attempt.state), f"{_how(attempt)} {where}"))
    return spans


def _ending(task: TaskInfo) -> str:
    """What stands behind a task's lane: for how long it ran, or what else became of it."""
    last = task.attempts[-1] if task.attempts else None
    ran = ran_s(last)
    if task.state is TaskState.COMPLETED and ran is not None:
        return time_words(ran)
    if task.state is TaskState.FAILED:
        return _why(task.reason, task.exit_code)
    return str(task.state).lower()


def _how(attempt: AttemptInfo) -> str:
    state = str(attempt.state).lower()
    if attempt.state is AttemptState.FAILED:
        return f"{state}: {_why(attempt.reason, attempt.exit_code)}"
    return state


def _why(reason: Reason | None, exit_code: int | None) -> str:
    """``oom, exit 137``; of a command that ended by itself only the exit code."""
    words = [] if reason in (None, Reason.EXITED) else [str(reason).replace("_", " ")]
    words += [] if exit_code is None else [f"exit {exit_code}"]
    return ", ".join(words) or "failed"
