"""Engines that are down, hang, or die and come back."""

from __future__ import annotations

import os
import queue
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minorch.contracts import Owner, RunStatus
from minorch.errors import EngineUnavailable, RuntimeFault
from minorch.ids import RunKey
from minorch.runtimes.docker import DockerRuntime
from minorch.states import Reason
from tests.engines.docker.conftest import PATIENCE_S, SecondEngine, Story, eventually

OWNER = Owner("ab" * 16, "node-1")
KEY = RunKey("cd" * 16, 1, 1)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path leaves room in a socket's 107 bytes, as pytest's may not."""
    with tempfile.TemporaryDirectory(prefix="minorch-", dir="/tmp") as folder:
        yield Path(folder)


def test_without_an_engine_every_call_says_so_and_what_to_do(short_path: Path):
    runtime = DockerRuntime(f"unix://{short_path}/absent.sock")
    for call in (
        runtime.describe,
        lambda: runtime.inspect(KEY),
        lambda: runtime.list_runs(OWNER),
        lambda: runtime.kill(KEY),
        lambda: runtime.remove(KEY),
        lambda: runtime.logs(KEY),
    ):
        with pytest.raises(EngineUnavailable, match="is it running") as caught:
            call()
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
    assert runtime.stats([KEY]) == {}
    runtime.close()
    with pytest.raises(RuntimeFault, match="closed"):
        runtime.describe()


def test_a_watch_without_an_engine_waits_quietly_and_closes_promptly(short_path: Path):
    runtime = DockerRuntime(f"unix://{short_path}/absent.sock")
    told: list[RunStatus | None] = []
    watch = runtime.watch(OWNER, told.append)
    begun = time.monotonic()
    watch.close()
    assert time.monotonic() - begun < 2
    assert told == []
    runtime.close()


@pytest.fixture
def black_hole(short_path: Path) -> Iterator[str]:
    """The URL of something that accepts connections and never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{short_path}/hole.sock")
        listener.listen(64)
        yield f"unix://{short_path}/hole.sock"


def test_an_engine_that_hangs_is_unavailable_in_time(black_hole: str):
    runtime = DockerRuntime(black_hole, timeout_s=0.2)
    begun = time.monotonic()
    with pytest.raises(EngineUnavailable, match="did not answer in time"):
        runtime.describe()
    assert time.monotonic() - begun < 5
    runtime.close()


def test_a_socket_without_permission_names_the_docker_group(short_path: Path):
    if os.geteuid() == 0:
        from minorch.runtimes.docker.faults import unreachable

        assert "docker group" in str(unreachable(PermissionError(13, "Permission denied"), "unix:///x"))
        return
    path = short_path / "closed.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0)
        with pytest.raises(EngineUnavailable, match="docker group"):
            DockerRuntime(f"unix://{path}").describe()


def test_an_engine_that_is_killed_and_comes_back_is_listed_anew(second_engine: SecondEngine):
    told: queue.Queue[RunStatus | None] = queue.Queue()
    runtime = DockerRuntime(second_engine.url, timeout_s=20)
    import docker

    story = Story(runtime, docker.APIClient(base_url=second_engine.url))
    watch = runtime.watch(story.owner, told.put)
    try:
        assert told.get(timeout=PATIENCE_S) is None
        launch = story.start("sleep", "300")
        broke = threading.Event()

        def follow() -> None:
            try:
                for _piece in runtime.logs(launch.key, follow=True):
                    pass
            except EngineUnavailable:
                broke.set()

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        eventually(lambda: [t for t in threading.enumerate() if "logs-guard" in t.name], "the follower")
        second_engine.process().send_signal(signal.SIGKILL)
        assert broke.wait(PATIENCE_S)  # a log that breaks off does not look complete
        while told.get(timeout=60) is not None:
            pass  # ends of runs may or may not be seen; the call for a listing always is
        status = eventually(lambda: runtime.inspect(launch.key), "the run")
        assert status is not None
        assert status.phase == "exited"  # killed by the restart, for live-restore is off
        assert status.exit_code != 0
        assert status.reason in (Reason.KILLED, Reason.EXITED)
        again = story.start("sh", "-c", "exit 6")
        while (
            (heard := told.get(timeout=PATIENCE_S)) is None
            or heard.key != again.key
            or heard.exit_code is None
        ):
            pass
        assert heard.exit_code == 6
    finally:
        watch.close()
        story.clean_up()
        runtime.close()
        story.api.close()


def frozen(pid: int) -> bool:
    """Whether every thread of a process stands still; the signal takes a moment to reach them all."""
    stats = (path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat"))
    return all(text.rpartition(")")[2].split()[0] == "T" for text in stats)


def test_a_frozen_engine_is_unavailable_and_its_watch_recovers(
    second_engine: SecondEngine, monkeypatch: pytest.MonkeyPatch
):
    from minorch.runtimes.docker import watching

    monkeypatch.setattr(watching, "_PING_S", 0.3)
    told: queue.Queue[RunStatus | None] = queue.Queue()
    runtime = DockerRuntime(second_engine.url, timeout_s=1)
    watch = runtime.watch(OWNER, told.put)
    daemon = second_engine.process()
    try:
        assert told.get(timeout=PATIENCE_S) is None
        daemon.suspend()
        eventually(lambda: frozen(daemon.pid), "all its threads to stop")
        with pytest.raises(EngineUnavailable, match="in time"):
            runtime.list_runs(OWNER)
        eventually(lambda: watch._stream is None, "the end of the silent stream")  # type: ignore[attr-defined]
        daemon.resume()
        assert told.get(timeout=PATIENCE_S) is None
    finally:
        daemon.resume()
        watch.close()
        runtime.close()
