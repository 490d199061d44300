"""Plots of results: what is on them, and that nothing else of matplotlib is touched."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest

pytest.importorskip("matplotlib")

import matplotlib
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minorch import Resources, UsageError
from minorch.plot import comparison_bars, gantt, utilisation_heatmap, wait_cdf
from minorch.simulation import Ending, Fault, Measure, SimulationResult
from tests.simulation.ledgers import Told, machines, ran, result_of

TOLD = [
    ran(0, 0.0, 120.0, asks=Resources(cpu=4), job="a"),
    ran(1, 60.0, 240.0, asks=Resources(cpu=2), job="b"),
    Told(at_s=60.0, runs=[(1, 60.0, 100.0), (0, 120.0, 240.0)], asks=Resources(cpu=2), job="b"),
    Told(at_s=100.0, ending=Ending.WAITING, job="c"),
]
FAULTS = (
    Fault(kind="crash", node="n0", began_s=130.0, ended_s=150.0),
    Fault(kind="cut", node="n1", began_s=200.0, ended_s=None),
    Fault(kind="crash", node="n1", began_s=20.0, ended_s=30.0),
)


def story(faults: Sequence[Fault] = ()) -> SimulationResult:
    return result_of(machines(2), TOLD, 240.0, faults)


def large(nodes: int = 1000, runs: int = 6000) -> SimulationResult:
    told = [ran(at % nodes, float(at), at + 500.0, job=f"job-{at}") for at in range(runs)]
    return result_of(machines(nodes), told, runs + 500.0)


class Compared:
    """What ``compare()`` gives, as far as it is drawn."""

    seeds: Sequence[int] = range(10)
    measures: Sequence[Measure] = [Measure(name="idle", title="idle at most", unit="nodes", better="lower")]

    def rows(self, measure: str) -> list[SimpleNamespace]:
        if measure == "none":
            return []
        told = [
            ("mine", 2.0, 1.5, 2.5),
            ("epvm", 1234.5, 1000.0, 1500.0),
            ("lost", math.nan, math.nan, math.nan),
        ]
        return [
            SimpleNamespace(scheduler=name, interval=SimpleNamespace(mean=mean, low=low, high=high))
            for name, mean, low, high in told
        ]


Draw = Callable[..., Figure | Axes]
DRAWN: list[tuple[Draw, object]] = [
    (gantt, story()),
    (gantt, large()),
    (utilisation_heatmap, story()),
    (wait_cdf, story()),
    (comparison_bars, Compared()),
]
every_plot = pytest.mark.parametrize(
    ("draw", "what"), DRAWN, ids=["gantt", "gantt of many", "heatmap", "waits", "bars"]
)


def axes_of(figure: Figure | Axes) -> Axes:
    assert isinstance(figure, Figure)
    return figure.axes[0]


def legend_of(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


@every_plot
def test_a_plot_is_a_figure_that_a_notebook_shows(draw: Draw, what: object):
    figure = draw(what)
    assert isinstance(figure, Figure)
    assert figure._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"  # type: ignore[attr-defined]
    pickle.loads(pickle.dumps(figure))


@every_plot
def test_a_plot_goes_into_axes_that_are_given(draw: Draw, what: object):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert draw(what, ax=right) is right
    assert not left.has_data()
    assert right.has_data()


@every_plot
def test_axes_say_what_they_are(draw: Draw, what: object):
    ax = axes_of(draw(what))
    unit = {gantt: "time, ", utilisation_heatmap: "time, min", wait_cdf: "wait until the first run"}.get(draw)
    assert ax.get_xlabel().startswith(unit or "mean bounded slowdown (lower is better)")
    assert ax.get_ylabel() or ax.get_yticklabels()


@every_plot
def test_no_setting_is_changed(draw: Draw, what: object):
    before = dict(matplotlib.rcParams)
    draw(what)
    assert dict(matplotlib.rcParams) == before


def test_pyplot_is_not_loaded_and_nothing_before_it_is_wanted():
    script = (
        "import sys, minorch, minorch.simulation, minorch.plot\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from tests.plot.test_plot import story, gantt\n"
        "gantt(story())\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join([".", *sys.path])})


@every_plot
def test_without_matplotlib_the_extra_is_named(draw: Draw, what: object, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "minorch.plot.figure", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r'pip install "minorch\[plot\]"'):
        draw(what)


# -- gantt ----------------------------------------------------------------------------------------


def bars_of(ax: Axes) -> dict[str, list[tuple[float, float, float, float]]]:
    """By kind, the left, right, top and bottom of each bar."""
    found = {}
    for collection in ax.collections:
        assert isinstance(collection, PolyCollection)
        corners = [path.vertices for path in collection.get_paths()]
        found[str(collection.get_label())] = [
            (each[:, 0].min(), each[:, 0].max(), each[:, 1].min(), each[:, 1].max()) for each in corners
        ]
    return found


def test_a_gantt_has_a_bar_for_each_run_in_the_colour_of_its_job():
    ax = axes_of(gantt(story()))
    bars = bars_of(ax)
    assert {job: len(drawn) for job, drawn in bars.items()} == {"a": 1, "b": 3}
    assert bars["a"][0][:2] == (0.0, 2.0), "in minutes"
    assert legend_of(ax) == ["a", "b"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["n0", "n1"]
    assert ax.get_title(loc="left") == "epvm: 4 runs on 2 nodes"


def test_bars_of_a_gantt_do_not_overlap():
    told = [ran(at % 2, float(at), at + 7.0 + at % 3, job="a") for at in range(40)]
    boxes = bars_of(axes_of(gantt(result_of(machines(2), told, 60.0))))["a"]
    assert len(boxes) == 40
    for at, (left, right, top, bottom) in enumerate(boxes):
        assert top // 1 == (bottom - 1e-9) // 1, "each is on one node"
        for other in boxes[:at]:
            apart = (
                left >= other[1] or other[0] >= right or top >= other[3] - 1e-9 or other[2] >= bottom - 1e-9
            )
            assert apart


def test_of_many_jobs_a_gantt_shows_how_runs_ended():
    told = [ran(0, float(at), at + 1.0, job=f"j{at}") for at in range(10)]
    told += [
        Told(runs=[(1, 0.0, 2.0), (1, 3.0, 4.0)], job="again"),
        ran(1, 5.0, 6.0, ending=Ending.FAILED, job="bad"),
        ran(1, 6.0, 7.0, ending=Ending.STOPPED, job="stop"),
        ran(1, 7.0, None, ending=Ending.RUNNING, job="on"),
    ]
    bars = bars_of(axes_of(gantt(result_of(machines(2), told, 10.0))))
    assert {kind: len(drawn) for kind, drawn in bars.items()} == {
        "completed": 11,
        "failed": 1,
        "stopped": 1,
        "had to run again": 1,
        "still running": 1,
    }


def test_a_gantt_hatches_when_nodes_were_away():
    ax = axes_of(gantt(story(FAULTS)))
    hatched = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [(patch.get_x() * 60, patch.get_width() * 60) for patch in hatched] == [
        pytest.approx((130, 20)),
        pytest.approx((200, 40)),
        pytest.approx((20, 10)),
    ]
    assert legend_of(ax) == ["a", "b", "node down", "node cut off"]


@pytest.mark.parametrize(("nodes", "runs"), [(1000, 300), (3, 6000), (2, 400)])
def test_a_gantt_of_very_many_is_an_image_of_how_many_run(nodes: int, runs: int):
    ax = axes_of(gantt(large(nodes, runs)))
    (image,) = ax.images
    array = image.get_array()
    assert array is not None
    assert array.shape == (min(nodes, 200), 300)
    whole = 500.0 * runs
    span = (runs + 500.0) / 300
    assert array.mean() * 300 * nodes * span == pytest.approx(whole)
    assert not ax.collections


def test_a_gantt_of_nothing_is_empty():
    ax = axes_of(gantt(result_of(machines(2), [], 0.0)))
    assert not ax.collections
    assert ax.get_legend() is None


# -- heatmap --------------------------------------------------------------------------------------


def test_a_heatmap_shows_shares_of_each_node_over_time():
    figure = utilisation_heatmap(story())
    ax, scale = figure.axes
    (image,) = ax.images
    array = image.get_array()
    assert array is not None
    assert array.shape == (2, 300)
    assert array[0, :150].tolist() == pytest.approx([100.0] * 150)
    assert array[1, 0] == 0.0
    assert array[1, 100] == pytest.approx(100.0)
    assert image.get_extent() == [0.0, 4.0, 2, 0.0]
    assert image.get_clim() == pytest.approx((0.0, 100.0))
    assert scale.get_ylabel() == "cpu reserved, % of the node"
    assert ax.get_title(loc="left") == "epvm: cpu reserved on 2 nodes"


def test_a_heatmap_of_what_is_used_goes_as_high_as_it_has_to():
    told = [ran(0, 0.0, 10.0, uses=Resources(cpu=6), job="a")]
    figure = utilisation_heatmap(result_of(machines(1), told, 10.0), what="used")
    assert figure.axes[0].images[0].get_clim() == pytest.approx((0.0, 150.0))


def test_a_heatmap_of_many_nodes_is_in_bands():
    figure = utilisation_heatmap(large(), "memory")
    assert figure.axes[0].get_title(loc="left").endswith("on 1,000 nodes, in 200 bands")
    with pytest.raises(UsageError, match='no node has any "gpu"'):
        utilisation_heatmap(story(), "gpu")
    with pytest.raises(UsageError, match='"reserved" or "used"'):
        utilisation_heatmap(story(), what="free")  # type: ignore[call-overload]


# -- waits ----------------------------------------------------------------------------------------


def test_waits_are_a_line_for_each_scheduler():
    other = story()
    other.scheduler = "mine"
    ax = axes_of(wait_cdf([story(), other, story()]))
    assert legend_of(ax) == ["epvm (2 never ran)", "mine (1 never ran)"]
    first, second = ax.lines
    assert list(second.get_xdata()) == [0.0, 0.0, 0.0, 60.0]
    assert list(second.get_ydata()) == [0.0, 25.0, 50.0, 75.0], "one of four never ran"
    assert first.get_linestyle() != second.get_linestyle()
    assert first.get_color() != second.get_color()


def test_times_of_waits_are_written_in_units_that_are_read_easily():
    told = [Told(at_s=0.0, runs=[(0, float(at), at + 1.0)]) for at in (0, 5, 4000)]
    ax = axes_of(wait_cdf(result_of(machines(1), told, 5001.0)))
    words = ["0", "1 s", "10 s", "1 min", "10 min", "1 h"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == words
    assert list(ax.get_xticks()) == [0, 1, 10, 60, 600, 3600]
    assert not len(ax.get_xticks(minor=True))


@pytest.mark.parametrize("draw", [gantt, utilisation_heatmap])
@pytest.mark.parametrize("ended_s", [1350.0, 2400.0, 14_000.0, 400_000.0])
def test_an_axis_of_time_counts_in_steps_that_are_easy_to_read(draw: Draw, ended_s: float):
    ax = axes_of(draw(result_of(machines(1), [ran(0, 0.0, 60.0)], ended_s)))
    left, right = ax.get_xlim()
    shown = [tick for tick in ax.get_xticks() if left <= tick <= right]
    assert 3 <= len(shown) <= 10
    assert round(shown[1] - shown[0], 6) in (0.5, 1, 2, 5, 10)


def test_lines_of_waits_may_be_named():
    ax = axes_of(wait_cdf({"last Tuesday": story()}))
    assert legend_of(ax) == ["last Tuesday (1 never ran)"]


def test_a_line_of_very_many_waits_has_some_points():
    told = [Told(at_s=0.0, runs=[(0, float(at), at + 1.0)]) for at in range(5000)]
    (line,) = axes_of(wait_cdf(result_of(machines(1), told, 5001.0))).lines
    xs, ys = list(line.get_xdata()), list(line.get_ydata())
    assert len(xs) == 1001
    assert (xs[-1], ys[-1]) == (4999.0, 100.0)
    assert xs == sorted(xs)
    for x, y in zip(xs[1:], ys[1:], strict=True):
        assert y == pytest.approx(100 * (x + 1) / 5000)


def test_waits_of_nothing_are_refused():
    with pytest.raises(UsageError, match="1 to 32 lines, not 0"):
        wait_cdf([])
    with pytest.raises(UsageError, match="takes results"):
        wait_cdf(["x"])  # type: ignore[list-item]
    (line,) = axes_of(wait_cdf(result_of(machines(1), [Told(ending=Ending.WAITING)], 1.0))).lines
    assert list(line.get_ydata()) == [0.0]


# -- bars -----------------------------------------------------------------------------------------


def test_bars_have_means_and_intervals():
    ax = axes_of(comparison_bars(Compared(), "wait_p95_s"))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["mine", "epvm", "lost"]
    assert [patch.get_width() for patch in ax.patches if isinstance(patch, Rectangle)] == [2.0, 1234.5]
    assert [text.get_text() for text in ax.texts] == ["2.00", "1,234", "no figure"]
    assert len(ax.containers) == 4, "two bars, two intervals"
    assert ax.get_xlabel() == "95th percentile of wait, s (lower is better)"
    assert ax.get_title(loc="left") == "mean of 10 seeds, and its 95 % interval"
    assert axes_of(comparison_bars(Compared(), label="how long")).get_xlabel() == "how long"


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        ("idle", "idle at most, nodes (lower is better)"),
        ("cpu_reserved_mean", "mean share of cores reserved (higher is better)"),
        ("busy_s", "busy, s"),
        ("memory_used_peak", "memory used peak"),
    ],
    ids=["one of one's own", "more is better", "in seconds", "only told"],
)
def test_bars_say_what_is_measured_in_what_and_what_is_better(measure: str, words: str):
    assert axes_of(comparison_bars(Compared(), measure)).get_xlabel() == words


def test_a_comparison_of_one_seed_has_no_interval():
    one = Compared()
    one.seeds = [1]
    assert axes_of(comparison_bars(one)).get_title(loc="left") == "one seed, so no interval"
    with pytest.raises(UsageError, match="1 to 50 bars, not 0"):
        comparison_bars(one, "none")
