"""A manager on a SQLite file in a process of its own, to be killed.

:class:`Mortals` is a small server that has imported everything and forks one manager after the other, so that
a cycle costs milliseconds.  What a manager says and is told goes over a socket pair
whose other end the test holds.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from minorch.drivers.manager_driver import ManagerDriver
from minorch.errors import MinorchError
from minorch.manager import Manager, ManagerConfig
from minorch.messages import Assign, Report, decode, encode
from minorch.model import Job
from minorch.scheduling import Scheduler
from minorch.state.events import Event
from minorch.state.pictures import JobInfo
from minorch.stores.sqlite import SqliteStore

__all__ = ["CONFIG", "Life", "Mortals", "Order", "Picture"]

CONFIG = ManagerConfig(resend_s=0.1, full_every_s=1.0, keep_runs=20, keep_tasks=250, max_events=4000)
_LARGEST = 65_536
_SERVER = """
import socket, sys
from tests.survival.mortal import serve  # by its name, so that what is pickled here is known there
serve(socket.socket(fileno=int(sys.argv[1])))
"""


class Order(NamedTuple):
    """How one life of a manager begins."""

    path: str
    seen: int
    """The number of the last event that the outside knows."""
    checkpoint_pages: int
    """At so many pages the log is moved into the file; the fewer, the more often a kill hits that."""


class Picture(NamedTuple):
    """All that a manager knows, as it tells it."""

    cluster_id: str
    epoch: int
    jobs: tuple[JobInfo, ...]
    events: tuple[Event, ...]
    """Those after the last one seen, and some from before."""


class Life:
    """One manager's process, as the outside sees it."""

    def __init__(self, mortals: Mortals, pid: int, talk: Connection) -> None:
        self._mortals = mortals
        self.pid = pid
        self.talk = talk

    def kill(self) -> None:
        """Kill it without any farewell. It is not reaped before :meth:`bury`, so its id is nobody else's."""
        os.kill(self.pid, signal.SIGKILL)

    def bury(self) -> int:
        """Wait until it is gone; returns its exit status, as ``waitpid`` has it."""
        self.talk.close()
        status = self._mortals.ask(("bury", self.pid))
        assert isinstance(status, int)
        return status


class Mortals:
    """The server that forks managers, as the outside sees it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [sys.executable, "-c", _SERVER, str(theirs.fileno())]
        self._process = subprocess.Popen(
            words,
            pass_fds=[theirs.fileno()],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self._door = ours

    def ask(self, order: tuple[str, object], handed: Sequence[int] = ()) -> object:
        socket.send_fds(self._door, [pickle.dumps(order)], handed)
        answer = self._door.recv(_LARGEST)
        assert answer, "the server of managers died"
        return pickle.loads(answer)

    def begin(self, order: Order) -> Life:
        """Start a manager."""
        ours, theirs = socket.socketpair()
        pid = self.ask(("begin", order), [theirs.fileno()])
        theirs.close()
        assert isinstance(pid, int)
        return Life(self, pid, Connection(ours.detach()))

    def close(self) -> None:
        """End the server; managers whose ends are closed end by themselves."""
        self._door.close()
        self._process.wait(30)


# -- in the server's process -----------------------------------------------------------------------------


def serve(door: socket.socket) -> None:
    """Fork managers and bury them, until nobody is there to ask for it."""
    while True:
        data, handed, _, _ = socket.recv_fds(door, _LARGEST, 1)
        if not data:
            return
        kind, order = pickle.loads(data)
        if kind == "bury":
            door.send(pickle.dumps(os.waitpid(order, 0)[1]))
            continue
        pid = os.fork()
        if pid == 0:
            door.close()
            Mortal(order, Connection(handed[0])).live()
            os._exit(0)
        os.close(handed[0])
        door.send(pickle.dumps(pid))


# -- in a manager's process ------------------------------------------------------------------------------


class Mortal:
    """The manager, and what it says to the outside."""

    def __init__(self, order: Order, talk: Connection) -> None:
        self._talk = talk
        self._order = order
        self._door = threading.Lock()
        self._greeted = threading.Event()
        """Set when it has said what it knows; what it tells from then on goes on from there."""
        self._store = SqliteStore(order.path)
        assert self._store._db is not None
        self._store._db.execute(f"PRAGMA wal_autocheckpoint = {order.checkpoint_pages}")
        self._driver = ManagerDriver(
            Scheduler(), self._store, send=self._pass_on, on_events=self._tell, config=CONFIG, seed=1
        )

    def live(self) -> None:
        """Do what the outside asks for, until it is asked to end or nobody is there any more."""
        self._driver.start()
        with contextlib.suppress(OSError, EOFError), ThreadPoolExecutor(6) as hands:
            self._say(("hello", self._driver.ask(lambda manager, now: self._picture(manager))))
            self._greeted.set()
            while True:
                kind, what = self._talk.recv()
                if kind == "report":
                    report = decode(what)
                    assert isinstance(report, Report)
                    self._driver.receive(report)
                elif kind == "end":
                    break
                else:
                    hands.submit(self._answer, kind, what)
            self._driver.close()
            self._store.close()
            self._say(("bye", None))

    def _picture(self, manager: Manager) -> Picture:
        events = manager.events(max(0, self._order.seen - 50))
        return Picture(manager.cluster_id, manager.epoch, manager.jobs(), events)

    def _say(self, words: tuple[str, object]) -> None:
        with self._door:
            self._talk.send(words)

    def _pass_on(self, message: Assign) -> None:
        self._say(("assign", encode(message)))

    def _tell(self, events: Sequence[Event]) -> None:
        self._greeted.wait()
        self._say(("events", tuple(events)))

    def _answer(self, kind: str, what: Any) -> None:
        """Do what somebody asked for, and say so once it is durable."""
        with contextlib.suppress(OSError):
            try:
                self._say(("answer", (kind, what[0], self._driver.call(self._change(kind, what)))))
            except MinorchError as error:
                self._say(("refused", (kind, what[0], f"{type(error).__name__}: {error}")))

    def _change(self, kind: str, what: Any) -> Callable[[Manager, float], str]:
        if kind == "submit":
            job: Job = what[1]
            return lambda manager, now: manager.job_ids().get(job.name) or manager.submit(job, now)
        assert kind == "stop"

        def stop(manager: Manager, now: float) -> str:
            manager.stop(what[1], now)
            return str(what[1])

        return stop
