"""A disk that is really full: what runs goes on, nothing is lost, nothing new is taken until there is room.

A small file system in memory is mounted for that, which takes root.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import minorch as mo
from minorch.contracts import Change
from minorch.errors import StoreError
from minorch.stores.sqlite import SqliteStore
from tests.cluster.fakes import FakeRuntime
from tests.cluster.support import eventually, running, task
from tests.survival.figures import tell

SIZE = 1024 * 1024
BLOCK = 4096


class SmallDisk:
    """A file system of a MiB."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = path / "store.db"
        self._filler = path / "filler"

    def fill(self, *, but: int = 0) -> None:
        """Leave no room on it *but* so many bytes."""
        with open(self._filler, "ab", buffering=0) as file:
            for size in (64 * BLOCK, BLOCK, 1):
                with contextlib.suppress(OSError):  # that there is no room left
                    while True:
                        file.write(b"x" * size)
        os.truncate(self._filler, self._filler.stat().st_size - but)

    def free(self) -> None:
        self._filler.unlink()

    def clear(self) -> None:
        for file in self.path.iterdir():
            file.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    place = tmp_path / "small"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no program `mount`")
    if done.returncode:
        pytest.skip(f"a file system can be mounted by root only: {done.stderr.strip()}")
    yield SmallDisk(place)
    subprocess.run(["umount", "-l", str(place)], check=True)


def commits_that_fit(store: SqliteStore) -> list[Change]:
    kept: list[Change] = []

    def commit_until_full() -> None:
        for number in range(100):
            row = Change("t", f"{number:02}", bytes(3000))
            store.commit([row])
            kept.append(row)

    with pytest.raises(StoreError, match=r"no room left .* nothing was written: free some"):
        commit_until_full()
    assert store.load() == kept
    return kept


def test_with_any_room_that_is_left_a_store_opens_or_says_that_there_is_too_little(disk: SmallDisk):
    refused: list[StoreError] = []
    sizes, commits = range(0, 160 * 1024, BLOCK), 0
    for room in sizes:
        disk.clear()
        disk.fill(but=room)
        kept: list[Change] = []
        try:
            store = SqliteStore(disk.store)
        except StoreError as error:
            refused.append(error)
        else:
            with closing(store):
                kept = commits_that_fit(store)
        assert not disk.store.with_name("store.db.lock").exists()
        commits += len(kept)
        disk.free()
        with closing(SqliteStore(disk.store)) as store:
            assert store.load() == kept
            store.commit([Change("t", "zz", b"")])
    assert [error for error in refused if "no room left" not in str(error)] == []
    assert len(refused) > 3
    assert commits > 30
    tell(f"{len(sizes)} sizes of room: {len(refused)} too small, with the others {commits} commits kept")


def refused_at_once(cluster: mo.Cluster) -> None:
    began = time.monotonic()
    with pytest.raises(mo.StoreError, match=r"nothing new is accepted .* no room left .* free some"):
        cluster.submit(task("exit", "0", name="refused"))
    assert time.monotonic() - began < 5


def test_a_cluster_on_a_full_disk_goes_on_and_takes_new_work_when_there_is_room(
    disk: SmallDisk, caplog: pytest.LogCaptureFixture
):
    fake = FakeRuntime()
    with mo.Cluster(1, runtime=fake, store=disk.store) as cluster:
        service = running(cluster.submit(task(name="runs")))
        ends = running(cluster.submit(task(name="ends")))
        told = cluster.events()[-1].number
        disk.fill()
        job = mo.Job("doubtful", [task("exit", "0", env={"PADDING": "x" * 30_000})])
        with pytest.raises(
            mo.StoreError, match=r"did not take the change within 0.5 s; it may .*no room left"
        ):
            cluster.manager.call(lambda manager, now: manager.submit(job, now), timeout_s=0.5)
        refused_at_once(cluster)
        fake.end(fake.starts[1], 0)
        with pytest.raises(TimeoutError):
            ends.wait(1.5)  # it is not told before it is durable
        assert len(fake.starts) == 2, "what is not written down is not started"
        assert fake.runs[fake.starts[0]][1].phase == "running"
        refused_at_once(cluster)
        disk.free()
        assert ends.wait(20) is mo.JobState.COMPLETED
        eventually(lambda: "doubtful" in cluster.jobs, "the job that was said to be in doubt")
        assert cluster.jobs["doubtful"].wait(20) is mo.JobState.COMPLETED
        assert cluster.submit(task("exit", "0", name="afterwards")).wait(20) is mo.JobState.COMPLETED
        numbers = [event.number for event in cluster.events(since=told)]
        assert numbers == list(range(told + 1, told + 1 + len(numbers)))
        assert len(fake.starts) == len(set(fake.starts)) == 4
        fake.end(fake.starts[0], 0)
        assert service.wait(20) is mo.JobState.COMPLETED
    with mo.Cluster(1, runtime=fake, store=disk.store) as cluster:
        states = {name: str(handle.state) for name, handle in cluster.jobs.items()}
    logged = [record.getMessage() for record in caplog.records]
    assert [words.startswith("the store cannot be written, so nothing is sent") for words in logged] == [
        True,
        False,
    ]
    assert logged[1].startswith("the store can be written again")
    assert states == dict.fromkeys(["runs", "ends", "doubtful", "afterwards"], "COMPLETED")


def test_a_cluster_that_dies_on_a_full_disk_begins_again_when_there_is_room(disk: SmallDisk):
    fake = FakeRuntime()
    with mo.Cluster(1, runtime=fake, store=disk.store, detach=True) as cluster:
        running(cluster.submit(task(name="runs")))
        disk.fill()
        with pytest.raises(mo.StoreError):
            cluster.manager.call(lambda manager, now: manager.cordon("worker-1", now), timeout_s=0.2)
    for _ in range(2):
        disk.fill()  # what the log took is free again, for it was moved into the file
        with pytest.raises(mo.StoreError, match=r"no room left .* free some"):
            mo.Cluster(1, runtime=fake, store=disk.store)
    assert not [thread.name for thread in threading.enumerate() if "minorch" in thread.name]
    disk.free()
    with mo.Cluster(1, runtime=fake, store=disk.store) as cluster:
        job = running(cluster.jobs["runs"])
        assert len(fake.starts) == 1
        fake.end(fake.starts[0], 0)
        assert job.wait(20) is mo.JobState.COMPLETED


def test_a_file_system_that_became_read_only_is_said(disk: SmallDisk):
    with closing(SqliteStore(disk.store)) as store:
        store.commit([Change("t", "a", b"1")])
    subprocess.run(["mount", "-o", "remount,ro", str(disk.path)], check=True)
    with pytest.raises(StoreError, match=r"cannot write .*Read-only file system.*; let this user write"):
        SqliteStore(disk.store)
    subprocess.run(["mount", "-o", "remount,rw", str(disk.path)], check=True)
    with closing(SqliteStore(disk.store)) as store:
        assert store.load() == [Change("t", "a", b"1")]
