"""A cluster from its making to its end: what it leaves behind, which is nothing, however it ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import minorch as mo
from minorch.runtimes.process import ProcessRuntime
from tests.cluster.fakes import FakeRuntime
from tests.cluster.support import eventually, running, task, threads

Make = Callable[..., mo.Cluster]
SLEEP = ("sleep", "1000")


# -- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt, SystemExit])
def test_everything_ends_with_the_block_however_it_is_left(
    processes: ProcessRuntime, error: type[BaseException] | None
):
    pids: list[int] = []

    def story() -> None:
        with mo.Cluster(2, runtime=processes) as cluster:
            job = running(cluster.submit(mo.Job("job", [task(*SLEEP, name=f"t{n}") for n in range(3)])))
            pids.extend(int(t.attempts[-1].handle) for t in job.tasks.values())
            if error is not None:
                raise error

    if error is None:
        story()
    else:
        with pytest.raises(error):
            story()
    assert len(pids) == 3
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_an_interrupt_while_it_waits_ends_everything(tmp_path: Path):
    code = f"""
import signal
import minorch as mo
from minorch.runtimes.process import ProcessRuntime
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have what runs behind them ignore it
try:
    with mo.Cluster(runtime=ProcessRuntime({str(tmp_path)!r})) as cluster:
        job = cluster.submit(mo.Task("part", command=["sleep", "1000"]))
        while job.tasks["part"].state is not mo.TaskState.RUNNING:
            pass
        print(job.tasks["part"].attempts[-1].handle, flush=True)
        job.wait()
except KeyboardInterrupt:
    print("interrupted", job.state)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            pid = int(child.stdout.readline())
            time.sleep(0.2)
            child.send_signal(signal.SIGINT)
            out, _ = child.communicate(timeout=20)
        finally:
            child.kill()
    assert out == "interrupted STOPPED\n"
    assert not psutil.pid_exists(pid)


def test_a_second_interrupt_does_not_wait_for_who_does_not_want_to_end(tmp_path: Path):
    code = f"""
import signal, sys, time
import minorch as mo
from minorch.runtimes.process import ProcessRuntime
signal.signal(signal.SIGINT, signal.default_int_handler)
script = "trap 'touch {tmp_path}/asked-$MINORCH_TASK_ID' TERM; echo ready; while :; do sleep 0.1; done"
cluster = mo.Cluster(runtime=ProcessRuntime({str(tmp_path)!r}))
task = mo.Task("part", command=["sh", "-c", script], stop_grace_s=600, completions=3)
job = cluster.submit(mo.Job("j", [task]))
parts = list(job.tasks.values())
while not all(part.state is mo.TaskState.RUNNING and "ready" in part.logs() for part in parts):
    time.sleep(0.05)
try:
    with cluster:
        print(*(part.attempts[-1].handle for part in parts), flush=True)
        job.wait()
except KeyboardInterrupt:
    cluster.close()
    print("interrupted, and closed")
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            pids = [int(word) for word in child.stdout.readline().split()]
            assert len(pids) == 3
            child.send_signal(signal.SIGINT)
            eventually(lambda: len(list(tmp_path.glob("asked-*"))) == 3)  # so it waits for them to end now
            assert all(psutil.pid_exists(pid) for pid in pids)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=30)
        finally:
            child.kill()
    assert out == "interrupted, and closed\n", err
    assert "interrupted while it closes: what still runs is killed" in err
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    runs = [path for path in tmp_path.glob("*/*/*") if not path.name.startswith(".spare-")]
    assert runs == [], "nothing is left of them"


def test_closing_twice_and_at_once_from_several_threads_is_fine(make: Make):
    cluster = make()
    running(cluster.submit(task()))
    closers = [threading.Thread(target=cluster.close) for _ in range(4)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join(20)
    cluster.close()
    assert not threads()


def test_a_closed_cluster_refuses_changes_and_still_answers_questions(make: Make):
    cluster = make()
    job = running(cluster.submit(mo.Job("job", [task()])))
    part = job.tasks["part"]
    cluster.close()
    changes: list[Callable[[], object]] = [
        lambda: cluster.submit(task(name="more")),
        lambda: cluster.cordon("worker-1"),
        lambda: cluster.uncordon("worker-1"),
        lambda: cluster.drain("worker-1"),
        lambda: cluster.__enter__(),
        lambda: job.stop(),
        lambda: part.stop(),
        lambda: cluster.runtime_of("worker-1"),
    ]
    for change in changes:
        with pytest.raises(mo.ClusterClosed, match="clos"):
            change()
    assert job.state is mo.JobState.STOPPED
    assert job.wait(1) is mo.JobState.STOPPED
    assert (part.state, part.reason) == (mo.TaskState.STOPPED, mo.Reason.STOPPED)
    assert cluster.jobs["job"].state is mo.JobState.STOPPED
    assert cluster.nodes
    assert cluster.tasks
    assert cluster.events()
    assert "STOPPED" in str(cluster.explain("job/part"))
    assert "closed" in repr(cluster)
    with pytest.raises(mo.MinorchError):
        part.logs()


def test_who_waits_when_a_detached_cluster_closes_is_told_so(make: Make, fake: FakeRuntime):
    from minorch.stores.memory import MemoryStore

    cluster = make(store=MemoryStore(), detach=True)
    job = running(cluster.submit(task()))
    found: list[BaseException] = []

    def wait() -> None:
        try:
            job.wait()
        except mo.ClusterClosed as error:
            found.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.05)
    cluster.close()
    waiter.join(10)
    assert "RUNNING" in str(found[0])
    with pytest.raises(mo.ClusterClosed):
        job.result(timeout=1)
    assert [status.phase for _, status in fake.runs.values()] == ["running"]


def test_jobs_that_are_submitted_while_it_closes_are_refused_or_ended(make: Make, fake: FakeRuntime):
    cluster = make()
    refused = threading.Event()

    def submit(name: str) -> None:
        for number in range(10_000):
            try:
                cluster.submit(task(name=f"{name}-{number}"))
            except mo.ClusterClosed:
                refused.set()
                return

    callers = [threading.Thread(target=submit, args=(f"t{n}",)) for n in range(3)]
    for caller in callers:
        caller.start()
    eventually(lambda: fake.starts, "the first start")
    cluster.close()
    for caller in callers:
        caller.join(20)
    assert refused.is_set()
    assert not fake.runs, "something was left running"


# -- nothing is left ------------------------------------------------------------------------------


def test_twenty_clusters_leave_neither_threads_nor_open_files(processes: ProcessRuntime, tmp_path: Path):
    def one(number: int) -> None:
        store = tmp_path / f"{number % 3}.db"
        with mo.Cluster(2, runtime=processes, store=store) as cluster:
            assert cluster.submit(task("true", name=f"job-{number}")).wait(20) is mo.JobState.COMPLETED

    one(0)
    gc.collect()
    me = psutil.Process()
    before = me.num_fds()
    for number in range(20):
        one(number)
        assert threads() == ["minorch-process"], "the runtime's own"
    gc.collect()
    assert me.num_fds() <= before + 1


def test_it_is_a_guest_without_signal_handlers_exit_hooks_or_logging_configuration(tmp_path: Path):
    code = f"""
import atexit, logging, signal, threading
hooks = atexit._ncallbacks()
signals = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP)
handlers = [signal.getsignal(n) for n in signals]
import minorch as mo
from minorch.runtimes.process import ProcessRuntime
with mo.Cluster(runtime=ProcessRuntime({str(tmp_path)!r})) as cluster:
    print(cluster.submit(mo.Task("part", command=["true"])).wait(30))
    assert all(t.daemon for t in threading.enumerate() if "minorch" in t.name)
assert handlers == [signal.getsignal(n) for n in signals]
assert not logging.getLogger().handlers
loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict if name.startswith("minorch")]
assert all(type(h) is logging.NullHandler for one in loggers for h in one.handlers), loggers
assert all(one.level == logging.NOTSET for one in loggers)
ours = [f for f in [atexit._ncallbacks() - hooks] if f]
print("exit hooks", ours)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("COMPLETED\n")
    assert done.stderr == ""


def test_a_program_that_forgets_to_close_can_still_end(tmp_path: Path):
    code = f"""
import minorch as mo
from minorch.runtimes.process import ProcessRuntime
cluster = mo.Cluster(runtime=ProcessRuntime({str(tmp_path)!r}))
print(cluster.submit(mo.Task("part", command=["true"])).wait(30))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "COMPLETED\n", "")


@pytest.mark.parametrize("store", ["taken", "strange", "newer"])
def test_a_store_that_cannot_be_used_is_refused_in_words_and_leaves_nothing(
    processes: ProcessRuntime, tmp_path: Path, store: str
):
    import sqlite3

    path = tmp_path / "jobs.db"
    first = mo.Cluster(runtime=processes, store=path)
    if store != "taken":
        first.close()
    if store == "strange":
        path.write_bytes(b"hello, I am a diary" * 1000)
    if store == "newer":
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 999")
        db.close()
    expected = {"taken": mo.StoreLocked, "strange": mo.StoreCorrupt, "newer": mo.StoreVersionError}[store]
    before = threads()
    with pytest.raises(expected) as found:
        mo.Cluster(runtime=processes, store=path)
    assert str(path) in str(found.value)
    eventually(lambda: threads() == before, "the end of its threads")
    first.close()


# -- waiting --------------------------------------------------------------------------------------


def test_a_wait_that_times_out_says_so_and_the_job_goes_on(cluster: mo.Cluster, fake: FakeRuntime):
    job = running(cluster.submit(task()))
    with pytest.raises(TimeoutError, match=r'job "part" is still RUNNING after 0\.05 s'):
        job.wait(0.05)
    with pytest.raises(TimeoutError):
        job.result(timeout=0)
    fake.end(fake.starts[0], 0)
    assert job.wait(10) is mo.JobState.COMPLETED


def test_jobs_are_awaited_side_by_side_and_an_await_may_be_cancelled(make: Make, fake: FakeRuntime):
    async def story() -> None:
        jobs = [cluster.submit(task("exit", str(n % 2), name=f"job-{n}")) for n in range(6)]
        states = await asyncio.gather(*jobs, jobs[0])
        assert [str(state) for state in states] == ["COMPLETED", "FAILED"] * 3 + ["COMPLETED"]
        endless = cluster.submit(task(name="endless"))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_state(endless), 0.05)
        waiter = asyncio.create_task(_state(endless))
        await asyncio.sleep(0.05)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert not cluster.manager._callbacks, "those who gave up are forgotten"
        endless.stop()
        assert await endless is mo.JobState.STOPPED

    cluster = make()
    asyncio.run(story())


async def _state(job: mo.JobHandle) -> mo.JobState:
    return await job


def test_who_awaits_when_the_cluster_closes_gets_the_end(make: Make):
    cluster = make()
    job = running(cluster.submit(task()))

    async def story() -> mo.JobState:
        closing = asyncio.get_running_loop().run_in_executor(None, cluster.close)
        state = await job
        await closing
        return state

    assert asyncio.run(story()) is mo.JobState.STOPPED


def test_a_job_that_was_forgotten_is_remembered_by_the_handle_that_saw_it_end(make: Make):
    cluster = make(manager_config=mo.ManagerConfig(keep_jobs_s=0.3))
    job = cluster.submit(task("exit", "3", name="first"))
    stranger = cluster.jobs["first"]
    assert job.wait(10) is mo.JobState.FAILED
    part = job.tasks["first"]
    eventually(lambda: "first" not in cluster.jobs, "the forgetting")
    assert job.state is mo.JobState.FAILED
    assert (part.state, part.exit_code) == (mo.TaskState.FAILED, 3)
    assert "FAILED" in repr(job)
    assert "first" in job.table()
    with pytest.raises(mo.NotFound):
        stranger.info()
    assert "no job" in repr(stranger)
    assert cluster.submit(task("exit", "0", name="first")).wait(10) is mo.JobState.COMPLETED


def test_a_job_that_is_forgotten_at_once_still_ends_its_waits(make: Make):
    cluster = make(manager_config=mo.ManagerConfig(keep_jobs_s=0, keep_tasks=0))
    job = cluster.submit(task("exit", "0"))
    with pytest.raises(mo.NotFound):
        job.wait(10)


# -- many -----------------------------------------------------------------------------------------


def test_a_thousand_jobs_from_ten_threads_all_end(make: Make, fake: FakeRuntime):
    cluster = make(workers=[mo.Node(f"n{n}", max_tasks=1000) for n in range(2)])
    handles: list[mo.JobHandle] = []

    def submit(number: int) -> None:
        handles.extend(cluster.submit(task("exit", "0", name=f"j-{number}-{n}")) for n in range(100))

    callers = [threading.Thread(target=submit, args=(n,)) for n in range(10)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert len({handle.id for handle in handles}) == 1000
    assert all(handle.wait(60) is mo.JobState.COMPLETED for handle in handles)
    assert len(fake.starts) == len(set(fake.starts)) == 1000
    numbers = [event.number for event in cluster.events()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_job_of_a_thousand_tasks_and_one_of_a_long_chain_end(make: Make, fake: FakeRuntime):
    cluster = make(2)
    wide = cluster.submit(mo.Job("wide", [task("exit", "0", completions=1000)]))
    chain = [task("exit", "0", name=f"t{n}", after=[f"t{n - 1}"] if n else []) for n in range(100)]
    long = cluster.submit(mo.Job("long", chain))
    assert wide.wait(60) is mo.JobState.COMPLETED
    assert long.wait(60) is mo.JobState.COMPLETED
    names = {one.id: one.name for one in long.info().tasks}
    order = [names[key.task_id] for key in fake.starts if key.task_id in names]
    assert order == [f"t{n}" for n in range(100)]


def test_draining_a_node_moves_its_tasks_to_the_other(processes: ProcessRuntime):
    with mo.Cluster(2, runtime=processes, scheduler="round-robin") as cluster:
        tasks = [task(*SLEEP, name=f"t{n}") for n in range(4)]
        job = running(cluster.submit(mo.Job("job", tasks)))
        assert {t.node for t in job.tasks.values()} == {"worker-1", "worker-2"}
        cluster.drain("worker-1")
        eventually(lambda: {t.node for t in job.tasks.values()} == {"worker-2"}, "the move")
        running(job)
        assert cluster.nodes[0].cordoned
        assert cluster.nodes[0].tasks == 0
        cluster.uncordon("worker-1")
        job.stop(wait=True, timeout=20)


def test_a_service_runs_until_it_is_stopped(processes: ProcessRuntime):
    with mo.Cluster(runtime=processes) as cluster:
        quick = mo.RestartPolicy.always(backoff_s=0.02)
        web = task("sh", "-c", "sleep 0.05", name="web", replicas=2, restart=quick)
        job = cluster.submit(mo.Job("site", [web], kind="service"))
        eventually(lambda: all(t.restarts >= 2 for t in job.tasks.values()), "restarts")
        assert job.state is mo.JobState.RUNNING
        job.stop(wait=True, timeout=20)
        assert {t.state for t in job.tasks.values()} == {mo.TaskState.STOPPED}


def test_after_kill_9_the_next_cluster_finds_processes_and_exit_codes_again(tmp_path: Path):
    code = f"""
import time
import minorch as mo
from minorch.runtimes.process import ProcessRuntime
runtime = ProcessRuntime({str(tmp_path / "runs")!r}, record_exits=True)
cluster = mo.Cluster(runtime=runtime, store={str(tmp_path / "jobs.db")!r})
wait = "while [ ! -e {tmp_path}/go-$MINORCH_TASK ]; do sleep 0.05; done; "
mark = "echo x >> {tmp_path}/starts-$MINORCH_TASK; "
tasks = [mo.Task(f"t{{n}}", command=["sh", "-c", mark + wait + f"exit {{n}}"]) for n in (3, 4, 5)]
job = cluster.submit(mo.Job("job", tasks))
while not all(t.state is mo.TaskState.RUNNING for t in job.tasks.values()):
    time.sleep(0.01)
print("up", flush=True)
time.sleep(1000)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "up\n"
    eventually(lambda: len(list(tmp_path.glob("starts-*"))) == 3, "the starts")
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    (tmp_path / "go-t3").touch()
    time.sleep(0.3)
    runtime = ProcessRuntime(tmp_path / "runs", record_exits=True)
    with mo.Cluster(runtime=runtime, store=tmp_path / "jobs.db") as cluster:
        job = cluster.jobs["job"]
        (tmp_path / "go-t4").touch()
        eventually(lambda: job.tasks["t4"].state.terminal, "the end of t4")
        assert job.tasks["t5"].state is mo.TaskState.RUNNING
        (tmp_path / "go-t5").touch()
        assert job.wait(20) is mo.JobState.FAILED
        assert {t.exit_code for t in job.tasks.values()} == {3, 4, 5}
        assert all(file.read_text() == "x\n" for file in tmp_path.glob("starts-*"))
    runtime.close()


def test_nothing_is_logged_on_a_quiet_day(make: Make, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    cluster: Any = make(3)
    cluster.submit(task("exit", "0")).wait(10)
    cluster.close()
    assert caplog.text == ""


def test_a_fork_is_told_that_the_cluster_is_not_its_own_and_ends_nothing(tmp_path: Path):
    code = f"""
import os, time
import minorch as mo
from minorch.runtimes.process import ProcessRuntime
with mo.Cluster(runtime=ProcessRuntime({str(tmp_path)!r})) as cluster:
    job = cluster.submit(mo.Task("part", command=["sleep", "1000"]))
    while job.tasks["part"].state is not mo.TaskState.RUNNING:
        time.sleep(0.01)
    child = os.fork()
    if child == 0:
        told = []
        more = mo.Task("more", command=["true"])
        for act in (lambda: cluster.submit(more), job.wait, lambda: job.state, job.stop):
            try:
                act()
            except mo.ClusterClosed as error:
                told.append("fork" in str(error))
        cluster.close()
        os._exit(0 if told == [True] * 4 else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), job.state)
print(job.state)
"""
    words = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout, done.stderr) == ("0 RUNNING\nSTOPPED\n", "")


@pytest.mark.parametrize("workers", [1, 3])
def test_closing_a_cluster_that_never_ran_anything_is_quick(make: Make, workers: int):
    cluster = make(workers)
    start = time.monotonic()
    cluster.close()
    assert time.monotonic() - start < 5


def test_a_cluster_is_not_idle_from_the_moment_that_a_job_is_accepted(make: Make):
    cluster = make()
    for number in range(30):
        assert cluster.wait_idle(10)
        job = cluster.submit(task("exit", "0", name=f"part-{number}"))
        assert not cluster.wait_idle(0)
        job.wait(10)
        cluster.manager.call(lambda manager, now, job=job: manager.release(job.id, now))  # type: ignore[misc]
