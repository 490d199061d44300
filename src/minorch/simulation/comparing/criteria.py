"""By what schedulers are compared: figures of a simulation by name, and whether more of one is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from minorch.errors import UsageError, brief, did_you_mean
from minorch.simulation.results.result import SimulationResult

__all__ = ["DEFAULT_MEASURES", "MEASURES", "Measure", "choose_measures", "measure_named"]


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of a simulation, and what is good of it.

    Raises:
        UsageError: *better* is neither ``"lower"``, ``"higher"`` nor None.

    Make your own from a function of a result:

    >>> nodes_used = Measure(
    ...     name="nodes_used", title="nodes used", unit="nodes", better="lower",
    ...     of=lambda result: len(set(result.ledger.run_node)),
    ... )
    """

    name: str
    """Unless there is a function, one of ``result.summary().figures()``."""
    title: str = ""
    """What it is called in tables; the name, if nothing is said."""
    unit: str = ""
    """What it is counted in, if in anything."""
    better: Literal["lower", "higher"] | None = None
    """What is better; None: it is told, and no scheduler is called better for it."""
    of: Callable[[SimulationResult], float] | None = None
    """Gives it; None: it is among the figures of the summary."""

    def __post_init__(self) -> None:
        better: object = self.better
        if better not in ("lower", "higher", None):
            raise UsageError(f'better={brief(better)}: write "lower", "higher" or None')

    @property
    def heading(self) -> str:
        """What stands above it."""
        words = self.title or self.name.replace("_", " ")
        return f"{words}, {self.unit}" if self.unit else words


_KNOWN: Final = (
    Measure(name="wait_mean_s", title="mean wait", unit="s", better="lower"),
    Measure(name="wait_p50_s", title="median wait", unit="s", better="lower"),
    Measure(name="wait_p95_s", title="95th percentile of wait", unit="s", better="lower"),
    Measure(name="wait_p99_s", title="99th percentile of wait", unit="s", better="lower"),
    Measure(name="wait_most_s", title="longest wait", unit="s", better="lower"),
    Measure(name="slowdown_mean", title="mean slowdown", better="lower"),
    Measure(name="bounded_slowdown_mean", title="mean bounded slowdown", better="lower"),
    Measure(name="bounded_slowdown_p95", title="95th percentile of bounded slowdown", better="lower"),
    Measure(name="makespan_s", title="makespan", unit="s", better="lower"),
    Measure(name="cpu_reserved_mean", title="mean share of cores reserved", better="higher"),
    Measure(name="cpu_used_mean", title="mean share of cores used", better="higher"),
    Measure(name="cpu_stranded_mean", title="mean share of cores stranded", better="lower"),
    Measure(name="memory_stranded_mean", title="mean share of memory stranded", better="lower"),
    Measure(name="completed", title="tasks completed", better="higher"),
    Measure(name="failed", title="tasks failed", better="lower"),
    Measure(name="unplaced", title="tasks that never ran", better="lower"),
    Measure(name="retries", title="runs beyond the first", better="lower"),
    Measure(name="preemptions", title="preemptions", better="lower"),
    Measure(name="moves", title="moves", better="lower"),
    Measure(name="fairness", title="fairness to jobs (Jain)", better="higher"),
    Measure(name="wasted_s", title="time of runs for nothing", unit="s", better="lower"),
    Measure(name="decisions_per_s", title="decisions in a second of real time"),
)

MEASURES: Final[Mapping[str, Measure]] = MappingProxyType({measure.name: measure for measure in _KNOWN})
"""The measures of which it is known what is better, and in which units they are."""

DEFAULT_MEASURES: Final = (
    "wait_mean_s",
    "wait_p95_s",
    "bounded_slowdown_mean",
    "makespan_s",
    "cpu_reserved_mean",
    "unplaced",
    "preemptions",
    "decisions_per_s",
)
"""Those that a comparison shows if nothing is said."""


def choose_measures(wanted: Sequence[str | Measure] | None) -> tuple[Measure, ...]:
    """The measures by which to compare.

    A name that is not known may be that of any figure; whether there is one shows when there is a result.

    Raises:
        UsageError: there are none, one is neither a name nor a :class:`Measure`, or two have one name.
    """
    if wanted is None:
        return tuple(MEASURES[name] for name in DEFAULT_MEASURES)
    if isinstance(wanted, str | Measure) or not wanted:
        raise UsageError(f"measures={brief(wanted, 60)}: write a list of names or of Measure")
    chosen: dict[str, Measure] = {}
    for one in wanted:
        given: object = one
        if not isinstance(given, str | Measure):
            raise UsageError(f"measures= takes names and Measure, not {brief(given, 60)}")
        measure = measure_named(given) if isinstance(given, str) else given
        if measure.name in chosen:
            raise UsageError(f'measures= names "{measure.name}" twice')
        chosen[measure.name] = measure
    return tuple(chosen.values())


def measure_named(name: str) -> Measure:
    """The measure of a name, or one that is only told if what is better is not known."""
    known = MEASURES.get(name)
    if known is not None:
        return known
    words, _, unit = name.rpartition("_")
    return Measure(name=name, title=words.replace("_", " "), unit="s") if unit == "s" else Measure(name=name)


def figure(figures: Mapping[str, float], measure: Measure) -> float:
    """One figure of a run.

    Raises:
        UsageError: there is none of that name.
    """
    if measure.name not in figures:
        hint = did_you_mean(measure.name, figures) or f"; there are {', '.join(sorted(figures))}"
        raise UsageError(f'a simulation has no figure "{measure.name[:70]}"{hint}')
    return figures[measure.name]
