"""What running containers use, read from the kernel: 0.1 ms each (the engine's own figures take 1 to 2 s).

Works where the engine is local: a container's processes are found by its first process id, and taken
for it only if their control group carries the container's id.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from minorch.errors import EngineUnavailable, RuntimeFault
from minorch.ids import RunKey
from minorch.model import TaskStats
from minorch.runtimes.docker.containers import Containers, Known

__all__ = ["belongs_to", "measure", "mount_points"]

_V2: Final = ""
_PROC: Final = Path("/proc")


def measure(containers: Containers, keys: Sequence[RunKey]) -> dict[RunKey, TaskStats]:
    """Return what those of *keys* use that run on this machine."""
    try:
        mounts = mount_points((_PROC / "self/mountinfo").read_text())
    except OSError:  # no Linux: the engine runs in a virtual machine, and so does what would be measured
        return {}
    stats: dict[RunKey, TaskStats] = {}
    for key in keys:
        try:
            measured = _measure(containers, key, mounts)
        except EngineUnavailable:
            break  # it would not answer for the others either
        except RuntimeFault:
            continue
        if measured is not None:
            stats[key] = measured
    return stats


def belongs_to(pid: int, container_id: str) -> bool:
    """Whether process *pid* is, now, one of the container's; process ids are used again."""
    return bool(pid) and bool(_groups(pid, container_id))


def _measure(containers: Containers, key: RunKey, mounts: Mapping[str, str]) -> TaskStats | None:
    known = containers.known(key)
    if known is None:
        return None
    groups = _groups(known.pid, known.id)
    if not groups:  # remembered from before it ran, or it has ended
        containers.record(key)
        known = containers.known(key)
        groups = _groups(known.pid, known.id) if known is not None else {}
    if known is None or not groups:
        return None
    return _from_groups(groups, mounts) or _from_processes(known)


def _groups(pid: int, container_id: str) -> dict[str, str]:
    """Return the path of each control group of *pid* by controller, if they are the container's."""
    if not pid:
        return {}
    try:
        text = (_PROC / str(pid) / "cgroup").read_text()
    except OSError:
        return {}
    groups: dict[str, str] = {}
    for line in text.splitlines():
        _number, controllers, path = line.split(":", 2)
        if container_id in path:
            groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def mount_points(mountinfo: str) -> dict[str, str]:
    """Return where each control group hierarchy is mounted, by controller; version 2 under an empty name."""
    points: dict[str, str] = {}
    for line in mountinfo.splitlines():
        left, _dash, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            points[_V2] = fields[4]
        elif kind[0] == "cgroup":
            points.update(dict.fromkeys(kind[2].split(","), fields[4]))
    return points


def _from_groups(groups: Mapping[str, str], mounts: Mapping[str, str]) -> TaskStats | None:
    try:
        if "memory" in groups and "cpuacct" in groups:
            memory, cpu, pids = (Path(mounts[name] + groups[name]) for name in ("memory", "cpuacct", "pids"))
            used = _number(memory / "memory.usage_in_bytes") - _field(
                memory / "memory.stat", "total_inactive_file"
            )
            cpu_s = _number(cpu / "cpuacct.usage") / 1e9
        else:
            memory = pids = Path(mounts[_V2] + groups[_V2])
            used = _number(memory / "memory.current") - _field(memory / "memory.stat", "inactive_file")
            cpu_s = _field(memory / "cpu.stat", "usage_usec") / 1e6
        count = _number(pids / "pids.current")
    except (OSError, KeyError, ValueError):
        return None
    return TaskStats(sampled_at=time.time(), cpu_s=cpu_s, memory=max(0, used), pids=count)


def _number(path: Path) -> int:
    return int(path.read_text())


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        field, _blank, value = line.partition(" ")
        if field == name:
            return int(value)
    raise KeyError(name)


def _from_processes(known: Known) -> TaskStats | None:
    """Add up the processes instead, where the control groups cannot be read (a namespace of our own)."""
    import psutil

    cpu_s, memory, count = 0.0, 0, 0
    try:
        first = psutil.Process(known.pid)
        for process in (first, *first.children(recursive=True)):
            with process.oneshot():
                times = process.cpu_times()
                cpu_s += times.user + times.system
                memory += process.memory_info().rss
                count += 1
    except psutil.Error:
        if not count:
            return None
    return TaskStats(sampled_at=time.time(), cpu_s=cpu_s, memory=memory, pids=count)
