"""The worker's door: orders from the manager and facts from the runtime in, a report and actions out.

Like the manager it has no clock, no randomness, no threads and does no I/O.  A driver calls
``receive`` and ``observe`` for what happened, then ``settle`` once; it sends the step's report, carries
out the step's actions, and calls ``settle`` again no later than the step's deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, assert_never

import msgspec

from minorch.contracts import Owner
from minorch.errors import MessageError, UsageError
from minorch.messages import Assign, Report
from minorch.model import Node, NodeStats, TaskStats
from minorch.state.timers import Timers
from minorch.worker.actions import Action, ListRuns, Sample
from minorch.worker.attempt import Phase
from minorch.worker.breaker import Breaker
from minorch.worker.config import WorkerConfig
from minorch.worker.facts import (
    Cancelled,
    Fact,
    Listed,
    Missed,
    Probed,
    Progressed,
    Refused,
    Removed,
    Sampled,
    Seen,
    Unreachable,
)
from minorch.worker.lease import Lease
from minorch.worker.supervisor import Supervisor
from minorch.worker.unheard import Unheard

if TYPE_CHECKING:
    from random import Random

__all__ = ["NOT_ASKED", "Worker", "WorkerStep"]

NOT_ASKED: Final = "not asked yet"
"""What is told of an engine before anything is known of it."""

_LONGEST_RETRY_S = 30.0
_LONGEST_DOUBT_S = 120.0
_HANGS = "it answers questions, and did not answer when it was to start something"


class WorkerStep(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a driver has to do after the worker has settled."""

    report: Report | None
    """To be sent to the manager. It may be lost."""
    actions: Sequence[Action]
    """To be carried out, in any order, each answered by a fact."""
    deadline: float
    """When to settle again at the latest, in seconds since 1970."""


class Worker:
    """Makes one runtime run what the manager assigns, and tells what became of it.

    Args:
        node: what its machine offers.
        cluster_id: the cluster it belongs to; orders of any other are refused.
        incarnation: a new random text at each start.
        random: for the jitter of restarts.
        now: seconds since 1970; time never goes back from one call to the next.
        config: waits and bounds.
    """

    def __init__(
        self,
        node: Node,
        *,
        cluster_id: str,
        incarnation: str,
        random: Random,
        now: float,
        config: WorkerConfig | None = None,
    ) -> None:
        self.node = node
        self._config = config or WorkerConfig()
        self._cluster_id = cluster_id
        self._incarnation = incarnation
        self._now = now
        self._timers = Timers()
        self._attempts = Supervisor(Owner(cluster_id, node.name), self._config, random, self._timers)
        self._epoch = self._revision = 0
        self._held_back: list[Assign] | None = []
        """Orders that arrived before the runtime's runs were known; None: they are known."""
        self._breaker = Breaker(self._config.retry_s, _LONGEST_DOUBT_S)
        self._told_ok = False
        """Whether the manager was last told that the engine is to be counted on."""
        self._lease = Lease()
        self._fenced = True
        self._renew_due = False
        """Set by heartbeats, not by each report: an answer that cannot be applied is followed by a report."""
        self._sequence = 0
        self._unheard = Unheard(self._config.max_message_bytes)
        self._full_due = self._report_due = True
        self._reported_at = 0.0
        self._report_timed = False
        """Whether a timer will have a report considered that came too soon."""
        self._list_due = True
        self._listing = False
        self._engine_ok = False
        self._engine_message = NOT_ASKED
        self._engine_failed_at = now
        """Since when it does not answer, if it does not."""
        self._retry_s = self._config.retry_s
        self._retrying = False
        """Whether the engine, which did not answer, is asked again at a time that is set."""
        self._stats: NodeStats | None = None
        self._task_stats: dict[str, TaskStats] = {}
        for kind in ("heartbeat", "sample"):
            self._timers.add(now, kind)
        self._timers.add(now + self._config.relist_s, "relist")

    @property
    def owner(self) -> Owner:
        """Whose runs are this worker's."""
        return Owner(self._cluster_id, self.node.name)

    @property
    def idle(self) -> bool:
        """Whether nothing of any attempt is left here."""
        return not self._attempts.attempts

    @property
    def fenced(self) -> bool:
        """Whether it begins nothing new at present, for its manager may have placed all of it elsewhere.

        As of the last :meth:`settle`. What runs goes on, and is started again where its policy says so.
        """
        return self._fenced

    @property
    def awaits_answer(self) -> bool:
        """Whether it waits for the manager's word, be it a mere answer: without it, it begins nothing."""
        return self._attempts.unbegun

    # -- the entry points ---------------------------------------------------------------------

    def receive(self, assign: Assign, now: float) -> None:
        """Take an order. One that is old, doubled, or a change to what was never received, changes nothing.

        Nor does one for an earlier incarnation: what it names may be over since, and would start again.

        Raises:
            MessageError: it is for another worker or from another cluster.
        """
        if assign.cluster_id != self._cluster_id or assign.worker != self.node.name:
            raise MessageError(f'an order for worker "{assign.worker[:70]}" of another cluster or name')
        now = self._at(now)
        if assign.incarnation != self._incarnation:
            return
        if self._held_back is not None:
            if assign.base is None:
                self._held_back.clear()
            if len(self._held_back) < 1000:  # beyond that a full one is waited for
                self._held_back.append(assign)
            return
        self._take(assign, now)

    def observe(self, fact: Fact, now: float) -> None:
        """Take note of something the runtime did or said."""
        now = self._at(now)
        attempts = self._attempts
        match fact:
            case Seen():
                attempts.saw(fact.status, now)
            case Progressed():
                attempts.progressed(fact.key, fact.words)
            case Refused():
                self._breaker.answered()
                attempts.refused(fact.key, fact.reason, fact.message, fact.exit_code, now)
            case Cancelled():
                if self._breaker.doubtful:  # for all the time that it had, it was not answered
                    self._hung(now)
                attempts.cancelled(fact.key, now)
            case Removed():
                attempts.removed(fact.key, fact.error, now, starting=fact.starting)
            case Probed():
                attempts.probed(fact.key, fact.probe, now)
            case Listed():
                self._on_listed(fact, now)
            case Missed():
                self._list_due = True
            case Unreachable():
                self._on_unreachable(fact, now)
            case Sampled():
                first = self._stats is None and fact.node is not None
                self._report_due = self._report_due or first  # or it would look idle until the next heartbeat
                self._stats = fact.node or self._stats
                self._task_stats = {key.task_id: stats for key, stats in fact.tasks.items()}
            case _:
                assert_never(fact)
        if attempts.some_began:
            attempts.some_began = False
            self._breaker.answered()

    def describe(self, node: Node, now: float) -> None:
        """Its machine offers something else than was known: the manager is told.

        Raises:
            UsageError: it is another node, by its name.
        """
        if node.name != self.node.name:
            raise UsageError(f'worker "{self.node.name}" cannot become node "{node.name}"')
        self._at(now)
        self._report_due = self._report_due or node != self.node
        self.node = node

    def settle(self, now: float) -> WorkerStep:
        """Do what has come due and say what the driver has to do."""
        actions = self.act(now)
        return self.tell(now, actions)

    def act(self, now: float) -> Sequence[Action]:
        """The first half of :meth:`settle`: do what has come due, and say what is asked of the runtime.

        For a driver whose runtime answers at once: it may observe the answers and call this again, and then
        call :meth:`tell`, so that one report says all of it.
        """
        now = self._at(now)
        while (timer := self._timers.due(now)) is not None:
            self._on_timer(timer, now)
        if self._list_due and not self._listing:
            self._list_due, self._listing = False, True
            self._attempts.asked += 1
            self._attempts.actions.append(ListRuns(asked=self._attempts.asked))
        self._check_lease(now)
        most = self._breaker.lets_through(self._config.max_starting, now)
        self._attempts.work_off(engine_ok=self._engine_ok, most_starting=most, fenced=self._fenced)
        if self._attempts.announced.keys() & self._attempts.changed.keys():
            self._report_due = self._renew_due = True  # they wait for the answer
        actions = tuple(self._attempts.actions)
        self._attempts.actions.clear()
        return actions

    def tell(self, now: float, actions: Sequence[Action] = ()) -> WorkerStep:
        """The second half of :meth:`settle`: say what the manager is told, and when to settle again.

        Args:
            now: seconds since 1970.
            actions: what goes into the step as its actions.
        """
        now = self._at(now)
        self._report_due = self._report_due or self._told_ok is not self._counts_on_engine(now)
        report = self._report(now) if self._may_report(now) else None
        deadline = self._timers.next()
        assert deadline is not None  # the heartbeat is always among them
        if self._attempts.unbegun and not self._fenced:
            deadline = min(deadline, self._lease.ends_at)
        return WorkerStep(report=report, actions=actions, deadline=deadline)

    # -- orders -------------------------------------------------------------------------------

    def _take(self, assign: Assign, now: float) -> None:
        self._report_due = self._unheard.heard(assign.heard) or self._report_due
        if self._attempts.announced:
            self._attempts.know(self._unheard)
        self._follow(assign, now)
        if assign.epoch == self._epoch and assign.revision <= self._revision:
            # Else something is missing, perhaps that what waits here was placed elsewhere meanwhile.
            self._lease.renew(assign.heard, assign.lease_s)

    def _follow(self, assign: Assign, now: float) -> None:
        if (assign.epoch, assign.revision) <= (self._epoch, self._revision):
            return
        if assign.base is None:
            self._full_due = self._full_due or assign.epoch != self._epoch
            self._take_full(assign, now)
        elif assign.epoch != self._epoch or assign.base != self._revision:
            self._report_due = True  # the manager sees what is missing from the revision in it
            return
        for entry in assign.entries:
            self._attempts.order(entry, now)
        for task_id, attempt in assign.released:
            self._release(f"{task_id}/{attempt}", now)
        self._epoch, self._revision = assign.epoch, assign.revision
        self._report_due = True

    def _take_full(self, assign: Assign, now: float) -> None:
        named = {f"{entry.task_id}/{entry.attempt}" for entry in assign.entries}
        named.update(f"{task_id}/{attempt}" for task_id, attempt in assign.kept)
        for local in list(self._attempts.attempts.values()):
            if local.id in named:
                continue
            if local.assignment is None:
                if local.wake_at is None:
                    self._attempts.abandon(local, now + self._config.orphan_grace_s)
            else:
                self._release(local.id, now)

    def _release(self, attempt_id: str, now: float) -> None:
        self._unheard.forget(attempt_id)
        local = self._attempts.attempts.get(attempt_id)
        if local is not None:
            self._attempts.forget(local, now)

    def _check_lease(self, now: float) -> None:
        fenced = self._lease.over(now)
        if fenced and not self._fenced:
            self._attempts.call_off()
        self._fenced = fenced

    # -- facts and timers ---------------------------------------------------------------------

    def _on_listed(self, fact: Listed, now: float) -> None:
        self._listing = False
        if not self._engine_ok:
            self._engine_ok, self._engine_message = True, ""
            self._retry_s = self._config.retry_s
            self._report_due = True
        if self._held_back is None:
            self._attempts.listed(fact.asked, fact.statuses, now)
            return
        self._attempts.adopt(fact.statuses, now)
        held_back, self._held_back = self._held_back, None
        for assign in held_back:
            self._take(assign, now)

    def _on_unreachable(self, fact: Unreachable, now: float) -> None:
        if fact.key is None:
            self._listing = False
        elif fact.preparing:
            self._attempts.cancelled(fact.key, now)
        else:
            if self._attempts.is_starting(fact.key):
                self._hung(now)
            self._attempts.unreachable(fact.key, now)
        if self._engine_ok:
            self._engine_failed_at = now
        self._report_due = self._report_due or self._engine_ok or self._engine_message != fact.message
        if not self._retrying:
            self._retrying = True
            self._timers.add(now + self._retry_s, "list")
            self._retry_s = min(_LONGEST_RETRY_S, 2 * self._retry_s)
        self._engine_ok, self._engine_message = False, fact.message

    def _hung(self, now: float) -> None:
        """A start was not answered."""
        if self._breaker.unanswered(now):
            self._timers.add(self._breaker.open_until, "breaker")

    def _on_timer(self, timer: tuple[str, str], now: float) -> None:
        match timer:
            case ("heartbeat", _):
                self._report_due = self._renew_due = True
                self._timers.add(now + self._config.heartbeat_s, "heartbeat")
            case ("sample", _):
                running = [
                    local.key for local in self._attempts.attempts.values() if local.phase is Phase.RUNNING
                ]
                self._attempts.actions.append(Sample(keys=running))
                self._timers.add(now + self._config.sample_s, "sample")
            case ("relist", _):
                self._list_due = True
                self._timers.add(now + self._config.relist_s, "relist")
            case ("report", _):
                self._report_timed = False  # settle sees to the rest
            case ("breaker", _):
                pass  # settle sees to it
            case ("list", _):
                self._list_due, self._retrying = True, False
            case ("steady", attempt_id):
                self._attempts.look_whether_steady(attempt_id, now)
            case _:
                self._attempts.wake(timer[1], now)

    def _counts_on_engine(self, now: float) -> bool:
        """Whether more may be placed here: the engine answers, and is not seen to hang over starts.

        Once it did, what waits here is used to find out. If all of that was tried and hung, something new is,
        for it may be the fault of what is to be started: nobody else is to wait for that.
        """
        if not self._engine_ok or not self._breaker.doubtful:
            return self._engine_ok
        return now >= self._breaker.open_until and not self._attempts.has_untried

    def _may_report(self, now: float) -> bool:
        """Whether there is news, and the last report is long enough ago; if not, it is asked again then."""
        if not self._report_due and not self._attempts.changed:
            return False
        if not self._engine_ok and self._is_silent(now):
            return False
        at = self._reported_at + self._config.report_every_s
        if now < at:
            if not self._report_timed:
                self._timers.add(at, "report")
            self._report_timed = True
            return False
        return True

    def _is_silent(self, now: float) -> bool:
        """Whether its engine, which does not answer, has not for so long that its node is to be lost."""
        patience_s = self._config.engine_lost_s
        return patience_s is not None and now >= self._engine_failed_at + patience_s

    def _report(self, now: float) -> Report:
        self._reported_at = now
        self._sequence += 1
        self._lease.sent(self._sequence, now)
        attempts = self._attempts.attempts
        self._unheard.note(attempts if self._full_due else self._attempts.changed)
        observed, most_stats = self._unheard.tell(self._sequence, attempts)
        full, self._full_due, self._report_due = self._full_due, False, False
        renew, self._renew_due = self._renew_due and self._attempts.unbegun, False
        self._attempts.changed.clear()
        task_stats = tuple(self._task_stats.items())
        self._task_stats = dict(task_stats[most_stats:])
        self._told_ok = self._counts_on_engine(now)
        hangs = self._engine_ok and not self._told_ok
        return Report(
            cluster_id=self._cluster_id,
            worker=self.node.name,
            incarnation=self._incarnation,
            sequence=self._sequence,
            epoch=self._epoch,
            revision=self._revision,
            full=full,
            node=self.node,
            observed=observed,
            stats=self._stats,
            task_stats=task_stats[:most_stats],
            engine_ok=self._told_ok,
            engine_message=_HANGS if hangs else self._engine_message,
            renew=renew,
        )

    def _at(self, now: float) -> float:
        if now > self._now:
            self._now = now
        return self._now
