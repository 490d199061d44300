"""Power fails: of what a process wrote and did not sync, any part is on the disk, and any part is not.

A process that commits is watched through a small library, which writes down each of its writes and syncs.
From that, disks are made as a loss of power might leave them at any moment, and each is opened.  What was
confirmed before that moment must be there, the commit under way may be, and nothing else.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from minorch.contracts import Change
from minorch.stores.sqlite import SqliteStore
from tests.survival.figures import THOROUGH, memory_directory, tell
from tests.survival.test_torn_log import batch

LIVES, COMMITS = 4, 15
"""How many processes have the store open one after the other, and how often each of them commits."""
DISKS = 20 if THOROUGH else 2
"""How many disks are made for each moment."""
WRITE, SYNC, TRUNCATE, UNLINK, FAILED_SYNC = 1, 2, 3, 4, 5
SECTOR = 512

WRITER = """
import os, random, signal, sys
from minorch.errors import StoreError
from minorch.stores.sqlite import SqliteStore
from tests.survival.test_torn_log import batch

place, flag = sys.argv[1:]
confirmed = os.open(f"{place}/confirmed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
store = SqliteStore(f"{place}/store.db")
store._db.execute("PRAGMA wal_autocheckpoint = 8")

def commit(numbers):
    for number in numbers:
        store.commit(batch(random.Random(number), number))
        os.write(confirmed, b"%d " % number)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

"""


class Record(NamedTuple):
    """One thing that was done to a file or a directory."""

    kind: int
    path: str
    offset: int
    data: bytes


def records(log: bytes) -> Iterator[Record]:
    at = 0
    while at < len(log):
        kind, offset, size, name = struct.unpack_from("<4Q", log, at)
        at += 32
        path = log[at : at + name].decode()
        at += name
        data = log[at : at + size] if kind == WRITE else b""
        at += len(data)
        yield Record(kind, path, offset, data)


class File:
    """What of a file is safe, and what has been done to it since."""

    def __init__(self) -> None:
        self.safe = bytearray()
        self.pending: list[Record] = []

    def sync(self) -> None:
        for record in self.pending:
            _apply(self.safe, record)
        self.pending.clear()

    def survive(self, chance: random.Random) -> bytes:
        """What may be left of it: each write since the last sync, or not, or some sectors of it."""
        left = bytearray(self.safe)
        share = chance.choice([0.0, 0.2, 0.5, 0.8, 1.0])
        for record in self.pending:
            if record.kind == TRUNCATE or len(record.data) <= SECTOR or chance.random() < 0.5:
                if chance.random() < share:
                    _apply(left, record)
                continue
            for at in range(0, len(record.data), SECTOR):
                if chance.random() < share:
                    part = record.data[at : at + SECTOR]
                    _apply(left, record._replace(offset=record.offset + at, data=part))
        return bytes(left)


def _apply(content: bytearray, record: Record) -> None:
    if record.kind == TRUNCATE:
        del content[record.offset :]
        content.extend(bytes(record.offset - len(content)))
        return
    content.extend(bytes(max(0, record.offset - len(content))))
    content[record.offset : record.offset + len(record.data)] = record.data


class Disk:
    """One directory, as the system shows it, and as much of it as is safe."""

    def __init__(self, place: Path, *, names_follow: bool = False) -> None:
        self.place = str(place)
        self._names_follow = names_follow
        """Whether to sync a new file makes its name safe too: on Linux it does, by POSIX it need not."""
        self.names: dict[str, File] = {}
        self._safe_names: dict[str, File] = {}
        self._pending: list[tuple[str, File | None]] = []

    def do(self, record: Record) -> None:
        if record.path == self.place:
            if record.kind == SYNC:
                self._safe_names, self._pending = dict(self.names), []
            return
        name = record.path.removeprefix(f"{self.place}/")
        if record.kind == UNLINK:
            self.names.pop(name, None)
            self._pending.append((name, None))
            return
        if name not in self.names:
            self.names[name] = File()
            self._pending.append((name, self.names[name]))
        if record.kind == SYNC:
            self.names[name].sync()
            if self._names_follow:
                self._safe_names[name] = self.names[name]
        elif record.kind == FAILED_SYNC:
            self.names[
                name
            ].pending.clear()  # Linux goes on showing it, takes it for written, and may never write it
        else:
            self.names[name].pending.append(record)

    def survive(self, chance: random.Random) -> Mapping[str, bytes]:
        """What may be left of it: names come and go in their order, as far as the system had got."""
        names = dict(self._safe_names)
        for name, file in self._pending[: chance.randint(0, len(self._pending))]:
            if file is None:
                names.pop(name, None)
            else:
                names[name] = file
        return {name: file.survive(chance) for name, file in names.items()}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("it takes a C compiler (`cc`) to watch what a process writes")
    source = Path(__file__).with_name("disk_log.c")
    made = tmp_path_factory.mktemp("library") / "disk_log.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(source), "-ldl"], check=True)
    return made


def watched(library: Path, place: Path, *codes: str) -> list[Record]:
    """Run some processes, one after the other; all that they did to the directory *place*."""
    log, flag = place.with_name("log"), place.with_name("syncs-fail")
    watch = {
        "LD_PRELOAD": str(library),
        "MINORCH_LOG": str(log),
        "MINORCH_DIR": str(place),
        "MINORCH_FAIL": str(flag),
    }
    place.mkdir()
    for code in codes:
        flag.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", WRITER + code, str(place), str(flag)],
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, **watch},
        )
        assert done.returncode in (0, -signal.SIGKILL)
    return [
        record
        for record in records(log.read_bytes())
        if not record.path.endswith(("-shm", ".lock", " (deleted)"))  # they say nothing to the next process
    ]


def states() -> list[list[Change]]:
    """What is in the store after each commit."""
    rows: dict[tuple[str, str], bytes] = {}
    found: list[list[Change]] = [[]]
    for number in range(1, LIVES * COMMITS + 1):
        for table, key, value in batch(random.Random(number), number):
            if value is None:
                rows.pop((table, key), None)
            else:
                rows[table, key] = value
        found.append([Change(*at, rows[at]) for at in sorted(rows)])
    return found


def opened(directory: Path, files: Mapping[str, bytes]) -> list[Change]:
    for left in directory.iterdir():
        left.unlink()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    with closing(SqliteStore(directory / "store.db")) as store:
        return store.load()


class Tally(NamedTuple):
    """What came of the disks that were made."""

    confirmed: int
    made: int
    under_way: int
    """How many of them had the commit that was under way."""


def lose_power(done: list[Record], disk: Disk) -> Tally:
    """Have power fail after each record, several times, and open what is left."""
    chance, expected = random.Random(6), states()
    confirmed = made = under_way = 0
    with memory_directory() as directory:
        for at, record in enumerate(done):
            if record.path.endswith("/confirmed"):
                confirmed = int(record.data)
                continue
            disk.do(record)
            for _ in range(DISKS):
                rows = opened(directory, disk.survive(chance))
                possible = expected[confirmed : confirmed + 2]
                assert rows in possible, f"after {at} records, with {confirmed} commits confirmed"
                under_way += rows != possible[0]
                made += 1
    return Tally(confirmed, made, under_way)


def test_what_was_confirmed_is_there_after_a_loss_of_power_at_any_moment(library: Path, tmp_path: Path):
    place = tmp_path / "place"
    lives = [f"commit(range({life * COMMITS + 1}, {(life + 1) * COMMITS + 1}))" for life in range(LIVES)]
    ends = ["store.close()", "die()"]
    done = watched(library, place, *(f"{life}; {ends[at % 2]}" for at, life in enumerate(lives)))
    tally = lose_power(done, Disk(place))
    assert tally.confirmed == LIVES * COMMITS
    syncs = sum(record.kind == SYNC for record in done)
    tell(
        f"{len(done)} writes and syncs ({syncs}) for {tally.confirmed} commits: {tally.made:,} disks opened, "
        f"{tally.under_way:,} of them with the commit that was under way"
    )


DOUBTFUL = """
commit(range(1, 6))
open(flag, "w").close()
try:
    commit([6])
except StoreError:
    die()
"""
GOES_ON = """
assert dict(row[1:] for row in store.load())["meta"] == b"6", "the system still shows what it did not write"
os.write(confirmed, b"6 ")  # what is loaded is acted on
commit(range(7, 12))
die()
"""


def test_nothing_is_written_behind_a_commit_that_the_disk_did_not_confirm(library: Path, tmp_path: Path):
    """After a sync that failed, and a crash, the next process finds a commit that may be in memory only.

    If it wrote on behind that, a loss of power would take all that with it, however often it was synced.
    """
    place = tmp_path / "place"
    done = watched(library, place, DOUBTFUL, GOES_ON)
    assert sum(record.kind == FAILED_SYNC for record in done) == 1
    tally = lose_power(done, Disk(place))
    assert tally.confirmed == 11
    tell(f"after a sync that failed: {tally.made:,} disks opened")


NOW_AND_THEN = """
with open(flag, "w") as file:
    file.write("EVERY")
for number in range(1, 41):
    while True:
        try:
            commit([number])
            break
        except StoreError:
            pass
die()
"""


@pytest.mark.parametrize("every", [2, 3, 5])
def test_commits_that_are_repeated_until_they_are_confirmed_survive(
    library: Path, tmp_path: Path, every: int
):
    """Whichever syncs fail, of the log or of the file, what was confirmed at last is on the disk."""
    place = tmp_path / "place"
    done = watched(library, place, NOW_AND_THEN.replace("EVERY", str(every)))
    failed = sum(record.kind == FAILED_SYNC for record in done)
    assert failed > 5
    tally = lose_power(done, Disk(place, names_follow=True))  # SQLite takes it lightly if a directory fails
    assert tally.confirmed == 40
    tell(f"one sync in {every} failed, {failed} in all: {tally.made:,} disks opened")
