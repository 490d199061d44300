"""What only the SQLite store does: locks, foreign and damaged files, versions, full disks, ``kill -9``."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

import pytest

from minorch.contracts import Change
from minorch.errors import StoreCorrupt, StoreError, StoreLocked, StoreVersionError
from minorch.stores import sqlite
from minorch.stores.sqlite import APPLICATION_ID, SqliteStore

ROW = Change("t", "a", b"1")
NOBODY = 65_534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def filled(path: Path) -> None:
    with contextlib.closing(SqliteStore(path)) as store:
        store.commit([ROW])


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


# -- the place -----------------------------------------------------------------------------------------------


def test_a_missing_directory_is_named(tmp_path: Path):
    with pytest.raises(StoreError, match=r'nowhere" does not exist; create it first'):
        SqliteStore(tmp_path / "nowhere" / "store.db")


def test_a_file_where_the_directory_should_be_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r'file" is not a directory'):
        SqliteStore(tmp_path / "file" / "store.db")


def test_a_directory_is_refused_with_a_name_to_use_instead(tmp_path: Path):
    with pytest.raises(StoreError, match=r'is not a file; .* e\.g\. ".*/minorch\.db"'):
        SqliteStore(tmp_path)


@pytest.mark.parametrize("name", ["", ":memory:"])
def test_a_path_to_nowhere_is_sent_to_the_memory_store(name: str):
    with pytest.raises(StoreError, match=r"use MemoryStore\(\)"):
        SqliteStore(name)


def test_the_path_may_be_text_and_hold_odd_characters(tmp_path: Path):
    odd = tmp_path / "a?b#c%20 é.db"
    for _ in range(2):
        with contextlib.closing(SqliteStore(str(odd))) as store:
            store.commit([ROW])
    assert [file.name for file in tmp_path.iterdir()] == [odd.name]


def test_only_its_owner_may_read_the_files(path: Path):
    with contextlib.closing(SqliteStore(path)) as store:
        store.commit([ROW])
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    names = ("store.db", "store.db-wal", "store.db-shm", "store.db.lock")
    assert modes == dict.fromkeys(names, 0o600)


def test_an_empty_file_becomes_a_store_that_only_its_owner_may_read(path: Path):
    path.touch(0o644)
    filled(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_mode_of_a_store_is_its_owners_choice(path: Path):
    filled(path)
    path.chmod(0o640)
    filled(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_closing_leaves_one_file_with_everything_in_it(path: Path):
    filled(path)
    assert list(path.parent.iterdir()) == [path]
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT tbl, key, value FROM rows").fetchall() == [ROW]


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A directory that everybody may enter, and a process that root's privileges do not help."""
    directory = Path(tempfile.mkdtemp(prefix="minorch-test-", dir="/tmp"))
    directory.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        filled(directory / "store.db")
        os.seteuid(NOBODY)
    else:
        filled(directory / "store.db")
        (directory / "store.db").chmod(0o400)
    try:
        yield directory
    finally:
        os.seteuid(user)
        directory.chmod(0o755)
        shutil.rmtree(directory)


def test_a_directory_that_may_not_be_written_to_is_said(as_nobody: Path):
    if os.geteuid() != NOBODY:
        as_nobody.chmod(0o555)
    for name in ("store.db", "new.db"):
        with pytest.raises(StoreError, match=r"cannot write .*Permission denied.*; let this user write"):
            SqliteStore(as_nobody / name)


def test_a_file_that_may_not_be_written_to_is_said(as_nobody: Path):
    user = os.geteuid()
    if user == NOBODY:
        os.seteuid(0)
        os.chmod(as_nobody / "store.db", 0o444)
        os.chown(as_nobody, NOBODY, -1)
        os.seteuid(NOBODY)
    with pytest.raises(StoreError, match=r"cannot write .*readonly.*; let this user write"):
        SqliteStore(as_nobody / "store.db")


def test_a_directory_in_which_only_the_lock_may_be_written_is_said(as_nobody: Path):
    user = os.geteuid()
    os.seteuid(os.getuid())
    (as_nobody / "new.db.lock").touch()
    (as_nobody / "new.db.lock").chmod(0o666)
    as_nobody.chmod(0o555)
    os.seteuid(user)
    with pytest.raises(StoreError, match=r"cannot write .*new\.db\" \(Permission denied\)"):
        SqliteStore(as_nobody / "new.db")


# -- one writer ----------------------------------------------------------------------------------------------


def test_a_second_store_in_this_process_is_refused(path: Path):
    with contextlib.closing(SqliteStore(path)) as store:
        with pytest.raises(StoreLocked, match="open in this process already; close it there first"):
            SqliteStore(path, busy_timeout_s=0)
        store.commit([ROW])
    filled(path)


def test_a_link_to_the_file_leads_to_the_same_lock(path: Path):
    link = path.with_name("link.db")
    link.symlink_to(path)
    with contextlib.closing(SqliteStore(path)), pytest.raises(StoreLocked):
        SqliteStore(link, busy_timeout_s=0)


def test_another_process_is_named_and_its_death_frees_the_store(path: Path):
    code = """
        import sys, time
        from minorch.stores.sqlite import SqliteStore
        store = SqliteStore(sys.argv[1])
        print("open", flush=True)
        time.sleep(60)
    """
    with child(code, path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        started = time.monotonic()
        with pytest.raises(StoreLocked, match=rf"process {holder.pid} has the store .* open; stop it"):
            SqliteStore(path, busy_timeout_s=0.1)
        assert time.monotonic() - started < 5
        holder.kill()
    filled(path)


def test_it_waits_for_the_other_to_let_go(path: Path):
    other = SqliteStore(path)
    closing = threading.Timer(0.1, other.close)
    closing.start()
    SqliteStore(path, busy_timeout_s=30).close()
    closing.join()


def test_a_lock_file_that_a_crash_left_behind_does_no_harm(path: Path):
    path.with_name("store.db.lock").write_text("1\n")
    filled(path)


def test_a_holder_that_has_not_said_who_it_is_is_called_another_process(path: Path):
    with contextlib.closing(SqliteStore(path)):
        path.with_name("store.db.lock").write_text("")
        with pytest.raises(StoreLocked, match="another process has the store"):
            SqliteStore(path, busy_timeout_s=0)


def test_a_lock_that_was_removed_while_it_was_taken_is_taken_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    lock, real = path.with_name("store.db.lock"), fcntl.flock
    removed: list[bytes] = []

    def flock(file: BinaryIO, operation: int) -> None:
        real(file, operation)
        if not removed:  # as its last holder does when it closes
            removed.append(lock.read_bytes())
            lock.unlink()

    monkeypatch.setattr(fcntl, "flock", flock)
    with contextlib.closing(SqliteStore(path)), pytest.raises(StoreLocked):
        SqliteStore(path, busy_timeout_s=0)
    assert removed == [b""]


def test_a_file_system_without_locks_is_said(path: Path, monkeypatch: pytest.MonkeyPatch):
    def flock(file: BinaryIO, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError, match=r"cannot lock .*Operation not supported"):
        SqliteStore(path)


def test_a_program_that_writes_behind_its_back_is_waited_for_then_reported(path: Path):
    with (
        contextlib.closing(SqliteStore(path, busy_timeout_s=0.05)) as store,
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as intruder,
    ):
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLocked, match="another program is writing"):
            store.commit([ROW])
        intruder.execute("ROLLBACK")
        store.commit([ROW])
        assert store.load() == [ROW]


def test_it_may_be_read_while_it_is_open(path: Path):
    with contextlib.closing(SqliteStore(path)) as store:
        store.commit([ROW])
        with contextlib.closing(sqlite3.connect(path)) as reader:
            assert reader.execute("SELECT tbl, key, value FROM rows").fetchall() == [ROW]


def test_a_store_that_cannot_be_opened_leaves_no_lock(path: Path):
    path.write_bytes(b"not a database, but long enough to be one" * 100)
    for _ in range(2):
        with pytest.raises(StoreCorrupt):
            SqliteStore(path, busy_timeout_s=0)
    assert list(path.parent.iterdir()) == [path]


def test_several_threads_may_use_it_one_after_another(path: Path):
    with contextlib.closing(SqliteStore(path)) as store:
        thread = threading.Thread(target=store.commit, args=([ROW],))
        thread.start()
        thread.join()
        assert store.load() == [ROW]


def test_a_forked_child_cannot_use_it(path: Path, monkeypatch: pytest.MonkeyPatch):
    with contextlib.closing(SqliteStore(path)) as store:
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 1)
            with pytest.raises(StoreError, match=r"opened by process \d+, and this is its fork 1;"):
                store.commit([ROW])
            with pytest.raises(StoreError, match="fork"):
                store.load()
            store.close()
        store.commit([ROW])
        assert store.load() == [ROW]


# -- files that are no stores --------------------------------------------------------------------------------


@pytest.mark.parametrize("wal", [False, True])
def test_another_programs_database_is_refused_untouched(path: Path, wal: bool):
    with contextlib.closing(sqlite3.connect(path)) as db:
        if wal:
            db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE bookmarks (url)")
        db.commit()
    before = path.read_bytes(), path.stat().st_mtime_ns, os.listdir(path.parent)
    with pytest.raises(StoreCorrupt, match="of another program; name another file"):
        SqliteStore(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns, os.listdir(path.parent)) == before


def test_another_programs_database_is_refused_by_its_application_id_alone(path: Path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA application_id = 7")
    with pytest.raises(StoreCorrupt, match="another program"):
        SqliteStore(path)


def test_another_programs_tables_are_seen_while_they_are_only_in_its_log(path: Path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE bookmarks (url)")
        db.commit()
        with pytest.raises(StoreCorrupt, match="another program"):
            SqliteStore(path)
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)


def test_what_is_no_database_is_refused_untouched(path: Path):
    path.write_text("name: not a database\n" * 50)
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="not a SQLite database or is damaged"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_damaged_store_is_reported_when_it_is_loaded(path: Path):
    with contextlib.closing(SqliteStore(path)) as store:
        store.commit([Change("t", str(row), bytes(500)) for row in range(100)])
    content = bytearray(path.read_bytes())
    content[3 * 4096 : 12 * 4096] = b"\xa5" * (9 * 4096)
    path.write_bytes(content)
    with contextlib.closing(SqliteStore(path)) as store, pytest.raises(StoreCorrupt, match="damaged"):
        store.load()


def test_a_store_cut_short_is_reported(path: Path):
    with contextlib.closing(SqliteStore(path)) as store:
        store.commit([Change("t", str(row), bytes(1000)) for row in range(100)])
    os.truncate(path, 5 * 4096)
    with pytest.raises(StoreCorrupt, match="damaged"), contextlib.closing(SqliteStore(path)) as store:
        store.load()


# -- versions ------------------------------------------------------------------------------------------------


def test_the_file_says_whose_it_is_and_which_version(path: Path):
    filled(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_newer_version_is_refused_with_both_versions_and_left_as_it_is(path: Path):
    filled(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA user_version = 3")
        db.execute("UPDATE meta SET value = '9.8.7'")
    with pytest.raises(
        StoreVersionError, match=r"by minorch 9\.8\.7 \(store version 3\); this is minorch .* up to 2: use"
    ):
        SqliteStore(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)


def test_a_newer_version_that_no_longer_says_who_wrote_it_is_refused_too(path: Path):
    filled(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA user_version = 3")
        db.execute("DELETE FROM meta")
    with pytest.raises(StoreVersionError, match=r"minorch \? \(store version 3\)"):
        SqliteStore(path)


def test_an_older_version_is_migrated_step_by_step(path: Path, monkeypatch: pytest.MonkeyPatch):
    filled(path)
    steps = (
        ("UPDATE rows SET key = key || 'b', checksum = NULL",),
        ("UPDATE rows SET key = key || 'c'", "UPDATE meta SET value = ''"),
    )
    monkeypatch.setattr(sqlite, "MIGRATIONS", sqlite.MIGRATIONS + steps)
    for _ in range(2):  # the second time, there is nothing to migrate
        with contextlib.closing(SqliteStore(path)) as store:
            assert store.load() == [ROW._replace(key="abc")]
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (4,)
        assert db.execute("SELECT value FROM meta").fetchone() != ("",)


def test_a_migration_that_fails_leaves_the_older_version(path: Path, monkeypatch: pytest.MonkeyPatch):
    filled(path)
    with monkeypatch.context() as patch:
        broken = (("UPDATE rows SET key = 'changed'", "SELECT nonsense"),)
        patch.setattr(sqlite, "MIGRATIONS", sqlite.MIGRATIONS + broken)
        with pytest.raises(StoreError, match="nonsense"):
            SqliteStore(path)
    with contextlib.closing(SqliteStore(path)) as store:
        assert store.load() == [ROW]


def test_a_library_without_metadata_has_an_unknown_version(path: Path, monkeypatch: pytest.MonkeyPatch):
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    filled(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT * FROM meta").fetchall() == [("minorch", "unknown")]


# -- writing -------------------------------------------------------------------------------------------------


def test_a_full_disk_writes_nothing_and_leaves_the_store_usable(path: Path):
    with contextlib.closing(SqliteStore(path)) as store:
        store.commit([ROW])
        db = store._db
        assert db is not None
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreError, match=r"no room left .*; nothing was written: free some") as caught:
            store.commit([Change("t", "a", None), *(Change("t", str(row), bytes(1000)) for row in range(50))])
        assert type(caught.value) is StoreError
        assert store.load() == [ROW]
        store.commit([Change("t", "b", b"small")])
        db.execute("PRAGMA max_page_count = 1000000")
        store.commit([Change("t", "c", bytes(100_000))])
        assert [row.key for row in store.load()] == ["a", "b", "c"]


def test_a_real_full_disk_writes_nothing_and_leaves_the_store_usable(path: Path):
    """A limit on the size of files is as near as one gets without a file system of one's own."""
    code = """
        import resource, signal, sys
        from minorch.contracts import Change
        from minorch.errors import StoreError
        from minorch.stores.sqlite import SqliteStore
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = SqliteStore(sys.argv[1])
        store.commit([Change("t", "a", b"1")])
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        try:
            store.commit([Change("t", "a", None), Change("t", "big", bytes(1_000_000))])
        except StoreError as error:
            print(store.load() == [Change("t", "a", b"1")])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        store.commit([Change("t", "b", b"2")])
        store.close()
    """
    with child(code, path) as writer:
        assert writer.stdout is not None
        assert writer.stdout.read() == "True\n"
    with contextlib.closing(SqliteStore(path)) as store:
        assert store.load() == [ROW, Change("t", "b", b"2")]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(Change("t", "\ud800", b""), id="a lone surrogate"),
        pytest.param(Change("t", "\ud800", None), id="a lone surrogate to delete"),
        pytest.param(Change("t", "k", "text"), id="text as value"),  # type: ignore[arg-type]
        pytest.param(Change("t", None, b""), id="no key"),  # type: ignore[arg-type]
        pytest.param(Change("t", object(), b""), id="an object as key"),  # type: ignore[arg-type]
    ],
)
def test_what_sqlite_cannot_hold_is_our_error_and_writes_nothing(path: Path, change: Change):
    with contextlib.closing(SqliteStore(path)) as store:
        with pytest.raises(StoreError):
            store.commit([ROW, change])
        assert store.load() == []
        store.commit([ROW])
        assert store.load() == [ROW]


def test_an_interrupted_commit_writes_nothing(path: Path):
    class Interrupted(list[Change]):
        def __iter__(self) -> Iterator[Change]:
            yield ROW
            raise KeyboardInterrupt

    with contextlib.closing(SqliteStore(path)) as store:
        with pytest.raises(KeyboardInterrupt):
            store.commit(Interrupted([ROW]))
        assert store.load() == []
        store.commit([ROW])


def test_a_value_that_somebody_changed_by_hand_is_checked_by_the_database(path: Path):
    filled(path)
    with contextlib.closing(sqlite3.connect(path)) as db, pytest.raises(sqlite3.IntegrityError):
        db.execute("UPDATE rows SET value = 'text'")


def test_its_repr_names_the_file(path: Path):
    store = SqliteStore(path)
    assert repr(store) == f"SqliteStore({str(path)!r})"
    store.close()
    assert repr(store) == f"SqliteStore({str(path)!r}, closed)"


# -- kill -9 -------------------------------------------------------------------------------------------------

WRITER = """
    import itertools, sys
    from minorch.contracts import Change
    from minorch.stores.sqlite import SqliteStore
    store = SqliteStore(sys.argv[1])
    for batch in itertools.count(int(sys.argv[2])):
        changes = [Change("batch", f"{batch:06}/{row}", bytes(50 * row)) for row in range(20)]
        store.commit([*changes, Change("last", "", b"%d" % batch)])
        print(batch, flush=True)
"""


def test_kill_9_loses_nothing_that_was_committed_and_leaves_no_half_batch(path: Path):
    chance = random.Random(9)
    said = kept = 0
    for _ in range(20):
        with child(WRITER, path, kept + 1) as writer:
            assert writer.stdout is not None
            said = int(writer.stdout.readline())
            time.sleep(chance.uniform(0, 0.05))
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout.read().splitlines(keepends=True):
                said = int(line) if line.endswith("\n") else said
        assert writer.returncode == -signal.SIGKILL
        with contextlib.closing(SqliteStore(path)) as store:
            rows = store.load()
        kept = int(rows[-1].value or b"")
        assert kept in (said, said + 1), f"batch {said} was committed, {kept} was found"
        assert [row.key for row in rows[:-1]] == sorted(
            f"{batch:06}/{row}" for batch in range(1, kept + 1) for row in range(20)
        )
    assert kept > 20


def test_kill_9_while_the_file_is_made_leaves_one_that_opens(tmp_path: Path):
    code = """
        import itertools, sys
        from minorch.stores.sqlite import SqliteStore
        print("go", flush=True)
        for number in itertools.count():
            store = SqliteStore(f"{sys.argv[1]}/{number}.db")
    """
    chance = random.Random(10)
    for _ in range(5):
        with child(code, tmp_path) as maker:
            assert maker.stdout is not None
            maker.stdout.readline()
            time.sleep(chance.uniform(0.005, 0.03))
            maker.kill()
        for file in tmp_path.glob("*.db"):
            filled(file)
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
