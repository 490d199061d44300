"""A peer says anything at all: it is refused with a MessageError, or it does no harm."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck as Slow, given, settings, strategies as st

import minorch as mo
from minorch.errors import MessageError
from minorch.messages import MAX_TEXT, Assign, Assignment, Observed, Report, Streak, decode, encode
from minorch.states import AttemptState, Reason
from minorch.worker import WorkerConfig
from tests.stories.world import World, machine, sleeper

ID = "ab" * 16
ENORMOUS = [2**53 + 1, 2**63, 2**64, 10**400]
REPORT = Report(
    cluster_id=ID,
    worker="a",
    incarnation="first",
    sequence=1,
    epoch=1,
    revision=1,
    node=mo.Node("a"),
    observed=(
        Observed(
            task_id=ID,
            attempt=1,
            run=1,
            state=AttemptState.RUNNING,
            exit_code=1,
            started_at=1.5,
            finished_at=2.5,
            ports={"80/tcp": "127.0.0.1:1"},
            handle="x",
            streak=Streak(restarts=1, exit_code=1, next_at=3.5),
        ),
    ),
)
ASSIGN = Assign(
    cluster_id=ID,
    worker="a",
    epoch=1,
    revision=2,
    base=1,
    entries=(
        Assignment(
            task_id=ID,
            attempt=1,
            desired="run",
            run=1,
            index=1,
            task=sleeper(),
            restart=mo.RestartPolicy.never(),
            restarts=1,
            grace_s=1.5,
        ),
    ),
    released=((ID, 1),),
    incarnation="first",
    heard=1,
    lease_s=1.5,
)


def changed(message: Assign | Report, path: str, value: object) -> bytes:
    """The message as it is sent, with another value at *path*."""
    plain: Any = json.loads(encode(message))
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    at = plain
    for step in way:
        at = at[step]
    at[last] = value
    return json.dumps(plain).encode()


# -- what is refused unread ----------------------------------------------------------------------------------

COUNTS = [
    (REPORT, "sequence"),
    (REPORT, "epoch"),
    (REPORT, "revision"),
    (REPORT, "observed.0.attempt"),
    (REPORT, "observed.0.run"),
    (REPORT, "observed.0.streak.restarts"),
    (ASSIGN, "epoch"),
    (ASSIGN, "revision"),
    (ASSIGN, "base"),
    (ASSIGN, "heard"),
    (ASSIGN, "released.0.1"),
    (ASSIGN, "entries.0.attempt"),
    (ASSIGN, "entries.0.run"),
    (ASSIGN, "entries.0.index"),
    (ASSIGN, "entries.0.restarts"),
]
AMOUNTS = [
    (REPORT, "observed.0.started_at"),
    (REPORT, "observed.0.finished_at"),
    (REPORT, "observed.0.streak.next_at"),
    (ASSIGN, "entries.0.grace_s"),
    (ASSIGN, "lease_s"),
]


@pytest.mark.parametrize(("message", "path"), COUNTS)
@pytest.mark.parametrize("value", [*ENORMOUS, -1, 1.5, True, "1"])
def test_a_count_is_a_whole_number_that_any_language_can_hold(message: Report, path: str, value: object):
    with pytest.raises(MessageError):
        decode(changed(message, path, value))


@pytest.mark.parametrize(("message", "path"), AMOUNTS)
@pytest.mark.parametrize("value", [-1.0, 1e300, 2**70, float("nan"), float("inf"), "1", True])
def test_a_time_lies_in_the_years_that_a_calendar_knows(message: Report, path: str, value: object):
    with pytest.raises(MessageError):
        decode(changed(message, path, value))


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"NaN", b"Infinity", b"9" * 5000])
def test_a_number_that_is_none_is_refused(number: bytes):
    with pytest.raises(MessageError):
        decode(encode(REPORT).replace(b'"started_at":1.5', b'"started_at":' + number))


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (REPORT, "cluster_id"),
        (REPORT, "worker"),
        (REPORT, "incarnation"),
        (REPORT, "observed.0.task_id"),
        (REPORT, "observed.0.handle"),
        (REPORT, "node.name"),
        (ASSIGN, "cluster_id"),
        (ASSIGN, "worker"),
        (ASSIGN, "incarnation"),
        (ASSIGN, "released.0.0"),
        (ASSIGN, "entries.0.task_id"),
        (ASSIGN, "entries.0.task.name"),
    ],
)
def test_a_word_is_short(message: Report, path: str):
    with pytest.raises(MessageError) as refusal:
        decode(changed(message, path, "x" * 1_000_000))
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("node.labels", {str(number): "" for number in range(100_000)}),
        ("node.capacity", {f"g{number}": 1 for number in range(100_000)}),
        ("node.capacity", {"memory": 2**61}),
        ("node.taints", ["x" * 1_000_000]),
        ("node.taints", ["x"] * 100_000),
        ("node.max_tasks", 2**40),
        ("observed.0.ports", {str(number): "" for number in range(100_000)}),
        ("observed.0.ports", {"80/tcp": "x" * 100_000}),
        ("observed.0.exit_code", 2**33),
        ("observed.0.exit_code", -(2**33)),
        ("task_stats", [["short", {}]]),
    ],
)
def test_there_is_a_bound_to_how_much_of_anything_is_taken(path: str, value: object):
    data = changed(REPORT, path, value)
    begun = time.perf_counter()
    with pytest.raises(MessageError):
        decode(data)
    assert time.perf_counter() - begun < 2


@pytest.mark.parametrize("length", [MAX_TEXT + 1, 10_000_000])
def test_words_for_a_person_are_cut_and_the_report_counts_all_the_same(length: int):
    long = "x" * length
    assert (
        Observed(task_id=ID, attempt=1, run=1, state=AttemptState.RUNNING, message=long).message
        == long[:MAX_TEXT]
    )
    read = decode(changed(REPORT, "observed.0.message", long))
    assert isinstance(read, Report)
    assert read.observed[0].message == long[:MAX_TEXT]
    read = decode(changed(REPORT, "engine_message", long))
    assert isinstance(read, Report)
    assert read.engine_message == long[:MAX_TEXT]


def test_a_zero_with_a_sign_is_a_zero():
    assert decode(encode(REPORT).replace(b'"started_at":1.5', b'"started_at":-0')) is not None


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 1_000_000,
        b'{"type":"report","x":' + b"[" * 1_000_000,
        b'{"type":"report","x":' + b'{"a":' * 1_000_000,
        b'{"type":"report","node":{"name":"a","labels":' + b'{"a":' * 1_000_000,
        b'{"type":"report","observed":[' + b"{}," * 1_000_000,
        b'{"type":"assign","entries":[' + b"[]," * 1_000_000,
        b'"' + b"\\u0041" * 1_000_000,
        b'"' + b"\\" * 1_000_001,
        b"9" * 1_000_000,
        b" " * 10_000_000,
    ],
)
def test_what_is_deep_or_long_is_refused_soon_and_in_little_memory(data: bytes):
    tracemalloc.start()
    try:
        begun = time.perf_counter()
        with pytest.raises(MessageError):
            decode(data)
        assert time.perf_counter() - begun < 2
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()


# -- what is read, and is a lie ---------------------------------------------------


def busy_world() -> World:
    """A manager that has placed tasks on two workers, which fall silent."""
    world = World(machine("a", max_tasks=3), "b")
    world.shrunk = {"a", "b"}  # a node may say that it has become smaller than what it holds
    job = mo.Job("job", [sleeper("one"), sleeper("two"), sleeper("three")], retries=2)
    world.manager.submit(job, world.now)
    service = mo.Job("service", [sleeper("web", replicas=2)], kind="service")
    world.manager.submit(service, world.now)
    world.pass_time(5)
    world.machines.clear()
    return world


def told(world: World, report: Report) -> None:
    """The manager is told something over the wire; nothing but a MessageError comes of it."""
    try:
        read = decode(encode(report))
        assert isinstance(read, Report)
        world.manager.receive(read, world.now)
    except MessageError:
        pass
    world.run()
    world.check()


def last_report(world: World, worker: str) -> Report:
    return next(report for report in reversed(world.heard) if report.worker == worker)


LIES: list[dict[str, Any]] = [
    {"sequence": 2**53},
    {"epoch": 2**53},
    {"revision": 2**53},
    {"incarnation": "another"},
    {"incarnation": ""},
    {"node": machine("a", capacity=mo.Resources(cpu=1e9, memory=2**60, disk=2**60, gpu=2**60))},
    {"node": machine("a", capacity=mo.Resources())},
    {"node": machine("a", max_tasks=0)},
    {"node": machine("a", runtime="\x1b[2J\n", address="<script>")},
    {"node": machine("b")},
    {"worker": "b"},
    {"worker": "c", "node": machine("c")},
    {"cluster_id": "d" * 32},
    {"engine_ok": False, "engine_message": "x" * 10_000_000},
    {"full": True, "observed": ()},
]


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_itself_harms_the_manager_in_no_way(lie: dict[str, Any]):
    world = busy_world()
    report = last_report(world, "a")
    told(world, msgspec.structs.replace(report, **{"sequence": report.sequence + 1, **lie}))
    world.pass_time(300)
    world.check()


OBSERVATIONS: list[dict[str, Any]] = [
    {"attempt": 2**53},
    {"attempt": 0},
    {"run": 2**53},
    {"run": 2**53, "state": AttemptState.COMPLETED, "exit_code": 0},
    {"run": 0, "state": AttemptState.COMPLETED},
    {"state": AttemptState.COMPLETED, "exit_code": 7, "reason": Reason.OOM},
    {"state": AttemptState.FAILED},
    {"state": AttemptState.STOPPED},
    {"state": AttemptState.RUNNING, "run": 0},
    {"started_at": 253_402_300_799.0, "finished_at": 0.0},
    {"ports": {"\x1b": "<b>"}, "handle": "\n\x1b[2J"},
    {"streak": Streak(restarts=2**53, exit_code=-1, next_at=253_402_300_799.0)},
    {"healthy": False, "message": "x" * 10_000_000},
    {"task_id": "f" * 32},
]


@pytest.mark.parametrize("lie", OBSERVATIONS)
@pytest.mark.parametrize("worker", ["a", "b"])
def test_a_lie_about_a_task_harms_the_manager_in_no_way(lie: dict[str, Any], worker: str):
    world = busy_world()
    seen = [observed for report in world.heard for observed in report.observed]
    lies = tuple(msgspec.structs.replace(observed, **lie) for observed in seen)
    report = last_report(world, worker)
    told(world, msgspec.structs.replace(report, sequence=report.sequence + 1, observed=lies))
    for record in world.desk.state.tasks.values():
        assert all(len(attempt.message) <= MAX_TEXT for attempt in record.attempts)
    world.pass_time(300)
    world.check()


def test_a_worker_cannot_speak_of_what_another_runs():
    world = busy_world()
    theirs = [task for task in world.desk.state.tasks.values() if task.attempts[-1].node == "b"]
    assert theirs
    lies = tuple(
        Observed(task_id=task.id, attempt=task.attempt, run=1, state=AttemptState.COMPLETED, exit_code=0)
        for task in theirs
    )
    report = last_report(world, "a")
    told(world, msgspec.structs.replace(report, sequence=report.sequence + 1, observed=lies))
    assert not [task for task in theirs if task.state.terminal]


def test_a_worker_that_confirms_what_was_never_sent_is_told_everything_again():
    world = World("a")
    world.pass_time(5)
    world.machines["a"].deaf = True  # it is the wire that speaks for it now
    world.manager.submit(mo.Job("job", sleeper()), world.now)
    world.run()
    report = last_report(world, "a")
    for number in (1, 2):
        lie = msgspec.structs.replace(report, sequence=report.sequence + number, revision=2**53)
        world.manager.receive(lie, world.now)
        world.run()
        world.now += world.manager_config.resend_s
    world.manager.receive(msgspec.structs.replace(report, sequence=report.sequence + 3), world.now)
    world.run()
    assert world.sent[-1].base is None, "in full"
    assert world.sent[-1].entries


@st.composite
def reports(draw: st.DrawFn, task_ids: list[str]) -> Report:
    number = st.integers(0, 4) | st.sampled_from([2**31, 2**53])
    moment = st.none() | st.floats(0, 2e6) | st.just(253_402_300_799.0)
    observed = st.builds(
        Observed,
        task_id=st.sampled_from([*task_ids, "f" * 32]),
        attempt=number,
        run=number,
        state=st.sampled_from(AttemptState),
        reason=st.none() | st.sampled_from(Reason),
        exit_code=st.none() | st.integers(-1, 256),
        message=st.text(max_size=3),
        started_at=moment,
        finished_at=moment,
        healthy=st.none() | st.booleans(),
        streak=st.none() | st.builds(Streak, restarts=number, next_at=moment),
    )
    name = draw(st.sampled_from(["a", "b", "c"]))
    return Report(
        cluster_id="c" * 32,
        worker=name,
        incarnation=draw(st.sampled_from([f"{name}-1", f"{name}-2"])),
        sequence=draw(st.integers(0, 60)),
        epoch=draw(number),
        revision=draw(number),
        full=draw(st.booleans()),
        node=machine(name, capacity=mo.Resources(cpu=draw(st.sampled_from([0, 1, 4, 1e9])))),
        observed=tuple(draw(st.lists(observed, max_size=4))),
        engine_ok=draw(st.booleans()),
        renew=draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[Slow.too_slow, Slow.data_too_large])
@given(st.data())
def test_whatever_reports_come_the_manager_keeps_its_rules(data: st.DataObject):
    world = busy_world()
    task_ids = list(world.desk.state.tasks)
    for _ in range(data.draw(st.integers(1, 6))):
        told(world, data.draw(reports(task_ids)))
        world.pass_time(data.draw(st.sampled_from([0, 1, 40, 400])))
    world.check()


@settings(max_examples=60, deadline=None, suppress_health_check=[Slow.too_slow])
@given(st.data())
def test_whatever_orders_come_a_worker_raises_nothing_but_a_message_error(data: st.DataObject):
    world = World("a", worker_config=WorkerConfig())
    world.pass_time(1)
    world.manager_up = False
    world.check_alone = lambda machine, key: None  # type: ignore[method-assign]
    worker = world.machines["a"]
    number = st.integers(0, 5) | st.sampled_from([2**31, 2**52])
    ids = st.sampled_from(["1" * 32, "2" * 32])
    entry = st.builds(
        Assignment,
        task_id=ids,
        attempt=number.filter(bool),
        desired=st.sampled_from(["run", "stop"]),
        run=number,
        index=number,
        task=st.just(sleeper()),
        restart=st.just(mo.RestartPolicy.always()),
        restarts=st.none() | number,
        grace_s=st.floats(0, 1e9),
    )
    for _ in range(data.draw(st.integers(1, 6))):
        order = Assign(
            cluster_id=data.draw(st.sampled_from([world.cluster_id, "d" * 32])),
            worker=data.draw(st.sampled_from(["a", "b"])),
            epoch=data.draw(number),
            revision=data.draw(number),
            base=data.draw(st.none() | number),
            entries=tuple(data.draw(st.lists(entry, max_size=4))),
            released=tuple(data.draw(st.lists(st.tuples(ids, number), max_size=3))),
            incarnation=data.draw(st.sampled_from(["a-1", "a-2"])),
            heard=data.draw(number),
            lease_s=data.draw(st.floats(0, 1e9)),
        )
        try:
            read = decode(encode(order))
            assert isinstance(read, Assign)
            worker.worker.receive(read, world.now)
        except MessageError:
            assert order.cluster_id != world.cluster_id or order.worker != "a"
        world.pass_time(data.draw(st.sampled_from([0, 1, 100])))
