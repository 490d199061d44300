"""What really happened on a cluster, kept in a file and taken as a workload for another scheduler."""

from __future__ import annotations

import gzip
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from math import inf
from typing import Final, NamedTuple, NoReturn

import msgspec

from minorch.errors import SpecError, TraceError, UsageError, brief
from minorch.ids import instance_name
from minorch.model import Job, Node, Task
from minorch.simulation.traces.formats import check_format
from minorch.simulation.traces.trace import Reading, Trace
from minorch.simulation.workloads.arrivals import Arrival
from minorch.simulation.workloads.files import PathLike, read_lines
from minorch.state.events import Event

__all__ = ["Recording", "from_events", "load_events", "save_events"]

_VERSION: Final = 1
_HEADING: Final = {"minorch": "events", "version": _VERSION}
_ENDS: Final = ("task_completed", "task_failed", "task_stopped")
_BEGINS: Final = ("task_running", "task_restarted")
_EVENTS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EVENT: Final = msgspec.json.Decoder(Event)


class Recording(NamedTuple):
    """What happened, to which jobs, on which machines: ``from_events(*recording)`` is a workload."""

    events: Sequence[Event]
    jobs: Sequence[Job]
    nodes: Sequence[Node]


# -- as a workload ----------------------------------------------------------------------------


def from_events(
    events: Iterable[Event], jobs: Iterable[Job], nodes: Iterable[Node] = (), *, strict: bool = True
) -> Trace:
    """Take what happened on a real cluster as a workload: the same jobs, as long as they really ran.

    A job arrives when it was submitted, the first one at 0 s.  Each task runs for as long as the last run of
    it did: what was lost or restarted before is not played again.  A service's task, and a batch's that had
    not ended, run until they are stopped; of the latter, :attr:`Trace.unfinished` tells how many.

    Args:
        events: as ``cluster.events()`` gives them, oldest first.
        jobs: what was submitted, since events do not hold it. Of several of one name, the first is taken for
            the first submission of that name, and so on, and the last for all that follow.
        nodes: the machines, if they are to be kept with the trace.
        strict: raise where a job that was submitted is not among the jobs; otherwise skip and count it.

    Raises:
        UsageError: events are not in order, or something else is given.
    """
    kept = tuple(events)
    number = 0
    for event in kept:
        if not isinstance(event, Event):
            raise UsageError(f"events are what cluster.events() gives, not {brief(event, 60)}")
        if event.number <= number:
            raise UsageError(
                f"event {event.number} comes after event {number}: give them oldest first, and once"
            )
        number = event.number
    by_name: dict[str, list[Job]] = {}
    for job in jobs:
        if not isinstance(job, Job):
            raise UsageError(f"jobs are what was submitted, not {brief(job, 60)}")
        by_name.setdefault(job.name, []).append(job)
    return Trace([], partial(_read, kept, by_name), nodes=list(nodes), strict=strict)


class _Life:
    """One job from its submission on."""

    def __init__(self, event: Event, job: Job) -> None:
        self.event = event
        self.job = job
        self.began: dict[str, float] = {}
        """By instance, when its last run began."""
        self.ran_s: dict[str, float | None] = {}
        """By instance that is over, for how long its last run ran; None: it never did."""
        self.failed: dict[str, None] = {}
        """The instances that failed."""

    def take(self, event: Event) -> None:
        """What one more event means."""
        if event.kind in _BEGINS:
            self.began[event.task] = event.at
        elif event.kind == "task_rescheduled":
            self.began.pop(event.task, None)
        elif event.kind in _ENDS:
            began = self.began.pop(event.task, None)
            self.ran_s[event.task] = None if began is None else max(0.0, event.at - began)
            if event.kind == "task_failed":
                self.failed[event.task] = None


def _lives(events: Iterable[Event], jobs: dict[str, list[Job]], reading: Reading) -> list[_Life]:
    """Every job that was submitted, in the order of time."""
    left = {name: deque(given) for name, given in jobs.items()}
    lives: list[_Life] = []
    current: dict[str, _Life | None] = {}
    for event in events:
        reading.lines += 1
        if event.kind == "job_submitted":
            given = left.get(event.job)
            if not given:
                words = f'job "{event.job}" was submitted, and is not among the jobs that are given'
                reading.problem(f"event {event.number}", None, words)
                current[event.job] = None
                continue
            job = given.popleft() if len(given) > 1 else given[0]
            life = current[event.job] = _Life(event, job)
            lives.append(life)
        elif event.task:
            if event.job not in current:
                current[event.job] = None
                reading.leave_out("jobs that were submitted before the first event")
            known = current[event.job]
            if known is not None:
                known.take(event)
    return sorted(lives, key=lambda life: life.event.at)


def _instances(job: Job, task: Task) -> Sequence[str]:
    count = task.completions if job.kind == "batch" else task.replicas
    return [instance_name(task.name, at if count > 1 else None) for at in range(count)]


def _duration_s(life: _Life, name: str, reading: Reading) -> float:
    """For how long an instance runs."""
    if name not in life.ran_s:
        if life.job.kind == "batch":
            reading.not_ended(f"{life.job.name}/{name}")
        return inf
    ran_s = life.ran_s[name]
    if life.job.kind == "service":
        return inf  # it ended because somebody stopped it, and would be started again
    if ran_s is None:
        reading.leave_out("tasks that ended without having run")
        return 0.0
    return ran_s


def _read(events: Sequence[Event], jobs: dict[str, list[Job]], reading: Reading) -> Iterator[Arrival]:
    lives = _lives(events, jobs, reading)
    for life in lives:
        names = {task.name: _instances(life.job, task) for task in life.job.tasks}
        known = {name for each in names.values() for name in each}
        if strange := [name for name in (*life.began, *life.ran_s) if name not in known]:
            words = f'job "{life.job.name}" has no task "{strange[0]}" as it is given: it is another job'
            reading.problem(f"event {life.event.number}", None, words)
            continue
        durations = {
            task: [_duration_s(life, name, reading) for name in instances]
            for task, instances in names.items()
        }
        codes = {task: [int(name in life.failed) for name in each] for task, each in names.items()}
        exit_code = codes if life.failed else 0
        try:
            arrival = Arrival(life.event.at - lives[0].event.at, life.job, durations, None, exit_code)
        except UsageError as error:
            reading.problem(f"event {life.event.number}", None, str(error))
        else:
            yield arrival


# -- in a file --------------------------------------------------------------------------------


def save_events(
    path: PathLike, events: Iterable[Event], jobs: Iterable[Job], nodes: Iterable[Node] = ()
) -> None:
    """Keep a recording in a file, one JSON object a line; it is packed if its name ends with ``.gz``.

    Secrets are left out of it, as simulations have no use for them.

    Args:
        path: the file; one that is there is replaced.
        events: as ``cluster.events()`` gives them, oldest first.
        jobs: what was submitted.
        nodes: the machines.

    Raises:
        OSError: it cannot be written.
    """
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "wb") as file:
        for line in _lines(events, jobs, nodes):
            file.write(msgspec.json.encode(line) + b"\n")


def _lines(
    events: Iterable[Event], jobs: Iterable[Job], nodes: Iterable[Node]
) -> Iterator[dict[str, object]]:
    yield dict(_HEADING)
    for node in nodes:
        yield {"node": node.to_dict()}
    for job in jobs:
        yield {"job": _without_secrets(job).to_dict()}
    for event in events:
        yield {"event": event}


def _without_secrets(job: Job) -> Job:
    if not any(task.secrets for task in job.tasks):
        return job
    tasks = [msgspec.structs.replace(task, secrets={}) for task in job.tasks]
    return msgspec.structs.replace(job, tasks=tasks)


def load_events(path: PathLike) -> Recording:
    """Read a recording that :func:`save_events` wrote.

    Args:
        path: the file, which may be packed with gzip.

    Raises:
        TraceError: it is none, or damaged; the message says on which line.
        OSError: it cannot be read.
    """

    def refuse(line: int, words: str) -> NoReturn:
        raise TraceError(words, str(path), line)

    check_format(path, "events")
    events: list[Event] = []
    jobs: list[Job] = []
    nodes: list[Node] = []
    for line, text in read_lines(path, refuse):
        if line == 1:
            _check_heading(text, line, str(path))
            continue
        try:
            [(kind, raw)] = _EVENTS.decode(text).items()
            if kind == "event":
                event = _EVENT.decode(raw)
                if events and event.number <= events[-1].number:
                    refuse(line, f"event {event.number} comes after event {events[-1].number}")
                events.append(event)
            elif kind == "job":
                jobs.append(Job.from_dict(msgspec.json.decode(raw)))
            elif kind == "node":
                nodes.append(Node.from_dict(msgspec.json.decode(raw)))
            else:
                refuse(line, f"{brief(kind)} is no node, job or event")
        except SpecError as error:
            refuse(line, str(error))
        except TraceError:
            raise
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            refuse(line, f"this is no line of a recording: {error}")
    return Recording(tuple(events), tuple(jobs), tuple(nodes))


def _check_heading(text: str, line: int, path: str) -> None:
    try:
        heading = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        heading = None
    if not isinstance(heading, dict) or heading.get("minorch") != "events":
        raise TraceError("this is no recording of events: save_events writes one", path, line)
    if heading.get("version") != _VERSION:
        raise TraceError(f"it has version {brief(heading.get('version'))}, and this one reads 1", path, line)
