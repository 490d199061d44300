"""Filters refuse for one thing each and say so; the counts of an explanation add up."""

from __future__ import annotations

import pytest

from minorch.model import Port
from minorch.resources import Resources
from minorch.scheduling import Blocked, Explanation, NodeView, Refused, TaskView
from minorch.scheduling.explain import count_refusals
from minorch.scheduling.filters import FILTERS, amount, could_ever_hold, refusal
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


# -- explanations --------------------------------------------------------------------------------------------


def test_refusals_are_counted_the_commonest_first_with_the_least_that_lacks():
    wanting = task(memory="4GiB")
    blocked = count_refusals(
        wanting,
        [
            node("a", memory="2GiB"),
            node("b", memory="3GiB"),
            node("c", ready=False),
            node("d", memory="4GiB", reserved=Resources(memory="1GiB")),
        ],
    )
    assert str(blocked) == "3 nodes: memory short by 1.0 GiB at least; 1 node: not ready"
    assert sum(refused.nodes for refused in blocked.refused) == 4
    assert blocked.feasible


def test_a_node_that_does_not_refuse_is_not_counted():
    assert count_refusals(task(), [node("a")]) == Blocked(refused=[], feasible=True)


def test_what_never_fits_is_said_to_never_fit():
    blocked = count_refusals(task(cpu=64), [node("a", cpu=4)])
    assert str(blocked) == "1 node: cpu short by 60 at least; no node could hold it even when empty"


def test_without_nodes_there_is_nothing_to_count():
    assert str(count_refusals(task(), [])) == "there are no nodes yet"


def test_large_counts_are_grouped():
    assert str(Refused(nodes=12_000, words="cordoned")) == "12,000 nodes: cordoned"


@pytest.mark.parametrize(
    ("explanation", "lines"),
    [
        (Explanation(task="job/a", state="RUNNING", node="n1"), ["job/a is RUNNING on n1"]),
        (
            Explanation(task="job/a", state="PENDING", detail="waits", costs=[("n1", 0.25), ("n2", 2.0)]),
            [
                "job/a is PENDING",
                "  waits",
                "  cost of placing it now:",
                "    n1: 0.25",
                "    n2: 2",
            ],
        ),
        (
            Explanation(task="job/a", state="PENDING", blocked=Blocked()),
            ["job/a is PENDING", "  fits nowhere now:", "    there are no nodes yet"],
        ),
        (
            Explanation(
                task="job/a",
                state="PENDING",
                blocked=Blocked(refused=[Refused(nodes=2, words="cordoned")], feasible=True),
            ),
            [
                "job/a is PENDING",
                "  fits nowhere now:",
                "    2 nodes: cordoned",
                "  it waits until there is room",
            ],
        ),
        (
            Explanation(
                task="job/a",
                state="PENDING",
                blocked=Blocked(refused=[Refused(nodes=1, words="no docker runtime")]),
            ),
            [
                "job/a is PENDING",
                "  fits nowhere now:",
                "    1 node: no docker runtime",
                "  no node could hold it even when empty",
            ],
        ),
    ],
)
def test_an_explanation_reads_as_text(explanation: Explanation, lines: list[str]):
    assert str(explanation).splitlines() == lines


def test_an_explanation_is_plain_data_too():
    explanation = Explanation(task="job/a", state="PENDING", blocked=Blocked(feasible=True))
    assert explanation.to_dict() == {
        "task": "job/a",
        "state": "PENDING",
        "node": None,
        "costs": (),
        "blocked": {"refused": (), "feasible": True},
        "detail": "",
    }
