"""A real Swarm of four hosts, a cluster on it, and a ledger that its containers write.

The heartbeat is Docker's usual one.  With a short one a new leader may declare nodes down that are well, and
Swarm then ends all that runs on them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import docker

import minorch as mo
from minorch.runtimes.docker import DockerPolicy
from minorch.runtimes.swarm import Swarm
from tests.hosts.hosts import Hosts
from tests.hosts.stage import PATIENCE_S, Stage as Shared

__all__ = ["MANAGERS", "Stage", "keep_gpus_free", "make_swarm", "wait_ready"]

MANAGERS = 3
_HEARTBEAT_S = 5


def keep_gpus_free(task: mo.TaskView, node: mo.NodeView) -> float:
    """Fill nodes without a GPU first; among those, the one with the fewest tasks."""
    wasted = node.capacity.custom.get("gpu", 0) if "gpu" not in task.resources.custom else 0
    return 100 * wasted + node.tasks


def make_swarm(hosts: Hosts, managers: int = MANAGERS) -> None:
    """Join all hosts to a Swarm; the first ones are its managers."""
    first, *rest = hosts
    with contextlib.closing(first.client()) as client:
        client.swarm.init(
            advertise_addr=first.address,
            listen_addr=f"{first.address}:2377",
            dispatcher_heartbeat_period=_HEARTBEAT_S * 10**9,
        )
        tokens = client.swarm.attrs["JoinTokens"]
        for host in rest:
            with contextlib.closing(host.client()) as joining:
                joining.swarm.join(
                    remote_addrs=[f"{first.address}:2377"],
                    join_token=tokens["Manager" if host.index < managers else "Worker"],
                    advertise_addr=host.address,
                    listen_addr=f"{host.address}:2377",
                )


def wait_ready(hosts: Hosts, patience_s: float = PATIENCE_S) -> None:
    """Return when the Swarm has a leader and every node is ready."""
    deadline = time.monotonic() + patience_s
    while True:
        with (
            contextlib.suppress(OSError, docker.errors.DockerException),
            contextlib.closing(hosts[0].client(timeout_s=3)) as client,
        ):
            if [node["Status"]["State"] for node in client.api.nodes()] == ["ready"] * len(hosts):
                return
        if time.monotonic() > deadline:
            raise TimeoutError("the Swarm has nodes that are not ready")
        time.sleep(0.2)


class Stage(Shared):
    """A cluster on the Swarm of some hosts; a context that leaves nothing behind but the Swarm."""

    networks = ()

    def __init__(self, hosts: Hosts) -> None:
        super().__init__(hosts, self._make_cluster)

    def _make_cluster(self, policy: DockerPolicy) -> mo.Cluster:
        first = self.hosts[0]
        port = 2376 if first.certificates else 2375
        self.swarm = Swarm(
            [f"tcp://{host.address}:{port}" for host in list(self.hosts)[:MANAGERS]],
            certificates=first.certificates,
            policy=policy,
            timeout_s=2,
        )
        self.stack.callback(self.swarm.close)
        return mo.Cluster(engine=self.swarm, scheduler=keep_gpus_free)

    def placed(self, *jobs: mo.JobHandle) -> dict[str, str]:
        """Where Swarm has the latest run of each task, as ``docker service ps`` tells it."""
        with self.api() as api:
            hostnames = {node["ID"]: node["Description"]["Hostname"] for node in api.nodes()}
            placed = {}
            for task in self.infos(*jobs):
                attempt = task.attempts[-1]
                name = f"minorch-{task.id}-{attempt.number}-{attempt.run}"
                (record,) = api.tasks(filters={"service": name})
                placed[task.name] = hostnames[record["NodeID"]]
        return placed

    @contextlib.contextmanager
    def api(self) -> Iterator[Any]:
        """A low-level client of a manager that answers, behind the library's back."""
        for host in list(self.hosts)[:MANAGERS]:
            if not host.is_on:
                continue
            with contextlib.closing(host.client(timeout_s=3)) as client:
                try:
                    client.api.nodes()
                except (OSError, docker.errors.DockerException):
                    continue
                yield client.api
                return
        raise OSError("no manager answers")

    def leader(self) -> int:
        """The index of the host that leads."""
        with self.api() as api:
            (leader,) = [node for node in api.nodes() if (node.get("ManagerStatus") or {}).get("Leader")]
        return next(host.index for host in self.hosts if host.name == leader["Description"]["Hostname"])

    def availability(self, host: int, word: str) -> None:
        """Do as ``docker node update --availability`` does."""
        with self.api() as api:
            (node,) = api.nodes(filters={"name": self.hosts[host].name})
            api.update_node(node["ID"], node["Version"]["Index"], {**node["Spec"], "Availability": word})
