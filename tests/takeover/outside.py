"""What outlives the managers: clients and workers that reach both, and the ledger of every start.

The network between is made of sockets.  A report goes to both managers, so that one that was stopped finds
plenty to answer when it wakes up; a change goes to whoever leads by the last that was heard.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from minorch.messages import Assign, decode
from tests.survival.mortal import Life, Picture
from tests.survival.outside import Outside

__all__ = ["Link", "Network"]

Said = tuple["Link", str, Any]
ROOT = Path(__file__).resolve().parents[2]


class Link:
    """A manager's process, and the line to it. What it cannot take is lost, and nobody waits for it."""

    def __init__(self, url: str, lease_s: float, heard: queue.SimpleQueue[Said]) -> None:
        ours, theirs = socket.socketpair()
        words = [sys.executable, "-m", "tests.takeover.contender", str(theirs.fileno()), url, str(lease_s)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
        self.process = subprocess.Popen(words, pass_fds=[theirs.fileno()], cwd=ROOT, env=env)
        theirs.close()
        self.waiting = False
        """Whether it waits for the lead, as it said last."""
        self.gone = threading.Event()
        self._heard = heard
        self._talk = Connection(ours.detach())
        self._outbox: queue.Queue[tuple[str, object] | None] = queue.Queue(maxsize=500)
        for work in (self._listen, self._speak):
            threading.Thread(target=work, daemon=True).start()

    def __repr__(self) -> str:
        return f"manager {self.process.pid}"

    def tell(self, kind: str, what: object) -> None:
        with contextlib.suppress(queue.Full):
            self._outbox.put_nowait((kind, what))

    def _speak(self) -> None:
        try:
            while (words := self._outbox.get()) is not None:
                self._talk.send(words)
        except OSError:
            pass

    def _listen(self) -> None:
        try:
            while True:
                self._heard.put((self, *self._talk.recv()))
        except (EOFError, OSError):
            self._heard.put((self, "gone", None))

    def bury(self) -> int:
        """Wait until it is gone; returns its exit code."""
        code = self.process.wait(30)
        self._outbox.put(None)
        self._talk.close()
        return code


class _Talk:
    """What an :class:`Outside` takes for its line to the one manager."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def send(self, words: tuple[str, object]) -> None:
        kind, what = words
        links = self._network.links if kind == "report" else [self._network.leader]
        for link in links:
            if link is not None:
                link.tell(kind, what)


class _TwoLives:
    def __init__(self, network: Network) -> None:
        self.talk = _Talk(network)


class Network(Outside):
    """Three machines, some clients, and lines to all managers."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.heard: queue.SimpleQueue[Said] = queue.SimpleQueue()
        self.links: list[Link] = []
        self.leader: Link | None = None
        """Who said hello last, with the highest epoch."""
        self.led_at = 0.0
        self.first_answer_at: float | None = None
        """When the leader first acknowledged a change."""
        self.struck_at: float | None = None
        self.struck_where = ""
        self.lost: dict[int, int] = {}
        """How often each process told that it had lost the lead."""
        self.refused_writes = 0
        self.late_orders = 0
        """Orders of a manager that was followed by another, which their workers refused."""
        self.late_hellos = 0
        self.refused_calls = 0
        self.life = cast("Life", _TwoLives(self))
        self._asked_at = self._looked_at = 0.0

    def go_on(self, until: float) -> bool:
        """Take part until a moment."""
        while (left := until - time.time()) > 0:
            if self.leader is not None:
                self._step()
                if time.monotonic() > self._asked_at + 1:  # what a manager refused, or took to its grave
                    self._asked_at = time.monotonic()
                    self.ask_again()
                if time.monotonic() > self._looked_at + 0.3:  # before what is over is forgotten
                    self._looked_at = time.monotonic()
                    self.leader.tell("look", len(self.events))
            due = [there.deadline for there in self.machines.values()]
            due += [self._later[0][0]] if self._later else []
            wait_s = min(left, 0.02, max(0.0, min(due, default=until) - time.time()))
            try:
                self._hear(*self.heard.get(timeout=max(0.0005, wait_s)))
                while True:
                    self._hear(*self.heard.get_nowait())
            except queue.Empty:
                pass
        return True

    def _hear(self, link: Link, kind: str, what: Any) -> None:
        match kind:
            case "hello":
                self._greet(link, *what)
            case "picture":
                if link is self.leader and what.epoch == self.lived[-1]:
                    self._note(what.events)
                    self.compare(what.jobs)
            case "waiting":
                link.waiting = True
            case "lost":
                self.lost[link.process.pid] = self.lost.get(link.process.pid, 0) + 1
                assert what[1], f"{link} wrote although another manager led"
                self.refused_writes += 1
                assert "another manager leads" in what[0], what[0]
            case "struck":
                self.struck_where, self.struck_at = what
            case "gone":
                link.gone.set()
            case "assign":
                message = decode(what)
                assert isinstance(message, Assign)
                worker = self.machines[message.worker].worker
                self.late_orders += message.epoch < worker._epoch
                before = worker._epoch
                worker.receive(message, time.time())
                assert worker._epoch >= before
            case "refused" if not what[2].startswith("NotFound"):
                self.refused_calls += 1
            case _:
                if kind == "answer" and link is self.leader and self.first_answer_at is None:
                    self.first_answer_at = time.monotonic()
                self._take(kind, what)

    def _greet(self, link: Link, picture: Picture, at: float) -> None:
        link.waiting = False
        if self.lived and picture.epoch < self.lived[-1]:
            self.late_hellos += 1  # it was stopped before it could say so, and is not the leader any more
            return
        self.leader, self.led_at, self.first_answer_at = link, at, None
        self._meet(picture)
