"""Answers to a start that a real engine gives too rarely to wait for."""

from __future__ import annotations

from typing import Any

import pytest

from minorch.contracts import Launch, Owner
from minorch.errors import EngineUnavailable
from minorch.ids import RunKey
from minorch.model import Secret, Task
from minorch.runtimes.docker import starting
from minorch.runtimes.docker.containers import Containers
from minorch.runtimes.docker.engine import Engine
from minorch.runtimes.docker.faults import Refused
from minorch.runtimes.docker.labels import labels_of
from minorch.runtimes.docker.policy import DockerPolicy
from minorch.runtimes.docker.translation import Host
from minorch.states import Reason

ID = "f" * 64
LAUNCH = Launch(
    key=RunKey("a" * 32, 1, 1),
    owner=Owner("c" * 32, "node-1"),
    job="job",
    task_name="t",
    index=0,
    task=Task("t", image="busybox", secrets={"PASSWORD": Secret("hunter2-hunter2")}),
)


class Scripted(Engine):
    """An engine that makes and starts a container, and then tells of it as it is told to."""

    def __init__(self, told: dict[str, Any] | Refused, *, there: bool = False) -> None:
        super().__init__("unix:///absent.sock", timeout_s=1, connections=1)
        self.told, self.there = told, there
        self.starts = 0

    def record(self, method, path, query=None, *, body=None, timeout_s=None):
        if path == "/containers/create" and self.there:
            raise Refused(409, "the name is in use", "POST")
        if path == "/containers/create":
            return {"Id": ID}
        if path.endswith("/start"):
            self.starts += 1
            return {}
        if isinstance(self.told, Refused):
            raise self.told
        return self.told


def record(status: str, started_at: str) -> dict[str, Any]:
    return {
        "Id": ID,
        "State": {"Status": status, "StartedAt": started_at, "ExitCode": 0},
        "Config": {"Labels": labels_of(LAUNCH)},
    }


def start(engine: Engine):
    return starting.start(engine, Containers(engine), DockerPolicy(), Host(None, True), LAUNCH)


def test_a_run_of_which_the_engine_refuses_to_tell_may_have_been_started():
    """It may not be said to have failed to start: it runs."""
    with pytest.raises(EngineUnavailable, match=r"refused .* disk is full: \*\*\*"):
        start(Scripted(Refused(500, "disk is full: hunter2-hunter2", "GET")))


@pytest.mark.parametrize(
    "told", [Refused(404, "No such container", "GET"), record("removing", "2026-01-01T00:00:00Z")]
)
def test_a_run_that_was_removed_right_after_its_start_has_ended(told: Any):
    """Were it not known whether it was started, its worker would look, find nothing, and start it again."""
    status = start(Scripted(told))
    assert (status.phase, status.exit_code, status.reason) == ("exited", None, Reason.EXIT_UNKNOWN)


def test_a_run_that_ran_before_and_is_just_being_removed_has_ended():
    engine = Scripted(record("removing", "2026-01-01T00:00:00Z"), there=True)
    assert start(engine).reason is Reason.EXIT_UNKNOWN
    assert engine.starts == 0


def test_a_container_that_never_ran_and_is_just_being_removed_may_be_made_anew():
    engine = Scripted(record("removing", "0001-01-01T00:00:00Z"), there=True)
    with pytest.raises(EngineUnavailable, match="just being removed"):
        start(engine)
    assert engine.starts == 0
