"""What whole-library stories on a real engine share. Leftovers are counted by cluster: others use it too."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

import minorch as mo
from minorch.runtimes.docker import DockerRuntime
from tests.cluster.support import eventually
from tools import engine

if TYPE_CHECKING:
    from docker import APIClient

QUICK = mo.WorkerConfig(sample_s=0.5, relist_s=5.0, heartbeat_s=1.0)
PATIENCE_S = 60.0


class Stage:
    """Makes clusters on the engine, and looks at it behind their back."""

    def __init__(self, url: str, api: APIClient) -> None:
        self.url, self.api = url, api
        self.made: list[mo.Cluster] = []
        self.ids: set[str] = set()

    def cluster(self, workers: Any = 1, **options: Any) -> mo.Cluster:
        options.setdefault("worker_config", QUICK)
        options.setdefault("runtime", "docker")
        cluster = mo.Cluster(workers, **options)
        self.made.append(cluster)
        self.ids.add(cluster.manager.cluster_id)
        return cluster

    def containers(self, cluster_id: str | None = None) -> list[dict[str, Any]]:
        """All containers of one cluster, or of all that were made here."""
        ids = self.ids if cluster_id is None else {cluster_id}
        return [
            record
            for one in sorted(ids)
            for record in self.api.containers(all=True, filters={"label": f"minorch.cluster={one}"})
        ]

    def inspect(self, task: mo.TaskHandle) -> dict[str, Any]:
        """The engine's record of a task's container."""
        return dict(self.api.inspect_container(task.attempts[-1].handle))


@pytest.fixture
def no_container_left() -> None:
    """Each story looks after its own clusters' containers, see :func:`stage`."""


@pytest.fixture
def stage(engine_url: str, engine_api: APIClient, busybox: str) -> Iterator[Stage]:
    """The engine; afterwards no container of any cluster that was made on it is left."""
    import docker

    stage = Stage(engine_url, engine_api)
    try:
        yield stage
        for cluster in stage.made:
            cluster.close()
        deadline = time.monotonic() + 5
        while (left := stage.containers()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left, [f"{record['Names']} {record['Status']}" for record in left]
    finally:
        for record in stage.containers():
            with contextlib.suppress(docker.errors.APIError):
                stage.api.remove_container(record["Id"], force=True, v=True)


def box(*command: str, name: str = "part", **fields: Any) -> mo.Task:
    """A task of busybox without a network; without a command one that runs until it is stopped."""
    fields.setdefault("image", engine.IMAGE)
    fields.setdefault("networks", ["none"])
    fields.setdefault("stop_grace_s", 2.0)
    return mo.Task(name, command=command or ("sleep", "1000"), **fields)


def soon(ask: Callable[[], Any], what: str = "it") -> Any:
    """Ask until the answer is true, with the patience that a busy engine needs."""
    return eventually(ask, what, PATIENCE_S)


def up(job: mo.JobHandle) -> mo.JobHandle:
    """Wait until every task of a job runs."""
    soon(lambda: all(info.state is mo.TaskState.RUNNING for info in job.info().tasks), f"{job!r} running")
    return job


__all__ = ["QUICK", "DockerRuntime", "Stage", "box", "no_container_left", "soon", "stage", "up"]
