"""The same scenarios, played by every driver: threads, an event loop, and virtual time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest

import minorch as mo
from tests.contracts.stages import STAGES, Arrivals, Stage

Scenario = Callable[[Stage], None]


def a_batch_completes(stage: Stage) -> None:
    stage.join("a", "b")
    stage.submit("exit", "0", count=20)
    info = stage.until_over()
    assert info.state is mo.JobState.COMPLETED
    assert {task.state for task in info.tasks} == {mo.TaskState.COMPLETED}
    assert Counter(name for name, _ in stage.starts) == {"a": 10, "b": 10}


def a_failure_is_retried_as_often_as_the_job_says(stage: Stage) -> None:
    stage.join("a", "b")
    job = mo.Job("job", [mo.Task("t", command=["exit", "3"], restart=mo.RestartPolicy.never())], retries=2)
    stage.call(lambda core, now: core.submit(job, now))
    info = stage.until_over()
    (task,) = info.tasks
    assert info.state is mo.JobState.FAILED
    assert (task.reason, task.exit_code, len(task.attempts)) == (mo.Reason.EXITED, 3, 3)
    assert task.attempts[0].node != task.attempts[1].node, "another node is tried"


def a_stop_ends_what_runs(stage: Stage) -> None:
    stage.join("a", "b")
    job_id = stage.submit("sleep", count=4)
    stage.until_running()
    stage.call(lambda core, now: core.stop(job_id, now))
    info = stage.until_over()
    assert {task.state for task in info.tasks} == {mo.TaskState.STOPPED}
    assert not stage.live("a")
    assert not stage.live("b")


def what_a_change_raises_reaches_its_caller(stage: Stage) -> None:
    stage.join("a")
    stage.submit("sleep")
    with pytest.raises(mo.UsageError, match='a job called "job"'):
        stage.submit("sleep")
    with pytest.raises(mo.NotFound):
        stage.ask(lambda core, now: core.job("nothing"))
    stage.until_running()


def the_tasks_of_a_worker_that_dies_are_placed_anew(stage: Stage) -> None:
    stage.join("a", "b")
    stage.submit("sleep", count=4)
    stage.until_running()
    stage.end_worker("a")
    stage.until("all of it is on b", lambda: len(stage.live("b")) == 4)
    info = stage.until_running()
    assert sorted(len(task.attempts) for task in info.tasks) == [1, 1, 2, 2]
    assert len(stage.live("a")) == 2, "nobody can tell a dead machine from a dead cable"
    stage.start_worker("a")
    stage.until("what is stale is stopped", lambda: not stage.live("a"))
    assert len(stage.live("b")) == 4


def a_worker_that_is_back_in_time_goes_on_with_what_runs(stage: Stage) -> None:
    stage.join("a")
    stage.submit("sleep", count=3)
    stage.until_running()
    keys = stage.live("a")
    stage.end_worker("a")
    stage.end("a", keys[0], 0)  # which nobody sees
    stage.start_worker("a")
    stage.until("the end of it is known", lambda: states(stage)[mo.TaskState.COMPLETED] == 1)
    for key in keys[1:]:
        stage.end("a", key, 0)
    assert stage.until_over().state is mo.JobState.COMPLETED
    assert len(stage.starts) == 3


def while_the_store_fails_nothing_begins_and_nothing_new_is_accepted(stage: Stage) -> None:
    stage.join("a")
    stage.submit("sleep", name="before")
    stage.until_running("before")
    stage.break_store(broken=True)
    job = mo.Job("in-doubt", [mo.Task("t", command=["exit", "0"])])
    in_doubt = stage.begin(lambda core, now: core.submit(job, now))
    stage.until("it is known", lambda: stage.faulty)
    with pytest.raises(mo.StoreError, match="nothing new is accepted"):
        stage.submit("exit", "0", name="refused")
    began = stage.now()
    stage.until("longer than a lease has passed", lambda: stage.now() - began > 3.5)
    assert not in_doubt.done()
    assert len(stage.starts) == 1
    assert len(stage.live("a")) == 1, "what runs goes on"
    stage.break_store(broken=False)
    assert stage.until_over("in-doubt").state is mo.JobState.COMPLETED
    assert stage.job("in-doubt").id == in_doubt.result(0)
    assert "refused" not in stage.ask(lambda core, now: core.job_ids())
    assert "node_lost" not in {event.kind for event in stage.ask(lambda core, now: core.events())}


def a_manager_goes_on_from_its_store(stage: Stage) -> None:
    stage.join("a", "b")
    stage.submit("sleep", count=4)
    stage.until_running()
    epoch = stage.ask(lambda core, now: core.epoch)
    keys = [(name, key) for name in "ab" for key in stage.live(name)]
    stage.end_manager()
    stage.end(*keys[0], 0)
    for _ in range(20):
        stage.pause()
    stage.start_manager()
    assert stage.ask(lambda core, now: core.epoch) == epoch + 1
    stage.until("the end of one is known", lambda: states(stage)[mo.TaskState.COMPLETED] == 1)
    for key in keys[1:]:
        stage.end(*key, 0)
    assert stage.until_over().state is mo.JobState.COMPLETED
    assert len(stage.starts) == 4


def a_drain_empties_a_node(stage: Stage) -> None:
    stage.join("a", "b")
    stage.submit("sleep", count=4)
    stage.until_running()
    stage.call(lambda core, now: core.drain("a", now, at_once=1))
    stage.until("all of it is on b", lambda: len(stage.live("b")) == 4)
    stage.until("it is over", lambda: not stage.ask(lambda core, now: core.node("a")).draining)
    assert not stage.live("a")
    assert stage.ask(lambda core, now: core.node("a")).cordoned
    stage.until_running()


def messages(arrivals: Arrivals) -> Scenario:
    """A batch and a stop, while this is done to messages."""

    def play(stage: Stage) -> None:
        stage.arrivals = arrivals
        stage.join("a", "b")
        service = stage.submit("sleep", name="long", count=4)
        stage.submit("exit", "0", count=30)
        info = stage.until_over()
        assert info.state is mo.JobState.COMPLETED
        stage.until_running("long")
        stage.call(lambda core, now: core.stop(service, now))
        stage.until_over("long")
        stage.until("nothing runs", lambda: not (stage.live("a") or stage.live("b")))
        assert len(stage.starts) == 34, "each began once"

    return play


def lost(dice: random.Random) -> Sequence[float]:
    return () if dice.random() < 0.3 else (0.0,)


def doubled(dice: random.Random) -> Sequence[float]:
    return (0.0, 0.0, dice.uniform(0.0, 0.5))


def late(dice: random.Random) -> Sequence[float]:
    return (dice.uniform(0.0, 0.3),)


def anyhow(dice: random.Random) -> Sequence[float]:
    return [dice.uniform(0.0, 0.3) for _ in range(dice.choice((0, 1, 1, 1, 2)))]


TABLE: dict[str, Scenario] = {
    "a batch completes": a_batch_completes,
    "a failure is retried": a_failure_is_retried_as_often_as_the_job_says,
    "a stop": a_stop_ends_what_runs,
    "an error of the caller's": what_a_change_raises_reaches_its_caller,
    "a worker dies": the_tasks_of_a_worker_that_dies_are_placed_anew,
    "a worker is started again": a_worker_that_is_back_in_time_goes_on_with_what_runs,
    "a store fails for a while": while_the_store_fails_nothing_begins_and_nothing_new_is_accepted,
    "a manager is started again": a_manager_goes_on_from_its_store,
    "a drain": a_drain_empties_a_node,
    "messages are lost": messages(lost),
    "messages are doubled": messages(doubled),
    "messages are late and out of order": messages(late),
    "messages are lost, doubled, late and out of order": messages(anyhow),
}


def states(stage: Stage) -> Counter[mo.TaskState]:
    return Counter(task.state for task in stage.job().tasks)


@pytest.fixture(params=STAGES, ids=lambda kind: kind.__name__)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    made: Stage = request.param()
    try:
        made.start_manager()
        yield made
        keys = [key for _, key in made.starts]
        assert len(set(keys)) == len(keys), "a run began twice"
        numbers = [event.number for event in made.ask(lambda core, now: core.events())]
        assert numbers == list(range(1, len(numbers) + 1)), "events have gaps"
    finally:
        made.close()


@pytest.mark.parametrize("scenario", TABLE)
def test_every_driver_plays_the_same_scenario(scenario: str, stage: Stage):
    TABLE[scenario](stage)
