"""One host: a Docker Engine in namespaces of its own, which can be cut off, slowed, killed, and switched off.

Its first process ends with ours, whatever happens, for it reads from a pipe that nobody else holds; and when
that process ends, the kernel ends everything in there. Its data is on disk, in its folder, and outlives it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.chaos.private_engine import (
    UP_S,
    daemon_among,
    end_daemon,
    freeze,
    image_tar,
    remove_control_groups,
    until,
)
from tests.hosts.network import TOOLS_PATH, Network, entered
from tools import engine

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["Host", "Settings", "Shape"]

_UNSHARE = (
    *("unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("docker-init", "--", "sh", "-c"),
)
# Namespaces of others are let go of, for whoever sees their files keeps them.
_INIT = """
hostname "$1"
umount --recursive --lazy /run/netns
mount -t tmpfs tmpfs /run && mkdir -p /run/sshd && ln -s "$0/socket" /run/docker.sock || exit 1
names=$(readlink -f /etc/resolv.conf)
mkdir -p "${names%/*}" && touch "$names" && mount --bind "$0/resolv.conf" "$names" || exit 1
if [ -e "$0/meminfo" ]; then mount --bind "$0/meminfo" /proc/meminfo || exit 1; fi
if [ -e "$0/sshd_config" ]; then "$(command -v sshd)" -f "$0/sshd_config" -E "$0/sshd.log" || exit 1; fi
while read -r _word; do
    rm -f /run/docker.pid
    (exec taskset --cpu-list "$2" dockerd --config-file "$0/daemon.json" </dev/null >>"$0/log" 2>&1 &)
done
"""
_GONE_S = 10.0
_API = "1.41"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large a host is.

    Args:
        cpus: how many it has, as many as this machine or fewer; all of them without a number.
        memory_mib: what its engine takes for its memory (nothing holds it to that).
        generic: resources with names, such as ``{"gpu": 2}``.
    """

    cpus: int | None = None
    memory_mib: int | None = None
    generic: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the hosts of a network have in common."""

    count: int
    live_restore: bool
    server: Path | None
    """Where the server's certificate is; without one, the engine asks for none."""
    client: Path | None


class Host:
    """A host; :class:`tests.hosts.Hosts` makes them.

    Args:
        index: which one of its network.
        network: that it is in.
        folder: of its own, where all of it is.
        shape: how large it is.
        settings: what it shares with others.
    """

    def __init__(self, index: int, network: Network, folder: Path, shape: Shape, settings: Settings) -> None:
        self.index = index
        self.name = f"host{index}"
        self.address = network.address(index)
        tls = settings.server is not None
        self.url = f"tcp://{self.address}:{2376 if tls else 2375}"
        self.folder = folder
        self.socket = str(folder / "socket")
        """Reachable from the test's own namespace, whatever happens to the network."""
        self.certificates = settings.client
        """A directory as ``DOCKER_CERT_PATH`` wants it; ``None`` without TLS."""
        self._network = network
        self._shape = shape
        self._settings = settings
        self._groups = f"{network.name}/{index}"
        self._init: subprocess.Popen[bytes] | None = None
        self._slow = self._off_the_net = False
        self._ignored: list[Host | str] = []
        self._write_files()

    def _write_files(self) -> None:
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")  # where nobody listens: no at once
        if self._shape.memory_mib is not None:
            lines = Path("/proc/meminfo").read_text().splitlines()
            total = f"MemTotal:       {self._shape.memory_mib * 1024:8} kB"
            (self.folder / "meminfo").write_text("\n".join([total, *lines[1:]]) + "\n")
        tls: dict[str, object] = {"tls": False}  # said, for dockerd waits a second where it is not
        if (server := self._settings.server) is not None:
            files = {"tlscacert": "ca.pem", "tlscert": "cert.pem", "tlskey": "key.pem"}
            tls = {"tlsverify": True, **{name: str(server / file) for name, file in files.items()}}
        configuration = {
            **tls,
            "hosts": [f"unix://{self.socket}", self.url],
            "data-root": str(self.folder / "data"),
            "deprecated-key-path": str(self.folder / "key.json"),  # of which the engine's id is made
            "cgroup-parent": f"/{self._groups}",
            "live-restore": self._settings.live_restore,
            "node-generic-resources": [f"{name}={number}" for name, number in self._shape.generic.items()],
        }
        (self.folder / "daemon.json").write_text(json.dumps(configuration))

    # -- power -----------------------------------------------------------------------------------------------

    def switch_on(self) -> None:
        """Plug the host in and have it start, without waiting for its engine."""
        if self._init is not None:
            raise RuntimeError(f"{self.name} is on already")
        self._network.attach(self.index, self._settings.count)
        cpus = sorted(os.sched_getaffinity(0))
        taken = cpus[: self._shape.cpus or len(cpus)]
        space = entered(self._network.namespace(self.index))
        words = [str(self.folder), self.name, ",".join(map(str, taken))]
        with (self.folder / "init.log").open("ab") as log:
            self._init = subprocess.Popen(
                [*space, *_UNSHARE, _INIT, *words],
                env={**os.environ, "PATH": TOOLS_PATH},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # an interrupt is for us alone: we end it
            )
        self._tell()

    def power_on(self) -> None:
        """Boot, with the data that it had, and return when its engine answers."""
        self.switch_on()
        self.wait()

    def power_off(self) -> None:
        """Everything of the host vanishes at once, without a word to anybody; its disk stays."""
        if self._init is None:
            return
        self._network.detach(self.index)
        self._init.kill()
        if self._init.stdin is not None:
            self._init.stdin.close()
        remove_control_groups(self._groups)  # first thawed, for what is paused cannot die
        self._init.wait()
        self._init = None
        self._network.drop_namespace(self.index)
        self._slow = self._off_the_net = False
        self._see_all()

    # -- its engine ------------------------------------------------------------------------------------------

    def wait(self) -> None:
        """Return when its engine answers. Raises ``TimeoutError`` with the end of its log."""
        until(
            lambda: engine.answers(self.socket),
            UP_S,
            lambda: f"no answer from the engine of {self.name}:\n{self._log_end()}",
        )

    def kill_daemon(self) -> None:
        """Kill dockerd with ``kill -9``; its containers run on for now."""
        end_daemon(self.daemon(), signal.SIGKILL, _GONE_S)

    def stop_daemon(self) -> None:
        """Have dockerd end in order."""
        end_daemon(self.daemon(), signal.SIGTERM, UP_S)

    def start_daemon(self) -> None:
        """Start dockerd again, and return when it answers."""
        self._tell()
        self.wait()

    def freeze(self) -> None:
        """Have dockerd stand still: connections are taken, and nothing is answered."""
        freeze(self.daemon())

    def thaw(self) -> None:
        """Let dockerd go on."""
        self.daemon().resume()

    def daemon(self) -> psutil.Process:
        """Its dockerd. Raises ``LookupError`` if none runs."""
        return daemon_among(psutil.Process(self._running().pid))

    def client(self, *, timeout_s: int = 30) -> DockerClient:
        """A docker-py client over the network, with its certificate; the caller closes it."""
        import docker

        from minorch.runtimes.docker.transport import TcpAdapter

        tls: docker.tls.TLSConfig | bool = False
        if (at := self.certificates) is not None:
            pair = (str(at / "cert.pem"), str(at / "key.pem"))
            tls = docker.tls.TLSConfig(client_cert=pair, ca_cert=str(at / "ca.pem"), verify=True)
        client = docker.DockerClient(self.url, version=_API, tls=tls, timeout=timeout_s)
        client.api.trust_env = False  # the environment's proxies and authorities are not for this
        client.api.mount("https://", TcpAdapter())  # whose connections leave no socket when a host is killed
        return client

    def import_busybox(self, image: bytes | None = None) -> str:
        """Give its engine the busybox image; returns the image's id.

        Args:
            image: what another engine saved, so that ids are the same; without, it is made here.
        """
        if image is None:
            engine.make_image(self.socket)
        else:
            status, answer = engine.request(self.socket, "POST", "/images/load?quiet=1", image, timeout_s=60)
            if status != 200:
                raise OSError(f"the image cannot be loaded: {answer[:300]!r}")
        return self.image_id()

    def image_id(self) -> str:
        """The id of its busybox image. Raises ``LookupError`` if there is none."""
        status, answer = engine.request(self.socket, "GET", f"/images/{engine.IMAGE}/json")
        if status != 200:
            raise LookupError(f"{self.name} has no {engine.IMAGE}")
        return str(json.loads(answer)["Id"])

    def saved_busybox(self) -> bytes:
        """Its busybox image, for others."""
        return image_tar(self.socket)

    def run(self, command: Sequence[str], *, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command on the host, as root; what it gave back is not judged."""
        (first,) = psutil.Process(self._running().pid).children()
        inside = ["nsenter", f"--target={first.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
        return subprocess.run(
            [*inside, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            env={**os.environ, "PATH": TOOLS_PATH},
        )

    # -- its network -----------------------------------------------------------------------------------------

    def cut(self, *others: Host | str) -> None:
        """Have packets vanish; nothing is refused, and nobody is told.

        Args:
            others: hosts and addresses from which it is cut off; without any: from everything.
        """
        if not others:
            self._network.cut(self.index)
            self._off_the_net = True
        for other in others:
            address = other if isinstance(other, str) else other.address
            self._network.ignore(self.index, address, ignored=True)
            if not isinstance(other, str):
                self._network.ignore(other.index, self.address, ignored=True)
            self._ignored.append(other)

    def slow(self, rate_kbit: int) -> None:
        """Let so many kilobits a second pass, each way; the rest queues, and is dropped after a second."""
        self._network.limit(self.index, rate_kbit)
        self._slow = True

    def mend(self) -> None:
        """Undo each cut that was made by this host, and slowness."""
        if self._off_the_net:
            self._network.join(self.index)
        if self._slow:
            self._network.unlimit(self.index)
        self._off_the_net = self._slow = False
        self._see_all()

    # -- within ----------------------------------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self._init is not None

    def _see_all(self) -> None:
        """Undo each cut from another; what was switched off since has forgotten its own part."""
        for other in self._ignored:
            with contextlib.suppress(OSError):
                address = other if isinstance(other, str) else other.address
                self._network.ignore(self.index, address, ignored=False)
            with contextlib.suppress(OSError):
                if not isinstance(other, str):
                    self._network.ignore(other.index, self.address, ignored=False)
        self._ignored.clear()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._init is None:
            raise RuntimeError(f"{self.name} is switched off")
        return self._init

    def _tell(self) -> None:
        pipe = self._running().stdin
        assert pipe is not None
        pipe.write(b"start\n")
        pipe.flush()

    def _log_end(self) -> str:
        paths = [self.folder / "init.log", self.folder / "log"]
        lines = [
            line for path in paths if path.exists() for line in path.read_text(errors="replace").split("\n")
        ]
        return "\n".join(lines[-15:])
