"""Several hosts in a network of their own, from their start to the last trace of them.

A network's number is claimed by making a directory, and the claim is good for as long as a file in it is
locked: the kernel unlocks it when its program ends, however it ends. The next start removes what such a
program left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from tests.chaos.private_engine import image_tar, remove_control_groups, until
from tests.hosts.certificates import Authority
from tests.hosts.host import Host, Settings, Shape
from tests.hosts.network import TOOLS_PATH, Network, leave
from tests.hosts.ssh import Doors
from tools import engine

__all__ = ["Hosts", "sweep", "why_not"]

_FOLDERS = Path("/tmp")  # short, for a socket's path is
_PREFIX = "minorch-hosts-"
_COMMANDS = (
    *("dockerd", "docker-init", "unshare", "nsenter", "taskset", "hostname", "openssl"),
    *("ip", "bridge", "tc", "iptables"),
)
_READY_S = 60.0
_HEARTBEAT_NS = 10**9


def why_not(*, ssh: bool = False) -> str | None:
    """Why there can be no hosts here; None: there can."""
    if os.geteuid() != 0:
        return "hosts need root"
    wanted = [*_COMMANDS, *(("sshd", "ssh", "ssh-keygen") if ssh else ())]
    if missing := [name for name in wanted if not shutil.which(name, path=TOOLS_PATH)]:
        return f"hosts need {', '.join(missing)}"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"hosts need namespaces: {tried.stderr.strip()}" if tried.returncode else None


class Hosts(Sequence[Host]):
    """Some hosts. They are up within ``with``, and nothing of them is left after it.

    Args:
        shapes: how many, or how large each is.
        tls: whether engines want a certificate from whoever comes over the network.
        live_restore: whether containers outlive dockerd (a Swarm's manager cannot have it).
        ssh: whether ``ssh://root@ADDRESS`` leads in.
        busybox: whether engines have the busybox image from the start.
    """

    def __init__(
        self,
        shapes: int | Sequence[Shape],
        *,
        tls: bool = False,
        live_restore: bool = False,
        ssh: bool = False,
        busybox: bool = True,
    ) -> None:
        self._shapes = [Shape()] * shapes if isinstance(shapes, int) else list(shapes)
        self._tls, self._live_restore, self._ssh, self._busybox = tls, live_restore, ssh, busybox
        self._hosts: list[Host] = []
        self._claim: IO[bytes] | None = None
        self._network: Network | None = None
        self._image: bytes | None = None
        self._doors: Doors | None = None
        self.wrong_certificates: Path | None = None
        """As a client's, and signed by an authority that nobody here trusts; ``None`` without TLS."""

    # -- life ------------------------------------------------------------------------------------------------

    def __enter__(self) -> Hosts:
        try:
            self._boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _boot(self) -> None:
        self._claim, number = _claimed()
        folder = _FOLDERS / f"{_PREFIX}{number}"
        self._network = Network(folder.name, number)
        self._network.open()
        indices = range(len(self._shapes))
        addresses = [self._network.address(index) for index in indices]
        servers, client = self._certificates(folder, addresses) if self._tls else ([], None)
        if self._ssh:
            self._doors = Doors(folder / "ssh", addresses)
        for index in indices:
            own = folder / str(index)
            own.mkdir()
            if self._doors is not None:
                self._doors.write(own, addresses[index])
            settings = Settings(
                count=len(addresses),
                live_restore=self._live_restore,
                server=servers[index] if self._tls else None,
                client=client,
            )
            host = Host(index, self._network, own, self._shapes[index], settings)
            self._hosts.append(host)
            host.switch_on()
        for host in self._hosts:
            host.wait()
        if self._busybox:
            self.import_busybox()

    def _certificates(self, folder: Path, addresses: Sequence[str]) -> tuple[list[Path], Path]:
        ours = Authority(folder / "authority", "hosts")
        other = Authority(folder / "other-authority", "another")
        self.wrong_certificates = other.sign(folder / "wrong", "client")
        servers = [
            ours.sign(folder / f"server{index}", f"host{index}", addresses=(address, "127.0.0.1"))
            for index, address in enumerate(addresses)
        ]
        return servers, ours.sign(folder / "client", "client")

    def close(self) -> None:
        """Switch off every host, and remove all of them. Closing twice is fine."""
        if self._claim is None:
            return
        with contextlib.ExitStack() as stack:  # each is done, whatever becomes of the others
            stack.callback(self._give_up)
            for host in self._hosts:
                stack.callback(host.power_off)

    def _give_up(self) -> None:
        claim, self._claim = self._claim, None
        assert claim is not None
        self._hosts.clear()
        with claim, _alone():  # or a sweep would find the folder when its claim is removed already
            _bury(Path(claim.name).parent)

    # -- hosts -----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._hosts)

    def __getitem__(self, index: int) -> Host:  # type: ignore[override]  # no slices are needed
        return self._hosts[index]

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts)

    @property
    def here(self) -> str:
        """The address by which hosts know this machine."""
        assert self._network is not None
        return self._network.here

    @property
    def ssh_environment(self) -> dict[str, str]:
        """What a program needs in its environment so that ``ssh``, and paramiko, find key and known hosts."""
        if self._doors is None:
            raise RuntimeError("these hosts have no sshd: Hosts(..., ssh=True)")
        return self._doors.environment

    def import_busybox(self) -> str:
        """Give each host that is on the busybox image; returns its id, which is the same everywhere."""
        if self._image is None:
            first, *_ = self._hosts
            if engine.answers(engine.DEFAULT_SOCKET) and engine.has_image(engine.DEFAULT_SOCKET):
                self._image = image_tar(engine.DEFAULT_SOCKET)
            else:
                first.import_busybox()
                self._image = first.saved_busybox()
        (id_,) = {host.import_busybox(self._image) for host in self._hosts if host.is_on}
        return id_

    def make_swarm(self, managers: int = 1) -> None:
        """Join all hosts to a Swarm, and return when every node is ready.

        Nodes are known by ``host.name``. A lost node is noticed within a few seconds.

        Args:
            managers: so many, from the first host on.
        """
        first, *rest = self._hosts
        with contextlib.closing(first.client()) as client:
            client.swarm.init(
                advertise_addr=first.address,
                listen_addr=f"{first.address}:2377",
                dispatcher_heartbeat_period=_HEARTBEAT_NS,
            )
            tokens = client.swarm.attrs["JoinTokens"]
            for host in rest:
                token = tokens["Manager" if host.index < managers else "Worker"]
                with contextlib.closing(host.client()) as joining:
                    joining.swarm.join(
                        remote_addrs=[f"{first.address}:2377"],
                        join_token=token,
                        advertise_addr=host.address,
                        listen_addr=f"{host.address}:2377",
                    )

            def ready() -> bool:
                states = [node["Status"]["State"] for node in client.api.nodes()]
                return states == ["ready"] * len(self._hosts)

            until(ready, _READY_S, lambda: f"not every node is ready: {client.api.nodes()}")


def sweep() -> None:
    """Remove what programs left that were killed."""
    with _alone():
        _sweep()


def _claimed() -> tuple[IO[bytes], int]:
    """Take a network that nobody has; the number is ours until the file is closed."""
    with _alone():
        _sweep()
        number = next(number for number in range(256) if not Path(_FOLDERS, f"{_PREFIX}{number}").exists())
        folder = _FOLDERS / f"{_PREFIX}{number}"
        folder.mkdir(mode=0o755)
        claim = (folder / "claim").open("wb")
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        claim.write(str(os.getpid()).encode())  # to be read by people
        claim.flush()
        return claim, number


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Have no other program claim or sweep meanwhile."""
    with Path(_FOLDERS, f"{_PREFIX}lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sweep() -> None:
    for folder in _FOLDERS.glob(f"{_PREFIX}*"):
        if not folder.name.removeprefix(_PREFIX).isdigit():
            continue
        with (folder / "claim").open("ab") as claim:
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # somebody's, who lives
            _bury(folder)


def _bury(folder: Path) -> None:
    """Remove everything of a network whose hosts are being ended, whoever made it."""
    leave(folder.name, int(folder.name.removeprefix(_PREFIX)))
    remove_control_groups(folder.name)
    shutil.rmtree(folder)
