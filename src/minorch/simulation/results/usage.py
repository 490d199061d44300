"""What the nodes had to do over time: what was reserved of them and what was really used.

A :class:`Timeline` puts the begins and ends of all runs in order, once; whatever is asked of it is a pass
over arrays.  What is reserved or used between two moments is constant, so that means and peaks are exact and
not sampled; at one and the same moment, ends come before begins.
"""

from __future__ import annotations

import itertools
import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import invert, le, mul, sub
from typing import Final

import msgspec

from minorch.errors import UsageError, did_you_mean
from minorch.model import Node
from minorch.resources import Resources
from minorch.simulation.results.ledger import Ledger

__all__ = ["MOST_CELLS", "ResourceUse", "Series", "Timeline", "amount_of", "resource_names", "unit_of"]

MOST_CELLS: Final = 1_000_000
"""How many figures a picture over time may be made of."""


def resource_names(nodes: Sequence[Node]) -> list[str]:
    """The resources that any of the nodes has: ``cpu``, ``memory``, ``disk``, then others by name."""
    found = {
        name for capacity in {node.capacity for node in nodes} for name, most in capacity.amounts() if most
    }
    return [*(name for name in _BUILT_IN if name in found), *sorted(found - _BUILT_IN.keys())]


_BUILT_IN: Final = {"cpu": "cores", "memory": "bytes", "disk": "bytes"}


def unit_of(resource: str) -> str:
    """What amounts of a resource are counted in: ``cores``, ``bytes`` or ``units``."""
    return _BUILT_IN.get(resource, "units")


def amount_of(amount: Resources, resource: str) -> int:
    """How much there is of one resource, in the integers of :class:`~minorch.resources.Resources`."""
    if resource == "cpu":
        return amount.cpu_millis
    if resource == "memory":
        return amount.memory
    return amount.disk if resource == "disk" else amount.custom_millis.get(resource, 0)


class ResourceUse(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one resource the running tasks had, as shares of what all nodes have of it."""

    resource: str
    capacity: float
    """What all nodes have, in cores, bytes or units."""
    reserved_mean: float
    """What tasks that ran had asked for, averaged over time, from 0 until the simulation ended."""
    reserved_peak: float
    """The most of it at any moment."""
    used_mean: float
    """What they really used, averaged over time; more than 1 if nodes were over-subscribed."""
    used_peak: float


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one resource the running tasks had, in equal spans of time, averaged over each."""

    resource: str
    edges_s: Sequence[float]
    """Where the spans begin, and where the last one ends, in seconds."""
    reserved: Sequence[float]
    """By span, as a share of what all nodes have."""
    used: Sequence[float]


class Timeline:
    """The begins and ends of all runs in the order of time.

    Args:
        ledger: what happened.
        ended_s: when the simulation ended, in seconds; what still ran then is counted up to then.
    """

    def __init__(self, ledger: Ledger, ended_s: float) -> None:
        self.ledger = ledger
        self.ended_s = ended_s
        self.resources = resource_names(ledger.nodes)
        """The resources that there are."""
        self.events = array("l", _merge(ledger))
        """By event: the row of the run that begins, or ``~row`` of the one that ends."""
        both = array("d", ledger.run_began_s)
        both.extend(reversed(ledger.run_ended_s))  # so that both[~row] is when it ended
        self.times_s = array("d", map(both.__getitem__, self.events))
        """By event: when it was."""
        ended = ledger.run_ended_s
        self.lengths_s = array(
            "d", (_until(end, ended_s) - began for began, end in zip(ledger.run_began_s, ended, strict=True))
        )
        """By run: how long it was, in seconds."""
        self._shapes = {"reserved": ledger.requested, "used": ledger.used}
        self._same = ledger.used == ledger.requested
        self._changes: dict[str, array[int]] = {}
        """By event, the shape that comes, or ``~shape`` of the one that goes; worked out when wanted."""
        self._peaks: dict[tuple[str, str], int] = {}

    @property
    def busy_s(self) -> float:
        """For how long tasks ran, in seconds, all runs added up."""
        return math.fsum(self.lengths_s)

    @property
    def wasted_s(self) -> float:
        """For how long of that, in seconds, it was for nothing: tasks with an end had to run again."""
        last, duration_s = self.ledger.last_run, self.ledger.duration_s
        return math.fsum(
            length
            for run, (task, length) in enumerate(zip(self.ledger.run_task, self.lengths_s, strict=True))
            if last[task] != run and duration_s[task] < math.inf
        )

    def use(self) -> list[ResourceUse]:
        """How much of each resource the tasks had, on average and at most."""
        return [self._use(resource) for resource in self.resources]

    def _use(self, resource: str) -> ResourceUse:
        capacity = self.capacity(resource)
        reserved = self._mean(resource, "reserved") / capacity, self._peak(resource, "reserved") / capacity
        used = reserved
        if not self._same:
            used = self._mean(resource, "used") / capacity, self._peak(resource, "used") / capacity
        return ResourceUse(
            resource=resource,
            capacity=capacity if unit_of(resource) == "bytes" else capacity / 1000,
            reserved_mean=reserved[0],
            reserved_peak=reserved[1],
            used_mean=used[0],
            used_peak=used[1],
        )

    def capacity(self, resource: str) -> int:
        """What all nodes have of a resource, in the integers of :class:`~minorch.resources.Resources`.

        Raises:
            UsageError: no node has any.
        """
        found = sum(amount_of(node.capacity, resource) for node in self.ledger.nodes)
        if not found:
            hint = did_you_mean(resource, self.resources)
            raise UsageError(
                f'no node has any "{resource}"{hint or "; they have " + ", ".join(self.resources)}'
            )
        return found

    def amounts(self, resource: str, what: str = "reserved") -> Iterator[int]:
        """By run, what it had of a resource; *what* is ``reserved`` or ``used``."""
        by_shape = [amount_of(shape, resource) for shape in self.ledger.shapes]
        return map(by_shape.__getitem__, map(self._shapes[what].__getitem__, self.ledger.run_task))

    def _levels(self, resource: str, what: str) -> Iterator[int]:
        """By event, what all running tasks have of a resource after it."""
        changes = self._changes.get(what)
        if changes is None:
            both = array("l", map(self._shapes[what].__getitem__, self.ledger.run_task))
            both.extend(array("l", map(invert, reversed(both))))  # so that both[~row] is the way back
            changes = self._changes[what] = array("l", map(both.__getitem__, self.events))
        by_shape = [amount_of(shape, resource) for shape in self.ledger.shapes]
        by_shape.extend([-amount for amount in reversed(by_shape)])  # so that by_shape[~shape] is less by it
        return itertools.accumulate(map(by_shape.__getitem__, changes))

    def _mean(self, resource: str, what: str) -> float:
        whole = math.fsum(map(mul, self.lengths_s, self.amounts(resource, what)))
        return whole / self.ended_s if self.ended_s else 0.0

    def _peak(self, resource: str, what: str) -> int:
        found = self._peaks.get((resource, what))
        if found is None:
            found = self._peaks[resource, what] = max(self._levels(resource, what), default=0)
        return found

    @property
    def busiest_s(self) -> float:
        """The first moment at which the scarcest resource was at its peak, in seconds.

        The scarcest is the one of which, at its own peak, the greatest share was reserved; of several, the
        first.
        """
        peaks = {name: self._peak(name, "reserved") for name in self.resources}
        scarcest = max(peaks, key=lambda name: peaks[name] / self.capacity(name), default=None)
        if scarcest is None or not peaks[scarcest]:
            return 0.0
        levels = self._levels(scarcest, "reserved")
        return next(
            time for time, level in zip(self.times_s, levels, strict=True) if level == peaks[scarcest]
        )

    def running_at(self, moment_s: float) -> list[int]:
        """The rows of the runs that run at a moment, in the order in which they began."""
        running: dict[int, None] = {}
        for event in self.events[: bisect_right(self.times_s, moment_s)]:
            # A run of no length ends before it begins.
            if event >= 0 and self.lengths_s[event]:
                running[event] = None
            elif event < 0:
                running.pop(~event, None)
        return list(running)

    def series(self, resource: str, spans: int = 200) -> Series:
        """How much of a resource the running tasks had over time.

        Args:
            resource: its name.
            spans: into how many equal spans the time is divided.

        Raises:
            UsageError: no node has any, or there are too many spans, or none.
        """
        if not 1 <= spans <= MOST_CELLS:
            raise UsageError(f"spans={spans!r}: from 1 to {MOST_CELLS:,}")
        capacity = self.capacity(resource)
        edges_s = [self.ended_s * at / spans for at in range(spans + 1)]
        reserved = self._means(resource, "reserved", edges_s, capacity)
        used = reserved if self._same else self._means(resource, "used", edges_s, capacity)
        return Series(resource=resource, edges_s=edges_s, reserved=reserved, used=used)

    def _means(self, resource: str, what: str, edges_s: Sequence[float], capacity: int) -> list[float]:
        """By span between edges, the share of a resource, averaged over it."""
        times = self.times_s
        levels = array("d", self._levels(resource, what))
        steps = map(sub, itertools.islice(times, 1, None), times)
        sums = array("d", itertools.accumulate(map(mul, levels, steps), initial=0.0))  # up to each event
        totals = []
        for edge in edges_s:
            at = bisect_left(times, edge) - 1
            totals.append(sums[at] + levels[at] * (edge - times[at]) if at >= 0 else 0.0)
        widths = map(sub, edges_s[1:], edges_s)
        return [
            max(0.0, after - before) / width / capacity if width else 0.0
            for before, after, width in zip(totals, totals[1:], widths, strict=False)
        ]

    def node_means(self, resource: str, what: str = "reserved") -> list[float]:
        """By node, the share of a resource that its tasks had, averaged over time; 0 where it has none."""
        totals = [0.0] * len(self.ledger.nodes)
        for number, length, amount in zip(
            self.ledger.run_node, self.lengths_s, self.amounts(resource, what), strict=True
        ):
            totals[number] += length * amount
        shares = []
        for node, total in zip(self.ledger.nodes, totals, strict=True):
            most = amount_of(node.capacity, resource) * self.ended_s
            shares.append(total / most if most else 0.0)
        return shares

    def grid(
        self, resource: str, *, bands: int = 100, spans: int = 200, what: str = "reserved"
    ) -> list[list[float]]:
        """The share of a resource that tasks had, by bands of nodes and spans of time, averaged over each.

        Args:
            resource: its name.
            bands: into how many bands, as equal as can be, the nodes are divided, in their order.
            spans: into how many equal spans the time is divided.
            what: ``reserved`` or ``used``.

        Returns:
            By band, from the first node on, the share in each span; 0 where there is nothing of it.

        Raises:
            UsageError: no node has any, or there are too many bands and spans, or none.
        """
        self.capacity(resource)
        most = [amount_of(node.capacity, resource) for node in self.ledger.nodes]
        return self._grid(self.amounts(resource, what), most, bands, spans)

    def running_grid(self, *, bands: int = 100, spans: int = 200) -> list[list[float]]:
        """How many tasks ran on a node, by bands of nodes and spans of time, averaged over each.

        Raises:
            UsageError: there are too many bands and spans, or none.
        """
        each = itertools.repeat(1, len(self.lengths_s))
        return self._grid(each, [1] * len(self.ledger.nodes), bands, spans)

    def _grid(self, amounts: Iterable[int], most: Sequence[int], bands: int, spans: int) -> list[list[float]]:
        """The amounts of runs, by bands and spans, as parts of what the nodes have at most."""
        if min(bands, spans) < 1 or bands * spans > MOST_CELLS:
            raise UsageError(f"{bands} bands and {spans} spans: at least 1 each, {MOST_CELLS:,} together")
        bands = min(bands, len(most))
        band_of = [number * bands // len(most) for number in range(len(most))]
        in_band = [0] * bands
        for band, amount in zip(band_of, most, strict=True):
            in_band[band] += amount
        width = self.ended_s / spans
        if not width:
            return [[0.0] * spans for _ in range(bands)]
        parts = [[0.0] * spans for _ in range(bands)]
        """By band: what the spans have in which a run begins or ends, times seconds."""
        changes = [[0] * spans for _ in range(bands)]
        """By band: from which span on how much more is there throughout."""
        runs = self.ledger
        for began, length, number, amount in zip(
            runs.run_began_s, self.lengths_s, runs.run_node, amounts, strict=True
        ):
            end, band = began + length, band_of[number]
            first, last = min(int(began / width), spans - 1), min(int(end / width), spans - 1)
            if first == last:
                parts[band][first] += amount * length
                continue
            parts[band][first] += amount * ((first + 1) * width - began)
            parts[band][last] += amount * (end - last * width)
            changes[band][first + 1] += amount
            changes[band][last] -= amount
        return [
            [
                max(0.0, level * width + part) / (whole * width) if whole else 0.0
                for level, part in zip(itertools.accumulate(change), partly, strict=True)
            ]
            for change, partly, whole in zip(changes, parts, in_band, strict=True)
        ]


def _until(ended_s: float, simulation_ended_s: float) -> float:
    return ended_s if ended_s == ended_s else simulation_ended_s  # not a number: it still ran


def _merge(ledger: Ledger) -> Iterator[int]:
    """All begins and ends in the order of time; of equal times, ends first."""
    began_s, ended_s = ledger.run_began_s, ledger.run_ended_s
    ends = _in_order(ledger.ends, ended_s)
    at, most = 0, len(ends)
    for run in _in_order(range(len(began_s)), began_s):
        now_s = began_s[run]
        while at < most and ended_s[ends[at]] <= now_s:
            yield ~ends[at]
            at += 1
        yield run
    while at < most:
        yield ~ends[at]
        at += 1


def _in_order(rows: Sequence[int], times_s: Sequence[float]) -> Sequence[int]:
    """Rows in the order of their times; they are in it already unless somebody filled the ledger by hand."""
    times = array("d", map(times_s.__getitem__, rows))
    if all(map(le, times, itertools.islice(times, 1, None))):
        return rows
    return sorted(rows, key=times_s.__getitem__)
