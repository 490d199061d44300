"""The manager's settings. Every bound and every wait of the manager is one of these."""

from __future__ import annotations

import msgspec

from minorch.messages import MAX_COUNTED_BYTES
from minorch.model.base import require_flag, require_number

__all__ = ["ManagerConfig"]


class ManagerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How long the manager waits and how much it keeps.

    Raises:
        SpecError: a value is negative or no number.
    """

    lease_s: float = 15.0
    """A worker that is not heard of for so long is lost."""
    resend_s: float = 2.0
    """A worker that has not applied what it was sent for so long is told everything again."""
    full_every_s: float = 60.0
    """How often a worker is told everything, whether it seems to need it or not."""
    engine_patience_s: float = 60.0
    """When a node's engine has not answered, or has hung over starts, for so long, what has not begun there
    is placed elsewhere, if another node is ready."""
    max_lost: int = 20
    """How many attempts of one task may be lost with their nodes, in a row, before it fails."""
    lost_reset_s: float = 3600.0
    """A task that has run for so long before its node was lost has that count begin again."""
    drain_wait_s: float = 300.0
    """For so long at most a task that a drain moved, and that does not run elsewhere yet, holds up the next
    one, where only so many may be on the move at a time."""
    ageing_s: float = 300.0
    """A task that has waited so long goes before one that is new and of a priority one step higher."""
    preemption: bool = False
    """Whether a task that fits nowhere may have tasks of lower priority moved aside, never of its own job."""
    reserve_after_s: float = 120.0
    """A task that has fitted nowhere for so long has a node kept for it, so that small tasks do not take
    again and again what would be room enough; at most one node in eight is kept."""
    reserve_for_s: float = 600.0
    """How long a node is kept for one task; 0: none ever is."""
    slow_plan_s: float = 1.0
    """A plan that takes so long of real time is told as an event, ``scheduler_slow``."""
    timing_every_s: float = 60.0
    """How often it is told how long plans take, as an event, ``scheduler_timing``, while there are any."""
    unschedulable_after_s: float = 30.0
    """A task that no present node could hold even when empty fails after so long."""
    keep_runs: int = 200
    """How many finished tasks keep their container and logs; the latest ones."""
    keep_runs_s: float = 3600.0
    """For how long they do."""
    keep_tasks: int = 100_000
    """How many tasks of finished jobs are remembered; whole jobs, the latest ones."""
    keep_jobs_s: float = 86_400.0
    """For how long finished jobs are remembered."""
    max_message_bytes: int = 32 * 1024 * 1024
    """What tells a worker of more than so much is told in several messages. A task that is larger than that
    is told alone. The default is the most that it may be."""
    max_open_tasks: int = 1_000_000
    """How many tasks may be unfinished at a time; a job beyond that is refused."""
    max_events: int = 10_000
    """How many events are remembered."""

    def __post_init__(self) -> None:
        require_flag(self.preemption, "$.preemption")
        for field in self.__struct_fields__:
            if field == "preemption":
                continue
            least = 0.01 if field in ("lease_s", "resend_s", "full_every_s", "engine_patience_s") else 0
            most = MAX_COUNTED_BYTES if field == "max_message_bytes" else 1e12
            require_number(getattr(self, field), f"$.{field}", least=least, most=most)
