"""The drivers beside an event loop: what is particular to a loop. A table tests what all drivers share."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import msgspec
import pytest

import minorch as mo
from minorch.contracts import Change
from minorch.drivers import RuntimeHands, WorkerDriver
from minorch.drivers.aio import AsyncManagerDriver, AsyncWorkerDriver, bridge, manager_driver
from minorch.manager import Manager
from minorch.stores.memory import MemoryStore
from tests.cluster.fakes import FULL, FakeRuntime, FlakyStore
from tests.cluster.support import eventually, threads

SECONDS = 20.0
CLUSTER = "c" * 32


@pytest.fixture(autouse=True)
def nothing_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that leaves a thread behind, or a coroutine that nobody awaited."""
    caplog.set_level(logging.WARNING)
    yield
    gc.collect()
    eventually(lambda: not threads(), f"the end of all threads, of {threads()},", 10)
    assert not [record for record in caplog.records if record.name == "asyncio"]


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test on a loop of its own, which is strict about what is done on it."""

    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            await main

    asyncio.run(bounded(), debug=True)


def manager(store: MemoryStore | None = None, **options: Any) -> AsyncManagerDriver:
    options.setdefault("send", lambda message: None)
    return AsyncManagerDriver(mo.Scheduler(), store or MemoryStore(), **options)


def submit(name: str = "job") -> Callable[[Manager, float], str]:
    job = mo.Job(name, [mo.Task("t", command=["x"])], wait_for_nodes=True)
    return lambda core, now: core.submit(job, now)


def names(core: Manager, now: float) -> list[str]:
    return sorted(core.job_ids())


def report(driver: AsyncManagerDriver, worker: str = "n", sequence: int = 1) -> mo.Report:
    return mo.Report(
        cluster_id=driver.cluster_id,
        worker=worker,
        incarnation="one",
        sequence=sequence,
        full=True,
        node=mo.Node(worker, capacity=mo.Resources(cpu=4, memory="1GiB")),
    )


class Held(FlakyStore):
    """A store whose commits take until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.users: set[str] = set()
        self.open = 0

    def commit(self, changes: Sequence[Change]) -> None:
        self.open += 1
        assert self.open == 1, "two threads use the store at once"
        self.users.add(threading.current_thread().name)
        if not self.go_on.is_set():
            self.held.set()
            self.go_on.wait(SECONDS)
        super().commit(changes)
        self.open -= 1


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110  what is looked at is not on this loop
        await asyncio.sleep(0.005)


# -- a change is made once, whatever becomes of who waits for it ---------------------------------------------


def test_a_change_is_durable_when_its_await_returns():
    async def main() -> None:
        store = FlakyStore()
        async with manager(store) as driver:
            job_id = await driver.call(submit())
            assert any(row.table == "job" for row in store.load())
            assert (await driver.ask(lambda core, now: core.job(job_id))).name == "job"

    run(main())


def test_a_caller_that_is_cancelled_neither_loses_nor_doubles_its_change():
    async def main() -> None:
        store = Held()
        async with manager(store) as driver:
            store.go_on.clear()
            first = asyncio.create_task(driver.call(submit("first")))
            await until(store.held.is_set)
            second = asyncio.create_task(driver.call(submit("second")))  # which waits for its turn
            await asyncio.sleep(0)
            for task in (first, second):
                task.cancel()
            done = await asyncio.gather(first, second, return_exceptions=True)
            assert [type(one) for one in done] == [asyncio.CancelledError] * 2
            store.go_on.set()
            await driver.call(submit("third"))
            assert await driver.ask(names) == ["first", "second", "third"]
            with pytest.raises(mo.UsageError, match='a job called "second"'):
                await driver.call(submit("second"))

    run(main())


def test_a_change_that_raises_after_its_caller_was_cancelled_is_nobodys_business():
    async def main() -> None:
        store = Held()
        async with manager(store) as driver:
            store.go_on.clear()
            first = asyncio.create_task(driver.call(submit()))
            await until(store.held.is_set)
            again = asyncio.create_task(driver.call(submit()))
            await asyncio.sleep(0)
            again.cancel()
            store.go_on.set()
            await first
            await driver.call(submit("other"))

    run(main())  # asyncio would log an exception that nobody retrieved


def test_what_a_change_raises_reaches_its_caller_and_nobody_else():
    def broken(core: Manager, now: float) -> None:
        raise TimeoutError("mine")

    async def main() -> None:
        async with manager() as driver:
            with pytest.raises(TimeoutError, match="mine"):
                await driver.call(broken)
            await driver.call(submit())

    run(main())


def test_a_store_that_hangs_is_told_after_the_timeout():
    async def main() -> None:
        store = Held()
        async with manager(store) as driver:
            store.go_on.clear()
            with pytest.raises(mo.StoreError, match=r"did not take the change within 0.1 s"):
                await driver.call(submit(), timeout_s=0.1)
            store.go_on.set()
            await driver.call(submit("other"))
            assert await driver.ask(names) == ["job", "other"], "it may still do so"

    run(main())


# -- the loop is never held up -------------------------------------------------------------------------------


def test_a_store_that_hangs_holds_up_no_loop_and_is_used_by_one_thread():
    async def main() -> None:
        store = Held()
        async with manager(store) as driver:
            store.go_on.clear()
            change = asyncio.create_task(driver.call(submit()))
            await until(store.held.is_set)
            question = asyncio.create_task(driver.ask(names))
            began = time.monotonic()
            for _ in range(10):
                driver.receive(report(driver))
                await asyncio.sleep(0)
            assert time.monotonic() - began < 1.0
            assert not question.done(), "questions are asked between turns"
            store.go_on.set()
            await change
            assert await question == ["job"]
        assert "minorch-manager" in store.users

    run(main())


def test_a_plan_that_takes_long_holds_up_no_loop():
    planning, go_on = threading.Event(), threading.Event()

    class Slow(mo.Scheduler):
        def cost(self, task: mo.TaskView, node: mo.NodeView) -> float:
            planning.set()
            go_on.wait(SECONDS)
            return 0.0

    async def main() -> None:
        async with AsyncManagerDriver(Slow(), MemoryStore(), send=lambda message: None) as driver:
            driver.receive(report(driver))
            change = asyncio.create_task(driver.call(submit()))
            await until(planning.is_set)
            await asyncio.sleep(0.01)
            assert not change.done()
            go_on.set()
            await change

    run(main())


def test_far_too_many_questions_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bridge, "_MOST_WAITING", 3)

    async def main() -> None:
        store = Held()
        async with manager(store) as driver:
            store.go_on.clear()
            change = asyncio.create_task(driver.call(submit()))
            await until(store.held.is_set)
            asked = [asyncio.create_task(driver.ask(names)) for _ in range(3)]
            await asyncio.sleep(0)
            asked.pop().cancel()  # it waits in its thread all the same
            with pytest.raises(mo.UsageError, match="3 questions wait already"):
                await driver.ask(names)
            store.go_on.set()
            await change
            assert await asyncio.gather(*asked) == [["job"], ["job"]]
            assert await driver.ask(names) == ["job"]

    run(main())


# -- sending -------------------------------------------------------------------------------------------------


def test_a_plain_function_sends_on_the_loop():
    async def main() -> None:
        sent: list[tuple[mo.Assign, object]] = []

        def send(message: mo.Assign) -> None:
            sent.append((message, asyncio.get_running_loop()))

        async with manager(send=send) as driver:
            driver.receive(report(driver))
            await until(lambda: sent)
            assert sent[0][1] is asyncio.get_running_loop()
            assert sent[0][0].worker == "n"

    run(main())


def test_while_a_slow_send_is_under_way_one_message_waits_which_says_all_of_those_since():
    async def main() -> None:
        sent: dict[str, list[mo.Assign]] = {"slow": [], "quick": []}
        go_on = asyncio.Event()

        async def send(message: mo.Assign) -> None:
            sent[message.worker].append(message)
            if message.worker == "slow":
                await go_on.wait()

        async with manager(send=send) as driver:
            driver.receive(report(driver, "slow"))
            await until(lambda: sent["slow"])
            for number in range(5):
                await driver.call(submit(f"job-{number}"))
            driver.receive(report(driver, "quick"))
            await until(lambda: sent["quick"])
            assert len(sent["slow"]) == 1
            go_on.set()
            await until(lambda: len(sent["slow"]) == 2)
            first, second = sent["slow"]
            assert second.base == first.revision, "nothing between them is missing"
            assert len(second.entries) == 5

    run(main())


@pytest.mark.parametrize(
    ("hangs", "told"),
    [(False, "the line is dead"), (True, "took longer than 0.05 s")],
    ids=["fails", "hangs"],
)
def test_a_send_that_does_not_succeed_loses_its_message_and_no_other(
    hangs: bool, told: str, caplog: pytest.LogCaptureFixture
):
    async def main() -> None:
        sent: list[mo.Assign] = []

        async def send(message: mo.Assign) -> None:
            sent.append(message)
            if hangs:
                await asyncio.Event().wait()
            raise ConnectionError("the line is dead")

        async with manager(send=send, send_timeout_s=0.05) as driver:
            driver.receive(report(driver))
            await until(lambda: sent and not driver._carrier._under_way)
            await driver.call(submit())
            await until(lambda: len(sent) == 2)
        assert told in caplog.text

    run(main())


def test_a_plain_function_that_raises_loses_its_message(caplog: pytest.LogCaptureFixture):
    async def main() -> None:
        def send(message: mo.Assign) -> None:
            raise ConnectionError("the line is dead")

        async with manager(send=send) as driver:
            driver.receive(report(driver))
            await until(lambda: "the line is dead" in caplog.text)
            await driver.call(submit())

    run(main())


def test_what_is_being_sent_as_it_closes_is_sent_or_called_off():
    async def main(*, hangs: bool) -> list[str]:
        said: list[str] = []

        async def send(message: mo.Assign) -> None:
            try:
                said.append("begun")
                await asyncio.sleep(SECONDS if hangs else 0.05)
                said.append("sent")
            except asyncio.CancelledError:
                said.append("called off")
                raise

        driver = manager(send=send)
        await driver.start()
        driver.receive(report(driver))
        await until(lambda: said)
        await driver.close(timeout_s=0.3)
        return said

    assert asyncio.run(main(hangs=False)) == ["begun", "sent"]
    assert asyncio.run(main(hangs=True)) == ["begun", "called off"]


# -- observers -----------------------------------------------------------------------------------------------


def test_events_are_told_on_the_loop_in_order_once_they_are_durable():
    async def main() -> None:
        store, told = Held(), list[mo.Event]()

        def observe(events: Sequence[mo.Event]) -> None:
            asyncio.get_running_loop()
            told.extend(events)

        async with manager(store, on_events=observe) as driver:
            await until(lambda: told)
            store.go_on.clear()
            change = asyncio.create_task(driver.call(submit()))
            await until(store.held.is_set)
            await asyncio.sleep(0.02)
            assert "job_submitted" not in {event.kind for event in told}
            store.go_on.set()
            await change
            await until(lambda: "job_submitted" in {event.kind for event in told})
        assert [event.number for event in told] == list(range(1, len(told) + 1))

    run(main())


def test_of_events_that_a_busy_loop_does_not_take_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(manager_driver, "_MOST_EVENTS", 5)

    async def main() -> None:
        told: list[mo.Event] = []
        async with manager(on_events=told.extend) as driver:
            await until(lambda: told)
            calls = [driver._driver.hand_over(submit(f"job-{number}")) for number in range(20)]
            for call in calls:
                call.result(SECONDS)  # which holds up the loop
            await until(lambda: len(told) > 1)
            latest = (await driver.ask(lambda core, now: core.events()))[-5:]
        assert told[-5:] == list(latest)
        assert len(told) <= 1 + 5

    run(main())


def test_a_busy_loop_is_woken_once_however_much_happens(monkeypatch: pytest.MonkeyPatch):
    async def main() -> None:
        async with manager() as driver:
            job_id = await driver.call(submit())
            waiter = asyncio.create_task(driver.wait_over(job_id))
            await until(lambda: job_id in driver._driver._callbacks)
            rung: list[object] = []
            into_loop = driver._bridge.into_loop
            monkeypatch.setattr(
                driver._bridge, "into_loop", lambda call: rung.append(call) or into_loop(call)
            )
            (wake,) = driver._driver._callbacks[job_id]
            for _ in range(1000):
                wake()
            assert len(rung) == 1
            await driver.call(lambda core, now: core.stop(job_id, now))
            await waiter

    run(main())


def test_an_observer_that_raises_stops_nothing(caplog: pytest.LogCaptureFixture):
    async def main() -> None:
        def observe(events: Sequence[mo.Event]) -> None:
            raise ValueError("a bug in the application")

        async with manager(on_events=observe) as driver:
            await driver.call(submit())
            await until(lambda: "an observer of events raised" in caplog.text)
            await driver.call(submit("other"))

    run(main())


# -- waiting -------------------------------------------------------------------------------------------------


def test_one_waits_for_the_end_of_a_job_and_is_told_when_the_manager_goes_before():
    async def main() -> None:
        async with manager() as driver:
            job_id = await driver.call(submit())
            waiter = asyncio.create_task(driver.wait_over(job_id))
            await asyncio.sleep(0.02)
            assert not waiter.done()
            assert not await driver.job_is_over(job_id)
            await driver.call(lambda core, now: core.stop(job_id, now))
            await waiter
            assert await driver.job_is_over(job_id)
            assert len(driver._driver._callbacks) == 1, "that of its own end"
            left = asyncio.create_task(driver.wait_over(await driver.call(submit("left"))))
            await asyncio.sleep(0.02)
        with pytest.raises(mo.ClusterClosed):
            await left

    run(main())


def test_who_waits_and_is_cancelled_leaves_nothing_behind():
    async def main() -> None:
        async with manager() as driver:
            job_id = await driver.call(submit())
            for yields in range(6):
                waiter = asyncio.create_task(driver.wait_over(job_id))
                for _ in range(yields):
                    await asyncio.sleep(0.002)
                waiter.cancel()
                await asyncio.wait([waiter])
            await driver.ask(names)  # behind all that was asked before
            assert len(driver._driver._callbacks) == 1, "that of its own end"

    run(main())


def test_one_waits_for_a_drain():
    async def main() -> None:
        async with manager() as driver:
            driver.receive(report(driver))
            await driver.call(submit())
            await driver.call(lambda core, now: core.drain("n", now))
            waiter = asyncio.create_task(driver.wait_drained("n"))
            await asyncio.sleep(0.02)
            assert await driver.is_draining("n")
            assert not waiter.done()
            await driver.call(lambda core, now: core.cordon("n", now, cordoned=False))
            await waiter
            with pytest.raises(mo.NotFound):
                await driver.wait_drained("nobody")

    run(main())


# -- the end -------------------------------------------------------------------------------------------------


def test_what_it_is_asked_when_it_is_closed_is_refused():
    async def main() -> None:
        async with manager() as driver:
            await driver.call(submit())
        await driver.close()
        assert driver.closed
        for late in (driver.call(submit()), driver.ask(names), driver.wait_over("job")):
            with pytest.raises(mo.ClusterClosed, match="the cluster is closed"):
                await late
        driver.receive(report(driver))

    run(main())


def test_one_that_was_never_started_says_so_and_can_be_closed():
    async def main() -> None:
        driver = manager()
        with pytest.raises(mo.UsageError, match="not started"):
            await driver.call(submit())
        assert driver._driver._inbox.empty(), "nothing was begun"
        await driver.close()

    run(main())


def test_it_is_started_once():
    async def main() -> None:
        async with manager() as driver:
            with pytest.raises(mo.UsageError, match="started once"):
                await driver.start()

    run(main())


def test_it_is_used_on_its_own_loop():
    async def main() -> None:
        async with manager() as driver:

            def elsewhere() -> None:
                with pytest.raises(mo.UsageError, match="belongs to the event loop"):
                    asyncio.run(driver.call(submit()))
                with pytest.raises(mo.UsageError, match="belongs to the event loop"):
                    asyncio.run(driver.ask(names))

            await asyncio.to_thread(elsewhere)
            assert await driver.ask(names) == [], "nothing was begun"

    run(main())


def test_a_store_that_fails_at_the_start_leaves_nothing_behind():
    async def main() -> None:
        store = FlakyStore()
        store.error = FULL
        with pytest.raises(mo.StoreError, match="disk is full"):
            async with manager(store):
                pass

    run(main())


@pytest.mark.parametrize("fails", [False, True])
def test_a_start_that_is_cancelled_leaves_nothing_behind(fails: bool):
    async def main() -> None:
        store = Held()
        store.go_on.clear()
        start = asyncio.create_task(manager(store).start())
        await until(store.held.is_set)
        start.cancel()
        await asyncio.sleep(0.05)
        assert not start.done(), "the store is being written"
        if fails:
            store.error = FULL
        store.go_on.set()
        await asyncio.wait([start])
        assert start.cancelled()

    run(main())


def test_who_is_cancelled_while_it_closes_goes_on_when_nobody_uses_the_store_any_more():
    async def main() -> None:
        store = Held()
        driver = manager(store)
        await driver.start()
        store.go_on.clear()
        change = asyncio.create_task(driver.call(submit()))
        await until(store.held.is_set)
        closing = [asyncio.create_task(driver.close()) for _ in range(2)]
        await asyncio.sleep(0.02)
        for _ in range(3):
            closing[0].cancel()
            await asyncio.sleep(0.02)
        assert not closing[0].done()
        store.go_on.set()
        await change
        await asyncio.wait(closing)
        assert "minorch-manager" not in threads()
        assert [one.cancelled() for one in closing] == [True, False]

    run(main())


def test_a_close_of_a_store_that_hangs_is_bounded():
    async def main() -> None:
        store = Held()
        driver = manager(store)
        await driver.start()
        store.go_on.clear()
        change = asyncio.create_task(driver.call(submit()))
        await until(store.held.is_set)
        began = time.monotonic()
        await driver.close(timeout_s=0.2)
        assert 0.2 <= time.monotonic() - began < 5.0
        store.go_on.set()
        await change  # it was made all the same

    run(main())


def test_a_bug_ends_it_and_tells_every_caller(monkeypatch: pytest.MonkeyPatch):
    async def main() -> None:
        async with manager() as driver:
            job_id = await driver.call(submit())
            waiter = asyncio.create_task(driver.wait_over(job_id))
            await asyncio.sleep(0.02)

            def broken(now: float) -> None:
                raise ZeroDivisionError("in settle")

            monkeypatch.setattr(driver._driver.manager, "settle", broken)
            for call in (driver.call(submit("two")), driver.call(submit("three")), driver.ask(names)):
                with pytest.raises(mo.ClusterClosed, match="because of a bug in minorch: ZeroDivisionError"):
                    await call
            with pytest.raises(mo.ClusterClosed, match="bug in minorch"):
                await waiter

    run(main())


def test_a_manager_that_another_one_has_replaced_ends_and_tells_everybody():
    async def main() -> None:
        store, lost, sent = FlakyStore(), list[object](), list[mo.Assign]()

        def told(error: mo.StoreFenced) -> None:
            asyncio.get_running_loop()
            lost.append(str(error))

        async with manager(store, send=sent.append, on_lost=told) as driver:
            driver.receive(report(driver))
            await until(lambda: sent)
            waiter = asyncio.create_task(driver.wait_over(await driver.call(submit())))
            await asyncio.sleep(0.02)
            before = len(sent)
            assert not await driver.wait_closed(0.0)
            store.error = mo.StoreFenced("another manager leads")
            for late in (driver.call(submit("two")), driver.call(submit("three")), driver.ask(names), waiter):
                with pytest.raises(mo.StoreFenced, match="another manager leads"):
                    await late
            assert await driver.wait_closed()
            await until(lambda: lost)
            assert isinstance(driver.lost, mo.StoreFenced)
            driver._post(sent[0])  # as if it had waited for the loop
            await asyncio.sleep(0.02)
            assert len(sent) == before
        assert lost == ["another manager leads"]

    run(main())


def test_who_waits_for_its_end_is_told_of_a_close():
    async def main() -> None:
        async with manager() as driver:
            waiter = asyncio.create_task(driver.wait_closed())
            await asyncio.sleep(0.02)
            assert not waiter.done()
        assert await waiter
        assert await driver.wait_closed(0.0)

    run(main())


def test_a_loop_that_ends_everything_has_the_last_turn_taken():
    store = FlakyStore()

    async def main() -> None:
        driver = manager(store)
        await driver.start()
        task = asyncio.create_task(driver.call(submit()))
        await asyncio.sleep(0)
        main.task = task  # type: ignore[attr-defined]  # or it would be collected

    asyncio.run(main(), debug=True)
    assert "minorch-manager" not in threads(), "asyncio.run() waited for its end"
    assert any(row.table == "job" for row in store.load()), "what was handed over was made"


def test_a_loop_that_is_closed_with_work_under_way_ends_it_without_a_word():
    loop = asyncio.new_event_loop()
    store = Held()
    driver = manager(store, on_events=lambda events: None)
    loop.run_until_complete(driver.start())
    store.go_on.clear()
    change = loop.create_task(driver.call(submit()))
    loop.run_until_complete(asyncio.wait_for(loop.run_in_executor(None, store.held.wait, SECONDS), SECONDS))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    store.go_on.set()
    eventually(lambda: not threads(), "the end of its threads")
    assert any(row.table == "job" for row in store.load())
    for task in (change, driver._keeper._task):
        task._log_destroy_pending = False  # type: ignore[union-attr]  # the point of the test


def test_a_fork_is_refused_at_once():
    async def main() -> None:
        async with manager() as driver:
            pid = os.fork()
            if pid == 0:
                os._exit(asyncio.run(in_fork(driver)))
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0  # noqa: ASYNC222
            await driver.call(submit())

    async def in_fork(driver: AsyncManagerDriver) -> int:
        wrong = 0
        for late in (driver.call(submit()), driver.ask(names), driver.wait_over("job")):
            try:
                await late
                wrong += 1
            except mo.ClusterClosed as error:
                wrong += "this is its fork" not in str(error)
        await driver.close()
        return wrong

    run(main())


# -- workers -------------------------------------------------------------------------------------------------


@pytest.fixture
def fake() -> Iterator[FakeRuntime]:
    runtime = FakeRuntime()
    yield runtime
    runtime.let_go.set()


@pytest.fixture
def hands(fake: FakeRuntime) -> Iterator[RuntimeHands]:
    made = RuntimeHands(fake)
    yield made
    made.close()


def worker(hands: RuntimeHands, send: Callable[[mo.Report], Any], **options: Any) -> AsyncWorkerDriver:
    options.setdefault("config", mo.WorkerConfig(heartbeat_s=0.02))
    node = mo.Node("n", capacity=mo.Resources(cpu=4, memory="1GiB"))
    return AsyncWorkerDriver(node, hands, cluster_id=CLUSTER, send=send, **options)


def test_a_worker_and_a_manager_on_one_loop_run_a_job(hands: RuntimeHands, fake: FakeRuntime):
    async def main() -> None:
        async def down(message: mo.Assign) -> None:
            far.receive(message)

        async def up(message: mo.Report) -> None:
            near.receive(message)

        job = mo.Job("j", [mo.Task("t", command=["exit", "0"], completions=20)], wait_for_nodes=True)
        near, far = manager(send=down, cluster_id=CLUSTER), worker(hands, up)
        async with near, far:
            job_id = await near.call(lambda core, now: core.submit(job, now))
            await near.wait_over(job_id)
            info = await near.ask(lambda core, now: core.job(job_id))
            assert info.state is mo.JobState.COMPLETED
            await near.call(lambda core, now: core.release(job_id, now))
            assert await far.wait_idle(SECONDS)
        assert len(fake.starts) == 20
        assert not fake.watched

    run(main())


def test_while_a_slow_send_is_under_way_the_latest_report_waits(hands: RuntimeHands):
    async def main() -> None:
        sent: list[mo.Report] = []
        go_on = asyncio.Event()

        async def send(report: mo.Report) -> None:
            sent.append(report)
            await go_on.wait()

        async with worker(hands, send) as driver:
            await until(lambda: sent)
            await asyncio.sleep(0.3)
            assert len(sent) == 1
            go_on.set()
            await until(lambda: len(sent) > 1)
            assert sent[1].sequence > 5, "those before it are not sent late"
            assert driver.node.name == "n"

    run(main())


def test_a_worker_that_is_not_idle_is_waited_for_no_longer_than_asked(hands: RuntimeHands):
    async def main() -> None:
        async with worker(hands, lambda report: None) as driver:
            driver._driver._idle.clear()
            driver._driver._worker._attempts.attempts["x"] = None  # type: ignore[assignment]
            assert not await driver.wait_idle(0.1)
            driver._driver._worker._attempts.attempts.clear()

    run(main())


def test_a_worker_ends_when_its_loop_is_closed(hands: RuntimeHands):
    loop = asyncio.new_event_loop()
    driver = worker(hands, lambda report: None)
    loop.run_until_complete(driver.start())
    loop.close()
    eventually(lambda: not [name for name in threads() if "worker" in name], "the end of its thread")
    driver._keeper._task._log_destroy_pending = False  # type: ignore[union-attr]  # the point of the test


def test_a_worker_tells_that_its_machine_offers_something_else(hands: RuntimeHands):
    async def main() -> None:
        told: list[mo.Report] = []
        async with worker(hands, told.append) as driver:
            await until(lambda: told)
            more = msgspec.structs.replace(driver.node, labels={"disk": "ssd"})
            driver.describe(more)
            await until(lambda: told[-1].node == more)
            assert driver.node == more
            with pytest.raises(mo.UsageError, match="cannot become node"):
                driver.describe(msgspec.structs.replace(more, name="another"))

    run(main())


def test_the_twins_have_the_same_methods():
    awaited = {"wait_over", "wait_drained"}  # in place of callbacks
    threads_only = {
        "post",
        "when_changed",
        "when_drained",
        "refuse_own_thread",
        "hand_over",
        "ended",
        "overdue",
        "manager",
    }
    from minorch.drivers import ManagerDriver

    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(AsyncManagerDriver) == public(ManagerDriver) - threads_only | awaited
    assert public(AsyncWorkerDriver) == public(WorkerDriver)
