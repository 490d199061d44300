"""Which orders a worker takes."""

from __future__ import annotations

import random

import msgspec
import pytest

from minorch.contracts import Probe, RunStatus
from minorch.errors import MessageError
from minorch.ids import RunKey
from minorch.messages import Assign, Assignment
from minorch.model import HealthCheck, Node, RestartPolicy, Task
from minorch.states import AttemptState
from minorch.worker import Kill, Listed, ListRuns, Probed, Remove, Removed, Seen, Start, Terminate, Worker

CLUSTER = "c" * 32
TASK = "a" * 32
NOW = 1000.0


def worker(incarnation: str = "first", *, listed: bool = True) -> Worker:
    made = Worker(Node("n"), cluster_id=CLUSTER, incarnation=incarnation, random=random.Random(1), now=NOW)
    if listed:
        (listing,) = [a for a in made.settle(NOW).actions if isinstance(a, ListRuns)]
        made.observe(Listed(asked=listing.asked, statuses=()), NOW)
        made.settle(NOW)
    return made


def run(task_id: str = TASK, attempt: int = 1) -> Assignment:
    return Assignment(
        task_id=task_id,
        attempt=attempt,
        desired="run",
        task=Task("t", command=["x"]),
        restart=RestartPolicy.never(),
    )


def assign(*entries: Assignment, revision: int = 1, **fields: object) -> Assign:
    given = {"cluster_id": CLUSTER, "worker": "n", "epoch": 1, "incarnation": "first", **fields}
    return Assign(revision=revision, entries=entries, **given)  # type: ignore[arg-type]


def starts(made: Worker) -> list[Start]:
    return [action for action in made.settle(NOW).actions if isinstance(action, Start)]


def test_an_order_for_an_earlier_incarnation_starts_nothing():
    made = worker("second")
    made.receive(assign(run()), NOW)
    assert starts(made) == []
    made.receive(assign(run(), incarnation="second"), NOW)
    assert len(starts(made)) == 1


def found(phase: str = "running") -> Worker:
    made = worker(listed=False)
    (listing,) = [a for a in made.settle(NOW).actions if isinstance(a, ListRuns)]
    status = RunStatus(key=RunKey(TASK, 1, 1), phase=phase, started_at=NOW)  # type: ignore[arg-type]
    made.observe(Listed(asked=listing.asked, statuses=(status,)), NOW)
    made.settle(NOW)
    return made


def test_what_was_found_and_is_named_in_time_is_not_given_up():
    made = found()
    made.receive(assign(), NOW)
    made.receive(assign(run(), revision=2, base=1), NOW + 5)
    for at in (10, 31, 60):
        assert not [a for a in made.settle(NOW + at).actions if isinstance(a, Terminate | Kill | Remove)]
    assert not made.idle


def test_what_was_given_up_is_not_taken_up_again():
    made = found()
    made.receive(assign(), NOW)
    assert [type(a) for a in made.settle(NOW + 31).actions if isinstance(a, Terminate)] == [Terminate]
    over = RunStatus(key=RunKey(TASK, 1, 1), phase="exited", exit_code=143)
    made.observe(Seen(status=over), NOW + 31)
    assert [type(a) for a in made.settle(NOW + 31).actions if isinstance(a, Remove)] == [Remove]
    made.receive(assign(run(), revision=2, base=1), NOW + 32)
    assert starts(made) == []
    made.observe(Removed(key=over.key), NOW + 33)
    assert made.idle


def test_what_ended_before_its_start_returned_is_removed_as_soon_as_that_has():
    made = worker()
    made.receive(assign(run()), NOW)
    (start,) = starts(made)
    over = RunStatus(key=start.key, phase="exited", exit_code=0)
    made.observe(Seen(status=over), NOW)  # by the watch
    made.receive(assign(revision=2, base=1, released=((TASK, 1),)), NOW + 1)
    assert [type(a) for a in made.settle(NOW + 1).actions if isinstance(a, Remove)] == [Remove]
    made.observe(Removed(key=start.key, error="its start is still under way", starting=True), NOW + 1)
    assert not [a for a in made.settle(NOW + 1).actions if isinstance(a, Remove)]
    made.observe(Seen(status=over), NOW + 1.1)  # by the start
    made.observe(Seen(status=over), NOW + 1.1)
    assert [type(a) for a in made.settle(NOW + 1.1).actions if isinstance(a, Remove)] == [Remove]
    made.observe(Removed(key=start.key, error="the engine is busy"), NOW + 1.2)
    made.observe(Seen(status=over), NOW + 1.2)
    assert not [a for a in made.settle(NOW + 1.2).actions if isinstance(a, Remove)], "not at once, again"
    assert [type(a) for a in made.settle(NOW + 7).actions if isinstance(a, Remove)] == [Remove]
    made.observe(Removed(key=start.key), NOW + 7)
    assert made.idle


def test_a_container_that_is_seen_before_it_runs_is_still_being_started():
    made = worker()
    made.receive(assign(run()), NOW)
    (start,) = starts(made)
    made.observe(Seen(status=RunStatus(key=start.key, phase="created")), NOW)
    step = made.settle(NOW)
    assert step.report is None or step.report.observed[0].state is AttemptState.PREPARING


def test_a_stop_of_what_its_health_check_is_ending_does_not_ask_it_twice():
    made = worker()
    check = HealthCheck.tcp(80, interval_s=1.0, threshold=1)
    task = Task("t", command=["x"], health=check)
    made.receive(assign(msgspec.structs.replace(run(), task=task)), NOW)
    (start,) = starts(made)
    made.observe(Seen(status=RunStatus(key=start.key, phase="running", started_at=NOW)), NOW)
    made.observe(Probed(key=start.key, probe=Probe(healthy=False, detail="no")), NOW + 1)
    assert any(isinstance(a, Terminate) for a in made.settle(NOW + 1).actions)
    stop = Assignment(task_id=TASK, attempt=1, desired="stop", run=1)
    made.receive(assign(stop, revision=2, base=1), NOW + 1)
    assert not any(isinstance(a, Terminate) for a in made.settle(NOW + 1).actions)


def test_what_is_held_back_until_the_runs_are_known_is_bounded():
    made = worker(listed=False)
    (listing,) = [a for a in made.settle(NOW).actions if isinstance(a, ListRuns)]
    for revision in range(1, 1500):
        made.receive(assign(revision=revision, base=revision - 1), NOW)
    assert made._held_back is not None
    assert len(made._held_back) == 1000
    made.observe(Listed(asked=listing.asked, statuses=()), NOW)
    report = made.settle(NOW + 10).report
    assert report is not None
    assert report.revision in (0, 1000)


def test_orders_of_an_older_manager_and_changes_to_what_was_not_received_are_not_taken():
    made = worker()
    made.receive(assign(revision=5, epoch=2), NOW)
    made.receive(assign(run(), revision=9, epoch=1), NOW)
    made.receive(assign(run(), revision=7, epoch=2, base=6), NOW)
    made.receive(assign(run(), revision=1, epoch=3, base=0), NOW)
    assert starts(made) == []
    assert made.owner == (CLUSTER, "n")


def test_another_workers_orders_are_refused():
    with pytest.raises(MessageError):
        worker().receive(assign(worker="m"), NOW)
