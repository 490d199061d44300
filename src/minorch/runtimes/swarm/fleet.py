"""Telling a cluster of a Swarm's nodes: which there are, what becomes of them, and when one counts as lost.

Whether a node is lost is said by the Swarm's own managers, of which most must agree.  So it is told at once:
of a node that is down it is told that it is gone.  Swarm ends all that ran on it when it returns, whatever is
asked of it, so such a node is given back only when its cluster has lost it as well: else a worker would find
its tasks ended, and their owners would pay for it.  Where no manager answers, nothing is known of any node,
and there is nobody who could start anything elsewhere; then nothing is told.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from minorch.contracts import Availability, Member
from minorch.runtimes.swarm.listening import Listener
from minorch.runtimes.swarm.members import Names, as_node
from minorch.runtimes.swarm.polling import Poll
from minorch.runtimes.swarm.runtime import SwarmRuntime
from minorch.runtimes.swarm.snapshot import Snapshot, SwarmNode

__all__ = ["MembersWatch", "Roll"]

logger: Final = logging.getLogger("minorch.runtimes.swarm")
_AVAILABILITY: Final[dict[str, Availability]] = {"active": "active", "pause": "paused", "drain": "drain"}


class Roll:
    """The members of a Swarm, by node id; one runtime for each, as long as it is there.

    Args:
        make: makes the runtime of a node.
        clock: seconds that never go back.
    """

    def __init__(
        self, make: Callable[[SwarmNode], SwarmRuntime], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._clock = clock
        self._lock = threading.Lock()
        self._names = Names()
        self._runtimes: dict[str, SwarmRuntime] = {}
        self._down_since: dict[str, float] = {}

    def members(self, snapshot: Snapshot, away_s: float) -> dict[str, Member]:
        """Return each node of a look as a member, by its id.

        Args:
            snapshot: the look.
            away_s: a node that was down is gone for at least so long.
        """
        with self._lock:
            for node_id in self._runtimes.keys() - snapshot.nodes.keys():
                del self._runtimes[node_id]
                self._down_since.pop(node_id, None)
            names = self._names.name(snapshot.nodes)
            return {node_id: self._member(snapshot, node_id, name, away_s) for node_id, name in names.items()}

    def _member(self, snapshot: Snapshot, node_id: str, name: str, away_s: float) -> Member:
        node = snapshot.nodes[node_id]
        runtime = self._runtimes.get(node_id)
        if runtime is None:
            runtime = self._runtimes[node_id] = self._make(node)
        now = self._clock()
        if not node.answers:
            self._down_since.setdefault(node_id, now)
        elif node_id in self._down_since and now - self._down_since[node_id] >= away_s:
            del self._down_since[node_id]
        return Member(
            node=as_node(node, name),
            runtime=runtime,
            availability=_AVAILABILITY.get(node.availability, "paused"),
            gone=node_id in self._down_since,
        )


class MembersWatch(Listener[Member]):
    """A running subscription to what becomes of a Swarm's nodes.

    Args:
        poll: who looks.
        roll: what members they are.
        told: what was told already, by node id.
        away_s: as for :meth:`Roll.members`.
        notify: told of each change.
    """

    def __init__(
        self,
        poll: Poll,
        roll: Roll,
        told: dict[str, Member],
        away_s: float,
        notify: Callable[[Member], None],
    ) -> None:
        self._roll = roll
        self._told = told
        self._away_s = away_s
        super().__init__(poll, notify, "minorch-swarm-members")

    def follow(self) -> None:
        """Compare the nodes of each look with those of the one before."""
        for snapshot, error in self.looks():
            if error is not None:
                continue
            try:
                self._compare(snapshot)
            except Exception:
                logger.exception("following the Swarm's nodes failed; trying again")

    def _compare(self, snapshot: Snapshot) -> None:
        now = self._roll.members(snapshot, self._away_s)
        for node_id in self._told.keys() - now.keys():
            left = self._told.pop(node_id)
            if not left.gone:
                self.tell(Member(node=left.node, runtime=left.runtime, gone=True))
        for node_id, member in now.items():
            before = self._told.get(node_id)
            self._told[node_id] = member
            if before != member and not (before is not None and before.gone and member.gone):
                self.tell(member)
