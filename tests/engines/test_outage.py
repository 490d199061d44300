"""The engine itself dies and comes back: tasks are neither lost nor doubled, and tell the truth."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import minorch as mo
from minorch.contracts import Owner, RunStatus
from minorch.runtimes.docker import DockerRuntime
from tests.cluster.engine import box, no_container_left, soon, up
from tools import engine

__all__ = ["no_container_left"]  # a fixture

_INIT = """
mount -t tmpfs tmpfs /run && ip link set lo up
while :; do
    rm -f $0/pid
    dockerd --host unix://$0/socket --data-root $0/data --exec-root $0/exec --pidfile $0/pid \
        --storage-driver vfs --iptables=false --ip6tables=false --bridge=none >>$0/log 2>&1
    while [ -e $0/down ]; do sleep 0.1; done
done
"""


@pytest.fixture
def own_engine(engine_url: str) -> Iterator[tuple[Path, psutil.Process]]:
    """An engine in namespaces of its own. It comes up again when it dies, unless there is a file ``down``."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if os.geteuid() != 0 or not shutil.which("dockerd", path=path):
        if os.environ.get("MINORCH_REQUIRE_DOCKER") == "1":
            pytest.fail("a second engine needs root and dockerd", pytrace=False)
        pytest.skip("a second engine needs root and dockerd")
    folder = Path(tempfile.mkdtemp(prefix="minorch-own-", dir="/tmp"))
    words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    init = subprocess.Popen(
        [*words, "sh", "-c", _INIT, str(folder)], env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL
    )
    try:
        soon(lambda: engine.answers(f"{folder}/socket"), "the second engine")
        engine.make_image(f"{folder}/socket")
        yield folder, psutil.Process(init.pid)
    finally:
        init.kill()
        init.wait()
        shutil.rmtree(folder, ignore_errors=True)


def test_when_the_engine_restarts_its_tasks_are_restarted_once_and_new_ones_wait(
    own_engine: tuple[Path, psutil.Process],
):
    folder, init = own_engine
    runtime = DockerRuntime(f"unix://{folder}/socket")
    config = mo.WorkerConfig(retry_s=0.2, relist_s=5)
    with mo.Cluster(runtime=runtime, worker_config=config) as cluster:
        again = mo.RestartPolicy.on_failure(3, backoff_s=0.1)
        kept = up(cluster.submit(box(name="kept", restart=again))).tasks["kept"]
        lost = up(cluster.submit(box(name="lost"))).tasks["lost"]
        (folder / "down").touch()
        dockerd = next(child for child in init.children(recursive=True) if child.name() == "dockerd")
        dockerd.kill()
        soon(lambda: not cluster.nodes[0].ready, "the outage")
        assert kept.state is mo.TaskState.RUNNING, "an engine that does not answer is not a dead task"
        waiting = cluster.submit(box("true", name="waiting"))
        assert waiting.state is mo.JobState.PENDING
        (folder / "down").unlink()
        assert waiting.wait(90) is mo.JobState.COMPLETED
        soon(lambda: lost.state.terminal or lost.state is mo.TaskState.RUNNING, "the truth")
        if lost.state.terminal:  # it was killed with its engine
            assert lost.state is mo.TaskState.FAILED
            assert lost.reason in (mo.Reason.KILLED, mo.Reason.EXIT_UNKNOWN, mo.Reason.EXITED)
            assert lost.exit_code != 0
        expected = 2 - lost.state.terminal
        soon(lambda: len(_running(runtime, cluster)) == expected, "the restart")
        assert len(kept.attempts) == 1
        assert kept.restarts <= 1
        assert kept.state is mo.TaskState.RUNNING
    runtime.close()


def _running(runtime: DockerRuntime, cluster: mo.Cluster) -> list[RunStatus]:
    runs = runtime.list_runs(Owner(cluster.manager.cluster_id, "worker-1"))
    return [run for run in runs if run.phase == "running"]
