"""What happens in one world, all of it drawn from a seed: how hostile it is, and what is done to it when."""

from __future__ import annotations

import random
from typing import Final, NamedTuple

import msgspec

__all__ = ["KINDS", "RATES", "Op", "Scenario", "draw"]


class Op(NamedTuple):
    """Something that is done to the cluster."""

    wait_s: float
    """How long after the one before."""
    kind: str
    dice: int
    """From which everything else about it is drawn."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One world. The same scenario gives the same history."""

    seed: int
    nodes: int
    ops: tuple[Op, ...]
    rates: dict[str, float]
    """How often each thing goes wrong that goes wrong by itself; those that are missing never do."""
    steps: int
    """After so many steps everything is well again, though not all was done."""
    wire: bool = False
    """Whether messages are encoded and decoded."""
    preemption: bool = False
    clocks: float = 0.0
    """By which share clocks run fast or slow at most."""


KINDS: Final = {
    "submit": 24,
    "stop job": 4,
    "stop task": 5,
    "manager crashes": 5,
    "manager freezes": 2,
    "worker crashes": 5,
    "worker freezes": 3,
    "engine fails": 4,
    "machine crashes": 4,
    "link is cut": 6,
    "runs are removed": 4,
    "runs are killed": 4,
    "store fails": 3,
    "cordon": 2,
    "uncordon": 3,
    "drain": 3,
    "move": 4,
    "release": 3,
}
"""Everything that can be done, with how often it is."""

RATES: Final = {
    "lost": (0.02, 0.1, 0.4),
    "doubled": (0.05, 0.3),
    "late": (0.1, 0.5),
    "commit slow": (0.1, 0.6),
    "commit fails": (0.02, 0.1),
    "slow turn": (0.1, 0.5),
    "engine slow": (0.1, 0.5),
    "engine silent": (0.02, 0.1),
    "engine forgets": (0.2, 0.8),
    "start refused": (0.05, 0.2),
    "exit unseen": (0.05, 0.3),
    "exit late": (0.1, 0.4),
    "stubborn": (0.1, 0.5),
    "unhealthy": (0.02, 0.2),
}
"""What goes wrong by itself, and how often it may."""


def draw(seed: int, steps: int) -> Scenario:
    """Draw a scenario; some faults happen in it and some never do."""
    dice = random.Random(seed)
    weights = {kind: weight for kind, weight in KINDS.items() if kind == "submit" or dice.random() < 0.6}
    kinds, often = list(weights), list(weights.values())
    pace_s = dice.choice((0.3, 1.0, 3.0))
    ops = tuple(
        Op(dice.expovariate(1 / pace_s), dice.choices(kinds, often)[0], dice.getrandbits(32))
        for _ in range(steps // 12)
    )
    calm = dice.random() < 0.1
    rates = {name: dice.choice(of) for name, of in RATES.items() if not calm and dice.random() < 0.5}
    return Scenario(
        seed=seed,
        nodes=dice.randint(1, 5),
        ops=ops,
        rates=rates,
        steps=steps,
        wire=dice.random() < 0.1,
        preemption=dice.random() < 0.4,
        clocks=dice.choice((0.0, 0.02)),
    )
