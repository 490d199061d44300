"""Fixtures for tests of the Cluster without an engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import minorch as mo
from minorch.runtimes.process import ProcessRuntime
from tests.cluster.fakes import FakeRuntime
from tests.cluster.support import eventually, threads


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Fail a test that leaves a thread of minorch behind."""
    yield
    eventually(lambda: not threads(), f"the end of all threads, of {threads()},", 10)


@pytest.fixture
def fake() -> Iterator[FakeRuntime]:
    """A runtime in memory."""
    runtime = FakeRuntime()
    yield runtime
    runtime.let_go.set()


@pytest.fixture
def make(fake: FakeRuntime) -> Iterator[Callable[..., mo.Cluster]]:
    """Make a cluster on the fake runtime; it is closed at the end."""
    made: list[mo.Cluster] = []

    def make_one(workers: Any = 1, **options: Any) -> mo.Cluster:
        options.setdefault("runtime", fake)
        made.append(mo.Cluster(workers, **options))
        return made[-1]

    yield make_one
    for cluster in made:
        cluster.close()


@pytest.fixture
def cluster(make: Callable[..., mo.Cluster]) -> mo.Cluster:
    """A cluster of one worker on the fake runtime."""
    return make()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ProcessRuntime]:
    """Plain processes, with their files in a directory of the test's."""
    runtime = ProcessRuntime(tmp_path / "runs")
    yield runtime
    runtime.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a cluster that closes be less patient than it is."""
    from minorch.cluster import crew

    monkeypatch.setattr(crew, "_MARGIN_S", 0.5)
    monkeypatch.setattr(crew, "_JOIN_S", 0.5)


@pytest.fixture
def warnings_of(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """What was logged at the level of warnings and above, as one text."""
    caplog.set_level(logging.WARNING)
    return lambda: "\n".join(record.getMessage() for record in caplog.records)
