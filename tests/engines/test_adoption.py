"""The embedding process dies, or leaves on purpose; the next one finds what runs, and how the rest ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import minorch as mo
from tests.cluster.engine import Stage, box, no_container_left, soon, stage, up

__all__ = ["no_container_left", "stage"]  # fixtures

EMBEDDER = """
import json, sys, time
import minorch as mo

store, count = sys.argv[1], int(sys.argv[2])
cluster = mo.Cluster(2, runtime="docker", store=store)
tasks = [
    mo.Task(
        f"t{n}", image="busybox", networks=["none"], stop_grace_s=1.0,
        command=["sh", "-c", f"echo started; while [ ! -e /tmp/go ]; do sleep 0.1; done; exit {n}"],
    )
    for n in range(count)
]
job = cluster.submit(mo.Job("five", tasks))
while not all(task.state is mo.TaskState.RUNNING for task in job.tasks.values()):
    assert not job.state.terminal, repr(job)
    time.sleep(0.02)
ids = {name: task.attempts[-1].handle for name, task in job.tasks.items()}
print(json.dumps([cluster.manager.cluster_id, ids]), flush=True)
time.sleep(1000)
"""


def started(stage: Stage, ids: dict[str, str]) -> dict[str, str]:
    return {name: stage.api.inspect_container(id_)["State"]["StartedAt"] for name, id_ in ids.items()}


def let_go(stage: Stage, container: str) -> None:
    stage.api.exec_start(stage.api.exec_create(container, ["touch", "/tmp/go"]))


def test_after_kill_9_the_next_start_adopts_what_runs_and_learns_how_the_rest_ended(
    stage: Stage, tmp_path: Path
):
    store = tmp_path / "jobs.db"
    embedder = subprocess.Popen(
        [sys.executable, "-c", EMBEDDER, str(store), "5"], stdout=subprocess.PIPE, text=True
    )
    assert embedder.stdout is not None
    with embedder.stdout:
        line = embedder.stdout.readline()
        embedder.kill()
        embedder.wait()
    cluster_id, ids = json.loads(line)
    stage.ids.add(cluster_id)
    before = started(stage, ids)
    for name in ("t3", "t4"):  # these end while nobody looks
        let_go(stage, ids[name])
    soon(lambda: len([r for r in stage.containers(cluster_id) if r["State"] == "exited"]) == 2, "the ends")

    cluster = stage.cluster(2, store=store)
    job = cluster.jobs["five"]
    soon(lambda: job.tasks["t3"].state.terminal and job.tasks["t4"].state.terminal, "what ended meanwhile")
    for name in ("t0", "t1", "t2"):
        assert job.tasks[name].state is mo.TaskState.RUNNING
        assert job.tasks[name].logs() == "started\n"
        let_go(stage, ids[name])
    assert job.wait(60) is mo.JobState.FAILED
    assert {name: task.exit_code for name, task in job.tasks.items()} == {f"t{n}": n for n in range(5)}
    assert {name: task.attempts[-1].handle for name, task in job.tasks.items()} == ids
    assert started(stage, ids) == before, "nothing was started twice"
    assert {record["Id"] for record in stage.containers(cluster_id)} == set(ids.values())
    assert all(len(task.attempts) == 1 and not task.restarts for task in job.tasks.values())


def test_a_detached_cluster_leaves_its_tasks_and_the_next_one_stops_them(stage: Stage, tmp_path: Path):
    store = f"sqlite://{tmp_path}/jobs.db"
    with stage.cluster(store=store, detach=True) as first:
        job = up(first.submit(box(name="part")))
        handle = job.tasks["part"].attempts[-1].handle
    assert stage.api.inspect_container(handle)["State"]["Running"]
    second = stage.cluster(store=store)
    again = second.jobs["part"]
    assert second.manager.cluster_id == first.manager.cluster_id
    soon(lambda: second.nodes[0].ready and again.tasks["part"].state is mo.TaskState.RUNNING, "it")
    assert again.tasks["part"].attempts[-1].handle == handle
    again.stop(wait=True, timeout=60)
    assert again.tasks["part"].state is mo.TaskState.STOPPED


def test_a_detached_task_goes_on_with_its_restarts_under_the_next_cluster(stage: Stage, tmp_path: Path):
    store = tmp_path / "jobs.db"
    with stage.cluster(store=store, detach=True) as first:
        restart = mo.RestartPolicy.on_failure(1, backoff_s=0.05)
        job = up(first.submit(box(name="part", restart=restart)))
        handle = job.tasks["part"].attempts[-1].handle
    stage.api.kill(handle)
    second = stage.cluster(store=store)
    task: Any = second.jobs["part"].tasks["part"]
    soon(lambda: task.restarts == 1 and task.attempts[-1].handle not in ("", handle), "the restart")
    stage.api.kill(task.attempts[-1].handle)
    assert second.jobs["part"].wait(60) is mo.JobState.FAILED
    assert (task.reason, task.exit_code) == (mo.Reason.KILLED, 137)


def test_a_detached_cluster_that_comes_back_smaller_runs_nothing_twice(stage: Stage, tmp_path: Path):
    store = tmp_path / "jobs.db"
    with stage.cluster(2, store=store, detach=True, scheduler="round-robin") as first:
        job = up(first.submit(mo.Job("job", [box(name="a"), box(name="b")])))
        assert {task.node for task in job.tasks.values()} == {"worker-1", "worker-2"}
        ids = {task.attempts[-1].handle for task in job.tasks.values()}
    second = stage.cluster(1, store=store, manager_config=mo.ManagerConfig(lease_s=1.0))
    again = second.jobs["job"]
    soon(lambda: all(node.ready for node in second.nodes), "both workers")
    up(again)
    assert {task.attempts[-1].handle for task in again.tasks.values()} == ids
    third = up(second.submit(mo.Job("more", [box(name="c"), box(name="d")])))
    assert {task.node for task in third.tasks.values()} == {"worker-1"}, "nothing new where nobody asked"
    running = [r for r in stage.containers(first.manager.cluster_id) if r["State"] == "running"]
    assert len(running) == 4


def test_a_cluster_on_another_runtime_does_not_pass_its_predecessors_tasks_for_gone(
    stage: Stage, tmp_path: Path
):
    store = tmp_path / "jobs.db"
    with stage.cluster(store=store, detach=True) as first:
        handle = up(first.submit(box(name="part"))).tasks["part"].attempts[-1].handle
    with pytest.raises(mo.UsageError, match=r'runtime "docker".*write runtime="docker"'):
        mo.Cluster(runtime="process", store=store)
    second = stage.cluster(store=store)
    assert up(second.jobs["part"]).tasks["part"].attempts[-1].handle == handle
