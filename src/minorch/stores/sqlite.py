"""A store in one SQLite file, for one manager at a time. Only this module knows SQLite.

*Durable*: write-ahead log with ``synchronous=FULL``, so a commit that has returned survives a
crash of the process, the system and the power.  *Single writer*: a lock file beside the database
is held through ``flock``, which the kernel drops with the process, however it dies; SQLite's own
locks would only guard single transactions.  Anyone may read meanwhile, say with the ``sqlite3`` shell.

*Checked*: SQLite notices damage to its own structure, but not to what a row holds, so each row has a
checksum, which is compared when it is loaded.

Layout: one table of rows, whose meaning only the manager knows.  ``application_id`` says that the
file is ours, ``user_version`` how many of :data:`MIGRATIONS` it has been through, and ``meta`` which
minorch opened it last.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import BinaryIO, Final
from urllib.parse import quote

from minorch.contracts import Change
from minorch.errors import StoreCorrupt, StoreError, StoreLocked, StoreVersionError

__all__ = ["APPLICATION_ID", "MIGRATIONS", "SqliteStore"]

APPLICATION_ID: Final = 0x6D_69_6E_6F  # "mino"
"""In the header of each of our files, where ``file`` and other programs look for it."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE rows (
            tbl TEXT NOT NULL,
            key TEXT NOT NULL,
            value BLOB NOT NULL CHECK (typeof(value) = 'blob'),
            PRIMARY KEY (tbl, key)
        ) WITHOUT ROWID""",
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
    ("ALTER TABLE rows ADD COLUMN checksum INTEGER",),
)
"""The n-th entry leads from version n to n + 1; an empty file has version 0. Append, never edit."""

_WAL_BYTES: Final = 16 * 1024 * 1024
"""A log that once grew larger is cut back to this size."""
_RETRY_S: Final = 0.02
_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_FORMAT)
"""With ``SQLITE_ERROR``, a statement of ours does not fit the tables, so they are not ours any more."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN: Final = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN)


class SqliteStore:
    """Keeps rows in the SQLite file at *path*, which is made if it is missing (readable by its owner only).

    It may be used from several threads, by one at a time, but not by a forked child.

    Args:
        path: the file; its directory must exist and be on a local disk.
        busy_timeout_s: how long to wait for another process to let go of it.

    Raises:
        StoreLocked: another store has it open.
        StoreCorrupt: it is not a minorch store, or is damaged. It is left untouched.
        StoreVersionError: a newer minorch wrote it.
        StoreError: it cannot be opened; the message says what to do.
    """

    def __init__(self, path: str | os.PathLike[str], *, busy_timeout_s: float = 5.0) -> None:
        given = os.fspath(path)
        if not given or given == ":memory:":
            raise StoreError(f'"{given}" names no file; for a store in memory use MemoryStore()')
        self._path = os.path.realpath(given)  # so that every link to it leads to the same lock
        self._pid = os.getpid()
        self._db: sqlite3.Connection | None = None
        _check_place(self._path)
        with contextlib.ExitStack() as undo:
            self._lock = _take_lock(self._path, busy_timeout_s)
            undo.callback(_drop_lock, self._lock, self._path)
            with _translated(self._path):
                _refuse_strangers(self._path)
                _create_private(self._path)
                db = sqlite3.connect(
                    self._path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
                )
                undo.callback(db.close)
                _set_up(db, self._path)
            undo.pop_all()
        self._db = db
        self._files = {name: _identity(name) for name in (self._path, f"{self._path}-wal")}
        """What was opened, so that it is noticed if that is not there any more."""

    def load(self) -> list[Change]:
        """Return every row that was committed, in the order of table and key.

        Raises:
            StoreError: it is closed or cannot be read; ``StoreCorrupt`` if it is damaged.
        """
        db = self._open_db()
        with _translated(self._path):
            # Reads each page of the table, so it finds what `PRAGMA quick_check` would find in it.
            found = db.execute("SELECT tbl, key, value, checksum FROM rows ORDER BY tbl, key").fetchall()
        loaded = []
        for table, key, value, checksum in found:
            if checksum is not None and checksum != _checksum(table, key, value):
                raise _damaged(
                    self._path, f"row {str(key)[:70]!r} of table {str(table)[:40]!r} is not as it was written"
                )
            loaded.append(Change(table, key, value))
        return loaded

    def commit(self, changes: Sequence[Change]) -> None:
        """Write all of *changes* in their order in one transaction, and wait until the disk has them.

        Raises:
            StoreError: nothing was written, and the store is still usable. There is one exception: where
                the disk did not confirm what it had taken (``SQLITE_IOERR_FSYNC``), all of *changes* may be
                found when the file is opened again.
        """
        db = self._open_db()
        if not changes:
            return
        self._check_in_place()
        with _translated(self._path), _transaction(db):
            # Runs of writes and of deletes, so that a key's last change wins and most batches are one call.
            for deleting, run in itertools.groupby(changes, key=lambda change: change.value is None):
                if deleting:
                    keys = ((table, key) for table, key, _ in run)
                    db.executemany("DELETE FROM rows WHERE tbl = ? AND key = ?", keys)
                else:
                    rows = ((*change, _checksum(*change)) for change in run)
                    db.executemany(
                        "INSERT OR REPLACE INTO rows (tbl, key, value, checksum) VALUES (?, ?, ?, ?)", rows
                    )

    def close(self) -> None:
        """Move what is in the log into the file, and let go of it. Closing twice is fine."""
        if self._db is None or os.getpid() != self._pid:  # a fork's copy is not its own to tidy up
            return
        with contextlib.suppress(sqlite3.Error):  # the log is as durable as the file: the next open reads it
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with _translated(self._path):
            self._db.close()
        self._db = None
        _drop_lock(self._lock, self._path)

    def _check_in_place(self) -> None:
        """Refuse to write where nobody would find it: into files that were removed while they are open."""
        for name, identity in self._files.items():
            if _identity(name) != identity:
                raise StoreError(
                    f'"{name}" was removed or replaced while it is open, so what is written would be lost; '
                    "put it back where it was, or end this process"
                )

    def _open_db(self) -> sqlite3.Connection:
        if self._db is None:
            raise StoreError(f'the store "{self._path}" is closed')
        if os.getpid() != self._pid:
            raise StoreError(
                f'the store "{self._path}" was opened by process {self._pid}, and this is its fork '
                f"{os.getpid()}; SQLite files cannot be shared across a fork"
            )
        return self._db

    def __repr__(self) -> str:
        return f"SqliteStore({self._path!r}{'' if self._db else ', closed'})"


def _checksum(table: str, key: str, value: bytes | None) -> int | None:
    """Of a row; None for what is no row, which the database refuses in its own words."""
    return zlib.crc32(value, zlib.crc32(f"{table}\0{key}".encode())) if isinstance(value, bytes) else None


# -- the place ---------------------------------------------------------------------------------------------


def _check_place(path: str) -> None:
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        problem = "is not a directory" if os.path.exists(directory) else "does not exist; create it first"
        raise StoreError(f'cannot make the store "{path}": "{directory}" {problem}')
    if os.path.exists(path) and not os.path.isfile(path):
        raise StoreError(f'"{path}" is not a file; name a file for the store, e.g. "{path}/minorch.db"')


def _identity(path: str) -> tuple[int, int] | None:
    """Which file is there; None: there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return (found.st_dev, found.st_ino)


def _create_private(path: str) -> None:
    """Make a new file readable by its owner only; SQLite gives its log and index files the same mode."""
    if os.path.exists(path) and os.path.getsize(path):
        return  # its owner may have opened it up on purpose
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _refuse_strangers(path: str) -> None:
    """Raise for a file that is not ours, before anything of it is changed.

    ``immutable`` reads without locks, log or recovery, so it leaves no trace, even in a file that
    another program has open.  It may also read nonsense, where a crash left work for the recovery;
    then :func:`_set_up` decides.
    """
    with contextlib.suppress(sqlite3.Error):
        stranger = sqlite3.connect(f"file:{quote(path)}?mode=ro&immutable=1", uri=True)
        with contextlib.closing(stranger):
            _check_ours(stranger, path)


def _check_ours(db: sqlite3.Connection, path: str) -> None:
    application = _number(db, "PRAGMA application_id")
    tables = _number(db, "SELECT count(*) FROM sqlite_master")
    if application not in (0, APPLICATION_ID) or (application == 0 and tables):
        raise StoreCorrupt(f'"{path}" is the SQLite file of another program; name another file for the store')


# -- the lock ----------------------------------------------------------------------------------------------


def _take_lock(path: str, timeout_s: float) -> BinaryIO:
    """Lock ``path.lock`` and write our process id into it; the lock ends with the returned file."""
    give_up = time.monotonic() + timeout_s
    while True:
        try:
            descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _cannot_write(path, error.strerror) from None
        file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still_at(file, f"{path}.lock"):
                _sign(file, path)
                return file
            file.close()  # its last holder removed it between our open and our lock
            continue
        except OSError as error:
            holder = file.read(20).strip().decode("ascii", "replace")
            file.close()
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise StoreError(f'cannot lock "{path}.lock": {error.strerror}') from None
        if time.monotonic() >= give_up:
            raise StoreLocked(_locked_by(path, holder))
        time.sleep(_RETRY_S)


def _sign(file: BinaryIO, path: str) -> None:
    """Write our process id into the lock file, for whoever waits for it."""
    try:
        file.truncate()
        file.write(b"%d\n" % os.getpid())
    except OSError as error:
        _drop_lock(file, path)
        raise (_no_room if error.errno in _FULL else _cannot_write)(path, str(error.strerror)) from None


def _is_still_at(file: BinaryIO, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _locked_by(path: str, holder: str) -> str:
    if holder == str(os.getpid()):
        return f'the store "{path}" is open in this process already; close it there first'
    who = f"process {holder}" if holder else "another process"
    return f'{who} has the store "{path}" open; stop it, or name another file'


def _drop_lock(lock: BinaryIO, path: str) -> None:
    with contextlib.suppress(OSError):  # a lock file left behind does no harm: only the lock on it counts
        os.unlink(f"{path}.lock")
    lock.close()


# -- the database ------------------------------------------------------------------------------------------


def _set_up(db: sqlite3.Connection, path: str) -> None:
    """Bring the file to the newest version, all or nothing, and set how it is written."""
    db.execute("PRAGMA synchronous = FULL")
    _check_ours(db, path)
    version = _number(db, "PRAGMA user_version")
    if version > len(MIGRATIONS):
        (writer,) = db.execute("SELECT value FROM meta WHERE name = 'minorch'").fetchone() or ("?",)
        raise StoreVersionError(
            f'"{path}" was written by minorch {writer} (store version {version}); this is minorch '
            f"{_minorch_version()}, which knows versions up to {len(MIGRATIONS)}: use a newer minorch"
        )
    # What a dead process left in the log goes into the file first, and what is written next begins a new log.
    # For where an fsync had failed, the system shows what may never have reached the disk, and whatever were
    # written behind that would be lost with it when power fails.
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    # The header must say that it is ours before there is a log, where `immutable` would not see it.
    with _transaction(db):
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                db.execute(statement)
        if version < len(MIGRATIONS):
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        # Also tells now, not at the first commit, whether the file can be written to: BEGIN does not.
        db.execute("INSERT OR REPLACE INTO meta VALUES ('minorch', ?)", (_minorch_version(),))
    db.execute("PRAGMA journal_mode = WAL").fetchall()  # where it cannot, the rollback journal is as durable
    db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}").fetchall()
    _number(db, "SELECT count(*) FROM meta")  # makes the log's index, for which there may be no room


def _number(db: sqlite3.Connection, query: str) -> int:
    (number,) = db.execute(query).fetchone()
    return int(number)


def _minorch_version() -> str:
    try:
        return metadata.version("minorch")
    except metadata.PackageNotFoundError:  # run from a source tree
        return "unknown"


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite ends it by itself after some errors, a full disk among them
            db.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    """Raise SQLite's errors as ours, with what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(error, path) from None
    except UnicodeDecodeError as error:
        raise _damaged(path, str(error)) from None
    except (UnicodeError, OverflowError) as error:  # a lone surrogate; a value of 2 GiB
        raise StoreError(f'SQLite cannot hold what was to be written to "{path}": {error}') from None
    except OSError as error:
        raise _cannot_write(path, error.strerror) from None


def _explain(error: sqlite3.Error, path: str) -> StoreError:
    detail = getattr(error, "sqlite_errorcode", 0)
    code = detail & 0xFF  # the rest are details of the same error
    if code in _BUSY:
        return StoreLocked(f'another program is writing to "{path}" ({error}); close it there')
    if code in _DAMAGED or (
        isinstance(error, sqlite3.OperationalError) and not detail
    ):  # text that is no UTF-8
        return _damaged(path, str(error))
    if code == sqlite3.SQLITE_FULL or detail == sqlite3.SQLITE_IOERR_SHMSIZE:
        return _no_room(path, str(error))
    if code in _FORBIDDEN:
        return _cannot_write(path, str(error))
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(
            f'the disk under "{path}" fails ({error}, {error.sqlite_errorname}); '
            "see the system's log, and whether a quota is used up"
        )
    return StoreError(f'SQLite failed on "{path}": {error}')


def _damaged(path: str, what: str) -> StoreCorrupt:
    return StoreCorrupt(
        f'"{path}" is not a SQLite database or is damaged ({what}); restore a copy, and remove "{path}-wal" '
        "then, or name another file"
    )


def _no_room(path: str, why: str) -> StoreError:
    return StoreError(f'no room left to write "{path}" ({why}); nothing was written: free some')


def _cannot_write(path: str, why: str | None) -> StoreError:
    return StoreError(
        f'cannot write "{path}" ({why}); let this user write the file and its directory, or name another'
    )
