"""Whatever floods a driver, what it puts aside for later is bounded, and nothing that matters is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import minorch as mo
from minorch.contracts import Owner, RunStatus
from minorch.drivers import ManagerDriver, RuntimeHands, WorkerDriver, manager_driver, worker_driver
from minorch.ids import RunKey
from minorch.stores.memory import MemoryStore
from minorch.worker import Fact, Kill, Progressed, Sample, Sampled, Terminate
from tests.cluster.fakes import FakeRuntime
from tests.cluster.support import eventually, running, task

KEY = RunKey("1" * 32, 1, 1)


def manager() -> ManagerDriver:
    return ManagerDriver(mo.Scheduler(), MemoryStore(), send=lambda message: None)


def report(driver: ManagerDriver, sequence: int, worker: str = "n", incarnation: str = "one") -> mo.Report:
    node = mo.Node(worker, capacity=mo.Resources(cpu=sequence, memory="1GiB"))
    return mo.Report(
        cluster_id=driver.cluster_id, worker=worker, incarnation=incarnation, sequence=sequence, node=node
    )


def test_of_a_flood_of_reports_the_latest_of_each_worker_is_taken():
    driver = manager()
    for sequence in range(1, 10_001):
        driver.receive(report(driver, sequence, "ab"[sequence % 2]))
    driver.receive(report(driver, 7, "a"))  # overtaken on the way
    assert driver._inbox.qsize() == 2
    driver.start()
    try:
        nodes = eventually(lambda: driver.ask(lambda core, now: core.nodes()), "the nodes")
        assert {node.name: node.capacity.cpu for node in nodes} == {"a": 10_000, "b": 9_999}
        driver.receive(report(driver, 10_001, "a"))
        eventually(
            lambda: driver.ask(lambda core, now: core.node("a")).capacity.cpu == 10_001, "the next one"
        )
    finally:
        driver.close()


def test_a_worker_that_began_anew_is_heard_whatever_the_one_before_it_said():
    driver = manager()
    driver.receive(report(driver, 5000))
    driver.receive(report(driver, 1, incarnation="two"))
    assert [waiting.incarnation for waiting in driver._take_reports()] == ["two"]


def test_more_changes_than_can_be_taken_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(manager_driver, "_MOST_CALLS", 3)
    driver = manager()  # which was not started, as if its store hung
    for _ in range(3):
        with pytest.raises(mo.StoreError, match="did not take the change within"):
            driver.call(lambda core, now: None, timeout_s=0.0)
    with pytest.raises(mo.StoreError, match="3 changes wait already; the store does not keep up"):
        driver.call(lambda core, now: None)


def test_a_flood_of_notices_is_made_up_for_by_a_listing(
    make: Callable[..., mo.Cluster], fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch
):
    cluster = make(worker_config=mo.WorkerConfig(relist_s=1000))
    job = running(cluster.submit(task()))
    worker = cluster._crew.workers["worker-1"]
    held, go_on = threading.Event(), threading.Event()
    take = worker._take

    def slow(item: Any) -> None:
        held.set()
        go_on.wait(20)
        take(item)

    monkeypatch.setattr(worker, "_take", slow)
    monkeypatch.setattr(worker_driver, "_MOST_WAITING", 50)
    key = eventually(lambda: job.tasks["part"].info().run_key, "its run")
    status = RunStatus(key=key, phase="running")
    worker._notice(status)
    assert held.wait(20)
    for _ in range(1000):
        worker._notice(status)
        worker._answer(Progressed(key=key, words="pulling"))
        worker.receive(mo.Assign(cluster_id="x", worker="worker-1", epoch=1, revision=1))
    assert worker._inbox.qsize() <= 50 + 4, "what comes of an action is never left out"
    fake.end(key, 0)
    go_on.set()
    assert job.wait(20) is mo.JobState.COMPLETED, "although nobody was told of its end"


def test_a_flood_leaves_a_worker_time_to_act(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_driver, "_MOST_WAITING", 5)
    sent: list[mo.Report] = []
    hands = RuntimeHands(FakeRuntime())
    worker = WorkerDriver(mo.Node("n"), hands, cluster_id="c" * 32, send=sent.append)
    take = worker._take

    def flooded(item: Any) -> None:
        take(item)
        worker._inbox.put(Progressed(key=KEY, words="more"))  # there is always another one

    monkeypatch.setattr(worker, "_take", flooded)
    worker._inbox.put(Progressed(key=KEY, words="first"))
    worker.start()
    try:
        eventually(lambda: sent, "a report")
    finally:
        worker.close()
        hands.close()


def test_signals_and_measurements_that_hang_are_asked_for_once(monkeypatch: pytest.MonkeyPatch):
    runtime, go_on, calls = FakeRuntime(), threading.Event(), []

    def hang(*args: object) -> Any:
        calls.append(args)
        go_on.wait(20)
        return {}

    for name in ("kill", "terminate", "stats"):
        monkeypatch.setattr(runtime, name, hang)
    hands, owner, facts = RuntimeHands(runtime), Owner("c" * 32, "n"), list[Fact]()
    other = RunKey("2" * 32, 1, 1)
    for _ in range(100):
        for action in (Kill(key=KEY), Kill(key=other), Terminate(key=KEY), Sample(keys=[KEY])):
            hands.do(action, owner, facts.append)
        hands.do(Sample(keys=[other]), Owner("c" * 32, "m"), facts.append)
    eventually(lambda: len(calls) == 5, "one call each")
    go_on.set()
    eventually(lambda: len(facts) == 2 and not hands._asked, "their ends")
    assert [type(fact) for fact in facts] == [Sampled, Sampled]
    hands.do(Kill(key=KEY), owner, facts.append)
    eventually(lambda: len(calls) == 6, "the next one")
    hands.close()
