"""A whole cluster on a real Swarm of one node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import minorch as mo
from minorch.runtimes.swarm import Swarm
from minorch.testing.runtime_contract import eventually
from tests.chaos.private_engine import PrivateEngine
from tools import engine as tool

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def nothing_left(swarm_engine: PrivateEngine) -> Iterator[None]:
    """A cluster that is closed leaves no container."""
    yield
    eventually(lambda: not swarm_engine.containers(), within_s=PATIENCE_S)


def task(name: str, shell: str, **fields: object) -> mo.Task:
    """A task of busybox."""
    options = {"image": tool.IMAGE, "command": ["sh", "-c", shell], "stop_grace_s": 1, **fields}
    return mo.Task(name, **options)  # type: ignore[arg-type]


def test_jobs_complete_fail_and_are_stopped(swarm: Swarm) -> None:
    with mo.Cluster(engine=swarm) as cluster:
        good = cluster.submit(task("good", "echo $MINORCH_NODE", completions=5))
        bad = cluster.submit(task("bad", "exit 3", restart=mo.RestartPolicy.on_failure(1, backoff_s=0.1)))
        long = cluster.submit(task("long", "trap 'exit 9' TERM; while :; do sleep 0.1; done"))
        assert good.wait(timeout=PATIENCE_S) is mo.JobState.COMPLETED
        assert good.tasks["good[0]"].logs().strip() == cluster.nodes[0].name
        assert bad.wait(timeout=PATIENCE_S) is mo.JobState.FAILED
        failed = bad.tasks["bad"]
        assert (failed.exit_code, failed.attempts[-1].restarts) == (3, 1)
        long.wait_ready(timeout=PATIENCE_S)
        long.stop()
        assert long.wait(timeout=PATIENCE_S) is mo.JobState.STOPPED
        assert long.tasks["long"].exit_code == 9


def test_a_cluster_that_is_opened_again_finds_what_runs(swarm_engine: PrivateEngine, tmp_path: Path) -> None:
    store = tmp_path / "jobs.db"
    first = Swarm([swarm_engine.url], poll_s=0.2)
    with mo.Cluster(engine=first, store=store, detach=True) as cluster:
        job = cluster.submit(mo.Job("work", [task("part", "sleep 3; exit 0")]))
        eventually(lambda: job.tasks["part"].state is mo.TaskState.RUNNING, within_s=PATIENCE_S)
        handle = job.tasks["part"].attempts[-1].handle
    first.close()
    second = Swarm([swarm_engine.url], poll_s=0.2)
    with mo.Cluster(engine=second, store=store) as cluster:
        again = cluster.jobs["work"]
        assert again.wait(timeout=PATIENCE_S) is mo.JobState.COMPLETED
        (attempt,) = again.tasks["part"].attempts
        assert (attempt.handle, attempt.run) == (handle, 1)
    second.close()


def test_what_fails_its_exec_check_is_unhealthy_and_started_again(swarm: Swarm) -> None:
    check = mo.HealthCheck.exec(["test", "-f", "/tmp/ok"], interval_s=0.3, threshold=2, start_period_s=5)
    shell = 'touch /tmp/ok; if [ "$MINORCH_RUN" = 1 ]; then sleep 2; rm /tmp/ok; fi; exec sleep 60'
    again = mo.RestartPolicy.always(backoff_s=0.1)
    with mo.Cluster(engine=swarm) as cluster:
        job = cluster.submit(mo.Job("web", [task("web", shell, health=check, restart=again)], kind="service"))
        web = job.tasks["web"]
        eventually(
            lambda: web.attempts and web.attempts[-1].run == 2 and web.attempts[-1].healthy, within_s=60
        )
        told = [event.detail for event in cluster.events() if event.kind == "task_restarted"]
        assert "unhealthy" in told[0]
