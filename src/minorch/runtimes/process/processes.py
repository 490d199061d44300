"""Operating-system processes: which one it is, how it is signalled, what it uses.

A pid alone names nothing, since it is used again; here a process is a pid and its *birth*.  Nothing in
this module knows of runs, but for :func:`find_by_environment`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import psutil

__all__ = [
    "Usage",
    "birth",
    "environment",
    "find_by_environment",
    "is_hidden",
    "kill_survivors",
    "kill_tree",
    "lives",
    "signal_group",
    "usage_by_session",
]

_PROC: Final = "/proc"
_HAS_PROC: Final = os.path.exists("/proc/self/stat")
_EXEC_TRIES: Final = 5
_EXEC_S: Final = 0.01


class Usage(NamedTuple):
    """What one or more processes use together."""

    cpu_s: float
    memory: int
    pids: int

    def plus(self, other: Usage, sign: int = 1) -> Usage:
        """Return the sum, or with *sign* -1 the difference."""
        return Usage(
            self.cpu_s + sign * other.cpu_s,
            self.memory + sign * other.memory,
            self.pids + sign * other.pids,
        )


class _Stat(NamedTuple):
    """The fields of ``/proc/<pid>/stat`` that matter here; see proc(5)."""

    state: str
    session: int
    ticks: int
    """When it started, in clock ticks since boot: as exact as the kernel's own record."""
    usage: Usage


@functools.cache
def _boot() -> str:
    """Which boot this is: ticks begin anew with each."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


@functools.cache
def _units() -> tuple[int, int]:
    return os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def _stat(pid: int | str) -> _Stat | None:
    try:
        fd = os.open(f"{_PROC}/{pid}/stat", os.O_RDONLY)
        try:
            text = os.read(fd, 2048)
        finally:
            os.close(fd)
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # or hidden, so it is a stranger's
        return None
    # The command's name is in parentheses and may hold anything, parentheses and blanks too.
    fields = text[text.rindex(b")") + 2 :].split()
    ticks_per_s, page = _units()
    cpu_s = sum(map(int, fields[11:15])) / ticks_per_s  # its own and that of children it waited for
    state = fields[0].decode()
    usage = Usage(cpu_s, int(fields[21]) * page, 0 if state in "ZX" else 1)
    return _Stat(state, int(fields[3]), int(fields[19]), usage)


def birth(pid: int) -> str | None:
    """When process *pid* was born, as text that no later process with this pid has; None: there is none.

    A zombie still has its birth.  psutil's ``create_time`` would do but costs 0.1 ms more per start.
    """
    if _HAS_PROC:
        stat = _stat(pid)
        return None if stat is None else f"{_boot()}:{stat.ticks}"
    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def is_hidden(pid: int) -> bool:
    """Whether there is a process with this pid whose birth may not be seen (``hidepid``, see proc(5))."""
    return birth(pid) is None and psutil.pid_exists(pid)


def lives(pid: int, born: str) -> bool:
    """Whether the process with this pid and birth still does something: a zombie does not.

    One whose first thread has ended while others go on looks like a zombie, and is none.
    """
    if birth(pid) != born:
        return False
    if not _HAS_PROC:
        with contextlib.suppress(psutil.Error):
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        return False
    stat = _stat(pid)
    if stat is None or stat.state not in "ZX":
        return stat is not None
    with contextlib.suppress(OSError):
        return len(os.listdir(f"{_PROC}/{pid}/task")) > 1
    return False


def signal_group(pid: int, born: str | None, number: signal.Signals) -> None:
    """Send a signal to every process of the group that *pid* led, unless the pid was used again.

    Args:
        pid: the group's leader.
        born: its birth; None: it cannot have been used again.
        number: which signal.

    While survivors of the group live, the kernel gives its number to nobody else; so a number that
    is a stranger's now means that there are none.
    """
    if born is None or birth(pid) in (born, None):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)


def kill_tree(pid: int, born: str) -> None:
    """Kill the group of *pid*, and every descendant that has left the group and can still be found."""
    strays: list[psutil.Process] = []
    if birth(pid) == born:
        with contextlib.suppress(psutil.Error):
            strays = psutil.Process(pid).children(recursive=True)
    signal_group(pid, born, signal.SIGKILL)
    for stray in strays:
        with contextlib.suppress(psutil.Error):
            stray.kill()  # psutil compares the time of creation first


def kill_survivors(pid: int, marks: Mapping[str, str]) -> None:
    """Kill what is left of a group whose leader *pid* is long dead.

    Its number may belong to strangers by now, so only processes that carry *marks* in their environment go.
    """
    try:
        os.killpg(pid, 0)
    except (ProcessLookupError, PermissionError):
        return
    for survivor in find_by_environment(marks):
        with contextlib.suppress(psutil.Error):
            psutil.Process(survivor).kill()


def environment(pid: int) -> Mapping[str, str]:
    """The environment that *pid* was started with; empty if it may not be read or is gone.

    In the middle of an exec, as when a shell becomes its last command, the kernel shows none.
    """
    for _ in range(_EXEC_TRIES):
        try:
            found: dict[str, str] = psutil.Process(pid).environ()
        except (psutil.Error, OSError):
            break
        if found:
            return found
        time.sleep(_EXEC_S)
    return {}


def find_by_environment(wanted: Mapping[str, str]) -> list[int]:
    """Every process of ours that was started with all of these variables; leaders of a session first."""
    found: list[tuple[bool, int, int]] = []
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, OSError):
            if wanted.items() <= psutil.Process(pid).environ().items():
                found.append((os.getsid(pid) != pid, int(psutil.Process(pid).create_time() * 100), pid))
    return [pid for _, _, pid in sorted(found)]


def usage_by_session(leaders: Mapping[int, bool]) -> Mapping[int, Usage]:
    """What the sessions of these leaders use. One pass over all processes, some 10 us each.

    Args:
        leaders: each leader's pid, and whether the leader itself is only a supervisor and not counted.
    """
    totals: dict[int, Usage] = {}
    for pid, session, usage in _everyone(leaders):
        if pid == session and leaders[session]:
            # What its children used is counted with them while they live, and by it once they are gone.
            usage = Usage(usage.cpu_s, 0, 0)
        totals[session] = totals.get(session, Usage(0.0, 0, 0)).plus(usage)
    return totals


def _everyone(leaders: Mapping[int, bool]) -> Iterator[tuple[int, int, Usage]]:
    if _HAS_PROC:
        for name in os.listdir(_PROC):
            if name.isdigit() and (stat := _stat(name)) is not None and stat.session in leaders:
                yield int(name), stat.session, stat.usage
        return
    for leader in leaders:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(leader)
            for member in (process, *process.children(recursive=True)):
                times = member.cpu_times()
                yield member.pid, leader, Usage(times.user + times.system, member.memory_info().rss, 1)
