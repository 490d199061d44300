"""Listing and watching runs on a real engine."""

from __future__ import annotations

import os
import queue
import threading
import time

import msgspec

from minorch.contracts import Owner, RunStatus
from minorch.runtimes.docker import DockerRuntime
from minorch.states import Reason
from tests.engines.docker.conftest import PATIENCE_S, Story, eventually


class Heard:
    """What a watch told."""

    def __init__(self) -> None:
        self._queue: queue.Queue[RunStatus | None] = queue.Queue()

    def __call__(self, status: RunStatus | None) -> None:
        self._queue.put(status)

    def next(self) -> RunStatus | None:
        return self._queue.get(timeout=PATIENCE_S)

    def until_ended(self) -> RunStatus:
        while True:
            status = self.next()
            if status is not None and status.phase == "exited":
                return status

    def empty(self) -> bool:
        return self._queue.empty()


def test_owners_do_not_see_each_others_runs(story: Story):
    mine = story.start("sleep", "60")
    other = Owner(story.owner.cluster_id, "node-2")
    theirs = story.start("sleep", "60", owner=other)
    assert [status.key for status in story.runtime.list_runs(story.owner)] == [mine.key]
    assert [status.key for status in story.runtime.list_runs(other)] == [theirs.key]


def test_a_new_runtime_finds_what_an_earlier_one_started(story: Story, engine_url: str):
    running, ended = story.start("sleep", "60"), story.start("sh", "-c", "exit 9")
    story.ended(ended)
    other = DockerRuntime(engine_url)
    try:
        found = {status.key: status for status in other.list_runs(story.owner)}
        assert found[running.key].phase == "running"
        assert found[running.key].started_at is not None
        assert found[ended.key].exit_code == 9
        other.kill(running.key)
        assert story.ended(running).exit_code == 137
    finally:
        other.close()


def test_listing_survives_containers_that_come_and_go(story: Story):
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            story.api.remove_container(
                story.api.create_container("busybox:latest", ["true"], labels=labels)["Id"], force=True
            )

    launch = story.start("sleep", "60")
    labels = {**story.record(launch)["Config"]["Labels"], "minorch.run": "2"}
    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(20):
            assert launch.key in [status.key for status in story.runtime.list_runs(story.owner)]
    finally:
        done.set()
        thread.join()


def test_a_watch_says_first_that_a_listing_is_due_then_tells_each_end_soon(story: Story):
    heard = Heard()
    watch = story.runtime.watch(story.owner, heard)
    assert heard.next() is None
    launch = story.start("sh", "-c", "exit 5")
    status = heard.until_ended()
    late_s = time.time() - (status.finished_at or 0)
    assert (status.key, status.exit_code, status.reason) == (launch.key, 5, Reason.EXITED)
    assert late_s < 10  # about 30 ms on a quiet machine
    watch.close()


def test_a_watch_tells_only_its_owners_runs(story: Story):
    heard = Heard()
    watch = story.runtime.watch(story.owner, heard)
    assert heard.next() is None
    stranger = story.start("true", owner=Owner(story.owner.cluster_id, "node-2"))
    story.ended(stranger)
    mine = story.start("true")
    assert heard.until_ended().key == mine.key
    watch.close()


def test_a_watch_knows_oom_from_a_kill(story: Story):
    from minorch.resources import Resources

    heard = Heard()
    watch = story.runtime.watch(story.owner, heard)
    for _ in range(5):  # a busy engine may hear of the end before it hears why, and then never records that
        launch = story.start("sh", "-c", "exec tail /dev/zero", resources=Resources(memory="16MiB"))
        status = heard.until_ended()
        if story.record(launch)["State"]["OOMKilled"]:
            break
    assert status.reason == Reason.OOM
    killed = story.start("sleep", "60")
    story.api.kill(killed.key.name)
    assert heard.until_ended().reason == Reason.KILLED
    watch.close()


def test_removal_by_somebody_else_asks_for_a_listing_and_our_own_does_not(story: Story):
    heard = Heard()
    watch = story.runtime.watch(story.owner, heard)
    assert heard.next() is None
    ours = story.start("true")
    assert heard.until_ended().key == ours.key
    story.runtime.remove(ours.key)
    theirs = story.start("true")
    assert heard.until_ended().key == theirs.key
    story.api.remove_container(theirs.key.name)
    assert heard.next() is None
    assert heard.empty()
    watch.close()


def test_a_run_removed_by_force_is_told_with_its_exit_code(story: Story):
    heard = Heard()
    watch = story.runtime.watch(story.owner, heard)
    assert heard.next() is None
    launch = story.start("sleep", "60")
    story.api.remove_container(launch.key.name, force=True)
    told = [heard.next()]
    while told[-1] is not None:
        told.append(heard.next())
    assert all(status.exit_code == 137 for status in told if status is not None)
    assert story.runtime.inspect(launch.key) is None
    watch.close()


def test_a_failed_start_tells_no_end(story: Story, free_port: int):
    import pytest

    from minorch.errors import StartFailed
    from minorch.model import Port

    heard = Heard()
    watch = story.runtime.watch(story.owner, heard)
    assert heard.next() is None
    taken = story.start("sleep", "60", ports=[Port(80, host=free_port)], networks=[])
    refused = story.launch("sleep", "60", ports=[Port(80, host=free_port)], networks=[])
    with pytest.raises(StartFailed):
        story.runtime.start(refused)
    story.runtime.kill(taken.key)
    assert heard.until_ended().key == taken.key
    watch.close()


def test_a_callback_that_raises_does_not_end_the_watch(story: Story, caplog):
    heard = Heard()

    def notify(status: RunStatus | None) -> None:
        heard(status)
        raise ValueError("a bug of the driver's")

    watch = story.runtime.watch(story.owner, notify)
    launch = story.start("true")
    assert heard.until_ended().key == launch.key
    watch.close()
    assert "a bug of the driver's" in caplog.text


def test_closing_ends_the_watchs_threads_promptly_and_twice_is_fine(story: Story):
    heard = Heard()
    watch = story.runtime.watch(story.owner, heard)
    assert heard.next() is None
    begun = time.monotonic()
    watch.close()
    watch.close()
    assert time.monotonic() - begun < 2
    eventually(
        lambda: not [t for t in threading.enumerate() if t.name.startswith("minorch-docker")], "their end"
    )


def test_closing_the_runtime_ends_its_watches_and_leaves_runs_alone(story: Story, engine_url: str):
    runtime = DockerRuntime(engine_url)
    launch = story.launch("sleep", "60")
    runtime.start(launch)
    heard = Heard()
    runtime.watch(story.owner, heard)
    assert heard.next() is None
    runtime.close()
    runtime.close()
    eventually(
        lambda: not [t for t in threading.enumerate() if t.name.startswith("minorch-docker")], "their end"
    )
    status = story.runtime.inspect(launch.key)
    assert status is not None
    assert msgspec.structs.replace(status, started_at=None).phase == "running"


def test_a_fork_that_closes_its_copy_ends_no_watch_of_its_parent(story: Story):
    heard = Heard()
    watch = story.runtime.watch(story.owner, heard)
    assert heard.next() is None
    child = os.fork()
    if child == 0:
        try:
            story.runtime.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    stream = watch._stream  # type: ignore[attr-defined]
    assert stream is not None
    assert not stream.closed
    launch = story.start("sh", "-c", "exit 7")
    told = heard.next()
    assert told is not None, "it had to listen anew"
    assert (told.key, told.exit_code) == (launch.key, 7)
    watch.close()
