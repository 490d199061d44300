"""How the end of a process is noticed and what is known of it. No policy, no notification.

On Linux each process has a pidfd, and one epoll waits for all of them: an exit is noticed at once and
nothing is polled.  Where there are none (other systems, no file descriptors left) the process is
looked at every 20 ms.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from minorch.runtimes.process import processes
from minorch.states import Reason

__all__ = ["Ending", "Exits", "Watched"]

_POLL_S: Final = 0.02


class Ending(NamedTuple):
    """How a process ended. An exit code of None means that nobody saw it: never a success."""

    exit_code: int | None
    reason: Reason
    message: str = ""

    @classmethod
    def exited(cls, code: int) -> Ending:
        """By itself."""
        return cls(code, Reason.EXITED)

    @classmethod
    def signalled(cls, number: int) -> Ending:
        """By a signal. Whether the kernel sent it for want of memory cannot be told here."""
        try:
            name = f" ({signal.Signals(number).name})"
        except ValueError:  # a real-time signal
            name = ""
        return cls(128 + number, Reason.KILLED, f"ended by signal {number}{name}")

    @classmethod
    def unknown(cls) -> Ending:
        """Nobody saw how."""
        return cls(None, Reason.EXIT_UNKNOWN, "it ended while minorch was not there to see how")


class Watched(Protocol):
    """What can be watched: a process."""

    @property
    def pid(self) -> int:
        """Its pid."""

    @property
    def born(self) -> str:
        """Its birth, see :func:`~minorch.runtimes.process.processes.birth`."""


_W = TypeVar("_W", bound=Watched)


class Exits(Generic[_W]):
    """Waits until one of many processes has ended.

    :meth:`add` and :meth:`wake` may be called from any thread, the rest only from the one that waits.
    """

    def __init__(self) -> None:
        self._by_fd: dict[int, _W] = {}
        self._fds: dict[_W, int] = {}  # by the object: a pid may be used again before we look
        self._polled: set[_W] = set()
        self._reaped: dict[_W, Ending] = {}
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_out, False)
        os.set_blocking(self._wake_in, False)
        self._idle = False
        self._pipe = select.poll()
        self._pipe.register(self._wake_out, select.POLLIN)
        self._epoll = None
        if sys.platform == "linux" and hasattr(os, "pidfd_open"):
            self._epoll = select.epoll()
            self._epoll.register(self._wake_out, select.EPOLLIN)

    def add(self, process: _W) -> None:
        """Begin to watch *process*, which may have ended already."""
        if not self._add_pidfd(process):
            self._polled.add(process)
            self.wake()  # into polling
        elif self._idle:
            self.wake()

    def _add_pidfd(self, process: _W) -> bool:
        if self._epoll is None or sys.platform != "linux":
            return False
        try:
            fd = os.pidfd_open(process.pid)
        except OSError:  # already gone, or no file descriptors left
            return False
        self._by_fd[fd] = process
        self._fds[process] = fd
        self._epoll.register(fd, select.EPOLLIN)
        return True

    def wake(self) -> None:
        """Make :meth:`wait` return."""
        with contextlib.suppress(BlockingIOError):  # then the pipe is full of reasons to be awake
            os.write(self._wake_in, b"\0")

    def wait(self, at_most_s: float) -> list[_W]:
        """Wait until something has ended, at most so long, or without end if nothing is watched."""
        self._idle = True  # before looking, so that whatever is added after the look wakes it
        timeout = _POLL_S if self._polled else at_most_s if self._by_fd else None
        self._idle = timeout is None
        ready = self._ready(timeout)
        self._idle = False
        ended: list[_W] = []
        for fd in ready:
            if fd == self._wake_out:
                os.read(fd, 4096)
            else:
                ended.append(self._by_fd[fd])
        ended += [process for process in list(self._polled) if self._poll(process)]
        return ended

    def _ready(self, timeout: float | None) -> list[int]:
        if self._epoll is not None:
            return [fd for fd, _ in self._epoll.poll(timeout)]
        return [fd for fd, _ in self._pipe.poll(None if timeout is None else 1000 * timeout)]

    def _poll(self, process: _W) -> bool:
        if process in self._reaped:  # and nobody could see to it the last time
            return True
        try:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
        except ChildProcessError:
            try:
                if processes.birth(process.pid) == process.born:
                    return False
            except OSError:  # no file descriptors left to look
                return False
            self._reaped[process] = Ending.unknown()
            return True
        if pid == 0:
            return False
        code = os.waitstatus_to_exitcode(status)
        self._reaped[process] = Ending.exited(code) if code >= 0 else Ending.signalled(-code)
        return True

    def peek(self, process: _W) -> Ending:
        """How an ended process ended.

        It stays a zombie, and the number of its group its own, until :meth:`reap`.
        """
        fd = self._fds.get(process)
        if fd is None or sys.platform != "linux":
            return self._reaped.get(process, Ending.unknown())
        try:
            result = os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            # An earlier process's child; or the application waited for it, or ignores SIGCHLD.
            return Ending.unknown()
        if result is None:
            return Ending.unknown()
        if result.si_code == os.CLD_EXITED:
            return Ending.exited(result.si_status)
        return Ending.signalled(result.si_status)

    def holds(self, process: _W) -> bool:
        """Whether its number stays its own until :meth:`reap`, if it was ours to wait for."""
        return process in self._fds

    def reap(self, process: _W) -> None:
        """Let the operating system forget it, and watch it no longer."""
        self._polled.discard(process)
        self._reaped.pop(process, None)
        fd = self._fds.pop(process, None)
        if fd is None or sys.platform != "linux":
            return
        with contextlib.suppress(ChildProcessError):  # not ours to wait for
            os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)
        if self._epoll is not None:
            # Closing is not enough: a child that has not exec'ed yet shares it, and it would go on reporting.
            self._epoll.unregister(fd)
        del self._by_fd[fd]
        os.close(fd)

    def close(self) -> None:
        """Watch nothing any longer; what runs goes on."""
        for fd in self._by_fd:
            os.close(fd)
        if self._epoll is not None:
            self._epoll.close()
        os.close(self._wake_in)
        os.close(self._wake_out)
