"""What the threads that call a runtime make of what it raises."""

from __future__ import annotations

import queue

import pytest

from minorch.contracts import Launch, Owner, RunStatus
from minorch.drivers import RuntimeHands
from minorch.drivers.hands import read_status
from minorch.errors import EngineUnavailable
from minorch.ids import RunKey
from minorch.model import Task
from minorch.states import Reason
from minorch.worker import Cancel, Fact, Remove, Removed, Seen, Start, Unreachable
from tests.cluster.fakes import FakeRuntime

OWNER = Owner("c" * 32, "n")
KEY = RunKey("1" * 32, 1, 1)


def launch_of(*command: str) -> Launch:
    task = Task("task", command=command)
    return Launch(key=KEY, owner=OWNER, job="job", task_name="task", index=0, task=task)


@pytest.mark.parametrize(("call", "preparing"), [("prepare", True), ("start", False)])
def test_an_engine_that_does_not_answer_is_told_with_what_it_was_asked(call: str, preparing: bool):
    runtime, facts = FakeRuntime(), queue.SimpleQueue[Fact]()
    runtime.broken, runtime.raises = {call}, EngineUnavailable("no answer")
    hands = RuntimeHands(runtime)
    try:
        hands.do(Start(launch=launch_of("sleep")), OWNER, facts.put)
        told = facts.get(timeout=20)
        while not isinstance(told, Unreachable):  # how far it has come
            told = facts.get(timeout=20)
    finally:
        hands.close()
    assert told == Unreachable(message="no answer", key=KEY, preparing=preparing)


def test_what_is_to_be_removed_while_it_starts_is_refused_before_what_came_of_the_start_is_told():
    runtime, facts = FakeRuntime(), queue.SimpleQueue[Fact]()
    hands = RuntimeHands(runtime)
    try:
        hands.do(Start(launch=launch_of("hang")), OWNER, facts.put)
        facts.get(timeout=20)  # how far it has come

        def told(fact: Fact) -> None:
            hands.do(Cancel(key=KEY), OWNER, facts.put)  # who is answered may ask for something at once
            facts.put(fact)

        hands.do(Remove(key=KEY), OWNER, told)
        assert facts.get(timeout=20) == Removed(key=KEY, error="its start is still under way", starting=True)
        runtime.let_go.set()
        assert isinstance(facts.get(timeout=20), Seen)
        runtime.end(KEY, 0)
        hands.do(Remove(key=KEY), OWNER, facts.put)
        assert facts.get(timeout=20) == Removed(key=KEY)
    finally:
        runtime.let_go.set()
        hands.close()
    assert runtime.runs == {}


@pytest.mark.parametrize("reason", ["exited", Reason.EXITED])
def test_a_reason_in_plain_text_is_the_same(reason: str):
    status = RunStatus(key=KEY, phase="exited", exit_code=0, reason=reason)  # type: ignore[arg-type]
    assert type(read_status(status).reason) is Reason
    assert read_status(RunStatus(key=KEY, phase="created")).reason is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "expected a RunStatus, got NoneType"),
        (RunStatus(key=KEY, phase="exited", exit_code="0"), "expected an int or None for exit_code, got str"),  # type: ignore[arg-type]
        (RunStatus(key=KEY, phase="exited", exit_code=True), "got bool"),
        (RunStatus(key=KEY, phase="exited", reason="died"), "'died' is no Reason"),  # type: ignore[arg-type]
        (RunStatus(key=KEY, phase="exited", reason=7), "7 is no Reason"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_status_is_named(answer: object, words: str):
    with pytest.raises(TypeError, match=words):
        read_status(answer)
