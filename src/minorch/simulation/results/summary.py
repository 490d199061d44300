"""The figures of one simulation side by side: a record, and how it is written as text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from minorch.markup import shorten, time_words
from minorch.resources import format_size
from minorch.simulation.results.fragmentation import Fragmentation, fragmentation
from minorch.simulation.results.ledger import Ledger
from minorch.simulation.results.measures import (
    TAU_S,
    Makespan,
    Outcomes,
    Percentiles,
    bounded_slowdowns,
    fairness,
    job_slowdowns,
    makespan,
    outcomes,
    slowdowns,
    waits_s,
)
from minorch.simulation.results.usage import ResourceUse, Timeline, unit_of

__all__ = ["PERCENTILES", "Summary", "amount_words", "facts", "number_words", "plain", "summarise"]

PERCENTILES = ("mean", "p50", "p95", "p99", "most")


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one simulation. What each of them means is told where its type is.

    ``print`` it for a table, or take :meth:`figures` or :meth:`to_dict`.
    """

    scheduler: str
    seed: int
    nodes: int
    jobs: int
    """How many jobs arrived."""
    ended_s: float
    """When the simulation ended, in seconds."""
    outcomes: Outcomes
    makespan: Makespan
    wait_s: Percentiles
    """How long tasks waited until they first ran, in seconds; of those that ever did."""
    slowdown: Percentiles
    bounded_slowdown: Percentiles
    tau_s: float
    """The shortest run that counted as such in bounded slowdowns, in seconds."""
    fairness: float
    """Jain's index of the mean bounded slowdown of each job."""
    use: Sequence[ResourceUse]
    """By resource, what was reserved and used."""
    fragmentation: Sequence[Fragmentation]
    """By resource, what was free and no good."""
    busiest_s: float
    """The busiest moment, in seconds: when the scarcest resource was at its peak."""
    busy_s: float
    """How long tasks ran, all runs added up, in seconds."""
    wasted_s: float
    """How much of it was for nothing, as tasks that have an end had to run again."""
    counts: Mapping[str, int]
    """How often what happened."""
    wall_s: float
    """How long the simulation took in real time, in seconds. It differs from run to run, as the next does."""
    planning_s: float
    """How much of that was spent in plans."""
    refused_because: str = ""
    """Why the first job was refused that was; empty: none was."""
    plugin_failed: str = ""
    """What the strategy or a filter raised first, and for which task; empty: nothing."""

    @property
    def preemptions(self) -> int:
        """How often a task was moved aside for one of higher priority."""
        return self.counts.get("preemptions", 0)

    @property
    def moves(self) -> int:
        """How often a task was moved to another node."""
        return self.counts.get("moves", 0)

    @property
    def decisions_per_s(self) -> float:
        """How many placements were decided in a second of planning, in real time; not a number: none."""
        return self.counts.get("decisions", 0) / self.planning_s if self.planning_s else math.nan

    def figures(self) -> dict[str, float]:
        """All figures by name, flat: ``wait_p95_s``, ``cpu_reserved_mean``, ``memory_stranded_mean``, ..."""
        found: dict[str, float] = {"makespan_s": self.makespan.makespan_s}
        for name, unit, spread in (
            ("wait", "_s", self.wait_s),
            ("slowdown", "", self.slowdown),
            ("bounded_slowdown", "", self.bounded_slowdown),
        ):
            found |= {f"{name}_{each}{unit}": getattr(spread, each) for each in PERCENTILES}
        for use in self.use:
            for each in ("reserved_mean", "reserved_peak", "used_mean", "used_peak"):
                found[f"{use.resource}_{each}"] = getattr(use, each)
        for part in self.fragmentation:
            found[f"{part.resource}_fragmented_mean"] = part.mean
            found[f"{part.resource}_fragmented_at_peak"] = part.at_peak
            found[f"{part.resource}_stranded_mean"] = part.stranded_mean
            found[f"{part.resource}_stranded_at_peak"] = part.stranded_at_peak
        found |= {name: float(count) for name, count in msgspec.structs.asdict(self.outcomes).items()}
        return found | {
            "preemptions": float(self.preemptions),
            "moves": float(self.moves),
            "fairness": self.fairness,
            "busy_s": self.busy_s,
            "wasted_s": self.wasted_s,
            "decisions_per_s": self.decisions_per_s,
        }

    def to_dict(self) -> dict[str, object]:
        """Everything as plain data that JSON can hold; None stands for what is not a number."""
        whole = plain(msgspec.to_builtins(self))
        assert isinstance(whole, dict)
        return whole

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def _repr_html_(self) -> str:
        from minorch.simulation.results.views import summary_view  # which is made of what is here

        return summary_view(self)


def summarise(
    ledger: Ledger,
    *,
    scheduler: str,
    seed: int,
    ended_s: float,
    counts: Mapping[str, int],
    wall_s: float,
    planning_s: float,
    refusals: Sequence[str] = (),
    plugin_errors: Sequence[str] = (),
    tau_s: float = TAU_S,
) -> Summary:
    """Work out all figures of a ledger.

    Raises:
        UsageError: *tau_s* is not above 0.
    """
    timeline = Timeline(ledger, ended_s)
    busiest_s = timeline.busiest_s
    return Summary(
        scheduler=scheduler,
        seed=seed,
        nodes=len(ledger.nodes),
        jobs=sum(1 for _ in itertools.groupby(zip(ledger.job, ledger.arrived_s, strict=True))),
        ended_s=ended_s,
        outcomes=outcomes(ledger),
        makespan=makespan(ledger, ended_s),
        wait_s=Percentiles.of(waits_s(ledger)),
        slowdown=Percentiles.of(slowdowns(ledger)),
        bounded_slowdown=Percentiles.of(bounded_slowdowns(ledger, tau_s)),
        tau_s=tau_s,
        fairness=fairness(job_slowdowns(ledger, tau_s)),
        use=tuple(timeline.use()),
        fragmentation=tuple(fragmentation(timeline, busiest_s=busiest_s)),
        busiest_s=busiest_s,
        busy_s=timeline.busy_s,
        wasted_s=timeline.wasted_s,
        counts=dict(counts),
        wall_s=wall_s,
        planning_s=planning_s,
        refused_because=next(iter(refusals), ""),
        plugin_failed=next(iter(plugin_errors), ""),
    )


def plain(value: object) -> object:
    """The same with None for floats that JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


# -- as text ------------------------------------------------------------------------------------


def _lines(summary: Summary) -> Iterator[str]:
    ends = summary.outcomes
    yield (
        f"{summary.scheduler}, seed {summary.seed}: {_count(summary.nodes, 'node')}, "
        f"{_count(ends.arrived, 'task')} of {_count(summary.jobs, 'job')}, {time_words(summary.ended_s)}"
    )
    yield ""
    yield from _aligned(facts(summary))
    yield ""
    yield from _table(
        ["", *PERCENTILES, "tasks"],
        [
            ["wait, s", *_spread(summary.wait_s)],
            ["slowdown", *_spread(summary.slowdown)],
            [f"bounded slowdown ({summary.tau_s:g} s)", *_spread(summary.bounded_slowdown)],
        ],
    )
    yield ""
    parts = {part.resource: part for part in summary.fragmentation}
    yield from _table(
        ["", "in all", "reserved %", "at peak", "used %", "at peak", "stranded %", "fragmented %"],
        [[*_use(use), *_parts(parts.get(use.resource))] for use in summary.use],
    )


def facts(summary: Summary) -> Iterator[tuple[str, str]]:
    """What is told in words, each with its name."""
    ends, counts = summary.outcomes, summary.counts
    buckets = ("completed", "failed", "stopped", "running", "waiting", "refused")
    told = [f"{getattr(ends, name):,} {name}" for name in buckets if getattr(ends, name)]
    yield "tasks", f"{ends.arrived:,} = {' + '.join(told) or '0'}"
    if ends.unplaced:
        yield "unplaced", f"{ends.unplaced:,} of them never ran, beside the refused"
    if summary.refused_because:
        yield "refused", shorten(summary.refused_because, 200)
    if summary.plugin_failed:
        yield "failed", shorten(summary.plugin_failed, 200)
    started = ends.arrived - ends.unplaced - ends.refused
    yield "runs", f"{started + ends.retries:,} = {started:,} first + {ends.retries:,} more"
    yield "moved", f"{_count(summary.preemptions, 'preemption')}, {_count(summary.moves, 'move')}"
    span = summary.makespan
    if not math.isnan(span.makespan_s):
        yield "makespan", ("" if span.over else "at least ") + time_words(span.makespan_s)
    wasted = f"{time_words(summary.wasted_s)} of it for nothing" if summary.wasted_s else "none for nothing"
    yield "busy", f"{time_words(summary.busy_s)} of all runs, {wasted}"
    if not math.isnan(summary.fairness):
        yield "fairness", f"{summary.fairness:.3f} (Jain's index of bounded slowdowns by job)"
    planned = f"{_count(counts.get('decisions', 0), 'decision')} in {_count(counts.get('plans', 0), 'plan')}"
    rate = summary.decisions_per_s
    yield "planning", planned if math.isnan(rate) else f"{planned}: {rate:,.0f} decisions/s"
    yield (
        "it took",
        f"{number_words(summary.wall_s)} s, of which {number_words(summary.planning_s)} s planning",
    )


def _aligned(rows: Iterator[tuple[str, str]]) -> Iterator[str]:
    listed = list(rows)
    width = max(len(name) for name, _ in listed)
    return (f"{name.ljust(width)}  {words}" for name, words in listed)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for line in (heads, *rows):
        first, *others = (
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join([first, *others]).rstrip()


def _spread(spread: Percentiles) -> list[str]:
    return [*(number_words(getattr(spread, name)) for name in PERCENTILES), f"{spread.count:,}"]


def _use(use: ResourceUse) -> list[str]:
    shares = (use.reserved_mean, use.reserved_peak, use.used_mean, use.used_peak)
    return [use.resource, amount_words(use.resource, use.capacity), *map(_percent, shares)]


def _parts(part: Fragmentation | None) -> list[str]:
    if part is None:
        return ["-", "-"]
    return [_percent(part.stranded_mean), _percent(part.mean)]


def amount_words(resource: str, amount: float) -> str:
    """An amount of a resource in words: ``32 cores``, ``1.0 TiB``, ``4``."""
    unit = unit_of(resource)
    if unit == "bytes":
        return format_size(int(amount))
    return f"{amount:,g} cores" if unit == "cores" else f"{amount:,g}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def number_words(value: float) -> str:
    """Three digits of a number that matter, and all before the point."""
    if math.isnan(value):
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"
