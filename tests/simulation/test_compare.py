"""Schedulers are compared over seeds: what is run, where it runs, what is said of it, and what goes wrong."""

from __future__ import annotations

import json
import logging
import math
import os
import random
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import psutil
import pytest

import minorch as mo
from minorch.errors import PluginError, RuntimeFault, UnknownPlugin, UsageError
from minorch.model import Node
from minorch.progress import Progress
from minorch.schedulers import EPVM, BinPack
from minorch.scheduling import NodeView, TaskView
from minorch.simulation.comparing import other_processes
from minorch.simulation.comparing.compare import compare
from minorch.simulation.comparing.comparison import ComparedRun, Comparison
from minorch.simulation.comparing.contrasts import Verdict
from minorch.simulation.comparing.criteria import MEASURES, Measure
from minorch.simulation.simulation import Simulation
from minorch.simulation.workloads.arrivals import Arrival

NODES = [Node(f"n{at}", capacity=mo.Resources(cpu=4, memory="8GiB")) for at in range(4)]


def drawn(seed: int, tasks: int = 40) -> Iterator[Arrival]:
    dice, at_s = random.Random(seed), 0.0
    for number in range(tasks):
        at_s += dice.expovariate(1.0)
        resources = mo.Resources(cpu=dice.choice([1, 1, 2, 4]), memory="1GiB")
        yield Arrival(at_s, mo.Task(f"t{number}", command=["x"], resources=resources), dice.uniform(5, 20))


FIXED = list(drawn(7))


def first_node(task: TaskView, node: NodeView) -> float:
    return node.index


class Counting(mo.Scheduler):
    """Takes one node after the other, and remembers which: a run that finds another's memory differs."""

    def __init__(self) -> None:
        self.turn = 0

    def cost(self, task: TaskView, node: NodeView) -> float:
        return (node.index - self.turn) % 4

    def placed(self, task: TaskView, node: NodeView) -> None:
        self.turn = node.index + 1


class Failing(mo.Scheduler):
    """Fails at one task."""

    def cost(self, task: TaskView, node: NodeView) -> float:
        if task.name == "t25":
            raise KeyError("a bug of mine")
        return 0.0


class Deadly(mo.Scheduler):
    """Ends its process, and if there is a file to note it in, only once."""

    def __init__(self, once: str = "") -> None:
        self.once = once

    def cost(self, task: TaskView, node: NodeView) -> float:
        if task.name == "t9" and not (self.once and os.path.exists(self.once)):
            if self.once:
                Path(self.once).touch()
            os._exit(3)
        return 0.0


def lasting(figures: Mapping[str, float]) -> dict[str, str]:
    """Figures to the last bit, all but what is measured in real time. As text: no nan equals another."""
    return {name: repr(value) for name, value in figures.items() if name != "decisions_per_s"}


def figures(comparison: Comparison) -> list[tuple[str, int, dict[str, str]]]:
    return [(run.scheduler, run.seed, lasting(run.figures)) for run in comparison.runs]


@pytest.fixture(scope="module")
def three() -> Comparison:
    return compare(
        ["least-loaded", "bin-pack", first_node], workload=drawn, nodes=NODES, seeds=range(6), processes=1
    )


# -- what is run ----------------------------------------------------------------------------------


def test_each_scheduler_runs_with_each_seed_in_order(three: Comparison):
    assert [(run.scheduler, run.seed) for run in three.runs] == [
        (name, seed) for name in ("least-loaded", "bin-pack", "first_node") for seed in range(6)
    ]


def test_a_run_is_the_simulation_of_its_seed(three: Comparison):
    alone = Simulation(nodes=NODES, workload=drawn, scheduler="bin-pack", seed=4).run().summary().figures()
    run = next(run for run in three.runs if (run.scheduler, run.seed) == ("bin-pack", 4))
    assert lasting(run.figures) == lasting(alone)


def test_it_makes_no_difference_in_how_many_processes_it_runs():
    schedulers = ["least-loaded", Counting(), first_node, partial(EPVM, terms="paper"), "random"]
    one, two = (
        compare(schedulers, workload=drawn, nodes=NODES, seeds=range(3), processes=count) for count in (1, 2)
    )
    assert figures(one) == figures(two)
    assert "one after another in this process: processes=1" in one.notes[0]
    assert "in 2 processes" in two.notes[0]


def test_an_object_is_copied_for_each_run_and_stays_as_it_was():
    mine = Counting()
    found = compare([mine], workload=FIXED, nodes=NODES, seeds=range(3), processes=1)
    assert mine.turn == 0
    first, *others = [values for _, _, values in figures(found)]
    assert others == [first, first]


def test_schedulers_are_given_as_names_objects_classes_factories_and_functions():
    found = compare(
        ["spread", BinPack(), Counting, partial(EPVM, terms="paper"), first_node],
        workload=drawn,
        nodes=NODES,
        seeds=[1],
        processes=1,
    )
    assert found.schedulers == ("spread", "BinPack()", "Counting", "EPVM", "first_node")


def test_schedulers_are_named_by_who_gives_a_mapping():
    found = compare(
        {"paper": lambda: EPVM(terms="paper"), "requests": EPVM, "index": lambda task, node: node.index},
        workload=drawn,
        nodes=NODES,
        seeds=[1],
        processes=1,
    )
    assert found.schedulers == ("paper", "requests", "index")
    placed = Simulation(nodes=NODES, workload=drawn, scheduler=EPVM(terms="paper"), seed=1).run().summary()
    assert found.rows("wait_mean_s")[0].values is not None
    run = next(run for run in found.runs if run.scheduler == "paper")
    assert run.figures["wait_mean_s"] == placed.wait_s.mean


def test_results_are_kept_if_they_are_wanted():
    found = compare(
        ["spread", "random"], workload=drawn, nodes=NODES, seeds=[3, 5], processes=2, keep_results=True
    )
    assert list(found.results) == [("spread", 3), ("spread", 5), ("random", 3), ("random", 5)]
    kept = found.results["random", 5]
    assert (kept.scheduler, kept.seed, len(kept.ledger)) == ("random", 5, 40)
    assert not compare(["spread"], workload=drawn, nodes=NODES, seeds=[3], processes=1).results


def test_until_when_and_everything_else_is_handed_on():
    found = compare(["spread"], workload=drawn, nodes=NODES, seeds=[1], until=10.0, start_s=2.0, processes=1)
    alone = Simulation(nodes=NODES, workload=drawn, scheduler="spread", seed=1, start_s=2.0).run(10.0)
    assert found.runs[0].figures["wait_mean_s"] == alone.summary().wait_s.mean
    assert not found.runs[0].over
    assert any("work was left at the end" in note for note in found.notes)


def test_progress_tells_of_each_run():
    class Told(Progress):
        def __init__(self) -> None:
            self.told: list[tuple[int, int]] = []
            self.closed = 0

        def update(self, done: int, total: int, words: str = "") -> None:
            self.told.append((done, total))

        def close(self) -> None:
            self.closed += 1

    told = Told()
    compare(["spread", "random"], workload=drawn, nodes=NODES, seeds=[1, 2], processes=1, progress=told)
    assert told.told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert told.closed == 1


# -- where it runs --------------------------------------------------------------------------------

SCRIPT = """
import random
import minorch as mo
from minorch.model import Node
from minorch.simulation.comparing.compare import compare

print("read")
nodes = [Node(f"n{at}", capacity=mo.Resources(cpu=4)) for at in range(4)]

class Mine(mo.Scheduler):
    def cost(self, task, node):
        return helper(node)

def helper(node):
    return node.tasks

def drawn(seed):
    dice, at = random.Random(seed), 0.0
    for number in range(30):
        at += dice.expovariate(1.0)
        yield at, mo.Task(f"t{number}", command=["x"], resources=mo.Resources(cpu=2)), dice.uniform(5, 20)

schedulers = [Mine(), "bin-pack", lambda task, node: node.index]
found = compare(schedulers, workload=drawn, nodes=nodes, seeds=range(2), processes=2)
print(found.notes[0].split(", ")[1])
"""


@pytest.mark.parametrize("how", ["a script", "standard input", "a cell"])
def test_a_script_needs_no_guard_and_strategies_may_be_defined_in_it(how: str, tmp_path: Path):
    if how == "a script":
        path = tmp_path / "script.py"
        path.write_text(SCRIPT)
        command, text = [sys.executable, str(path)], ""
    elif how == "standard input":
        command, text = [sys.executable, "-"], SCRIPT
    else:  # as a kernel runs it: compiled, in the namespace of __main__, from no file
        command, text = [sys.executable, "-c", f"exec(compile({SCRIPT!r}, '<cell>', 'exec'))"], ""
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "read\nin 2 processes.\n", done.stderr
    assert done.stderr == ""


def test_without_loky_runs_are_made_one_after_another_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(
        sys.modules["minorch.simulation.comparing.compare"], "loky_is_installed", lambda: False
    )
    with caplog.at_level(logging.WARNING, "minorch.simulation"):
        found = compare(["spread"], workload=drawn, nodes=NODES, seeds=[1, 2], processes=2)
    assert 'pip install "minorch[compare]"' in found.notes[0]
    assert "one after another" in caplog.text


def test_what_cannot_be_sent_to_another_process_is_run_in_this_one(caplog: pytest.LogCaptureFixture):
    lock = threading.Lock()

    def locked(seed: int) -> Iterator[Arrival]:
        with lock:
            return drawn(seed)

    found = compare(["spread"], workload=locked, nodes=NODES, seeds=[1, 2], processes=2)
    assert figures(found) == figures(
        compare(["spread"], workload=drawn, nodes=NODES, seeds=[1, 2], processes=1)
    )
    assert "cannot be sent to another process (TypeError: cannot pickle" in found.notes[0]
    assert "one after another" in caplog.text


def test_what_cannot_be_read_in_another_process_is_run_in_this_one(monkeypatch: pytest.MonkeyPatch):
    ghost = types.ModuleType("ghost")
    exec("def cost(task, node):\n    return node.index", ghost.__dict__)
    monkeypatch.setitem(sys.modules, "ghost", ghost)
    found = compare({"ghost": ghost.cost}, workload=drawn, nodes=NODES, seeds=[1, 2], processes=2)
    assert (
        "cannot be sent to another process (ModuleNotFoundError: No module named 'ghost')" in found.notes[0]
    )
    assert len(found.runs) == 2


@pytest.mark.parametrize("processes", [1, 2])
def test_an_exception_in_a_strategy_is_told_with_scheduler_and_seed(processes: int):
    told = r'^scheduler "Failing", seed 4: 1 tasks failed by it; t25/t25: .*a bug of mine'
    with pytest.raises(PluginError, match=told):
        compare(["spread", Failing], workload=drawn, nodes=NODES, seeds=[4], processes=processes)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_exception_in_a_workload_is_told_with_scheduler_and_seed(processes: int):
    def broken(seed: int) -> Iterator[Arrival]:
        yield from drawn(seed)
        if seed == 2:
            raise ZeroDivisionError("no such day")

    told = '^scheduler "spread", seed 2: ZeroDivisionError: no such day'
    with pytest.raises(PluginError, match=told) as caught:
        compare(["spread"], workload=broken, nodes=NODES, seeds=range(4), processes=processes)
    if processes == 2:
        assert "in broken" in "".join(caught.value.__notes__), "where it was is told, too"
    else:
        assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_workload_that_makes_no_sense_is_the_fault_of_who_gave_it():
    with pytest.raises(UsageError, match=r'^scheduler "spread", seed 0: the workload is empty'):
        compare(["spread"], workload=[], nodes=NODES, seeds=range(2), processes=1)


def test_a_process_that_dies_is_told_with_scheduler_and_seed(caplog: pytest.LogCaptureFixture):
    with pytest.raises(RuntimeFault, match=r'^scheduler "Deadly", seed 1: the process .* died.*EXIT\(3\)'):
        compare(["spread", Deadly], workload=drawn, nodes=NODES, seeds=[1, 2], processes=2)
    assert "a process died" in caplog.text


def test_what_a_process_had_that_died_is_run_again(tmp_path: Path):
    found = compare(
        {"deadly": Deadly(str(tmp_path / "died")), "spread": "spread"},
        workload=drawn,
        nodes=NODES,
        seeds=[1, 2],
        processes=2,
    )
    assert len(found.runs) == 4
    assert "until one died; from then on each in a process of its own" in found.notes[0]


INTERRUPTED = """
import os, signal, time
import minorch as mo
from minorch.model import Node
from minorch.simulation.comparing.compare import compare
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have what runs behind them ignore it

class Endless(mo.Scheduler):
    def cost(self, task, node):
        os.write(1, b"busy\\n")  # at once, so that two do not mix
        time.sleep(1000)

work = [(0.0, mo.Task("t", command=["x"], resources=mo.Resources(cpu=1)), 1.0)]
nodes = [Node("n", capacity=mo.Resources(cpu=4))]
try:
    compare([Endless], workload=work, nodes=nodes, seeds=range(4), processes=2)
except KeyboardInterrupt:
    import psutil
    left = [child.cmdline() for child in psutil.Process().children(recursive=True)]
    print("left", [command for command in left if "resource_tracker" not in str(command)], flush=True)
"""


@pytest.mark.parametrize("whole_group", [False, True], ids=["the parent alone", "as from a keyboard"])
def test_an_interrupt_leaves_no_process_behind(whole_group: bool):
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            assert child.stdout is not None
            assert [child.stdout.readline() for _ in range(2)] == ["busy\n", "busy\n"]
            family = psutil.Process(child.pid).children(recursive=True)
            assert len(family) >= 2
            if whole_group:
                os.killpg(child.pid, signal.SIGINT)
            else:
                child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=60)
        finally:
            child.kill()
    assert out == "left []\n", err
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


# -- what is said of it ---------------------------------------------------------------------------


def test_the_best_comes_first_and_others_are_held_against_it(three: Comparison):
    rows = three.rows("wait_mean_s")
    means = [row.interval.mean for row in rows]
    assert means == sorted(means)
    assert rows[0].scheduler == three.best("wait_mean_s")
    assert rows[0].difference is None
    for row in rows[1:]:
        assert row.difference is not None
        assert row.difference.baseline == rows[0].scheduler
        paired = [mine - best for mine, best in zip(row.values, rows[0].values, strict=True)]
        assert row.difference.interval.mean == pytest.approx(math.fsum(paired) / len(paired))


def test_more_is_better_where_it_is(three: Comparison):
    means = [row.interval.mean for row in three.rows("cpu_reserved_mean")]
    assert means == sorted(means, reverse=True)


def test_a_baseline_may_be_named():
    found = compare(
        ["spread", "bin-pack", "random"],
        workload=drawn,
        nodes=NODES,
        seeds=range(3),
        processes=1,
        baseline="random",
    )
    others = {row.scheduler: row.difference for row in found.rows("wait_mean_s")}
    assert others.pop("random") is None
    assert {one.baseline for one in others.values() if one is not None} == {"random"}
    assert "the baseline" in str(found)
    assert "Differences are to random" in str(found)


def test_that_a_difference_is_not_significant_is_said_in_words():
    found = compare(
        {"one": lambda task, node: node.index, "two": "random"},
        workload=partial(drawn, tasks=8),
        nodes=NODES,
        seeds=range(2),
        processes=1,
    )
    worse = found.rows("wait_mean_s")[1].difference
    assert worse is not None
    if worse.verdict is Verdict.NOT_SIGNIFICANT:
        assert "no significant difference (p = " in str(found)
    assert "Not significant means that these seeds do not show a difference" in str(found)


def test_a_difference_that_is_no_chance_is_called_so():
    class Worst(mo.Scheduler):
        """All on one node, by a filter of its own."""

        def cost(self, task: TaskView, node: NodeView) -> float:
            return -node.reserved.cpu

    def pairs(seed: int) -> Iterator[Arrival]:
        dice = random.Random(seed)
        for number in range(20):
            size = 1 if number < 8 else 4
            yield Arrival(
                float(number >= 8),
                mo.Task(f"t{number}", command=["x"], resources=mo.Resources(cpu=size)),
                dice.uniform(5, 20),
            )

    found = compare({"packs": Worst, "spreads": "spread"}, workload=pairs, nodes=NODES, processes=1)
    row = found.rows("wait_mean_s")[1]
    assert (row.scheduler, row.difference and row.difference.verdict) == ("spreads", Verdict.WORSE)
    assert "worse (p < 0.001)" in str(found)


@pytest.mark.parametrize(
    ("values", "others", "shown"),
    [
        ([0.375, 0.376, 0.377], [0.37494, 0.37601, 0.37697], ("0.3760", "-0.00003")),
        ([1.25, 1.5, 1.75], [1.35, 1.55, 1.95], ("1.500", "+0.117")),
        ([9000.0, 9100.0, 9200.0], [9000.5, 9100.1, 9200.3], ("9,100", "+0.30")),
        ([9000.0, 9100.0, 9200.0], [9000.0005, 9100.0001, 9200.0003], ("9,100", "< 0.01")),
        ([9000.0, 9100.0, 9200.0], [9000.0, 9100.0, 9200.0], ("9,100", "0")),
    ],
    ids=["finer", "as the means", "a little finer", "too small to be seen", "none"],
)
def test_differences_have_as_many_digits_as_the_means_or_a_few_more(
    values: Sequence[float], others: Sequence[float], shown: tuple[str, str]
):
    runs = [
        ComparedRun(scheduler=name, seed=seed, figures={"cost": value, "arrived": 1.0}, over=True, wall_s=0.0)
        for name, each in (("one", values), ("two", others))
        for seed, value in enumerate(each)
    ]
    cost = Measure(name="cost", better="lower")
    found = Comparison(
        runs, schedulers=["one", "two"], seeds=range(3), measures=[cost], baseline="one", notes=()
    )
    text = {line.split()[0]: line for line in str(found).split("\n") if line.startswith(("one ", "two "))}
    assert f" {shown[0]} " in text["one"]
    assert f" {shown[1]} " in text["two"]
    assert "-0.00 " not in str(found)


def test_that_seeds_change_nothing_is_said():
    found = compare(["spread", "bin-pack"], workload=FIXED, nodes=NODES, seeds=range(3), processes=1)
    said = " ".join(found.notes)
    assert "The workload is the same for every seed" in said
    assert "The seeds change nothing: all runs of a scheduler gave the same" in said
    assert "a function of the seed" in said
    other = found.rows("wait_mean_s")[1].difference
    assert other is not None
    assert other.verdict in (Verdict.SAME, Verdict.CONSTANT)
    assert math.isnan(other.p)
    assert "significant difference" not in str(found)
    assert "in every run" in str(found)


def test_for_whom_seeds_change_nothing_is_said():
    found = compare(["spread", "random"], workload=FIXED, nodes=NODES, seeds=range(3), processes=1)
    assert "The seeds change nothing for spread: all runs gave the same." in found.notes


def test_nothing_of_that_is_said_where_seeds_change_something(three: Comparison):
    assert not [note for note in three.notes if "seed" in note]


def test_one_seed_has_no_intervals_and_it_is_said():
    found = compare(["spread", "bin-pack"], workload=drawn, nodes=NODES, seeds=[3], processes=1)
    assert any("One seed tells nothing about chance" in note for note in found.notes)
    best, other = found.rows("wait_mean_s")
    assert math.isnan(best.interval.low)
    assert other.difference is not None
    assert other.difference.verdict is Verdict.UNTESTED
    assert "not tested" in str(found)
    assert "nan" not in str(found)


def test_tasks_that_never_ran_are_told_beside_the_waits_of_others():
    found = compare(["spread"], workload=drawn, nodes=NODES[:1], seeds=[1, 2], until=30.0, processes=1)
    assert any("never ran" in note and "look better than they are" in note for note in found.notes)


def test_tasks_that_no_node_could_hold_are_told():
    nodes = [Node("small", capacity=mo.Resources(cpu=2, memory="8GiB"))]
    found = compare(["spread"], workload=drawn, nodes=nodes, seeds=[1, 2], processes=1)
    assert any(note.startswith("In 2 of 2 runs, tasks were refused, as no node") for note in found.notes)


def test_bars_are_drawn_of_it(three: Comparison):
    pytest.importorskip("matplotlib")
    from minorch.plot import comparison_bars

    assert comparison_bars(three, "wait_mean_s") is not None


def test_runs_without_a_figure_are_left_out_in_pairs_and_it_is_said():
    def odd(result: object) -> float:
        return math.nan if getattr(result, "seed", 0) == 2 else float(getattr(result, "seed", 0))

    gappy = Measure(name="odd", title="odd figure", better="lower", of=odd)
    found = compare(
        ["spread", "random"], workload=drawn, nodes=NODES, seeds=range(4), measures=[gappy], processes=1
    )
    best, other = found.rows("odd")
    assert best.interval.count == 3
    assert other.difference is not None
    assert other.difference.interval.count == 3
    assert "odd figure: 1 of 4 runs of spread have none." in " ".join(found.notes)
    json.loads(found.to_json())


def test_measures_are_chosen_by_name_or_made():
    used = Measure(
        name="used", unit="nodes", better="lower", of=lambda result: len(set(result.ledger.run_node))
    )
    found = compare(
        ["spread", first_node],
        workload=drawn,
        nodes=NODES,
        seeds=[1, 2],
        measures=["moves", used],
        processes=2,
    )
    assert [measure.name for measure in found.measures] == ["moves", "used"]
    assert found.best("used") == "first_node" or found.rows("used")[0].interval.mean == 4
    assert "used, nodes" in str(found)
    assert "moves: 0 in every run" in str(found)


def test_every_figure_is_there_also_if_it_is_not_shown(three: Comparison):
    assert len(three.rows("memory_used_peak")) == 3
    assert all(row.difference is None for row in three.rows("memory_used_peak"))


def test_every_measure_that_is_known_is_a_figure(three: Comparison):
    assert set(MEASURES) <= set(three.runs[0].figures)


def test_what_is_not_the_same_each_time_is_only_told(three: Comparison):
    assert "decisions in a second of real time" in str(three)
    assert "(for information)" in str(three)
    with pytest.raises(UsageError, match="not known what is better"):
        three.best("decisions_per_s")


def test_text_is_in_columns(three: Comparison):
    lines = str(three).split("\n")
    assert lines[0] == "3 schedulers, 6 seeds, 18 runs"
    rows = [line for line in lines if line.startswith(("least-loaded ", "bin-pack ", "first_node "))]
    assert len(rows) >= 9
    column = lines[2].index("mean") + len("mean")
    assert {line[column] for line in rows} == {" "}
    assert all(line[column - 1].isdigit() for line in rows)
    assert all(line == line.rstrip() for line in lines)


def test_a_notebook_shows_it_and_names_are_escaped():
    found = compare({"<b>": "spread", "b": "random"}, workload=drawn, nodes=NODES, seeds=[1, 2], processes=1)
    shown = found._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert "mean wait, s" in shown


def test_it_says_what_it_is(three: Comparison):
    assert repr(three).startswith("<Comparison: 3 schedulers, 6 seeds; best in mean wait: ")


def test_json_holds_everything(three: Comparison):
    found = json.loads(three.to_json())
    assert found["schedulers"] == ["least-loaded", "bin-pack", "first_node"]
    assert found["seeds"] == list(range(6))
    assert len(found["runs"]) == 18
    assert len(found["rows"]) == 3 * len(three.measures)
    assert found["notes"] == list(three.notes)
    row = next(row for row in found["rows"] if row["measure"] == "wait_mean_s")
    assert row["interval"]["mean"] == three.rows("wait_mean_s")[0].interval.mean


def test_a_frame_has_a_row_for_each_measure_and_scheduler(three: Comparison):
    pytest.importorskip("pandas")
    frame = three.to_frame()
    assert len(frame) == 3 * len(three.measures)
    first = frame[frame.measure == "wait_mean_s"].iloc[0]
    assert first.scheduler == three.best("wait_mean_s")
    assert first["mean"] == three.rows("wait_mean_s")[0].interval.mean


def test_a_frame_without_pandas_names_the_extra(three: Comparison, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"minorch\[frame\]"):
        three.to_frame()


# -- what is refused ------------------------------------------------------------------------------


class Needs(mo.Scheduler):
    def __init__(self, what: int) -> None:
        self.what = what


@pytest.mark.parametrize(
    ("schedulers", "message"),
    [
        ("spread", "in brackets"),
        ([], "0 schedulers"),
        ([Counting(), Counting()], 'two schedulers are called "Counting\\(\\)"'),
        ([Needs], "Needs cannot be made without arguments; give an object"),
        ([lambda one: one], "is no function cost"),
        ([3], "takes names, Scheduler objects"),
    ],
)
def test_schedulers_that_make_no_sense_are_refused(schedulers: Sequence[object], message: str):
    with pytest.raises(UsageError, match=message):
        compare(schedulers, workload=drawn, nodes=NODES)  # type: ignore[arg-type]


def test_a_name_that_is_not_there_is_refused_before_anything_runs():
    with pytest.raises(UnknownPlugin, match="bin-pack"):
        compare(["spread", "bin-pak"], workload=drawn, nodes=NODES)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"seeds": 10}, "such as range\\(10\\)"),
        ({"seeds": []}, "with which seeds"),
        ({"seeds": [1, 2, 1]}, "1 twice"),
        ({"seeds": [1.5]}, "whole numbers"),
        ({"processes": 0}, "from 1 to"),
        ({"processes": "two"}, "no number of processes"),
        ({"baseline": "bin-pak"}, 'did you mean "bin-pack"'),
        ({"measures": "wait_mean_s"}, "a list of names"),
        ({"measures": ["moves", "moves"]}, "twice"),
        ({"measures": ["wait_meen_s"]}, 'did you mean "wait_mean_s"'),
        ({"workload": drawn(1)}, "read only once"),
        ({"progress": "yes"}, "progress='yes'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(more: dict[str, object], message: str):
    arguments = {"workload": drawn, "nodes": NODES, "seeds": [1], **more}
    with pytest.raises(UsageError, match=message):
        compare(["spread", "bin-pack"], **arguments)  # type: ignore[arg-type]


def test_a_figure_that_is_not_there_is_refused(three: Comparison):
    with pytest.raises(UsageError, match='did you mean "wait_mean_s"'):
        three.rows("wait_mean")


def test_nothing_of_the_extras_is_imported_before_it_is_used():
    code = (
        "import sys, minorch, minorch.simulation\n"
        "print([name for name in ('loky', 'cloudpickle', 'tqdm', 'pandas', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_other_processes_are_not_begun_without_loky(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(other_processes, "loky_is_installed", lambda: False)
    with pytest.raises(UsageError, match=r"minorch\[compare\]"):
        other_processes.packed(print)


@pytest.mark.parametrize("better", ["low", "higher ", True])
def test_a_measure_says_at_once_that_what_is_better_is_no_word_of_its_own(better: object):
    with pytest.raises(mo.UsageError, match='write "lower", "higher" or None'):
        Measure(name="makespan_s", better=better)  # type: ignore[arg-type]
