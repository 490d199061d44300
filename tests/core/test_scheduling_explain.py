"""Counts of refusals, who comes nearest, and an explanation in words."""

from __future__ import annotations

import pytest

from minorch.resources import Resources
from minorch.scheduling import Blocked, Choice, Explanation, NodeView, Refused, TaskView
from minorch.scheduling.explain import count_refusals
from minorch.testing.builders import node, task


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
    assert str(blocked) == (
        "3 nodes: memory short by 1.0 GiB at least; 1 node: not ready; nearest: d, memory short by 1.0 GiB"
    )
    assert sum(refused.nodes for refused in blocked.refused) == 4
    assert blocked.feasible


def test_a_node_that_does_not_refuse_is_not_counted():
    assert count_refusals(task(), [node("a")]) == Blocked(refused=[], feasible=True)


def test_what_never_fits_is_said_to_never_fit():
    blocked = count_refusals(task(cpu=64), [node("a", cpu=4)])
    assert str(blocked) == (
        "1 node: cpu short by 60 at least; nearest: a even when empty, cpu short by 60; "
        "no node could hold it even when empty"
    )


FULL = Resources(cpu=3, memory="6GiB")


@pytest.mark.parametrize(
    ("waiting", "nodes", "words"),
    [
        (
            task(cpu=2, memory="4GiB"),
            [node("a", reserved=FULL), node("b", reserved=Resources(cpu=4))],
            "b, cpu short by 2",
        ),
        (task(cpu=2), [node("a", reserved=Resources(cpu=4)), node("b", reserved=FULL)], "b, cpu short by 1"),
        (task(cpu=2), [node("a", reserved=FULL), node("b", reserved=FULL)], "a, cpu short by 1"),
        (
            task(cpu=2),
            [node("a", cpu=1, taints=["x"]), node("b", reserved=FULL, tasks=9, max_tasks=9)],
            "b, holds its most tasks (9), cpu short by 1",
        ),
        (
            task(cpu=2),
            [node("a", ready=False), node("b", cordoned=True, reserved=FULL)],
            "b, cordoned, cpu short by 1",
        ),
        (task(cpu=2), [node("a", ready=False)], "a, not ready"),
        (
            task(cpu=8, gpu=1),
            [node("a", ready=False), node("b", cpu=6, gpu=1)],
            "b even when empty, cpu short by 2",
        ),
        (task(cpu=2), [node("a", reserved=Resources(cpu=64))], "a, cpu short by 62"),
    ],
)
def test_the_nearest_has_the_fewest_things_against_it_and_then_the_smallest_part_short(
    waiting: TaskView, nodes: list[NodeView], words: str
) -> None:
    assert str(count_refusals(waiting, nodes).nearest) == f"nearest: {words}"


def test_where_some_node_takes_it_there_is_no_nearest():
    assert count_refusals(task(cpu=4), [node("a"), node("b", cpu=2)]).nearest is None


def test_without_nodes_there_is_nothing_to_count():
    assert str(count_refusals(task(), [])) == "there are no nodes yet"


def test_counts_without_a_nearest_are_told_alone():
    assert str(Blocked(refused=[Refused(nodes=1, words="cordoned")], feasible=True)) == "1 node: cordoned"


def test_large_counts_are_grouped():
    assert str(Refused(nodes=12_000, words="cordoned")) == "12,000 nodes: cordoned"


@pytest.mark.parametrize(
    ("explanation", "lines"),
    [
        (Explanation(task="job/a", state="RUNNING", node="n1"), ["job/a is RUNNING on n1"]),
        (
            Explanation(
                task="job/a",
                state="PENDING",
                detail="waits",
                fitting=2,
                choices=[
                    Choice(node="n1", cost=0.25, parts={"cost": 0.25}),
                    Choice(node="n2", cost=2.0, parts={"cpu": 0.5, "slots": 1.5}, rank=2, here=True),
                ],
            ),
            [
                "job/a is PENDING",
                "  waits",
                "  cost of placing it now, on the 2 nodes that could take it:",
                "    1. n1: 0.25",
                "    2. n2: 2 = cpu 0.5 + slots 1.5 (it is here)",
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
                outlook="it waits until there is room",
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
                outlook="no node could hold it even when empty",
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
        "detail": "",
        "fitting": 0,
        "choices": (),
        "refused": (),
        "blocked": {"refused": (), "feasible": True, "nearest": None},
        "outlook": "",
    }
