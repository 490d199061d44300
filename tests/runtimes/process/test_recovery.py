"""What a later process finds out about runs that it did not start."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import msgspec
import psutil
import pytest

import minorch as mo
from minorch.contracts import RunStatus
from minorch.ids import RunKey
from minorch.model import Task
from minorch.runtimes.process import ProcessRuntime
from minorch.runtimes.process.files import Record, Root, RunFiles
from minorch.states import Reason
from minorch.testing.runtime_contract import Notes, eventually
from tests.runtimes.process.conftest import OWNER, exited, launch, shell

CRASH = """
import os, sys
from minorch.runtimes.process import ProcessRuntime
from tests.runtimes.process.conftest import launch, shell
from minorch.ids import RunKey
root, task_id, record_exits, line = sys.argv[1:]
runtime = ProcessRuntime(root, record_exits=record_exits == "True")
print(runtime.start(launch(shell(line), RunKey(task_id, 1, 1))).handle, flush=True)
os._exit(1)
"""


def crashed(root: Path, line: str, *, record_exits: bool = False) -> tuple[RunKey, int]:
    """Start a run from a process that crashes right after; returns the run's key and pid."""
    key = RunKey(uuid.uuid4().hex, 1, 1)
    done = subprocess.run(
        [sys.executable, "-c", CRASH, str(root), key.task_id, str(record_exits), line],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    return key, int(done.stdout)


def claim(path: Path, key: RunKey) -> RunFiles:
    """The files of a run that was claimed, and no more."""
    root = Root(path)
    files = root.files(OWNER, key)
    root.claim(OWNER, files)
    return files


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("adopted_alive", [True, False])
def test_without_record_an_exit_after_a_crash_is_unknown(root: Path, adopted_alive: bool) -> None:
    key, pid = crashed(root, "sleep 0.6; exit 0")
    if not adopted_alive:
        eventually(lambda: gone(pid))
    runtime = ProcessRuntime(root)
    notes = Notes()
    runtime.watch(OWNER, notes)
    assert [status.key for status in runtime.list_runs(OWNER)] == [key]
    status = exited(runtime, key)
    assert (status.exit_code, status.reason) == (None, Reason.EXIT_UNKNOWN)
    if adopted_alive:
        eventually(lambda: notes.exit_of(key))
    runtime.close()


@pytest.mark.parametrize("adopted_alive", [True, False])
@pytest.mark.parametrize(
    ("line", "code", "reason"), [("exit 7", 7, Reason.EXITED), ("kill -9 $$", 137, Reason.KILLED)]
)
def test_with_record_an_exit_after_a_crash_is_known(
    root: Path, adopted_alive: bool, line: str, code: int, reason: Reason
) -> None:
    key, pid = crashed(root, f"sleep 0.6; {line}", record_exits=True)
    if not adopted_alive:
        eventually(lambda: gone(pid))
    runtime = ProcessRuntime(root)
    runtime.list_runs(OWNER)
    status = exited(runtime, key)
    assert (status.exit_code, status.reason) == (code, reason)
    assert status.finished_at is not None
    runtime.close()


def test_an_adopted_run_can_be_terminated_measured_and_read(root: Path) -> None:
    key, _ = crashed(
        root, "trap 'echo bye; exit 3' TERM; echo hi; while :; do sleep 0.05; done", record_exits=True
    )
    runtime = ProcessRuntime(root)
    eventually(lambda: b"".join(runtime.logs(key)) == b"hi\n")
    assert runtime.stats([key])[key].pids >= 1
    runtime.terminate(key)
    assert b"".join(runtime.logs(key, follow=True)).endswith(b"bye\n")
    assert exited(runtime, key).exit_code == 3
    runtime.close()


def test_what_a_run_left_behind_while_nobody_watched_is_killed(root: Path) -> None:
    key, pid = crashed(root, "sleep 60 & echo $!")
    eventually(lambda: gone(pid))
    runtime = ProcessRuntime(root)
    left = int(eventually(lambda: b"".join(runtime.logs(key))))
    exited(runtime, key)
    eventually(lambda: gone(left))
    runtime.close()


def test_a_run_whose_record_was_never_written_is_found_by_its_environment(root: Path) -> None:
    key, pid = crashed(root, "exec sleep 60")
    record = Root(root).files(OWNER, key).record
    os.truncate(record, 0)
    runtime = ProcessRuntime(root)
    status = runtime.inspect(key)
    assert status is not None
    assert (status.phase, status.handle) == ("running", str(pid))
    assert runtime.start(launch(shell("exit 1"), key)).handle == str(pid)
    runtime.close()


def test_a_claim_without_a_process_is_never_started_again(root: Path) -> None:
    key = RunKey(uuid.uuid4().hex, 1, 1)
    claim(root, key)
    runtime = ProcessRuntime(root)
    status = runtime.start(launch(shell("true"), key))
    assert (status.phase, status.exit_code, status.reason) == ("exited", None, Reason.EXIT_UNKNOWN)
    runtime.close()


def test_a_pid_that_was_used_again_is_not_touched(root: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        key = RunKey(uuid.uuid4().hex, 1, 1)
        files = claim(root, key)
        files.append(
            Record(run=files.name, pid=stranger.pid, birth="another", started_at=time.time(), workdir="/")
        )
        runtime = ProcessRuntime(root)
        assert exited(runtime, key).reason is Reason.EXIT_UNKNOWN
        runtime.terminate(key)
        runtime.kill(key)
        runtime.remove(key)
        runtime.close()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_half_written_record_does_not_count(root: Path) -> None:
    key = RunKey(uuid.uuid4().hex, 1, 1)
    files = claim(root, key)
    record = Record(run=files.name, pid=1, birth="x", started_at=0.0, workdir="/")
    Path(files.record).write_bytes(msgspec.json.encode(record)[:-20])
    assert files.read() == (None, None)


def test_two_runtimes_that_start_one_key_start_it_once(root: Path) -> None:
    first, second = ProcessRuntime(root), ProcessRuntime(root)
    given = launch(shell("exec sleep 60"))
    assert first.start(given).handle == second.start(given).handle
    first.kill(given.key)
    assert exited(first, given.key).exit_code == 137
    # Whichever of them took the exit code from the kernel, the other one must not call it a success.
    assert exited(second, given.key).exit_code in (137, None)
    first.close()
    second.close()


def test_what_is_removed_while_the_runs_are_listed_is_not_listed(
    runtime: ProcessRuntime, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = launch(shell("exit 0"))
    runtime.start(given)
    exited(runtime, given.key)
    later = ProcessRuntime(root)
    found = list(later._root.runs(OWNER))
    runtime.remove(given.key)
    monkeypatch.setattr(later._root, "runs", lambda owner: found)
    assert later.list_runs(OWNER) == []
    assert later.inspect(given.key) is None
    assert later._runs == {}
    later.close()


def test_a_run_that_could_not_be_started_is_never_listed_as_one_that_ended(runtime: ProcessRuntime) -> None:
    def start_many() -> None:
        for _ in range(200):
            with pytest.raises(mo.StartFailed):
                runtime.start(launch(Task("t", command=["no-such-command"])))

    starters = [threading.Thread(target=start_many) for _ in range(3)]
    for starter in starters:
        starter.start()
    ended: list[RunStatus] = []
    while any(starter.is_alive() for starter in starters):
        ended += [status for status in runtime.list_runs(OWNER) if status.phase == "exited"]
    assert ended == []
    assert runtime._runs == {}


def test_a_claim_is_new_also_where_its_directory_is_left_over(tmp_path: Path) -> None:
    root = Root(tmp_path)
    first = claim(tmp_path, RunKey(uuid.uuid4().hex, 1, 1))
    root.remove(OWNER, first)
    (spare,) = tmp_path.rglob(".spare-*")
    os.utime(spare, (0, 0))
    files = root.files(OWNER, RunKey(uuid.uuid4().hex, 1, 1))
    root.claim(OWNER, files)
    assert files.age_s < 60
