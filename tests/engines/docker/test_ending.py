"""How runs end on a real engine, and what is told of it."""

from __future__ import annotations

import threading
import time

import pytest

from minorch.errors import RuntimeFault
from minorch.ids import RunKey
from minorch.resources import Resources
from minorch.states import Reason
from tests.engines.docker.conftest import Story, eventually


def test_terminate_reaches_the_command_through_the_init_process(story: Story):
    launch = story.start("sleep", "60")
    begun = time.monotonic()
    story.runtime.terminate(launch.key)
    status = story.ended(launch)
    assert (status.exit_code, status.reason) == (143, Reason.KILLED)
    assert time.monotonic() - begun < 10
    assert "SIGTERM" in status.message


def test_a_command_may_end_well_when_it_is_terminated(story: Story):
    launch = story.start("sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    eventually(lambda: b"".join(story.runtime.logs(launch.key)), "the trap")
    story.runtime.terminate(launch.key)
    status = story.ended(launch)
    assert (status.exit_code, status.reason) == (0, Reason.EXITED)


def test_the_images_stop_signal_is_used(story: Story):
    container = story.api.create_container("busybox:latest", ["true"], stop_signal="SIGUSR1")
    repository = f"minorch-stop-{story.owner.cluster_id}"
    name = f"{repository}:1"
    story.api.commit(container["Id"], repository, "1")
    try:
        script = "trap 'exit 7' USR1; echo ready; while :; do sleep 0.05; done"
        launch = story.start("sh", "-c", script, image=name)
        eventually(lambda: b"".join(story.runtime.logs(launch.key)), "the trap")
        story.runtime.terminate(launch.key)
        assert story.ended(launch).exit_code == 7
        story.clean_up()
    finally:
        story.api.remove_container(container["Id"])
        story.api.remove_image(name, force=True)


def test_kill_ends_what_ignores_terminate(story: Story):
    launch = story.start("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    eventually(lambda: b"".join(story.runtime.logs(launch.key)), "the trap")
    story.runtime.terminate(launch.key)
    story.runtime.kill(launch.key)
    status = story.ended(launch)
    assert (status.exit_code, status.reason) == (137, Reason.KILLED)


def test_a_kill_from_outside_is_killed_with_137(story: Story):
    launch = story.start("sleep", "60")
    story.api.kill(launch.key.name)
    status = story.ended(launch)
    assert (status.exit_code, status.reason) == (137, Reason.KILLED)


def test_a_paused_run_can_be_killed(story: Story):
    launch = story.start("sleep", "60")
    story.api.pause(launch.key.name)
    status = story.runtime.inspect(launch.key)
    assert status is not None
    assert status.phase == "running"
    story.runtime.kill(launch.key)
    assert story.ended(launch).exit_code == 137


def test_too_much_memory_is_oom(story: Story):
    for _ in range(5):  # a busy engine may hear of the end before it hears why, and then never records that
        launch = story.start("sh", "-c", "exec tail /dev/zero", resources=Resources(memory="16MiB"))
        status = story.ended(launch)
        assert status.exit_code == 137
        if story.record(launch)["State"]["OOMKilled"]:
            break
    assert status.reason == Reason.OOM


def test_a_child_killed_for_memory_does_not_fail_a_run_that_ends_well(story: Story):
    launch = story.start("sh", "-c", "tail /dev/zero; exit 0", resources=Resources(memory="16MiB"))
    status = story.ended(launch)
    assert (status.exit_code, status.reason) == (0, Reason.EXITED)
    if story.record(launch)["State"]["OOMKilled"]:
        assert "memory" in status.message


def test_ending_what_has_ended_or_never_was_is_fine(story: Story):
    launch = story.start("true")
    story.ended(launch)
    for key in (launch.key, RunKey("0" * 32, 1, 1)):
        story.runtime.terminate(key)
        story.runtime.kill(key)
    story.runtime.remove(RunKey("0" * 32, 1, 1))


def test_a_running_run_is_not_removed(story: Story):
    launch = story.start("sleep", "60")
    with pytest.raises(RuntimeFault, match="running"):
        story.runtime.remove(launch.key)
    status = story.runtime.inspect(launch.key)
    assert status is not None
    assert status.phase == "running"


def test_removing_from_many_threads_at_once_is_fine(story: Story):
    launch = story.start("true")
    story.ended(launch)
    failures: list[RuntimeFault] = []

    def remove() -> None:
        try:
            story.runtime.remove(launch.key)
        except RuntimeFault as error:
            failures.append(error)

    threads = [threading.Thread(target=remove) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert failures == []
    assert story.runtime.inspect(launch.key) is None


def test_remove_takes_anonymous_volumes_along_and_keeps_named_ones(story: Story):
    from minorch.model import Mount

    name = f"minorch-{story.owner.cluster_id}"
    try:
        launch = story.start("true", mounts=[Mount("/data", source=name)])
        story.ended(launch)
        story.runtime.remove(launch.key)
        assert story.api.inspect_volume(name)["Name"] == name
    finally:
        story.api.remove_volume(name)


def test_no_path_but_a_container_can_be_removed(story: Story):
    """docker-py does not quote: removing the container ``../volumes/x`` deleted a volume."""
    name = f"minorch-{story.owner.cluster_id}"
    story.api.create_volume(name)
    try:
        for way in (
            lambda: story.runtime.remove(RunKey(f"../volumes/{name}", 1, 1)),
            lambda: story.runtime._containers.remove_id(f"../volumes/{name}", force=True),
        ):
            with pytest.raises(RuntimeFault, match="not the"):
                way()
        assert story.api.inspect_volume(name)["Name"] == name
    finally:
        story.api.remove_volume(name)
