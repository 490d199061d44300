"""A fleet of engines that answer late, not at all, or something else than before."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import minorch as mo
from minorch.contracts import RuntimeInfo
from minorch.errors import EngineUnavailable, UsageError
from minorch.runtimes.docker import DockerFleet, fleet as fleet_module
from minorch.runtimes.docker.runtime import About

SECONDS = 10.0


class Played:
    """A runtime whose engine answers as a test says."""

    name = "docker"
    made: dict[str, Played]

    def __init__(self, url: str, **options: Any) -> None:
        self.answers: Callable[[], About] = lambda: about(url)
        self.asked = 0
        self.closed = False
        Played.made[url] = self

    def about(self) -> About:
        self.asked += 1
        return self.answers()

    def close(self) -> None:
        self.closed = True


def about(identity: str, *, cpu: float = 4, labels: tuple[str, ...] = ()) -> About:
    capacity = mo.Resources(cpu=cpu, memory="4GiB")
    return About(RuntimeInfo(capacity=capacity, platform="linux/amd64", version="1"), identity, labels)


def silent() -> About:
    raise EngineUnavailable("nobody answers")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines are played, and nothing waits for long."""
    monkeypatch.setattr(Played, "made", {}, raising=False)
    monkeypatch.setattr(fleet_module, "DockerRuntime", Played)
    for name, seconds in (("_LOOK_S", 0.3), ("_AGAIN_S", 0.1), ("_TICK_S", 0.01), ("_BACKOFF_S", (0.05,))):
        monkeypatch.setattr(fleet_module, name, seconds)


class Fleet:
    """A fleet of two, and what it told."""

    def __init__(self, *engines: mo.DockerEngine) -> None:
        self.fleet = DockerFleet(engines or [mo.DockerEngine("tcp://a"), mo.DockerEngine("tcp://b")])
        self.a, self.b = Played.made["tcp://a"], Played.made["tcp://b"]
        self.told: list[mo.Member] = []
        self.watch: Any = None

    def listen(self) -> None:
        self.watch = self.fleet.watch(self.told.append)

    def latest(self, name: str) -> mo.Member | None:
        return next((member for member in reversed(self.told) if member.node.name == name), None)

    def close(self) -> None:
        if self.watch is not None:
            self.watch.close()
        self.fleet.close()


@pytest.fixture
def make() -> Iterator[Callable[..., Fleet]]:
    made: list[Fleet] = []

    def one(*engines: mo.DockerEngine) -> Fleet:
        made.append(Fleet(*engines))
        return made[-1]

    yield one
    for fleet in made:
        fleet.close()


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_answers_after_the_start_is_told(make: Callable[..., Fleet]):
    fleet = make()
    fleet.b.answers = silent
    members = {member.node.name: member for member in fleet.fleet.members()}
    assert members["a"].node.capacity.cpu == 4
    assert not members["b"].node.capacity
    fleet.listen()
    asked = fleet.b.asked
    until(lambda: fleet.b.asked > asked + 2)
    assert fleet.told == []
    fleet.b.answers = lambda: about("b")
    until(lambda: fleet.told)
    assert [member.node.name for member in fleet.told] == ["b"]
    assert fleet.told[0].node.capacity.cpu == 4


def test_what_answers_between_the_list_and_the_watch_is_told(make: Callable[..., Fleet]):
    fleet = make()
    go_on = threading.Event()

    def slow() -> About:
        go_on.wait(SECONDS)
        return about("b")

    fleet.b.answers = slow
    assert not next(member for member in fleet.fleet.members() if member.node.name == "b").node.capacity
    go_on.set()
    until(lambda: fleet.fleet._machines[1].info is not None)
    fleet.listen()
    until(lambda: fleet.told)
    assert fleet.told[0].node.name == "b"


def test_a_machine_that_offers_something_else_is_told(make: Callable[..., Fleet]):
    fleet = make()
    fleet.fleet.members()
    fleet.listen()
    fleet.a.answers = lambda: about("tcp://a", cpu=8, labels=("disk=ssd",))
    until(lambda: fleet.told)
    assert fleet.told[0].node.capacity.cpu == 8
    assert fleet.told[0].node.labels == {"disk": "ssd"}
    asked = fleet.a.asked
    until(lambda: fleet.a.asked > asked + 2)
    assert len(fleet.told) == 1, "and once"


def test_an_engine_that_is_gone_for_a_while_stays_as_it_was(make: Callable[..., Fleet]):
    fleet = make()
    fleet.fleet.members()
    fleet.listen()
    fleet.a.answers = silent
    asked = fleet.a.asked
    until(lambda: fleet.a.asked > asked + 3)
    assert fleet.told == []


def test_one_engine_by_two_addresses_is_refused_at_once_if_both_answer(make: Callable[..., Fleet]):
    fleet = make()
    fleet.b.answers = lambda: about("tcp://a")
    with pytest.raises(UsageError, match="tcp://a and tcp://b lead to the same Docker Engine"):
        fleet.fleet.members()


def test_one_engine_by_two_addresses_is_left_out_if_one_answers_late(
    make: Callable[..., Fleet], caplog: pytest.LogCaptureFixture
):
    capacity = mo.Resources(cpu=4, memory="4GiB")
    fleet = make(mo.DockerEngine("tcp://a", capacity=capacity), mo.DockerEngine("tcp://b", capacity=capacity))
    fleet.b.answers = silent
    members = {member.node.name: member for member in fleet.fleet.members()}
    assert not members["b"].node.capacity, "nothing is placed there before it has answered"
    fleet.listen()
    fleet.b.answers = lambda: about("tcp://a")
    until(lambda: fleet.told)
    assert [(member.node.name, member.gone) for member in fleet.told] == [("b", True)]
    assert "machine b is left out: tcp://a and tcp://b lead to the same Docker Engine" in caplog.text


def test_engines_that_change_places_stay(make: Callable[..., Fleet]):
    fleet = make()
    fleet.fleet.members()
    fleet.listen()
    fleet.a.answers, fleet.b.answers = lambda: about("tcp://b", cpu=8), lambda: about("tcp://a", cpu=8)

    def changed() -> bool:
        latest = [fleet.latest(name) for name in "ab"]
        return all(one is not None and not one.gone and one.node.capacity.cpu == 8 for one in latest)

    until(changed)


def test_an_engine_that_is_reached_by_another_address_since_is_used_there(make: Callable[..., Fleet]):
    fleet = make()
    fleet.b.answers = silent
    fleet.fleet.members()
    fleet.listen()
    fleet.a.answers = lambda: about("installed anew", cpu=8)
    until(lambda: fleet.latest("a"))
    fleet.b.answers = lambda: about("tcp://a")
    until(lambda: fleet.latest("b"))
    assert [(member.node.name, member.gone) for member in fleet.told] == [("a", False), ("b", False)]


def test_of_two_late_addresses_of_one_engine_one_is_used(make: Callable[..., Fleet]):
    fleet = make(mo.DockerEngine("tcp://a"), mo.DockerEngine("tcp://b"), mo.DockerEngine("tcp://c"))
    fleet.a.answers = fleet.b.answers = silent
    fleet.fleet.members()
    fleet.listen()
    fleet.a.answers = fleet.b.answers = lambda: about("one")
    until(lambda: len(fleet.told) >= 2)
    assert sorted(member.gone for member in (fleet.latest("a"), fleet.latest("b")) if member) == [False, True]


def test_what_a_runtime_raises_by_mistake_is_told_and_it_is_asked_again(make: Callable[..., Fleet]):
    fleet = make()

    def broken() -> About:
        raise ValueError("a bug")

    fleet.b.answers = broken
    fleet.fleet.members()
    assert fleet.fleet._machines[1].why == "ValueError: a bug"
    fleet.listen()
    fleet.b.answers = lambda: about("b")
    until(lambda: fleet.told)


def test_if_none_answers_each_is_told(make: Callable[..., Fleet]):
    fleet = make()
    fleet.a.answers = fleet.b.answers = silent
    with pytest.raises(EngineUnavailable, match="a: nobody answers; b: nobody answers"):
        fleet.fleet.members()


def test_a_callback_that_raises_ends_nothing(make: Callable[..., Fleet]):
    fleet = make()
    fleet.fleet.members()
    heard: list[mo.Member] = []

    def notify(member: mo.Member) -> None:
        heard.append(member)
        raise ValueError("a bug of the cluster's")

    fleet.watch = fleet.fleet.watch(notify)
    fleet.a.answers = lambda: about("tcp://a", cpu=8)
    until(lambda: heard)
    fleet.a.answers = lambda: about("tcp://a", cpu=16)
    until(lambda: len(heard) == 2)


def test_a_fleet_that_is_closed_asks_nobody_any_more(make: Callable[..., Fleet]):
    fleet = make()
    fleet.fleet.members()
    fleet.listen()
    fleet.close()
    assert fleet.a.closed
    assert fleet.b.closed
    asked = fleet.a.asked
    time.sleep(0.3)
    assert fleet.a.asked <= asked + 1
