"""A world in which things take time and go wrong, as often as its scenario says, until it is calm."""

from __future__ import annotations

import random

from minorch.contracts import Launch, RunStatus
from minorch.messages import Assign, Report
from minorch.simulation import Agenda, Clock, Commit, Conditions, Fate, Outcome
from minorch.simulation.driver.conditions import Interrupted
from minorch.states import Reason
from minorch.worker import Action, ListRuns, Probe, Start
from tests.sim.scenario import Scenario

__all__ = ["Hostile"]


class Hostile(Conditions):
    """The conditions of one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._random = random.Random(scenario.seed + 1)
        self._rates = scenario.rates
        self._clocks = scenario.clocks
        self.calm = False
        """Whether nothing goes wrong any more."""
        self.cut: set[tuple[str, bool]] = set()
        """Which ways are cut: from (False) or to (True) which worker."""
        self.store_fails = False

    def _goes_wrong(self, what: str) -> bool:
        rate = self._rates.get(what)
        return rate is not None and not self.calm and self._random.random() < rate

    def clock(self, agenda: Agenda, process: str) -> Clock:
        """Clocks show other times, and run at other speeds within the bound."""
        ahead_s = self._random.uniform(-1000, 1000)
        rate = 1 + self._clocks * self._random.uniform(-1, 1)
        return Clock(agenda, ahead_s - (rate - 1) * agenda.now, rate)

    def pause_s(self, process: str) -> float:
        """Some turns come late, so that more shares one."""
        return self._random.expovariate(2.0) if self._goes_wrong("slow turn") else 0.0

    def arrivals_s(self, message: Assign | Report) -> tuple[float, ...]:
        """Messages are lost, doubled, late, and so out of order; some ways are cut."""
        if (message.worker, isinstance(message, Assign)) in self.cut or self._goes_wrong("lost"):
            return ()
        copies = 2 if self._goes_wrong("doubled") else 1
        return tuple(self._late_s() if self._goes_wrong("late") else 0.001 for _ in range(copies))

    def _late_s(self) -> float:
        """Mostly some seconds; now and then so long that everybody has given up or died meanwhile."""
        draw = self._random
        return draw.uniform(0, 90) if draw.random() < 0.1 else draw.expovariate(0.3)

    def commit(self) -> Commit:
        """Transactions are slow, and fail."""
        takes_s = self._random.expovariate(3.0) if self._goes_wrong("commit slow") else 0.0
        return Commit(takes_s, self.store_fails or self._goes_wrong("commit fails"))

    def fate(self, node: str, action: Action) -> Fate:
        """The engine is slow, gives no answer though it does or does not do what it was asked, or refuses."""
        draw = self._random
        happens_s = draw.expovariate(1.0) if self._goes_wrong("engine slow") else 0.0
        if self._goes_wrong("engine silent"):
            late_s = draw.choice((None, happens_s, happens_s + draw.expovariate(0.2)))
            if isinstance(action, ListRuns):
                late_s = None
            silent_s, made = draw.expovariate(0.5), draw.random() < 0.5
            if isinstance(action, Start) and draw.random() < 0.3:
                return Fate(None, silent_s, reached=False, preparing=True)
            return Fate(late_s, silent_s, reached=False, waits=draw.random() < 0.5, made=made)
        answered_s = happens_s + (draw.expovariate(1.0) if self._goes_wrong("engine slow") else 0.0)
        refusal = None
        if isinstance(action, Start) and self._goes_wrong("start refused"):
            refusal = draw.choice((Reason.START_FAILED, Reason.PORT_TAKEN, Reason.IMAGE_NOT_FOUND))
        return Fate(happens_s, answered_s, refusal=refusal, waits=draw.random() < 0.5)

    def interrupted(self, node: str, launch: Launch) -> Interrupted:
        """Anything may become of a start whose worker or engine dies."""
        options: tuple[Interrupted, ...] = ("started", "created", "dropped")
        return self._random.choice(options)

    def forgets(self, node: str, launch: Launch) -> bool:
        """Some engines do."""
        return self._goes_wrong("engine forgets")

    def outcome(self, node: str, launch: Launch) -> Outcome:
        """Batch tasks end after a while, one way or another; services now and then."""
        draw = self._random
        code, reason = draw.choice(
            (
                (0, Reason.EXITED),
                (0, Reason.EXITED),
                (0, Reason.EXITED),
                (1, Reason.EXITED),
                (137, Reason.KILLED),
                (137, Reason.OOM),
                (None, Reason.EXIT_UNKNOWN),
            )
        )
        if launch.task.labels.get("kind") == "service":
            if self.calm or draw.random() < 0.5:
                return Outcome(None)
            return Outcome(draw.expovariate(0.02), code, reason)
        return Outcome(draw.expovariate(0.15), code, reason)

    def obeys_after_s(self, node: str, status: RunStatus) -> float | None:
        """Some runs do not end when they are asked to."""
        return None if self._goes_wrong("stubborn") else 0.1

    def notice_after_s(self, node: str, status: RunStatus) -> float | None:
        """Some ends are told late, and some never."""
        if self._goes_wrong("exit unseen"):
            return None
        return self._random.expovariate(0.5) if self._goes_wrong("exit late") else 0.0

    def healthy(self, node: str, probe: Probe) -> bool:
        """Some checks fail."""
        return not self._goes_wrong("unhealthy")
