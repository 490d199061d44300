"""The Standard Workload Format."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from minorch.errors import TraceError, UsageError
from minorch.resources import Resources
from minorch.simulation import Simulation
from minorch.simulation.traces import load_swf

TRACE = """\
; Version: 2.2
; Computer: a small one
;  MaxNodes: 3
; MaxProcs: 8
1 0   10 100 4 90 1024 4 200 2048 1 1 1 1 1 1 -1 -1
2 5   -1  -1 2 -1   -1 2 200   -1 5 1 1 1 1 1 -1 -1
3 7.5 0   60 1 -1   -1 -1 -1   -1 0 1 1 1 1 1 -1 -1
3 7.5 0   30 1 -1   -1 -1 -1   -1 2 1 1 1 1 1 -1 -1
4 -1  0   60 1 -1   -1 -1 -1   -1 1 1 1 1 1 1 -1 -1
5 2   0    0 8 -1  512  8 -1   -1 5 1 1 1 1 1  1 10
"""


def write(tmp_path: Path, text: str, pack=lambda content: content) -> Path:
    path = tmp_path / "trace.swf"
    path.write_bytes(pack(text.encode()))
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_jobs_are_read_in_the_order_of_time_with_their_processors_and_run_times(tmp_path: Path, pack):
    trace = load_swf(write(tmp_path, TRACE, pack))
    for _ in range(2):  # it can be read again
        found = list(trace)
        assert [(one.at_s, one.job.name, one.duration_s, one.exit_code) for one in found] == [
            (0.0, "1", 100.0, 0),
            (2.0, "5", 0.0, 0),
            (7.5, "3", 60.0, 1),
        ]
        assert [one.job.tasks[0].completions for one in found] == [4, 8, 1]
        assert [one.job.gang for one in found] == [True, True, False]
        assert found[0].job.tasks[0].resources == Resources(cpu=1)
        assert (trace.lines, trace.arrivals, trace.skipped) == (6, 3, 0)
        assert sum(trace.left_out.values()) == 3


def test_the_header_tells_the_nodes(tmp_path: Path):
    nodes = load_swf(write(tmp_path, TRACE), node_memory="4GiB").nodes
    assert sorted(node.capacity.cpu for node in nodes) == [2, 3, 3]
    assert {node.capacity.memory for node in nodes} == {4 * 2**30}
    assert load_swf(write(tmp_path, TRACE.replace("Max", "Min"))).nodes == []


def test_memory_is_asked_for_where_nodes_have_some(tmp_path: Path):
    first, last, _ = load_swf(write(tmp_path, TRACE), node_memory="4GiB")
    assert first.job.tasks[0].resources == Resources(cpu=1, memory=2048 * 1024)
    assert last.job.tasks[0].resources.memory == 512 * 1024  # what was used, for nothing was requested


def test_processors_can_be_put_together_in_larger_tasks(tmp_path: Path):
    first, second, _ = load_swf(write(tmp_path, TRACE), processors_per_task=3, node_memory="4GiB")
    assert (first.job.tasks[0].completions, first.job.tasks[0].resources.cpu) == (2, 2)
    assert first.job.tasks[0].resources.memory == 2 * 2048 * 1024
    assert (second.job.tasks[0].completions, second.job.tasks[0].resources.cpu) == (3, 2.667)


def test_the_trace_runs_in_a_simulation_on_its_own_nodes(tmp_path: Path):
    trace = load_swf(write(tmp_path, TRACE))
    result = Simulation(nodes=trace.nodes, workload=trace).run()
    assert len(result.ledger) == 4 + 8 + 1
    began = {row.job: row.started_s for row in result.records()}
    assert began == {"1": 0.0, "3": 7.5, "5": 100.0}  # the eight wait until all processors are free


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("6 9 0 60 1", "5 fields, and not 18"),
        ("6 x 0 60 1 -1 -1 -1 -1 -1 1 1 1 1 1 1 -1 -1", "field 2 is 'x'"),
        ("6 9 0 nan 1 -1 -1 -1 -1 -1 1 1 1 1 1 1 -1 -1", "field 4 is 'nan'"),
        ("6 -9 0 60 1 -1 -1 -1 -1 -1 1 1 1 1 1 1 -1 -1", "before the beginning"),
        ("6 9 0 -60 1 -1 -1 -1 -1 -1 1 1 1 1 1 1 -1 -1", "it ran for -60 s"),
        ("6 9 0 60 1.5 -1 -1 -1 -1 -1 1 1 1 1 1 1 -1 -1", "1.5 processors"),
        ("6 9 0 60 20000 -1 -1 -1 -1 -1 1 1 1 1 1 1 -1 -1", "larger processors_per_task"),
        ("6 1e99 0 60 1 -1 -1 -1 -1 -1 1 1 1 1 1 1 -1 -1", "an arrival is"),
    ],
)
def test_a_malformed_line_is_told_with_its_number_or_skipped_and_counted(
    tmp_path: Path, line: str, words: str
):
    path = write(tmp_path, f"{TRACE}{line}\n")
    with pytest.raises(TraceError, match=words) as caught:
        list(load_swf(path))
    assert (caught.value.file, caught.value.line) == (str(path), 11)
    trace = load_swf(path, strict=False)
    assert len(list(trace)) == 3
    assert trace.skipped == 1
    assert str(trace.problems[0]) == str(caught.value)


def test_a_job_whose_number_was_there_before_gets_another_name(tmp_path: Path):
    line = "1 {} 0 60 1 -1 -1 -1 -1 -1 1 1 1 1 1 1 -1 -1\n"
    names = [one.job.name for one in load_swf(write(tmp_path, "".join(line.format(at) for at in range(3))))]
    assert names == ["1", "1-line-2", "1-line-3"]


@pytest.mark.parametrize("text", ["", "\n\n", "; only a header\n"])
def test_an_empty_trace_says_so(tmp_path: Path, text: str):
    with pytest.raises(TraceError, match="the trace is empty"):
        load_swf(write(tmp_path, text))


def test_a_trace_of_nothing_that_arrives_says_why(tmp_path: Path):
    path = write(tmp_path, TRACE.splitlines(keepends=True)[5] + "nothing\n")
    with pytest.raises(
        TraceError, match=r"the trace is empty.* 1 lines were malformed.*1 jobs that did not run"
    ):
        list(load_swf(path, strict=False))


def test_only_the_first_arrivals_are_read_where_that_was_asked_for(tmp_path: Path):
    trace = load_swf(write(tmp_path, TRACE)).first(2)
    assert [one.job.name for one in trace] == ["1", "5"] == [one.job.name for one in trace.first(5)]
    assert len(trace.nodes) == 3


@pytest.mark.parametrize("processors_per_task", [0, True, 1.5])
def test_tasks_of_no_processors_are_refused(tmp_path: Path, processors_per_task):
    with pytest.raises(UsageError, match="processors_per_task"):
        load_swf(write(tmp_path, TRACE), processors_per_task=processors_per_task)


def test_a_trace_says_what_it_is(tmp_path: Path):
    trace = load_swf(write(tmp_path, TRACE))
    list(trace)
    assert repr(trace) == f"<Trace {tmp_path / 'trace.swf'}: 3 arrivals read, 0 skipped>"
    assert trace.path == tmp_path / "trace.swf"
