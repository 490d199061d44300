"""A real Swarm of four hosts, a cluster on it, and a ledger that its containers write.

The heartbeat is Docker's usual one.  With a short one a new leader may declare nodes down that are well, and
Swarm then ends all that runs on them.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import docker

import minorch as mo
from minorch.runtimes.docker import DockerPolicy
from minorch.runtimes.swarm import Swarm
from minorch.state.pictures import TaskInfo
from tests.chaos.ledger import SAY, TARGET, Ledger, Loss, Verdict, judge, machine_time
from tests.hosts.hosts import Hosts

__all__ = ["MANAGERS", "Stage", "keep_gpus_free", "make_swarm", "wait_ready"]

MANAGERS = 3
PATIENCE_S = 120.0
_HEARTBEAT_S = 5
logger = logging.getLogger("minorch.tests.swarm")


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


class Stage:
    """The hosts, and what happens on them; a context that leaves nothing behind but the Swarm."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self._stack = contextlib.ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="minorch-swarm-", dir="/tmp"))
        self._stack.callback(shutil.rmtree, self.folder)
        shared = self.folder / "ledger"
        shared.mkdir(mode=0o777)
        shared.chmod(0o777)
        self.ledger = Ledger(shared)
        self.image = hosts[0].image_id()
        first = hosts[0]
        port = 2376 if first.certificates else 2375
        self.swarm = Swarm(
            [f"tcp://{host.address}:{port}" for host in list(hosts)[:MANAGERS]],
            certificates=first.certificates,
            policy=DockerPolicy(binds=(str(self.folder),)),
            timeout_s=2,
        )
        self._stack.callback(self.swarm.close)
        self.cluster = mo.Cluster(engine=self.swarm, scheduler=keep_gpus_free)
        self._stack.callback(self.cluster.close)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # -- work ------------------------------------------------------------------------------------------------

    def task(self, name: str, script: str, **fields: Any) -> mo.Task:
        """A task that writes to the ledger: ``say tick`` in its script, and ``say end=0`` before its end."""
        options = {
            "image": self.image,
            "command": ["sh", "-c", SAY + script],
            "mounts": [mo.Mount(TARGET, kind="bind", source=str(self.ledger.folder))],
            "resources": mo.Resources(cpu=0.05),
            "stop_grace_s": 1.0,
            **fields,
        }
        return mo.Task(name, **options)

    def service(self, replicas: int = 8) -> mo.JobHandle:
        """A service whose replicas tick until they are stopped."""
        script = "trap 'say end=7; exit 7' TERM; while :; do sleep 0.2; say tick; done"
        return self.cluster.submit(
            mo.Job("service", [self.task("replica", script, replicas=replicas)], kind="service")
        )

    def batch(self, completions: int = 60, seconds: float = 0.2) -> mo.JobHandle:
        """Small tasks that nobody tries again: what fails without their fault shows."""
        script = f"sleep {seconds}; say end=0"
        return self.cluster.submit(mo.Job("batch", [self.task("part", script, completions=completions)]))

    # -- looking ---------------------------------------------------------------------------------------------

    def infos(self, *jobs: mo.JobHandle) -> list[TaskInfo]:
        """What is reported of the tasks of jobs."""
        found = self.cluster.manager.ask(lambda manager, now: [manager.job(job.id).tasks for job in jobs])
        return [task for tasks in found for task in tasks]

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

    def losses(self) -> list[Loss]:
        """When nodes were given up."""
        offset = time.time() - machine_time()
        return [
            Loss(event.node, event.at - offset)
            for event in self.cluster.events()
            if event.kind == "node_lost"
        ]

    def verdict(self, *jobs: mo.JobHandle, unseen: bool = False) -> Verdict:
        """What the containers wrote, against what is reported.

        Args:
            jobs: whose tasks.
            unseen: whether an end may have fallen together with somebody else's stop, and not been seen.
        """
        return judge(self.ledger.read(), self.infos(*jobs), self.losses(), unseen=unseen)

    def reasons(self, *jobs: mo.JobHandle) -> set[str]:
        """Why attempts ended."""
        return {str(one.reason) for task in self.infos(*jobs) for one in task.attempts if one.reason}

    def whole(self, service: mo.JobHandle, *, without: Sequence[int] = ()) -> bool:
        """Whether all replicas run, none of them on certain hosts."""
        away = {self.hosts[index].name for index in without}
        return all(
            task.state is mo.TaskState.RUNNING and task.attempts[-1].node not in away
            for task in self.infos(service)
        )

    def is_ready(self, name: str) -> bool:
        """Whether a node takes tasks."""
        return any(node.name == name and node.ready for node in self.cluster.nodes)

    def is_cordoned(self, name: str) -> bool:
        """Whether nothing new is placed on a node."""
        return any(node.name == name and node.cordoned for node in self.cluster.nodes)

    def until(
        self,
        true: Callable[[], bool],
        what: str,
        patience_s: float = PATIENCE_S,
        *,
        began: float | None = None,
    ) -> float:
        """Wait until something is so; return after how many seconds that was, and tell it."""
        began = time.monotonic() if began is None else began
        while not true():
            if time.monotonic() - began > patience_s:
                raise TimeoutError(f"not within {patience_s:g} s: {what}; {self.cluster.nodes}")
            time.sleep(0.1)
        took_s = time.monotonic() - began
        logger.warning("%s after %.1f s", what, took_s)
        return took_s
