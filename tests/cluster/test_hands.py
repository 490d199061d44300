"""What the threads that call a runtime make of what it raises."""

from __future__ import annotations

import queue

import pytest

from minorch.contracts import Launch, Owner
from minorch.drivers import RuntimeHands
from minorch.errors import EngineUnavailable
from minorch.ids import RunKey
from minorch.model import Task
from minorch.worker import Fact, Start, Unreachable
from tests.cluster.fakes import FakeRuntime


@pytest.mark.parametrize(("call", "preparing"), [("prepare", True), ("start", False)])
def test_an_engine_that_does_not_answer_is_told_with_what_it_was_asked(call: str, preparing: bool):
    runtime, facts = FakeRuntime(), queue.SimpleQueue[Fact]()
    runtime.broken, runtime.raises = {call}, EngineUnavailable("no answer")
    owner = Owner("c" * 32, "n")
    key = RunKey("1" * 32, 1, 1)
    task = Task("task", command=["sleep"])
    launch = Launch(key=key, owner=owner, job="job", task_name="task", index=0, task=task)
    hands = RuntimeHands(runtime)
    try:
        hands.do(Start(launch=launch), owner, facts.put)
        told = facts.get(timeout=20)
        while not isinstance(told, Unreachable):  # how far it has come
            told = facts.get(timeout=20)
    finally:
        hands.close()
    assert told == Unreachable(message="no answer", key=key, preparing=preparing)
