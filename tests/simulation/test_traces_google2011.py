"""Google's trace of 2011."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest

from minorch.errors import TraceError, UsageError
from minorch.resources import Resources
from minorch.simulation.traces import load_google2011

SUBMIT, SCHEDULE, EVICT, FAIL, FINISH, KILL, LOST, PENDING, RUNNING = range(9)
MACHINE = Resources(cpu=10, memory=1000, disk=10_000)


def line(at: int, job: int, index: int, kind: int, cpu: str = "0.1", priority: int = 2) -> str:
    return f"{at},,{job},{index},,{kind},user,1,{priority},{cpu},0.05,0.001,0\n"


def load(tmp_path: Path, *texts: str, **options):
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"part-{number}.csv")
        files[-1].write_text(text)
    return load_google2011(files, machine=MACHINE, **options)


def story(tmp_path: Path, *events: tuple[int, int]) -> list[tuple[str, float, float, int]]:
    """What becomes of one task with such (second, kind) events."""
    trace = load(tmp_path, "".join(line(at * 1_000_000, 5, 0, kind) for at, kind in events))
    return [(one.job.name, one.at_s, one.duration_s, one.exit_code) for one in trace]  # type: ignore[misc]


def test_a_task_arrives_with_its_submission_and_runs_from_its_schedule_to_its_end(tmp_path: Path):
    assert story(tmp_path, (600, SUBMIT), (610, SCHEDULE), (700, FINISH)) == [("5-0", 600, 90, 0)]
    assert story(tmp_path, (600, SUBMIT), (610, SCHEDULE), (700, KILL)) == [("5-0", 600, 90, 0)]
    assert story(tmp_path, (600, SUBMIT), (610, SCHEDULE), (700, FAIL)) == [("5-0", 600, 90, 1)]


def test_what_was_evicted_runs_as_long_as_its_last_run(tmp_path: Path):
    events = [(1, SUBMIT), (2, SCHEDULE), (50, EVICT), (50, SUBMIT), (60, SCHEDULE), (90, FINISH)]
    assert story(tmp_path, *events) == [("5-0", 1, 30, 0)]


def test_what_is_submitted_anew_after_its_end_arrives_again(tmp_path: Path):
    events = [(1, SUBMIT), (2, SCHEDULE), (5, FAIL), (6, SUBMIT), (7, SCHEDULE), (9, FINISH)]
    assert story(tmp_path, *events) == [("5-0", 1, 3, 1), ("5-0-1", 6, 2, 0)]


def test_what_ran_before_the_trace_is_there_from_the_beginning(tmp_path: Path):
    assert story(tmp_path, (0, SUBMIT), (0, SCHEDULE), (700, FINISH)) == [("5-0", 0, 700, 0)]


def test_what_has_no_end_in_the_trace_runs_on_and_is_told(tmp_path: Path):
    text = line(1, 5, 0, SUBMIT) + line(2, 5, 0, SCHEDULE) + line(2**63 - 1, 5, 0, FINISH)
    trace = load(tmp_path, text)
    (one,) = trace
    assert one.duration_s == inf
    assert (trace.unfinished, trace.unfinished_names) == (1, ("5-0/task",))


def test_what_never_ran_or_was_lost_is_left_out_and_counted(tmp_path: Path):
    text = (
        line(1, 1, 0, SUBMIT) + line(2, 1, 0, KILL)
        + line(1, 2, 0, SUBMIT) + line(2, 2, 0, SCHEDULE) + line(3, 2, 0, LOST)
        + line(1, 3, 0, FINISH)
        + line(1, 4, 0, SUBMIT)
        + line(1, 5, 0, SUBMIT) + line(2, 5, 0, SCHEDULE) + line(3, 5, 0, FINISH)
    )  # fmt: skip
    trace = load(tmp_path, text)
    assert [one.job.name for one in trace] == ["5-0"]
    assert trace.left_out == {
        "tasks that did not run to an end": 2,
        "tasks whose end was not recorded": 1,
        "ends of tasks that were not submitted": 1,
    }


def test_amounts_are_shares_of_the_machine_that_is_given_and_may_be_updated(tmp_path: Path):
    text = line(1, 5, 0, SUBMIT) + line(2, 5, 0, PENDING, cpu="0.3", priority=9)
    trace = load(
        tmp_path, text + line(3, 5, 0, SCHEDULE, cpu="0.3", priority=9) + line(4, 5, 0, FINISH, cpu="")
    )
    (one,) = trace
    assert one.job.tasks[0].resources == Resources(cpu=3, memory=50, disk=10)
    assert one.job.priority == 9


def test_parts_may_come_in_any_order_and_a_task_go_over_several(tmp_path: Path):
    late = line(9_000_000, 5, 0, FINISH) + line(5_000_000, 7, 0, SUBMIT)
    early = line(1_000_000, 5, 0, SUBMIT) + line(2_000_000, 5, 0, SCHEDULE)
    rest = line(6_000_000, 7, 0, SCHEDULE) + line(8_000_000, 7, 0, FINISH)
    trace = load(tmp_path, late, rest, early)
    assert [(one.job.name, one.at_s, one.duration_s) for one in trace] == [("5-0", 1, 7), ("7-0", 5, 2)]
    assert len(trace.paths) == 3


def test_every_machine_that_was_added_is_a_node(tmp_path: Path):
    machines = tmp_path / "machines.csv"
    machines.write_text(
        "0,7,0,PLAT,0.5,0.25\n0,8,0,PLAT,1,1\n99,7,1,PLAT,0.5,0.25\n99,7,0,PLAT,1,1\n0,9,2,PLAT,,\n"
    )
    trace = load(tmp_path, line(1, 1, 0, SUBMIT), machine_events=machines)
    assert [(node.name, node.capacity) for node in trace.nodes] == [
        ("machine-7", Resources(cpu=5, memory=250, disk=10_000)),
        ("machine-8", MACHINE),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,,5,0,,0,u,1,2,0.1,0.1\n", "11 cells"),
        ("1,,5,0,,9,u,1,2,0.1,0.1,0.1,0\n", "no event type 9"),
        ("-1,,5,0,,0,u,1,2,0.1,0.1,0.1,0\n", "the time is -1"),
        ("1,,5,-1,,0,u,1,2,0.1,0.1,0.1,0\n", "task -1"),
        ("1,,5,0,,0,u,1,2,-0.1,0.1,0.1,0\n", "CPU is -0.1"),
        ("1,,5,0,,0,u,1,2000,0.1,0.1,0.1,0\n", "the priority is 2000"),
        ("99999999999999999999,,5,0,,0,u,1,2,0.1,0.1,0.1,0\n", "too much"),
    ],
)
def test_a_malformed_line_is_told_with_file_and_line_or_skipped(tmp_path: Path, text: str, words: str):
    good = line(1, 5, 0, SUBMIT) + line(2, 5, 0, SCHEDULE) + line(3, 5, 0, FINISH)
    with pytest.raises(TraceError, match=words) as caught:
        list(load(tmp_path, good, good.replace(",5,", ",6,") + text))
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "part-1.csv"), 4)
    trace = load(tmp_path, good + text, strict=False)
    assert (len(list(trace)), trace.skipped) == (1, 1)


def test_there_has_to_be_a_file():
    with pytest.raises(UsageError, match="no file"):
        load_google2011([])
