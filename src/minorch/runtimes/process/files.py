"""What lies on disk for a run: its record with its end, its output, its working directory. Never a secret.

::

    <root>/<cluster id>/<node>/<run's name>/run     the record: a line of JSON, and a line when it ended
    <root>/<cluster id>/<node>/<run's name>/log     what it wrote; an older half in log.1
    <root>/<cluster id>/<node>/<run's name>/work/   its working directory

The directory is prepared under another name and renamed to the run's, which fails where there is one.
So it is the claim: whoever renamed it may start the run, nobody else ever, and a claim is never found
without its files.  It is renamed away before anything in it goes, so the trace of a run is whole or gone.

Making and removing the five inodes of a run can cost more than all the rest of a short one (1 ms on an
ext4 without a journal), so a directory whose log and working directory are empty serves the next run.
Its record does too, as it is: emptying it would make ext4 write it out at once (0.1 ms).  That is why
each line of a record names its run.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import signal
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from minorch.contracts import Maker, Owner
from minorch.errors import SpecError, UsageError
from minorch.ids import RunKey, check_id, check_name

__all__ = ["Record", "Root", "RunFiles", "default_root"]

_RUN: Final = re.compile(r"minorch-([0-9a-f]{32})-([1-9][0-9]{0,8})-([1-9][0-9]{0,8})\Z")
_EXIT: Final = re.compile(rb"(minorch-[0-9a-f-]+) ([0-9]{1,3})( signal)?\Z")
_SPARE: Final = ".spare-"
_MOST_SPARE: Final = 512
_LONGEST_RECORD: Final = 1 << 14
"""In bytes; a longer one, of some thirty runs, is not used again."""
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _FLAGS


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known of a run to find it again after a restart."""

    run: str
    """Its name: a record is used again, and what it says of another run does not count."""
    pid: int
    birth: str
    started_at: float
    workdir: str
    ports: Mapping[str, str] = {}
    supervised: bool = False
    job: str = ""
    task: str = ""
    maker: Maker | None = None


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

    __slots__ = ("log", "name", "path", "record", "work")

    def __init__(self, parent: str, name: str) -> None:
        self.name = name
        self.path = f"{parent}/{name}"
        self.record = f"{self.path}/run"
        self.log = f"{self.path}/log"
        self.work = f"{self.path}/work"

    @property
    def there(self) -> bool:
        """Whether there is a trace of the run."""
        return os.path.lexists(self.path)

    @property
    def age_s(self) -> float:
        """How long ago it was claimed."""
        try:
            # Not st_mtime: it is of when something was made in it, perhaps for another run.
            return time.time() - os.stat(self.path, follow_symlinks=False).st_ctime
        except FileNotFoundError:
            return float("inf")

    def open_record(self) -> int:
        """Open the record for appending."""
        return os.open(self.record, _APPEND, 0o600)

    def open_log(self) -> int:
        """Open the log for appending."""
        return os.open(self.log, _APPEND, 0o600)

    def append(self, line: Record | str) -> None:
        """Write a line to the record, in one piece."""
        fd = self.open_record()
        try:
            write_line(fd, line)
        finally:
            os.close(fd)

    def append_exit(self, code: int, *, by_signal: bool) -> None:
        """Keep how it ended for whoever asks after a restart."""
        self.append(f"{self.name} {code} signal" if by_signal else f"{self.name} {code}")

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
                if match[1].decode() == self.name:
                    ended = ended or WrittenExit(int(match[2]), match[3] is not None, written_at)
            else:
                with contextlib.suppress(msgspec.DecodeError):
                    found = _decode_record(line)
                    record = found if found.run == self.name else record
        return record, ended

    def last_maker(self) -> Maker | None:
        """Who made the latest run that was recorded here, whichever that was."""
        try:
            with open(os.open(self.record, os.O_RDONLY | _FLAGS), "rb") as file:
                lines = file.read(1 << 20).split(b"\n")
        except OSError:
            return None
        for line in reversed(lines[:-1]):
            with contextlib.suppress(msgspec.DecodeError):
                return _decode_record(line).maker
        return None


def write_line(fd: int, line: Record | str) -> None:
    """Write a line to an open record, in one piece, so that no reader sees a part of it for long.

    It begins with an end of line too: before it may be one that a full disk cut off.
    """
    os.write(fd, b"\n%b\n" % (line.encode() if isinstance(line, str) else _encode(line)))


def _make_private(path: str) -> None:
    """Make the directories of an owner; ``os.makedirs`` would leave those in between open to all."""
    for place in (os.path.dirname(path), path):
        with contextlib.suppress(FileExistsError):
            os.mkdir(place, 0o700)


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
        self._spare: dict[str, list[str]] = {}
        """Directories to use again, by that of their owner."""
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
        return RunFiles(self._owner_path(owner), _checked_name(key))

    def find(self, key: RunKey) -> tuple[Owner, RunFiles] | None:
        """Look for a run among all owners."""
        name = _checked_name(key)
        for cluster in _directories(self.path):
            for node in _directories(f"{self.path}/{cluster}"):
                files = RunFiles(f"{self.path}/{cluster}/{node}", name)
                if files.there:
                    return Owner(cluster, node), files
        return None

    def runs(self, owner: Owner) -> Iterator[tuple[RunKey, RunFiles]]:
        """Every run of *owner*, in the order of their names."""
        parent = self._owner_path(owner)
        with contextlib.suppress(FileNotFoundError):
            yield from _runs_in(parent, sorted(os.listdir(parent)))

    def everything(self) -> Iterator[tuple[Owner, Sequence[tuple[RunKey, RunFiles]], Sequence[RunFiles]]]:
        """Everybody who has a directory here, with their runs, and the directories that wait to serve one.

        They may be others' and in use, so they are not taken note of: :meth:`tidy` does not go there.
        """
        for cluster in sorted(_directories(self.path)):
            for node in sorted(_directories(f"{self.path}/{cluster}")):
                try:
                    owner = Owner(check_id(cluster, "cluster"), check_name(node, "node"))
                except SpecError:  # a directory that is not ours
                    continue
                parent = f"{self.path}/{cluster}/{node}"
                names = sorted(_directories(parent))
                spares = [RunFiles(parent, name) for name in names if name.startswith(_SPARE)]
                yield owner, [*_runs_in(parent, names)], spares

    def claim(self, owner: Owner, files: RunFiles) -> None:
        """Make all files of a run, unless somebody has.

        Raises:
            FileExistsError: somebody has; the run may have been started.
        """
        parent = self._owner_path(owner)
        while (spare := self._take_spare(parent)) is not None:
            try:
                self._rename(parent, spare, files)
                return
            except FileNotFoundError:  # another process tidied it away
                continue
        self._rename(parent, self._prepare(parent), files)

    def _prepare(self, parent: str) -> str:
        """Make the directory of a run, under a name that is no run's."""
        path = f"{parent}/{self._spare_name()}"
        try:
            os.mkdir(path, 0o700)
        except FileNotFoundError:
            _make_private(parent)
            os.mkdir(path, 0o700)
        try:
            os.mkdir(f"{path}/work", 0o700)
            for name in ("run", "log"):
                os.close(os.open(f"{path}/{name}", _APPEND, 0o600))
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return path

    def _rename(self, parent: str, prepared: str, files: RunFiles) -> None:
        try:
            os.rename(prepared, files.path)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                self._keep(parent, prepared)
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), files.path) from None
            raise

    def remove(self, owner: Owner, files: RunFiles) -> None:
        """Remove all files of a run.

        Raises:
            OSError: something in its working directory cannot be removed; nothing else of it is lost then.
        """
        parent = self._owner_path(owner)
        with contextlib.suppress(FileNotFoundError):
            as_new = _empty_work(files.work)
            left_over = f"{parent}/{self._spare_name()}"
            os.rename(files.path, left_over)
            if not (as_new and _can_serve_again(left_over) and self._keep(parent, left_over)):
                shutil.rmtree(left_over)

    def _spare_name(self) -> str:
        return f"{_SPARE}{os.getpid()}-{next(self._numbers)}"

    def _keep(self, parent: str, path: str) -> bool:
        """Put a directory aside to be used again; False if there is enough of them."""
        with self._lock:
            spare = self._spare.setdefault(parent, [])
            if len(spare) >= _MOST_SPARE:
                return False
            spare.append(path)
            return True

    def _take_spare(self, parent: str) -> str | None:
        with self._lock:
            spare = self._spare.get(parent)
            return spare.pop() if spare else None

    def tidy(self) -> None:
        """Remove what is left over, and the directories of owners that hold no run."""
        with self._lock:
            owners, self._paths = list(self._paths.values()), {}
            self._spare.clear()
        for path in owners:
            self._tidy_owner(path)

    def discard(self, owner: Owner) -> None:
        """Remove the directories of an owner that holds no run."""
        path = self._owner_path(owner)
        with self._lock:
            self._paths.pop(owner, None)
            self._spare.pop(path, None)
        self._tidy_owner(path)

    def _tidy_owner(self, path: str) -> None:
        with contextlib.suppress(OSError):
            for name in os.listdir(path):
                if name.startswith(_SPARE):  # ours, of a process that crashed, or of one that lives
                    self._tidy_away(path, name)
            os.rmdir(path)
            os.rmdir(os.path.dirname(path))

    def _tidy_away(self, parent: str, name: str) -> None:
        """Remove a directory, under a new name: nobody may make a run of it half-way."""
        renamed = f"{parent}/{self._spare_name()}"
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{parent}/{name}", renamed)
            shutil.rmtree(renamed)


def _empty_work(work: str) -> bool:
    """Remove what lies in a working directory; False if it is not as if new after that."""
    try:
        found = os.lstat(work)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(found.st_mode):  # its task put something else there
        os.unlink(work)
    elif found.st_mode != stat.S_IFDIR | 0o700 or os.listdir(work):
        shutil.rmtree(work)  # follows no symbolic link
    else:
        return True
    return False


def _can_serve_again(path: str) -> bool:
    """Whether the files in this directory can be another run's; its log is emptied then."""
    try:
        return (
            not os.path.lexists(f"{path}/log.1")
            and os.stat(f"{path}/run", follow_symlinks=False).st_size <= _LONGEST_RECORD
            and _empty_if_unused(f"{path}/log")
        )
    except OSError:
        return False


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
        if os.fstat(fd).st_size:
            os.ftruncate(fd, 0)
    except OSError:
        return False
    finally:
        os.close(fd)  # which ends the lease
    return True


def _checked_name(key: RunKey) -> str:
    if not _RUN.match(key.name):
        raise UsageError(f"{key!r:.120} does not name a run")
    return key.name


def _runs_in(parent: str, names: Iterable[str]) -> Iterator[tuple[RunKey, RunFiles]]:
    for name in names:
        if match := _RUN.match(name):
            yield RunKey(match[1], int(match[2]), int(match[3])), RunFiles(parent, name)


def _directories(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
