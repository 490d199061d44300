"""An engine that dies in the middle of a start has a container that "never ran", and a process that does."""

from __future__ import annotations

import contextlib
import re
import secrets
import subprocess

import psutil
import pytest

from minorch.contracts import Launch, Owner
from minorch.ids import RunKey
from minorch.model import Task
from minorch.runtimes.docker import DockerRuntime
from minorch.states import Reason
from tests.chaos.private_engine import PrivateEngine, until
from tools import engine


def sleeping(own: PrivateEngine) -> psutil.Process:
    """The program of the only run; a container's first process takes a moment to become it."""
    found: list[psutil.Process] = []

    def there() -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            inside = psutil.Process(own._init.pid).children(recursive=True)
            found[:] = [process for process in inside if process.name() == "sleep"]
        return bool(found)

    until(there, 10.0, lambda: "no sleep runs")
    return found[0]


@pytest.mark.parametrize("own", [True, False], ids=["live-restore", "no live-restore"], indirect=True)
def test_a_run_that_its_engine_lost_is_never_said_not_to_have_begun(own: PrivateEngine):
    runtime = DockerRuntime(own.url)
    launch = Launch(
        key=RunKey(secrets.token_hex(16), 1, 1),
        owner=Owner(secrets.token_hex(16), "node"),
        job="story",
        task_name="endless",
        index=0,
        task=Task("endless", image=engine.IMAGE, command=["sleep", "300"], networks=["none"]),
    )
    try:
        container_id = runtime.start(launch).handle
        process = sleeping(own)
        own.kill()
        own.forget_start(container_id)
        own.start()
        (found,) = runtime.list_runs(launch.owner)
        assert found.phase == "created"
        assert own.forgotten == {launch.key}
        assert process.is_running(), "and its engine does not know"
        status = runtime.start(launch)
        assert (status.phase, status.exit_code, status.reason) == ("exited", None, Reason.EXIT_UNKNOWN)
        assert runtime.list_runs(launch.owner) == [], "nothing is left of what cannot be started"
        runtime.remove(launch.key)
        advised = re.search(rf"ctr (--namespace moby .* {container_id})", status.message)
        assert advised is not None, status.message
        its_own = ["--address", f"{own.folder}/exec/containerd/containerd.sock"]
        subprocess.run(["ctr", *its_own, *advised[1].split()], check=True, timeout=30)
        assert psutil.wait_procs([process], timeout=10)[1] == []
    finally:
        runtime.close()
