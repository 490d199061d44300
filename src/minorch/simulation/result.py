"""What a simulation gives: the ledger of what happened, and how it came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from minorch.simulation.ledger import Ledger, RunRecord, SimulatedTask

__all__ = ["Fault", "SimulationResult"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that went wrong on purpose."""

    kind: str
    """``crash`` or ``cut``, of its link."""
    node: str
    began_s: float
    ended_s: float | None
    """When it was over; None: it was not."""


class SimulationResult:
    """How a simulation went.

    Args:
        ledger: what happened, closed.
        scheduler: what the strategy is called.
        seed: what was drawn at random was drawn from it.
        ended_s: when it ended, in seconds since the beginning.
        counts: how often what happened, by name: ``decisions``, ``plans``, ``preemptions``, ``moves``, ...
        wall_s: how long it took in real time, in seconds.
        planning_s: how much of that was spent in plans.
        faults: what went wrong on purpose.
        refusals: why jobs were refused, in words; the first ones.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        scheduler: str,
        seed: int,
        ended_s: float,
        counts: Mapping[str, int],
        wall_s: float,
        planning_s: float,
        faults: Sequence[Fault] = (),
        refusals: Sequence[str] = (),
    ) -> None:
        self.ledger = ledger
        self.scheduler = scheduler
        self.seed = seed
        self.ended_s = ended_s
        self.counts = dict(counts)
        self.wall_s = wall_s
        self.planning_s = planning_s
        self.faults = tuple(faults)
        self.refusals = tuple(refusals)

    def records(self) -> Iterator[SimulatedTask]:
        """What became of each task, in the order of arrival."""
        return map(self.ledger.record, range(len(self.ledger)))

    def runs(self) -> Iterator[RunRecord]:
        """Every run, in the order in which they began."""
        return map(self.ledger.run, range(len(self.ledger.run_task)))
