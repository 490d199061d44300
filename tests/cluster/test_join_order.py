"""Nodes join in the order in which they are written: tables read well, and ties and seeds mean something."""

from __future__ import annotations

from collections.abc import Callable

import minorch as mo


def test_nodes_join_in_the_order_of_the_workers(make: Callable[..., mo.Cluster]) -> None:
    cluster = make(30)
    assert [node.name for node in cluster.nodes] == [f"worker-{number}" for number in range(1, 31)]


def test_nodes_join_in_the_order_in_which_they_are_given(make: Callable[..., mo.Cluster]) -> None:
    names = ["zoe", "adam", "mia", "bob"]
    assert [node.name for node in make([mo.Node(name) for name in names]).nodes] == names
