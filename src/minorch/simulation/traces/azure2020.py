"""Azure's packing trace of 2020: the virtual machines of a zone in 14 days.

Hadary et al., "Protean: VM Allocation Service at Scale", OSDI 2020; the file and its columns are described at
https://github.com/Azure/AzurePublicDataset, ``AzureTracesForPacking2020.md``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from math import inf, isfinite
from pathlib import Path
from typing import Final

from minorch.errors import TraceError, UsageError, brief
from minorch.model import Job, Task
from minorch.resources import Resources
from minorch.simulation.traces.formats import check_format, header_of
from minorch.simulation.traces.lines import LeftOut, Malformed
from minorch.simulation.traces.trace import Reading, Trace
from minorch.simulation.workloads.arrivals import Arrival
from minorch.simulation.workloads.files import PathLike, is_gzip, unpacked
from minorch.simulation.workloads.prototypes import Prototypes

__all__ = ["load_azure2020"]

_MAGIC: Final = b"SQLite format 3\0"
_DAY_S: Final = 86_400.0
_MACHINE: Final = Resources(cpu=64, memory="512GiB", hdd=1000, ssd=1000, nic=1000)
_MOST_TYPES: Final = 1_000_000
_CUSTOM: Final = ("hdd", "ssd", "nic")
_TYPES: Final = "SELECT vmTypeId, machineId, core, memory, hdd, ssd, nic FROM vmType LIMIT ?"
_VMS: Final = (
    "SELECT rowid, vmTypeId, priority, starttime, endtime FROM vm ORDER BY starttime, rowid"  # sorted on disk
)

_Key = tuple[int, int]
"""A type of virtual machine, and the priority of a job."""


def load_azure2020(
    path: PathLike,
    *,
    machine_id: int | None = None,
    machine: Resources = _MACHINE,
    strict: bool = True,
) -> Trace:
    """Read Azure's packing trace of 2020. Each virtual machine becomes a job of one task, ``vm-ROW``.

    What a type of virtual machine takes differs from one kind of machine to the next, so a trace is read for
    one kind; types that it cannot hold are left out.

    Args:
        path: the SQLite database; it may be packed with gzip.
        machine_id: for which kind of machine. None: for the one that can hold the most types.
        machine: what such a machine has, which is what 1.0 stands for in the columns ``core``, ``memory``,
            ``hdd``, ``ssd`` and ``nic``. What it has nothing of is not asked for. The trace does not tell it.
        strict: raise for a malformed row; otherwise skip and count it.

    Raises:
        TraceError: it is no such database, or has no types for that machine.
        OSError: it cannot be read.
    """
    file = Path(path)
    if not is_gzip(file) and not header_of(file).startswith(_MAGIC):
        check_format(file, "azure")
        raise TraceError("this is no SQLite database", str(file))
    _types(file, machine_id, machine)  # so that what is wrong is told now
    return Trace([file], partial(_read, file, machine_id, machine), strict=strict)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads; its errors are the trace's."""
    try:
        with unpacked(path) as plain:
            if not header_of(plain).startswith(_MAGIC):
                raise TraceError("what is packed in it is no SQLite database", str(path))
            address = f"{plain.resolve().as_uri()}?mode=ro&immutable=1"
            with closing(sqlite3.connect(address, uri=True)) as connection:
                connection.text_factory = bytes
                yield connection
    except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeDecodeError) as error:
        raise TraceError(f"the database cannot be read: {error}", str(path)) from None


def _types(path: Path, machine_id: int | None, machine: Resources) -> Mapping[int, Resources]:
    """What each type of virtual machine takes of one kind of machine."""
    by_machine: dict[int, dict[int, Resources]] = {}
    with _opened(path) as connection:
        for row, (vm_type, one, *shares) in enumerate(connection.execute(_TYPES, (_MOST_TYPES,)), 1):
            if not isinstance(vm_type, int) or not isinstance(one, int):
                raise TraceError(
                    f"row {row} of vmType: type {brief(vm_type)}, machine {brief(one)}", str(path)
                )
            try:
                by_machine.setdefault(one, {})[vm_type] = _amount(machine, shares)
            except (Malformed, UsageError) as error:
                raise TraceError(f"row {row} of vmType: {error}", str(path)) from None
    if not by_machine:
        raise TraceError("the trace is empty: there is no row in vmType", str(path))
    if machine_id is None:
        machine_id = min(by_machine, key=lambda one: (-len(by_machine[one]), one))
    if machine_id not in by_machine:
        known = ", ".join(map(str, sorted(by_machine)[:20]))
        raise TraceError(f"there is no machine {machine_id} in it; there are {known}", str(path))
    return by_machine[machine_id]


def _amount(machine: Resources, shares: list[object]) -> Resources:
    core, memory, *others = (_share(share) for share in shares)
    has = machine.custom
    custom = {name: share * has[name] for name, share in zip(_CUSTOM, others, strict=True) if name in has}
    return Resources(cpu=core * machine.cpu, memory=memory * machine.memory, **custom)


def _share(value: object) -> float:
    """A share of a machine; NULL is nothing."""
    if value is None:
        return 0.0
    if not isinstance(value, int | float) or not 0 <= value <= 1000:
        raise Malformed(f"{brief(value)} is no share of a machine")
    return float(value)


def _job(types: Mapping[int, Resources], key: _Key) -> Job:
    vm_type, priority = key
    return Job("job", [Task("vm", command=["run"], resources=types[vm_type])], priority=priority)


def _days(value: object, what: str) -> float:
    if not isinstance(value, int | float) or not isfinite(value):
        raise Malformed(f"{what} is {brief(value)}, and not a number of days")
    return float(value)


def _read(path: Path, machine_id: int | None, machine: Resources, reading: Reading) -> Iterator[Arrival]:
    types = _types(path, machine_id, machine)
    jobs = Prototypes(partial(_job, types))

    def arrival(row: int, vm_type: object, priority: object, start: object, end: object) -> Arrival:
        start_days = _days(start, "starttime")
        if not isinstance(priority, int) or priority not in (0, 1):
            raise Malformed(f"priority is {brief(priority)}, and neither 0 (high) nor 1 (low)")
        if not isinstance(vm_type, int):
            raise Malformed(f"vmTypeId is {brief(vm_type)}")
        if end is not None and _days(end, "endtime") < start_days:
            raise Malformed(f"it ended on day {end}, before it began on day {start}")
        if end is not None and _days(end, "endtime") <= 0:
            raise LeftOut("virtual machines that ended before the beginning")
        if vm_type not in types:
            raise LeftOut("virtual machines of types that this machine does not hold")
        at_s = max(0.0, start_days) * _DAY_S  # what was there before is there from the beginning
        runs_s = inf if end is None else _days(end, "endtime") * _DAY_S - at_s
        return Arrival(at_s, jobs.job((vm_type, 1 - priority), f"vm-{row}"), max(0.0, runs_s))

    with _opened(path) as connection:
        for row, *values in connection.execute(_VMS):
            reading.lines += 1
            try:
                made = arrival(row, *values)
            except LeftOut as why:
                reading.leave_out(str(why))
            except (Malformed, UsageError) as error:
                reading.problem(path, row if isinstance(row, int) else None, str(error))
            else:
                if made.duration_s == inf:
                    reading.not_ended(f"{made.job.name}/vm")
                yield made
