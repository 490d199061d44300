"""The network that joins hosts: a bridge in a namespace of its own, and a namespace for each host.

What belongs here: everything that is said to ``ip``, ``bridge``, ``tc`` and ``iptables``.  The bridge has a
namespace of its own so that no firewall of this machine sees what passes over it.  Everybody's hardware
address is known to everybody from the start: where a host is cut off, packets vanish, and nobody is told.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Network", "leave", "names_in_use"]

TOOLS_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_ENV = {**os.environ, "PATH": TOOLS_PATH}
_FORWARDING, _DISABLED = "3", "0"


class Network:
    """A network of hosts, ``10.99.NUMBER.0/24``, which this machine is in as ``.1``.

    Args:
        name: of which its namespaces' names are made.
        number: of the network, 0 to 255.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.bridge = f"{name}-bridge"
        self.interface = f"mhosts{number}"
        self.here = f"10.99.{number}.1"
        """The address by which hosts know this machine."""

    def open(self) -> None:
        """Make the bridge, and put this machine into the network."""
        _run("ip", "netns", "add", self.bridge)
        _run(
            "ip", "link", "add", self.interface, "type", "veth", "peer", "name", "here", "netns", self.bridge
        )
        _batch(self.bridge, ["link add bridge type bridge", "link set bridge up", *_plug("here")])
        address = f"address add {self.here}/24 dev {self.interface}"
        _batch(None, [f"link set {self.interface} address {self._mac(0)} up", address])

    def address(self, index: int) -> str:
        """The address of a host."""
        return f"10.99.{self.number}.{index + 2}"

    def namespace(self, index: int) -> str:
        """The name of a host's namespace."""
        return f"{self.name}-{index}"

    def attach(self, index: int, count: int) -> None:
        """Make a host's namespace, and plug it in."""
        space, port = self.namespace(index), f"port{index}"
        _run("ip", "netns", "add", space)
        ends = f"link add {port} type veth peer name eth0 netns {space}"
        _batch(self.bridge, [ends, *_plug(port)])
        up = f"link set eth0 address {self._mac(index + 1)} up"
        others = {self.here: self._mac(0)} | {
            self.address(other): self._mac(other + 1) for other in range(count) if other != index
        }
        _batch(
            space,
            ["link set lo up", up, f"address add {self.address(index)}/24 dev eth0", *_known(others, "eth0")],
        )
        _batch(None, _known({self.address(index): self._mac(index + 1)}, self.interface))

    def detach(self, index: int) -> None:
        """Pull a host's cable out for good, before anything in it can say good-bye."""
        with contextlib.suppress(OSError):
            _run("ip", "-n", self.bridge, "link", "delete", f"port{index}")

    def drop_namespace(self, index: int) -> None:
        """Remove a host's namespace, in which nothing runs any more."""
        _run("ip", "netns", "delete", self.namespace(index))

    # -- faults ----------------------------------------------------------------------------------------------

    def cut(self, index: int) -> None:
        """Let nothing pass to or from a host; its link stays up, and nothing is refused."""
        _run("bridge", "-n", self.bridge, "link", "set", "dev", f"port{index}", "state", _DISABLED)

    def join(self, index: int) -> None:
        """Let packets of a host pass again."""
        _run("bridge", "-n", self.bridge, "link", "set", "dev", f"port{index}", "state", _FORWARDING)

    def ignore(self, index: int, address: str, *, ignored: bool) -> None:
        """Have a host see no packet that comes from an address, or see them again."""
        rule = ("PREROUTING", "--source", address, "-j", "DROP")
        _inside(self.namespace(index), "iptables", "-w", "-t", "raw", "-A" if ignored else "-D", *rule)

    def limit(self, index: int, rate_kbit: int) -> None:
        """Let so much pass to a host and from it, and no more; packets queue for a second at most."""
        shape = ("root", "tbf", "rate", f"{rate_kbit}kbit", "burst", "2kb", "latency", "1s")
        for space, device in ((self.namespace(index), "eth0"), (self.bridge, f"port{index}")):
            _run("tc", "-n", space, "qdisc", "replace", "dev", device, *shape)

    def unlimit(self, index: int) -> None:
        """Let everything pass at full speed."""
        for space, device in ((self.namespace(index), "eth0"), (self.bridge, f"port{index}")):
            _run("tc", "-n", space, "qdisc", "delete", "dev", device, "root")

    def _mac(self, index: int) -> str:
        return f"02:6d:6f:00:{self.number:02x}:{index:02x}"


def names_in_use(name: str) -> list[str]:
    """The namespaces of a network, whoever made it."""
    listed = _run("ip", "netns", "list").split("\n")
    return [line.split()[0] for line in listed if line.startswith(f"{name}-")]


def leave(name: str, number: int) -> None:
    """Remove all that a network consists of, and end what runs in it, whoever made it."""
    with contextlib.suppress(OSError):
        _run("ip", "link", "delete", Network(name, number).interface)
    for space in names_in_use(name):
        for pid in _run("ip", "netns", "pids", space).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        _run("ip", "netns", "delete", space)


def entered(space: str) -> tuple[str, ...]:
    """The words that run a command in a namespace (``ip netns exec`` mounts /sys anew, dockerd will not)."""
    return ("nsenter", f"--net={Path('/run/netns', space)}")


def _plug(port: str) -> list[str]:
    return [f"link set {port} master bridge", f"link set {port} up"]


def _known(addresses: dict[str, str], device: str) -> list[str]:
    return [f"neigh replace {to} lladdr {mac} dev {device} nud permanent" for to, mac in addresses.items()]


def _batch(space: str | None, lines: Iterable[str]) -> None:
    """Several commands for ``ip`` at once, in a namespace, or in ours."""
    _run("ip", *(("-n", space) if space else ()), "-batch", "-", text="\n".join(lines))


def _inside(space: str, *command: str) -> None:
    _run(*entered(space), *command)


def _run(*command: str, text: str = "") -> str:
    done = subprocess.run(
        command, input=text, env=_ENV, capture_output=True, text=True, check=False, timeout=30
    )
    if done.returncode:
        raise OSError(f"{' '.join(command)} exited {done.returncode}: {done.stderr.strip()}\n{text}")
    return done.stdout
