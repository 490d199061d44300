"""One run in memory: who it is, whether it has ended, and the two things done to it, signals and its end.

Its lock orders a signal against the reaping of its process: after that, the number may be a stranger's.
"""

from __future__ import annotations

import errno
import logging
import signal
import threading
import time
from typing import Final

from minorch.contracts import Owner, RunStatus
from minorch.ids import RunKey
from minorch.runtimes.process import processes
from minorch.runtimes.process.exits import Ending, Exits
from minorch.runtimes.process.files import Record, RunFiles, WrittenExit
from minorch.runtimes.process.output import Output
from minorch.states import Reason

__all__ = ["Run"]

_log: Final = logging.getLogger(__name__)
_GONE: Final = Record(run="", pid=0, birth="", started_at=0.0, workdir="/")


class Run:
    """A run that this runtime started, is starting, or found."""

    __slots__ = ("_status", "ended", "files", "key", "lock", "output", "owner", "record")

    def __init__(self, key: RunKey, owner: Owner, files: RunFiles) -> None:
        self.key = key
        self.owner = owner
        self.files = files
        self.lock = threading.RLock()
        self.ended = threading.Event()
        self.output = Output(files.log)
        self.record: Record | None = None
        self._status: RunStatus | None = None

    @property
    def pid(self) -> int:
        """Its leader."""
        return (self.record or _GONE).pid

    @property
    def born(self) -> str:
        """Its leader's birth."""
        return (self.record or _GONE).birth

    @property
    def marks(self) -> dict[str, str]:
        """The environment variables by which its processes are known."""
        return {
            "MINORCH_TASK_ID": self.key.task_id,
            "MINORCH_ATTEMPT": str(self.key.attempt),
            "MINORCH_RUN": str(self.key.run),
        }

    @property
    def status(self) -> RunStatus:
        """What is known of it now."""
        return self._status or RunStatus(key=self.key, phase="created")

    @property
    def running(self) -> bool:
        """Whether its leader was alive when last heard of."""
        return self._status is not None and self._status.phase == "running"

    def has_started(self, record: Record) -> None:
        """It runs as *record* says."""
        self.record = record
        self._status = RunStatus(
            key=self.key,
            phase="running",
            started_at=record.started_at,
            ports=record.ports,
            handle=str(record.pid),
        )

    def was_over(self, record: Record | None, written: WrittenExit | None) -> None:
        """It was found when its leader was gone: what was written down is all that is known."""
        self.record = record
        ending, finished_at = self._read(written)
        self._end(ending, finished_at)
        if record is not None:
            processes.kill_survivors(record.pid, self.marks)

    def finish(self, exits: Exits[Run]) -> RunStatus:
        """Its leader has ended: kill what it left behind, write down how it ended, and let it go."""
        with self.lock:
            ending = exits.peek(self)
            finished_at = time.time()
            zombie = ending.exit_code is not None and exits.holds(self)
            processes.signal_group(self.pid, None if zombie else self.born, signal.SIGKILL)
            if ending.exit_code is None or self._supervised:
                written, _ = self._read(self.files.read()[1])
                if written.exit_code is not None:
                    ending = written
            if ending.exit_code is not None and not (self._supervised and ending.reason is Reason.EXITED):
                self._write_down(ending)
            exits.reap(self)
            return self._end(ending, finished_at)

    @property
    def _supervised(self) -> bool:
        return self.record is not None and self.record.supervised

    def _read(self, written: WrittenExit | None) -> tuple[Ending, float | None]:
        if written is None:
            return Ending.unknown(), None
        # A file's time is that of the kernel's last tick, some milliseconds ago.
        at = max(written.at, self.record.started_at if self.record else 0.0)
        # A shell says 128 + n for a command that signal n ended.
        if written.by_signal or (self._supervised and 128 < written.code <= 128 + 64):
            return Ending.signalled(written.code - 128), at
        return Ending.exited(written.code), at

    def _write_down(self, ending: Ending) -> None:
        try:
            self.files.append_exit(ending.exit_code or 0, by_signal=ending.reason is Reason.KILLED)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):  # soon there may be a file descriptor again
                raise
            # It is known for as long as this runtime lives.
            _log.warning("how %s ended could not be written down: %s", self.key.name, error)

    def _end(self, ending: Ending, finished_at: float | None) -> RunStatus:
        record = self.record
        self._status = RunStatus(
            key=self.key,
            phase="exited",
            exit_code=ending.exit_code,
            reason=ending.reason,
            message=ending.message,
            started_at=record.started_at if record else None,
            finished_at=finished_at,
            ports=record.ports if record else {},
            handle=str(record.pid) if record else "",
        )
        self.ended.set()
        return self._status

    def terminate(self) -> None:
        """Send SIGTERM to its group."""
        with self.lock:
            if self.running:
                processes.signal_group(self.pid, self.born, signal.SIGTERM)

    def kill(self) -> None:
        """Kill its group and every descendant that can be found."""
        with self.lock:
            if self.running:
                processes.kill_tree(self.pid, self.born)
