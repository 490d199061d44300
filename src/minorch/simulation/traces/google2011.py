"""Google's trace of one cell in May 2011: 12,500 machines and 25 million tasks.

Reiss, Wilkes, Hellerstein: "Google cluster-usage traces: format + schema", 2011, version 2; the files are at
https://github.com/google/cluster-data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby
from math import inf
from pathlib import Path
from typing import Final, NamedTuple

from minorch.errors import UsageError
from minorch.model import Job, Node, Task
from minorch.resources import Resources
from minorch.simulation.traces.formats import cells, check_format
from minorch.simulation.traces.lines import LATEST, Malformed, built, number, parsed, whole
from minorch.simulation.traces.sorting import sort_rows
from minorch.simulation.traces.trace import Reading, Trace
from minorch.simulation.workloads.arrivals import Arrival
from minorch.simulation.workloads.files import PathLike
from minorch.simulation.workloads.prototypes import Prototypes

__all__ = ["load_google2011"]

_SUBMIT, _SCHEDULE, _EVICT, _FAIL, _FINISH, _KILL, _LOST, _UPDATE_PENDING, _UPDATE_RUNNING = range(9)
_ADD: Final = 0
_FIELDS: Final = 13
_MACHINE_FIELDS: Final = 6
_MACHINE: Final = Resources(cpu=32, memory="128GiB", disk="1TiB")

_Asked = tuple[float, float, float, int]
"""Shares of the largest machine's CPU, memory and disk; priority."""


class _Event(NamedTuple):
    """A line of task_events, in the order in which it is to be sorted."""

    job: int
    number: int
    """Which task of the job."""
    at_us: int
    part: int
    """Which file."""
    line: int
    kind: int
    asked: _Asked


class _Run(NamedTuple):
    """A task from its submission to its end."""

    at_us: int
    job: int
    number: int
    time: int
    """How often it was submitted anew after an end, before."""
    part: int
    line: int
    ran_us: int | None
    """None: its end is not in the trace."""
    failed: bool
    asked: _Asked


def load_google2011(
    task_events: PathLike | Iterable[PathLike],
    machine_events: PathLike | None = None,
    *,
    machine: Resources = _MACHINE,
    strict: bool = True,
) -> Trace:
    """Read Google's trace of 2011. Each of its tasks becomes a job of its own, named ``JOB-INDEX``.

    Args:
        task_events: the file of task events, or several of its 500 parts; they may be packed with gzip.
        machine_events: the file of machine events; None: the trace has no nodes.
        machine: what 1.0 stands for: the trace gives all amounts as shares of its largest machine, and does
            not tell that. What it has nothing of is not asked for.
        strict: raise for a malformed line; otherwise skip and count it.

    Raises:
        TraceError: a file is empty or of another format, or a line of the machines is malformed.
        UsageError: an argument makes no sense.
        OSError: it cannot be read.
    """
    one = isinstance(task_events, str) or not isinstance(task_events, Iterable)
    files = [Path(task_events)] if one else [Path(each) for each in task_events]  # type: ignore[arg-type, union-attr]
    if not files:
        raise UsageError("there is no file of task events")
    for file in files:
        check_format(file, "google-tasks")
    machines: list[Node] = []
    reading = Reading(strict)
    if machine_events is not None:
        check_format(machine_events, "google-machines")
        machines = _nodes(Path(machine_events), machine, reading)
    return Trace(
        files, partial(_read, files, machine), nodes=machines, node_problems=reading.problems, strict=strict
    )


def _share(text: str, what: str) -> float:
    """A share of the largest machine; what is missing is nothing."""
    value = number(text, what) if text else 0.0
    if not 0 <= value <= 1000:
        raise Malformed(f"{what} is {text}: it is a share of the largest machine")
    return value


def _nodes(path: Path, machine: Resources, reading: Reading) -> list[Node]:
    """Every machine that was ever added, as it was first."""
    nodes: dict[int, Node] = {}

    def note(text: str, line: int) -> None:
        row = cells(text)
        if len(row) != _MACHINE_FIELDS:
            raise Malformed(f"there are {len(row)} cells, and not {_MACHINE_FIELDS}")
        machine_id, kind = whole(row[1], "machine ID"), whole(row[2], "event type")
        amount = _amount(machine, _share(row[4], "CPUs"), _share(row[5], "memory"), 1.0)
        if kind == _ADD and machine_id not in nodes:
            nodes[machine_id] = Node(f"machine-{machine_id}", capacity=amount, max_tasks=1000)

    for _ in parsed(path, reading, note):
        pass
    return list(nodes.values())


def _amount(machine: Resources, cpu: float, memory: float, disk: float) -> Resources:
    return Resources(cpu=cpu * machine.cpu, memory=memory * machine.memory, disk=disk * machine.disk)


def _event(part: int, text: str, line: int) -> _Event:
    row = cells(text)
    if len(row) != _FIELDS:
        raise Malformed(f"there are {len(row)} cells, and not {_FIELDS}")
    at_us, kind = whole(row[0], "the time"), whole(row[5], "the event type")
    if at_us < 0:
        raise Malformed(f"the time is {at_us}")
    if not _SUBMIT <= kind <= _UPDATE_RUNNING:
        raise Malformed(f"there is no event type {kind}")
    priority = whole(row[8], "the priority") if row[8] else 0
    if not 0 <= priority <= 1000:
        raise Malformed(f"the priority is {priority}")
    asked = (_share(row[9], "CPU"), _share(row[10], "memory"), _share(row[11], "disk"), priority)
    job, index = whole(row[2], "the job ID"), whole(row[3], "the task index")
    if job < 0 or index < 0:
        raise Malformed(f"job {job}, task {index}: both are numbers from 0")
    return _Event(job, index, at_us, part, line, kind, asked)


class _Life:
    """One task, followed from event to event."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._time = 0
        self._first: _Event | None = None
        """Its submission; None: there was none since its last end."""
        self._began_us: int | None = None
        self._asked: _Asked = (0.0, 0.0, 0.0, 0)

    def take(self, event: _Event) -> _Run | None:
        """What one more event means; a run: it has come to its end."""
        kind = event.kind
        if kind in (_SUBMIT, _SCHEDULE):
            if self._first is None:
                self._first = event
            self._asked = event.asked
            if kind == _SCHEDULE:
                self._began_us = event.at_us
        elif kind == _UPDATE_PENDING:
            self._asked = event.asked
        elif kind == _EVICT:
            self._began_us = None  # it will begin again, from the beginning
        elif kind == _LOST and self._first is not None:
            self._reading.leave_out("tasks whose end was not recorded")
            self._forget()
        elif kind in (_FAIL, _FINISH, _KILL):
            return self._end(event)
        return None

    def _end(self, event: _Event) -> _Run | None:
        if self._first is None:
            self._reading.leave_out("ends of tasks that were not submitted")
            return None
        run = self._run(event)
        self._forget()
        self._time += 1
        return run

    def _forget(self) -> None:
        self._first = self._began_us = None

    def _run(self, last: _Event | None) -> _Run | None:
        first = self._first
        if first is None:
            return None
        if self._began_us is None:
            self._reading.leave_out("tasks that did not run to an end")
            return None
        ran_us = None if last is None else last.at_us - self._began_us
        failed = last is not None and last.kind == _FAIL
        return _Run(
            first.at_us,
            first.job,
            first.number,
            self._time,
            first.part,
            first.line,
            ran_us,
            failed,
            self._asked,
        )

    def finish(self) -> _Run | None:
        """The trace has ended: what runs has no end in it."""
        return self._run(None)


def _runs(events: Iterable[_Event], reading: Reading) -> Iterator[_Run]:
    for _, of_task in groupby(events, lambda event: (event[0], event[1])):
        life = _Life(reading)
        for each in of_task:
            event = _Event._make(each)
            if event.at_us < LATEST and (run := life.take(event)) is not None:
                yield run
        if (run := life.finish()) is not None:
            yield run


def _job(machine: Resources, asked: _Asked) -> Job:
    cpu, memory, disk, priority = asked
    task = Task("task", command=["run"], resources=_amount(machine, cpu, memory, disk))
    return Job("job", [task], priority=priority)


def _read(files: Sequence[Path], machine: Resources, reading: Reading) -> Iterator[Arrival]:
    jobs = Prototypes(partial(_job, machine))

    def arrival(row: _Run) -> Arrival:
        run = _Run._make(row)
        name = f"{run.job}-{run.number}" + (f"-{run.time}" if run.time else "")
        if run.ran_us is None:
            reading.not_ended(f"{name}/task")
        ran_s = inf if run.ran_us is None else run.ran_us / 1e6
        job = jobs.job(tuple(run.asked), name)
        return Arrival(run.at_us / 1e6, job, ran_s, None, int(run.failed))

    events = chain.from_iterable(
        parsed(file, reading, partial(_event, part)) for part, file in enumerate(files)
    )
    runs = _runs(sort_rows(events), reading)
    yield from built(sort_rows(runs), reading, arrival, lambda run: (files[run[4]], run[5]))
