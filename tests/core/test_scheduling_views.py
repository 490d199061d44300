"""Explanations, plans and proposals as a notebook shows them."""

from __future__ import annotations

from xml.etree import ElementTree

from minorch.scheduling import (
    Blocked,
    Choice,
    Explanation,
    JobChanges,
    JobPlan,
    Move,
    NearestMiss,
    PlannedPlacement,
    PlannedPreemption,
    PlannedWait,
    Rebalance,
    Refused,
)


def words(markup: str) -> str:
    """What there is to read, with a blank between texts."""
    root = ElementTree.fromstring(markup)
    for one in root.iter():
        if one.tag in ("style", "title"):
            one.text = ""
    return " ".join(text.strip() for text in root.itertext() if text.strip())


def test_an_explanation_shows_what_each_node_would_cost_and_of_what_that_is_made():
    why = Explanation(
        task="work/a",
        state="RUNNING",
        node="n1",
        detail="it runs",
        fitting=3,
        choices=[
            Choice(node="n1", cost=1.5, parts={"cpu": 1.0, "memory": 0.5}, here=True),
            Choice(node="n2", cost=2.0, parts={"cpu": 2.5, "spread": -0.5}, rank=2),
        ],
        refused=[Refused(nodes=2, words="cpu short by 1")],
    )
    text = words(why._repr_html_())
    assert "task work/a RUNNING on n1 it runs" in text
    assert "Cost now (the 2 cheapest of 3 nodes) cpu memory spread" in text
    assert "1. n1 1.5, it is here 2. n2 2" in text
    assert "Could not take it now nodes of 5 why not 2 cpu short by 1" in text


def test_a_cost_without_parts_is_a_bar_of_its_own():
    why = Explanation(task="work/a", state="PENDING", fitting=1, choices=[Choice(node="n1", cost=3.0)])
    assert "on no node Cost now (lower is better) 1. n1 3" in words(why._repr_html_())
    assert "cost: 3" in why._repr_html_()


def test_a_task_that_fits_nowhere_shows_what_is_against_it():
    blocked = Blocked(
        refused=[Refused(nodes=3, words="cpu short by 1"), Refused(nodes=1, words="not ready")],
        nearest=NearestMiss(node="n2", lacks=["cpu short by 1"]),
        feasible=True,
    )
    why = Explanation(task="work/a", state="PENDING", blocked=blocked, outlook="it waits")
    text = words(why._repr_html_())
    assert "Fits nowhere now nodes of 4 why not 3 cpu short by 1 1 not ready" in text
    assert "nearest: n2, cpu short by 1; it waits" in text
    never = Explanation(task="work/a", state="PENDING", blocked=Blocked(refused=blocked.refused))
    assert "no node could hold it even when empty" in words(never._repr_html_())
    nothing = Explanation(task="work/a", state="PENDING", blocked=Blocked())
    assert "there are no nodes yet" in words(nothing._repr_html_())


def test_a_plan_shows_how_many_tasks_go_to_which_node_and_what_the_others_wait_for():
    plan = JobPlan(
        job="work",
        placements=[
            PlannedPlacement(task="a[0]", node="n1", cost=1.0),
            PlannedPlacement(task="a[1]", node="n1", cost=2.0),
            PlannedPlacement(task="a[2]", node="n2", cost=1.0),
        ],
        waiting=[
            PlannedWait(tasks=[f"b[{n}]" for n in range(7)], why="no room"),
            PlannedWait(tasks=["c"], why="the strategy fails", fails=True),
        ],
        preempted=[PlannedPreemption(task="b[0]", node="n1", moved=["low/x"])],
        before=2,
        refused="it fits nowhere",
        changes=JobChanges(state="RUNNING", new=["c"]),
    )
    text = words(plan._repr_html_())
    assert "plan for work 3 of 11 tasks would be placed now would be refused it fits nowhere" in text
    assert "The one that is RUNNING is taken to be gone; changes: new: c" in text
    assert "2 tasks that wait already would be placed too" in text
    assert "n1 2 a[0], a[1] 1 to 2 n2 1 a[2] 1" in text
    assert "7 would wait b[0], b[1], b[2], b[3] and 3 more no room 1 would fail c the strategy fails" in text
    assert "Would take the room of others task node in place of b[0] n1 low/x" in text


def test_a_plan_of_one_task_has_nothing_to_compare():
    plan = JobPlan(job="work", placements=[PlannedPlacement(task="a", node="n1", cost=1.0)])
    assert words(plan._repr_html_()) == "plan for work 1 of 1 task would be placed now Placed " + (
        "node tasks which cost n1 1 a 1"
    )
    assert words(JobPlan(job="work")._repr_html_()) == "plan for work 0 of 0 tasks would be placed now"


def move(number: int, gain: float) -> Move:
    return Move(
        task=f"work/t{number}",
        task_id="0" * 32,
        source="n1",
        target="n2",
        cost_here=2.0 + gain,
        cost_there=2.0,
        gain=gain,
    )


def test_a_proposal_shows_its_moves_and_what_each_gains():
    text = words(Rebalance(moves=[move(1, 2.0), move(2, 0.5)], tasks=2, asked=2)._repr_html_())
    assert "rebalance 2 moves, gain 2.5" in text
    assert "work/t1 n1 n2 4 2 2 work/t2 n1 n2 2.5 2 0.5" in text
    assert "1 move, gain 1" in words(Rebalance(moves=[move(1, 1.0)])._repr_html_())
    many = Rebalance(moves=[move(n, 1.0) for n in range(30)])
    assert "and 6 more moves" in words(many._repr_html_())


def test_a_proposal_without_moves_says_why():
    assert (
        words(Rebalance(why="costs tell nothing")._repr_html_())
        == "rebalance nothing to move costs tell nothing"
    )


def test_the_names_of_tasks_and_nodes_cannot_become_markup():
    hostile = "<img src=x>"
    why = Explanation(
        task=hostile,
        state=hostile,
        node=hostile,
        fitting=1,
        choices=[Choice(node=hostile, cost=1.0, parts={hostile: 1.0, "b": 2.0})],
        refused=[Refused(nodes=1, words=hostile)],
    )
    assert "<img" not in why._repr_html_()
    assert words(why._repr_html_()).count(hostile) >= 5
