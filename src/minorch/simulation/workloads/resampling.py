"""Many samples from one workload: a bootstrap, so that a fixed trace can be compared over several seeds."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from random import Random
from typing import Final, Literal, get_args

from minorch.errors import UsageError, brief
from minorch.simulation.workloads.arrivals import Arrival, Workload, read_arrivals
from minorch.simulation.workloads.prototypes import renamed

__all__ = ["Resampled", "Spacing", "resampled"]

Spacing = Literal["kept", "drawn", "gaps"]

_MOST_JOBS: Final = 100_000
_LONGEST_NAME: Final = 48


class Resampled:
    """Samples of a workload: call it with a seed. Made by :func:`minorch.simulation.resampled`.

    It reads the workload once, when it is first called.
    """

    def __init__(self, workload: Workload, tasks: int | None, times: Spacing, most_jobs: int) -> None:
        self._workload = workload
        self._tasks = tasks
        self._times = times
        self._most_jobs = most_jobs
        self._jobs: list[Arrival] = []
        self._at_s = array("d")

    def __call__(self, seed: int) -> Iterator[Arrival]:
        """The arrivals of a seed.

        Raises:
            UsageError: the workload is empty, or has fewer arrivals than are to be kept.
        """
        if not self._at_s:
            self._take_in()
        return self._sample(Random(f"{seed}/resampled"))

    def _take_in(self) -> None:
        """Note when all arrive, and a sample of what arrives that is as large as was allowed."""
        random, most = Random(0), self._most_jobs
        jobs, at_s = list[Arrival](), array("d")
        for number, arrival in enumerate(read_arrivals(self._workload, 0)):
            at_s.append(arrival.at_s)
            if number < most:
                jobs.append(arrival)
            elif (at := random.randrange(number + 1)) < most:
                jobs[at] = arrival
        if not at_s:
            raise UsageError("the workload to sample from is empty")
        if self._times == "kept" and self._tasks is not None and self._tasks > len(at_s):
            raise UsageError(
                f"tasks={self._tasks:,}: the workload has {len(at_s):,} times of arrival to keep; "
                'for more, times="gaps" or times="drawn"'
            )
        self._jobs, self._at_s = jobs, at_s

    def _sample(self, random: Random) -> Iterator[Arrival]:
        jobs = self._jobs
        for number, at_s in enumerate(self._draw_times(random)):
            like = jobs[int(random.random() * len(jobs))]
            # Cut, so that there is room for the number that makes it the only one of its name.
            name = f"{like.job.name[:_LONGEST_NAME]}-{number}"
            yield Arrival(at_s, renamed(like.job, name), like.duration_s, like.usage, like.exit_code)

    def _draw_times(self, random: Random) -> Iterable[float]:
        at_s = self._at_s
        count = len(at_s) if self._tasks is None else self._tasks
        if self._times == "kept":
            return at_s[:count]
        if self._times == "drawn":
            return sorted(random.choices(at_s, k=count))
        gaps = [later - sooner for sooner, later in pairwise(at_s)] or [0.0]
        return accumulate((gaps[int(random.random() * len(gaps))] for _ in range(count - 1)), initial=at_s[0])

    def __reduce__(self) -> tuple[object, ...]:  # what was taken in is read again elsewhere
        return (type(self), (self._workload, self._tasks, self._times, self._most_jobs))

    def __repr__(self) -> str:
        return f"resampled({self._workload!r}, tasks={self._tasks}, times={self._times!r})"


def resampled(
    workload: Workload, *, tasks: int | None = None, times: Spacing = "kept", most_jobs: int = _MOST_JOBS
) -> Resampled:
    """Make a workload of which each seed gives another sample, from one that is always the same.

    What arrives is drawn from the workload with replacement, with its duration and usage (Efron, "Bootstrap
    Methods", Annals of Statistics 7(1), 1979).  So the order of jobs, and what those that came together had
    in common, is lost.

    Args:
        workload: a trace, or any other workload; one that is a function is called with the seed 0.
        tasks: how many arrive; None: as many as in the workload.
        times: ``"kept"``: when they arrive is as it was. ``"drawn"``: drawn from the times of arrival, so
            they are denser or thinner with more or fewer *tasks*. ``"gaps"``: the time from one to the next
            is drawn, so the rate stays whatever *tasks* is, and peaks over a day are lost.
        most_jobs: so many different arrivals are kept in memory to be drawn from; of a longer workload they
            are a sample (Vitter's algorithm R).

    Raises:
        UsageError: an argument makes no sense.

    >>> from minorch import Task
    >>> work = resampled([(0.0, Task("a", command=["x"]), 1.0), (5.0, Task("b", command=["x"]), 2.0)])
    >>> [arrival.at_s for arrival in work(seed=1)]
    [0.0, 5.0]
    """
    if times not in get_args(Spacing):
        raise UsageError(f'times={brief(times)}: it is "kept", "drawn" or "gaps"')
    given: object = tasks
    if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 1):
        raise UsageError(f"tasks={brief(given)}: so many arrive, at least 1")
    if most_jobs < 1:
        raise UsageError(f"most_jobs={brief(most_jobs)}: it is at least 1")
    return Resampled(workload, tasks, times, most_jobs)
