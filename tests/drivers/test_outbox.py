"""One message for each worker waits; those that build on each other are folded, and none of them is lost."""

from __future__ import annotations

import random
import threading

import msgspec
import pytest
from hypothesis import given, strategies as st

from minorch.drivers import Outbox
from minorch.drivers.outbox import fold
from minorch.manager import ManagerConfig
from minorch.messages import MAX_MESSAGE_BYTES, Assign, Assignment, Report, encode
from minorch.model import Job, Node, RestartPolicy, Task
from minorch.states import AttemptState
from minorch.worker import Listed, ListRuns, Worker
from tests.stories.world import World, sleeper

CLUSTER = "c" * 32


def entry(number: int, attempt: int = 1, desired: str = "run") -> Assignment:
    return Assignment(
        task_id=f"{number:032x}",
        attempt=attempt,
        desired=desired,  # type: ignore[arg-type]
        task=Task("t", command=["x"]) if desired == "run" else None,
        restart=RestartPolicy.never() if desired == "run" else None,
    )


def order(revision: int, base: int | None, *entries: Assignment, **fields: object) -> Assign:
    given: dict[str, object] = {"cluster_id": CLUSTER, "worker": "a", "epoch": 1, "incarnation": "one"}
    return Assign(revision=revision, base=base, entries=entries, **(given | fields))  # type: ignore[arg-type]


def worker() -> Worker:
    """A worker that has heard what its runtime has: nothing."""
    made = Worker(Node("a"), cluster_id=CLUSTER, incarnation="one", random=random.Random(1), now=0.0)
    for action in made.settle(0.0).actions:
        if isinstance(action, ListRuns):
            made.observe(Listed(asked=action.asked, statuses=()), 0.0)
    return made


def after(*orders: Assign) -> tuple[int, int, dict[tuple[str, int], AttemptState]]:
    """What a worker has and follows when it got these; its tasks are what it would start."""
    made = worker()
    for each in orders:
        made.receive(each, 1.0)
    report = made.settle(1.0).report
    assert report is not None
    having = {(seen.task_id, seen.attempt): seen.state for seen in report.observed}
    return (report.epoch, report.revision, having)


def test_an_order_is_folded_into_the_one_it_builds_on():
    first, second = order(4, 3, entry(1), entry(2)), order(5, 4, entry(2, desired="stop"), entry(3), heard=7)
    folded = fold(first, second)
    assert (folded.base, folded.revision, folded.heard) == (3, 5, 7)
    assert [(one.task_id[-1], one.desired) for one in folded.entries] == [
        ("1", "run"),
        ("2", "stop"),
        ("3", "run"),
    ]


def test_what_is_released_meanwhile_is_not_ordered_any_more():
    key = (entry(1).task_id, 1)
    folded = fold(order(4, 3, entry(1)), order(5, 4, released=(key,)))
    assert (folded.entries, folded.released) == ((), (key,))


def test_what_one_in_full_keeps_is_kept_still():
    kept = tuple((entry(number).task_id, 1) for number in (2, 3, 4))
    full = msgspec.structs.replace(order(4, None, entry(1)), kept=kept)
    folded = fold(full, order(5, 4, entry(2), released=(kept[1],)))
    assert (folded.base, folded.kept) == (None, (kept[2],))
    assert [one.task_id for one in folded.entries] == [entry(1).task_id, entry(2).task_id]


def test_one_in_full_takes_the_place_of_all():
    full = order(9, None, entry(1))
    assert fold(order(8, 7, entry(2)), full) is full
    assert fold(full, order(10, 9, entry(2))).base is None


def test_what_does_not_belong_together_is_not_folded():
    older = order(4, 3, entry(1))
    for fields in ({"epoch": 2}, {"incarnation": "two"}, {"cluster_id": "d" * 32}):
        newer = order(5, 4, **fields)
        assert fold(older, newer) is newer
    assert fold(order(6, 5), older) is older


def test_of_an_order_that_builds_on_what_is_not_there_the_word_on_reports_is_kept():
    folded = fold(order(4, 3, entry(1)), order(6, 5, entry(2), heard=7, lease_s=9.0))
    assert folded == order(4, 3, entry(1), heard=7, lease_s=9.0)


@given(st.data())
def test_a_worker_has_the_same_after_one_folded_order_as_after_all_of_them(data: st.DataObject):
    orders, revision = [order(1, None, entry(1), entry(2))], 1
    live, gone = {(1, 1), (2, 1)}, set[tuple[int, int]]()
    for _ in range(data.draw(st.integers(1, 8))):
        changes = []
        for number in data.draw(st.sets(st.integers(1, 4))):
            attempt = 1 + max((a for n, a in live | gone if n == number), default=0)
            stop = [(n, a) for n, a in live if n == number]
            if stop:
                changes.append(entry(*stop[0], "stop"))
            else:
                changes.append(entry(number, attempt))
                live.add((number, attempt))
        released = {key for key in live if data.draw(st.integers(0, 3)) == 0}
        live, gone = live - released, gone | released
        ids = tuple((f"{n:032x}", a) for n, a in sorted(released))
        orders.append(order(revision + 1, revision, *changes, released=ids))
        revision += 1
    folded = orders[0]
    for each in orders[1:]:
        folded = fold(folded, each)
    ids = {(f"{number:032x}", attempt) for number, attempt in live}
    (*told, having), (*folded_told, folded_having) = after(*orders), after(folded)
    assert folded_told == told
    assert set(folded_having) == ids, "what was released meanwhile is not begun at all"
    assert set(having) >= ids


@pytest.mark.parametrize("seed", range(5))
def test_a_cluster_whose_orders_are_fetched_now_and_then_misses_none_of_them(seed: int):
    dice, box = random.Random(seed), Outbox[Assign]()
    world = World("a", "b", manager_config=ManagerConfig(resend_s=1e6, full_every_s=1e6, lease_s=1e6))
    told_in_full = sum(message.base is None for message in world.sent)

    def hold(message: Assign | Report) -> bool:
        if isinstance(message, Assign):
            box.put(message)
        return isinstance(message, Assign)

    world.lose = hold
    jobs = []
    for number in range(30):
        jobs.append(world.submit(Job(f"job-{number}", [sleeper()], retries=1)))
        if dice.random() < 0.3:
            world.stop(job=dice.choice(jobs))
        for machine in world.machines.values():
            if dice.random() < 0.3 and (order := box.take(machine.node.name)) is not None:
                world._deliver(order, machine)
        world.pass_time(dice.uniform(0.0, 2.0))
        for machine in world.machines.values():
            for key in machine.live:
                if dice.random() < 0.3:
                    machine.exit(key, dice.choice((0, 0, 1)))
        world.run()
    for _ in range(100):
        if all(world.job(job).state.terminal for job in jobs):
            break
        for machine in world.machines.values():
            if (order := box.take(machine.node.name)) is not None:
                world._deliver(order, machine)
            for key in machine.live:
                machine.exit(key, 0)
        world.pass_time(1.0)
    else:
        pytest.fail("it does not come to an end")
    assert sum(message.base is None for message in world.sent) == told_in_full, "nothing was told twice"


def large(number: int) -> Assignment:
    """About a megabyte."""
    return msgspec.structs.replace(entry(number), task=Task("t", command=["x" * 124_000] * 8))


def test_what_would_be_too_large_to_be_read_is_not_folded():
    box = Outbox[Assign]()
    three = [order(n, n - 1, *(large(number) for number in range(25 * n, 25 * n + 25))) for n in (1, 2, 3)]
    for each in three:
        assert len(encode(each)) < MAX_MESSAGE_BYTES
        box.put(each)
    box.put(order(4, 3, entry(1), heard=9))
    waiting = box.take("a")
    assert waiting is not None
    assert len(encode(waiting)) < MAX_MESSAGE_BYTES
    assert (waiting.base, waiting.revision, waiting.heard) == (0, 2, 9)
    assert len(waiting.entries) == 50
    box.put(order(5, 4))
    assert box.take("a") == order(5, 4), "what was taken has no part in what comes"


def test_one_that_is_too_large_by_itself_is_replaced_by_the_next_in_full():
    box = Outbox[Assign]()
    box.put(order(1, 0, *(large(number) for number in range(10, 90))))
    box.put(order(2, 1, entry(1)))
    box.put(order(3, None, entry(1)))
    assert box.take("a") == order(3, None, entry(1))


def test_a_worker_gets_all_of_it_though_orders_are_lost_that_would_be_too_large(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("minorch.drivers.outbox.MAX_MESSAGE_BYTES", 3000)
    box = Outbox[Assign]()
    world = World("a", manager_config=ManagerConfig(resend_s=5.0, full_every_s=1e6, lease_s=1e6))

    def hold(message: Assign | Report) -> bool:
        if isinstance(message, Assign):
            box.put(message)
        return isinstance(message, Assign)

    world.lose = hold
    for number in range(20):
        world.submit(Job(f"job-{number}", [sleeper()]))
    (machine,) = world.machines.values()
    lost = 0
    for _ in range(60):
        world.pass_time(1.0)
        if (waiting := box.take("a")) is not None:
            lost += waiting.revision < world.sent[-1].revision
            world._deliver(waiting, machine)
    assert lost, "or this shows nothing"
    assert len(machine.live) == 20


def test_a_report_says_all_that_those_before_it_did():
    reports = [
        Report(cluster_id=CLUSTER, worker="a", incarnation="one", sequence=number, node=Node("a"))
        for number in (1, 2)
    ]
    assert fold(*reports) is reports[1]


def test_what_waits_is_one_message_for_each_worker_whoever_puts_it_there():
    box = Outbox[Assign]()

    def put(name: str) -> None:
        for revision in range(1, 2001):
            box.put(order(revision, revision - 1, worker=name))

    threads = [threading.Thread(target=put, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "abcd":
        waiting = box.take(name)
        assert waiting is not None
        assert (waiting.base, waiting.revision) == (0, 2000)
        assert box.take(name) is None


def test_what_is_cleared_waits_no_more():
    box = Outbox[Assign]()
    assert box.put(order(1, 0))
    box.clear()
    assert box.take("a") is None
