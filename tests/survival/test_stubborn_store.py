"""A store that fails is left alone for a while, and tried once more when the manager ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from minorch.contracts import Change
from minorch.drivers.manager_driver import ManagerDriver
from minorch.errors import ClusterClosed, StoreError
from minorch.messages import Report
from minorch.model import Job, Node, Task
from minorch.scheduling import Scheduler
from minorch.state.events import Event
from minorch.stores.memory import MemoryStore
from tests.cluster.fakes import FULL
from tests.cluster.support import eventually


class Failing(MemoryStore):
    """Fails while it is told to, and counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.tries = 0
        self.fails = False

    def commit(self, changes: Sequence[Change]) -> None:
        self.tries += 1
        if self.fails:
            raise FULL
        super().commit(changes)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Failing:
    return Failing()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> list[Event]:
    """What observers were told."""
    return []


@pytest.fixture
def driver(store: Failing, clock: Clock, told: list[Event]) -> Iterator[ManagerDriver]:
    driver = ManagerDriver(Scheduler(), store, send=lambda message: None, on_events=told.extend, clock=clock)
    driver.start()
    yield driver
    driver.close()


def submit(driver: ManagerDriver, name: str, timeout_s: float = 0.3) -> None:
    job = Job(name, [Task("t", command=["x"])], wait_for_nodes=True)
    driver.call(lambda manager, now: manager.submit(job, now), timeout_s=timeout_s)


def report(driver: ManagerDriver, sequence: int) -> Report:
    return Report(
        cluster_id=driver.cluster_id,
        worker="n",
        incarnation="1" * 32,
        sequence=sequence,
        full=True,
        node=Node("n"),
    )


def fail(driver: ManagerDriver, store: Failing) -> None:
    """Have a job in doubt, since the store fails."""
    store.fails = True
    with pytest.raises(StoreError, match=r"did not take the change within 0.3 s; .*the disk is full"):
        submit(driver, "in-doubt")


def job_names(driver: ManagerDriver) -> list[str]:
    return sorted(driver.ask(lambda manager, now: manager.job_ids()))


def test_a_store_that_failed_is_not_tried_at_every_turn(driver: ManagerDriver, store: Failing, clock: Clock):
    submit(driver, "one")
    fail(driver, store)
    tries = store.tries
    store.fails = False
    for _ in range(20):
        with pytest.raises(StoreError, match="nothing new is accepted"):
            submit(driver, "refused")
    assert store.tries == tries
    clock.now += 2
    submit(driver, "two")
    assert store.tries == tries + 2, "what was in doubt, and then the new one"
    assert job_names(driver) == ["in-doubt", "one", "two"]


def test_nothing_is_told_before_it_is_durable_and_then_in_order(
    driver: ManagerDriver, store: Failing, clock: Clock, told: list[Event]
):
    submit(driver, "one")
    before = list(told)
    fail(driver, store)
    assert told == before
    store.fails = False
    clock.now += 2
    submit(driver, "two")
    eventually(lambda: told[-1].job == "two", "the last event")
    assert [event.number for event in told] == list(range(1, len(told) + 1))
    assert [event.job for event in told if event.kind == "job_submitted"] == ["one", "in-doubt", "two"]


def test_no_node_is_lost_because_the_store_failed_for_longer_than_its_lease(
    driver: ManagerDriver, store: Failing, clock: Clock, told: list[Event]
):
    driver.receive(report(driver, 1))
    eventually(lambda: driver.ask(lambda manager, now: manager.nodes()), "the node")
    fail(driver, store)
    clock.now += 0.5
    driver.receive(report(driver, 2))  # which waits
    with pytest.raises(StoreError, match="nothing new is accepted"):
        submit(driver, "refused")
    store.fails = False
    clock.now += 100
    submit(driver, "afterwards")
    assert "node_lost" not in {event.kind for event in told}
    clock.now += 100
    submit(driver, "much-later")
    eventually(lambda: "node_lost" in {event.kind for event in told}, "it was not heard of again")


def test_a_manager_that_ends_tries_once_more(driver: ManagerDriver, store: Failing, clock: Clock):
    fail(driver, store)
    store.fails = False
    driver.close()
    assert [row.table for row in store.load()].count("job") == 1


def test_who_waits_for_a_manager_that_ends_is_told_that_the_change_is_in_doubt(
    driver: ManagerDriver, store: Failing
):
    store.fails = True
    errors: list[Exception] = []

    def wait() -> None:
        try:
            submit(driver, "one", timeout_s=20)
        except StoreError as error:
            errors.append(error)

    caller = threading.Thread(target=wait)
    caller.start()
    eventually(lambda: driver._fault, "the fault")
    driver.close()
    caller.join(10)
    assert "in doubt: the disk is full" in str(errors[0])
    with pytest.raises(ClusterClosed):
        submit(driver, "two")
