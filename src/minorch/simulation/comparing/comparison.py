"""What a comparison found: figures by scheduler, how sure they are, and what has to be known to read them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from minorch.errors import UsageError
from minorch.simulation.comparing import comparison_views as views
from minorch.simulation.comparing.contrasts import Difference, differences_of, finite
from minorch.simulation.comparing.criteria import Measure, figure, measure_named
from minorch.simulation.comparing.intervals import CONFIDENCE, Interval, constant, mean_interval
from minorch.simulation.results.result import SimulationResult
from minorch.simulation.results.summary import plain

if TYPE_CHECKING:
    import pandas

__all__ = ["ComparedRun", "Comparison", "Row"]


class ComparedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one scheduler, in figures."""

    scheduler: str
    seed: int
    figures: Mapping[str, float]
    """All figures of its summary, and those of measures of one's own; not a number: there is none."""
    over: bool
    """Whether all work that has an end was over when it ended."""
    wall_s: float
    """How long it took in real time, in seconds."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of one scheduler."""

    scheduler: str
    measure: str
    values: Sequence[float]
    """By seed; not a number: there is none."""
    interval: Interval
    """Of the mean over the seeds that have one."""
    difference: Difference | None
    """None: it is the baseline itself, or the measure says nothing about better or worse."""


class Comparison:
    """What :func:`~minorch.simulation.compare` found. ``print`` it, or let a notebook show it.

    Args:
        runs: one for each scheduler and seed.
        schedulers: their names, in order.
        seeds: what each of them was run with, in order.
        measures: what is shown.
        baseline: with which the others are compared; None: by measure, the one with the best mean.
        notes: what there is to say about how it was made.
        results: the results of the runs by scheduler and seed, if they were kept.

    Every figure of ``result.summary().figures()`` is there by name, also those that are not shown.
    """

    def __init__(
        self,
        runs: Sequence[ComparedRun],
        *,
        schedulers: Sequence[str],
        seeds: Sequence[int],
        measures: Sequence[Measure],
        baseline: str | None = None,
        notes: Sequence[str] = (),
        results: Mapping[tuple[str, int], SimulationResult] | None = None,
    ) -> None:
        self.runs = tuple(runs)
        self.schedulers = tuple(schedulers)
        self.seeds = tuple(seeds)
        self.measures = tuple(measures)
        self.baseline = baseline
        self.results = dict(results or {})
        self._runs = {(run.scheduler, run.seed): run for run in runs}
        self.notes = (*notes, *self._remarks())
        """What has to be known to read the figures, in words."""

    # -- questions ----------------------------------------------------------------------------

    def rows(self, measure: str) -> Sequence[Row]:
        """One measure of each scheduler, the best mean first; in the order given if no value is better.

        Args:
            measure: its name; any figure of a summary.

        Raises:
            UsageError: there is no such figure.
        """
        chosen = self._measure(measure)
        values = {name: self._values(name, chosen) for name in self.schedulers}
        intervals = {name: mean_interval(finite(values[name])) for name in self.schedulers}
        order = sorted(self.schedulers, key=lambda name: _rank(intervals[name].mean, chosen))
        differences: dict[str, Difference] = {}
        if chosen.better is not None:
            differences = differences_of(values, better=chosen.better, baseline=self.baseline, best=order[0])
        return [
            Row(
                scheduler=name,
                measure=chosen.name,
                values=values[name],
                interval=intervals[name],
                difference=differences.get(name),
            )
            for name in order
        ]

    def best(self, measure: str) -> str:
        """The scheduler with the best mean; of equals, the first. It need not be better by more than chance.

        Args:
            measure: its name.

        Raises:
            UsageError: there is no such figure, no run has one, or it is not known what is better.
        """
        chosen = self._measure(measure)
        if chosen.better is None:
            raise UsageError(
                f'of "{measure}" it is not known what is better; give measures=[Measure(name="{measure}", '
                'better="lower")], or "higher"'
            )
        first = self.rows(measure)[0]
        if math.isnan(first.interval.mean):
            raise UsageError(f'no run has a figure "{measure}"')
        return first.scheduler

    def _measure(self, name: str) -> Measure:
        shown = {measure.name: measure for measure in self.measures}
        return shown.get(name) or measure_named(name)

    def _values(self, scheduler: str, measure: Measure) -> tuple[float, ...]:
        return tuple(figure(self._runs[scheduler, seed].figures, measure) for seed in self.seeds)

    # -- statistics ---------------------------------------------------------------------------

    def _remarks(self) -> Iterator[str]:
        """What in the runs has to be known, whatever is made of them."""
        if len(self.seeds) < 2:
            yield (
                "One seed tells nothing about chance: there are no intervals, and no difference is tested. "
                "Give more, such as seeds=range(10)."
            )
        else:
            yield from self._seed_remarks()
        for name in self.schedulers:
            runs = [self._runs[name, seed] for seed in self.seeds]
            left = sum(not run.over for run in runs)
            if left:
                yield (
                    f"{name}: in {left} of {len(runs)} runs work was left at the end, so that its makespan "
                    "is at least as told."
                )
            unplaced = math.fsum(run.figures.get("unplaced", 0.0) for run in runs)
            if unplaced:
                yield (
                    f"{name}: {unplaced:,.0f} tasks in all runs never ran. Its waits and slowdowns are those "
                    "of the others alone, and look better than they are."
                )
        refused = [run for run in self.runs if run.figures.get("refused", 0.0)]
        if refused:
            most = max(run.figures["refused"] for run in refused)
            yield (
                f"In {len(refused)} of {len(self.runs)} runs, tasks were refused, as no node could ever hold "
                f"them: up to {most:,.0f} of {refused[0].figures['arrived']:,.0f}. No figure counts them."
            )
        yield from self._gaps()

    def _gaps(self) -> Iterator[str]:
        """Which runs have no figure."""
        for measure in self.measures:
            for name in self.schedulers:
                missing = len(self.seeds) - len(finite(self._values(name, measure)))
                if missing:
                    yield (
                        f"{measure.title or measure.name}: {missing} of {len(self.seeds)} runs of {name} "
                        "have none. They are left out, and out of differences so are the runs they pair with."
                    )

    def _seed_remarks(self) -> Iterator[str]:
        still = [name for name in self.schedulers if self._stands_still(name)]
        if len(still) == len(self.schedulers):
            yield (
                "The seeds change nothing: all runs of a scheduler gave the same. Nothing was left to "
                "chance, so this tells about this one workload only, and nothing can be significant. For "
                "more, give a workload that is a function of the seed."
            )
        elif still:
            yield f"The seeds change nothing for {', '.join(still)}: all runs gave the same."

    def _stands_still(self, scheduler: str) -> bool:
        compared = [measure for measure in self.measures if measure.better is not None]
        return all(constant(finite(self._values(scheduler, measure))) for measure in compared)

    # -- to be shown --------------------------------------------------------------------------

    def to_dict(self) -> dict[str, object]:
        """Everything as plain data that JSON can hold; None stands for what is not a number."""
        rows = [row for measure in self.measures for row in self.rows(measure.name)]
        whole = plain(
            {
                "schedulers": list(self.schedulers),
                "seeds": list(self.seeds),
                "baseline": self.baseline,
                "confidence": CONFIDENCE,
                "measures": [
                    {
                        "name": measure.name,
                        "title": measure.title,
                        "unit": measure.unit,
                        "better": measure.better,
                    }
                    for measure in self.measures
                ],
                "rows": [msgspec.to_builtins(row) for row in rows],
                "runs": [msgspec.to_builtins(run) for run in self.runs],
                "notes": list(self.notes),
            }
        )
        assert isinstance(whole, dict)
        return whole

    def to_json(self) -> str:
        """The same as JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def to_frame(self) -> pandas.DataFrame:
        """A table for pandas: a row for each measure that is shown and each scheduler.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise UsageError('a frame needs pandas: pip install "minorch[frame]"') from None
        return pandas.DataFrame([_flat(row) for measure in self.measures for row in self.rows(measure.name)])

    def __str__(self) -> str:
        return views.as_text(self)

    def _repr_html_(self) -> str:
        return views.as_html(self)

    def __repr__(self) -> str:
        shown = next((measure for measure in self.measures if measure.better), None)
        best = ""
        if shown is not None:
            first = self.rows(shown.name)[0]
            best = f"; best in {shown.title or shown.name}: {first.scheduler}"
        counts = f"{views.counted(self.schedulers, 'scheduler')}, {views.counted(self.seeds, 'seed')}"
        return f"<Comparison: {counts}{best}>"


def _rank(mean: float, measure: Measure) -> tuple[bool, float]:
    """The best first; those without a figure last."""
    if math.isnan(mean):
        return True, 0.0
    return False, {"lower": mean, "higher": -mean, None: 0.0}[measure.better]


def _flat(row: Row) -> dict[str, object]:
    flat: dict[str, object] = {
        "measure": row.measure,
        "scheduler": row.scheduler,
        "runs": row.interval.count,
        "mean": row.interval.mean,
        "low": row.interval.low,
        "high": row.interval.high,
    }
    other = row.difference
    return flat | {
        "baseline": None if other is None else other.baseline,
        "difference": math.nan if other is None else other.interval.mean,
        "difference_low": math.nan if other is None else other.interval.low,
        "difference_high": math.nan if other is None else other.interval.high,
        "p": math.nan if other is None else other.p,
        "verdict": None if other is None else str(other.verdict),
    }
