"""Several workloads at once."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from operator import attrgetter
from random import Random

import msgspec

from minorch.errors import UsageError
from minorch.simulation.workloads.arrivals import Arrival, Workload, read_arrivals
from minorch.simulation.workloads.generators import Generated

__all__ = ["Merged", "merged"]


class Merged(msgspec.Struct, frozen=True):
    """Several workloads at once: call it with a seed. Made by :func:`minorch.simulation.merged`."""

    parts: tuple[Workload, ...]

    def __call__(self, seed: int) -> Iterator[Arrival]:
        """The arrivals of a seed, in the order of time; of equal ones, as the workloads were given."""
        streams = [
            read_arrivals(part, Random(f"{seed}/{number}").getrandbits(63))
            for number, part in enumerate(self.parts)
        ]
        return heapq.merge(*streams, key=attrgetter("at_s"))


def merged(*workloads: Workload) -> Merged:
    """Several workloads at once, such as services and a batch: ``merged(services(50, ...), poisson(...))``.

    Args:
        workloads: any workloads. Each that is a function gets a seed of its own. Their jobs need different
            names.

    Raises:
        UsageError: two that are made here give their jobs the same names.
    """
    names = [part.name for part in workloads if isinstance(part, Generated)]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise UsageError(f'two workloads call their jobs "{name}-..."; give one of them another name=')
    return Merged(workloads)
