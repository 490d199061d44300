"""Room that is free and no good: how much of each resource the tasks that come could not use, and why.

Two figures are told apart, for a node *n*, a resource *r* and a task *m* drawn from all that arrived:

*fragmented*
    all that is free of *r* on *n*, if *m* does not fit there or asks for none of *r*; else nothing.  That is
    F_n(m) of Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation
    Gradient Descent", USENIX ATC 2023, section 3, for a resource that is one pool on each node.
*stranded*
    the part of it where *m* asks for *r* and there is enough of *r*, so that it is another resource that
    keeps *m* out.  Borg calls resources stranded that "cannot be used because another resource on the machine
    is fully allocated": Verma et al., EuroSys 2015, section 3.2.

Both are averaged over all tasks that were accepted, and summed over nodes.  A task is what it asks for:
constraints, ports and other tasks that it must be apart from are not looked at, but for how many tasks a node
takes.  Of very many different tasks, only those that arrived most often are looked at.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from minorch.errors import UsageError
from minorch.simulation.results.ledger import Ending, Ledger
from minorch.simulation.results.measures import where
from minorch.simulation.results.occupancy import Occupancy, Packing
from minorch.simulation.results.usage import Timeline, amount_of

__all__ = ["Fragmentation", "fragmentation"]

_MOST_SHAPES: Final = 64
_MOST_MOMENTS: Final = 16
_MOST_TRIALS: Final = 2_000_000
"""How often a task is held against a node, which takes about a microsecond."""


class Fragmentation(msgspec.Struct, frozen=True, kw_only=True):
    """How much free room of one resource was no good to the tasks that come.

    Shares are from 0 to 1, and not a number where nothing was free.
    """

    resource: str
    at_peak: float
    """The share of what was free that was fragmented, at the busiest moment."""
    mean: float
    """The same, averaged over moments, by how much was free at each."""
    stranded_at_peak: float
    """The share of what all nodes have that was stranded, at the busiest moment."""
    stranded_mean: float
    """The same, averaged over moments."""
    moments: int
    """At how many moments it was looked at, beside the busiest."""
    covered: float
    """Which share of all tasks ask for just what one of those asks for that were looked at."""


class _Room:
    """What is free of each resource, and how much of that is no good, added up over nodes."""

    def __init__(self, resources: int) -> None:
        self.free = [0] * resources
        self.fragmented = [0] * resources
        """Times the number of tasks."""
        self.stranded = [0] * resources


class _Tasks:
    """The tasks that arrived most often, and which of them do not fit."""

    def __init__(self, ledger: Ledger, packing: Packing, most: int) -> None:
        accepted = where(ledger, *(ending for ending in Ending if ending is not Ending.REFUSED))
        counts = Counter(itertools.compress(ledger.requested, accepted))
        commonest = sorted(counts, key=lambda shape: (-counts[shape], shape))[:most]
        self.weights = [counts[shape] for shape in commonest]
        self.total = sum(self.weights)
        self.covered = self.total / (counts.total() or 1)
        self.packed = [packing.pack(ledger.shapes[shape]) for shape in commonest]
        self.amounts = [
            [amount_of(ledger.shapes[shape], name) for shape in commonest] for name in packing.resources
        ]
        """By resource and then by task, what it asks for."""
        self._packing = packing

    def add(self, room: _Room, free: int, nodes: int) -> None:
        """Add to *room* what is free on so many nodes that are alike."""
        free = self._packing.at_least_none(free)
        fits, weights = self._packing.fits, self.weights
        fitting = [fits(wanted, free) for wanted in self.packed]
        for number, (amount, wanted) in enumerate(
            zip(self._packing.unpack(free)[:-1], self.amounts, strict=True)
        ):
            if not amount:
                continue
            fragmented = stranded = 0
            for weight, asked, fit in zip(weights, wanted, fitting, strict=True):
                if not (fit and asked):
                    fragmented += weight
                    if 0 < asked <= amount:
                        stranded += weight
            room.free[number] += nodes * amount
            room.fragmented[number] += nodes * amount * fragmented
            room.stranded[number] += nodes * amount * stranded


def fragmentation(
    timeline: Timeline,
    *,
    busiest_s: float | None = None,
    moments: int = _MOST_MOMENTS,
    shapes: int = _MOST_SHAPES,
) -> list[Fragmentation]:
    """How much free room of each resource was no good to the tasks that come.

    It is looked at in the middle of equal spans of the time, and at the busiest moment.  Resources that no
    task asks for are left out.  With very many nodes there are fewer moments, and one at the least.

    Args:
        timeline: the runs.
        busiest_s: the busiest moment, if it is known already: :attr:`Timeline.busiest_s`.
        moments: at how many moments at most.
        shapes: how many different tasks are looked at, at most: those that arrived most often.

    Raises:
        UsageError: *moments* or *shapes* is not above 0.
    """
    if moments < 1 or shapes < 1:
        raise UsageError(f"moments={moments!r}, shapes={shapes!r}: at least 1 each")
    ledger, occupancy = timeline.ledger, Occupancy(timeline)
    tasks = _Tasks(ledger, occupancy.packing, shapes)
    trials = len(ledger.nodes) * len(tasks.packed)
    moments = max(1, min(moments, _MOST_TRIALS // (trials or 1) - 1))
    peak_s = timeline.busiest_s if busiest_s is None else busiest_s
    sampled = [(timeline.ended_s * (at + 0.5) / moments, False) for at in range(moments)]
    rooms, peak = list[_Room](), _Room(len(timeline.resources))
    for moment_s, is_peak in sorted([*sampled, (peak_s, True)]):
        occupancy.advance(moment_s)
        room = _Room(len(timeline.resources))
        for free, nodes in Counter(occupancy.free).items():
            tasks.add(room, free, nodes)
        if is_peak:
            peak = room
        else:
            rooms.append(room)
    return [
        _figures(timeline, tasks, rooms, peak, number)
        for number, wanted in enumerate(tasks.amounts)
        if any(wanted)
    ]


def _figures(
    timeline: Timeline, tasks: _Tasks, rooms: Sequence[_Room], peak: _Room, number: int
) -> Fragmentation:
    resource, total = timeline.resources[number], tasks.total
    capacity = timeline.capacity(resource)
    free = sum(room.free[number] for room in rooms)
    return Fragmentation(
        resource=resource,
        at_peak=_share(peak.fragmented[number], peak.free[number] * total),
        mean=_share(sum(room.fragmented[number] for room in rooms), free * total),
        stranded_at_peak=peak.stranded[number] / (capacity * total),
        stranded_mean=sum(room.stranded[number] for room in rooms) / (capacity * total * len(rooms)),
        moments=len(rooms),
        covered=tasks.covered,
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
