"""Fixtures for tests of the Docker runtime on a real engine: launches, a second engine, a registry."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil
import pytest

from minorch.contracts import Launch, Owner, RunStatus
from minorch.ids import RunKey
from minorch.model import Task
from minorch.runtimes.docker import DockerRuntime
from tools import engine

if TYPE_CHECKING:
    from docker import APIClient

T = TypeVar("T")
PATIENCE_S = 30.0


def eventually(ask: Callable[[], T], what: str = "it", timeout_s: float = PATIENCE_S) -> T:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (answer := ask()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come within {timeout_s:g} s; the last answer was {answer!r}")
        time.sleep(0.02)
    return answer


def required(reason: str) -> None:
    """Skip, or fail where MINORCH_REQUIRE_DOCKER says that nothing may be missing."""
    if os.environ.get("MINORCH_REQUIRE_DOCKER") == "1":
        pytest.fail(f"MINORCH_REQUIRE_DOCKER=1, but {reason}", pytrace=False)
    pytest.skip(reason)


class Story:
    """A runtime with one owner: makes launches, waits for ends, and cleans up behind them."""

    def __init__(self, runtime: DockerRuntime, api: APIClient) -> None:
        self.runtime = runtime
        self.api = api
        self.owner = Owner(secrets.token_hex(16), "node-1")

    def launch(
        self, *command: str, key: RunKey | None = None, owner: Owner | None = None, **fields: Any
    ) -> Launch:
        """A launch of a task of busybox, without a network unless one is named."""
        fields.setdefault("image", engine.IMAGE)
        fields.setdefault("networks", ["none"])
        return Launch(
            key=key or RunKey(secrets.token_hex(16), 1, 1),
            owner=owner or self.owner,
            job="story",
            task_name="part",
            index=0,
            task=Task("part", command=list(command), **fields),
        )

    def start(self, *command: str, **fields: Any) -> Launch:
        """Start a launch, and return it."""
        launch = self.launch(*command, **fields)
        self.runtime.start(launch)
        return launch

    def ended(self, launch: Launch) -> RunStatus:
        """How a launch ended, once it has."""

        def ask() -> RunStatus | None:
            status = self.runtime.inspect(launch.key)
            return status if status is not None and status.phase == "exited" else None

        status = eventually(ask, "the end")
        assert status is not None
        return status

    def record(self, launch: Launch) -> dict[str, Any]:
        """The engine's record of a launch's container."""
        return dict(self.api.inspect_container(launch.key.name))

    def listed(self) -> list[str]:
        """The names of all containers of this owner."""
        label = f"minorch.cluster={self.owner.cluster_id}"
        return [entry["Names"][0] for entry in self.api.containers(all=True, filters={"label": label})]

    def clean_up(self) -> None:
        """Remove every container of this owner."""
        import docker

        label = f"minorch.cluster={self.owner.cluster_id}"
        for entry in self.api.containers(all=True, filters={"label": label}):
            with contextlib.suppress(docker.errors.APIError):
                self.api.remove_container(entry["Id"], force=True, v=True)


@pytest.fixture
def runtime(engine_url: str) -> Iterator[DockerRuntime]:
    """A runtime with the default policy."""
    runtime = DockerRuntime(engine_url)
    yield runtime
    runtime.close()


@pytest.fixture
def story(runtime: DockerRuntime, engine_api: APIClient, busybox: str) -> Iterator[Story]:
    """The runtime, an owner of its own, and the engine behind its back."""
    story = Story(runtime, engine_api)
    yield story
    story.clean_up()


@pytest.fixture
def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


# -- a second engine ----------------------------------------------------------------------------------------

_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_INIT = """
mount -t tmpfs tmpfs /run && ip link set lo up
while :; do
    rm -f $0/pid
    dockerd --host unix://$0/socket --data-root $0/data --exec-root $0/exec --pidfile $0/pid \
        --storage-driver vfs --iptables=false --ip6tables=false --bridge=none >>$0/log 2>&1
    sleep 0.1
done
"""


class SecondEngine:
    """An engine that a test may kill, in namespaces of its own; it comes up again by itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/socket"
        self._init = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", _INIT, str(folder)],
            env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
            stdin=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        """Return when it answers."""
        eventually(lambda: engine.answers(f"{self.folder}/socket"), "the second engine", 60)

    def process(self) -> psutil.Process:
        """Its dockerd, among the processes that we started."""
        found = psutil.Process(self._init.pid).children(recursive=True)
        return next(process for process in found if process.name() == "dockerd")

    def close(self) -> None:
        """End it and everything in its namespaces."""
        self._init.kill()
        self._init.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def second_engine(engine_url: str) -> Iterator[SecondEngine]:
    """An engine of the test's own, with the busybox image."""
    if os.geteuid() != 0 or not shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin"):
        required("a second engine needs root and dockerd")
    second = SecondEngine(
        Path(tempfile.mkdtemp(prefix="minorch-engine-", dir="/tmp"))
    )  # short: a socket's path
    try:
        second.wait()
        engine.make_image(f"{second.folder}/socket")
        yield second
    finally:
        second.close()


# -- a registry ---------------------------------------------------------------------------------------------


class Registry:
    """Debian's docker-registry on the loopback address, with one image in it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.host = f"127.0.0.1:{port}"
        config = folder / "config.yml"
        config.write_text(
            "version: 0.1\nlog: {level: error}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.host}'}}\n"
        )
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(config)], stdout=log, stderr=log
            )

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            with urllib.request.urlopen(f"http://{self.host}/v2/", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def push(self, api: APIClient, source: str, name: str) -> str:
        """Push an image under a name, remove it from the engine, and return its reference here."""
        repository, _colon, tag = name.partition(":")
        target = f"{self.host}/{repository}"
        api.tag(source, target, tag, force=True)
        for record in api.push(target, tag, stream=True, decode=True):
            assert "error" not in record, record
        api.remove_image(f"{target}:{tag}")
        return f"{target}:{tag}"

    def corrupt(self) -> None:
        """Damage every layer, as a failing disk would."""
        for blob in (self.folder / "data").rglob("data"):
            if blob.is_file() and blob.read_bytes()[:2] == b"\x1f\x8b":
                blob.write_bytes(b"x" * blob.stat().st_size)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(timeout=20)


@pytest.fixture
def registry(engine_url: str, tmp_path: Path, free_port: int) -> Iterator[Registry]:
    """A registry of the test's own."""
    if not shutil.which("docker-registry"):
        required("docker-registry is not installed (apt-get install docker-registry)")
    registry = Registry(tmp_path, free_port)
    try:
        eventually(registry.answers, "the registry")
        yield registry
    finally:
        registry.close()
