"""Waiting until a service is up, and handles that are asked for by a wrong name."""

from __future__ import annotations

import pytest

import minorch as mo
from minorch.runtimes.process import ProcessRuntime

SLEEP = ["sleep", "60"]


@pytest.fixture
def cluster(tmp_path):
    runtime = ProcessRuntime(tmp_path)
    with mo.Cluster(runtime=runtime) as cluster:
        yield cluster
    runtime.close()


def service(**fields):
    return mo.Job(
        "web", [mo.Task("web", command=SLEEP, replicas=2, stop_grace_s=1, **fields)], kind="service"
    )


def test_a_service_is_ready_when_all_its_replicas_run(cluster):
    job = cluster.submit(service())
    assert job.wait_ready(timeout=30) is mo.JobState.RUNNING
    assert {task.state for task in job.tasks.values()} == {mo.TaskState.RUNNING}


def test_a_service_with_a_check_is_ready_when_its_replicas_are_healthy(cluster):
    check = mo.HealthCheck.exec(["true"], interval_s=0.1)
    job = cluster.submit(service(health=check))
    job.wait_ready(timeout=30)
    assert [task.healthy for task in job.tasks.values()] == [True, True]


def test_a_job_that_is_over_needs_no_waiting(cluster):
    job = cluster.submit(mo.Task("t", command=["true"]))
    job.wait(timeout=30)
    assert job.wait_ready(timeout=1) is mo.JobState.COMPLETED


def test_what_is_not_ready_in_time_is_counted(cluster):
    job = cluster.submit(service(health=mo.HealthCheck.exec(["false"], interval_s=0.1, threshold=1000)))
    with pytest.raises(TimeoutError, match=r'2 tasks of job "web" are not ready after 0\.3 s'):
        job.wait_ready(timeout=0.3)


def test_what_is_known_of_a_task_that_is_not_ready_is_told(cluster):
    job = cluster.submit(service(workdir="/no/such"))
    with pytest.raises(TimeoutError, match=r"2 tasks .* after 0\.5 s; web\[0\]: start_failed"):
        job.wait_ready(timeout=0.5)


def test_a_wrong_name_of_a_task_or_job_is_answered_with_the_nearest(cluster):
    job = cluster.submit(mo.Task("greet", command=["true"]))
    with pytest.raises(mo.NotFound, match='there is no task "great"; did you mean "greet"'):
        _ = job.tasks["great"]
    with pytest.raises(KeyError, match='there is no job "gret"; did you mean "greet"'):
        _ = cluster.jobs["gret"]
    assert "nothing" not in cluster.jobs
    assert list(cluster.jobs) == ["greet"]
    assert len(job.tasks) == 1
    assert "greet" in repr(job.tasks)


def test_an_infinite_time_out_is_no_time_out(cluster):
    job = cluster.submit(mo.Task("t", command=["true"]))
    assert job.wait(float("inf")) is mo.JobState.COMPLETED
    assert job.wait_ready(float("inf")) is mo.JobState.COMPLETED
