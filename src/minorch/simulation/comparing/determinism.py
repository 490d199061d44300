"""Finds out whether a strategy decides the same when it is asked the same, and where it first does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice, zip_longest
from math import inf, isnan
from typing import TYPE_CHECKING

from minorch.errors import PluginError, UsageError
from minorch.simulation.comparing.other_processes import CannotTravel, WorkerDied, in_processes, packed
from minorch.simulation.results.ledger import Ledger
from minorch.simulation.results.result import SimulationResult

if TYPE_CHECKING:
    from minorch.simulation.simulation import Simulation

__all__ = ["check_deterministic", "check_same"]


def check_deterministic(
    make: Callable[[], Simulation],
    *,
    until: float | None = None,
    hash_seeds: Sequence[int] = (),
    first: SimulationResult | None = None,
) -> SimulationResult:
    """Run the same simulation twice, and see that the strategy decides the same each time.

    In one process this finds strategies that draw from ``random`` or look at a clock, and those that remember
    something outside of themselves.  Text is hashed differently in each process, so that a strategy that goes
    through a set of names may decide differently only there: *hash_seeds* has it run in fresh processes.

    Args:
        make: makes the simulation, each time from the same arguments and with the same seed:
            ``lambda: Simulation(nodes=..., workload=..., scheduler=..., seed=1)``.
        until: until when it runs, in seconds; see :meth:`Simulation.run`.
        hash_seeds: for each of these, it is run once more in a process of its own, with ``PYTHONHASHSEED``
            set to it; needs loky (``pip install "minorch[compare]"``). Two find most.
        first: how it went already; None: it is run for that, too.

    Returns:
        How it went.

    Raises:
        PluginError: the strategy decided differently; the message says which task, at what time, and on which
            nodes.
        UsageError: the workload was not the same; or loky is not installed, or the simulation cannot be sent
            to another process.
    """
    if first is None:
        first = make().run(until)
    try:
        again = make().run(until)
    except UsageError as error:
        raise UsageError(f"the simulation ran once, and then could not again: {error}") from error
    check_same(first, again, "in the same process")
    for hash_seed, other in _elsewhere(make, until, hash_seeds):
        check_same(first, other, f"in a process with PYTHONHASHSEED={hash_seed}")
    return first


def _elsewhere(
    make: Callable[[], Simulation], until: float | None, hash_seeds: Sequence[int]
) -> Iterator[tuple[int, SimulationResult]]:
    """How it goes in fresh processes.

    Raises:
        UsageError: it cannot run there.
    """
    if not hash_seeds:
        return

    def run(_: int) -> SimulationResult:
        return make().run(until)

    try:
        work = packed(run)
        for hash_seed in hash_seeds:
            with closing(in_processes(work, [0], 1, {"PYTHONHASHSEED": str(hash_seed)})) as outcomes:
                for _, result in outcomes:
                    assert isinstance(result, SimulationResult)
                    yield hash_seed, result
    except (CannotTravel, WorkerDied) as error:
        raise UsageError(f"the simulation could not be run in another process: {error}") from error


def check_same(first: SimulationResult, again: SimulationResult, where: str) -> None:
    """See that two simulations with the same arguments went the same way; what parted first is told.

    Args:
        first: how it went.
        again: how it went again.
        where: where it ran again, for the message.

    Raises:
        PluginError: the strategy decided differently, or a model or a filter did.
        UsageError: the workload was another.
    """
    if first.digest() == again.digest():
        return
    one, other = first.ledger, again.ledger
    row = _parting(_arrivals(one), _arrivals(other))
    run = _parting(_decisions(one), _decisions(other))
    arrived_s = min(_time(one.arrived_s, row), _time(other.arrived_s, row))
    decided_s = min(_time(one.run_began_s, run), _time(other.run_began_s, run))
    ended_s, ended = _first_other_end(one, other, run)
    who = f'scheduler "{first.scheduler[:200]}"'
    if row is not None and arrived_s <= min(decided_s, ended_s):
        raise UsageError(
            f"the workload was not the same {where}: arrival {row} was {_arrival(one, row)} the first time, "
            f"and {_arrival(other, row)} when it was run again; draw from random.Random(seed) alone"
        )
    if run is not None and decided_s <= ended_s:
        raise PluginError(
            f"{who} is not deterministic: with seed {first.seed}, start {run} was {_decision(one, run)} the "
            f"first time, and {_decision(other, run)} when it was run again {where}. A strategy draws from "
            "cluster.random alone, reads no clock, and does not depend on the order of a set"
        )
    if ended is not None:
        raise PluginError(
            f"{who} or the model is not deterministic: with seed {first.seed}, the start of "
            f"{_decision(one, ended)} ended at {_end(one, ended)} the first time, and at "
            f"{_end(other, ended)} when it was run again {where}"
        )


# -- what is compared ---------------------------------------------------------------------------


def _arrivals(ledger: Ledger) -> Iterator[tuple[object, ...]]:
    shapes = ledger.shapes
    asked, used = (map(shapes.__getitem__, column) for column in (ledger.requested, ledger.used))
    return zip(ledger.job, ledger.task, ledger.arrived_s, ledger.duration_s, asked, used, strict=True)


def _decisions(ledger: Ledger) -> Iterator[tuple[object, ...]]:
    return zip(ledger.run_task, ledger.run_node, ledger.run_began_s, strict=True)


def _parting(one: Iterator[tuple[object, ...]], other: Iterator[tuple[object, ...]]) -> int | None:
    """The number of the first that are not the same, or of the first that only one of them has."""
    pairs = enumerate(zip_longest(one, other))
    return next((number for number, (mine, yours) in pairs if mine != yours), None)


def _first_other_end(one: Ledger, other: Ledger, most: int | None) -> tuple[float, int | None]:
    """When, of runs that began alike, the first ended that did not end alike, and its number."""
    ends = islice(zip(one.run_ended_s, other.run_ended_s, strict=False), most)
    found = (
        (min(inf if isnan(mine) else mine, inf if isnan(yours) else yours), number)
        for number, (mine, yours) in enumerate(ends)
        if mine != yours and not (isnan(mine) and isnan(yours))
    )
    return min(found, default=(inf, None))


def _time(column: Sequence[float], row: int | None) -> float:
    """When a row happened; infinite: there is no such row."""
    return column[row] if row is not None and row < len(column) else inf


# -- in words -----------------------------------------------------------------------------------


def _arrival(ledger: Ledger, row: int) -> str:
    if row >= len(ledger):
        return "none"
    return (
        f"{ledger.job[row]}/{ledger.task[row]} at {ledger.arrived_s[row]!r} s, which runs "
        f"{ledger.duration_s[row]!r} s and asks for {ledger.shapes[ledger.requested[row]]}"
    )


def _decision(ledger: Ledger, run: int) -> str:
    if run >= len(ledger.run_task):
        return "none"
    task = ledger.run_task[run]
    node = ledger.nodes[ledger.run_node[run]].name
    return f"{ledger.job[task]}/{ledger.task[task]} on {node} at {ledger.run_began_s[run]!r} s"


def _end(ledger: Ledger, run: int) -> str:
    ended_s = ledger.run_ended_s[run]
    return "no time" if isnan(ended_s) else f"{ended_s!r} s"
