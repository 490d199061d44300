"""The conversation with each worker: what it was told, what it confirmed, what to tell it next.

Level-triggered: a session holds no queue of commands, only which attempts the worker should have
(``held``) and which of them changed since it was last told.  A worker that is behind, or new, is told
everything; so a message that is lost costs time and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from minorch.messages import Assign, Assignment, Report

__all__ = ["Session"]

_INCARNATIONS_KEPT: Final = 16


class Session:
    """What the manager knows of one worker's view. None of it is stored: a new manager begins anew."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.held: dict[str, int] = {}
        """Attempt number by task id: all that the worker should have, in the order of placement."""
        self.changed: dict[str, None] = {}
        """Those of them that it must be told about."""
        self.released: dict[tuple[str, int], None] = {}
        self._incarnation = ""
        self._retired: deque[str] = deque(maxlen=_INCARNATIONS_KEPT)
        """Earlier incarnations, whose belated reports are not listened to."""
        self._sequence = 0
        self._revision = 0
        """The highest revision sent."""
        self._sent_at = 0.0
        self._full_at: float | None = None
        self._full_due = False
        self._reply_due = False

    @property
    def connected(self) -> bool:
        """Whether its worker was heard of since this manager began."""
        return self._incarnation != ""

    def hear(self, report: Report, *, epoch: int, now: float, resend_s: float, full_every_s: float) -> bool:
        """Take note of a report; False: it is an old one and says nothing new.

        Args:
            report: what the worker sent.
            epoch: the manager's own.
            now: seconds since 1970.
            resend_s: after so long without progress the worker is told everything again.
            full_every_s: after so long it is told everything in any case.
        """
        if report.incarnation != self._incarnation:
            if report.incarnation in self._retired:
                return False
            if self._incarnation:
                self._retired.append(self._incarnation)
            self._incarnation, self._sequence = report.incarnation, 0
            self._full_at = None
        if report.sequence <= self._sequence:
            return False
        self._sequence = report.sequence
        if report.observed:
            self._reply_due = True
        if self._full_at is None or now - self._full_at >= full_every_s:
            self._full_due = True
        elif report.epoch != epoch or report.revision != self._revision:
            self._full_due = self._full_due or now - self._sent_at >= resend_s
        return True

    def next_message(
        self, describe: Callable[[str, int], Assignment], *, cluster_id: str, epoch: int, now: float
    ) -> Assign | None:
        """What to send now, or None; *describe* gives the assignment of a task's attempt."""
        if not self.connected:
            return None
        base: int | None = self._revision
        if self._full_due:
            base, wanted = None, list(self.held)
            self._full_at = now
        else:
            wanted = [task_id for task_id in self.changed if task_id in self.held]
        released = () if self._full_due else tuple(self.released)
        if self._full_due or wanted or released:
            self._revision += 1
            self._sent_at = now
        elif not self._reply_due:
            return None
        entries = tuple(describe(task_id, self.held[task_id]) for task_id in wanted)
        self._full_due = self._reply_due = False
        self.changed.clear()
        self.released.clear()
        return Assign(
            cluster_id=cluster_id,
            worker=self.worker,
            epoch=epoch,
            revision=self._revision,
            base=base,
            entries=entries,
            released=released,
            incarnation=self._incarnation,
            heard=self._sequence,
        )
