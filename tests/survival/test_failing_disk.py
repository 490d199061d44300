"""A disk that fails: the system refuses to write, or to confirm what was written.

A child process has Linux refuse these calls to it (seccomp), and kills itself. Then its file is opened.
"""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from minorch.contracts import Change
from minorch.state.invariants import check_invariants
from minorch.state.tables import ClusterState
from minorch.stores.sqlite import SqliteStore
from tests.survival.figures import tell

CALLS = {
    "x86_64": {"write": [18], "sync": [74, 75], "truncate": [77]},
    "aarch64": {"write": [68], "sync": [82, 83], "truncate": [46]},
}
"""Numbers of the calls ``pwrite64``, ``fsync``, ``fdatasync`` and ``ftruncate``."""

FAIL = """
import ctypes, errno, os, signal, struct, sys

class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

def fail(numbers):
    "Have these system calls fail with EIO from now on, in this thread and those that it starts."
    word = lambda code, yes, no, value: struct.pack("HBBI", code, yes, no, value)
    words = [word(0x20, 0, 0, 0)]  # load the call's number
    # Where it is one of these, jump to the last word.
    words += [word(0x15, len(numbers) - at, 0, number) for at, number in enumerate(numbers)]
    words += [word(0x06, 0, 0, 0x7FFF0000), word(0x06, 0, 0, 0x00050000 | errno.EIO)]
    code = ctypes.create_string_buffer(b"".join(words))
    program = Program(len(words), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program)):
        print("cannot:", os.strerror(ctypes.get_errno()))
        sys.exit()

def die():
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)

path, calls = sys.argv[1], [int(number) for number in sys.argv[2].split(",")]
"""

STORE = """
from minorch.contracts import Change
from minorch.errors import StoreError
from minorch.stores.sqlite import SqliteStore

store = SqliteStore(path)
store.commit([Change("t", "a", b"1"), Change("t", "b", b"1")])
fail(calls)
for number in range(3):
    try:
        new = [Change("t", f"new-{n}", bytes(3000)) for n in range(number + 1)]
        store.commit([Change("t", "a", None), *new])
        print("written")
    except StoreError as error:
        print(f"{type(error).__name__}: {error}")
print([row.key for row in store.load()])
if sys.argv[3] == "closes":
    store.close()
die()
"""

MANAGER = """
import threading
from minorch import Job, Task, UsageError
from minorch.drivers.manager_driver import ManagerDriver
from minorch.errors import StoreError
from minorch.scheduling import Scheduler
from minorch.stores.sqlite import SqliteStore

driver = ManagerDriver(Scheduler(), SqliteStore(path), send=lambda message: print("sent"))
submit = lambda name: lambda manager, now: manager.submit(Job(name, [Task("t", command=["x"])]), now)
failing = threading.Event()
driver._on_events = lambda events: None if failing.is_set() else (fail(calls), failing.set())
driver.start()  # it tells of its start from its own thread, which has to be the one that fails
failing.wait(20)
for name in ("one", "two"):
    try:
        driver.call(submit(name), timeout_s=0.5)
        print("accepted")
    except StoreError as error:
        print(error)
die()
"""


def child(code: str, path: Path, what: str, *more: str) -> list[str]:
    """Run *code* in a process where calls of one kind fail once it says so; the lines that it wrote."""
    if sys.platform != "linux" or platform.machine() not in CALLS:
        pytest.skip("system calls are made to fail on Linux on x86-64 and ARM64 only")
    numbers = ",".join(map(str, CALLS[platform.machine()][what]))
    words = [sys.executable, "-c", FAIL + code, str(path), numbers, *more]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if done.stdout.startswith("cannot:"):
        pytest.skip(f"system calls cannot be made to fail here: {done.stdout.strip()}")
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    return done.stdout.splitlines()


def found(path: Path) -> list[str]:
    with closing(SqliteStore(path)) as store:
        keys = [row.key for row in store.load()]
        store.commit([Change("t", "zz", b"")])
        assert [row.key for row in store.load()] == [*keys, "zz"]
    return keys


@pytest.mark.parametrize("end", ["dies", "closes"])
def test_a_disk_that_refuses_to_write_has_written_nothing(tmp_path: Path, end: str):
    path = tmp_path / "store.db"
    *said, loaded = child(STORE, path, "write", end)
    assert len(said) == 3
    for line in said:
        assert line.startswith(
            f'StoreError: the disk under "{path}" fails (disk I/O error, SQLITE_IOERR_WRITE);'
        )
        assert line.endswith("see the system's log, and whether a quota is used up")
    assert loaded == "['a', 'b']"
    assert found(path) == ["a", "b"]


@pytest.mark.parametrize("end", ["dies", "closes"])
def test_what_a_disk_took_without_confirming_it_shows_as_a_whole_or_not_at_all(tmp_path: Path, end: str):
    """SQLite says that it failed and forgets it, but it is in the log, where the next to open it finds it."""
    path = tmp_path / "store.db"
    *said, loaded = child(STORE, path, "sync", end)
    assert len(said) == 3
    assert all("SQLITE_IOERR_FSYNC" in line for line in said)
    assert loaded == "['a', 'b']", "while it is open it has not happened"
    last = ["b", "new-0", "new-1", "new-2"]  # of the last one that failed; it was written over those before
    keys = found(path)
    tell(f"after commits that were not confirmed, and a process that {end}: {keys}")
    assert keys in (["a", "b"], last)


def test_a_manager_whose_disk_does_not_confirm_sends_nothing_and_leaves_what_it_can_go_on_from(
    tmp_path: Path,
):
    path = tmp_path / "store.db"
    said = child(MANAGER, path, "sync")
    assert len(said) == 2, said
    assert "did not take the change within 0.5 s; it may still do so" in said[0]
    assert "SQLITE_IOERR_FSYNC" in said[0]
    assert said[1].startswith("nothing new is accepted while the store cannot be written")
    with closing(SqliteStore(path)) as store:
        state = ClusterState.read(store.load(), most_events=1000, now=time.time())
    assert state is not None
    check_invariants(state)
    assert list(state.job_ids) in ([], ["one"]), "the one in doubt, all of it or nothing"
    tell(f"a job in doubt, when its store is opened again: {list(state.job_ids)}")
