"""The manager's driver survives what callers, observers, stores and event loops do to it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import minorch as mo
from minorch.drivers.pool import DaemonPool
from tests.cluster.fakes import FULL, FakeRuntime, FlakyStore
from tests.cluster.support import eventually, running, task

Make = Callable[..., mo.Cluster]


def still_works(cluster: mo.Cluster) -> None:
    assert cluster.submit(task("exit", "0", name="afterwards")).wait(20) is mo.JobState.COMPLETED


# -- callers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", [5, None, ["worker-1"], object()])
@pytest.mark.parametrize("call", ["cordon", "uncordon", "drain"])
def test_a_node_that_is_no_name_is_refused_and_the_cluster_goes_on(cluster: mo.Cluster, call: str, node: Any):
    with pytest.raises((mo.UsageError, TypeError)):
        getattr(cluster, call)(node)
    still_works(cluster)


def test_what_a_call_raises_reaches_its_caller_and_nobody_else(cluster: mo.Cluster):
    def broken(manager: object, now: float) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        cluster.manager.call(broken)
    still_works(cluster)


def test_a_call_that_comes_as_the_cluster_closes_is_told_so_at_once(cluster: mo.Cluster):
    driver = cluster.manager
    put, results = driver._inbox, []

    class Late:
        """An inbox whose put is slower than the close."""

        def __getattr__(self, name: str) -> Any:
            return getattr(put, name)

        def put(self, item: Any) -> None:
            if isinstance(item, tuple) and threading.current_thread() is caller:
                closed.wait(10)
            put.put(item)

    closed = threading.Event()

    def call() -> None:
        try:
            driver.call(lambda manager, now: manager.jobs(), timeout_s=5)
        except mo.MinorchError as error:
            results.append(error)

    caller = threading.Thread(target=call)
    driver._inbox = Late()  # type: ignore[assignment]
    caller.start()
    threading.Timer(2, closed.set).start()
    cluster.close()
    closed.set()
    caller.join(10)
    assert [type(error) for error in results] in ([mo.ClusterClosed], [])


# -- those who wait -------------------------------------------------------------------------------


def test_an_event_loop_that_was_closed_while_it_waited_does_not_stop_the_cluster(
    cluster: mo.Cluster, fake: FakeRuntime
):
    job = running(cluster.submit(task()))

    async def wait() -> object:
        return await job

    loop = asyncio.new_event_loop()
    waiter = loop.create_task(wait())
    loop.run_until_complete(asyncio.sleep(0.05))
    loop.close()
    fake.end(fake.starts[0], 0)
    assert job.wait(20) is mo.JobState.COMPLETED
    still_works(cluster)
    waiter._log_destroy_pending = False  # type: ignore[attr-defined]  # the point of the test
    del waiter


def test_a_callback_that_raises_does_not_stop_the_cluster(cluster: mo.Cluster, fake: FakeRuntime):
    job = running(cluster.submit(task()))

    def broken() -> None:
        raise ValueError("a callback of the application's")

    cluster.manager.when_changed(job.id, broken)
    fake.end(fake.starts[0], 0)
    assert job.wait(20) is mo.JobState.COMPLETED
    still_works(cluster)


# -- observers ------------------------------------------------------------------------------------


class Observer:
    """Does something at the first event of a kind, and keeps what it raised."""

    def __init__(self, kind: str, what: Callable[[], object]) -> None:
        self.kind, self.what = kind, what
        self.error: BaseException | None = None
        self.done = threading.Event()

    @mo.hookimpl
    def minorch_on_event(self, event: mo.Event) -> None:
        if event.kind == self.kind and not self.done.is_set():
            try:
                self.what()
            except BaseException as error:
                self.error = error
                raise
            finally:
                self.done.set()


def test_an_observer_that_raises_is_counted_and_stops_nothing(make: Make):
    observer = Observer("task_running", lambda: 1 / 0)
    cluster = make(plugins=[observer])
    still_works(cluster)
    assert list(cluster.registry.observer_errors.values()) == [1]


def test_an_observer_that_exits_the_program_stops_nothing(make: Make):
    def leave() -> None:
        raise SystemExit(3)

    other = Observer("task_running", lambda: None)
    cluster = make(plugins=[Observer("task_running", leave)])
    cluster.registry.register(other, "other")
    still_works(cluster)
    assert other.done.is_set(), "the others are told all the same"
    assert list(cluster.registry.observer_errors.values()) == [1]


@pytest.mark.parametrize("what", ["submit", "wait", "await", "result", "stop", "close", "cordon"])
def test_an_observer_that_would_wait_for_itself_is_told_so(make: Make, what: str):
    def act() -> object:
        job = cluster.jobs["watched"]
        match what:
            case "submit":
                return cluster.submit(task("exit", "0", name="more"))
            case "wait":
                return job.wait()
            case "await":
                return asyncio.run(_wait_for(job))
            case "result":
                return job.result(timeout=60)
            case "stop":
                return job.stop()
            case "close":
                return cluster.close()
            case _:
                return cluster.cordon("worker-1")

    observer = Observer("task_running", act)
    cluster = make(plugins=[observer])
    job = cluster.submit(task(name="watched"))
    assert observer.done.wait(20), "the observer waits for itself"
    assert isinstance(observer.error, mo.UsageError)
    assert "observer" in str(observer.error)
    running(job)
    still_works(cluster)


async def _wait_for(job: mo.JobHandle) -> object:
    return await job


def test_observers_are_told_of_what_the_manager_finds_at_its_start(make: Make, tmp_path: Path):
    class All:
        def __init__(self) -> None:
            self.numbers: list[int] = []

        @mo.hookimpl
        def minorch_on_event(self, event: mo.Event) -> None:
            self.numbers.append(event.number)

    with make(store=tmp_path / "jobs.db", detach=True) as first:
        running(first.submit(mo.Job("late", [task()], deadline_s=0.5)))
    time.sleep(0.5)
    observer = All()
    second = make(store=tmp_path / "jobs.db", plugins=[observer])
    assert second.jobs["late"].wait(20) is mo.JobState.FAILED
    kinds = {event.number: event.kind for event in second.events()}
    again = max(number for number, kind in kinds.items() if kind == "manager_started")
    eventually(lambda: observer.numbers[-1:] == [max(kinds)], "the last event")
    assert observer.numbers == list(range(again, max(kinds) + 1))


def test_an_observer_may_look_at_everything(make: Make):
    seen: list[object] = []

    def look() -> None:
        job = cluster.jobs["watched"]
        seen.extend(
            [cluster.nodes, cluster.tasks, cluster.events(), repr(job), cluster.explain("watched/part")]
        )

    observer = Observer("task_running", look)
    cluster = make(plugins=[observer])
    cluster.submit(mo.Job("watched", [task()]))
    assert observer.done.wait(20)
    assert observer.error is None
    assert len(seen) == 5


def test_a_scheduler_that_asks_its_cluster_is_told_so_instead_of_hanging(make: Make):
    def nosy(task: mo.TaskView, node: mo.NodeView) -> float:
        return float(len(cluster.nodes))

    cluster = make(scheduler=nosy)
    job = cluster.submit(task())
    assert job.wait(20) is mo.JobState.FAILED
    assert job.tasks["part"].reason is mo.Reason.PLUGIN_ERROR
    assert "scheduler" in job.tasks["part"].message
    cluster.nodes  # noqa: B018  still answers


# -- the store ------------------------------------------------------------------------------------


def test_while_the_store_fails_nothing_starts_and_new_jobs_are_refused_until_it_recovers(
    make: Make, fake: FakeRuntime
):
    store = FlakyStore()
    cluster = make(store=store)
    first = running(cluster.submit(task(name="first")))
    store.error = FULL
    fake.end(fake.starts[0], 0)  # something to write
    eventually(lambda: cluster.manager._fault, "the fault")
    with pytest.raises(mo.StoreError, match=r"nothing new is accepted while .* cannot be written.*full"):
        cluster.submit(task("exit", "0", name="second"))
    assert len(fake.starts) == 1
    store.error = None
    assert first.wait(20) is mo.JobState.COMPLETED
    still_works(cluster)


def test_what_is_submitted_just_before_the_store_fails_is_started_once_it_can_be_written(
    make: Make, fake: FakeRuntime
):
    store = FlakyStore()
    cluster = make(store=store)
    store.error = FULL
    jobs: list[mo.JobHandle] = []
    caller = threading.Thread(target=lambda: jobs.append(cluster.submit(task("exit", "0"))))
    caller.start()
    eventually(lambda: cluster.manager._fault, "the fault")
    assert not jobs, "submit() returned before the job was durable"
    assert not fake.starts, "a task was started before its attempt was durable"
    store.error = None
    caller.join(20)
    assert jobs[0].wait(20) is mo.JobState.COMPLETED


def test_a_store_that_raises_something_else_is_a_fault_too(make: Make, fake: FakeRuntime):
    store = FlakyStore()
    cluster = make(store=store)
    job = running(cluster.submit(task(name="first")))
    store.error = OSError(28, "No space left on device")
    fake.end(fake.starts[0], 0)
    eventually(lambda: cluster.manager._fault, "the fault")
    with pytest.raises(mo.StoreError, match="No space left"):
        cluster.submit(task("exit", "0", name="second"))
    store.error = None
    assert job.wait(20) is mo.JobState.COMPLETED
    still_works(cluster)


def test_a_store_that_fails_at_the_start_leaves_nothing_behind(make: Make):
    store = FlakyStore()
    store.error = FULL
    with pytest.raises(mo.StoreError, match="disk is full"):
        make(store=store)


def test_a_job_is_not_called_over_before_that_is_durable(make: Make, fake: FakeRuntime):
    store = FlakyStore()
    cluster = make(store=store)
    job = running(cluster.submit(task()))
    store.error = FULL
    fake.end(fake.starts[0], 0)
    eventually(lambda: cluster.manager._fault, "the fault")
    with pytest.raises(TimeoutError):
        job.wait(0.2)
    store.error = None
    assert job.wait(20) is mo.JobState.COMPLETED


def test_a_cluster_that_closes_with_a_failing_store_says_that_it_left_its_tasks(
    make: Make, fake: FakeRuntime, quick: None, warnings_of: Callable[[], str]
):
    store = FlakyStore()
    cluster = make(store=store)
    running(cluster.submit(mo.Job("job", [task(), task(name="other")])))
    store.error = FULL
    fake.end(fake.starts[0], 0)
    eventually(lambda: cluster.manager._fault, "the fault")
    with pytest.raises(mo.StoreError):
        cluster.close()
    assert "left" in warnings_of()
    cluster.close()
    with pytest.raises(mo.ClusterClosed):
        cluster.submit(task())


def test_what_waits_for_a_store_does_not_grow_with_the_reports(make: Make, fake: FakeRuntime):
    store = FlakyStore()
    config = mo.WorkerConfig(heartbeat_s=0.02, sample_s=0.02)
    cluster = make(store=store, worker_config=config)
    service = mo.Task("part", command=["sleep"], restart=mo.RestartPolicy.always(backoff_s=0.01))
    job = running(cluster.submit(service))
    driver = cluster.manager
    store.error = FULL
    fake.end(fake.starts[0], 1)
    eventually(lambda: driver._fault, "the fault")
    held = driver._step
    for _ in range(30):
        for key in list(fake.runs):
            fake.end(key, 1)
        time.sleep(0.03)
    assert len(fake.starts) > 5, "the worker goes on"
    assert driver._step is held, "no turn follows before that one is written"
    assert len(driver._reports) == 1
    store.error = None
    eventually(lambda: driver._fault is None, "the next try")
    job.stop(wait=True, timeout=20)
    still_works(cluster)


# -- waits that are too long for the operating system -----------------------------------------------


def test_waits_of_many_years_do_not_overflow(make: Make):
    config = mo.ManagerConfig(lease_s=1e12, keep_jobs_s=1e12, keep_runs_s=1e12, full_every_s=1e12)
    worker = mo.WorkerConfig(heartbeat_s=1e9, sample_s=1e9, relist_s=1e9)
    cluster = make(manager_config=config, worker_config=worker)
    still_works(cluster)


# -- the pool ---------------------------------------------------------------------------------------


class SlowQueue:
    """A queue whose readers pause when they have taken something, as any thread may."""

    def __init__(self, calls: Any) -> None:
        self.calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self.calls, name)

    def get(self) -> Any:
        item = self.calls.get()
        time.sleep(0.1)
        return item


def test_a_call_never_waits_behind_one_that_hangs_while_threads_may_be_started():
    pool = DaemonPool(2, "minorch-test")
    pool._calls = SlowQueue(pool._calls)  # type: ignore[assignment]
    gate, warm, second = threading.Event(), threading.Event(), threading.Event()
    pool.submit(warm.set)
    assert warm.wait(10)
    pool.submit(lambda: gate.wait(20))  # type: ignore[arg-type, return-value]
    eventually(pool._calls.empty, "the first call's turn")
    pool.submit(second.set)
    came = second.wait(5)
    gate.set()
    assert pool.close(10)
    assert came, "the second call waited for the first"


def test_a_pool_is_closed_also_while_its_threads_take_the_last_calls():
    class Overtaken:
        """A queue whose last call is always taken by a thread right after somebody has looked."""

        def __init__(self, calls: Any) -> None:
            self.calls = calls

        def __getattr__(self, name: str) -> Any:
            return getattr(self.calls, name)

        def empty(self) -> bool:
            return False

    pool = DaemonPool(2, "minorch-test")
    pool._calls = Overtaken(pool._calls)  # type: ignore[assignment]
    closer = threading.Thread(target=pool.close, args=(10,), daemon=True)
    closer.start()
    closer.join(10)
    assert not closer.is_alive(), "it waits for a call that another thread has"


def test_a_call_that_exits_the_program_ends_no_thread_of_a_pool():
    def leave() -> None:
        raise SystemExit(3)

    pool, done = DaemonPool(1, "minorch-test"), threading.Event()
    pool.submit(leave)
    pool.submit(done.set)
    assert done.wait(10)
    assert pool.close(10)


def test_a_pool_that_is_closed_says_whether_a_call_still_hangs():
    pool, gate = DaemonPool(2, "minorch-test"), threading.Event()
    pool.submit(lambda: gate.wait(10))
    assert not pool.close(0.05)
    gate.set()
    assert pool.close(10)
    pool.submit(gate.clear)
    assert gate.is_set(), "a closed pool drops calls"


def test_a_fork_of_a_pool_takes_nothing_although_its_lock_is_held_for_ever():
    pool = DaemonPool(1, "minorch-test")
    with pool._lock:  # as by a thread that is not in the fork
        child = os.fork()
        if child == 0:
            pool.submit(lambda: os._exit(1))
            os._exit(0 if pool.close(1) else 2)
    ended: list[tuple[int, int]] = []

    def look() -> bool:
        ended.append(os.waitpid(child, os.WNOHANG))
        return ended[-1][0] == child

    try:
        eventually(look, "the end of the fork")
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    assert os.waitstatus_to_exitcode(ended[-1][1]) == 0
    assert pool.close(1)
