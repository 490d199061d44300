"""Workloads that are made up: drawn from a seed, one arrival after the other, as often as they are wanted.

Each function returns a workload that is a function of the seed, so that one seed gives the same arrivals
everywhere, and other seeds give others.  What makes the times of arrivals is in
:mod:`minorch.simulation.workloads.processes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, takewhile
from math import inf, pi
from random import Random
from typing import Final, TypeAlias, TypeVar

import msgspec

from minorch.errors import UsageError, brief
from minorch.ids import check_name
from minorch.model import Job, JobKind, Task
from minorch.resources import Resources
from minorch.simulation.workloads.arrivals import Arrival
from minorch.simulation.workloads.distributions import Distribution
from minorch.simulation.workloads.processes import (
    BurstTimes,
    EvenTimes,
    PoissonTimes,
    Sinusoid,
    ThinnedTimes,
    Times,
    above_zero,
)
from minorch.simulation.workloads.prototypes import MOST_PROTOTYPES, Prototypes, renamed

__all__ = ["Generated", "bursts", "diurnal", "poisson", "services", "varying"]

_T = TypeVar("_T")
Drawn: TypeAlias = _T | Callable[[Random], _T]
"""A value, or what draws one."""
Work: TypeAlias = Job | Task

_TASK: Final = Task("task", command=["run"])
_PERCENT: Final = 100


class Generated(msgspec.Struct, frozen=True, kw_only=True):
    """A workload that is drawn from a seed: call it with one. Made by the functions of this module."""

    times: Times
    duration_s: Drawn[float]
    work: Drawn[Resources] | Drawn[Work]
    usage_share: Drawn[float] | None
    tasks: int | None
    until_s: float
    name: str
    kind: str

    def __call__(self, seed: int) -> Iterator[Arrival]:
        """The arrivals of a seed, each when it is asked for."""
        # Times, durations and sizes are drawn apart, so that a change of one leaves the others as they are.
        times = self.times(Random(f"{seed}/{self.name}/times"))
        within = islice(takewhile(self.until_s.__ge__, times), self.tasks)
        return self._arrivals(
            within, Random(f"{seed}/{self.name}/durations"), Random(f"{seed}/{self.name}/work")
        )

    def _arrivals(self, times: Iterable[float], durations: Random, works: Random) -> Iterator[Arrival]:
        jobs = _Jobs(self.kind)
        draw_s, draw_work, share, name = self.duration_s, self.work, self.usage_share, self.name
        for number, at_s in enumerate(times):
            work = draw_work(works) if callable(draw_work) else draw_work
            job = jobs.job(work, f"{name}-{number}")
            duration_s = draw_s(durations) if callable(draw_s) else draw_s
            usage = None
            if share is not None:
                asked = job.tasks[0].resources
                usage = _part(asked, share(works) if callable(share) else share)
            yield Arrival(at_s, job, duration_s, usage)


class _Jobs:
    """Makes a job of whatever was drawn; of what is drawn again, it makes copies."""

    def __init__(self, kind: str) -> None:
        self._kind: JobKind = "service" if kind == "service" else "batch"
        self._by_resources = Prototypes(self._ask_for)
        self._by_task: dict[int, Job] = {}
        """By the identity of a task, which lives as long as its job here does: tasks have no hash."""

    def job(self, work: object, name: str) -> Job:
        """A job of that name.

        Raises:
            UsageError: what was drawn is no work.
        """
        if isinstance(work, Resources):
            return self._by_resources.job(work, name)
        if isinstance(work, Job):
            return renamed(work, name)
        if not isinstance(work, Task):
            raise UsageError(f"drawn was {brief(work, 60)}, and neither Resources nor a Task or Job")
        like = self._by_task.get(id(work))
        if like is None:
            if len(self._by_task) >= MOST_PROTOTYPES:
                self._by_task.clear()
            like = self._by_task[id(work)] = Job("job", [work], kind=self._kind)
        return renamed(like, name)

    def _ask_for(self, resources: Resources) -> Job:
        return Job("job", [msgspec.structs.replace(_TASK, resources=resources)], kind=self._kind)


def _part(amount: Resources, share: float) -> Resources:
    """So much of an amount; in whole percent, so that few different ones come out."""
    percent = round(share * _PERCENT)
    return Resources.of(
        amount.cpu_millis * percent // _PERCENT,
        amount.memory * percent // _PERCENT,
        amount.disk,
        amount.custom_millis,
    )


def _generated(
    times: Times,
    *,
    duration_s: Drawn[float],
    resources: Drawn[Resources] | None,
    work: Drawn[Work] | None,
    usage_share: Drawn[float] | None,
    tasks: int | None,
    until_s: float | None,
    name: str,
    kind: str = "batch",
) -> Generated:
    if (resources is None) == (work is None):
        raise UsageError("give resources= for tasks of one kind, or work= for tasks or jobs; one of them")
    chosen = resources if resources is not None else work
    assert chosen is not None
    if not callable(chosen) and not isinstance(chosen, Resources | Task | Job):
        raise UsageError(f"{brief(chosen, 60)} is no work: write Resources(cpu=1), or choice([...]) of such")
    if tasks is None and until_s is None:
        raise UsageError("say how much arrives: tasks=10_000, or until_s=86_400")
    given: object = tasks
    if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 0):
        raise UsageError(f"tasks={brief(given)}: so many arrive, a number from 0")
    if until_s is not None and not until_s >= 0:
        raise UsageError(f"until_s={brief(until_s)}: it is so many seconds after the beginning")
    for what, value in (("duration_s", duration_s), ("usage_share", usage_share)):
        if value is not None and not callable(value) and not value >= 0:
            raise UsageError(f"{what}={brief(value)}: it is a number from 0, or what draws one")
    check_name(f"{name}-0", "job", "name")
    return Generated(
        times=times,
        duration_s=duration_s if callable(duration_s) else float(duration_s),
        work=chosen,
        usage_share=usage_share,
        tasks=tasks,
        until_s=inf if until_s is None else float(until_s),
        name=name,
        kind=kind,
    )


def poisson(
    rate_per_s: float,
    *,
    duration_s: Distribution | float,
    resources: Drawn[Resources] | None = None,
    work: Drawn[Work] | None = None,
    tasks: int | None = None,
    until_s: float | None = None,
    usage_share: Distribution | float | None = None,
    name: str = "job",
) -> Generated:
    """Arrivals that know nothing of each other, at a steady rate.

    Args:
        rate_per_s: how many arrive in a second, on average.
        duration_s: for how long each runs, in seconds, or what that is drawn from.
        resources: what each asks for, or what that is drawn from: ``choice([...])``, :func:`demands`. Each
            job has one task then.
        work: instead of *resources*: the task or job that arrives, or what it is drawn from.
        tasks: how many arrive; with *until_s* as well, whichever is reached first.
        until_s: until when they arrive, in seconds after the beginning.
        usage_share: which share of the CPU and memory that it asks for each really uses, or what that is
            drawn from; it is rounded to whole percent. None: all of it. A job's tasks all use what its first
            one does.
        name: jobs are called ``NAME-0``, ``NAME-1``, ...

    Raises:
        UsageError: an argument makes no sense.

    >>> work = poisson(5, tasks=3, duration_s=60, resources=Resources(cpu=1, memory="2GiB"))
    >>> [arrival.job.name for arrival in work(seed=1)]
    ['job-0', 'job-1', 'job-2']
    """
    return _generated(
        PoissonTimes(above_zero(rate_per_s, "rate_per_s")),
        duration_s=duration_s,
        resources=resources,
        work=work,
        usage_share=usage_share,
        tasks=tasks,
        until_s=until_s,
        name=name,
    )


def varying(
    rate_per_s: Callable[[float], float],
    most_per_s: float,
    *,
    duration_s: Distribution | float,
    resources: Drawn[Resources] | None = None,
    work: Drawn[Work] | None = None,
    tasks: int | None = None,
    until_s: float | None = None,
    usage_share: Distribution | float | None = None,
    name: str = "job",
) -> Generated:
    """Arrivals that know nothing of each other, at a rate that changes with time.

    A non-homogeneous Poisson process by thinning (Lewis and Shedler, Naval Research Logistics Quarterly
    26(3), 1979).

    Args:
        rate_per_s: the rate at a time, which it is given in seconds after the beginning.
        most_per_s: a rate that it never exceeds. The nearer to its highest, the faster this goes.
        duration_s: for how long each runs, in seconds, or what that is drawn from.
        resources: what each asks for, or what that is drawn from.
        work: instead of *resources*: the task or job that arrives, or what it is drawn from.
        tasks: how many arrive.
        until_s: until when they arrive, in seconds after the beginning.
        usage_share: which share of that each really uses, as with :func:`poisson`.
        name: what the names of jobs begin with.

    Raises:
        UsageError: an argument makes no sense; or, while arrivals are drawn, the rate is not between 0 and
            *most_per_s*.
    """
    if not callable(rate_per_s):
        raise UsageError(
            f"rate_per_s={brief(rate_per_s)}: it is a function of the time; a steady one: poisson()"
        )
    return _generated(
        ThinnedTimes(rate_per_s, above_zero(most_per_s, "most_per_s")),
        duration_s=duration_s,
        resources=resources,
        work=work,
        usage_share=usage_share,
        tasks=tasks,
        until_s=until_s,
        name=name,
    )


def diurnal(
    rate_per_s: float,
    *,
    duration_s: Distribution | float,
    swing: float = 0.8,
    period_s: float = 86_400.0,
    peak_at_s: float = 50_400.0,
    resources: Drawn[Resources] | None = None,
    work: Drawn[Work] | None = None,
    tasks: int | None = None,
    until_s: float | None = None,
    usage_share: Distribution | float | None = None,
    name: str = "job",
) -> Generated:
    """Arrivals by day and, fewer, by night: the rate is a sine wave.

    Args:
        rate_per_s: how many arrive in a second, on average over a day.
        swing: how far the rate goes up and down from its mean, as a share of it, from 0 to 1: with 0.8 the
            busiest moment has nine times the rate of the quietest.
        period_s: how long a day is, in seconds.
        peak_at_s: when in a day the rate is highest, in seconds after the beginning.
        duration_s: for how long each runs, in seconds, or what that is drawn from.
        resources: what each asks for, or what that is drawn from.
        work: instead of *resources*: the task or job that arrives, or what it is drawn from.
        tasks: how many arrive.
        until_s: until when they arrive, in seconds after the beginning.
        usage_share: which share of that each really uses, as with :func:`poisson`.
        name: what the names of jobs begin with.

    Raises:
        UsageError: an argument makes no sense.
    """
    if not 0 <= swing <= 1:
        raise UsageError(f"swing={brief(swing)}: it is a share of the mean rate, from 0 to 1")
    mean = above_zero(rate_per_s, "rate_per_s")
    wave = Sinusoid(mean, float(swing), 2 * pi / above_zero(period_s, "period_s"), float(peak_at_s))
    return varying(
        wave,
        mean * (1 + swing),
        duration_s=duration_s,
        resources=resources,
        work=work,
        usage_share=usage_share,
        tasks=tasks,
        until_s=until_s,
        name=name,
    )


def bursts(
    every_s: float,
    size: Distribution | int,
    *,
    duration_s: Distribution | float,
    within_s: float = 1.0,
    resources: Drawn[Resources] | None = None,
    work: Drawn[Work] | None = None,
    tasks: int | None = None,
    until_s: float | None = None,
    usage_share: Distribution | float | None = None,
    name: str = "job",
) -> Generated:
    """Arrivals that come together: bursts at random, and many arrivals in each.

    Args:
        every_s: how many seconds lie between the beginnings of bursts, on average.
        size: how many arrive in one, or what that is drawn from; it is rounded, and at least 1.
        within_s: over how many seconds the arrivals of one are spread, evenly at random.
        duration_s: for how long each runs, in seconds, or what that is drawn from.
        resources: what each asks for, or what that is drawn from.
        work: instead of *resources*: the task or job that arrives, or what it is drawn from.
        tasks: how many arrive.
        until_s: until when they arrive, in seconds after the beginning.
        usage_share: which share of that each really uses, as with :func:`poisson`.
        name: what the names of jobs begin with.

    Raises:
        UsageError: an argument makes no sense.
    """
    if not 0 <= within_s < inf:
        raise UsageError(f"within_s={brief(within_s)}: it is a number of seconds from 0")
    if not callable(size) and not 1 <= size <= 1_000_000:
        raise UsageError(f"size={brief(size)}: a burst is of 1 to 1,000,000 arrivals")
    return _generated(
        BurstTimes(above_zero(every_s, "every_s"), size, float(within_s)),
        duration_s=duration_s,
        resources=resources,
        work=work,
        usage_share=usage_share,
        tasks=tasks,
        until_s=until_s,
        name=name,
    )


def services(
    count: int,
    *,
    over_s: float = 0.0,
    resources: Drawn[Resources] | None = None,
    work: Drawn[Work] | None = None,
    usage_share: Distribution | float | None = None,
    name: str = "service",
) -> Generated:
    """Services that run until the end. With ``merged`` they go beside a batch workload.

    A task becomes a job of ``kind="service"``; a job stays what it is.

    Args:
        count: how many.
        over_s: over how many seconds they arrive, at even distances; 0: all at the beginning.
        resources: what each asks for, or what that is drawn from.
        work: instead of *resources*: the task or job that arrives, or what it is drawn from.
        usage_share: which share of that each really uses, as with :func:`poisson`.
        name: what the names of jobs begin with.

    Raises:
        UsageError: an argument makes no sense.
    """
    if not 0 <= over_s < inf:
        raise UsageError(f"over_s={brief(over_s)}: it is a number of seconds from 0")
    return _generated(
        EvenTimes(over_s / count if count else 0.0),
        duration_s=inf,
        resources=resources,
        work=work,
        usage_share=usage_share,
        tasks=count,
        until_s=None,
        name=name,
        kind="service",
    )
