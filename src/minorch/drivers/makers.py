"""Which process this is, as runs are told that it has started, and what became of the one that a run names.

A pid alone names nothing.  It is used again, so it goes with the time of the process's start; that counts
from a boot, so it goes with the boot's id; and other namespaces have other pids and clocks, so it goes with
those.  Of what lives in others nothing is known here, and unknown is never taken for dead.

After a reboot of the same machine every process from before is dead.  The machine is told by its id and its
host name together, and only outside of containers: images, and machines without disks, share ids.
"""

from __future__ import annotations

import enum
import hashlib
import os
import platform
from typing import Final

from minorch.contracts import Maker

__all__ = ["Life", "life_of", "this_process"]

_NAMESPACES: Final = ("pid", "time", "net")
"""Those that pids, times of start and the sign of :class:`~minorch.drivers.presence.Presence` belong to."""
_FIRST_PID_NAMESPACE: Final = 4026531836
"""The number that the kernel gives to the one that it begins with (PROC_PID_INIT_INO)."""


class Life(enum.Enum):
    """What became of a process."""

    LIVES = "lives"
    DEAD = "dead"
    FOREIGN = "another user's, dead or alive"
    UNKNOWN = "it cannot be told from here"


def this_process(*, durable: bool) -> Maker:
    """Say who this process is, on behalf of a cluster whose state is *durable* or not."""
    from minorch.runtimes.process import processes  # 20 ms for psutil that only those pay who run workers

    pid = os.getpid()
    return Maker(
        pid=pid,
        birth=processes.birth(pid) or "",
        host=_host(),
        machine=_machine(),
        user=os.getuid(),
        durable=durable,
    )


def life_of(maker: Maker) -> Life:
    """Find out what became of a process."""
    from minorch.runtimes.process import processes

    if maker.host != _host():
        same_machine = bool(maker.machine) and maker.machine == _machine()
        if not same_machine or _boot(maker.host) == _boot(_host()):
            return Life.UNKNOWN
        return Life.DEAD if maker.user == os.getuid() else Life.FOREIGN
    if maker.user != os.getuid():
        return Life.FOREIGN
    if not maker.birth or processes.is_hidden(maker.pid):
        return Life.UNKNOWN
    return Life.LIVES if processes.lives(maker.pid, maker.birth) else Life.DEAD


def _boot(host: str) -> str:
    return host.partition("/")[0]


def _host() -> str:
    return "/".join([_boot_id(), *(str(_namespace(kind)) for kind in _NAMESPACES)])


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        import psutil

        return f"{platform.node()}@{psutil.boot_time():.0f}".replace("/", "-")


def _namespace(kind: str) -> int:
    try:
        return os.stat(f"/proc/self/ns/{kind}").st_ino
    except OSError:  # no Linux, or one from before there were such namespaces
        return 0


def _machine() -> str:
    if _namespace("pid") != _FIRST_PID_NAMESPACE:
        return ""
    try:
        with open("/etc/machine-id") as file:
            name = file.read().strip()
    except OSError:
        return ""
    return hashlib.sha256(f"{name} {platform.node()}".encode()).hexdigest()[:16] if name else ""
