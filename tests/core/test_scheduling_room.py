"""Which node is kept for a task that fits nowhere: where the least must be given back, and never in vain."""

from __future__ import annotations

import msgspec

from minorch.errors import PluginError
from minorch.resources import Resources
from minorch.scheduling import Filters, NodeView
from minorch.scheduling.filters import Refusal
from minorch.scheduling.room import nearest
from minorch.testing.builders import cluster, node, task

BIG = task("big", cpu=4)


def full(name: str, cpu: float, **fields: object) -> NodeView:
    return node(name, reserved=Resources(cpu=cpu), tasks=1, **fields)  # type: ignore[arg-type]


def name_of(found: NodeView | None) -> str | None:
    return None if found is None else found.name


def test_it_is_the_node_that_is_short_of_the_least_part_and_of_those_the_first():
    nodes = cluster([full("a", 4), full("b", 1), full("c", 1), full("d", 2)]).nodes
    assert name_of(nearest(BIG, nodes, Filters())) == "b"


def test_slots_count_as_room():
    nodes = cluster([node("a", tasks=2, max_tasks=2), node("b", tasks=4, max_tasks=4)]).nodes
    assert name_of(nearest(task(), nodes, Filters())) == "b"


def test_a_node_that_is_away_closed_kept_or_too_small_is_none():
    nodes = [
        full("lost", 1, ready=False),
        full("cordoned", 1, cordoned=True),
        msgspec.structs.replace(full("kept", 1), held_for="somebody"),
        node("small", cpu=3),
        full("tainted", 1, taints=["x"]),
    ]
    assert nearest(BIG, cluster(nodes).nodes, Filters()) is None


def test_what_stays_has_to_leave_room_enough():
    nodes = cluster([full("a", 1), full("b", 3)]).nodes

    def staying(view: NodeView) -> NodeView:
        return view if view.name == "a" else NodeView(index=view.index, node=view.node)

    assert name_of(nearest(BIG, nodes, Filters(), staying=staying)) == "b"


def test_where_its_neighbours_do_not_let_it_go_nothing_is_kept():
    nodes = cluster([full("a", 1), full("b", 3)]).nodes

    def around(view: NodeView) -> Refusal | None:
        return Refusal("neighbours", "not near") if view.name == "a" else None

    assert name_of(nearest(BIG, nodes, Filters(), around=around)) == "b"


def test_where_a_filter_refuses_it_or_fails_nothing_is_kept():
    def picky(_task: object, view: NodeView) -> str | None:
        if view.name == "a":
            raise PluginError("no")
        return "not b" if view.name == "b" else None

    nodes = cluster([full("a", 1), full("b", 2), full("c", 3)]).nodes
    assert name_of(nearest(BIG, nodes, Filters({"picky": picky}))) == "c"
