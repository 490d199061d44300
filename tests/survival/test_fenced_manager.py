"""A manager whose store another manager leads: it ends, says so, and nothing that it still says is obeyed."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import minorch as mo
from minorch.contracts import Change, SharedStore
from minorch.drivers.manager_driver import ManagerDriver
from minorch.errors import ClusterClosed, StoreError, StoreFenced, StoreLocked, UsageError
from minorch.messages import Assign, Report
from minorch.model import Job, Node, Task
from minorch.resources import Resources
from minorch.runtimes.process import ProcessRuntime
from minorch.scheduling import Scheduler
from minorch.stores.memory import MemoryStore
from minorch.stores.postgresql import PostgreSQLStore
from minorch.worker import Listed, ListRuns, Start, Worker
from tests.cluster.support import eventually
from tests.stories.world import machine

NEXT = "another manager leads since noon"


class Shared(MemoryStore):
    """A shared store that is told when it is fenced, and when it can only guess."""

    def __init__(self) -> None:
        super().__init__()
        self.fenced: StoreFenced | None = None
        self.unsure = False
        self.callbacks: list[Callable[[StoreFenced], None]] = []
        self.tries = 0

    def commit(self, changes: Sequence[Change]) -> None:
        self.tries += 1
        if self.fenced is not None:
            raise self.fenced
        super().commit(changes)

    def lead(self, timeout_s: float | None = None) -> bool:
        return True

    def confirm(self) -> None:
        if self.fenced is not None:
            raise self.fenced
        if self.unsure:
            raise StoreError("the database does not answer")

    def when_lost(self, callback: Callable[[StoreFenced], None]) -> None:
        self.callbacks.append(callback)


@pytest.fixture
def store() -> Shared:
    return Shared()


@pytest.fixture
def sent() -> list[Assign]:
    return []


@pytest.fixture
def lost() -> list[StoreFenced]:
    return []


@pytest.fixture
def driver(store: Shared, sent: list[Assign], lost: list[StoreFenced]) -> Iterator[ManagerDriver]:
    driver = ManagerDriver(Scheduler(), store, send=sent.append, on_lost=lost.append)
    driver.start()
    yield driver
    driver.close()


def submit(driver: ManagerDriver, name: str) -> str:
    job = Job(name, [Task("t", command=["x"])], wait_for_nodes=True)
    return driver.call(lambda manager, now: manager.submit(job, now), timeout_s=10)


def report(driver: ManagerDriver, sequence: int) -> Report:
    return Report(
        cluster_id=driver.cluster_id,
        worker="n",
        incarnation="1" * 32,
        sequence=sequence,
        full=True,
        renew=True,
        node=Node("n", capacity=Resources(cpu=1, memory="1GiB")),
    )


def test_the_store_of_these_tests_is_a_shared_one(store: Shared):
    assert isinstance(store, SharedStore)
    assert not isinstance(MemoryStore(), SharedStore)


def test_a_manager_whose_commit_is_refused_ends_and_tells_everybody(
    driver: ManagerDriver, store: Shared, sent: list[Assign], lost: list[StoreFenced]
):
    driver.receive(report(driver, 1))
    eventually(lambda: sent, "the worker is answered")
    submit(driver, "one")
    woken = threading.Event()
    driver.when_changed("some job", woken.set)
    store.fenced = StoreFenced(NEXT)
    before = len(sent)
    with pytest.raises(StoreFenced, match=NEXT):
        submit(driver, "two")
    assert driver.wait_closed(10)
    assert driver.closed
    assert str(driver.lost) == NEXT
    assert [str(error) for error in lost] == [NEXT]
    assert woken.is_set()
    with pytest.raises(StoreFenced, match=NEXT):
        submit(driver, "three")
    driver.receive(report(driver, 2))
    tries = store.tries
    driver.close()
    assert store.tries == tries, "nothing is tried again"
    assert len(sent) == before, "nothing is sent any more"


def test_a_manager_that_has_nothing_to_write_asks_before_it_sends(
    driver: ManagerDriver, store: Shared, sent: list[Assign]
):
    driver.receive(report(driver, 1))
    eventually(lambda: sent, "the worker is answered")
    submit(driver, "one")
    before = len(sent)
    store.fenced = StoreFenced(NEXT)
    driver.receive(report(driver, 2))  # which wants an answer
    assert driver.wait_closed(10)
    assert len(sent) == before


def test_a_manager_that_cannot_be_sure_sends_nothing_until_it_is(
    driver: ManagerDriver, store: Shared, sent: list[Assign]
):
    driver.receive(report(driver, 1))
    eventually(lambda: sent, "the worker is answered")
    before = len(sent)
    store.unsure = True
    driver.receive(report(driver, 2))
    eventually(lambda: driver._fault, "it notices")
    assert len(sent) == before
    store.unsure = False
    submit_again(driver)
    eventually(lambda: len(sent) > before, "it goes on")
    assert driver.lost is None


def submit_again(driver: ManagerDriver) -> None:
    """Until it takes changes again: it leaves a store that failed alone for a second."""

    def taken() -> bool:
        try:
            submit(driver, "again")
        except StoreError:
            return False
        return True

    eventually(taken, "it takes changes again")


def test_a_manager_that_is_idle_ends_when_its_store_finds_out(driver: ManagerDriver, store: Shared):
    (callback,) = store.callbacks
    callback(StoreFenced(NEXT))
    assert driver.wait_closed(10)
    with pytest.raises(StoreFenced, match=NEXT):
        submit(driver, "one")


def test_a_manager_that_is_closed_has_lost_nothing(driver: ManagerDriver, lost: list[StoreFenced]):
    assert not driver.wait_closed(0.01)
    driver.close()
    assert driver.wait_closed(10)
    assert driver.lost is None
    assert lost == []
    with pytest.raises(ClusterClosed):
        submit(driver, "one")


def test_a_manager_that_never_began_and_is_closed_has_ended(store: Shared):
    driver = ManagerDriver(Scheduler(), store, send=lambda message: None)
    assert not driver.wait_closed(0)
    driver.close()
    assert driver.wait_closed(0)


def test_nobody_waits_for_the_end_in_the_managers_own_thread(driver: ManagerDriver):
    with pytest.raises(UsageError):
        driver.call(lambda manager, now: driver.wait_closed(0))


# -- on a real database --------------------------------------------------------------------------------------


def take_from(store: PostgreSQLStore, url: str) -> PostgreSQLStore:
    """Have a leader stall, without its knowing, and another take over."""
    assert store._tenure is not None
    store._tenure.stop(5)
    other = PostgreSQLStore(url, standby=True)
    other._leading.run(f"UPDATE {other._address.schema}.leader SET expires_at = clock_timestamp()")
    assert other.lead(timeout_s=20)
    return other


def worker_for(driver: ManagerDriver) -> Worker:
    dice, now = random.Random(1), driver._clock()
    return Worker(machine("n"), cluster_id=driver.cluster_id, incarnation="w", random=dice, now=now)


def test_an_order_that_was_committed_and_sent_late_is_refused_by_its_worker(postgresql_url: str):
    """As of a leader that stood still between its commit and its sending."""
    gate, inside = threading.Event(), threading.Event()
    late: list[Assign] = []
    sent: list[Assign] = []

    def send(message: Assign) -> None:
        if message.entries and not gate.is_set():
            inside.set()
            gate.wait(30)
        late.append(message)

    with contextlib.closing(PostgreSQLStore(postgresql_url, lease_s=60)) as store:
        old = ManagerDriver(Scheduler(), store, send=send)
        old.start()
        worker = worker_for(old)

        def exchange(driver: ManagerDriver, messages: list[Assign]) -> list[object]:
            now = driver._clock()
            while messages:
                worker.receive(messages.pop(0), now)
            step = worker.settle(now)
            for action in step.actions:
                if isinstance(action, ListRuns):
                    worker.observe(Listed(asked=action.asked, statuses=()), now)
            if step.report is not None:
                driver.receive(step.report)
            return list(step.actions)

        eventually(lambda: exchange(old, late) is not None and old.ask(lambda m, now: m.nodes()), "it joins")
        threading.Thread(target=lambda: submit_quietly(old), daemon=True).start()
        eventually(lambda: exchange(old, late) is not None and inside.is_set(), "an order is to be sent")
        with contextlib.closing(take_from(store, postgresql_url)) as other:
            new = ManagerDriver(Scheduler(), other, send=sent.append)
            new.start()
            assert new.manager.epoch == old.manager.epoch + 1
            actions: list[object] = []

            def started() -> bool:
                actions.extend(exchange(new, sent))
                return any(isinstance(action, Start) for action in actions)

            eventually(started, "the new leader has it started")
            late.clear()
            gate.set()
            eventually(lambda: late, "the late order")
            assert late[0].epoch == old.manager.epoch
            epoch = worker._epoch
            starts = exchange(new, late)
            assert not any(isinstance(action, Start) for action in starts), "it was started twice"
            assert worker._epoch == epoch == new.manager.epoch
            with pytest.raises(StoreFenced):
                submit(old, "more")
            assert old.wait_closed(20)
            new.close()
        old.close()


def submit_quietly(driver: ManagerDriver) -> None:
    with contextlib.suppress(StoreError):
        submit(driver, "one")


def test_a_cluster_keeps_its_jobs_in_a_database_and_a_second_one_is_refused(postgresql_url: str):
    with mo.Cluster(runtime="process", store=postgresql_url) as cluster:
        cluster.submit(mo.Task("first", command=["true"])).result(timeout=60)
        with pytest.raises(StoreLocked, match="open in this process already"):
            mo.Cluster(runtime="process", store=PostgreSQLStore(postgresql_url, wait_s=0))
    with mo.Cluster(runtime="process", store=postgresql_url) as cluster:
        assert cluster.jobs["first"].state is mo.JobState.COMPLETED


def test_a_cluster_that_is_followed_by_another_closes_and_leaves_its_tasks_to_that_one(
    postgresql_url: str, tmp_path: Path
):
    ledger = tmp_path / "ledger"
    runtime = ProcessRuntime(tmp_path / "runs")
    with (
        contextlib.closing(runtime),
        contextlib.closing(PostgreSQLStore(postgresql_url, lease_s=60)) as store,
    ):
        old = mo.Cluster(runtime=runtime, store=store)
        command = ["sh", "-c", f"echo run >> {ledger}; sleep 3"]
        job = old.submit(mo.Job("long", [mo.Task("t", command=command)]))
        eventually(lambda: ledger.exists(), "it runs")
        waiting: list[Exception] = []

        def wait() -> None:
            try:
                job.wait(timeout=60)
            except mo.StoreError as error:
                waiting.append(error)

        waiter = threading.Thread(target=wait)
        waiter.start()
        with contextlib.closing(take_from(store, postgresql_url)) as other:
            with pytest.raises(StoreFenced):
                old.submit(mo.Task("more", command=["true"]))
            waiter.join(20)
            assert isinstance(waiting[0], StoreFenced)
            eventually(lambda: old.settled, "it closes")
            with pytest.raises(StoreFenced, match="another manager leads"):
                old.submit(mo.Task("more", command=["true"]))
            with mo.Cluster(runtime=runtime, store=other) as new:
                assert new.jobs["long"].wait(timeout=60) is mo.JobState.COMPLETED
                assert "more" not in new.jobs
        old.close()
    assert ledger.read_text() == "run\n", "it was started once"
