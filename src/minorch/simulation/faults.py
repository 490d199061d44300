"""What goes wrong in a simulation, and how often: drawn from the seed, the same for every scheduler."""

from __future__ import annotations

import math

import msgspec

from minorch.model.base import require_number

__all__ = ["Faults"]


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """How often nodes crash, are cut off, and how many runs are slow. All of it is off by default.

    When a node crashes and when it is cut off depends on the seed and its name alone, and which runs are slow
    on the seed and the task, so that schedulers that are compared meet the same faults.

    Raises:
        SpecError: a number makes no sense.
    """

    crash_every_s: float = math.inf
    """The mean time from one crash of a node to the next, in seconds; exponentially distributed.

    What runs on it is killed.  The manager finds out when its lease is over, and places it anew."""
    repair_s: float = 600.0
    """How long a node that crashed is away, in seconds on average; exponentially distributed."""
    cut_every_s: float = math.inf
    """The mean time from one cut of a node's link to the manager to the next, in seconds."""
    cut_s: float = 60.0
    """How long such a cut lasts, in seconds on average. What runs there goes on."""
    straggler_share: float = 0.0
    """Which share of all runs is slow, from 0 to 1."""
    straggler_factor: float = 3.0
    """By how much a slow run takes longer."""

    def __post_init__(self) -> None:
        for field in ("crash_every_s", "cut_every_s"):
            if getattr(self, field) != math.inf:
                require_number(getattr(self, field), f"$.{field}", least=1e-3)
        for field in ("repair_s", "cut_s"):
            require_number(getattr(self, field), f"$.{field}", least=1e-3)
        require_number(self.straggler_share, "$.straggler_share", most=1)
        require_number(self.straggler_factor, "$.straggler_factor", least=1)

    @property
    def lose_nodes(self) -> bool:
        """Whether nodes crash or are cut off, so that the manager has to notice."""
        return self.crash_every_s != math.inf or self.cut_every_s != math.inf
