"""What was placed really is placed in a simulation, and the comparison of the two sees where they part."""

from __future__ import annotations

import json

import pytest

import minorch as mo
from benchmarks import reality
from benchmarks.reality import History, Real, first_difference, kept_room_s, replay, simulate


def _log(*happened: tuple[float, str, str, str]) -> History:
    kinds = {"placed": "task_scheduled", "ended": "task_completed", "ran": "task_running"}
    return History(
        [
            mo.Event(number=number, at=at, kind=kinds[kind], task=task, node=node)
            for number, (at, kind, task, node) in enumerate(happened, 1)
        ]
    )


def _made_up(naps_s: dict[str, float], strategy: str = "bin-pack") -> tuple[Real, History]:
    """A job of half a core each on two nodes with one core, and how it goes with such naps."""
    half = mo.Resources(cpu=0.5)
    tasks = [mo.Task(name, command=["sleep", str(nap_s)], resources=half) for name, nap_s in naps_s.items()]
    nodes = [mo.Node(name, capacity=mo.Resources(cpu=1)) for name in ("left", "right")]
    real = Real(mo.Job("made-up", tasks), nodes, History(_log((0.0, "placed", "none", "left")).events), {})
    history = simulate(real, strategy, 1, lasts_s=naps_s)
    return real._replace(history=history), history


def test_what_was_heard_of_since_a_placement_counts_from_the_next():
    history = _log(
        (10.0, "placed", "a", "left"),
        (10.0, "placed", "b", "right"),
        (10.5, "ran", "a", "left"),
        (12.0, "ended", "a", "left"),
        (12.5, "ended", "b", "right"),
        (12.75, "placed", "c", "right"),
        (14.0, "ended", "c", "right"),
    )
    assert kept_room_s(history) == {"a": 2.75, "b": 2.75, "c": 1.25}
    assert history.makespan_s == 4.0
    assert history.heard == [(), (), ("a", "b")]


def test_a_replay_of_ends_that_one_turn_saw_sees_them_in_one_turn():
    """With both ends in sight the third task goes right, where a first end alone would have it go left."""
    job = mo.Job(
        "two",
        [
            mo.Task("a", command=["x"], resources=mo.Resources(cpu=1), constraints=["side == left"]),
            mo.Task("b", command=["x"], resources=mo.Resources(cpu=2)),
            mo.Task("c", command=["x"], resources=mo.Resources(cpu=1)),
        ],
    )
    nodes = [
        mo.Node(name, capacity=mo.Resources(cpu=cpu), labels={"side": name})
        for name, cpu in (("left", 1), ("right", 2))
    ]
    history = _log(
        (0.0, "placed", "a", "left"),
        (0.0, "placed", "b", "right"),
        (1.0, "ended", "a", "left"),
        (1.001, "ended", "b", "right"),
        (1.002, "placed", "c", "right"),
        (2.0, "ended", "c", "right"),
    )
    real = Real(job, nodes, history, {})
    assert replay(real, "least-loaded", 1).order == history.order
    apart = simulate(real, "least-loaded", 1, lasts_s={"a": 1.0, "b": 1.001, "c": 1.0})
    assert apart.nodes["c"] == "left"
    assert first_difference(history, apart) == (
        "placement 3 is c on right, simulated c on left: 2 had ended, simulated 1"
    )


def test_a_difference_is_told_with_the_ends_that_swapped_places():
    naps_s = {"a": 1.0, "b": 9.0, "c": 1.25, "d": 9.0, "e": 9.0, "f": 9.0}
    _, history = _made_up(naps_s)
    _, other = _made_up({**naps_s, "c": 0.75})
    assert first_difference(history, history) == ""
    assert first_difference(history, other) == (
        "placement 5 is e on left, simulated e on right: a ended 250 ms before c, simulated 250 ms after it"
    )


@pytest.mark.parametrize("strategy", ["least-loaded", "random"])
def test_processes_are_placed_as_in_the_simulation(strategy: str):
    job = reality.make_job(16, 3, runtime="process")
    real = reality.run_really(job, strategy, 3, runtime="process", timeout_s=120)
    again = replay(real, strategy, 3)
    assert first_difference(real.history, again) == ""
    assert again.makespan_s == pytest.approx(real.history.makespan_s, abs=1e-4)


def test_the_comparison_prints_what_it_found(capsys: pytest.CaptureFixture[str]):
    reality.main(["--containers", "6", "--strategies", "epvm", "--runtime", "process", "--json"])
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["same"], row["in order"]) == (6, True)
