"""What arrives in a simulation, and when: the workload, read one arrival at a time and checked on the way.

A workload is any iterable of :class:`Arrival` records or of tuples with the same fields in the same order.
It may be a list, a generator or a trace of millions of lines: no more of it is read than is due.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

import msgspec

from minorch.errors import UsageError, brief
from minorch.model import Job, Task
from minorch.resources import Resources

__all__ = ["Arrival", "ArrivalLike", "Durations", "ExitCodes", "Workload", "read_arrivals"]

_N = TypeVar("_N", int, float)

Durations: TypeAlias = float | Sequence[float] | Mapping[str, float | Sequence[float]]
"""For how long tasks run, in seconds: one number for all, one for each instance in order, or either of these
by the task's name."""

ExitCodes: TypeAlias = int | Sequence[int] | Mapping[str, int | Sequence[int]]
"""How tasks end: one exit code for all, one for each instance in order, or either of these by the task's
name."""

_LATEST_S: Final = 1e10
"""Three hundred years: whoever has more has other units."""


class Arrival(msgspec.Struct, frozen=True):
    """A job that is submitted at some time, and what its tasks really do then.

    Raises:
        UsageError: a field makes no sense.

    >>> Arrival(5.0, Task("sum", command=["sum"], resources=Resources(cpu=1)), 60.0).job.name
    'sum'
    """

    at_s: float
    """When it is submitted, in seconds since the beginning."""
    work: Job | Task
    """What is submitted; a task becomes a job of its name."""
    duration_s: Durations = math.inf
    """For how long its tasks run if nobody disturbs them, in seconds; infinite: until they are stopped."""
    usage: Resources | Mapping[str, Resources] | None = None
    """What each of its tasks really uses, or that by the task's name; None: what it asks for."""
    exit_code: ExitCodes = 0
    """How its tasks end, each time that they run."""

    def __post_init__(self) -> None:
        for name in ("at_s", "duration_s", "exit_code"):
            given: object = getattr(self, name)
            if type(given) not in (int, float):
                msgspec.structs.force_setattr(self, name, _plain(given))
        at_s: object = self.at_s
        if isinstance(at_s, bool) or not isinstance(at_s, int | float) or not 0 <= at_s <= _LATEST_S:
            raise UsageError(f"at_s={brief(at_s)}: an arrival is so many seconds after the beginning")
        if not isinstance(self.work, Job | Task):
            raise UsageError(f"a Job or a Task arrives, not {brief(self.work, 60)}")
        durations: object = self.duration_s
        named: Iterable[object] = durations.values() if isinstance(durations, Mapping) else [durations]
        for one in named:
            if isinstance(one, str) or not isinstance(one, int | float | Sequence):
                raise UsageError(f"{brief(one)} is no duration in seconds, nor a list of such")
            for duration_s in [one] if isinstance(one, int | float) else one:
                if isinstance(duration_s, bool) or not isinstance(duration_s, int | float):
                    raise UsageError(f"{brief(duration_s)} is no duration in seconds")
                if not duration_s >= 0:
                    raise UsageError(f"a duration of {brief(duration_s)} s is negative, or no number")
        usage: object = self.usage
        if usage is not None and not isinstance(usage, Resources | Mapping):
            raise UsageError(f"usage={brief(usage)}: write Resources(...), or a mapping of them by task")
        if type(self.exit_code) is not int:
            codes = self.exit_code.values() if isinstance(self.exit_code, Mapping) else [self.exit_code]
            for code in (code for one in codes for code in ([one] if isinstance(one, int) else one)):
                if isinstance(code, bool) or not isinstance(code, int):
                    raise UsageError(f"{brief(code)} is no exit code")

    @property
    def job(self) -> Job:
        """The job that is submitted."""
        return self.work if isinstance(self.work, Job) else Job(self.work.name, [self.work])

    def duration_of(self, task: str, number: int) -> float:
        """For how long one instance runs, in seconds.

        Args:
            task: the task's name.
            number: which instance of it, from 0.

        Raises:
            UsageError: it is not told.
        """
        return float(self._told("durations", self.duration_s, task, number))

    def exit_code_of(self, task: str, number: int) -> int:
        """How one instance ends.

        Args:
            task: the task's name.
            number: which instance of it, from 0.

        Raises:
            UsageError: it is not told.
        """
        return self._told("exit codes", self.exit_code, task, number)

    def _told(
        self, what: str, told: _N | Sequence[_N] | Mapping[str, _N | Sequence[_N]], task: str, number: int
    ) -> _N:
        if isinstance(told, Mapping):
            if task not in told:
                raise UsageError(
                    f'the arrival at {self.at_s:g} s tells {what}, and not that of task "{task}"'
                )
            told = told[task]
        if not isinstance(told, Sequence):
            return told
        if number >= len(told):
            raise UsageError(
                f'the arrival at {self.at_s:g} s tells {what} of {len(told)} instances of "{task}", '
                f"and none of instance {number}"
            )
        return told[number]

    def usage_of(self, task: Task) -> Resources:
        """What an instance of a task really uses."""
        if self.usage is None:
            return task.resources
        if isinstance(self.usage, Resources):
            return self.usage
        return self.usage.get(task.name, task.resources)


def _plain(value: object) -> object:
    """Numpy's numbers and arrays, and pandas' columns, as Python's own; anything else as it is."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return value if all(type(one) in (int, float) for one in value) else [_plain(one) for one in value]
    to_list = getattr(value, "tolist", None)
    return to_list() if callable(to_list) else value


ArrivalLike: TypeAlias = (
    Arrival
    | tuple[float, Job | Task]
    | tuple[float, Job | Task, Durations]
    | tuple[float, Job | Task, Durations, Resources | Mapping[str, Resources] | None]
)
Workload: TypeAlias = Iterable[ArrivalLike] | Callable[[int], Iterable[ArrivalLike]]
"""Arrivals in the order of their time; or a function that is given the seed and returns such."""


def read_arrivals(workload: Workload, seed: int) -> Iterator[Arrival]:
    """Give one arrival after the other, checked.

    Args:
        workload: the arrivals, or a function that makes them from a seed.
        seed: what such a function is given.

    Raises:
        UsageError: something that arrives is no arrival, or comes before the one before it; the message says
            which, counting from 0.
    """
    given: object = workload(seed) if callable(workload) else workload
    if not isinstance(given, Iterable):
        raise UsageError(f"a workload is an iterable of arrivals, not {brief(given, 60)}")
    before_s = 0.0
    for number, one in enumerate(given):
        if isinstance(one, Arrival):
            arrival = one
        else:
            if not isinstance(one, tuple) or not 2 <= len(one) <= 5:
                raise UsageError(
                    f"arrival {number} is {brief(one, 60)}; write Arrival(at_s, job, duration_s), "
                    "or a tuple of these"
                )
            try:
                arrival = Arrival(*one)
            except UsageError as error:
                raise UsageError(f"arrival {number}: {error}") from None
        if arrival.at_s < before_s:
            raise UsageError(
                f"arrival {number} is at {arrival.at_s:g} s, the one before it at {before_s:g} s; sort them: "
                "sorted(workload, key=lambda arrival: arrival.at_s)"
            )
        before_s = arrival.at_s
        yield arrival
