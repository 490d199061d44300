"""A process runtime with its own root, and a short way to start something on it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from minorch.contracts import Launch, Owner, RunStatus
from minorch.ids import RunKey
from minorch.model import Task
from minorch.runtimes.process import ProcessRuntime
from minorch.testing.runtime_contract import eventually

OWNER = Owner("c" * 32, "node-1")


def launch(task: Task, key: RunKey | None = None) -> Launch:
    return Launch(
        key=key or RunKey(uuid.uuid4().hex, 1, 1),
        owner=OWNER,
        job="job",
        task_name=task.name,
        index=0,
        task=task,
    )


def shell(line: str) -> Task:
    return Task("t", command=["sh", "-c", line])


def exited(runtime: ProcessRuntime, key: RunKey) -> RunStatus:
    def look() -> RunStatus | None:
        status = runtime.inspect(key)
        assert status is not None
        return status if status.phase == "exited" else None

    status = eventually(look)
    assert status is not None
    return status


def output(runtime: ProcessRuntime, key: RunKey) -> str:
    return b"".join(runtime.logs(key)).decode()


def ran(runtime: ProcessRuntime, task: Task) -> str:
    """What the task wrote, once it has ended with 0."""
    given = launch(task)
    runtime.start(given)
    status = exited(runtime, given.key)
    assert status.exit_code == 0, output(runtime, given.key)
    return output(runtime, given.key)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A root directory; whatever lies there in the end is killed and removed, and nothing stays behind."""
    path = tmp_path / "runs"
    yield path
    last = ProcessRuntime(path)
    for status in last.list_runs(OWNER):
        last.kill(status.key)
        exited(last, status.key)
        last.remove(status.key)
    last.close()
    assert list(path.rglob("*")) == []


@pytest.fixture
def runtime(root: Path) -> Iterator[ProcessRuntime]:
    runtime = ProcessRuntime(root)
    yield runtime
    runtime.close()
