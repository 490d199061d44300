"""The conversation with each worker: what it was told, what it confirmed, what to tell it next.

Level-triggered: a session holds no queue of commands, only which attempts the worker should have
(``held``) and which of them changed since it was last told.  A worker that is behind, or new, is told
everything; so a message that is lost costs time and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from minorch.manager.parts import ENOUGH_FOR_ONE_BYTES, Parts, fitting
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
        self._others: dict[str, int] = {}
        """Other incarnations that were heard, with the highest report of each. While the present one has not
        confirmed what was sent to it, a new manager cannot tell which of them is alive and which report was
        only late."""
        self._retired: deque[str] = deque(maxlen=_INCARNATIONS_KEPT)
        """Those that are certainly gone, whose belated reports are not listened to."""
        self._sequence = 0
        """Of the latest report of the present incarnation."""
        self._merged = 0
        """Of the latest of them that was taken in as a whole."""
        self._revision = 0
        """The highest revision sent."""
        self._certain_from = 1
        """The first revision that only the present incarnation can have been sent."""
        self._confirmed = 0
        """The highest revision that the present incarnation has applied."""
        self._waiting_since: float | None = None
        """Since when nothing was confirmed although something was sent; None: all is confirmed."""
        self._full_at: float | None = None
        self._full_due = False
        self._reply_due = False
        self._parts: Parts | None = None
        """None: one message was enough for everything."""

    @property
    def connected(self) -> bool:
        """Whether its worker was heard of since this manager began."""
        return self._incarnation != ""

    @property
    def certain(self) -> bool:
        """Whether the present incarnation has confirmed something that nobody else was sent.

        It began after all others that were heard then, and what they have to say comes late.  Before that,
        this may itself be the late word of one that is gone, while another one begins anew what this one
        saw end.
        """
        return self._confirmed >= self._certain_from

    def hear(self, report: Report, *, epoch: int, now: float, resend_s: float, full_every_s: float) -> bool:
        """Take note of a report; False: it is an old one and says nothing new.

        Args:
            report: what the worker sent.
            epoch: the manager's own.
            now: seconds since 1970.
            resend_s: after so long without progress the worker is told everything again.
            full_every_s: after so long it is told everything in any case.
        """
        if report.incarnation in self._retired:
            return False
        if report.incarnation != self._incarnation:
            if report.sequence <= self._others.get(report.incarnation, 0):
                return False
            self._turn_to(report.incarnation)
        elif report.sequence <= self._sequence:
            return False
        self._sequence = report.sequence
        sent = report.epoch == epoch and report.revision <= self._revision  # else it made that up
        self._note_confirmed(report.revision if sent else 0, now)
        late = self._waiting_since is not None and now - self._waiting_since >= resend_s
        if late or self._full_at is None or now - self._full_at >= full_every_s:
            self._full_due = True
        return True

    def repeat_all(self) -> None:
        """Have the worker told everything again."""
        self._full_due = True

    def merged(self, report: Report) -> None:
        """The latest report was taken in as a whole: the worker need not repeat it, and is told so."""
        self._merged = report.sequence
        self._reply_due = self._reply_due or bool(report.observed) or report.renew

    def _turn_to(self, incarnation: str) -> None:
        """From now on it is this incarnation that is spoken to, until another one proves to be alive."""
        if self._incarnation:
            self._others[self._incarnation] = self._sequence
        self._others.pop(incarnation, None)
        if len(self._others) > _INCARNATIONS_KEPT:
            del self._others[next(iter(self._others))]
        self._incarnation = incarnation
        self._certain_from, self._confirmed = self._revision + 1, 0
        self._merged = 0
        self._full_at = None
        self._parts = None

    def _note_confirmed(self, revision: int, now: float) -> None:
        if revision >= self._certain_from and self._others:
            self._retired.extend(self._others)
            self._others.clear()
        if revision == self._revision:
            self._waiting_since = None
        elif revision > self._confirmed or self._waiting_since is None:
            self._waiting_since = now
        self._confirmed = max(self._confirmed, revision)
        if self._parts is not None:
            self._parts.confirmed(revision, self.held)

    def next_message(
        self,
        describe: Callable[[str, int], Assignment],
        size_of: Callable[[str], int],
        *,
        most_bytes: int,
        cluster_id: str,
        epoch: int,
        now: float,
        lease_s: float = 0.0,
    ) -> Assign | None:
        """What to send now, or None.

        Args:
            describe: gives the assignment of a task's attempt.
            size_of: gives the size of a task's description, in bytes; 0: it is to stop.
            most_bytes: what does not fit into so many follows once this is confirmed.
            cluster_id: the manager's cluster.
            epoch: the manager's own.
            now: seconds since 1970.
            lease_s: after so long without a report the worker is lost; 0: it is not told.
        """
        if not self.connected:
            return None
        base: int | None = self._revision
        kept: tuple[tuple[str, int], ...] = ()
        rest: Sequence[str]
        part = True
        if self._full_due:
            base, (wanted, rest, kept) = None, self._everything(most_bytes, size_of)
            self._full_at = self._waiting_since = now
        else:
            wanted = [task_id for task_id in self.changed if task_id in self.held]
            rest = ()
            if self._parts is not None and self._parts.under_way:
                # A slow transport would make one message of two parts. Stops are short, and do not wait.
                rest = [task_id for task_id in wanted if size_of(task_id)]
                wanted = [task_id for task_id in wanted if not size_of(task_id)]
                part = False
            elif len(wanted) * ENOUGH_FOR_ONE_BYTES > most_bytes:
                count = fitting(wanted, most_bytes, size_of)
                wanted, rest = wanted[:count], wanted[count:]
                if rest and self._parts is None:
                    self._parts = Parts()
        released = tuple(self.released)
        if self._full_due or wanted or released:
            self._revision += 1
            if self._waiting_since is None:
                self._waiting_since = now
        elif not self._reply_due:
            return None
        entries = tuple(describe(task_id, self.held[task_id]) for task_id in wanted)
        if self._parts is not None and (self._full_due or wanted):
            told = {task_id: self.held[task_id] for task_id in wanted}
            self._parts.told(self._revision, told, full=self._full_due, part=part)
        self._full_due = self._reply_due = False
        self.changed.clear()
        if rest:
            self.changed.update(dict.fromkeys(rest))  # once this is confirmed
        self.released.clear()
        return Assign(
            cluster_id=cluster_id,
            worker=self.worker,
            epoch=epoch,
            revision=self._revision,
            base=base,
            entries=entries,
            released=released,
            kept=kept,
            incarnation=self._incarnation,
            heard=self._merged,
            lease_s=lease_s,
        )

    def _everything(
        self, most_bytes: int, size_of: Callable[[str], int]
    ) -> tuple[list[str], list[str], tuple[tuple[str, int], ...]]:
        """What a full message tells, what there is no room for, and with what is known what it only names."""
        wanted = list(self.held)
        if fitting(wanted, most_bytes, size_of) == len(wanted):
            self._parts = None
            return wanted, [], ()
        if self._parts is None:
            self._parts = Parts()
        unknown = self._parts.unknown(self.held, self.changed)
        # A worker that has applied this must not begin what it was to stop: stops go first, and all of them.
        stops = [task_id for task_id in unknown if not size_of(task_id)]
        others = [task_id for task_id in unknown if size_of(task_id)]
        count = fitting(others, most_bytes, size_of, named=len(wanted))
        told = dict.fromkeys(stops + others[:count])
        kept = tuple((task_id, number) for task_id, number in self.held.items() if task_id not in told)
        return list(told), others[count:], kept
