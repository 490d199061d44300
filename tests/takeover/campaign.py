"""The campaign: one fault after another, and after each of them the other manager must lead."""

from __future__ import annotations

import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

from minorch.stores.postgresql import PostgreSQLStore
from tests.private_postgresql import Server
from tests.survival.outside import check_rows
from tests.takeover.contender import PLACES
from tests.takeover.outside import Link, Network

__all__ = ["Campaign", "Fault"]

PATIENCE_S = 60.0
ANYWHERE = "anywhere"
STEPS_DOWN = "steps down"


class Fault(NamedTuple):
    """What befell a leader, and how long it took until the other one led."""

    how: str
    where: str
    lead_s: float
    """Until the epoch of the next leader was durable."""
    answer_s: float
    """Until that one had acknowledged a change."""


class Campaign:
    """Strikes leaders, and keeps the score.

    Args:
        server: a PostgreSQL.
        seed: draws load and faults.
        lease_s: that of the leaders.
        schema: where the managers' tables are.
    """

    def __init__(self, server: Server, *, seed: int, lease_s: float, schema: str = "takeover") -> None:
        self.server = server
        self.lease_s = lease_s
        self.url = server.url(schema)
        self.draw = random.Random(seed)
        self.network = Network(seed)
        self.faults: list[Fault] = []
        self.lost_by_itself = 0

    def __enter__(self) -> Campaign:
        for _ in range(2):
            self._begin()
        return self

    def __exit__(self, *exc: object) -> None:
        for link in self.network.links:
            link.process.kill()
            link.bury()

    def _begin(self) -> Link:
        link = Link(self.url, self.lease_s, self.network.heard)
        self.network.links.append(link)
        return link

    def _until(self, what: str, condition: Callable[[], object]) -> None:
        give_up = time.time() + PATIENCE_S
        while not condition():
            assert time.time() < give_up, f"not within {PATIENCE_S:g} s: {what}"
            self.network.go_on(time.time() + 0.003)

    def _in_place(self) -> tuple[Link, Link]:
        """Wait until one leads and the other waits."""
        network = self.network

        def stands() -> bool:
            others = [link for link in network.links if link is not network.leader]
            return network.leader is not None and any(link.waiting for link in others)

        self._until("one leads and the other waits", stands)
        leader = network.leader
        assert leader is not None
        return leader, next(link for link in network.links if link is not leader)

    # -- faults -----------------------------------------------------------------------------------

    def strike(self, how: str, where: str) -> Fault:
        """Have a leader killed, stopped or stepping down, and wait until the other one leads."""
        network, draw = self.network, self.draw
        leader, other = self._in_place()
        network.go_on(time.time() + draw.uniform(0.05, 0.4))
        if network.leader is not leader:  # it was too slow for its own lease, on a busy machine
            self.lost_by_itself += 1
            return self.strike(how, where)
        epochs, losses = len(network.lived), network.lost.get(leader.process.pid, 0)
        network.struck_at = None
        sent = signal.SIGKILL if how == "killed" else signal.SIGSTOP
        if how == STEPS_DOWN:
            leader.tell("step down", None)
        elif where == ANYWHERE:
            network.struck_at = time.monotonic()
            leader.process.send_signal(sent)
        else:
            leader.tell("strike", (where, sent))
        self._until(f"{leader} was {how} {where}", lambda: network.struck_at is not None)
        self._until("the other one leads", lambda: len(network.lived) > epochs and network.leader is other)
        self._until("it answers", lambda: network.first_answer_at is not None)
        assert network.struck_at is not None
        assert network.first_answer_at is not None
        fault = Fault(
            how, where, network.led_at - network.struck_at, network.first_answer_at - network.struck_at
        )
        self.faults.append(fault)
        if how == "killed":
            self._until("it is dead", leader.gone.is_set)
            network.links.remove(leader)
            assert leader.bury() == -signal.SIGKILL
            self._begin()
        elif how == STEPS_DOWN:
            leader.tell("rejoin", None)
        else:
            network.go_on(time.time() + draw.uniform(0, 0.5))
            leader.process.send_signal(signal.SIGCONT)
            self._until(
                f"{leader} finds that it has lost", lambda: network.lost.get(leader.process.pid, 0) > losses
            )
        if draw.random() < 0.2:
            draw.choice(list(network.machines.values())).boot()
        return fault

    def strike_often(self, times: int, told: Callable[[Fault], None] = lambda fault: None) -> None:
        """Strike so many times: half kills, half stops, at places of all kinds; and some that step down."""
        kinds = ["killed", "stopped"] * (times // 2) + ["killed"] * (times % 2)
        self.draw.shuffle(kinds)
        places = [ANYWHERE, *PLACES]
        for number, how in enumerate(kinds):
            told(self.strike(how, places[number % len(places)]))
            if number % 10 == 5:
                told(self.strike(STEPS_DOWN, ""))

    # -- the end ----------------------------------------------------------------------------------

    def bring_to_an_end(self) -> None:
        """Nobody asks for more: everything comes to its true end, and the rows say the same."""
        network = self.network
        self._in_place()
        network.busy = False
        self._until(
            "every job that was acknowledged is over",
            lambda: not network.asked and not network.accepted.keys() - network.over,
        )
        network.check_stops()
        leader, other = self._in_place()
        for link in (leader, other):  # the second one leads once more, and compares everything once more
            lives = len(network.lived)
            link.tell("end", None)
            self._until(f"{link} ended", link.gone.is_set)
            assert link.bury() == 0
            network.links.remove(link)
            if link is leader:
                self._until("the other one leads", lambda: len(network.lived) > lives)  # noqa: B023
        with closing(PostgreSQLStore(self.url)) as store:
            rows = store.load()
        check_rows(rows)
        assert not [row for row in rows if row.table == "stale"], "a stale leader wrote"
        assert {key.task_id for key in network.starts} <= network.final.keys()
        live = [key for there in network.machines.values() for key in there.live]
        assert live == [], "runs that nobody answers for"

    def summary(self) -> str:
        """The score, in words."""
        network = self.network
        lines = []
        for how in ("killed", "stopped", STEPS_DOWN):
            times = [fault for fault in self.faults if fault.how == how]
            if times:
                leads = [fault.lead_s for fault in times]
                answers = [fault.answer_s for fault in times]
                lines.append(
                    f"  {how:10} {len(times):3} times; the next one led after "
                    f"{statistics.median(leads):.3f} s (median), {max(leads):.3f} s (worst), "
                    f"and had acknowledged a change after {statistics.median(answers):.3f} s, "
                    f"{max(answers):.3f} s"
                )
        where = Counter(fault.where for fault in self.faults if fault.where)
        lines.append(f"  struck {dict(where)}, lease {self.lease_s:g} s, epoch {network.lived[-1]}")
        lines.append(
            f"  {len(network.accepted):,} jobs acknowledged, {len(network.final):,} tasks ended, "
            f"{len(network.starts):,} runs started, none twice, {len(network.compared):,} ends compared, "
            f"{len(network.events):,} events without a gap"
        )
        lines.append(
            f"  of leaders that were followed by others: {network.refused_writes} writes refused by the "
            f"store, {network.late_orders} orders refused by workers, {network.refused_calls} calls refused; "
            f"{self.lost_by_itself} lost the lead by themselves"
        )
        return "\n".join(lines)
