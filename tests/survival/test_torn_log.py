"""A write-ahead log that a crash cut short, at any byte, opens to what was committed up to there.

The last connection to close a database moves its log into the file, so the log is copied while the store
is open: that is also what a killed process leaves.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from minorch.contracts import Change
from minorch.stores.sqlite import SqliteStore
from tests.survival.figures import THOROUGH, memory_directory, tell

COMMITS = 60 if THOROUGH else 4
PAGE = 512
"""As small as SQLite has them, so that every byte of many commits can be tried."""
FRAME_HEADER = 24
FRAME = FRAME_HEADER + PAGE
HEADER = 32

State = list[Change]


class Log(NamedTuple):
    """A database as a killed process leaves it."""

    main: bytes
    wal: bytes
    states: list[State]
    """What was in it after each commit; first what the file alone holds."""
    ends: list[int]
    """Where in the log each commit ends; for the first state, 0."""

    def expected(self, length: int) -> int:
        """Which state a log of this many good bytes leads to."""
        return max(at for at, end in enumerate(self.ends) if end <= length)


@pytest.fixture
def memory() -> Iterator[Path]:
    with memory_directory() as directory:
        yield directory


def batch(chance: random.Random, number: int) -> list[Change]:
    """A commit as a manager makes them: some rows new, some again, some gone."""
    changes = [Change("meta", "meta", b"%d" % number)]
    for _ in range(chance.randint(0, 4)):
        key = f"{chance.randrange(12):02}"
        value = None if chance.random() < 0.3 else chance.randbytes(chance.choice([3, 80, 400]))
        changes.append(Change("task", key, value))
    return changes


def small_pages(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size = {PAGE}")
        db.execute("VACUUM")


def written(directory: Path, commits: int, *, restarted: bool = False) -> Log:
    """Make so many commits, and take the files from under the open store.

    *restarted*: the log had been used before, and begins anew over frames that were in force once.
    """
    path, chance = directory / "written.db", random.Random(commits)
    used = 0
    small_pages(path)
    wal = Path(f"{path}-wal")
    with contextlib.closing(SqliteStore(path)) as store:
        assert store._db is not None
        store._db.execute("PRAGMA wal_autocheckpoint = 0")
        if restarted:
            for number in range(commits * 2):
                store.commit(batch(chance, number))
            used = wal.stat().st_size
            store._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        states, ends = [store.load()], [0]
        for number in range(commits):
            store.commit(batch(chance, number))
            states.append(store.load())
            ends.append(ends[-1] or HEADER)
            ends[-1] += FRAME * _frames(wal.read_bytes()[ends[-1] :])
        log = Log(path.read_bytes(), wal.read_bytes(), states, ends)
    if restarted:
        assert len(log.wal) == used > ends[-1], "there are stale frames behind those in force"
    else:
        assert len(log.wal) == ends[-1], "nothing was moved into the file"
    return log


def _frames(tail: bytes) -> int:
    """How many frames the first commit of this tail has: the last one says how large the database is."""
    for at in range(len(tail) // FRAME):
        if struct.unpack_from(">I", tail, at * FRAME + 4)[0]:
            return at + 1
    raise AssertionError("no commit in the log")


def opened(directory: Path, main: bytes, wal: bytes) -> State:
    """What a store finds there; it also has to take a commit and find that again."""
    path = directory / "torn.db"
    path.write_bytes(main)
    Path(f"{path}-wal").write_bytes(wal)
    Path(f"{path}-shm").unlink(missing_ok=True)
    with contextlib.closing(SqliteStore(path)) as store:
        found = store.load()
        store.commit([Change("zz", "after", b"1")])
        assert store.load() == [*found, Change("zz", "after", b"1")]
    return found


def test_a_log_cut_at_any_byte_opens_to_exactly_the_commits_that_are_whole(memory: Path):
    log = written(memory, COMMITS)
    found = []
    for length in range(len(log.wal) + 1):
        state = opened(memory, log.main, log.wal[:length])
        found.append(log.states.index(state))
        assert found[-1] == log.expected(length), f"cut at byte {length}"
    assert found == sorted(found)
    assert set(found) == set(range(COMMITS + 1))
    tell(
        f"log of {len(log.wal):,} bytes, cut at every byte: {len(found):,} opened, {len(set(found))} prefixes"
    )


def test_garbage_instead_of_the_torn_tail_is_never_taken_for_a_commit(memory: Path):
    log, chance = written(memory, COMMITS), random.Random(3)
    found = []
    for length in range(0, len(log.wal), 1 if THOROUGH else 11):
        lost = len(log.wal) - length
        garbage = chance.choice([chance.randbytes, bytes, lambda size: b"\xff" * size])(lost)
        state = opened(memory, log.main, log.wal[:length] + garbage)
        same = next((at for at in range(lost) if garbage[at] != log.wal[length + at]), lost)
        found.append(log.states.index(state))
        assert found[-1] == log.expected(length + same), f"garbage from byte {length}"
    tell(f"log of {len(log.wal):,} bytes, garbage behind: {len(found):,} opened, {len(set(found))} prefixes")


def test_one_changed_bit_ends_the_log_there_and_never_changes_a_row(memory: Path):
    log, chance = written(memory, COMMITS), random.Random(4)
    tries = 3 * COMMITS * 20
    found = set()
    for _ in range(tries):
        at = chance.randrange(HEADER, len(log.wal))
        wal = bytearray(log.wal)
        wal[at] ^= 1 << chance.randrange(8)
        state = opened(memory, log.main, bytes(wal))
        number = log.states.index(state)
        found.add(number)
        assert number == log.expected(at), f"a bit of byte {at}"
    tell(f"log of {len(log.wal):,} bytes, one bit changed: {tries:,} opened, {len(found)} prefixes")


def test_frames_of_an_earlier_round_of_the_log_never_come_back(memory: Path):
    """A log that was moved into the file is written over from its beginning, not emptied."""
    log = written(memory, COMMITS, restarted=True)
    found = []
    lengths = [*range(0, log.ends[-1] + 2 * FRAME, 1 if THOROUGH else 13), len(log.wal)]
    for length in lengths:
        state = opened(memory, log.main, log.wal[:length])
        found.append(log.states.index(state))
        assert found[-1] == log.expected(length), f"cut at byte {length}"
    assert found == sorted(found)
    tell(
        f"log of {len(log.wal):,} bytes of which {log.ends[-1]:,} in force: "
        f"{len(found):,} opened, {len(set(found))} prefixes"
    )
