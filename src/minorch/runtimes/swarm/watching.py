"""Telling a worker that its runs changed: what one look at the Swarm shows against the one before."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar

from minorch.contracts import Owner, RunStatus
from minorch.errors import RuntimeFault
from minorch.ids import RunKey
from minorch.runtimes.swarm.listening import Listener
from minorch.runtimes.swarm.polling import Poll
from minorch.runtimes.swarm.snapshot import Snapshot, SwarmNode, SwarmTask
from minorch.runtimes.swarm.status import ended_by_swarm, phase_of

__all__ = ["HeldBack", "SwarmWatch"]

logger: Final = logging.getLogger("minorch.runtimes.swarm")
_V = TypeVar("_V")
_MOST_KNOWN: Final = 10_000
_HELD_BACK_S: Final = 10.0
"""That Swarm itself ended a run because its node is drained is told so much later, unless somebody has asked
for its end meanwhile: so the manager, who hears of the drain too, takes it away, and nobody pays for it."""


class HeldBack:
    """Which ends of runs are not told yet. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: OrderedDict[RunKey, None] = OrderedDict()
        self._since: OrderedDict[RunKey, float] = OrderedDict()

    def asked_to_end(self, key: RunKey) -> None:
        """Somebody asked for the end of a run, so it may be told."""
        with self._lock:
            _bounded(self._asked, key, None)

    def holds(self, task: SwarmTask | None, snapshot: Snapshot) -> bool:
        """Whether it is not told yet that a run ended."""
        node = None if task is None else snapshot.nodes.get(task.node_id)
        if task is None or node is None or node.availability != "drain" or not ended_by_swarm(task):
            return False
        with self._lock:
            if task.key in self._asked:
                return False
            if task.key not in self._since:
                _bounded(self._since, task.key, time.monotonic())
            return time.monotonic() - self._since[task.key] < _HELD_BACK_S


def _bounded(table: OrderedDict[RunKey, _V], key: RunKey, value: _V) -> None:
    table[key] = value
    while len(table) > _MOST_KNOWN:
        table.popitem(last=False)


class SwarmWatch(Listener[RunStatus | None]):
    """A running subscription to one owner's runs. *notify* is never called twice at the same time.

    Args:
        poll: who looks.
        owner: whose runs.
        node_id: while this node does not answer, nothing is told.
        notify: told of each change, and None when something may have been missed.
        read: returns a task's status.
        held_back: which ends are not told yet.
    """

    def __init__(
        self,
        poll: Poll,
        owner: Owner,
        node_id: str,
        notify: Callable[[RunStatus | None], None],
        *,
        read: Callable[[SwarmTask, SwarmNode | None], RunStatus],
        held_back: HeldBack,
    ) -> None:
        self._owner = owner
        self._node_id = node_id
        self._read = read
        self._held_back = held_back
        self._seen: dict[RunKey, tuple[object, ...]] = {}
        super().__init__(poll, notify, f"minorch-swarm-watch-{owner.node}")

    def follow(self) -> None:
        """Tell of the runs that changed between two looks, while their node answers."""
        missed = True
        for snapshot, error in self.looks():
            node = snapshot.nodes.get(self._node_id)
            if error is not None or node is None or not node.answers:
                missed = True
                continue
            try:
                changed = self._changes(snapshot, tell=not missed)
                if missed:
                    missed = False
                    self.tell(None)  # only now: what changes from here on is seen
                for task in changed:
                    self.tell(None if task is None else self._read(task, node))
            except RuntimeFault as problem:
                logger.debug("a change at %s cannot be told: %s", self._owner.node, problem)
                missed = True
            except Exception:
                logger.exception("watching %s failed; trying again", self._owner.node)
                missed = True

    def _changes(self, snapshot: Snapshot, *, tell: bool) -> list[SwarmTask | None]:
        """What is new since the look before; None in it: a run is gone."""
        mine = {key: task for key, task in snapshot.tasks.items() if task.owner == self._owner}
        changed: list[SwarmTask | None] = []
        if tell and self._seen.keys() - mine.keys():
            changed.append(None)
        seen: dict[RunKey, tuple[object, ...]] = {}
        for key, task in mine.items():
            before = self._seen.get(key)
            if tell and self._held_back.holds(task, snapshot):
                seen[key] = before or ()
                continue
            seen[key] = (phase_of(task), task.container_id, task.ports)
            if tell and seen[key] != before and seen[key][0] != "created":
                changed.append(task)
        self._seen = seen
        return changed
