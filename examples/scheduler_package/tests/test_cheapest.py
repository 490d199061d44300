"""What the strategy is for, on clusters that exist as views only."""

import pytest

import minorch as mo
from minorch.scheduling import make_plan
from minorch.testing.builders import cluster, node, task
from minorch_cheapest import Cheapest


def priced(name: str, price: str | None = None, *, cpu: float = 4) -> mo.NodeView:
    return node(name, cpu=cpu, labels={} if price is None else {"price": price})


def places(scheduler: mo.Scheduler, *nodes: mo.NodeView, tasks: int = 1) -> list[str]:
    work = [[task(f"t{number}", cpu=1, order=number)] for number in range(tasks)]
    return [placement.node for placement in make_plan(cluster(nodes), work, scheduler).placements]


def test_the_cheapest_node_comes_first() -> None:
    assert places(Cheapest(), priced("dear", "1.00"), priced("cheap", "0.20")) == ["cheap"]


def test_the_next_one_follows_once_it_is_full() -> None:
    nodes = priced("dear", "1.00"), priced("cheap", "0.20", cpu=2)
    assert places(Cheapest(), *nodes, tasks=3) == ["cheap", "cheap", "dear"]


def test_nodes_at_one_price_take_turns() -> None:
    nodes = priced("one", "0.20"), priced("two", "0.20")
    assert places(Cheapest(), *nodes, tasks=4) == ["one", "two", "one", "two"]


@pytest.mark.parametrize("label", [None, "", "a lot", "nan", "inf", "-1"])
def test_a_node_without_a_price_comes_last_unless_told_otherwise(label: str | None) -> None:
    nodes = priced("unknown", label), priced("known", "0.90")
    assert places(Cheapest(), *nodes) == ["known"]
    assert places(Cheapest(unpriced=0.5), *nodes) == ["unknown"]


@pytest.mark.parametrize("price", [-1.0, float("inf"), float("nan")])
def test_a_price_that_is_none_is_refused(price: float) -> None:
    with pytest.raises(mo.UsageError, match="a price is zero or more"):
        Cheapest(unpriced=price)


def test_it_is_chosen_by_name_with_its_option() -> None:
    made = mo.default_registry(installed=True).make_scheduler("cheapest", unpriced=0.5)
    assert isinstance(made, Cheapest)
    assert made.unpriced == 0.5
