"""What is said of a strategy that broke its contract."""

from __future__ import annotations

from minorch.errors import PluginError
from minorch.scheduling import FunctionScheduler, Scheduler, make_plan
from minorch.scheduling.plan import blame
from minorch.testing.builders import cluster, node, task


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def test_the_strategy_and_the_task_are_named():
    words = blame(Scheduler(), task("t"), ValueError("no"))
    assert words.startswith("scheduler Scheduler failed on task ")
    assert words.endswith("/t: ValueError: no")


def test_our_own_findings_stand_without_their_class():
    assert blame(Scheduler(), task("t"), PluginError("not a number")).endswith("/t: not a number")


def test_an_exception_that_cannot_be_read_is_told_all_the_same():
    assert "Unreadable: (its message cannot be read)" in blame(Scheduler(), task("t"), Unreadable())


def test_a_strategy_shows_its_name():
    assert repr(Scheduler()) == "Scheduler()"


def test_the_place_is_told_where_a_function_failed():
    def price(task, node):
        return {}["price"]

    try:
        price(None, None)
    except KeyError as error:
        words = blame(FunctionScheduler(price), task("t"), error)
    assert words.startswith("scheduler price failed on task ")
    assert "KeyError: 'price' (in price, test_scheduling_blame.py, line " in words


def test_a_strategy_that_exits_spoils_its_task_and_nothing_else():
    def leave(task, node):
        raise SystemExit(3)

    plan = make_plan(cluster([node("a")]), [[task("t")]], FunctionScheduler(leave))
    assert [words.partition(" (in ")[0] for words in plan.broken.values()] == [
        "scheduler leave failed on task job/t: SystemExit: 3"
    ]
