"""Alibaba's GPU cluster trace "openb" of 2023: 1,523 nodes and 8,152 pods.

Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent",
USENIX ATC 2023; the files are in ``data/csv/`` of https://github.com/hkust-adsl/kubernetes-scheduler-simulator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from minorch.errors import TraceError
from minorch.model import Job, Node, Task
from minorch.resources import Resources
from minorch.simulation.traces.formats import cells, check_format
from minorch.simulation.traces.lines import Malformed, as_name, built, number, parsed, whole
from minorch.simulation.traces.sorting import sort_rows
from minorch.simulation.traces.trace import Reading, Trace
from minorch.simulation.workloads.arrivals import Arrival
from minorch.simulation.workloads.files import PathLike, read_lines
from minorch.simulation.workloads.prototypes import Prototypes

__all__ = ["load_openb"]

_POD: Final = (
    *("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec"),
    *("creation_time", "deletion_time", "scheduled_time"),
)
_NODE: Final = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
_Shape = tuple[int, int, int, str]
"""Thousandths of cores, MiB, thousandths of GPUs, and which models of GPU it takes, separated by ``|``."""
_Row = tuple[int, int, str, float, _Shape]
"""When it was created, its line, its name, for how long it ran, what it asks for."""


def load_openb(pods: PathLike, nodes: PathLike | None = None, *, strict: bool = True) -> Trace:
    """Read the openb trace: pods that ask for CPU, memory, and GPUs or shares of them.

    A node's GPUs are one pool of the resource ``gpu``: half a GPU is 0.5, and which device it is cut from is
    not modelled.  A pod that names models of GPU has them as the constraint ``model in ...``.

    Args:
        pods: the list of pods, such as ``openb_pod_list_default.csv``; it may be packed with gzip.
        nodes: the list of nodes, such as ``openb_node_list_all_node.csv``; None: the trace has none.
        strict: raise for a malformed line; otherwise skip and count it.

    Raises:
        TraceError: a file is empty or of another format, or a line of the nodes is malformed.
        OSError: it cannot be read.
    """
    file = Path(pods)
    check_format(file, "openb-pods")
    columns = _heading(file, _POD)
    machines: list[Node] = []
    reading = Reading(strict)
    if nodes is not None:
        check_format(nodes, "openb-nodes")
        machines = _nodes(Path(nodes), reading)
    return Trace(
        [file], partial(_read, file, columns), nodes=machines, node_problems=reading.problems, strict=strict
    )


def _heading(path: Path, needed: Sequence[str]) -> Sequence[str]:
    """The names in the first line."""
    names: list[str] = []
    for line, text in read_lines(path, lambda line, words: None):
        names = [name.strip() for name in text.split(",")]
        if line and (missing := [name for name in needed if name not in names]):
            raise TraceError(f"the first line has no column {', '.join(missing)}", str(path), line)
        break
    return names


def _row_of(columns: Sequence[str], text: str) -> Mapping[str, str]:
    row = cells(text)
    if len(row) != len(columns):
        raise Malformed(f"there are {len(row)} cells, and not {len(columns)}")
    return dict(zip(columns, map(str.strip, row), strict=True))


def _from_zero(row: Mapping[str, str], column: str, most: int) -> int:
    value = whole(row[column] or "0", column)
    if not 0 <= value <= most:
        raise Malformed(f"{column} is {row[column]}")
    return value


def _nodes(path: Path, reading: Reading) -> list[Node]:
    columns = _heading(path, _NODE)
    seen: set[str] = set()  # asked, and never gone through

    def node(text: str, line: int) -> Node:
        row = _row_of(columns, text)
        if row["sn"] in seen:
            raise Malformed(f'two nodes are called "{row["sn"][:70]}"')
        seen.add(row["sn"])
        return Node(
            row["sn"],
            capacity=Resources.of(
                _from_zero(row, "cpu_milli", 10**9),
                _from_zero(row, "memory_mib", 2**40) * 2**20,
                0,
                {"gpu": gpus * 1000} if (gpus := _from_zero(row, "gpu", 10**6)) else {},
            ),
            labels={"model": row["model"]} if row["model"] else {},
            max_tasks=1000,
        )

    return list(parsed(path, reading, node, heading=True))


class _Parser:
    """Takes lines of the list of pods apart."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._highest = ""

    def row(self, text: str, line: int) -> _Row:
        """One pod.

        Raises:
            Malformed: it is none.
        """
        row = _row_of(self._columns, text)
        created_s = _from_zero(row, "creation_time", 10**10)
        deleted_s = number(row["deletion_time"], "deletion_time")
        began_s = number(row["scheduled_time"], "scheduled_time") if row["scheduled_time"] else created_s
        if deleted_s < began_s:
            raise Malformed(f"it was deleted at {deleted_s:g} s, before it began at {began_s:g} s")
        gpu_millis = _from_zero(row, "num_gpu", 10**6) * _from_zero(row, "gpu_milli", 1000)
        shape = (
            _from_zero(row, "cpu_milli", 10**9),
            _from_zero(row, "memory_mib", 2**40),
            gpu_millis,
            row["gpu_spec"],
        )
        name = row["name"]
        sure = name > self._highest
        self._highest = max(name, self._highest)
        return created_s, line, as_name(name, line, sure=sure), deleted_s - began_s, shape


def _job(shape: _Shape) -> Job:
    cpu_millis, mib, gpu_millis, models = shape
    task = Task(
        "pod",
        command=["run"],
        resources=Resources.of(cpu_millis, mib * 2**20, 0, {"gpu": gpu_millis} if gpu_millis else {}),
        constraints=[f"model in {', '.join(models.split('|'))}"] if models else [],
    )
    return Job("job", [task])


def _read(path: Path, columns: Sequence[str], reading: Reading) -> Iterator[Arrival]:
    jobs = Prototypes(_job)

    def arrival(row: _Row) -> Arrival:
        created_s, _, name, ran_s, shape = row
        return Arrival(float(created_s), jobs.job(shape, name), ran_s)

    rows = parsed(path, reading, _Parser(columns).row, heading=True)
    yield from built(sort_rows(rows), reading, arrival, lambda row: (path, row[1]))
