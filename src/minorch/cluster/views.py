"""A cluster as HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence

from minorch.markup import counts, view
from minorch.state.node_views import node_counts, nodes_table
from minorch.state.pictures import NodeInfo
from minorch.states import JobState

__all__ = ["cluster_view"]


def cluster_view(nodes: Sequence[NodeInfo], jobs: Sequence[JobState], words: str) -> str:
    """Its nodes, how full they are, and how its jobs stand.

    Args:
        nodes: pictures of them.
        jobs: the state of each job that is remembered.
        words: what else there is to say: the runtime, or that it is closed.
    """
    count = f"{len(nodes):,} node{'' if len(nodes) == 1 else 's'}"
    told = counts({str(state): jobs.count(state) for state in JobState}, "jobs")
    return view("cluster", node_counts(nodes, "nodes"), told, nodes_table(nodes), words=f"{count} · {words}")
