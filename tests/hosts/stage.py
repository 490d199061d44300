"""What happens on several hosts: a cluster, jobs whose containers write a ledger, and a verdict on both."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import minorch as mo
from minorch.runtimes.docker import DockerPolicy
from minorch.state.pictures import TaskInfo
from tests.chaos.ledger import SAY, TARGET, Ledger, Loss, Verdict, judge, machine_time
from tests.hosts.hosts import Hosts

__all__ = ["PATIENCE_S", "Stage"]

PATIENCE_S = 120.0
logger = logging.getLogger("minorch.tests.hosts")


class Stage:
    """The hosts, and what happens on them; a context that leaves nothing behind but the hosts.

    Args:
        hosts: they are on, and have the image.
        make_cluster: makes the cluster, given what its machines have to allow.
    """

    networks: Sequence[str] = ("none",)
    """Which networks tasks are on; none of these is the fastest."""

    def __init__(self, hosts: Hosts, make_cluster: Callable[[DockerPolicy], mo.Cluster]) -> None:
        self.hosts = hosts
        self.stack = contextlib.ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="minorch-stage-", dir="/tmp"))
        self.stack.callback(shutil.rmtree, self.folder)
        shared = self.folder / "ledger"
        shared.mkdir(mode=0o777)
        shared.chmod(0o777)
        self.ledger = Ledger(shared)
        self.image = hosts[0].image_id()
        try:
            self.cluster = make_cluster(DockerPolicy(binds=(str(self.folder),)))
        except BaseException:
            self.stack.close()
            raise
        self.stack.callback(self.cluster.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    # -- work ------------------------------------------------------------------------------------------------

    def task(self, name: str, script: str, **fields: Any) -> mo.Task:
        """A task that writes to the ledger: ``say tick`` in its script, and ``say end=0`` before its end."""
        options = {
            "image": self.image,
            "command": ["sh", "-c", SAY + script],
            "mounts": [mo.Mount(TARGET, kind="bind", source=str(self.ledger.folder))],
            "resources": mo.Resources(cpu=0.05),
            "networks": list(self.networks),
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

    def losses(self) -> list[Loss]:
        """When nodes were given up."""
        offset = time.time() - machine_time()
        return [
            Loss(event.node, event.at - offset)
            for event in self.cluster.events()
            if event.kind == "node_lost"
        ]

    def done(self, job: mo.JobHandle) -> None:
        """Wait for a job to complete; one that does not fails the test, with what became of its tasks."""
        state = job.wait(timeout=PATIENCE_S)
        ill = [task for task in self.infos(job) if task.state is not mo.TaskState.COMPLETED]
        told = [str(event) for event in self.cluster.events() if event.task_id in {task.id for task in ill}]
        assert state is mo.JobState.COMPLETED, "\n".join([str(state), *told])

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
