"""The way to one Swarm: its managers, the look that all share, and its nodes' runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minorch.errors import NotFound, UsageError
from minorch.runtimes.docker.policy import DockerPolicy
from minorch.runtimes.swarm.managers import Managers
from minorch.runtimes.swarm.polling import Poll
from minorch.runtimes.swarm.runtime import SwarmRuntime
from minorch.runtimes.swarm.services import Services

__all__ = ["Swarm"]


class Swarm:
    """A Docker Swarm. It connects at the first call.

    Args:
        managers: where the engines of its managers are, such as ``tcp://m1:2376``; any of them will do,
            and the others are asked when it does not answer. Empty: ``DOCKER_HOST``, or the usual socket.
        policy: what tasks may do to the nodes; None: nothing that reaches out of their containers.
        certificates: a directory with ``ca.pem``, ``cert.pem`` and ``key.pem``, for engines over TLS.
        timeout_s: how long one call to a manager may take, before another one is asked.
        poll_s: how often the state of all tasks and nodes is asked for.

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
    ) -> None:
        if not timeout_s > 0 or not poll_s > 0:
            raise UsageError("timeout_s and poll_s are positive")
        self.policy = policy or DockerPolicy()
        self.managers = Managers(managers, timeout_s=timeout_s, connections=16, certificates=certificates)
        self.poll = Poll(self.managers, every_s=poll_s)
        self.services = Services(self.managers)

    def __repr__(self) -> str:
        return f"Swarm({', '.join(map(repr, self.managers.urls))})"

    def runtime(self, node: str) -> SwarmRuntime:
        """Return the runtime of one node, by its id or its host's name.

        Raises:
            NotFound: there is no such node, or there are several.
            EngineUnavailable: no manager answers.
        """
        nodes = self.poll.fresh().nodes
        found = [one.id for one in nodes.values() if node in (one.id, one.hostname)]
        if len(found) != 1:
            listed = ", ".join(f"{one.hostname} ({one.id})" for one in nodes.values())
            raise NotFound(f'{len(found) or "no"} nodes of the Swarm are "{node}": there are {listed}')
        return SwarmRuntime(self, found[0])

    def close(self) -> None:
        """Let go of connections and threads; services go on. Closing twice is fine."""
        self.poll.close()
        self.managers.close()
