"""An engine behind a real SSH server of the test's own, reached by the system's ssh."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import minorch as mo
from minorch.errors import EngineUnavailable
from minorch.runtimes.docker import DockerRuntime
from tests.engines.docker.conftest import eventually, required

SSHD = "/usr/sbin/sshd"


class Server:
    """An sshd on the loopback, and the ``ssh`` that knows it, which comes first on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        for name in ("host", "user", "stranger"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
            )
        shutil.copy(folder / "user.pub", folder / "authorized")
        (folder / "authorized").chmod(0o600)
        (folder / "sshd.conf").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile {folder}/pid\n"
            f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "PermitRootLogin yes\nAllowStreamLocalForwarding yes\nLogLevel ERROR\n"
            f"SetEnv HOME={folder}\n"  # so that a shell reads nobody's start-up file
        )
        self.trust("host")
        self.identify_as("user")
        (folder / "bin").mkdir()
        wrapper = folder / "bin" / "ssh"
        wrapper.write_text(
            f'#!/bin/sh\necho once >>{folder}/calls\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n'
        )
        wrapper.chmod(0o755)
        self._sshd: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where the engine is."""
        return f"ssh://root@127.0.0.1:{self.port}"

    def trust(self, key: str | None) -> None:
        """Have only the host known that shows this key; None: none at all."""
        known = self.folder / "known_hosts"
        words = "" if key is None else (self.folder / f"{key}.pub").read_text()
        known.write_text(f"[127.0.0.1]:{self.port} {words}" if words else "")

    def identify_as(self, key: str) -> None:
        """Log in with this key."""
        (self.folder / "config").write_text(
            f"Host *\n  IdentityFile {self.folder}/{key}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.folder}/known_hosts\n  GlobalKnownHostsFile /dev/null\n"
        )

    def start(self) -> None:
        """Have it listen."""
        Path("/run/sshd").mkdir(exist_ok=True)
        self._sshd = subprocess.Popen(
            [SSHD, "-D", "-f", str(self.folder / "sshd.conf")], stderr=subprocess.DEVNULL
        )
        eventually(self._listens, "the SSH server")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """End it, with every connection."""
        if self._sshd is not None:
            for child in psutil.Process(self._sshd.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            self._sshd.kill()
            self._sshd.wait()
            self._sshd = None


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests here."""
    if os.geteuid() != 0 or not os.path.exists(SSHD) or shutil.which("ssh-keygen") is None:
        required("an SSH server of a test's own needs root, openssh-server and openssh-client")
    server = Server(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture
def server(sshd: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """It, as it is at first, with its ``ssh`` on PATH."""
    sshd.trust("host")
    sshd.identify_as("user")
    monkeypatch.setenv("PATH", f"{sshd.folder / 'bin'}:{os.environ['PATH']}")
    return sshd


def connections() -> list[psutil.Process]:
    """The ssh processes that this one has started."""
    return [
        child
        for child in psutil.Process().children()
        if child.name() == "ssh" and child.status() != psutil.STATUS_ZOMBIE
    ]


def test_containers_run_and_all_calls_share_one_connection(server: Server, busybox: str):
    engine_ = mo.DockerEngine(server.url, name="far", capacity=mo.Resources(cpu=1, memory="1GiB"))
    with mo.Cluster.connect([engine_]) as cluster:
        (node,) = cluster.nodes
        assert (node.name, node.capacity.cpu, node.node.address) == ("far", 1, "127.0.0.1")
        job = cluster.submit(
            mo.Task("hello", image=busybox, command=["echo", "from afar"], networks=["none"])
        )
        job.result(timeout=60)
        assert job.tasks["hello"].logs().strip() == "from afar"
        assert len(connections()) == 1
    assert connections() == []


def test_every_call_goes_through_the_connection_that_stands(server: Server, engine_url: str):
    runtime = DockerRuntime(server.url)
    try:
        runtime.describe()
        one = connections()
        for _ in range(20):
            runtime.describe()
        assert connections() == one
    finally:
        runtime.close()


def test_a_connection_that_breaks_is_made_again(server: Server, engine_url: str):
    runtime = DockerRuntime(server.url)
    try:
        runtime.describe()
        connections()[0].send_signal(signal.SIGKILL)
        eventually(
            lambda: not [one for one in connections() if one.status() != psutil.STATUS_ZOMBIE], "its end"
        )
        assert runtime.describe().capacity.cpu > 0
    finally:
        runtime.close()


def test_a_host_that_nobody_knows_is_not_trusted(server: Server):
    server.trust(None)
    runtime = DockerRuntime(server.url)
    with pytest.raises(EngineUnavailable, match=r"Host key verification failed.*compare its fingerprint"):
        runtime.describe()
    runtime.close()


def test_a_host_that_shows_another_key_is_not_trusted(server: Server):
    server.trust("stranger")
    runtime = DockerRuntime(server.url)
    with pytest.raises(EngineUnavailable, match="Host key verification failed"):
        runtime.describe()
    runtime.close()


def test_a_key_that_is_not_accepted_is_told(server: Server):
    server.identify_as("stranger")
    runtime = DockerRuntime(server.url)
    with pytest.raises(EngineUnavailable, match=r"Permission denied.*give it a key that needs no password"):
        runtime.describe()
    (server.folder / "calls").unlink()
    for _ in range(100):
        with pytest.raises(EngineUnavailable, match="Permission denied"):
            runtime.describe()
    tries = server.folder / "calls"
    assert not tries.exists() or len(tries.read_text().splitlines()) < 10, "it is not asked for each call"
    runtime.close()


def test_a_host_without_an_engine_is_told(server: Server):
    runtime = DockerRuntime(f"{server.url}/nonexistent/docker.sock")
    with pytest.raises(EngineUnavailable, match="can be reached, and no Docker Engine answers there"):
        runtime.describe()
    runtime.close()


def test_a_host_that_is_down_is_told(server: Server):
    server.stop()
    try:
        runtime = DockerRuntime(server.url)
        with pytest.raises(EngineUnavailable, match=r"Connection refused.*is the machine up"):
            runtime.describe()
        runtime.close()
    finally:
        server.start()


def test_a_machine_without_ssh_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    runtime = DockerRuntime("ssh://somebody@127.0.0.1")
    with pytest.raises(EngineUnavailable, match="needs the program ssh: install openssh-client"):
        runtime.describe()


def test_the_same_engine_by_two_ways_is_refused(server: Server, engine_url: str):
    with pytest.raises(mo.UsageError, match=r"lead to the same Docker Engine .*: leave one out"):
        mo.Cluster.connect([engine_url, mo.DockerEngine(server.url, name="other")])
    assert connections() == []


def test_the_connection_ends_with_a_program_that_is_killed(server: Server, engine_url: str, tmp_path: Path):
    program = (
        "import sys, time\n"
        "from minorch.runtimes.docker import DockerRuntime\n"
        f"runtime = DockerRuntime({server.url!r})\nruntime.describe()\n"
        "print('up', flush=True)\ntime.sleep(600)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    (ssh,) = (one for one in psutil.Process(child.pid).children() if one.name() == "ssh")
    child.kill()
    child.wait()
    child.stdout.close()
    eventually(lambda: not ssh.is_running() or ssh.status() == psutil.STATUS_ZOMBIE, "the end of ssh", 20)
    left = f"minorch-ssh-{child.pid}-*"
    assert list(Path(tempfile.gettempdir()).glob(left))
    runtime = DockerRuntime(server.url)
    runtime.describe()
    runtime.close()
    assert not list(Path(tempfile.gettempdir()).glob(left)), "the next one removes what it left"
