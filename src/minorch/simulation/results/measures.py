"""What became of the tasks, in figures: pure functions of a ledger that look at each task by itself.

What the nodes had to do is in :mod:`minorch.simulation.results.usage`, and what of them was no good to
anybody in :mod:`minorch.simulation.results.fragmentation`.  Columns are read one after the other and
figures are kept in arrays, so that a million tasks take seconds and a few dozen megabytes.  Sums are exact
(:func:`math.fsum`): no figure depends on the order of what it is made of.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from minorch.errors import UsageError
from minorch.simulation.results.ledger import ENDINGS, Ending, Ledger

__all__ = [
    "TAU_S",
    "Percentiles",
    "Makespan",
    "Outcomes",
    "bounded_slowdowns",
    "fairness",
    "job_slowdowns",
    "makespan",
    "outcomes",
    "percentile",
    "slowdowns",
    "waits_s",
    "where",
]

TAU_S: Final = 10.0
"""The shortest run that counts as such in a bounded slowdown, in seconds."""


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value below which so many per cent of the others lie; between two of them it is interpolated.

    Of *n* values in ascending order, counted from 0, it is the one at ``(n - 1) * percent / 100``; between
    two positions, linearly in between.  That is what numpy's ``percentile`` does unless told otherwise, and
    definition 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages", The American Statistician
    50(4), 1996.

    Args:
        ordered: the values, sorted.
        percent: from 0 to 100.

    Returns:
        Not a number if there are no values.

    >>> percentile([1.0, 2.0, 4.0], 75)
    3.0
    """
    if not ordered:
        return math.nan
    position = (len(ordered) - 1) * (percent / 100)
    at = min(math.floor(position), len(ordered) - 1)
    low, high = ordered[at], ordered[min(at + 1, len(ordered) - 1)]
    part, gap = position - at, high - low
    return high - gap * (1 - part) if part >= 0.5 else low + gap * part


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """How a figure is spread over tasks. All but the count are not a number if there are none."""

    count: int
    """How many tasks have such a figure."""
    mean: float
    p50: float
    """The median; for this and the others see :func:`minorch.simulation.results.measures.percentile`."""
    p95: float
    p99: float
    most: float
    """The greatest."""

    @classmethod
    def of(cls, values: Iterable[float]) -> Percentiles:
        """The distribution of some values; sorting them takes 32 bytes for each, for a moment."""
        ordered = sorted(values)
        return cls(
            count=len(ordered),
            mean=math.fsum(ordered) / len(ordered) if ordered else math.nan,
            p50=percentile(ordered, 50),
            p95=percentile(ordered, 95),
            p99=percentile(ordered, 99),
            most=ordered[-1] if ordered else math.nan,
        )


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """In which bucket how many tasks have ended up.

    Each is in just one, so that they add up to those that arrived.
    """

    arrived: int
    completed: int
    failed: int
    stopped: int
    running: int
    """They were still running when the simulation ended."""
    waiting: int
    """They were waiting when the simulation ended, at first or again."""
    refused: int
    """No node could ever have held them, or the job was refused for another reason."""

    unplaced: int
    """Those that never ran, the refused not counted: they are in other buckets as well."""
    retries: int
    """How many runs there were beyond the first of each task, whatever they were for."""


def where(ledger: Ledger, *endings: Ending) -> bytes:
    """For each task, 1 if it ended up in one of these buckets, and else 0; as selectors for ``compress``."""
    wanted = bytes(number < len(ENDINGS) and ENDINGS[number] in endings for number in range(256))
    return bytes(ledger.ending).translate(wanted)


def outcomes(ledger: Ledger) -> Outcomes:
    """Count where the tasks have ended up."""
    counts = {ending: ledger.ending.count(number) for number, ending in enumerate(ENDINGS)}
    started = sum(map(bool, ledger.runs))
    return Outcomes(
        arrived=len(ledger),
        completed=counts[Ending.COMPLETED],
        failed=counts[Ending.FAILED],
        stopped=counts[Ending.STOPPED],
        running=counts[Ending.RUNNING],
        waiting=counts[Ending.WAITING],
        refused=counts[Ending.REFUSED],
        unplaced=len(ledger) - started - counts[Ending.REFUSED],
        retries=len(ledger.run_task) - started,
    )


class Makespan(msgspec.Struct, frozen=True, kw_only=True):
    """How long it took from the first arrival until all work was over."""

    makespan_s: float
    """In seconds; not a number if nothing was over and nothing has an end."""
    over: bool
    """Whether all work that has an end was over. If not, it would have taken at least so long."""


def makespan(ledger: Ledger, ended_s: float) -> Makespan:
    """How long it took from the first arrival until the last task was over.

    Refused tasks do not count, and services, which have no end, count if they were stopped or failed.  If a
    task that has an end still waits or runs, it is the time until the simulation ended, and *over* is false:
    a scheduler that leaves work behind is not the faster for it.

    Args:
        ledger: what happened.
        ended_s: when the simulation ended, in seconds.
    """
    accepted = bytes(map((1).__sub__, where(ledger, Ending.REFUSED)))
    first_s = min(itertools.compress(ledger.arrived_s, accepted), default=math.nan)
    left = where(ledger, Ending.RUNNING, Ending.WAITING)
    over = not any(math.isfinite(duration) for duration in itertools.compress(ledger.duration_s, left))
    gone = where(ledger, Ending.COMPLETED, Ending.FAILED, Ending.STOPPED)
    last_s = max(itertools.compress(ledger.finished_s, gone), default=math.nan) if over else ended_s
    return Makespan(makespan_s=last_s - first_s, over=over)


def waits_s(ledger: Ledger) -> array[float]:
    """How long each task that ever ran had waited until it first did, in seconds.

    Tasks that never ran are left out, so read it beside :attr:`Outcomes.unplaced`.  What a task that comes
    after others waits for them is part of it; what it waits for its second run is not.
    """
    return array(
        "d",
        (
            started - arrived
            for arrived, started in zip(ledger.arrived_s, ledger.started_s, strict=True)
            if started == started  # not a number: never
        ),
    )


def slowdowns(ledger: Ledger) -> array[float]:
    """How many times longer each task was there than it would have run undisturbed.

    It is the time from its arrival until it was over, divided by its duration: Feitelson and Rudolph,
    "Metrics and Benchmarking for Parallel Job Scheduling", JSSPP 1998.  Only tasks that completed have one,
    and only those with a duration above 0; services have none.
    """
    return array("d", (response / duration for response, duration in _completed(ledger) if duration > 0))


def bounded_slowdowns(ledger: Ledger, tau_s: float = TAU_S) -> array[float]:
    """Slowdowns in which a run shorter than *tau_s* counts as one of *tau_s*, and which are 1 at the least.

    For a task that runs once and undisturbed it is ``max(1, (wait + run) / max(run, tau))``: Feitelson,
    Rudolph, Schwiegelshohn, Sevcik and Wong, "Theory and Practice in Parallel Job Scheduling", JSSPP 1997.
    Where it runs more than once or slower, all the time from arrival to end counts in place of
    ``wait + run``, and its undisturbed duration is ``run`` below the line.  Only tasks that completed have
    one; services have none.

    Args:
        ledger: what happened.
        tau_s: in seconds; above 0.

    Raises:
        UsageError: *tau_s* is not above 0.
    """
    _check_tau(tau_s)
    return array("d", _bounded(_completed(ledger), tau_s))


def job_slowdowns(
    ledger: Ledger, tau_s: float = TAU_S, user: Callable[[str], str] | None = None
) -> array[float]:
    """The mean bounded slowdown of each job's tasks, or of each user's.

    Args:
        ledger: what happened.
        tau_s: as for :func:`bounded_slowdowns`.
        user: gives the user of a job by its name; None: each job that was submitted counts by itself, also
            one whose name was there before.

    Returns:
        One figure for each job, or user, of which a task has a bounded slowdown, in the order of arrival.

    Raises:
        UsageError: *tau_s* is not above 0.
    """
    _check_tau(tau_s)
    rows = zip(
        ledger.job,
        ledger.arrived_s,
        ledger.finished_s,
        ledger.duration_s,
        where(ledger, Ending.COMPLETED),
        strict=True,
    )
    if user is None:  # a job's tasks arrive together, so that they are next to each other
        means = array("d")
        for _, group in itertools.groupby(rows, key=lambda row: row[:2]):
            found = [
                max(1.0, (finished - arrived) / max(duration, tau_s))
                for _, arrived, finished, duration, completed in group
                if completed and duration < math.inf
            ]
            if found:
                means.append(math.fsum(found) / len(found))
        return means
    by_user: dict[str, array[float]] = {}
    for job, arrived, finished, duration, completed in rows:
        if completed and duration < math.inf:
            by_user.setdefault(user(job), array("d")).append(
                max(1.0, (finished - arrived) / max(duration, tau_s))
            )
    return array("d", (math.fsum(found) / len(found) for found in by_user.values()))


def fairness(values: Sequence[float]) -> float:
    """Jain's index of fairness: 1 if all values are equal, and ``1 / n`` if all but one of *n* are 0.

    It is ``(x1 + ... + xn)**2 / (n * (x1**2 + ... + xn**2))``: Jain, Chiu and Hawe, "A Quantitative Measure
    of Fairness and Discrimination for Resource Allocation in Shared Computer Systems", DEC-TR-301, 1984.

    Returns:
        Not a number if there are no values, or all are 0.

    >>> fairness([1.0, 1.0, 4.0])
    0.6666666666666666
    """
    squares = math.fsum(value * value for value in values)
    total = math.fsum(values)
    return total * total / (len(values) * squares) if squares else math.nan


def _check_tau(tau_s: float) -> None:
    if not 0 < tau_s < math.inf:
        raise UsageError(f"tau_s={tau_s!r}: the shortest run that counts is so many seconds, more than 0")


def _completed(ledger: Ledger) -> Iterable[tuple[float, float]]:
    """Of each task that completed: the time from arrival to end, and its duration."""
    chosen = itertools.compress(
        zip(ledger.arrived_s, ledger.finished_s, ledger.duration_s, strict=True),
        where(ledger, Ending.COMPLETED),
    )
    return ((finished - arrived, duration) for arrived, finished, duration in chosen if duration < math.inf)


def _bounded(completed: Iterable[tuple[float, float]], tau_s: float) -> Iterable[float]:
    return (max(1.0, response / max(duration, tau_s)) for response, duration in completed)
