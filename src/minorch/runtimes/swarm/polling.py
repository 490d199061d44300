"""One look at a Swarm at a time, shared by all who want to know: a Swarm has no events for tasks.

While somebody watches, there is a look every so often, and more often for a while after one that shows a
change, for changes come in company.  Whoever needs to know now waits for a look that
began after they asked, and shares it with all others who ask meanwhile: so a thousand questions are a few
calls.  A look never takes more than a part of the time, however large the Swarm is.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from minorch.errors import EngineUnavailable, RuntimeFault
from minorch.ids import RunKey
from minorch.runtimes.docker.engine import Engine, filters
from minorch.runtimes.docker.labels import ANY_RUN
from minorch.runtimes.swarm.managers import Behind, Managers, node_versions
from minorch.runtimes.swarm.snapshot import Reader, Snapshot

__all__ = ["Closed", "Poll"]

logger: Final = logging.getLogger("minorch.runtimes.swarm")
_SHARE: Final = 4.0
"""After a look that took a second there is none for at least so many, unless somebody waits for it."""
_LEAST_GAP_S: Final = 0.05
_EAGER_S: Final = 0.1
_LIVELY_S: Final = 1.0
"""For so long after a change the next one is looked for as eagerly as the end of a start."""
_MOST_BEGINNINGS: Final = 20_000
_LONGEST_WAIT_S: Final = 60.0


class Closed(RuntimeFault):
    """Nobody looks any more."""

    def __init__(self) -> None:
        super().__init__("this Swarm was closed")


class Poll:
    """Looks at a Swarm in a thread of its own, as long as somebody wants to know. Any thread may use it.

    Args:
        managers: who is asked.
        every_s: how often there is a look while somebody watches.
    """

    def __init__(self, managers: Managers, *, every_s: float) -> None:
        self._managers = managers
        self._every_s = every_s
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        """For those who want to know: there was a look."""
        self._wanted = threading.Condition(lock)
        """For the thread that looks: somebody wants to know. If all were woken by that, they would wake each
        other without end."""
        self._latest: Snapshot | None = None
        self._error: RuntimeFault | None = None
        self._error_at = 0.0
        self._took_s = 0.0
        """How long the latest look took, whatever came of it."""
        self._round = 0
        """How many looks there were, with or without an answer."""
        self._wanted_at = 0.0
        self._watchers = 0
        self._eager = 0
        self._lively_until = 0.0
        self._thread: threading.Thread | None = None
        self._closed = False
        self._reader = Reader()
        self._beginnings: OrderedDict[RunKey, float] = OrderedDict()

    def _begin_anew_in_a_fork(self) -> None:
        if os.getpid() != self._pid:
            self._begin()

    # -- asking ----------------------------------------------------------------------------------------------

    def fresh(self) -> Snapshot:
        """Return a look that began after this was asked for.

        Raises:
            EngineUnavailable: no manager answers.
        """
        asked_at = time.monotonic()
        return self._await(lambda latest: latest.began_at >= asked_at, asked_at)

    def latest(self) -> Snapshot:
        """Return the latest look, whenever that was, or the first one."""
        return self._await(lambda latest: True, time.monotonic())

    def _await(self, enough: Callable[[Snapshot], bool], asked_at: float) -> Snapshot:
        self._begin_anew_in_a_fork()
        deadline = asked_at + _LONGEST_WAIT_S
        with self._changed:
            while True:
                if self._closed:
                    raise Closed
                if self._latest is not None and enough(self._latest):
                    return self._latest
                if self._error is not None and self._error_at >= asked_at:
                    raise EngineUnavailable(str(self._error))
                if time.monotonic() > deadline:
                    raise EngineUnavailable("the Swarm's managers do not answer in time")
                if self._wanted_at < asked_at:
                    self._wanted_at = asked_at
                    self._ensure_thread()
                    self._wanted.notify()
                self._changed.wait(1.0)

    def wait_round(self, seen: int, timeout_s: float) -> tuple[int, Snapshot | None, RuntimeFault | None]:
        """Wait until there was another look than number *seen*; return its number, and what came of it.

        Raises:
            Closed: there will be none.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while self._round == seen and not self._closed:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            if self._closed:
                raise Closed
            return self._round, self._latest, self._error

    @contextmanager
    def eagerly(self) -> Iterator[None]:
        """Look more often, while something is expected."""
        with self._changed:
            self._eager += 1
            self._ensure_thread()
            self._wanted.notify()
        try:
            yield
        finally:
            with self._changed:
                self._eager -= 1

    def first_seen_running(self, key: RunKey) -> float | None:
        """When a run began, if a look found it running."""
        with self._changed:
            return self._beginnings.get(key)

    # -- watching --------------------------------------------------------------------------------------------

    def watched(self) -> None:
        """Look every so often from now on; undone by :meth:`unwatched`."""
        self._begin_anew_in_a_fork()
        with self._changed:
            self._watchers += 1
            self._ensure_thread()
            self._wanted.notify()

    def unwatched(self) -> None:
        """One that watched does no longer."""
        with self._changed:
            self._watchers -= 1

    def close(self) -> None:
        """End the thread, and wake all who wait. Closing twice is fine."""
        self._begin_anew_in_a_fork()
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify_all()
            self._wanted.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=2.0)

    # -- looking ---------------------------------------------------------------------------------------------

    def _ensure_thread(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._loop, name="minorch-swarm-poll", daemon=True)
            self._thread.start()

    def _loop(self) -> None:
        while self._await_turn():
            began_at = time.monotonic()
            snapshot: Snapshot | None = None
            error: RuntimeFault | None = None
            try:
                snapshot = self._managers.ask(self._look, at_once=True)
            except RuntimeFault as problem:
                error = problem
            except Exception as problem:
                logger.exception("looking at the Swarm failed")
                error = EngineUnavailable(f"what the Swarm answers cannot be read: {problem!r}"[:500])
            self._took_s = time.monotonic() - began_at
            self._publish(snapshot, error, began_at)
            self._managers.cross_check()

    def _look(self, engine: Engine) -> Snapshot:
        """Ask one manager. One that seems to be behind is asked twice: its first answer may have been old."""
        try:
            return self._look_once(engine)
        except Behind:
            return self._look_once(engine)

    def _look_once(self, engine: Engine) -> Snapshot:
        began_at = time.monotonic()
        nodes = engine.records("/nodes", {})
        self._managers.check(engine, node_versions(nodes))
        tasks = engine.records("/tasks", {"filters": filters(label=list(ANY_RUN))})
        return self._reader.read(nodes, tasks, began_at=began_at, manager=engine.url)

    def _await_turn(self) -> bool:
        """Wait until there is to be a look; False: never again."""
        with self._changed:
            ended_at, took_s = time.monotonic(), self._took_s
            while not self._closed:
                now = time.monotonic()
                latest_at = self._latest.began_at if self._latest is not None else 0.0
                done_at = max(latest_at, self._error_at)
                if self._wanted_at > done_at:
                    due_at: float | None = ended_at + max(_LEAST_GAP_S, took_s)
                elif self._eager or (self._watchers and ended_at < self._lively_until):
                    due_at = ended_at + max(min(_EAGER_S, self._every_s), took_s * _SHARE)
                elif self._watchers:
                    due_at = ended_at + max(self._every_s, took_s * _SHARE)
                else:
                    due_at = None
                if due_at is not None and due_at <= now:
                    return True
                self._wanted.wait(None if due_at is None else due_at - now)
            return False

    def _publish(self, snapshot: Snapshot | None, error: RuntimeFault | None, began_at: float) -> None:
        with self._changed:
            if snapshot is not None:
                if self._latest is not None and not snapshot.same_tasks(self._latest):
                    self._lively_until = time.monotonic() + _LIVELY_S
                self._latest, self._error = snapshot, None
                for key, task in snapshot.tasks.items():
                    if task.state == "running" and task.changed_at is not None:
                        self._beginnings[key] = task.changed_at
                        self._beginnings.move_to_end(key)
                while len(self._beginnings) > _MOST_BEGINNINGS:
                    self._beginnings.popitem(last=False)
            else:
                self._error, self._error_at = error, began_at
            self._round += 1
            self._changed.notify_all()
