"""Filters refuse for one thing each and say so."""

from __future__ import annotations

import pytest

from minorch.errors import PluginError, UsageError
from minorch.model import Port
from minorch.resources import Resources
from minorch.scheduling import Filters, NodeView, TaskView
from minorch.scheduling.filters import FILTERS, Refusal, amount, could_ever_hold, refusal
from minorch.testing.builders import node, task

HTTP = Port(80, host=8080)


def test_a_node_with_room_has_no_objection():
    assert refusal(task(cpu=4, memory="8GiB"), node("a", cpu=4, memory="8GiB")) is None


@pytest.mark.parametrize(
    ("waiting", "offered", "kind", "words", "passing"),
    [
        (task(), node("a", ready=False), "ready", "not ready", True),
        (task(), node("a", ready=False, cordoned=True), "ready", "not ready", True),
        (task(), node("a", cordoned=True), "ready", "cordoned", True),
        (task(runtime="docker"), node("a", runtime="process"), "runtime", "no docker runtime", False),
        (task(), node("a", max_tasks=2, tasks=2), "slots", "holds its most tasks (2)", True),
        (task(cpu=5), node("a", cpu=4), "resources", "cpu short", False),
        (task(cpu=2), node("a", cpu=4, reserved=Resources(cpu=3)), "resources", "cpu short", True),
        (task(memory=2), node("a", memory=1), "resources", "memory short", False),
        (task(disk=2), node("a", disk=1), "resources", "disk short", False),
        (task(gpu=1), node("a"), "resources", "gpu short", False),
        (task(gpu=1), node("a", gpu=2, reserved=Resources(gpu=2)), "resources", "gpu short", True),
        (task(), node("a", memory=1, reserved=Resources(memory=2)), "resources", "memory short", True),
        (task(), node("a", taints=["gpu"]), "taints", "taint gpu not tolerated", False),
        (
            task(constraints=["zone != b", "disk == ssd"]),
            node("a", labels={"zone": "b"}),
            "constraints",
            "constraint zone != b not met",
            False,
        ),
        (
            task(constraints=["disk == ssd"]),
            node("a"),
            "constraints",
            "constraint disk == ssd not met",
            False,
        ),
        (
            task(ports=[HTTP]),
            node("a", holds=[task(ports=[HTTP])]),
            "host_ports",
            "host port 8080 taken",
            True,
        ),
    ],
)
def test_a_filter_says_why_it_refuses(
    waiting: TaskView, offered: NodeView, kind: str, words: str, passing: bool
):
    objection = refusal(waiting, offered)
    assert objection is not None
    assert (objection.kind, objection.words, objection.passing) == (kind, words, passing)


@pytest.mark.parametrize(
    ("waiting", "offered"),
    [
        (task(runtime="process"), node("a", runtime="process")),
        (task(tolerations=["gpu"]), node("a", taints=["gpu"])),
        (task(constraints=["disk == ssd", "zone != b"]), node("a", labels={"disk": "ssd"})),
        (task(ports=[Port(80)]), node("a", holds=[task(ports=[HTTP])])),
        (task(ports=[HTTP]), node("a", holds=[task(ports=[Port(53, host=8080, protocol="udp")])])),
        (task(gpu=0.5, cpu=1), node("a", gpu=1, reserved=Resources(gpu=0.5))),
    ],
)
def test_a_filter_lets_pass_what_it_does_not_mind(waiting: TaskView, offered: NodeView):
    assert refusal(waiting, offered) is None


def test_every_filter_has_a_docstring_and_refuses_under_its_own_name():
    for objects in FILTERS:
        assert objects.__doc__
        assert objects.__doc__.startswith("Refuse a node")


@pytest.mark.parametrize(
    ("waiting", "offered", "ever"),
    [
        (task(cpu=4), node("a", cpu=4, tasks=100, reserved=Resources(cpu=4), ready=False), True),
        (task(cpu=5), node("a", cpu=4), False),
        (task(cpu=5), node("a", cpu=4, ready=False), False),
        (task(runtime="docker"), node("a", runtime="process", cordoned=True), False),
        (task(), node("a", max_tasks=0), False),
    ],
)
def test_what_could_ever_be_held_does_not_hang_on_what_passes(
    waiting: TaskView, offered: NodeView, ever: bool
):
    assert could_ever_hold(waiting, offered) is ever


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("memory", 2**31, "2.0 GiB"), ("disk", 1, "1 B"), ("cpu", 500, "0.5"), ("gpu", 2000, "2")],
)
def test_amounts_are_told_in_words(name: str, value: int, words: str):
    assert amount(name, value) == words


def test_a_filter_of_ones_own_is_asked_last_and_has_a_name_of_its_own():
    asked: list[str] = []

    def mine(_task: TaskView, view: NodeView) -> str | None:
        asked.append(view.name)
        return "not mine" if view.name == "b" else None

    filters = Filters({"mine": mine})
    assert filters.refusal(task(cpu=9), node("a")) is not None
    assert asked == []
    assert filters.refusal(task(), node("a")) is None
    assert filters.admit(task(), node("a"))
    assert filters.refusal(task(), node("b")) == Refusal("mine", "not mine", passing=True)
    assert not filters.admit(task(), node("b"))
    with pytest.raises(UsageError, match='a filter called "held" is built in; give yours another name'):
        Filters({"held": mine})


def test_a_filter_of_ones_own_that_gives_neither_text_nor_none_is_named():
    filters = Filters({"mine": lambda task, node: 7})  # type: ignore[arg-type, return-value]
    with pytest.raises(PluginError, match="filter mine returned 7 for node a, neither text nor None"):
        filters.admit(task(), node("a"))
