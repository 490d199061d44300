"""A run that ends while its engine's disk is full: the engine lists it as running ever after."""

from __future__ import annotations

import queue
import secrets

from minorch.contracts import Launch, Owner, RunStatus
from minorch.ids import RunKey
from minorch.model import Task
from minorch.runtimes.docker import DockerRuntime
from tests.chaos.private_engine import PrivateEngine
from tools import engine


def test_the_end_of_a_run_is_told_and_listed_though_the_engine_cannot_write_it_down(own: PrivateEngine):
    runtime = DockerRuntime(own.url)
    task = Task("brief", image=engine.IMAGE, command=["sh", "-c", "sleep 1; exit 3"], networks=["none"])
    launch = Launch(
        key=RunKey(secrets.token_hex(16), 1, 1),
        owner=Owner(secrets.token_hex(16), "node"),
        job="story",
        task_name="brief",
        index=0,
        task=task,
    )
    told: queue.Queue[RunStatus | None] = queue.Queue()
    watch = runtime.watch(launch.owner, told.put)
    try:
        assert told.get(timeout=30) is None
        assert runtime.start(launch).phase == "running"
        own.fill()
        while (status := told.get(timeout=30)) is None or status.phase != "exited":
            pass
        assert status.exit_code == 3
        assert [entry["State"] for entry in own.containers()] == ["running"]  # the engine's own list is wrong
        assert [(run.phase, run.exit_code) for run in runtime.list_runs(launch.owner)] == [("exited", 3)]
        own.unfill()
        runtime.remove(launch.key)
        assert runtime.list_runs(launch.owner) == []
    finally:
        watch.close()
        runtime.close()
