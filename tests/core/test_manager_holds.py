"""A task has one room at most, and a node is kept for one task at most."""

from __future__ import annotations

from minorch.manager.holds import Hold, Holds


def test_a_room_is_found_by_its_task_and_by_its_node():
    holds = Holds()
    holds.keep(Hold("one", "a", 0.0, 9.0))
    assert (holds.node_for("one"), holds.task_on("a")) == ("a", "one")
    assert (holds.node_for("two"), holds.task_on("b")) == (None, "")
    assert len(holds) == 1


def test_another_room_for_a_task_takes_the_place_of_the_first():
    holds = Holds()
    holds.keep(Hold("one", "a", 0.0, 9.0))
    holds.keep(Hold("one", "b", 1.0, 9.0))
    assert list(holds) == [Hold("one", "b", 1.0, 9.0)]
    assert holds.task_on("a") == ""


def test_another_task_on_a_node_takes_the_place_of_the_first():
    holds = Holds()
    holds.keep(Hold("one", "a", 0.0, 9.0))
    holds.keep(Hold("two", "a", 1.0, 9.0))
    assert list(holds) == [Hold("two", "a", 1.0, 9.0)]
    assert holds.node_for("one") is None


def test_what_is_given_up_is_returned_once_and_may_be_while_one_looks_through_them():
    holds = Holds()
    holds.keep(Hold("one", "a", 0.0, 9.0))
    holds.keep(Hold("two", "b", 0.0, 9.0))
    for hold in holds:
        assert holds.give_up(hold.task_id) == hold
        assert holds.give_up(hold.task_id) is None
    assert len(holds) == 0
