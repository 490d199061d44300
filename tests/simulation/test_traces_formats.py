"""Formats are told apart, and whatever bytes a file holds, there are arrivals or an error that names it."""

from __future__ import annotations

import functools
import gzip
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from minorch.errors import TraceError
from minorch.simulation.traces import (
    Trace,
    from_events,
    load_alibaba2018,
    load_azure2020,
    load_events,
    load_google2011,
    load_openb,
    load_swf,
)
from minorch.simulation.traces.sorting import sort_rows
from minorch.simulation.workloads.arrivals import read_arrivals

SWF = (
    "; MaxProcs: 8\n"
    "1 0 10 100 4 90 1024 4 200 2048 1 1 1 1 1 1 -1 -1\n"
    "2 5 1 7 1 -1 -1 -1 -1 -1 0 1 1 1 1 1 -1 -1\n"
)
GOOGLE = "".join(
    f"{at},,5,{task},,{kind},u,1,2,0.1,0.05,0,0\n" for task in (0, 1) for at, kind in ((1, 0), (2, 1), (9, 4))
)
MACHINES = "0,7,0,PLAT,0.5,0.25\n"
ALIBABA = (
    "M1,2,j_1,1,Terminated,100,110,100,1\n"
    "R2_1,1,j_1,1,Terminated,110,120,50,0.5\n"
    "task_x,1,j_2,1,Failed,9,10,,\n"
)
INSTANCES = "ins_1,M1,j_1,1,Terminated,100,110,m_1,1,1,0.5,1,0.1,0.1\n"
META = "m_1,0,1,4,96,100,USING\n"
PODS = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
    "pod-1,12000,16384,1,1000,,LS,Running,100,1000,120\npod-2,500,1024,0,0,,BE,Pending,50,90,\n"
)
NODES = "sn,cpu_milli,memory_mib,gpu,model\nn0,32000,262144,0,\n"
EVENTS = (
    '{"minorch":"events","version":1}\n'
    '{"job":{"name":"j","tasks":[{"name":"a","command":["x"]}]}}\n'
    '{"event":{"number":1,"at":1.0,"kind":"job_submitted","job":"j"}}\n'
    '{"event":{"number":2,"at":2.0,"kind":"task_running","job":"j","task":"a"}}\n'
)


def recording(path: Path, strict: bool = True) -> Trace:
    return from_events(*load_events(path), strict=strict)


LOADERS: dict[str, tuple[Callable[..., Trace], str]] = {
    "load_swf": (load_swf, SWF),
    "load_google2011": (load_google2011, GOOGLE),
    "load_alibaba2018": (load_alibaba2018, ALIBABA),
    "load_openb": (load_openb, PODS),
    "load_events": (recording, EVENTS),
}


@pytest.mark.parametrize("mine", LOADERS)
def test_each_loader_reads_its_own_format(tmp_path: Path, mine: str):
    load, content = LOADERS[mine]
    (tmp_path / "trace").write_text(content)
    assert list(load(tmp_path / "trace"))


@pytest.mark.parametrize("theirs", LOADERS)
@pytest.mark.parametrize("mine", [*LOADERS, "load_azure2020"])
@pytest.mark.parametrize("strict", [True, False])
def test_a_trace_of_another_format_is_named_in_the_error(
    tmp_path: Path, mine: str, theirs: str, strict: bool
):
    if mine == theirs:
        return
    load = load_azure2020 if mine == "load_azure2020" else LOADERS[mine][0]
    path = tmp_path / "trace"
    path.write_text(LOADERS[theirs][1])
    with pytest.raises(TraceError, match=rf"this looks like .*; use {theirs}") as caught:
        load(path, strict=strict)
    assert caught.value.file == str(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (MACHINES.encode(), "a Google 2011 machine_events file"),
        (INSTANCES.encode(), "a batch_instance file of Alibaba 2018"),
        (META.encode(), "a machine_meta file of Alibaba 2018"),
        (NODES.encode(), "an openb list of nodes"),
        (b"SQLite format 3\0" + b"\0" * 100, "an SQLite database; use load_azure2020"),
        (b"PK\x03\x04xxxx", "a zip archive"),
        (b"PAR1xxxx", "a Parquet file"),
    ],
)
def test_files_that_are_no_list_of_jobs_are_named_too(tmp_path: Path, content: bytes, words: str):
    (tmp_path / "trace").write_bytes(content)
    with pytest.raises(TraceError, match=words):
        load_swf(tmp_path / "trace")


@pytest.mark.parametrize("name", LOADERS)
def test_a_damaged_gzip_file_is_told_with_its_line(tmp_path: Path, name: str):
    load, content = LOADERS[name]
    path = tmp_path / "trace.gz"
    lines = content.encode() + b"\n".join(os.urandom(30).hex().encode() for _ in range(3000))
    path.write_bytes(gzip.compress(lines)[:-5000])
    with pytest.raises(TraceError, match=r"damaged|malformed|no .*line|fields|cells"):
        list(load(path, strict=name == "load_events"))
    path.write_bytes(gzip.compress(content.encode())[:-9])
    with pytest.raises(TraceError, match="the gzip file is damaged here"):
        list(load(path))


@pytest.mark.parametrize("name", LOADERS)
def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path, name: str):
    with pytest.raises(FileNotFoundError):
        LOADERS[name][0](tmp_path / "none")


@pytest.mark.parametrize("name", sorted(set(LOADERS) - {"load_events"}))
def test_a_line_that_is_no_text_or_too_long_is_skipped_and_counted(tmp_path: Path, name: str):
    load, content = LOADERS[name]
    path = tmp_path / "trace"
    path.write_bytes(b"\xef\xbb\xbf" + content.encode() + b"\xff\xfe\n" + b"x" * 3_000_000 + b"\n")
    trace = load(path, strict=False)
    list(trace)
    last = content.count("\n")
    assert [error.line for error in trace.problems] == [last + 1, last + 2]


# -- whatever the file holds -----------------------------------------------------------------

CELL = st.sampled_from(
    ["", "-1", "0", "1", "7", "1e9", "nan", "inf", "-0.5", "x", "j_1", "M1_2", "9" * 30, "٣", '"', "\0"]
)


@st.composite
def damaged(draw: st.DrawFn, content: str) -> bytes:
    """A file with some of its cells, lines or bytes replaced."""
    lines = content.splitlines(keepends=True)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        separator = "," if "," in lines[at] else " "
        words = lines[at].rstrip("\n").split(separator)
        words[draw(st.integers(0, len(words) - 1))] = draw(CELL)
        lines[at] = separator.join(words) + "\n"
    whole = bytearray("".join(draw(st.permutations(lines)) if draw(st.booleans()) else lines).encode())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(whole)))
        whole[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(whole)


def read(load: Callable[..., Trace], content: bytes, strict: bool) -> tuple[Trace | None, int]:
    """The trace and how many arrivals it gave, or nothing if it was refused with an error that names it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "trace"
        path.write_bytes(content)
        try:
            trace = load(path, strict=strict)
            return trace, len(list(read_arrivals(trace, 0)))
        except TraceError as error:
            told = error
    assert told.file == str(path) or told.file.startswith(("event", "the recording"))
    assert told.problem
    return None, 0


@pytest.mark.parametrize("name", LOADERS)
@given(data=st.data(), strict=st.booleans(), pack=st.booleans())
@settings(max_examples=60)
def test_any_bytes_give_arrivals_in_order_or_an_error_that_names_the_file(
    name, data, strict: bool, pack: bool
):
    load, content = LOADERS[name]
    what = data.draw(st.one_of(damaged(content), st.binary(max_size=100)))
    trace, count = read(load, gzip.compress(what) if pack else what, strict)
    if trace is not None:
        assert trace.arrivals == count > 0
        assert not (strict and trace.skipped)


@pytest.mark.parametrize("name", ["load_swf", "load_openb"])
@given(data=st.data())
def test_what_is_read_leniently_adds_up(name: str, data):
    load, content = LOADERS[name]
    trace, count = read(load, data.draw(damaged(content)), strict=False)
    if trace is not None:
        assert trace.lines == count + trace.skipped + sum(trace.left_out.values())
        assert len(trace.problems) == min(100, trace.skipped)


@given(at=st.integers(0, 40_000), junk=st.binary(min_size=1, max_size=40), strict=st.booleans())
@settings(max_examples=60)
def test_any_bytes_in_a_database_give_arrivals_or_an_error_that_names_the_file(
    at: int, junk: bytes, strict: bool
):
    content = bytearray(database())
    at %= len(content)
    content[at : at + len(junk)] = junk
    read(load_azure2020, bytes(content), strict)


@functools.cache
def database() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE vmType (vmTypeId, machineId, core, memory, hdd, ssd, nic)")
            connection.execute("CREATE TABLE vm (vmId, tenantId, vmTypeId, priority, starttime, endtime)")
            connection.execute("INSERT INTO vmType VALUES (1, 16, 0.5, 0.25, NULL, 0.1, 0.002)")
            rows = [(at, 1, 1, at % 2, at / 10 - 1, at / 5) for at in range(200)]
            connection.executemany("INSERT INTO vm VALUES (?, ?, ?, ?, ?, ?)", rows)
            connection.commit()
        return path.read_bytes()


def test_a_hundred_problems_are_kept_and_all_are_counted(tmp_path: Path):
    (tmp_path / "trace").write_text(SWF + "x\n" * 150)
    trace = load_swf(tmp_path / "trace", strict=False)
    list(trace)
    assert (trace.skipped, len(trace.problems)) == (150, 100)


# -- sorting ---------------------------------------------------------------------------------


@given(
    rows=st.lists(st.tuples(st.integers(-5, 5), st.text(max_size=3), st.none() | st.floats(allow_nan=False))),
    most=st.integers(1, 7),
)
def test_rows_are_sorted_whatever_fits_into_memory(rows, most: int):
    numbered = [(first, number, (text, other)) for number, (first, text, other) in enumerate(rows)]
    assert list(sort_rows(iter(numbered), most=most)) == sorted(numbered, key=lambda row: row[:2])


def test_no_more_than_is_allowed_is_taken_in_before_it_is_written_down():
    taken = 0

    def rows() -> Iterator[tuple[float, int]]:
        nonlocal taken
        random = Random(1)
        for number in range(5000):
            taken += 1
            yield random.random(), number

    found = sort_rows(rows(), most=20)  # 250 runs, more than are open at the same time
    assert len(list(found)) == taken == 5000


def test_temporary_files_are_gone_when_an_iteration_is_broken_off(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    open_before = len(os.listdir("/proc/self/fd"))
    found = sort_rows(((number,) for number in range(100)), most=10)
    next(found)
    assert len(os.listdir("/proc/self/fd")) > open_before
    found.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == open_before
    assert list(tmp_path.iterdir()) == []
