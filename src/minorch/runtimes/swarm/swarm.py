"""One Swarm as a fleet: its managers, the look that all share, and its nodes with their runtimes."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from minorch.contracts import Member, Watch
from minorch.errors import NotFound, UsageError
from minorch.runtimes.docker.policy import DockerPolicy
from minorch.runtimes.swarm.fleet import MembersWatch, Roll
from minorch.runtimes.swarm.managers import Managers
from minorch.runtimes.swarm.polling import Poll
from minorch.runtimes.swarm.runtime import Link, SwarmRuntime
from minorch.runtimes.swarm.services import Services
from minorch.runtimes.swarm.snapshot import SwarmNode

__all__ = ["Swarm"]

_LEAST_AT_ONCE: Final = 8
"""Starts on one node. On nodes of two cores 32 were some 6 % slower, and 4 no faster. On larger ones twice
their cores, as Docker runtimes have: that was not measured."""


class Swarm:
    """A Docker Swarm, each node of which is a node of minorch's. It connects at the first call.

    minorch's scheduler chooses the node of every task; Swarm is told which, and neither moves nor restarts
    anything.  It is a fleet: ``Cluster(engine=Swarm([...]))``.

    Args:
        managers: where the engines of its managers are, such as ``tcp://m1:2376``; any of them will do,
            and the others are asked when it does not answer. Empty: ``DOCKER_HOST``, or the usual socket.
        policy: what tasks may do to the nodes; None: nothing that reaches out of their containers.
        certificates: a directory with ``ca.pem``, ``cert.pem`` and ``key.pem``, for engines over TLS.
        timeout_s: how long one call to a manager may take, before another one is asked.
        poll_s: how often the state of all tasks and nodes is asked for; more often after a change, and while
            something starts.
        away_s: a node that was down is given back to its cluster no earlier than so long after that: longer
            than the cluster's lease, so that it has lost the node.

    Raises:
        UsageError: an address is none, or a number is not positive.

    >>> Swarm(["tcp://10.0.0.7:2376", "tcp://10.0.0.8:2376"])
    Swarm('tcp://10.0.0.7:2376', 'tcp://10.0.0.8:2376')
    """

    def __init__(
        self,
        managers: Sequence[str] = (),
        *,
        policy: DockerPolicy | None = None,
        certificates: str | Path | None = None,
        timeout_s: float = 5.0,
        poll_s: float = 0.5,
        away_s: float = 20.0,
    ) -> None:
        if not timeout_s > 0 or not poll_s > 0 or away_s < 0:
            raise UsageError("timeout_s and poll_s are positive, and away_s is not negative")
        asked = Managers(managers, timeout_s=timeout_s, certificates=certificates)
        self.link = Link(asked, Poll(asked, every_s=poll_s), Services(asked), policy or DockerPolicy())
        """What the runtimes of its nodes share; not for programs."""
        self._roll = Roll(self._make_runtime)
        self._away_s = away_s
        self._lock = threading.Lock()
        self._told: dict[str, Member] = {}
        self._watches: weakref.WeakSet[MembersWatch] = weakref.WeakSet()

    def __repr__(self) -> str:
        return f"Swarm({', '.join(map(repr, self.link.managers.urls))})"

    @property
    def name(self) -> str:
        """``swarm``."""
        return "swarm"

    @property
    def engine_lost_s(self) -> float | None:
        """None: managers say which node is lost; while none answers nothing could be placed elsewhere."""
        return None

    def members(self) -> Sequence[Member]:
        """Return the nodes that there are, in the order in which they joined the Swarm.

        Raises:
            EngineUnavailable: no manager answers, or none of the addresses is a manager's; the message says
                of each why.
        """
        self.link.managers.check_addresses()
        snapshot = self.link.poll.fresh()
        found = self._roll.members(snapshot, self._away_s)
        joined = sorted(found, key=lambda node_id: (snapshot.nodes[node_id].created_at, node_id))
        members = {node_id: replace(found[node_id], gone=False) for node_id in joined}
        with self._lock:
            self._told = members
        return tuple(members.values())

    def watch(self, notify: Callable[[Member], None]) -> Watch:
        """Tell *notify* of nodes that joined, left, went down, returned, or are drained or paused."""
        with self._lock:
            watch = MembersWatch(self.link.poll, self._roll, dict(self._told), self._away_s, notify)
            self._watches.add(watch)
        return watch

    def _make_runtime(self, node: SwarmNode) -> SwarmRuntime:
        return SwarmRuntime(self.link, node.id, concurrency=max(_LEAST_AT_ONCE, round(2 * node.capacity.cpu)))

    def runtime(self, node: str) -> SwarmRuntime:
        """Return the runtime of one node, by its id or its host's name.

        Raises:
            NotFound: there is no such node, or there are several.
            EngineUnavailable: no manager answers.
        """
        nodes = self.link.poll.fresh().nodes
        found = [one for one in nodes.values() if node in (one.id, one.hostname)]
        if len(found) != 1:
            listed = ", ".join(f"{one.hostname} ({one.id})" for one in nodes.values())
            raise NotFound(f'{len(found) or "no"} nodes of the Swarm are "{node}": there are {listed}')
        return self._make_runtime(found[0])

    def close(self) -> None:
        """Let go of connections and threads; services go on. Closing twice is fine."""
        with self._lock:
            watches = list(self._watches)
        for watch in watches:
            watch.close()
        self.link.poll.close()
        self.link.managers.close()
