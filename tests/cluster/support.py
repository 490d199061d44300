"""What tests of the cluster share: waiting with a deadline, and tasks in one line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

import minorch as mo

T = TypeVar("T")
PATIENCE_S = 10.0


def eventually(ask: Callable[[], T], what: str = "it", timeout_s: float = PATIENCE_S) -> T:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (answer := ask()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come within {timeout_s:g} s; the last answer was {answer!r}")
        time.sleep(0.01)
    return answer


def task(*command: str, name: str = "part", **fields: Any) -> mo.Task:
    """A task; without a command one that runs until it is stopped."""
    return mo.Task(name, command=command or ("sleep",), **fields)


def running(job: mo.JobHandle) -> mo.JobHandle:
    """Wait until every task of a job runs."""
    eventually(
        lambda: all(info.state is mo.TaskState.RUNNING for info in job.info().tasks), f"{job!r} running"
    )
    return job


def threads() -> list[str]:
    """The names of minorch's threads that run."""
    return sorted(thread.name for thread in threading.enumerate() if "minorch" in thread.name)


def no_strangers_in(error: BaseException) -> None:
    """Fail if a traceback would show an exception of a library that minorch uses."""
    seen: BaseException | None = error
    while seen is not None:
        module = type(seen).__module__.partition(".")[0]
        assert module not in ("docker", "sqlite3", "requests", "urllib3", "msgspec", "psutil"), repr(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
