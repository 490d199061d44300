"""A manager in a process of its own that leads when it can: what is killed and stopped.

``python -m tests.takeover.contender FD URL LEASE_S``: what it says and is told goes over that socket.  Its
main loop is what an application writes; the rest tells the outside what happens, and strikes where it is
told.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from minorch.contracts import Change
from minorch.drivers.manager_driver import ManagerDriver
from minorch.errors import MinorchError, StoreError, StoreFenced
from minorch.manager import Manager, ManagerConfig
from minorch.messages import Assign, Report, decode, encode
from minorch.scheduling import Scheduler
from minorch.state.events import Event
from minorch.stores.postgresql import PostgreSQLStore
from minorch.stores.postgresql.batch import Batch
from tests.survival.mortal import Picture

__all__ = ["PLACES", "Contender"]

CONFIG = ManagerConfig(resend_s=0.1, full_every_s=1.0, keep_runs=20, keep_tasks=1000, max_events=4000)
PLACES = ("before a commit", "after a commit", "before a message")
"""Where it can be told to strike itself."""


class StrikingStore(PostgreSQLStore):
    """One whose process may end, or stand still, right beside a commit."""

    strike: Callable[[str], None]

    def commit(self, changes: Sequence[Change]) -> None:
        if changes and self.leads:
            self.strike(PLACES[0])
        super().commit(changes)
        if changes:
            self.strike(PLACES[1])

    def write_unaware(self) -> bool:
        """Write as one that does not know yet that another leads; whether that was refused."""
        assert self._writer is not None
        try:
            self._writer.commit(Batch([Change("stale", str(os.getpid()), b"must not be")], self._address))
        except StoreFenced:
            return True
        return False


class Contender:
    """The manager, and what it says to the outside."""

    def __init__(self, talk: Connection, url: str, lease_s: float) -> None:
        self._talk = talk
        self._url = url
        self._lease_s = lease_s
        self._said: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self._driver: ManagerDriver | None = None
        self._greeted = threading.Event()
        self._orders: dict[str, signal.Signals] = {}
        self._steps_down = False
        self._ends = False
        self._rejoin = threading.Event()
        """Set when one that stepped down may queue again: it would be quick enough to follow itself."""
        self._door = threading.Lock()

    def live(self) -> None:
        """Lead, wait and lead again, until the outside says that it is enough."""
        threading.Thread(target=self._listen, daemon=True).start()
        while not self._ends:
            self._store = StrikingStore(self._url, standby=True, lease_s=self._lease_s)
            self._store.strike = self._strike
            self._say("waiting", os.getpid())
            try:
                while self._store.lead():
                    try:
                        self._rule()
                    except StoreFenced as error:  # stopped between the lead and its first commit
                        self._say("lost", (str(error), self._store.write_unaware()))
                    self._say("waiting", os.getpid())
            finally:
                self._store.close()
        self._say("bye", None)

    def _rule(self) -> None:
        """One leadership."""
        self._greeted.clear()
        driver = ManagerDriver(
            Scheduler(), self._store, send=self._pass_on, on_events=self._tell, config=CONFIG, seed=1
        )
        driver.start()
        led_at = time.monotonic()
        # Said while the manager takes no turn, so that it stands before all that comes of the next one.
        driver.ask(lambda manager, now: self._say("hello", (_picture(manager, 0), led_at)))
        self._driver = driver
        self._greeted.set()
        driver.wait_closed()
        self._driver = None
        if driver.lost is not None:
            self._say("lost", (str(driver.lost), self._store.write_unaware()))
        else:  # it was closed, and the next one may lead
            assert self._steps_down or self._ends, driver._bug
            self._steps_down = False
            self._strike_time("steps down")
            self._store.close()
            self._rejoin.wait()
            self._rejoin.clear()

    # -- what it is told ----------------------------------------------------------------------

    def _listen(self) -> None:
        with ThreadPoolExecutor(6) as hands:
            while True:
                try:
                    kind, what = self._talk.recv()
                except (EOFError, OSError):
                    os._exit(0)
                driver = self._driver
                if kind == "report":
                    report = decode(what)
                    assert isinstance(report, Report)
                    if driver is not None:
                        driver.receive(report)
                elif kind == "rejoin":
                    self._rejoin.set()
                elif kind == "look" and driver is not None:
                    driver.ask(lambda manager, now: self._say("picture", _picture(manager, what)))  # noqa: B023
                elif kind == "look":
                    pass
                elif kind == "strike":
                    self._orders.update([what])
                elif kind in ("step down", "end"):
                    self._ends = kind == "end"
                    if self._ends:
                        self._rejoin.set()
                    self._steps_down = True
                    if driver is not None:
                        hands.submit(driver.close)
                    else:
                        hands.submit(self._store.close)
                else:
                    hands.submit(self._answer, driver, kind, what)

    def _strike(self, place: str) -> None:
        """Kill or stop this process here, if the outside wants that."""
        how = self._orders.pop(place, None)
        if how is not None:
            self._strike_time(place)
            os.kill(os.getpid(), how)

    def _strike_time(self, place: str) -> None:
        self._say("struck", (place, time.monotonic()))

    def _answer(self, driver: ManagerDriver | None, kind: str, what: Any) -> None:
        """Do what somebody asked for, and say so once it is durable."""
        try:
            if driver is None:
                raise StoreError("this one does not lead")
            self._say("answer", (kind, what[0], driver.call(_change(kind, what))))
        except MinorchError as error:
            self._say("refused", (kind, what[0], f"{type(error).__name__}: {error}"))

    # -- what it says -------------------------------------------------------------------------

    def _say(self, kind: str, what: object) -> None:
        with self._door, contextlib.suppress(OSError):
            self._talk.send((kind, what))

    def _pass_on(self, message: Assign) -> None:
        self._strike(PLACES[2])
        self._say("assign", encode(message))

    def _tell(self, events: Sequence[Event]) -> None:
        self._greeted.wait()
        self._say("events", tuple(events))


def _picture(manager: Manager, since: int) -> Picture:
    return Picture(manager.cluster_id, manager.epoch, manager.jobs(), manager.events(since))


def _change(kind: str, what: Any) -> Callable[[Manager, float], str]:
    if kind == "submit":
        return lambda manager, now: manager.job_ids().get(what[1].name) or manager.submit(what[1], now)
    assert kind == "stop"

    def stop(manager: Manager, now: float) -> str:
        manager.stop(what[1], now)
        return str(what[1])

    return stop


if __name__ == "__main__":
    Contender(Connection(int(sys.argv[1])), sys.argv[2], float(sys.argv[3])).live()
