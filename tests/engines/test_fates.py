"""What becomes of containers on a real engine, told truly: kills, memory, codes, refusals, health."""

from __future__ import annotations

import socket
import urllib.request

import pytest

import minorch as mo
from tests.cluster.engine import Stage, box, no_container_left, soon, stage, up

__all__ = ["no_container_left", "stage"]  # fixtures

ONCE_MORE = mo.RestartPolicy.on_failure(1, backoff_s=0.05)


def test_each_way_to_end_has_its_own_reason_and_exit_code(stage: Stage):
    cluster = stage.cluster(2)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        job = cluster.submit(
            mo.Job(
                "fates",
                [
                    box("true", name="fine"),
                    box("sh", "-c", "echo bye; exit 3", name="three"),
                    box("/no/such/thing", name="missing"),
                    box("true", name="image", image="nothing.invalid/of-the-kind:1", pull="never"),
                    box("sleep", "9", name="port", ports=[mo.Port(80, host=taken)], networks=[]),
                ],
            )
        )
        assert job.wait(90) is mo.JobState.FAILED
    found = {name: (task.state, task.reason, task.exit_code) for name, task in job.tasks.items()}
    failed = mo.TaskState.FAILED
    assert found == {
        "fine": (mo.TaskState.COMPLETED, mo.Reason.EXITED, 0),
        "three": (failed, mo.Reason.EXITED, 3),
        "missing": (failed, mo.Reason.COMMAND_NOT_FOUND, 127),
        "image": (failed, mo.Reason.IMAGE_NOT_FOUND, None),
        "port": (failed, mo.Reason.PORT_TAKEN, None),
    }
    messages = {name: task.message for name, task in job.tasks.items()}
    assert "/no/such/thing" in messages["missing"]
    assert "nothing.invalid/of-the-kind:1" in messages["image"]
    assert str(taken) in messages["port"]
    with pytest.raises(mo.JobFailed) as failure:
        job.result()
    assert "three: FAILED (exited, exit code 3)" in str(failure.value)
    assert "| bye" in str(failure.value)


def test_a_container_that_uses_more_memory_than_its_limit_ends_by_it(stage: Stage):
    cluster = stage.cluster()
    hungry = box(
        *("sh", "-c", "x=$(yes | head -c 100000000); echo ${#x}"), resources=mo.Resources(memory="16MiB")
    )
    for _ in range(5):  # Engine 20.10 learns of it too late now and then, and then never records it
        job = cluster.submit(hungry)
        assert job.wait(60) is mo.JobState.FAILED
        task = job.tasks["part"]
        recorded = stage.api.inspect_container(task.attempts[-1].handle)["State"]["OOMKilled"]
        expected = mo.Reason.OOM if recorded else mo.Reason.KILLED
        assert (task.state, task.reason, task.exit_code) == (mo.TaskState.FAILED, expected, 137)
        if recorded:
            return
    pytest.fail("the engine recorded none of five ends by memory")


def test_a_container_killed_from_outside_is_restarted_until_its_budget_is_spent(stage: Stage):
    cluster = stage.cluster()
    job = up(cluster.submit(box(restart=ONCE_MORE)))
    task = job.tasks["part"]
    first = task.attempts[-1].handle
    stage.api.kill(first)
    soon(lambda: task.attempts[-1].handle not in ("", first), "the restart")
    assert task.restarts == 1
    stage.api.kill(task.attempts[-1].handle)
    assert job.wait(60) is mo.JobState.FAILED
    assert (task.state, task.reason, task.exit_code) == (mo.TaskState.FAILED, mo.Reason.KILLED, 137)
    assert "task_restarted" in [event.kind for event in task.history]


def test_a_container_removed_from_outside_has_vanished_and_is_started_again(stage: Stage):
    cluster = stage.cluster()
    job = up(cluster.submit(box(restart=ONCE_MORE)))
    task = job.tasks["part"]
    first = task.attempts[-1].handle
    stage.api.remove_container(first, force=True)
    soon(lambda: task.attempts[-1].handle not in ("", first), "the restart")
    stage.api.remove_container(task.attempts[-1].handle, force=True)
    assert job.wait(60) is mo.JobState.FAILED
    assert task.reason in (mo.Reason.VANISHED, mo.Reason.KILLED)
    assert task.reason is mo.Reason.VANISHED or task.exit_code == 137


def test_a_paused_container_still_runs_and_can_be_stopped(stage: Stage):
    cluster = stage.cluster()
    job = up(cluster.submit(box(stop_grace_s=1.0)))
    stage.api.pause(job.tasks["part"].attempts[-1].handle)
    assert job.tasks["part"].state is mo.TaskState.RUNNING
    job.stop(wait=True, timeout=60)
    assert job.tasks["part"].state is mo.TaskState.STOPPED


def test_the_limits_of_a_task_are_those_of_its_container(stage: Stage):
    cluster = stage.cluster()
    resources = mo.Resources(cpu=0.5, memory="64MiB")
    job = up(cluster.submit(box(resources=resources, pids=17)))
    limits = stage.inspect(job.tasks["part"])["HostConfig"]
    assert limits["NanoCpus"] or limits["CpuQuota"] / limits["CpuPeriod"] == 0.5
    assert limits["Memory"] == 64 * 1024**2
    assert limits["MemorySwap"] == limits["Memory"], "or it would swap beyond its limit"
    assert limits["PidsLimit"] == 17
    assert limits["RestartPolicy"]["Name"] in ("", "no")
    assert not limits["Privileged"]
    assert cluster.nodes[0].reserved == resources


def test_a_stop_ends_within_the_grace_also_for_a_task_that_ignores_it(stage: Stage):
    cluster = stage.cluster()
    deaf = "trap '' TERM; echo ready; while :; do sleep 1; done"
    job = up(
        cluster.submit(
            mo.Job("job", [box(name="polite"), box("sh", "-c", deaf, name="deaf", stop_grace_s=0.5)])
        )
    )
    soon(lambda: "ready" in job.tasks["deaf"].logs(), "the trap")
    assert job.stop(wait=True, timeout=30) is None
    states = {name: (task.state, task.exit_code) for name, task in job.tasks.items()}
    assert states == {"polite": (mo.TaskState.STOPPED, 143), "deaf": (mo.TaskState.STOPPED, 137)}


@pytest.mark.parametrize("kind", ["exec", "tcp", "http"])
def test_a_task_whose_health_check_fails_is_restarted_and_then_fails_as_unhealthy(stage: Stage, kind: str):
    how = {"interval_s": 0.2, "threshold": 2, "timeout_s": 2.0}
    check = {
        "exec": mo.HealthCheck.exec(["false"], **how),
        "tcp": mo.HealthCheck.tcp(9, **how),
        "http": mo.HealthCheck.http(8080, "/missing", **how),
    }[kind]
    command = ["sh", "-c", "mkdir /www; exec httpd -f -p 8080 -h /www"] if kind == "http" else []
    fields = {
        "networks": [] if kind != "exec" else ["none"],
        "ports": [mo.Port(8080)] if kind == "http" else [],
    }
    cluster = stage.cluster()
    job = cluster.submit(box(*command, health=check, restart=ONCE_MORE, stop_grace_s=0.5, **fields))
    assert job.wait(60) is mo.JobState.FAILED
    task = job.tasks["part"]
    assert (task.reason, task.restarts) == (mo.Reason.UNHEALTHY, 1)
    assert "unhealthy" in task.message


def test_the_replicas_of_a_service_answer_on_ports_of_their_own(stage: Stage):
    cluster = stage.cluster(2)
    serve = 'mkdir /www; echo "I am $MINORCH_TASK_INDEX" > /www/index.html; exec httpd -f -p 80 -h /www'
    check = mo.HealthCheck.http(80, interval_s=0.3)
    web = box("sh", "-c", serve, name="web", ports=[mo.Port(80)], networks=[], replicas=3, health=check)
    job = cluster.submit(mo.Job("site", [web], kind="service"))
    soon(lambda: all(task.healthy for task in job.tasks.values()), "all replicas healthy")
    found = set()
    for task in job.tasks.values():
        with urllib.request.urlopen(f"http://{task.ports['80/tcp']}/", timeout=5) as answer:
            found.add(answer.read().decode().strip())
    assert found == {"I am 0", "I am 1", "I am 2"}
    victim = job.tasks["web[1]"]
    stage.api.kill(victim.attempts[-1].handle)
    soon(lambda: victim.restarts == 1 and victim.healthy, "the restarted replica")
    job.stop(wait=True, timeout=60)
    assert job.state is mo.JobState.STOPPED


def test_logs_are_read_followed_and_cut_and_figures_are_measured(stage: Stage):
    cluster = stage.cluster()
    talk = "for i in 1 2 3; do echo line $i; sleep 0.3; done; sleep 1000"
    job = up(cluster.submit(box("sh", "-c", talk)))
    task = job.tasks["part"]
    lines = task.follow()
    assert [next(lines) for _ in range(3)] == ["line 1", "line 2", "line 3"]
    assert task.logs(tail=1) == "line 3\n"
    stats = soon(task.stats, "its figures")
    assert stats.memory > 0
    assert stats.pids >= 1
    node = soon(lambda: cluster.nodes[0].stats, "its node's figures")
    assert node.memory_total > 0
    job.stop()
    assert list(lines) == [], "following ends with the run"
    job.wait(30)


def test_several_jobs_run_at_the_same_time_and_each_gets_its_own_end(stage: Stage):
    cluster = stage.cluster(2)
    jobs = [cluster.submit(box("sh", "-c", f"exit {code}", name=f"job-{code}")) for code in range(8)]
    assert [job.wait(90) is mo.JobState.COMPLETED for job in jobs] == [True] + 7 * [False]
    assert [job.tasks[job.name].exit_code for job in jobs] == list(range(8))


def leave_by_force(cluster: mo.Cluster) -> None:
    with cluster:
        up(cluster.submit(mo.Job("job", [box(name="a"), box(name="b")])))
        raise KeyboardInterrupt


def test_a_cluster_that_is_left_by_an_exception_leaves_no_container(stage: Stage):
    cluster = stage.cluster()
    with pytest.raises(KeyboardInterrupt):
        leave_by_force(cluster)
    assert stage.containers() == []
