"""The Standard Workload Format of the Parallel Workloads Archive, version 2.2.

Chapin et al., "Benchmarks and Standards for the Evaluation of Parallel Job Schedulers", JSSPP 1999; the
format is described at https://www.cs.huji.ac.il/labs/parallel/workload/swf.html.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from minorch.errors import UsageError, brief
from minorch.model import Job, Node, Task
from minorch.resources import Resources, parse_size
from minorch.simulation.traces.formats import check_format
from minorch.simulation.traces.lines import LeftOut, Malformed, as_name, built, number, parsed
from minorch.simulation.traces.sorting import sort_rows
from minorch.simulation.traces.trace import Reading, Trace
from minorch.simulation.workloads.arrivals import Arrival
from minorch.simulation.workloads.files import PathLike
from minorch.simulation.workloads.nodes import uniform
from minorch.simulation.workloads.prototypes import Prototypes

__all__ = ["load_swf"]

_Row = tuple[float, int, str, float, int, int, int]
"""When it was submitted, its line, its name, for how long it ran, processors, bytes for each, exit code."""

_FIELDS: Final = 18
_MISSING: Final = -1
_FAILED: Final = 0
_PARTS: Final = (2, 3, 4)
_HEADER: Final = re.compile(r";+\s*(MaxNodes|MaxProcs)\s*:\s*(\d{1,7})\b")


def load_swf(
    path: PathLike,
    *,
    processors_per_task: int = 1,
    node_memory: int | float | str | None = None,
    strict: bool = True,
) -> Trace:
    """Read a trace in the Standard Workload Format: jobs of parallel computers.

    A job of n processors becomes a job of n tasks that are placed together (``gang``), each with one core.
    With *processors_per_task* above 1 they are fewer and larger.  How the other fields are taken is told in
    the documentation: ``howto/traces``.

    Args:
        path: the file, which may be packed with gzip.
        processors_per_task: how many cores one task has at most. All of a job are divided equally.
        node_memory: bytes of memory of each node, or text (``"64GiB"``). None: memory is left out, since the
            format does not tell what nodes have.
        strict: raise for a malformed line; otherwise skip and count it.

    The nodes of the trace are those of ``MaxNodes`` and ``MaxProcs`` in its header.

    Raises:
        TraceError: it is empty, or of another format.
        UsageError: an argument makes no sense.
        OSError: it cannot be read.
    """
    if isinstance(processors_per_task, bool) or not isinstance(processors_per_task, int):
        raise UsageError(f"processors_per_task={brief(processors_per_task)} is no whole number")
    if processors_per_task < 1:
        raise UsageError(f"processors_per_task={processors_per_task}: it is at least 1")
    memory = None if node_memory is None else parse_size(node_memory, "node_memory")
    file = Path(path)
    header = check_format(file, "swf", comment=";")
    return Trace(
        [file],
        partial(_read, file, processors_per_task, memory is not None),
        nodes=_nodes(header, memory or 0),
        strict=strict,
    )


def _nodes(header: Sequence[str], memory: int) -> list[Node]:
    told = {match[1]: int(match[2]) for line in header if (match := _HEADER.match(line))}
    processors = told.get("MaxProcs") or told.get("MaxNodes", 0)
    count = told.get("MaxNodes") or processors
    if not count or processors < count:
        return []
    each, more = divmod(processors, count)
    larger = uniform(more, cpu=each + 1, memory=memory, prefix="larger")
    return larger + uniform(count - more, cpu=each, memory=memory)


class _Parser:
    """Takes lines apart."""

    def __init__(self) -> None:
        self._highest = -math.inf

    def row(self, text: str, line: int) -> _Row:
        """One line.

        Raises:
            Malformed: it is none.
            LeftOut: its job did not run, or is a part of one that is told as a whole.
        """
        words = text.split()
        if len(words) != _FIELDS:
            raise Malformed(f"there are {len(words)} fields, and not {_FIELDS}")
        values = [number(word, f"field {at}") for at, word in enumerate(words, 1)]
        job, submitted_s, _, ran_s, allocated, _, used_kb, requested, _, requested_kb, status, *_ = values
        if status in _PARTS:
            raise LeftOut("parts of jobs that are told as a whole")
        if submitted_s == _MISSING:
            raise LeftOut("jobs without a time of submission")
        if submitted_s < 0:
            raise Malformed(f"field 2: it was submitted at {words[1]} s, before the beginning")
        if ran_s == _MISSING:
            raise LeftOut("jobs that did not run")
        if ran_s < 0:
            raise Malformed(f"field 4: it ran for {words[3]} s")
        processors = requested if requested > 0 else allocated
        if processors == _MISSING or processors == 0:
            raise LeftOut("jobs of no processors")
        if processors < 0 or processors != int(processors):
            raise Malformed(f"fields 5 and 8: {processors:g} processors")
        kb = max(0.0, requested_kb if requested_kb > 0 else used_kb)
        if kb > 2**50:
            raise Malformed(f"fields 7 and 10: {kb:g} KB of memory are too much")
        sure = job > self._highest
        self._highest = max(job, self._highest)
        name = as_name(f"{job:.0f}" if job >= 0 and job == int(job) else "job", line, sure=sure)
        return (
            submitted_s,
            line,
            name,
            ran_s,
            min(int(processors), 2**62),
            int(kb * 1024),
            int(status == _FAILED),
        )


def _job(per_task: int, with_memory: bool, key: tuple[int, int]) -> Job:
    processors, memory = key
    tasks = -(-processors // per_task)
    amount = Resources(cpu=processors / tasks, memory=memory * processors // tasks if with_memory else 0)
    task = Task("rank", command=["run"], resources=amount, completions=tasks)
    return Job("job", [task], gang=tasks > 1)


def _read(path: Path, per_task: int, with_memory: bool, reading: Reading) -> Iterator[Arrival]:
    jobs = Prototypes(partial(_job, per_task, with_memory))

    def arrival(row: _Row) -> Arrival:
        at_s, _, name, ran_s, processors, memory, exit_code = row
        try:
            job = jobs.job((processors, memory), name)
        except UsageError as error:
            raise Malformed(
                f"{processors:,} processors in tasks of {per_task}: {error}; try a larger processors_per_task"
            ) from None
        return Arrival(at_s, job, ran_s, None, exit_code)

    rows = parsed(path, reading, _Parser().row, comment=";")
    yield from built(sort_rows(rows), reading, arrival, lambda row: (path, row[1]))
