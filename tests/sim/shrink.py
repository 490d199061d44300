"""From a world in which something breaks to the smallest one in which the same thing still does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import msgspec

from tests.sim.scenario import Scenario
from tests.sim.world import Ended, run

__all__ = ["kind_of", "shrink"]


def kind_of(broken: str) -> str:
    """What sort of thing broke, whatever it was about."""
    return re.sub(r"[0-9a-f]{32}|[0-9.]{3,}", "#", broken)[:40]


def shrink(scenario: Scenario, ended: Ended, *, most_s: float = 60.0) -> tuple[Scenario, Ended]:
    """Return the smallest scenario found in *most_s* seconds in which the same breaks, and how it goes."""
    until, kind = time.perf_counter() + most_s, kind_of(ended.broken)

    def smaller(candidates: Callable[[Scenario], Iterator[Scenario]]) -> bool:
        nonlocal scenario, ended
        found = False
        for candidate in candidates(scenario):
            if time.perf_counter() > until:
                break
            result = run(candidate)
            if kind_of(result.broken) == kind:
                scenario, ended, found = candidate, result, True
                break
        return found

    scenario = msgspec.structs.replace(scenario, ops=scenario.ops[: ended.ops])
    while smaller(_with_less_wrong) or smaller(_with_fewer_ops):
        pass
    return scenario, ended


def _with_less_wrong(scenario: Scenario) -> Iterator[Scenario]:
    for name in scenario.rates:
        rates = {other: rate for other, rate in scenario.rates.items() if other != name}
        yield msgspec.structs.replace(scenario, rates=rates)
    if scenario.clocks:
        yield msgspec.structs.replace(scenario, clocks=0.0)
    if scenario.nodes > 1:
        yield msgspec.structs.replace(scenario, nodes=scenario.nodes - 1)


def _with_fewer_ops(scenario: Scenario) -> Iterator[Scenario]:
    """Leave out half of the operations, then quarters, down to each by itself."""
    ops, size = scenario.ops, len(scenario.ops) // 2
    while size:
        for at in range(0, len(ops), size):
            yield msgspec.structs.replace(scenario, ops=ops[:at] + ops[at + size :])
        size //= 2
