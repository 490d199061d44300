"""Alibaba's cluster trace of 2018: the batch jobs of 4,000 machines in 8 days, with their dependencies.

The files and their columns are described at https://github.com/alibaba/clusterdata, ``cluster-trace-v2018``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from minorch.errors import UsageError
from minorch.model import Job, Node, Task
from minorch.resources import Resources
from minorch.simulation.traces.formats import cells, check_format
from minorch.simulation.traces.lines import LeftOut, Malformed, as_name, built, number, parsed, whole
from minorch.simulation.traces.sorting import sort_rows
from minorch.simulation.traces.trace import Reading, Trace
from minorch.simulation.workloads.arrivals import Arrival
from minorch.simulation.workloads.files import PathLike

__all__ = ["load_alibaba2018"]

_FIELDS: Final = 9
_MACHINE_FIELDS: Final = 7
_MACHINE: Final = Resources(cpu=96, memory="384GiB")
_NAME: Final = re.compile(r"[A-Za-z]+(\d{1,9})((?:_\d{1,9})*)(?:_Stg\d+)?\Z")
"""``J5_3_4`` is number 5 and comes after 3 and 4; ``task_Nzg3`` is no part of a graph."""
_MOST_TASKS: Final = 100_000
_JOBS: Final = 20_000
"""How many jobs with their tasks are held in memory for sorting."""


class _Line(NamedTuple):
    """A line of batch_task, in the order in which it is to be sorted."""

    job: str
    line: int
    task: str
    instances: int
    start_s: int
    end_s: int
    cpu: float
    """Hundredths of a core."""
    memory: float
    """Hundredths of the largest machine's memory."""
    failed: bool


_Row = tuple[int, int, Sequence[_Line]]
"""When the first task of a job began, its line, and the job's tasks."""


def load_alibaba2018(
    batch_task: PathLike,
    machine_meta: PathLike | None = None,
    *,
    machine: Resources = _MACHINE,
    strict: bool = True,
) -> Trace:
    """Read the batch jobs of Alibaba's trace of 2018, with their dependencies.

    A job arrives when the first of its tasks began, for the trace does not tell when it was submitted.

    Args:
        batch_task: the file ``batch_task.csv``; it may be packed with gzip.
        machine_meta: the file ``machine_meta.csv``; None: the trace has no nodes.
        machine: the largest machine: its memory is what 100 stands for.
        strict: raise for a malformed line; otherwise skip and count it.

    Raises:
        TraceError: a file is empty or of another format, or a line of the machines is malformed.
        OSError: it cannot be read.
    """
    file = Path(batch_task)
    check_format(file, "alibaba-tasks")
    machines: list[Node] = []
    reading = Reading(strict)
    if machine_meta is not None:
        check_format(machine_meta, "alibaba-machines")
        machines = _nodes(Path(machine_meta), machine, reading)
    return Trace(
        [file], partial(_read, file, machine), nodes=machines, node_problems=reading.problems, strict=strict
    )


def _nodes(path: Path, machine: Resources, reading: Reading) -> list[Node]:
    """Every machine, as it was first."""
    nodes: dict[str, Node] = {}

    def note(text: str, line: int) -> None:
        row = cells(text)
        if len(row) != _MACHINE_FIELDS:
            raise Malformed(f"there are {len(row)} cells, and not {_MACHINE_FIELDS}")
        name, cores, percent = row[0], whole(row[4], "cpu_num"), _percent(row[5], "mem_size")
        if cores < 0:
            raise Malformed(f"cpu_num is {cores}")
        if name not in nodes:
            nodes[name] = Node(
                name,
                capacity=Resources(cpu=cores, memory=percent / 100 * machine.memory),
                labels={key: value for key, value in (("domain-1", row[2]), ("domain-2", row[3])) if value},
                max_tasks=1000,
            )

    for _ in parsed(path, reading, note):
        pass
    return list(nodes.values())


def _percent(text: str, what: str) -> float:
    """From 0 to 100 and a little more; -1 and 101 are invalid, and nothing is missing."""
    value = number(text, what) if text else 0.0
    if not 0 <= value <= 100:
        raise Malformed(f"{what} is {text}, and not from 0 to 100")
    return value


def _line(text: str, line: int) -> _Line:
    row = cells(text)
    if len(row) != _FIELDS:
        raise Malformed(f"there are {len(row)} cells, and not {_FIELDS}")
    task, instances, job, _, status, start, end, cpu, memory = (cell.strip() for cell in row)
    start_s, end_s = whole(start, "start_time"), whole(end, "end_time")
    count = whole(instances, "instance_num") if instances else 1
    if not task or not job or count < 1 or start_s < 0 or end_s < 0:
        raise Malformed(f"a task {task!r:.40} of job {job!r:.40}, {count} instances, {start_s} to {end_s} s")
    hundredths = number(cpu, "plan_cpu") if cpu else 0.0
    if not 0 <= hundredths <= 10**9:
        raise Malformed(f"plan_cpu is {cpu}")
    percent = _percent(memory, "plan_mem")
    if not start_s:
        raise LeftOut("tasks that began outside of the trace's days")
    if not end_s:
        raise LeftOut("tasks that did not end within the trace's days")
    if end_s < start_s:
        raise Malformed(f"it ended at {end_s} s, before it began at {start_s} s")
    return _Line(job, line, task, count, start_s, end_s, hundredths, percent, status == "Failed")


def _rows(path: Path, lines: Iterable[_Line], reading: Reading) -> Iterator[_Row]:
    for _, of_job in groupby(lines, lambda line: line[0]):
        tasks: list[_Line] = []
        for each in of_job:
            line = _Line._make(each)
            if len(tasks) >= _MOST_TASKS:
                reading.problem(path, line.line, f"job {line.job[:63]} has more than {_MOST_TASKS:,} tasks")
                continue
            tasks.append(line)
        yield min(task.start_s for task in tasks), tasks[0].line, tuple(tasks)


@lru_cache(maxsize=10_000)  # jobs have names, sizes and graphs of tasks in common
def _task(name: str, cpu: float, memory: float, instances: int, after: tuple[str, ...]) -> Task:
    asked = Resources(cpu=cpu, memory=memory)
    return Task(name, command=["run"], resources=asked, completions=instances, after=after)


def _arrival(machine: Resources, row: _Row) -> Arrival:
    at_s, line, plain = row
    lines = [_Line._make(each) for each in plain]
    names = {each.line: as_name(each.task, each.line, sure=True) for each in lines}
    numbers = {int(match[1]): names[each.line] for each in lines if (match := _NAME.match(each.task))}
    tasks = []
    for each in lines:
        match = _NAME.match(each.task)
        wanted = [int(word) for word in match[2].split("_")[1:]] if match else []
        # What the trace does not have of the job is not waited for.
        after = tuple(dict.fromkeys(numbers[one] for one in wanted if one in numbers))
        memory = each.memory / 100 * machine.memory
        tasks.append(_task(names[each.line], each.cpu / 100, memory, each.instances, after))
    try:
        job = Job(as_name(lines[0].job, line, sure=True), tasks)
    except UsageError as error:
        raise Malformed(f"job {lines[0].job[:63]}: {error}") from None
    durations = {names[each.line]: float(each.end_s - each.start_s) for each in lines}
    codes = {names[each.line]: int(each.failed) for each in lines}
    return Arrival(float(at_s), job, durations, None, codes if any(codes.values()) else 0)


def _read(path: Path, machine: Resources, reading: Reading) -> Iterator[Arrival]:
    rows = _rows(path, sort_rows(parsed(path, reading, _line)), reading)
    yield from built(
        sort_rows(rows, most=_JOBS), reading, partial(_arrival, machine), lambda row: (path, row[1])
    )
