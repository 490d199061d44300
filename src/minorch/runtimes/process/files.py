"""What lies on disk for a run: its record with its end, its output, its working directory. Never a secret.

::

    <root>/<cluster id>/<node>/<run's name>.run     the record: a line of JSON, and a line when it ended
    <root>/<cluster id>/<node>/<run's name>.log     what it wrote; an older half in .log.1
    <root>/<cluster id>/<node>/<run's name>.work/   its working directory

The record is made exclusively and before all else, so it is the claim: whoever made it may start the
run, nobody else ever.  It goes last, so as long as there is a trace of a run the trace is true.

A directory for each run would be neater, but on ext4 a file in a new directory takes 600 us to make
against 20 us beside others, and the directory itself 350 us to make and remove.  For the same reason an
empty working directory is passed on to the next run (renamed, 20 us).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from minorch.contracts import Owner
from minorch.errors import UsageError
from minorch.ids import RunKey, check_id, check_name

__all__ = ["Record", "Root", "RunFiles", "default_root"]

_RUN: Final = re.compile(r"minorch-([0-9a-f]{32})-([1-9][0-9]{0,8})-([1-9][0-9]{0,8})\Z")
_EXIT: Final = re.compile(rb"([0-9]{1,3})( signal)?\Z")
_SPARE: Final = ".spare-"
_MOST_SPARE: Final = 512
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known of a run to find it again after a restart."""

    pid: int
    birth: str
    started_at: float
    workdir: str
    ports: Mapping[str, str] = {}
    supervised: bool = False


class WrittenExit(msgspec.Struct, frozen=True):
    """How a run ended, as it was written down."""

    code: int
    by_signal: bool
    at: float
    """Seconds since 1970."""


_decode_record: Final = msgspec.json.Decoder(Record).decode
_encode: Final = msgspec.json.Encoder().encode


def default_root() -> Path:
    """``$XDG_STATE_HOME/minorch``, or ``~/.local/state/minorch``: a user's own, unlike ``/tmp``."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "minorch"


class RunFiles:
    """The files of one run."""

    __slots__ = ("log", "record", "work")

    def __init__(self, path: str) -> None:
        self.record = f"{path}.run"
        self.log = f"{path}.log"
        self.work = f"{path}.work"

    def claim(self, spare: str | None = None) -> int:
        """Make the record, empty, and return it opened for appending.

        Args:
            spare: an empty file to make it of, which costs less than a new one.

        Raises:
            FileExistsError: somebody else has; the run may have been started.
        """
        if spare is not None and self._claim_with(spare):
            return os.open(self.record, os.O_WRONLY | os.O_APPEND | _FLAGS)
        try:
            return _create(self.record)
        except FileNotFoundError:
            _make_private(os.path.dirname(self.record))
            return _create(self.record)

    def _claim_with(self, spare: str) -> bool:
        """Make the record of *spare*; False if that cannot be: it was tidied away, or there are no links."""
        try:
            os.link(spare, self.record)  # fails where there is one, as O_EXCL does
            return True
        except FileExistsError:
            raise
        except OSError:
            return False
        finally:
            with contextlib.suppress(FileNotFoundError):  # another process tidied it away, linked or not
                os.unlink(spare)

    def create_log(self, spare: str | None = None) -> int:
        """Make the log, of an empty *spare* file if there is one, and return it opened for appending."""
        if spare is not None:
            with contextlib.suppress(FileNotFoundError):  # somebody tidied it away
                os.rename(spare, self.log)
                return os.open(self.log, os.O_WRONLY | os.O_APPEND | _FLAGS)
        return _create(self.log)

    @property
    def there(self) -> bool:
        """Whether there is a trace of the run."""
        return os.path.lexists(self.record)

    @property
    def age_s(self) -> float:
        """How long ago the record was made or last written to."""
        try:
            # Not st_mtime: a record that is made of a left-over one keeps the time that one was emptied.
            return time.time() - os.stat(self.record, follow_symlinks=False).st_ctime
        except FileNotFoundError:
            return float("inf")

    def append(self, line: Record | str) -> None:
        """Write a line to the record, in one piece."""
        fd = os.open(self.record, os.O_WRONLY | os.O_APPEND | _FLAGS)
        with contextlib.closing(open(fd, "ab", buffering=0)):
            write_line(fd, line)

    def append_exit(self, code: int, *, by_signal: bool) -> None:
        """Keep how it ended for whoever asks after a restart."""
        self.append(f"{code} signal" if by_signal else f"{code}")

    def read(self) -> tuple[Record | None, WrittenExit | None]:
        """What was recorded, and how it ended if that was; what was not written to its end does not count."""
        record = ended = None
        try:
            with open(os.open(self.record, os.O_RDONLY | _FLAGS), "rb") as file:
                *lines, _ = file.read(1 << 20).split(b"\n")
                written_at = os.fstat(file.fileno()).st_mtime
        except OSError:
            return None, None
        for line in lines:
            if match := _EXIT.match(line):
                ended = ended or WrittenExit(int(match[1]), match[2] is not None, written_at)
            else:
                with contextlib.suppress(msgspec.DecodeError):
                    record = _decode_record(line)
        return record, ended


def write_line(fd: int, line: Record | str) -> None:
    """Write a line to an open record, in one piece, so that no reader sees a part of it for long."""
    os.write(fd, (line.encode() if isinstance(line, str) else _encode(line)) + b"\n")


def _make_private(path: str) -> None:
    """Make the directories of an owner; ``os.makedirs`` would leave those in between open to all."""
    for place in (os.path.dirname(path), path):
        with contextlib.suppress(FileExistsError):
            os.mkdir(place, 0o700)


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)


class Root:
    """The directory of all runs of one user, or of as many as share it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)
        os.makedirs(self.path, 0o700, exist_ok=True)
        found = os.stat(self.path)
        if found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise UsageError(
                f"{self.path} must belong to you and be writable by nobody else, since what lies there "
                "says which processes are killed; choose another root="
            )
        self._lock = threading.Lock()
        self._paths: dict[Owner, str] = {}
        self._spare: dict[tuple[str, str], list[str]] = {}
        """Empty working directories and records to use again, by owner's directory and kind: a new inode
        can cost more than all the rest of a short run (0.5 ms on an ext4 without a journal)."""
        self._numbers = iter(range(1 << 62))

    def _owner_path(self, owner: Owner) -> str:
        path = self._paths.get(owner)
        if path is None:
            cluster = check_id(owner.cluster_id, "cluster", "$.owner.cluster_id")
            path = f"{self.path}/{cluster}/{check_name(owner.node, 'node', '$.owner.node')}"
            for place in (os.path.dirname(path), path):
                if os.path.lexists(place) and not stat.S_ISDIR(os.lstat(place).st_mode):
                    raise UsageError(f"{place} is not a directory; somebody else made it")
            self._paths[owner] = path
        return path

    def files(self, owner: Owner, key: RunKey) -> RunFiles:
        """Where the run of *owner* lies, or would."""
        return RunFiles(f"{self._owner_path(owner)}/{_checked_name(key)}")

    def find(self, key: RunKey) -> tuple[Owner, RunFiles] | None:
        """Look for a run among all owners."""
        name = _checked_name(key)
        for cluster in _directories(self.path):
            for node in _directories(f"{self.path}/{cluster}"):
                files = RunFiles(f"{self.path}/{cluster}/{node}/{name}")
                if os.path.lexists(files.record):
                    return Owner(cluster, node), files
        return None

    def runs(self, owner: Owner) -> Iterator[tuple[RunKey, RunFiles]]:
        """Every run of *owner*, in the order of their names."""
        parent = self._owner_path(owner)
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(parent)):
                if name.endswith(".run") and (match := _RUN.match(name[:-4])):
                    key = RunKey(match[1], int(match[2]), int(match[3]))
                    yield key, RunFiles(f"{parent}/{name[:-4]}")

    def make_work(self, owner: Owner, files: RunFiles) -> None:
        """Make the working directory, from an empty one that is left over if there is one."""
        left_over = self._take_spare(self._owner_path(owner), "work")
        if left_over is not None:
            with contextlib.suppress(OSError):  # somebody tidied it away
                os.rename(left_over, files.work)
                return
        os.mkdir(files.work, 0o700)

    def create_log(self, owner: Owner, files: RunFiles) -> int:
        """Make a run's log, as :meth:`RunFiles.create_log` does, of one that is left over if there is one."""
        return files.create_log(self._take_spare(self._owner_path(owner), "log"))

    def claim(self, owner: Owner, files: RunFiles) -> int:
        """Claim a run, as :meth:`RunFiles.claim` does, with a record that is left over if there is one."""
        return files.claim(self._take_spare(self._owner_path(owner), "run"))

    def remove(self, owner: Owner, files: RunFiles) -> None:
        """Remove all files of a run, its record last.

        Raises:
            OSError: something in its working directory cannot be removed; nothing of it is lost then.
        """
        parent = self._owner_path(owner)
        self._remove_work(parent, files.work)
        with contextlib.suppress(FileNotFoundError):
            if not (_empty_if_unused(files.log) and self._keep(parent, "log", files.log)):
                os.unlink(files.log)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{files.log}.1")
        with contextlib.suppress(FileNotFoundError):
            os.truncate(files.record, 0)
            if not self._keep(parent, "run", files.record):
                os.unlink(files.record)

    def _remove_work(self, parent: str, work: str) -> None:
        try:
            found = os.lstat(work)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode):  # its task put something else there
            os.unlink(work)
        elif found.st_mode != stat.S_IFDIR | 0o700 or os.listdir(work):
            shutil.rmtree(work)  # follows no symbolic link
        elif not self._keep(parent, "work", work):
            os.rmdir(work)

    def _keep(self, parent: str, kind: str, path: str) -> bool:
        """Put something empty aside to be used again; False if there is enough of it."""
        with self._lock:
            spare = self._spare.setdefault((parent, kind), [])
            if len(spare) >= _MOST_SPARE:
                return False
            kept = f"{parent}/{_SPARE}{os.getpid()}-{next(self._numbers)}"
            os.rename(path, kept)
            spare.append(kept)
            return True

    def _take_spare(self, parent: str, kind: str) -> str | None:
        with self._lock:
            spare = self._spare.get((parent, kind))
            return spare.pop() if spare else None

    def tidy(self) -> None:
        """Remove what is left over, and the directories of owners that hold no run."""
        with self._lock:
            owners, self._paths = list(self._paths.values()), {}
            self._spare.clear()
        for path in owners:
            with contextlib.suppress(OSError):
                for name in os.listdir(path):
                    if name.startswith(_SPARE):  # ours, or of a process that crashed
                        _remove_empty(f"{path}/{name}")
                os.rmdir(path)
                os.rmdir(os.path.dirname(path))


def _empty_if_unused(path: str) -> bool:
    """Empty a file that nobody has open: no reader, and no process that a run left behind.

    Linux gives a write lease on a file only to the one who has it open alone.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    fd = os.open(path, os.O_WRONLY | _FLAGS)
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # told if somebody opens it now; ignored by default
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        os.ftruncate(fd, 0)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _remove_empty(path: str) -> None:
    if stat.S_ISDIR(os.lstat(path).st_mode):
        os.rmdir(path)
    else:
        os.unlink(path)


def _checked_name(key: RunKey) -> str:
    if not _RUN.match(key.name):
        raise UsageError(f"{key!r:.120} does not name a run")
    return key.name


def _directories(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
