"""Containers whose cluster was killed: found, judged and removed on a real engine that others use too."""

from __future__ import annotations

from pathlib import Path

import pytest

import minorch as mo
from tests.cluster.engine import Stage, box, no_container_left, soon, stage, up
from tests.cluster.mortal_cluster import Mortal, mortal
from tools import engine

__all__ = ["no_container_left", "stage"]  # fixtures

BOX = {"image": engine.IMAGE, "networks": ["none"], "stop_grace_s": 1.0}


def left_by(cluster: Mortal) -> mo.Leftovers:
    """What is left over of one cluster; other tests leave theirs on the same engine."""
    return mo.leftovers("docker").of(cluster.cluster_id)


def test_the_containers_of_a_killed_cluster_are_found_and_removed_when_asked(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with mortal(tmp_path, fields=BOX, runtime="docker") as dead:
        stage.ids.add(dead.cluster_id)
        assert list(left_by(dead)) == [], "its process lives"
        dead.kill()
        found = left_by(dead)
        assert sorted((one.verdict, one.task, one.phase) for one in found) == [
            ("dead", "ended", "exited"),
            ("dead", "runs", "running"),
        ]
        assert f"container {dead.handle[:12]}" in repr(found)

        cluster = stage.cluster()
        assert sum("cluster.leftovers.clean()" in line for line in caplog.messages) == 1
        job = up(cluster.submit(box()))
        own = cluster.manager.cluster_id
        assert len(stage.containers(dead.cluster_id)) == 2, "saying so touches nothing"
        assert cluster.leftovers.of(dead.cluster_id).clean() == 2
        assert stage.containers(dead.cluster_id) == []
        assert list(mo.leftovers("docker").of(own)) == []
        assert job.tasks["part"].state is mo.TaskState.RUNNING
        assert len(stage.containers(own)) == 1


def test_containers_that_a_durable_store_goes_on_with_are_left_alone(stage: Stage, tmp_path: Path):
    store = str(tmp_path / "jobs.db")
    with mortal(tmp_path, fields=BOX, runtime="docker", store=store) as dead:
        stage.ids.add(dead.cluster_id)
        dead.kill()
        found = left_by(dead)
        assert {one.verdict for one in found} == {"durable"}
        assert found.clean(unknown=True) == 0
        cluster = stage.cluster(store=store)
        assert list(left_by(dead)) == []
        assert found.clean(durable=True) == 0, "its store was opened meanwhile"
        job = cluster.jobs["left"]
        soon(lambda: job.tasks["runs"].state is mo.TaskState.RUNNING, "its adoption")
        assert {record["Id"] for record in stage.containers(dead.cluster_id)} >= {dead.handle}
        job.stop()
        assert job.wait(30) is mo.JobState.STOPPED


def test_containers_that_do_not_say_who_made_them_are_unknown(stage: Stage):
    from minorch.contracts import Launch, Owner
    from minorch.ids import RunKey
    from minorch.runtimes.docker import DockerRuntime

    owner, key = Owner("ab" * 16, "node-1"), RunKey("cd" * 16, 1, 1)
    stage.ids.add(owner.cluster_id)
    runtime = DockerRuntime(stage.url)
    launch = Launch(key=key, owner=owner, job="j", task_name="t", index=0, task=box(name="t"))
    runtime.start(launch)
    found = mo.leftovers(runtime).of(owner.cluster_id)
    assert [(one.verdict, one.job, one.task) for one in found] == [("unknown", "j", "t")]
    assert found.clean(durable=True) == 0
    assert found.clean(unknown=True) == 1
    runtime.close()


def test_a_container_that_only_inherits_our_labels_from_its_image_is_not_ours(stage: Stage):
    owner, key = mo.Owner("ef" * 16, "node-1"), mo.RunKey("cd" * 16, 1, 1)
    stage.ids.add(owner.cluster_id)
    labels = {
        "minorch.cluster": owner.cluster_id,
        "minorch.node": owner.node,
        "minorch.task-id": key.task_id,
        "minorch.attempt": "1",
        "minorch.run": "1",
    }
    made = stage.api.create_container(engine.IMAGE, ["true"], labels=labels, name="somebody-elses-own")
    try:
        assert list(mo.leftovers("docker").of(owner.cluster_id)) == []
    finally:
        stage.api.remove_container(made["Id"], force=True)
