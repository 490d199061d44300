"""Azure's packing trace of 2020."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from math import inf
from pathlib import Path

import pytest

from minorch.errors import TraceError
from minorch.resources import Resources
from minorch.simulation.traces import load_azure2020

TYPES = [
    # vmTypeId, machineId, core, memory, hdd, ssd, nic
    (1, 16, 0.5, 0.25, None, 0.1, 0.002),
    (2, 16, 0.0625, 0.1, 0.0, 0.0, 0.0),
    (1, 17, 0.25, 0.125, None, 0.1, 0.001),
    (3, 17, 1.0, 1.0, 1.0, 1.0, 1.0),
    (4, 17, 0.1, 0.1, 0.1, 0.1, 0.1),
]
VMS = [
    # vmId, tenantId, vmTypeId, priority, starttime, endtime
    (10, 1, 2, 1, 0.5, 1.0),
    (11, 1, 1, 0, -3.0, 0.25),
    (12, 1, 1, 0, -3.0, -1.0),
    (13, 1, 1, 1, 0.25, None),
    (14, 1, 3, 1, 0.25, 1.0),
]


def write(tmp_path: Path, vms=VMS, types=TYPES) -> Path:
    path = tmp_path / "trace.sqlite"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE vmType (id, vmTypeId, machineId, core, memory, hdd, ssd, nic)")
        connection.execute("CREATE TABLE vm (vmId, tenantId, vmTypeId, priority, starttime, endtime)")
        insert = "INSERT INTO vmType VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)"
        connection.executemany(insert, types)
        connection.executemany("INSERT INTO vm VALUES (?, ?, ?, ?, ?, ?)", vms)
        connection.commit()
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_virtual_machines_arrive_in_seconds_and_stay_as_long_as_they_did(tmp_path: Path, packed: bool):
    path = write(tmp_path)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    trace = load_azure2020(path, machine_id=16, machine=Resources(cpu=64, memory=1000, ssd=1000, nic=1000))
    found = list(trace)
    assert [(one.at_s, one.job.name, one.duration_s, one.job.priority) for one in found] == [
        (0, "vm-2", 21_600, 1),  # it was there before: what is left of it
        (21_600, "vm-4", inf, 0),
        (43_200, "vm-1", 43_200, 0),
    ]
    assert found[0].job.tasks[0].resources == Resources(cpu=32, memory=250, ssd=100, nic=2)
    assert (trace.lines, trace.arrivals, trace.skipped) == (5, 3, 0)
    assert trace.left_out == {
        "virtual machines that ended before the beginning": 1,
        "virtual machines of types that this machine does not hold": 1,
    }
    assert trace.unfinished_names == ("vm-4/vm",)


def test_the_machine_is_the_one_that_holds_the_most_types(tmp_path: Path):
    trace = load_azure2020(write(tmp_path))
    assert {one.job.name for one in trace} == {"vm-2", "vm-4", "vm-5"}


def test_a_machine_that_is_not_there_is_told_with_those_that_are(tmp_path: Path):
    with pytest.raises(TraceError, match="no machine 5 in it; there are 16, 17"):
        load_azure2020(write(tmp_path), machine_id=5)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((15, 1, 1, 0, "late", None), "starttime is"),
        ((15, 1, 1, 0, None, None), "starttime is None"),
        ((15, 1, 1, 2, 1.0, None), "priority is 2"),
        ((15, 1, "x", 0, 1.0, None), "vmTypeId is"),
        ((15, 1, 1, 0, 1.0, 0.5), "ended on day 0.5, before it began on day 1.0"),
        ((15, 1, 1, 0, 1e300, None), "an arrival is"),
    ],
)
def test_a_malformed_row_is_told_with_its_number_or_skipped(tmp_path: Path, row, words: str):
    path = write(tmp_path, [*VMS, row])
    with pytest.raises(TraceError, match=words) as caught:
        list(load_azure2020(path, machine_id=16))
    assert (caught.value.file, caught.value.line) == (str(path), 6)
    trace = load_azure2020(path, machine_id=16, strict=False)
    assert (len(list(trace)), trace.skipped, trace.lines) == (3, 1, 6)


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ([], "no row in vmType"),
        ([(1, 1, -0.5, 0, 0, 0, 0)], "row 1 of vmType: -0.5 is no share"),
        ([(1, None, 0.5, 0, 0, 0, 0)], "machine None"),
    ],
)
def test_types_that_make_no_sense_are_told_at_once(tmp_path: Path, types, words: str):
    with pytest.raises(TraceError, match=words):
        load_azure2020(write(tmp_path, types=types))


def test_another_file_or_database_is_told(tmp_path: Path):
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(TraceError, match="cannot be read: no such table: vmType"):
        load_azure2020(other)
    other.write_text("1,2,3\n")
    with pytest.raises(TraceError, match="no SQLite database"):
        load_azure2020(other)
    other.write_bytes(gzip.compress(write(tmp_path).read_bytes())[:-30])
    with pytest.raises(TraceError, match="the gzip file is damaged"):
        load_azure2020(other)
    other.write_bytes(gzip.compress(b"1,2,3\n"))
    with pytest.raises(TraceError, match="no SQLite database"):
        load_azure2020(other)
