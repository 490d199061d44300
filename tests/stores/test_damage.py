"""Files that the disk, or somebody, changed: whatever is changed is said, or makes no difference."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from minorch.contracts import Change
from minorch.errors import StoreCorrupt, StoreError, StoreLocked, StoreVersionError
from minorch.stores import sqlite
from minorch.stores.sqlite import APPLICATION_ID, SqliteStore
from tests.survival.figures import memory_directory, tell

ROWS = [Change("t", f"{number:02}", bytes([65 + number]) * 300) for number in range(40)]
HEADER = 100


def stored(path: Path, rows: list[Change]) -> bytes:
    with contextlib.closing(SqliteStore(path)) as store:
        store.commit(rows)
    return path.read_bytes()


def outcome(directory: Path, content: bytes) -> str:
    """Whether a changed file still has all the rows, or which error says that it does not."""
    for left in directory.iterdir():
        left.unlink()
    path = directory / "store.db"
    path.write_bytes(content)
    try:
        with contextlib.closing(SqliteStore(path, busy_timeout_s=0)) as store:
            return "as it was" if store.load() == ROWS else "other rows"
    except StoreError as error:
        advised = any(words in str(error) for words in ("restore a copy", "name another", "use a newer"))
        return type(error).__name__ if advised else f"no advice: {error}"


def test_every_byte_of_the_header_may_change_and_is_noticed_or_means_nothing():
    with memory_directory() as directory:
        good = stored(directory / "store.db", ROWS)
        found: Counter[str] = Counter()
        for at in range(HEADER):
            for mask in (0xFF, 0x01, 0x80):
                content = bytearray(good)
                content[at] ^= mask
                found[outcome(directory, bytes(content))] += 1
    assert found["other rows"] == 0
    assert found.keys() == {"as it was", "StoreCorrupt", "StoreVersionError", "StoreError"}
    tell(f"header of {HEADER} bytes, each changed three times: {dict(found)}")


def test_any_bit_of_a_file_may_change_and_no_row_is_ever_taken_for_another():
    chance = random.Random(5)
    with memory_directory() as directory:
        good = stored(directory / "store.db", ROWS)
        found: Counter[str] = Counter()
        for _ in range(1500):
            content = bytearray(good)
            content[chance.randrange(HEADER, len(good))] ^= 1 << chance.randrange(8)
            found[outcome(directory, bytes(content))] += 1
    assert found["other rows"] == 0
    assert found["StoreCorrupt"] > 500
    tell(f"file of {len(good):,} bytes, one bit changed: {dict(found)}")


@pytest.mark.parametrize("fill", [b"\0", b"\xa5", b"\xff"])
def test_any_page_may_be_lost_and_that_is_noticed_or_means_nothing(fill: bytes):
    with memory_directory() as directory:
        good = stored(directory / "store.db", ROWS)
        found = [
            outcome(directory, good[:at] + fill * 4096 + good[at + 4096 :])
            for at in range(0, len(good), 4096)
        ]
    assert set(found) <= {"as it was", "StoreCorrupt"}
    assert found.count("StoreCorrupt") > len(found) / 2


def test_a_value_that_was_changed_is_named(tmp_path: Path):
    path = tmp_path / "store.db"
    stored(path, [Change("task", "the-key", b'{"exit_code":1}')])
    content = path.read_bytes().replace(b'"exit_code":1', b'"exit_code":0')
    path.write_bytes(content)
    with (
        contextlib.closing(SqliteStore(path)) as store,
        pytest.raises(
            StoreCorrupt, match=r"row 'the-key' of table 'task' is not as it was .*; restore a copy"
        ),
    ):
        store.load()


def test_a_store_without_checksums_is_still_read_and_gets_them_as_it_is_written(tmp_path: Path):
    path = tmp_path / "store.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in sqlite.MIGRATIONS[0]:
            db.execute(statement)
        db.execute("INSERT INTO rows VALUES ('t', 'a', x'31'), ('t', 'b', x'32')")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
    rows = [Change("t", "a", b"1"), Change("t", "b", b"2")]
    with contextlib.closing(SqliteStore(path)) as store:
        assert store.load() == rows
        store.commit(rows[1:])
        assert store.load() == rows
    with contextlib.closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT key, checksum IS NULL FROM rows ORDER BY key").fetchall()
    assert found == [("a", True), ("b", False)]


@pytest.mark.parametrize("statement", ["DROP TABLE rows", "ALTER TABLE rows RENAME COLUMN value TO worth"])
def test_tables_that_somebody_changed_are_said_to_be_damaged(tmp_path: Path, statement: str):
    path = tmp_path / "store.db"
    stored(path, ROWS)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(statement)
    with (
        contextlib.closing(SqliteStore(path)) as store,
        pytest.raises(StoreCorrupt, match="restore a copy"),
    ):
        store.commit([ROWS[0]])


def test_each_fault_is_an_error_of_its_own_that_says_what_to_do(tmp_path: Path):
    """What a user may meet; the others of this kind are in ``test_sqlite.py``."""
    said: dict[str, str] = {}

    def note(what: str, kind: type[StoreError], path: Path) -> None:
        with pytest.raises(StoreError) as caught:
            SqliteStore(path, busy_timeout_s=0)
        assert type(caught.value) is kind, what
        said[what] = str(caught.value).replace(str(tmp_path), "")

    text = tmp_path / "notes.txt"
    text.write_text("not a database\n" * 100)
    note("text", StoreCorrupt, text)
    note("a directory", StoreError, tmp_path)
    note("a file below a file", StoreError, text / "store.db")
    other = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE bookmarks (url)")
    note("another program's", StoreCorrupt, other)
    newer = tmp_path / "newer.db"
    stored(newer, ROWS)
    with contextlib.closing(sqlite3.connect(newer)) as db:
        db.execute("PRAGMA user_version = 99")
    note("newer", StoreVersionError, newer)
    held = tmp_path / "held.db"
    with contextlib.closing(SqliteStore(held)):
        note("open already", StoreLocked, held)
    os.mkfifo(tmp_path / "pipe")
    note("a pipe", StoreError, tmp_path / "pipe")
    assert len(set(said.values())) == len(said)
    for what, words in said.items():
        assert "; " in words or ": " in words, what  # what it is, and what to do about it


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_file_that_is_removed_while_it_is_open_takes_nothing_until_it_is_back(tmp_path: Path, suffix: str):
    """Such as by a program that cleans up: SQLite would go on writing to what has no name any more."""
    path = tmp_path / "store.db"
    file, elsewhere = Path(f"{path}{suffix}"), tmp_path / "elsewhere"
    with contextlib.closing(SqliteStore(path)) as store:
        store.commit([ROWS[0]])
        file.rename(elsewhere)
        with pytest.raises(StoreError, match=r"was removed or replaced .* put it back where it was, or end"):
            store.commit([ROWS[1]])
        file.write_bytes(elsewhere.read_bytes())
        with pytest.raises(StoreError, match="was removed or replaced"):
            store.commit([ROWS[1]])
        elsewhere.rename(file)
        store.commit([ROWS[2]])
    with contextlib.closing(SqliteStore(path)) as store:
        assert store.load() == [ROWS[0], ROWS[2]]


def test_what_a_dead_process_left_in_the_log_is_in_the_file_once_it_was_opened(tmp_path: Path):
    """So that what is written from then on stands behind nothing of which nobody knows how safe it is."""
    path, alone = tmp_path / "store.db", tmp_path / "alone.db"
    code = """
        import os, signal, sys
        from minorch.contracts import Change
        from minorch.stores.sqlite import SqliteStore
        SqliteStore(sys.argv[1]).commit([Change("t", "a", b"1")])
        os.kill(os.getpid(), signal.SIGKILL)
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    subprocess.run([sys.executable, "-c", lines, str(path)], check=False)
    alone.write_bytes(path.read_bytes())
    with contextlib.closing(SqliteStore(alone)) as store:
        assert store.load() == [], "it is in the log only"
    with contextlib.closing(SqliteStore(path)):
        alone.write_bytes(path.read_bytes())
        with contextlib.closing(SqliteStore(alone)) as store:
            assert store.load() == [Change("t", "a", b"1")]
