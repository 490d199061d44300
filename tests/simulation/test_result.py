"""A result tells what it is: in figures, as JSON and back, as a frame, as one number, and in a notebook."""

from __future__ import annotations

import gzip
import json
import math
import os
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from minorch import InvariantError, Job, Node, Reason, Resources, Task, UsageError
from minorch.simulation import Ending, Fault, Faults, Ledger, Simulation, SimulationResult
from minorch.simulation.results.conservation import check
from tests.simulation.ledgers import END_S, Told, ledgers, machines, ran, result_of

TOLD = [
    ran(0, 5.0, 25.0, duration_s=20.0, uses=Resources(cpu="250m"), job="a"),
    Told(at_s=10.0, runs=[(1, 12.0, 15.0), (0, 20.0, 30.0)], asks=Resources(cpu=2, memory="1GiB"), job="c"),
    Told(at_s=11.0, runs=[(1, 12.0, None)], ending=Ending.RUNNING, duration_s=math.inf, job="e"),
    Told(at_s=13.0, ending=Ending.WAITING, job="f"),
    Told(at_s=14.0, ending=Ending.REFUSED, asks=Resources(cpu=99, gpu=1), job="g"),
]
CUT = Fault(kind="cut", node="n1", began_s=15.0, ended_s=None)


def story(faults: tuple[Fault, ...] = (CUT,)) -> SimulationResult:
    return result_of(machines(2), TOLD, 40.0, faults)


def played(**more: object) -> SimulationResult:
    work = [
        (
            float(at),
            Job(f"job-{at}", [Task("t", command=["x"], completions=3, resources=Resources(cpu=2))]),
            30.0,
        )
        for at in range(0, 200, 5)
    ]
    return Simulation(nodes=machines(3), workload=work, scheduler="epvm", seed=1, **more).run()


# -- the summary ----------------------------------------------------------------------------------


def test_a_summary_is_a_table_that_adds_up():
    assert str(story().summary()).splitlines() == [
        "epvm, seed 7: 2 nodes, 5 tasks of 5 jobs, 40 s",
        "",
        "tasks     5 = 2 completed + 1 running + 1 waiting + 1 refused",
        "unplaced  1 of them never ran, beside the refused",
        "refused   no node could ever hold it",
        "runs      4 = 3 first + 1 more",
        "moved     2 preemptions, 1 move",
        "makespan  at least 40 s",
        "busy      1 min 1 s of all runs, 3 s of it for nothing",
        "fairness  0.949 (Jain's index of bounded slowdowns by job)",
        "planning  30 decisions in 4 plans: 60 decisions/s",
        "it took   2.50 s, of which 0.50 s planning",
        "",
        "                         mean   p50   p95   p99  most  tasks",
        "wait, s                  2.67  2.00  4.70  4.94  5.00      3",
        "slowdown                 1.62  1.62  1.96  1.99  2.00      2",
        "bounded slowdown (10 s)  1.62  1.62  1.96  1.99  2.00      2",
        "",
        "          in all  reserved %  at peak  used %  at peak  stranded %  fragmented %",
        "cpu      8 cores        23.1     50.0    18.4     40.6         0.0           0.8",
        "memory  16.0 GiB         2.0      6.2     2.0      6.2         2.1          77.1",
    ]


def test_a_summary_of_nothing_is_told_too():
    summary = result_of(machines(1), [], 0.0).summary()
    assert "tasks     0 = 0" in str(summary)
    assert summary.to_dict()["fairness"] is None
    assert "nan" not in str(summary)
    assert "nan" not in summary._repr_html_()


def test_a_summary_is_plain_data():
    summary = story().summary(tau_s=5.0)
    whole = json.loads(json.dumps(summary.to_dict(), allow_nan=False))
    assert whole["outcomes"]["completed"] == 2
    assert whole["tau_s"] == 5.0
    assert [use["resource"] for use in whole["use"]] == ["cpu", "memory"]


def test_figures_are_flat_and_named():
    figures = story().summary().figures()
    assert figures["wait_p50_s"] == 2.0
    assert figures["makespan_s"] == 40.0
    assert figures["cpu_reserved_peak"] == 0.5
    # Of 4 tasks one asks for memory. At 3 of 16 moments it fits on one node only, for want of cores.
    assert figures["memory_fragmented_mean"] == (0.75 * (11 * 16 + 5 * 15) + 3 * 7 / 4) / (11 * 16 + 5 * 15)
    assert figures["memory_stranded_mean"] == 3 * 7 / 4 / 16 / 16
    assert figures["preemptions"] == 2.0
    assert figures["unplaced"] == 1.0
    assert figures["decisions_per_s"] == 60.0
    assert all(isinstance(value, float) for value in figures.values())


def test_many_tasks_are_summarised_in_little_memory():
    ledger, tasks = Ledger(machines(50)), 20_000
    for number in range(tasks):
        asks = Resources(cpu=1, memory=1 + number % 100)
        row = ledger.arrive(f"job-{number}", "t", number * 0.5, 60.0, asks, asks)
        run = ledger.begin(row, number % 50, number * 0.5)
        ledger.end(run, number * 0.5 + 0.25)
        ledger.finish(row, Ending.COMPLETED, Reason.EXITED, number * 0.5 + 0.25)
    result = SimulationResult(
        ledger, scheduler="x", seed=0, ended_s=10_000.0, counts={}, wall_s=1.0, planning_s=0.0
    )
    tracemalloc.start()
    try:
        result.summary()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most / tasks < 200  # bytes


# -- JSON -----------------------------------------------------------------------------------------


@given(ledgers())
@settings(max_examples=40)
def test_a_result_is_the_same_after_json(ledger: Ledger):
    result = SimulationResult(
        ledger,
        scheduler="my <own>",
        seed=2**70,
        ended_s=END_S,
        counts={"plans": 3},
        wall_s=0.1,
        planning_s=0.05,
        faults=[CUT],
        refusals=["why not"],
    )
    again = SimulationResult.from_json(result.to_json())
    assert again.digest() == result.digest()
    assert list(again.records()) == list(result.records())
    assert list(again.runs()) == list(result.runs())
    assert repr(again.summary()) == repr(result.summary())
    assert again.to_json() == result.to_json()


@pytest.mark.parametrize("name", ["result.json", "result.json.gz"])
def test_a_result_is_written_to_a_file_and_read_back(name: str, tmp_path: Path):
    path = tmp_path / name
    result = story()
    result.to_json(path)
    first = path.read_bytes()
    result.to_json(str(path))
    assert path.read_bytes() == first, "the same result gives the same bytes"
    assert SimulationResult.from_json(path).digest() == result.digest()
    assert SimulationResult.from_json(str(path)).faults == (CUT,)


def test_json_is_columns_that_others_can_read():
    whole = json.loads(story().to_json())
    assert whole["format"] == "minorch simulation result"
    assert whole["version"] == 1
    assert whole["tasks"]["ending"] == ["completed", "completed", "running", "waiting", "refused"]
    assert whole["tasks"]["started_s"] == [5.0, 12.0, 12.0, None, None]
    assert whole["tasks"]["duration_s"][2] is None
    assert whole["runs"]["task"] == [0, 1, 2, 1]
    assert whole["nodes"][0]["name"] == "n0"


def _with(**changes: object) -> Callable[[dict], None]:
    return lambda whole: whole.update(changes)


def _column(table: str, name: str, values: object) -> Callable[[dict], None]:
    return lambda whole: whole[table].update({name: values})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_with(format="x"), 'its format is "x"'),
        (_with(version=99), "version 99, and this one reads version 1"),
        (_with(seed="x"), r"\$\.seed"),
        (_with(ended_s=None), r"\$\.ended_s"),
        (_with(nodes=[{"name": "-"}]), "cannot name a node"),
        (_with(shapes=[{"cpu": 1}, {"cpu": 1}]), "twice"),
        (lambda whole: whole.pop("scheduler"), "scheduler"),
        (lambda whole: whole["tasks"].pop("used"), "tasks have no used"),
        (_column("tasks", "ending", ["lost"] * 5), "tasks.ending: Invalid enum value 'lost'"),
        (_column("tasks", "arrived_s", [0.0]), "different lengths"),
        (_column("tasks", "requested", [9] * 5), "requested holds a row that is not there"),
        (_column("tasks", "requested", [2**70] * 5), "int"),
        (_column("runs", "task", [0, 1, 2, 5]), "a task that is not there"),
        (_column("runs", "task", [0, 1, 2, -1]), "a task that is not there"),
        (_column("runs", "node", [0, 0, 0, 7]), "run_node holds a row that is not there"),
        (_column("runs", "began_s", ["x"]), "runs.began_s"),
    ],
)
def test_a_damaged_result_is_refused_with_its_place(damage: Callable[[dict], None], words: str):
    whole = json.loads(story().to_json())
    damage(whole)
    with pytest.raises(UsageError, match=words):
        SimulationResult.from_json(json.dumps(whole))


@pytest.mark.parametrize("text", ["{", "{}", b"\xff", b"[]", b""])
def test_what_is_no_result_is_refused(text: str | bytes):
    with pytest.raises(UsageError, match="no result of a simulation"):
        SimulationResult.from_json(text)


def test_a_damaged_file_is_refused(tmp_path: Path):
    path = tmp_path / "result.json.gz"
    path.write_bytes(gzip.compress(story().to_json().encode())[:-20])
    with pytest.raises(UsageError, match=r"damaged \.gz"):
        SimulationResult.from_json(path)
    with pytest.raises(FileNotFoundError):
        SimulationResult.from_json(tmp_path / "none.json")
    with pytest.raises(UsageError, match="takes JSON or a path"):
        SimulationResult.from_json(3)  # type: ignore[arg-type]


# -- the digest -----------------------------------------------------------------------------------


COLUMNS = [*Ledger([]).columns()[0], *Ledger([]).columns()[1]]


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in ("runs", "last_run")])
def test_a_digest_tells_every_column(name: str):
    result, other = story(), story()
    column = getattr(other.ledger, name)
    column[0] = "other" if isinstance(column[0], str) else column[0] + 1
    assert other.digest() != result.digest()


@pytest.mark.parametrize("field", ["scheduler", "seed", "ended_s", "counts", "faults", "refusals"])
def test_a_digest_tells_how_it_came_about(field: str):
    result, other = story(), story()
    new = {"scheduler": "x", "seed": 8, "ended_s": 40.5, "counts": {}, "faults": (), "refusals": ()}
    setattr(other, field, new[field])
    assert other.digest() != result.digest()


def test_a_digest_tells_nodes_and_amounts():
    assert result_of(machines(2, cpu=5), TOLD, 40.0).digest() != result_of(machines(2), TOLD, 40.0).digest()


def test_a_digest_does_not_tell_real_time_or_who_carried_it():
    result, other = story(), story()
    other.wall_s, other.planning_s = 99.0, 9.0
    other.counts = dict(reversed(other.counts.items()))
    assert other.digest() == result.digest()
    assert pickle.loads(pickle.dumps(result)).digest() == result.digest()


def test_a_digest_and_a_summary_are_the_same_in_every_process():
    script = (
        "from tests.simulation.test_result import played\n"
        "result = played()\n"
        "print(result.digest(), sorted(result.summary().figures().items())[:-9])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([".", *sys.path])},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split("[")[0]
        for seed in ("1", "2")
    }
    assert told == {f"{played().digest()} "}


def test_a_result_goes_to_another_process_as_columns():
    result = story()
    again = pickle.loads(pickle.dumps(result))
    assert list(again.records()) == list(result.records())
    assert again.ledger.shape(Resources(cpu=1)) == result.ledger.shape(Resources(cpu=1))
    assert again.ledger.node_numbers == {"n0": 0, "n1": 1}


# -- frames ---------------------------------------------------------------------------------------


def test_a_frame_has_a_row_for_each_task():
    pytest.importorskip("pandas")
    frame = story().to_frame()
    assert len(frame) == 5
    assert list(frame["ending"]) == ["completed", "completed", "running", "waiting", "refused"]
    assert list(frame["node"])[:3] == ["n0", "n0", "n1"]
    assert frame["node"].isna().tolist() == [False, False, False, True, True]
    assert frame["reason"].isna().tolist() == [False, False, True, True, False]
    assert frame["wait_s"].tolist()[:3] == [5.0, 2.0, 1.0]
    assert frame["wait_s"].isna().sum() == 2
    assert frame["asked_memory_bytes"].tolist() == [0, 2**30, 0, 0, 0]
    assert frame["used_cpu"].tolist()[0] == 0.25
    assert frame["asked_gpu"].tolist()[-1] == 1.0
    assert frame["runs"].tolist() == [1, 2, 1, 0, 0]


def test_a_frame_of_runs_has_a_row_for_each_run():
    pytest.importorskip("pandas")
    frame = story().to_frame("runs")
    assert frame["task"].tolist() == ["t0", "t1", "t2", "t1"]
    assert frame["node"].tolist() == ["n0", "n1", "n1", "n0"]
    assert frame["ended_s"].isna().tolist() == [False, False, True, False]


def test_a_frame_without_pandas_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r'pip install "minorch\[frame\]"'):
        story().to_frame()


def test_there_are_two_frames():
    pytest.importorskip("pandas")
    with pytest.raises(UsageError, match='"tasks" and one of "runs"'):
        story().to_frame("nodes")  # type: ignore[arg-type]


# -- in a notebook --------------------------------------------------------------------------------


def test_a_result_shows_itself():
    result = story()
    shown = result._repr_html_()
    assert "2 completed" in shown
    assert "<svg" in shown
    assert "n0" in shown
    assert repr(result) == "<SimulationResult: epvm, seed 7, on 2 nodes, 5 tasks, 40 s>"


def test_what_a_user_called_it_is_no_markup():
    result = story()
    result.scheduler = "<script>alert(1)</script>"
    assert "<script" not in result._repr_html_()
    assert "<script" not in result.summary()._repr_html_()


def test_a_view_of_very_much_is_short():
    told = [ran(number % 500, 0.0, 5.0 + number, job=f"job-{number}") for number in range(2000)]
    shown = result_of(machines(500), told, 3000.0)._repr_html_()
    assert len(shown) < 60_000
    assert "and 492 more nodes" in shown


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([], "no task ever ran"),
        ([ran(0, 0.0, 3.0)], "no task waited"),
        ([ran(0, 0.0, 3.0), Told(ending=Ending.WAITING)], "no task waited, but 1 never ran"),
    ],
)
def test_a_view_of_little_says_so(told: list[Told], words: str):
    assert words in result_of(machines(1), told, 5.0)._repr_html_()


# -- what must be so ------------------------------------------------------------------------------


def test_a_story_that_can_be_is_not_objected_to():
    check(story())
    check(result_of(machines(1), [], 0.0))


@pytest.mark.parametrize(
    "faults",
    [None, Faults(crash_every_s=300.0, repair_s=30.0), Faults(cut_every_s=200.0, cut_s=90.0)],
    ids=["calm", "crashes", "cuts"],
)
def test_simulations_add_up(faults: Faults | None):
    result = played(faults=faults)
    check(result)
    assert len(result.ledger) == 120


def _set(name: str, at: int, value: float) -> Callable[[Ledger], None]:
    return lambda ledger: getattr(ledger, name).__setitem__(at, value)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_set("ending", 0, 250), "no such endings"),
        (_set("reason", 0, 250), "no such reasons"),
        (_set("ending", 3, list(Ending).index(Ending.COMPLETED)), "cannot be: task 3, f/t3"),
        (_set("ending", 1, list(Ending).index(Ending.WAITING)), "cannot be: task 1, c/t1"),
        (_set("ending", 1, list(Ending).index(Ending.REFUSED)), "cannot be: task 1, c/t1"),
        (_set("finished_s", 0, 4.0), "cannot be: task 0"),
        (_set("finished_s", 3, 14.0), "cannot be: task 3"),
        (_set("started_s", 0, 6.0), "first run began at 5.0 s"),
        (_set("started_s", 1, 9.0), "cannot be: task 1"),
        (_set("runs", 1, 1), "2 runs, and 1 counted"),
        (_set("last_run", 1, 0), "cannot be: task 1"),
        (_set("run_ended_s", 0, 4.0), "run 0, from 5.0 s to 4.0 s"),
        (_set("run_ended_s", 0, math.nan), "not those that have an end"),
        (_set("run_began_s", 1, 9.0), "run 1, from 9.0 s"),
        (_set("run_ended_s", 0, 99.0), "outlasts the simulation"),
        (_set("run_node", 0, 5), "run_node holds a row that is not there"),
        (_set("requested", 0, -1), "requested holds a row that is not there"),
        (lambda ledger: ledger.job.pop(), "of different lengths"),
        (lambda ledger: ledger.ends.pop(), "not those that have an end"),
    ],
)
def test_what_cannot_be_is_found(spoil: Callable[[Ledger], None], words: str):
    result = story()
    spoil(result.ledger)
    with pytest.raises(InvariantError, match=words):
        check(result)


FULL = [ran(0, 0.0, 5.0, asks=Resources(cpu=3)), ran(0, 2.0, 5.0, asks=Resources(cpu=2))]


def test_a_node_that_holds_more_than_it_can_is_found():
    with pytest.raises(InvariantError, match=r"node n0, .* holds more than that at 2.0 s, by {'cpu': 1000}"):
        check(result_of(machines(1), FULL, 5.0))
    crowded = [Node("n0", capacity=Resources(cpu=9), max_tasks=1)]
    with pytest.raises(InvariantError, match=r"by {'tasks': 1}, once run 1 has begun"):
        check(result_of(crowded, FULL, 5.0))


def test_a_node_that_was_cut_off_before_may_hold_more():
    cut = msgspec.structs.replace(CUT, node="n0", began_s=1.0)
    check(result_of(machines(1), FULL, 5.0, [cut]))
    with pytest.raises(InvariantError):
        check(result_of(machines(1), FULL, 5.0, [msgspec.structs.replace(cut, began_s=3.0)]))


def test_one_run_after_another_fits():
    check(
        result_of(
            machines(1),
            [ran(0, 0.0, 5.0, asks=Resources(cpu=4)), ran(0, 5.0, 9.0, asks=Resources(cpu=4))],
            9.0,
        )
    )


def test_a_run_ends_once():
    ledger = story().ledger
    before = list(ledger.ends)
    ledger.end(0, 99.0)
    assert (ledger.run_ended_s[0], list(ledger.ends)) == (25.0, before)
