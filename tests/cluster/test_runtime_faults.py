"""A cluster on a runtime that hangs, raises, loses notifications or answers nonsense."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

import minorch as mo
from minorch.errors import EngineUnavailable, RuntimeFault
from tests.cluster.fakes import FakeRuntime
from tests.cluster.support import eventually, running, task

Make = Callable[..., mo.Cluster]
QUICK = mo.WorkerConfig(retry_s=0.05, relist_s=0.1, kill_every_s=0.1, heartbeat_s=0.2, sample_s=0.2)


# -- it hangs -------------------------------------------------------------------------------------


def test_a_start_that_hangs_keeps_no_other_task_from_stopping(make: Make, fake: FakeRuntime):
    cluster = make(worker_config=QUICK)
    hung = cluster.submit(task("hang", name="hung"))
    eventually(lambda: hung.tasks["hung"].attempts, "the attempt")
    other = running(cluster.submit(task(name="other")))
    other.stop(wait=True, timeout=20)
    assert other.state is mo.JobState.STOPPED
    fake.let_go.set()


def test_a_cluster_closes_although_a_start_hangs_and_says_what_it_left(
    make: Make, fake: FakeRuntime, quick: None, warnings_of: Callable[[], str]
):
    cluster = make(worker_config=QUICK)
    cluster.submit(task("hang", name="hung", stop_grace_s=0.1))
    other = running(cluster.submit(task(name="other", stop_grace_s=0.1)))
    eventually(lambda: cluster.jobs["hung"].tasks["hung"].attempts, "the attempt")
    start = time.monotonic()
    cluster.close()
    assert time.monotonic() - start < 15
    assert other.state is mo.JobState.STOPPED
    assert 'job "hung" is still' in warnings_of()
    assert "worker-1" in warnings_of()
    assert "hangs" in warnings_of()
    fake.let_go.set()


def test_a_start_that_was_called_off_and_happens_all_the_same_is_ended(make: Make, fake: FakeRuntime):
    cluster = make(worker_config=QUICK)
    job = cluster.submit(task("hang", name="hung"))
    eventually(lambda: job.tasks["hung"].attempts, "the attempt")
    time.sleep(0.1)
    job.stop()
    assert job.state is not mo.JobState.STOPPED, "nobody knows yet whether it runs"
    fake.let_go.set()
    assert job.wait(20) is mo.JobState.STOPPED
    assert all(status.phase == "exited" for _, status in fake.runs.values())


def test_a_task_that_ignores_the_request_to_end_is_killed_after_its_grace(make: Make, fake: FakeRuntime):
    cluster = make(worker_config=QUICK)
    job = running(cluster.submit(task("stubborn", stop_grace_s=0.2)))
    job.stop(wait=True, timeout=20)
    assert job.tasks["part"].state is mo.TaskState.STOPPED
    assert job.tasks["part"].exit_code == 137


# -- it raises ------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["start", "prepare"])
def test_a_runtime_that_raises_at_a_start_fails_the_task_and_nothing_else(
    make: Make, fake: FakeRuntime, call: str
):
    cluster = make(worker_config=QUICK)
    fake.broken = {call}
    job = cluster.submit(task(name="first"))
    assert job.wait(20) is mo.JobState.FAILED
    assert job.tasks["first"].reason is mo.Reason.START_FAILED
    assert "ValueError" in job.tasks["first"].message
    fake.broken = set()
    assert cluster.submit(task("exit", "0", name="second")).wait(20) is mo.JobState.COMPLETED


@pytest.mark.parametrize("call", ["start", "prepare", "list_runs", "stats", "terminate", "remove", "probe"])
def test_a_runtime_that_exits_the_program_ends_none_of_the_threads(make: Make, fake: FakeRuntime, call: str):
    cluster = make(worker_config=QUICK)
    check = mo.HealthCheck.tcp(80, interval_s=0.05)
    job = running(cluster.submit(task(health=check, stop_grace_s=0.2)))
    fake.raises, fake.broken = SystemExit(3), {call}
    other = cluster.submit(task("exit", "0", name="other"))
    if call in ("start", "prepare"):
        assert other.wait(20) is mo.JobState.FAILED
    job.stop(wait=True, timeout=20)
    time.sleep(0.3)
    fake.broken = set()
    assert cluster.submit(task("exit", "0", name="afterwards")).wait(20) is mo.JobState.COMPLETED
    cluster.close()
    assert not fake.runs, "everything is removed"


@pytest.mark.parametrize("error", [ValueError("odd"), RuntimeFault("no"), EngineUnavailable("down")])
def test_a_runtime_that_cannot_be_watched_at_first_is_watched_later(
    make: Make, fake: FakeRuntime, error: Exception
):
    fake.raises, fake.broken = error, {"watch"}
    cluster = make(worker_config=mo.WorkerConfig(retry_s=0.05, relist_s=1000))
    job = running(cluster.submit(task()))
    fake.broken = set()
    eventually(lambda: fake.watched, "the watch")
    fake.end(fake.starts[0], 0)
    assert job.wait(20) is mo.JobState.COMPLETED


@pytest.mark.parametrize("call", ["list_runs", "stats", "terminate", "kill", "remove", "probe"])
def test_a_runtime_that_raises_for_a_while_recovers(make: Make, fake: FakeRuntime, call: str):
    cluster = make(worker_config=QUICK)
    check = mo.HealthCheck.tcp(80, interval_s=0.05)
    job = running(cluster.submit(task(health=check, stop_grace_s=0.2)))
    fake.broken = {call}
    if call in ("terminate", "kill", "remove"):
        job.stop()
    time.sleep(0.3)
    fake.broken = set()
    job.stop(wait=True, timeout=20)
    assert job.state is mo.JobState.STOPPED
    cluster.close()
    assert not fake.runs, "everything is removed"


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("start", None),
        ("start", "running"),
        ("probe", True),
        ("list_runs", None),
        ("list_runs", ["x"]),
        ("stats", 3),
    ],
)
def test_a_runtime_that_answers_nonsense_does_not_end_its_worker(
    make: Make, fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch, call: str, answer: Any
):
    cluster = make(worker_config=QUICK)
    monkeypatch.setattr(fake, call, lambda *_: answer)
    job = cluster.submit(task(name="first", health=mo.HealthCheck.tcp(80, interval_s=0.05)))
    eventually(lambda: job.tasks["first"].attempts, "the attempt")
    time.sleep(0.3)
    monkeypatch.undo()
    job.stop(wait=True, timeout=20)
    assert cluster.submit(task("exit", "0", name="second")).wait(20) is mo.JobState.COMPLETED


def test_a_watch_that_tells_nonsense_does_not_end_its_worker(make: Make, fake: FakeRuntime):
    cluster = make(worker_config=QUICK)
    for _, notify in fake._watches:
        notify("what?")  # type: ignore[arg-type]
    assert cluster.submit(task("exit", "0")).wait(20) is mo.JobState.COMPLETED


def test_a_runtime_that_cannot_be_described_makes_no_cluster(make: Make, fake: FakeRuntime):
    fake.raises, fake.broken = EngineUnavailable("it is down; start it"), {"describe"}
    with pytest.raises(EngineUnavailable, match="start it"):
        make()


# -- it loses what it should tell -------------------------------------------------------------------


def test_without_any_notification_the_relist_finds_what_ended(make: Make, fake: FakeRuntime):
    fake.deaf = True
    cluster = make(worker_config=QUICK)
    job = cluster.submit(task(name="task", restart=mo.RestartPolicy.on_failure(1, backoff_s=0)))
    running(job)
    fake.end(fake.starts[0], 3)
    eventually(lambda: len(fake.starts) == 2, "the restart")
    fake.end(fake.starts[1], 0)
    assert job.wait(20) is mo.JobState.COMPLETED
    assert job.tasks["task"].restarts == 1


def test_a_run_that_somebody_removed_is_started_again_within_its_policy(make: Make, fake: FakeRuntime):
    cluster = make(worker_config=QUICK)
    job = running(cluster.submit(task(restart=mo.RestartPolicy.on_failure(1, backoff_s=0))))
    for expected in (1, 2):
        eventually(lambda n=expected: len(fake.starts) == n, f"start {expected}")  # type: ignore[misc]
        eventually(lambda n=expected: fake.starts[n - 1] in fake.runs)  # type: ignore[misc]
        del fake.runs[fake.starts[-1]]
    assert job.wait(20) is mo.JobState.FAILED
    assert job.tasks["part"].reason is mo.Reason.VANISHED
    assert job.tasks["part"].exit_code is None
    assert len(fake.starts) == 2


def test_an_engine_that_is_away_for_a_while_loses_no_task(make: Make, fake: FakeRuntime):
    cluster = make(worker_config=QUICK)
    job = running(cluster.submit(task()))
    fake.raises, fake.broken = EngineUnavailable("the engine is away"), {"list_runs", "start", "terminate"}
    eventually(lambda: not cluster.nodes[0].ready, "the outage")
    assert "the engine is away" in cluster.nodes[0].message
    second = cluster.submit(task("exit", "0", name="second"))
    assert job.tasks["part"].state is mo.TaskState.RUNNING
    assert second.state is mo.JobState.PENDING
    assert "engine" in str(cluster.explain("second/second")) or "ready" in str(
        cluster.explain("second/second")
    )
    fake.broken = set()
    assert second.wait(20) is mo.JobState.COMPLETED
    assert job.tasks["part"].attempts[-1].number == 1
    assert len(fake.starts) == 2


# -- what is closed ---------------------------------------------------------------------------------


def test_a_runtime_that_the_user_made_is_left_open_and_no_watch_on_it(make: Make, fake: FakeRuntime):
    for _ in range(5):
        make(3).close()
    assert fake.closed == 0
    assert fake.watched == 0
