"""A pretended container engine: what runs on it is the truth that reports are compared with.

It keeps the contract of :class:`~minorch.contracts.Runtime` where the conditions let it: a key that was
started before and has left a trace is not started again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, assert_never

import msgspec

from minorch.contracts import Launch, Probe as Answer, RunStatus
from minorch.ids import RunKey
from minorch.simulation.driver.agenda import Agenda, Clock
from minorch.simulation.driver.conditions import AT_ONCE, Conditions, Outcome
from minorch.simulation.driver.observer import Observer
from minorch.states import Reason
from minorch.worker import (
    Action,
    Cancel,
    Cancelled,
    Fact,
    Kill,
    Listed,
    ListRuns,
    Missed,
    Probe,
    Probed,
    Refused,
    Remove,
    Removed,
    Sample,
    Sampled,
    Seen,
    Start,
    Terminate,
    Unreachable,
)

__all__ = ["Run", "SimulatedEngine"]

_TERMINATED, _KILLED = 143, 137


class Run:
    """What really became of one run."""

    __slots__ = ("began_at", "ended_at", "launch", "outcome", "removed_by", "status")

    def __init__(self, launch: Launch, status: RunStatus, outcome: Outcome, now: float) -> None:
        self.launch = launch
        self.status = status
        self.outcome = outcome
        self.began_at = now
        """In true time."""
        self.ended_at: float | None = None
        self.removed_by: str | None = None
        """Who removed what was left of it: ``worker``, ``somebody``, or an ``engine`` that forgot that it had
        begun; None: it is still there."""

    @property
    def live(self) -> bool:
        """Whether it runs."""
        return self.ended_at is None


class _Pending:
    """A start that was asked for and has not happened."""

    __slots__ = ("broken_off", "called_off", "launch", "waits")

    def __init__(self, launch: Launch, *, waits: bool) -> None:
        self.launch = launch
        self.waits = waits
        """Whether it can still be called off."""
        self.called_off = False
        self.broken_off = False
        """Whether the engine died over it: whoever asked for it is told no more than that."""

    @property
    def under_way(self) -> bool:
        """Whether it is still to happen, as far as anybody can tell."""
        return not self.called_off and not self.broken_off


class _Late(NamedTuple):
    """How late a start is."""

    number: int
    """How much had been asked when it was."""
    made: bool
    """Whether the container has been there since."""
    alone: bool
    """Whether nobody waits for it any more."""


class SimulatedEngine:
    """The engine of one machine.

    Args:
        agenda: the true time.
        node: the machine's name.
        clock: what the machine believes the time to be.
        conditions: how long things take and what goes wrong.
        observer: is told what really happens.
    """

    def __init__(
        self, agenda: Agenda, node: str, clock: Clock, conditions: Conditions, observer: Observer
    ) -> None:
        self.node = node
        self.up = True
        """Whether it answers. What runs on it goes on."""
        self.truth: dict[RunKey, Run] = {}
        """Every run that ever began here, as it is now or was last."""
        self.there: dict[RunKey, RunStatus] = {}
        """What a listing shows."""
        self._agenda = agenda
        self._clock = clock
        self._conditions = conditions
        self._observer = observer
        self._starting: dict[RunKey, _Pending] = {}
        """What the present worker waits for."""
        self._asked = 0
        """How often something was asked."""
        self._decided: dict[RunKey, int] = {}
        """By run: how much had been asked when its start was last carried out or refused."""
        self._listener: Callable[[Fact], None] | None = None

    @property
    def live(self) -> list[RunKey]:
        """The runs that run."""
        return [key for key, status in self.there.items() if status.phase == "running"]

    def listen(self, listener: Callable[[Fact], None]) -> None:
        """Tell the machine's worker what happens by itself, and nobody else any more."""
        self._listener = listener
        listener(Missed())

    def leave(self) -> None:
        """The worker is gone."""
        self._listener = None
        for key, pending in self._starting.items():
            if not pending.under_way:
                continue
            becomes = self._conditions.interrupted(self.node, pending.launch)
            if becomes != "dropped":
                self.there.setdefault(key, RunStatus(key=key, phase="created"))
            pending.called_off = becomes != "started"
        self._starting = {}

    # -- what a worker asks -------------------------------------------------------------------

    def do(self, action: Action, tell: Callable[[Fact], None]) -> None:
        """Carry out what a worker asks, as the conditions have it; *tell* it what came of it."""
        if isinstance(action, Cancel):
            self._call_off(action.key)
            return
        self._asked += 1
        fate = self._conditions.fate(self.node, action)
        if fate is AT_ONCE and self.up and not self._starting:
            if isinstance(action, Start):
                fact: Fact | None = self._begin_anew(action.launch)
            else:
                fact = self._carry_out(action)
            if fact is not None:
                tell(fact)
            return
        if not self.up and fate.reached:
            fate = fate._replace(happens_after_s=None, reached=False)
        starting, pending = self._starting, None
        if isinstance(action, Start) and fate.happens_after_s is not None:
            pending = starting[action.key] = _Pending(action.launch, waits=fate.waits)

        def forget_pending() -> None:
            if pending is not None and starting.get(pending.launch.key) is pending:
                del starting[pending.launch.key]

        def give_up() -> None:
            forget_pending()
            if pending is not None:
                pending.called_off = False  # nobody waits for it any more: it is on its way, and goes it
            self._no_answer(action, tell, preparing=fate.preparing)

        if not fate.reached:
            self._later(fate.answered_after_s, give_up)
            if isinstance(action, Start) and fate.made:
                self.there.setdefault(action.key, RunStatus(key=action.key, phase="created"))
        if fate.happens_after_s is not None:
            wait_s, number = max(0.0, fate.answered_after_s - fate.happens_after_s), self._asked

            def happen() -> None:
                forget_pending()
                if pending is None:
                    fact = self._carry_out(action)
                elif pending.broken_off:
                    fact = Unreachable(message="the engine died", key=pending.launch.key)
                else:
                    made = fate.made if self._starting is starting else True
                    alone = not fate.reached or self._starting is not starting
                    late = _Late(number, made=made, alone=alone)
                    fact = self._start(pending, fate.refusal, late)
                if fact is not None and fate.reached:
                    self._later(wait_s, lambda: tell(fact))

            self._later(fate.happens_after_s, happen)

    def _later(self, delay_s: float, happen: Callable[[], None]) -> None:
        if delay_s > 0:
            self._agenda.after(delay_s, happen)
        else:
            happen()

    def _call_off(self, key: RunKey) -> None:
        pending = self._starting.get(key)
        if pending is not None and pending.waits and pending.under_way:
            pending.called_off = True

    @staticmethod
    def _no_answer(action: Action, tell: Callable[[Fact], None], *, preparing: bool) -> None:
        match action:
            case Sample():
                tell(Sampled(node=None))
            case ListRuns():
                tell(Unreachable(message="the engine does not answer"))
            case Probe():
                tell(Probed(key=action.key, probe=Answer(False, "the engine does not answer")))
            case Start() | Terminate() | Kill() | Remove():
                tell(Unreachable(message="the engine does not answer", key=action.key, preparing=preparing))
            case Cancel():
                pass
            case _:
                assert_never(action)

    def _carry_out(self, action: Action) -> Fact | None:
        match action:
            case ListRuns(asked=asked):
                return Listed(asked=asked, statuses=tuple(self.there.values()))
            case Terminate(key=key):
                self._ask_to_end(key)
            case Kill(key=key):
                self.end(key, _KILLED, Reason.KILLED)
            case Remove(key=key):
                return self._remove(key)
            case Probe(key=key):
                there = self.there.get(key)
                healthy = there is not None and there.phase == "running"
                healthy = healthy and self._conditions.healthy(self.node, action)
                return Probed(key=key, probe=Answer(healthy, "fine" if healthy else "no answer"))
            case Sample():
                return Sampled(node=self._conditions.measured(self.node))
            case Start() | Cancel():
                pass
            case _:
                assert_never(action)
        return None

    def _start(self, pending: _Pending, refusal: Reason | None, late: _Late) -> Fact | None:
        launch = pending.launch
        key = launch.key
        if pending.called_off:
            return Cancelled(key=key)
        there = self.there.get(key)
        if there is not None and there.phase != "created":  # its name is taken by itself
            return Seen(status=there)
        gone = late.alone and not (late.made and there is not None)
        if gone or self._decided.get(key, 0) >= late.number:
            # An old request makes a container after all, but nobody is there any more to have it started.
            if not late.made:
                self.there[key] = RunStatus(key=key, phase="created")
            return None
        if refusal is not None:
            self._decided[key] = self._asked
            self.there.pop(key, None)
            return Refused(key=key, reason=refusal, message="the engine refused")
        return self._begin(launch)

    def _begin_anew(self, launch: Launch) -> Fact:
        there = self.there.get(launch.key)
        if there is not None and there.phase != "created":  # its name is taken by itself
            return Seen(status=there)
        return self._begin(launch)

    def _begin(self, launch: Launch) -> Fact:
        key, now = launch.key, self._agenda.now
        self._decided[key] = self._asked
        status = RunStatus(key=key, phase="running", started_at=self._clock())
        run = Run(launch, status, self._conditions.outcome(self.node, launch), now)
        self.truth[key], self.there[key] = run, status
        self._observer.run_began(self, run)
        if run.outcome.lasts_s is not None:
            _, exit_code, reason = run.outcome
            self._agenda.after(run.outcome.lasts_s, lambda: self._end_by_itself(run, exit_code, reason))
        return Seen(status=status)

    def _ask_to_end(self, key: RunKey) -> None:
        status = self.there.get(key)
        if status is None or status.phase != "running":
            return
        after_s = self._conditions.obeys_after_s(self.node, status)
        if after_s is not None:
            run = self.truth[key]
            self._later(after_s, lambda: self._end_by_itself(run, _TERMINATED, Reason.KILLED))

    def _remove(self, key: RunKey) -> Fact:
        status = self.there.get(key)
        pending = self._starting.get(key)
        if pending is not None and pending.under_way:  # or it would be there again afterwards
            self._call_off(key)
            return Removed(key=key, error="its start is still under way", starting=True)
        if status is not None and status.phase == "running":
            return Removed(key=key, error="it still runs")
        if status is not None:
            del self.there[key]
            run = self.truth.get(key)
            if run is not None:  # and not only created
                run.removed_by = "worker"
                if self._conditions.prompt:  # nobody asks for it again, and there may be millions
                    del self.truth[key], self._decided[key]
        return Removed(key=key)

    # -- what happens by itself ---------------------------------------------------------------

    def _end_by_itself(self, run: Run, exit_code: int | None, reason: Reason) -> None:
        if self.truth.get(run.launch.key) is run:
            self.end(run.launch.key, exit_code, reason)

    def end(self, key: RunKey, exit_code: int | None, reason: Reason = Reason.EXITED) -> None:
        """End a run, if it runs. Its worker is told if the conditions have it so and the engine answers."""
        status = self.there.get(key)
        if status is None or status.phase != "running":
            return
        ended = msgspec.structs.replace(
            status, phase="exited", exit_code=exit_code, reason=reason, finished_at=self._clock()
        )
        run = self.truth[key]
        run.status, run.ended_at = ended, self._agenda.now
        self.there[key] = ended
        self._observer.run_ended(self, run)
        after_s = self._conditions.notice_after_s(self.node, ended)
        if after_s is not None and self.up:
            self._later(after_s, lambda: self._notify(Seen(status=ended)))

    def _notify(self, fact: Fact) -> None:
        if self._listener is not None and self.up:
            self._listener(fact)

    def vanish(self, key: RunKey) -> None:
        """Somebody else removes what is there of a run; one that runs is killed, and nobody sees how."""
        if self.there.pop(key, None) is None:
            return
        if key not in self.truth:  # it was made and had not begun
            self._observer.remainder_removed(self, key)
            return
        run = self.truth[key]
        if run.ended_at is None:
            run.ended_at = self._agenda.now
        run.removed_by = "somebody"
        self._observer.run_ended(self, run)

    def go_down(self, *, runs_end: bool) -> None:
        """Answer nothing from now on; with *runs_end*, what runs is killed, and nothing more begins."""
        self.up = False
        if runs_end:
            for key, pending in self._starting.items():
                if not pending.under_way:
                    continue
                pending.broken_off = True
                if key not in self.truth and self._conditions.forgets(self.node, pending.launch):
                    self._begin_and_forget(pending.launch)
                elif self._conditions.interrupted(self.node, pending.launch) != "dropped":
                    self.there.setdefault(key, RunStatus(key=key, phase="created"))
            for key in self.live:
                self.end(key, _KILLED, Reason.KILLED)

    def _begin_and_forget(self, launch: Launch) -> None:
        """As engines do that are killed between a program's start and the note of it (measured)."""
        key, now = launch.key, self._agenda.now
        status = RunStatus(key=key, phase="running", started_at=self._clock())
        run = self.truth[key] = Run(launch, status, Outcome(None), now)
        self._observer.run_began(self, run)
        run.ended_at, run.removed_by = now, "engine"
        self.there[key] = RunStatus(key=key, phase="created")
        self._observer.run_ended(self, run)

    def come_up(self) -> None:
        """Answer again; the worker knows that it may have missed something."""
        if not self.up:
            self.up = True
            self._notify(Missed())

    def lose_disk(self) -> None:
        """Have no trace of anything any more."""
        for key in list(self.there):
            self.vanish(key)
