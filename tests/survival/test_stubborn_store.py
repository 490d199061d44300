"""A store that fails is left alone for a while, and tried once more when the manager ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from minorch.contracts import Change
from minorch.drivers.manager_driver import ManagerDriver
from minorch.errors import StoreError
from minorch.messages import Report
from minorch.model import Job, Node, Task
from minorch.scheduling import Scheduler
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
def driver(store: Failing, clock: Clock) -> Iterator[ManagerDriver]:
    driver = ManagerDriver(Scheduler(), store, send=lambda message: None, clock=clock)
    driver.start()
    yield driver
    driver.close()


def submit(driver: ManagerDriver, name: str) -> None:
    job = Job(name, [Task("t", command=["x"])])
    driver.call(lambda manager, now: manager.submit(job, now), timeout_s=0.3)


def hear(driver: ManagerDriver, name: str) -> None:
    """Have the manager take a turn, for which there is something to write."""
    driver.receive(
        Report(
            cluster_id=driver.cluster_id,
            worker=name,
            incarnation="1" * 32,
            sequence=1,
            full=True,
            node=Node(name),
        )
    )
    eventually(
        lambda: name in {node.name for node in driver.ask(lambda manager, now: manager.nodes())},
        f"node {name}",
    )


def test_a_store_that_failed_is_not_tried_at_every_turn(driver: ManagerDriver, store: Failing, clock: Clock):
    submit(driver, "one")
    store.fails = True
    with pytest.raises(StoreError, match=r"did not take the change within 0.3 s; .*the disk is full"):
        submit(driver, "two")
    tries = store.tries
    for at in range(20):
        hear(driver, f"node-{at}")
    assert store.tries == tries
    store.fails = False
    with pytest.raises(StoreError, match="nothing new is accepted"):
        submit(driver, "three")
    clock.now += 2
    hear(driver, "last")
    eventually(lambda: store.tries > tries, "the next try")
    submit(driver, "four")
    assert sorted(driver.ask(lambda manager, now: manager.job_ids())) == ["four", "one", "two"]


def test_a_manager_that_ends_tries_once_more(driver: ManagerDriver, store: Failing, clock: Clock):
    store.fails = True
    with pytest.raises(StoreError, match="did not take the change"):
        submit(driver, "in-doubt")
    store.fails = False
    driver.close()
    assert [row.table for row in store.load()].count("job") == 1
