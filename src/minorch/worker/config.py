"""The worker's settings. Every bound and every wait of the worker is one of these."""

from __future__ import annotations

import msgspec

from minorch.messages import MAX_COUNTED_BYTES
from minorch.model.base import require_number

__all__ = ["WorkerConfig"]


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How often a worker speaks and looks, and how much it does at once.

    Raises:
        SpecError: a value is negative or no number.
    """

    heartbeat_s: float = 3.0
    """How often it reports when nothing happens; several fit into the manager's lease."""
    report_every_s: float = 0.0
    """Reports are at least so far apart, so that the changes of a busy worker share one."""
    sample_s: float = 3.0
    """How often it measures its machine and its tasks."""
    relist_s: float = 60.0
    """How often it asks the runtime for all its runs, in case a change was missed."""
    retry_s: float = 1.0
    """How long it waits before it asks an engine again that did not answer; doubling up to 30 s."""
    engine_lost_s: float | None = None
    """After so long without an answer of its engine it falls silent, as if it were gone itself, so that the
    manager loses its node when the lease is over and places elsewhere what may be. When the engine answers
    again it speaks. For an engine on another machine, which may be gone for good; None: never."""
    orphan_grace_s: float = 30.0
    """How long a run that the manager does not name is left alone after a start of the worker."""
    kill_every_s: float = 5.0
    """How often a run that must die is killed again until it is seen to be over."""
    max_starting: int = 8
    """How many runs it has the runtime start at the same time."""
    max_removing: int = 4
    """How many runs it has the runtime remove at the same time."""
    max_message_bytes: int = 32 * 1024 * 1024
    """A report that would be larger goes in several, each when the manager has heard the one before. One
    attempt is told even if it is larger alone. The default is the most that it may be."""

    def __post_init__(self) -> None:
        for field in ("heartbeat_s", "sample_s", "relist_s", "retry_s", "kill_every_s"):
            require_number(getattr(self, field), f"$.{field}", least=0.01)
        require_number(self.report_every_s, "$.report_every_s", most=self.heartbeat_s)
        require_number(self.orphan_grace_s, "$.orphan_grace_s")
        if self.engine_lost_s is not None:
            require_number(self.engine_lost_s, "$.engine_lost_s")
        require_number(self.max_starting, "$.max_starting", least=1, whole=True)
        require_number(self.max_removing, "$.max_removing", least=1, whole=True)
        most_bytes = self.max_message_bytes
        require_number(most_bytes, "$.max_message_bytes", least=1, most=MAX_COUNTED_BYTES, whole=True)
