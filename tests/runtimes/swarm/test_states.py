"""What a task's record says together with its node's: runs, their ends, and when nothing is known."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from minorch.contracts import Launch, RunStatus
from minorch.errors import EngineUnavailable, RuntimeFault, StartFailed
from minorch.model import HealthCheck, Secret
from minorch.runtimes.swarm import Swarm, SwarmRuntime, polling
from minorch.runtimes.swarm.snapshot import Reader, Snapshot, SwarmTask
from minorch.states import Reason
from minorch.testing.runtime_contract import Notes, eventually
from tests.runtimes.swarm.conftest import OWNER
from tests.runtimes.swarm.played import PlayedSwarm, node_id

FIRST = node_id(1)


class Starting:
    """A start that is under way in a thread, for the test to say what becomes of its task."""

    def __init__(self, runtime: SwarmRuntime, launch: Launch, played: PlayedSwarm) -> None:
        self.status: RunStatus | None = None
        self.error: RuntimeFault | None = None
        self._thread = threading.Thread(target=self._run, args=(runtime, launch))
        self._thread.start()
        eventually(lambda: any(one["Name"] == launch.key.name for one in list(played.tasks.values())))

    def _run(self, runtime: SwarmRuntime, launch: Launch) -> None:
        try:
            self.status = runtime.start(launch)
        except RuntimeFault as error:
            self.error = error

    def ended(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()


def started(swarm: Swarm, played: PlayedSwarm, launch: Launch) -> SwarmRuntime:
    """A runtime of the first node, where *launch* runs."""
    runtime = swarm.runtime(FIRST)
    start = Starting(runtime, launch, played)
    played.move(launch.key.name, "running")
    start.ended()
    assert start.status is not None
    assert start.status.phase == "running"
    return runtime


Make = Callable[..., Launch]


def test_a_service_is_pinned_to_the_node_and_is_never_restarted(
    played: PlayedSwarm, swarm: Swarm, launch: Make
) -> None:
    started(swarm, played, launch())
    ((service,), (task,)) = played.services.values(), played.tasks.values()
    template = service["Spec"]["TaskTemplate"]
    assert template["RestartPolicy"] == {"Condition": "none"}
    assert template["Placement"]["Constraints"] == [f"node.id=={FIRST}"]
    assert service["Spec"]["Mode"] == {"Replicated": {"Replicas": 1}}
    assert task["NodeID"] == FIRST


@pytest.mark.parametrize(
    ("state", "error", "code", "reason"),
    [
        ("complete", "", 0, Reason.EXITED),
        ("failed", "task: non-zero exit (3)", 3, Reason.EXITED),
        ("failed", "task: non-zero exit (137)", 137, Reason.KILLED),
        ("failed", "task: non-zero exit (143): dockerexec: unhealthy container", 143, Reason.UNHEALTHY),
        ("orphaned", "", None, Reason.EXIT_UNKNOWN),
    ],
)
def test_how_a_run_ended_is_told(
    played: PlayedSwarm,
    swarm: Swarm,
    launch: Make,
    state: str,
    error: str,
    code: int | None,
    reason: Reason,
) -> None:
    one = launch()
    runtime = started(swarm, played, one)
    played.move(one.key.name, state, code=code or 0, error=error, desired="shutdown")
    status = runtime.inspect(one.key)
    assert status is not None
    assert (status.phase, status.exit_code, status.reason) == ("exited", code, reason)
    assert [found.exit_code for found in runtime.list_runs(OWNER)] == [code]


def test_what_swarm_itself_ended_is_never_a_success(played: PlayedSwarm, swarm: Swarm, launch: Make) -> None:
    one = launch()
    runtime = started(swarm, played, one)
    played.move(one.key.name, "shutdown", code=0, desired="shutdown")
    status = runtime.inspect(one.key)
    assert status is not None
    assert status.reason is Reason.KILLED
    assert "Swarm ended it" in status.message


def test_what_was_asked_to_end_keeps_its_exit_code(played: PlayedSwarm, swarm: Swarm, launch: Make) -> None:
    one = launch()
    runtime = started(swarm, played, one)
    runtime.terminate(one.key)
    runtime.terminate(one.key)
    runtime.kill(one.key)
    assert len(played.tasks) == 2, "it is changed once"
    played.move(one.key.name, "shutdown", code=0)
    status = runtime.inspect(one.key)
    assert status is not None
    assert (status.exit_code, status.reason) == (0, Reason.EXITED)


@pytest.mark.parametrize("state", ["down", "disconnected"])
def test_a_task_that_is_running_on_a_node_that_is_down_is_not_known_to_run(
    played: PlayedSwarm, swarm: Swarm, launch: Make, state: str
) -> None:
    one = launch()
    runtime = started(swarm, played, one)
    played.change_node(1, state=state)
    for ask in (
        lambda: runtime.inspect(one.key),
        lambda: runtime.list_runs(OWNER),
        lambda: runtime.start(launch()),
        lambda: runtime.remove(one.key),
        lambda: runtime.describe(),
        lambda: runtime.probe(one.key, HealthCheck.tcp(80)),
        lambda: list(runtime.logs(one.key)),
    ):
        with pytest.raises(EngineUnavailable, match=f"its node host1 is {state}"):
            ask()
    other = swarm.runtime(node_id(2))
    assert other.list_runs(OWNER) != []
    played.change_node(1, state="ready")
    status = runtime.inspect(one.key)
    assert status is not None
    assert status.phase == "running"


def test_a_node_of_which_a_new_leader_has_not_heard_yet_goes_on(
    played: PlayedSwarm, swarm: Swarm, launch: Make
) -> None:
    one = launch()
    runtime = started(swarm, played, one)
    played.change_node(1, state="unknown")
    assert runtime.inspect(one.key) is not None


def test_a_run_of_a_node_that_is_down_can_be_ended_for_when_it_returns(
    played: PlayedSwarm, swarm: Swarm, launch: Make
) -> None:
    one = launch()
    runtime = started(swarm, played, one)
    played.change_node(1, state="down")
    runtime.kill(one.key)
    assert {task["DesiredState"] for task in played.tasks.values() if task["NodeID"] == FIRST} == {"shutdown"}


def test_a_watch_is_silent_while_its_node_is_down_and_then_asks_for_a_listing(
    played: PlayedSwarm, swarm: Swarm, launch: Make
) -> None:
    one = launch()
    runtime = started(swarm, played, one)
    notes = Notes()
    watch = runtime.watch(OWNER, notes)
    eventually(lambda: notes.told == [None])
    played.change_node(1, state="down")
    played.move(one.key.name, "failed", code=1)
    swarm.link.poll.fresh()
    swarm.link.poll.fresh()
    assert notes.told == [None]
    played.change_node(1, state="ready")
    eventually(lambda: notes.told == [None, None])
    watch.close()


def test_after_a_change_there_are_more_looks_for_a_while(
    played: PlayedSwarm, launch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "_LIVELY_S", 60.0)
    one, other, notes = launch(), launch(), Notes()
    with contextlib.closing(Swarm(played.urls, timeout_s=0.5, poll_s=3600)) as swarm:
        started(swarm, played, one)
        runtime = started(swarm, played, other)
        watch = runtime.watch(OWNER, notes)
        swarm.link.poll.fresh()
        eventually(lambda: notes.told == [None])
        played.move(one.key.name, "complete")
        played.move(other.key.name, "complete")
        eventually(lambda: {status.key for status in notes.told if status} == {one.key, other.key})
        watch.close()


def test_that_swarm_ended_a_run_of_a_drained_node_is_told_late_or_when_it_is_asked_to_end(
    played: PlayedSwarm, swarm: Swarm, launch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = launch(), launch()
    runtime = started(swarm, played, first)
    started(swarm, played, second)
    notes = Notes()
    watch = runtime.watch(OWNER, notes)
    eventually(lambda: notes.told == [None])
    played.change_node(1, availability="drain")
    for one in (first, second):
        played.move(one.key.name, "shutdown", code=143, desired="shutdown")
    swarm.link.poll.fresh()
    swarm.link.poll.fresh()
    assert notes.told == [None]
    runtime.terminate(first.key)
    eventually(lambda: notes.exit_of(first.key))
    assert notes.exit_of(second.key) is None
    monkeypatch.setattr("minorch.runtimes.swarm.watching._HELD_BACK_S", 0.0)
    eventually(lambda: notes.exit_of(second.key))
    watch.close()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("No such image: nosuch:latest", Reason.IMAGE_NOT_FOUND),
        ('starting container failed: exec: "/no/such": no such file or directory', Reason.COMMAND_NOT_FOUND),
        ('invalid mount config for type "bind": bind source path does not exist: /x', Reason.START_FAILED),
    ],
)
def test_a_task_that_its_node_rejects_did_not_start_and_leaves_nothing(
    played: PlayedSwarm, swarm: Swarm, launch: Make, error: str, reason: Reason
) -> None:
    one = launch()
    start = Starting(swarm.runtime(FIRST), one, played)
    played.move(one.key.name, "rejected", error=error)
    start.ended()
    assert isinstance(start.error, StartFailed)
    assert start.error.reason == reason.value
    assert played.services == {}


def test_a_secret_is_not_in_the_words_of_a_start_that_failed(
    played: PlayedSwarm, swarm: Swarm, launch: Make
) -> None:
    one = launch(secrets={"TOKEN": Secret("hunter2-in-the-clear")})
    start = Starting(swarm.runtime(FIRST), one, played)
    played.move(one.key.name, "rejected", error="bad environment: TOKEN=hunter2-in-the-clear")
    start.ended()
    assert isinstance(start.error, StartFailed)
    assert "hunter2" not in str(start.error)


def test_a_task_that_swarm_withdrew_before_it_began_is_started_again_later(
    played: PlayedSwarm, swarm: Swarm, launch: Make
) -> None:
    one = launch()
    start = Starting(swarm.runtime(FIRST), one, played)
    task = next(iter(played.tasks.values()))
    task["Status"]["State"], task["DesiredState"] = "shutdown", "shutdown"
    task["Version"] = {"Index": 10**6}
    start.ended()
    assert isinstance(start.error, EngineUnavailable)
    assert "withdrew" in str(start.error)
    assert played.services == {}


def test_a_node_that_goes_down_during_a_start_leaves_it_in_doubt(
    played: PlayedSwarm, swarm: Swarm, launch: Make
) -> None:
    one = launch()
    start = Starting(swarm.runtime(FIRST), one, played)
    played.change_node(1, state="down")
    start.ended()
    assert type(start.error) is EngineUnavailable
    assert len(played.services) == 1, "it may run yet, and is found by its name"


def unplaced(played: PlayedSwarm, error: str) -> None:
    """Have the only task wait for a node."""
    task = next(iter(played.tasks.values()))
    task["NodeID"], task["Status"]["State"] = "", "pending"
    task["Version"] = {"Index": 10**6}
    task["Status"]["Err"] = error


def test_a_run_for_which_swarm_finds_no_room_fails_in_its_words(
    played: PlayedSwarm, swarm: Swarm, launch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minorch.runtimes.swarm.starting._NO_ROOM_S", 0.3)
    one = launch()
    start = Starting(swarm.runtime(FIRST), one, played)
    unplaced(played, "no suitable node (insufficient resources on 1 node)")
    start.ended()
    assert isinstance(start.error, StartFailed)
    assert "insufficient resources" in str(start.error)
    assert played.services == {}


@pytest.mark.parametrize("state", ["down", "ready"])
def test_a_node_of_which_a_new_leader_has_not_heard_is_not_without_room(
    played: PlayedSwarm, swarm: Swarm, launch: Make, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr("minorch.runtimes.swarm.starting._NO_ROOM_S", 0.0)
    played.change_node(1, state="unknown")
    one = launch()
    start = Starting(swarm.runtime(FIRST), one, played)
    unplaced(played, "no suitable node (2 nodes not available for new tasks)")
    number = -1
    for _ in range(5):
        number = swarm.link.poll.wait_round(number, 5.0)[0]
    played.change_node(1, state=state)
    start.ended()
    expected = EngineUnavailable if state == "down" else StartFailed
    assert type(start.error) is expected
    assert len(played.services) == (1 if state == "down" else 0)


def test_a_service_of_that_name_that_is_not_ours_is_left_alone(
    played: PlayedSwarm, swarm: Swarm, launch: Make
) -> None:
    one = launch()
    foreign: dict[str, Any] = {"Name": one.key.name, "Labels": {"minorch.task-id": one.key.task_id}}
    played.services["x" * 25] = {"ID": "x" * 25, "Version": {"Index": 1}, "Spec": foreign}
    runtime = swarm.runtime(FIRST)
    with pytest.raises(StartFailed, match="not this run's has its name"):
        runtime.start(one)
    runtime.kill(one.key)
    runtime.remove(one.key)
    assert list(played.services) == ["x" * 25]


def test_a_change_by_somebody_else_meanwhile_is_made_again(
    played: PlayedSwarm, swarm: Swarm, launch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = launch()
    runtime = started(swarm, played, one)
    record = swarm.link.services.record
    raced = iter([True, False])

    def look(key: Any) -> Any:
        found = record(key)
        if next(raced, False):
            next(iter(played.services.values()))["Version"]["Index"] += 1
        return found

    monkeypatch.setattr(swarm.link.services, "record", look)
    runtime.terminate(one.key)
    assert len(played.tasks) == 2


def test_a_run_that_still_runs_is_not_removed(played: PlayedSwarm, swarm: Swarm, launch: Make) -> None:
    one = launch()
    runtime = started(swarm, played, one)
    with pytest.raises(RuntimeFault, match="still runs"):
        runtime.remove(one.key)


def test_what_has_not_begun_is_known_and_may_be_removed(
    played: PlayedSwarm, swarm: Swarm, launch: Make
) -> None:
    one = launch()
    runtime = swarm.runtime(FIRST)
    start = Starting(runtime, one, played)
    assert [status.phase for status in runtime.list_runs(OWNER)] == ["created"]
    played.tasks.clear()
    status = runtime.inspect(one.key)
    assert status is not None
    assert status.phase == "created"
    runtime.remove(one.key)
    assert runtime.inspect(one.key) is None
    swarm.close()
    start.ended()


def test_what_somebody_else_removed_is_told_as_something_missed(
    played: PlayedSwarm, swarm: Swarm, launch: Make
) -> None:
    one = launch()
    runtime = started(swarm, played, one)
    notes = Notes()
    watch = runtime.watch(OWNER, notes)
    eventually(lambda: notes.told == [None])
    played.services.clear()
    played.tasks.clear()
    eventually(lambda: notes.told == [None, None])
    assert runtime.list_runs(OWNER) == []
    watch.close()


def test_each_node_finds_what_was_left_on_it_and_the_first_what_is_on_none(
    played: PlayedSwarm, swarm: Swarm, launch: Make
) -> None:
    one = launch()
    started(swarm, played, one)
    assert [made.key for made in swarm.runtime(FIRST).list_made()] == [one.key]
    assert swarm.runtime(node_id(2)).list_made() == []
    gone = swarm.runtime(node_id(2))
    del played.nodes[FIRST]
    assert [made.key for made in gone.list_made()] == [one.key]
    assert swarm.runtime(node_id(3)).list_made() == []


def test_a_task_that_did_not_change_is_not_read_again(
    played: PlayedSwarm, swarm: Swarm, launch: Make
) -> None:
    one = launch()
    started(swarm, played, one)
    (record,) = played.tasks.values()
    reader = Reader()

    def read() -> SwarmTask:
        (task,) = reader.read([], [record], began_at=0.0, manager="m").tasks.values()
        return task

    record["Version"] = {"Index": 7}
    first = read()
    assert read() is first
    record["Version"], record["Status"]["State"] = {"Index": 8}, "complete"
    assert read().state == "complete"


def test_a_look_is_like_the_one_before_also_where_swarm_has_replaced_a_task(
    played: PlayedSwarm, swarm: Swarm, launch: Make
) -> None:
    started(swarm, played, launch())
    (record,) = played.tasks.values()
    other = {**record, "ID": "other", "CreatedAt": "2026-01-01T00:00:09Z"}
    reader = Reader()

    def read() -> Snapshot:
        return reader.read([], [record, other], began_at=0.0, manager="m")

    first = read()
    assert read().same_tasks(first)
    record["Version"], record["Status"]["State"] = {"Index": 1000}, "complete"
    assert not read().same_tasks(first)
