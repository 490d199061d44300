"""Which tasks would have to end so that a more important one fits: as few as can be, those that matter least.

Nothing is ended here.  Each thing that a node is short of (cores, bytes, units, task slots, host ports) is a
:class:`_Shortage`: how much has to be freed, and how much of it each resident would free.  That is a covering
knapsack; it is searched by the number of victims, from the fewest that could do.  The filters have the last
word on every set.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from minorch.scheduling.filters import Filters
from minorch.scheduling.view import NodeView, TaskView

__all__ = ["Preemption", "Resident", "preempt"]

_MOST_STEPS: Final = 20_000
"""So much is tried on one node before a good set is taken in place of the best one."""
_MOST_STEPS_IN_ALL: Final = 100_000
_STEPS_OF_A_VIEW: Final = 20
"""What it counts to make a view of a node and to ask the filters about it."""
_MOST_NAMES: Final = 5
_SCALE: Final = 2**20
_STEADY: Final = frozenset({"ready", "held"})
"""The objections to a node that do not go away because tasks on it end."""

_Key = tuple[float, ...]
"""How much a set of victims matters: how many, highest priority, sum of those, sum of times (less), node."""
_ANYTHING: Final[_Key] = (math.inf,)

_index: Final = attrgetter("index")


class Resident(msgspec.Struct, frozen=True, kw_only=True):
    """One live task on a node."""

    task: TaskView
    priority: int
    """Its job's, as it is now."""
    since: float
    """When it was placed, in seconds since 1970."""

    @property
    def since_us(self) -> int:
        """The same in whole microseconds, so that sums are exact."""
        return round(self.since * 1e6)


class Preemption(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal: *task* fits on *node* once the victims have ended."""

    task: TaskView
    node: str
    victims: Sequence[Resident]
    """In ascending order of priority, of one priority the latest first; empty: none has to end."""

    def __str__(self) -> str:
        names = [f"{v.task.job}/{v.task.name} (priority {v.priority})" for v in self.victims[:_MOST_NAMES]]
        if len(self.victims) > _MOST_NAMES:
            names.append(f"{len(self.victims) - _MOST_NAMES} more")
        instead = f" in place of {', '.join(names)}" if names else ""
        return f"{self.task.job}/{self.task.name} on {self.node}{instead}"


def preempt(
    task: TaskView,
    priority: int,
    nodes: Sequence[NodeView],
    residents: Callable[[NodeView], Sequence[Resident]],
    filters: Filters,
) -> Preemption | None:
    """Find the node and the victims there whose end lets *task* fit; None: no end of others would.

    Victims have a lower priority than the task and are of other jobs.  Of all sets that do, over all nodes,
    it is the one with the fewest victims; then with the lowest highest priority among them; then with the
    lowest sum of priorities; then the one that was placed latest, by the sum of the times; then on the node
    of the lowest index.  None of the victims can be left out.

    The answer is exact as long as 20,000 steps do for each node and 100,000 for all that are looked at.  A
    step is one way to add a victim to a set; to ask the filters about a set counts as twenty.  A node on
    which more is needed, or where residents times victims are more than 20,000, gives the set of a greedy
    search, less those that it turns out not to need: then only that none can be left out is certain.  A
    filter of one's own that admits a task must go on to admit it when fewer other tasks are on the node.

    Args:
        task: the task that waits.
        priority: its job's.
        nodes: the nodes that may be considered.
        residents: gives the tasks of a node that could be ended; what else is reserved there stays.
        filters: what decides whether the task fits.

    Raises:
        PluginError: a filter of one's own failed.
    """
    offers: list[_Offer] = []
    for node in sorted(nodes, key=_index):
        refusal = filters.refusal(task, node)
        if refusal is None:
            return Preemption(task=task, node=node.name, victims=())
        if refusal.kind in _STEADY or not filters.could_ever_hold(task, node):
            continue
        lower = [r for r in residents(node) if r.priority < priority and r.task.job_id != task.job_id]
        lower.sort(key=_rank)
        bound = _bound(task, node, lower) if lower else None
        if bound is not None:
            offers.append(_Offer(bound, node, lower))
    offers.sort(key=attrgetter("bound"))
    search = _Search(task, filters)
    for offer in offers:
        if offer.bound >= search.key:
            break
        search.look_at(offer.node, offer.residents)
    return search.found


def _rank(resident: Resident) -> tuple[int, int, int, str]:
    """Whom to end first, if there is nothing else to choose by."""
    return (resident.priority, -resident.since_us, -resident.task.order, resident.task.id)


# -- what is short -----------------------------------------------------------------------------------


class _Offer(NamedTuple):
    """A node that may do."""

    bound: _Key
    """No set of victims on it is better than this."""
    node: NodeView
    residents: list[Resident]


class _Shortage(NamedTuple):
    """One thing of which a node has too little."""

    lacking: int
    freed: list[int]
    """By resident; no more than what is lacking."""


def _shortages(task: TaskView, node: NodeView, residents: Sequence[Resident]) -> list[_Shortage]:
    """What must be freed for *task*, and what each of the residents would free of it."""
    found: list[_Shortage] = []

    def add(lacking: int, freed: Iterable[int]) -> None:
        found.append(_Shortage(lacking, [min(amount, lacking) for amount in freed]))

    short = [(name, amount) for name, amount in task.resources.shortfall(node.free).amounts() if amount]
    if short:
        amounts = [dict(resident.task.resources.amounts()) for resident in residents]
        for name, lacking in short:
            add(lacking, (amount.get(name, 0) for amount in amounts))
    if node.tasks >= node.node.max_tasks:
        add(node.tasks + 1 - node.node.max_tasks, (1 for _ in residents))
    for port in sorted(task.host_ports & node.host_ports):
        add(1, (port in resident.task.host_ports for resident in residents))
    return found


def _with_sum(shortages: list[_Shortage]) -> list[_Shortage]:
    """The same and, where there are several, what they are when taken together."""
    if len(shortages) < 2:
        return shortages
    # Each counts as much as all others. Parts are rounded up, so what covers each does cover this.
    parts = [[-(-amount * _SCALE // s.lacking) for amount in s.freed] for s in shortages]
    together = _Shortage(_SCALE * len(shortages), [sum(part) for part in zip(*parts, strict=True)])
    return [*shortages, together]


def _fewest(shortages: Iterable[_Shortage]) -> int:
    """A lower bound on the number of victims; more than there are: all together free too little."""
    least = 1
    for lacking, freed in shortages:
        sums = list(accumulate(sorted(freed, reverse=True)))
        least = max(least, bisect_left(sums, lacking) + 1)
    return least


def _largest(values: Sequence[int], size: int) -> list[int]:
    """By length: the sum of the *size* largest of that many first values."""
    if not size:
        return [0] * (len(values) + 1)
    heap: list[int] = []
    total, sums = 0, [0]
    for value in values:
        if len(heap) < size:
            heapq.heappush(heap, value)
            total += value
        elif value > heap[0]:
            total += value - heapq.heapreplace(heap, value)
        sums.append(total)
    return sums


def _bound(task: TaskView, node: NodeView, residents: Sequence[Resident]) -> _Key | None:
    """What no set of victims on *node* can be better than; None: even the end of all is not enough."""
    shortages = _with_sum(_shortages(task, node, residents))
    size = _fewest(shortages)
    if size > len(residents):
        return None
    reach = max([bisect_left(_largest(s.freed, size), s.lacking) for s in shortages], default=size)
    priorities = [resident.priority for resident in residents]
    highest = priorities[max(reach, size) - 1]
    least = sum(priorities[: size - 1]) + highest
    times = [resident.since_us for resident in residents[: bisect_right(priorities, highest)]]
    return (size, highest, least, -_largest(times, size)[-1], node.index)


# -- the search --------------------------------------------------------------------------------------


class _Search:
    """The best victims on the nodes that were looked at so far.

    Args:
        task: the task that waits.
        filters: what decides whether it fits.
    """

    def __init__(self, task: TaskView, filters: Filters) -> None:
        self.task = task
        self.filters = filters
        self.key = _ANYTHING
        """Of the best victims; what is not lower is of no interest."""
        self.found: Preemption | None = None
        self.left = _MOST_STEPS_IN_ALL

    def look_at(self, node: NodeView, residents: Sequence[Resident]) -> None:
        """Take the best victims among the residents, if they are better than what was found before."""
        task, filters = self.task, self.filters
        base = _without(node, residents)
        if not filters.admit(task, base):
            return
        # Who is in the way even when all others are gone has to go, whatever the filter objects to.
        must_go: dict[Hashable, bool] = {}
        forced: list[Resident] = []
        rest: list[Resident] = []
        for resident in residents:
            kind = _kind(resident)
            if kind not in must_go:
                must_go[kind] = not filters.admit(task, base.with_task(resident.task))
            (forced if must_go[kind] else rest).append(resident)
        without = _without(node, forced)
        if not rest or filters.admit(task, without):
            self.take(node, forced)
        else:
            _Cover(self, without, forced, rest).find()

    def take(self, node: NodeView, victims: Sequence[Resident]) -> None:
        """Take these victims, on whose end the task fits on *node*, if there were no better ones."""
        key = (
            len(victims),
            max([victim.priority for victim in victims], default=-math.inf),
            sum(victim.priority for victim in victims),
            -sum(victim.since_us for victim in victims),
            node.index,
        )
        if key < self.key:
            self.key = key
            victims = tuple(sorted(victims, key=_rank))
            self.found = Preemption(task=self.task, node=node.name, victims=victims)


def _kind(resident: Resident) -> Hashable:
    """Equal for residents that are the same to every filter."""
    task = resident.task
    return (task.job_id, task.task.name, task.shape)


def _without(node: NodeView, residents: Iterable[Resident]) -> NodeView:
    for resident in residents:
        node = node.without_task(resident.task)
    return node


class _Cover:
    """The search on one node.

    A resident that frees no less than another, does not matter more and was not placed earlier *precedes*
    it: there is a best set in which nobody is without all who precede them, and only such are tried.

    Args:
        search: where what is found goes.
        node: without those that have to go in any case.
        forced: those.
        rest: among whom there is a choice, by rank.
    """

    def __init__(
        self, search: _Search, node: NodeView, forced: Sequence[Resident], rest: Sequence[Resident]
    ) -> None:
        self._search = search
        self._node = node
        self._forced = forced
        self._rest = rest
        self._priorities = [resident.priority for resident in rest]
        self._since = [resident.since_us for resident in rest]
        self._shortages = _shortages(search.task, node, rest)
        self._bounds = _with_sum(self._shortages)
        kinds = None if search.filters.alike(search.task) else [_kind(resident) for resident in rest]
        self._precede = _precede([s.freed for s in self._shortages], self._since, kinds)
        self._least = [0, *accumulate(self._priorities)]
        self._most: list[list[list[int]]] = []
        """By how many are still to be chosen, by shortage, by length: how much they could free."""
        self._latest: list[list[int]] = []
        """By how many are still to be chosen, by length: the largest sum of times."""
        self._chosen: list[int] = []
        self._count = 0
        self._until = 0
        self._fits = False

    def find(self) -> None:
        """Look at ever larger sets until one fits, or others are better in any case, or it takes too long."""
        search = self._search
        self._until = max(0, search.left - _MOST_STEPS)
        lacking = [shortage.lacking for shortage in self._bounds]
        highest = max([victim.priority for victim in self._forced], default=self._priorities[0])
        total = sum(victim.priority for victim in self._forced)
        since = sum(victim.since_us for victim in self._forced)
        size = _fewest(self._bounds)
        while len(self._forced) + size <= search.key[0] and not self._fits:
            if size * len(self._rest) > _MOST_STEPS:
                return self._find_any()
            while len(self._most) <= size:
                self._most.append([_largest(s.freed, len(self._most)) for s in self._bounds])
                self._latest.append(_largest(self._since, len(self._latest)))
            self._count = len(self._forced) + size
            self._extend(size, len(self._rest), lacking, 0, (highest, total, since))
            if search.left <= self._until:
                return self._find_any()
            size += 1
        return None

    def _extend(
        self, size: int, end: int, lacking: Sequence[int], asked: int, so_far: tuple[int, int, int]
    ) -> None:
        """Choose *size* more before *end*, those in *asked* among them: the last one, then the others."""
        search = self._search
        most, latest, least = self._most[size], self._latest[size - 1], self._least[size - 1]
        highest, total, since = so_far
        start = max(size, asked.bit_length(), *map(bisect_left, most, lacking)) - 1
        for at in range(start, end):
            search.left -= 1
            if search.left <= self._until:
                return
            priority = self._priorities[at]
            worst, lowest = max(highest, priority), total + priority + least
            if (self._count, worst, lowest) > search.key[:3]:
                return  # those behind it matter no less
            best = since + self._since[at] + latest[at]
            also = (asked | self._precede[at]) & ~(1 << at)
            if (
                also.bit_count() >= size
                or (self._count, worst, lowest, -best, self._node.index) >= search.key
            ):
                continue
            left = [amount - s.freed[at] for amount, s in zip(lacking, self._bounds, strict=True)]
            self._chosen.append(at)
            if size > 1:
                self._extend(size - 1, at, left, also, (worst, total + priority, since + self._since[at]))
            elif max(left, default=0) <= 0:
                self._try()
            self._chosen.pop()

    def _try(self) -> None:
        """Ask the filters about what is chosen, which is better than what was found before."""
        search = self._search
        search.left -= _STEPS_OF_A_VIEW
        victims = [self._rest[at] for at in self._chosen]
        if search.filters.admit(search.task, _without(self._node, victims)):
            self._fits = True
            search.take(self._node, [*self._forced, *victims])

    def _find_any(self) -> None:
        """Choose who frees most of what is still lacking, then leave out whoever is not needed after all."""
        task, filters, node = self._search.task, self._search.filters, self._node
        chosen = self._greedy()
        node = _without(node, (self._rest[at] for at in chosen))
        others = sorted(set(range(len(self._rest))).difference(chosen), reverse=True)
        while others and not filters.admit(task, node):  # a filter of one's own may want more of them gone
            chosen.append(others.pop())
            node = node.without_task(self._rest[chosen[-1]].task)
        victims: list[Resident] = []
        for at in sorted(chosen, reverse=True):
            fuller = node.with_task(self._rest[at].task)
            if filters.admit(task, fuller):
                node = fuller
            else:
                victims.append(self._rest[at])
        self._search.take(node, [*self._forced, *victims])

    def _greedy(self) -> list[int]:
        """A set that covers all shortages, of which each frees the most that those before it left lacking."""
        shortages = self._shortages
        lacking = [shortage.lacking for shortage in shortages]

        def worth(at: int) -> int:
            return sum(
                min(s.freed[at], amount) * _SCALE // s.lacking
                for s, amount in zip(shortages, lacking, strict=True)
            )

        heap = [(-worth(at), at) for at in range(len(self._rest))]
        heapq.heapify(heap)
        chosen: list[int] = []
        while max(lacking, default=0) > 0:
            at = heap[0][1]
            now = (-worth(at), at)
            if now > heap[0]:  # it is worth less than it was; others may be worth more
                heapq.heapreplace(heap, now)
                continue
            heapq.heappop(heap)
            chosen.append(at)
            lacking = [max(0, amount - s.freed[at]) for s, amount in zip(shortages, lacking, strict=True)]
        return chosen


def _precede(
    freed: Iterable[Sequence[int]], since: Sequence[int], kinds: Sequence[Hashable] | None
) -> list[int]:
    """By resident: who precedes it, as a set of bits. With kinds: only among those of one kind."""
    found = [(1 << at) - 1 for at in range(len(since))]
    for values in (since, *freed):
        at_least: dict[int, int] = {}
        for at, value in enumerate(values):
            at_least[value] = at_least.get(value, 0) | 1 << at
        more = 0
        for value in sorted(at_least, reverse=True):
            more |= at_least[value]
            at_least[value] = more
        found = [bits & at_least[value] for bits, value in zip(found, values, strict=True)]
    if kinds is None:
        return found
    alike: dict[Hashable, int] = {}
    for at, kind in enumerate(kinds):
        alike[kind] = alike.get(kind, 0) | 1 << at
    return [bits & alike[kind] for bits, kind in zip(found, kinds, strict=True)]
