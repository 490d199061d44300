"""What lies on disk for a run: its directory, its record and how it ended. Secrets are never written.

::

    <root>/<cluster id>/<node>/<run's name>/
        output.log    what it wrote; made exclusively just before the spawn, so whoever makes it may spawn
        record        JSON: pid, birth, start, ports
        exit          "<code>", or "<code> signal"
        work/         its working directory

So a directory without ``output.log`` never ran, and one with it may have.  The small files are
written in one piece; one that cannot be read counts as not there.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from minorch.contracts import Owner
from minorch.errors import RuntimeFault, UsageError
from minorch.ids import RunKey, check_id, check_name

__all__ = ["Record", "Root", "RunDirectory", "default_root"]

_RUN: Final = re.compile(r"minorch-([0-9a-f]{32})-([1-9][0-9]{0,8})-([1-9][0-9]{0,8})\Z")
_TRASH: Final = ".removed-"
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known of a run to find it again after a restart."""

    pid: int
    birth: str
    started_at: float
    workdir: str
    ports: Mapping[str, str] = {}
    supervised: bool = False


_decode_record: Final = msgspec.json.Decoder(Record).decode
_encode: Final = msgspec.json.Encoder().encode


def default_root() -> Path:
    """``$XDG_STATE_HOME/minorch``, or ``~/.local/state/minorch``: a user's own, unlike ``/tmp``."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "minorch"


class RunDirectory:
    """The directory of one run."""

    __slots__ = ("log", "path", "work")

    def __init__(self, path: str) -> None:
        self.path = path
        self.log = f"{path}/output.log"
        self.work = f"{path}/work"

    def claim(self) -> int:
        """Make the directory and its log, and return the log opened for appending.

        Raises:
            FileExistsError: somebody else has; the run may have been started.
        """
        try:
            os.mkdir(self.path, 0o700)
        except FileExistsError:
            self._check()
        except FileNotFoundError:
            os.makedirs(self.path, 0o700)
        return os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)

    def _check(self) -> None:
        if not stat.S_ISDIR(os.lstat(self.path).st_mode):
            raise RuntimeFault(f"{self.path} is not a directory; somebody else made it")

    @property
    def claimed(self) -> bool:
        """Whether the run may have been started."""
        return os.path.lexists(self.log) or os.path.lexists(f"{self.path}/exit")

    def age_s(self) -> float:
        """How long ago it was claimed."""
        try:
            return time.time() - os.stat(self.path, follow_symlinks=False).st_mtime
        except FileNotFoundError:
            return float("inf")

    def write_record(self, record: Record) -> None:
        """Write it in one piece."""
        self._write("record", _encode(record))

    def read_record(self) -> Record | None:
        """What was recorded; None if nothing was, or not to its end."""
        try:
            return _decode_record(self._read("record"))
        except (OSError, msgspec.DecodeError):
            return None

    def write_exit(self, code: int, *, by_signal: bool) -> None:
        """Keep how it ended for whoever asks after a restart."""
        self._write("exit", f"{code}{' signal' if by_signal else ''}\n".encode())

    @property
    def exit_path(self) -> str:
        """Where a supervisor writes the exit code, followed by a newline."""
        return f"{self.path}/exit"

    def read_exit(self) -> tuple[int, bool, float] | None:
        """Exit code, whether it is known to come from a signal, and when it was written."""
        try:
            text = self._read("exit")
            written = os.stat(self.exit_path, follow_symlinks=False).st_mtime
        except OSError:
            return None
        match = re.fullmatch(rb"([0-9]{1,3})( signal)?\n", text)
        return (int(match[1]), match[2] is not None, written) if match else None

    def _write(self, name: str, content: bytes) -> None:
        fd = os.open(f"{self.path}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS, 0o600)
        try:
            os.write(fd, content)
        finally:
            os.close(fd)

    def _read(self, name: str) -> bytes:
        fd = os.open(f"{self.path}/{name}", os.O_RDONLY | _FLAGS)
        try:
            return os.read(fd, 1 << 20)
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Remove it with all that is in it. In one step as far as others see, so a crash leaves no half.

        Raises:
            OSError: something in it cannot be removed; it is out of sight all the same.
        """
        parent, name = os.path.split(self.path)
        trash = f"{parent}/{_TRASH}{name}"
        try:
            os.rename(self.path, trash)
        except FileNotFoundError:
            return
        _delete(trash)


def _delete(path: str) -> None:
    # Nearly always there are just these; rmtree costs 0.2 ms more.
    for name in ("output.log", "record", "exit"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}/{name}")
    try:
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(f"{path}/work")
        os.rmdir(path)
    except OSError:
        shutil.rmtree(path)  # follows no symbolic link


class Root:
    """The directory of all runs of one user."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)
        os.makedirs(self.path, 0o700, exist_ok=True)
        mode = os.stat(self.path)
        if mode.st_uid != os.getuid() or mode.st_mode & 0o022:
            raise UsageError(
                f"{self.path} must belong to you and be writable by nobody else, since what lies there "
                "says which processes are killed; choose another root="
            )

    def _owner_path(self, owner: Owner) -> str:
        cluster = check_id(owner.cluster_id, "cluster", "$.owner.cluster_id")
        return f"{self.path}/{cluster}/{check_name(owner.node, 'node', '$.owner.node')}"

    def directory(self, owner: Owner, key: RunKey) -> RunDirectory:
        """Where the run of *owner* lies, or would."""
        return RunDirectory(f"{self._owner_path(owner)}/{_checked_name(key)}")

    def find(self, key: RunKey) -> tuple[Owner, RunDirectory] | None:
        """Look for a run among all owners."""
        name = _checked_name(key)
        for cluster in _directories(self.path):
            for node in _directories(f"{self.path}/{cluster}"):
                path = f"{self.path}/{cluster}/{node}/{name}"
                if os.path.isdir(path) and not os.path.islink(path):
                    return Owner(cluster, node), RunDirectory(path)
        return None

    def runs(self, owner: Owner) -> Iterator[tuple[RunKey, RunDirectory]]:
        """Every run of *owner*, in the order of their names; clears away what a crash left half removed."""
        parent = self._owner_path(owner)
        for name in sorted(_directories(parent)):
            if match := _RUN.match(name):
                key = RunKey(match[1], int(match[2]), int(match[3]))
                yield key, RunDirectory(f"{parent}/{name}")
            elif name.startswith(_TRASH):
                shutil.rmtree(f"{parent}/{name}", ignore_errors=True)

    def tidy(self, owners: set[Owner]) -> None:
        """Remove the directories of *owners* that hold no run."""
        for owner in owners:
            path = self._owner_path(owner)
            with contextlib.suppress(OSError):
                os.rmdir(path)
                os.rmdir(os.path.dirname(path))


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
