"""One machine as a fleet: all its nodes share one runtime, and none joins or leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minorch.cluster.setup import Chosen, make_nodes
from minorch.contracts import Member, Watch
from minorch.model import Node

__all__ = ["OneMachine", "share_out"]


def share_out(workers: int | Sequence[Node], chosen: Chosen) -> OneMachine:
    """The machine of a runtime, shared by workers; a runtime that the cluster made is closed if it cannot be.

    Raises:
        UsageError: as :func:`~minorch.cluster.setup.make_nodes`.
    """
    try:
        return OneMachine(chosen, make_nodes(workers, chosen))
    except BaseException:
        if chosen.ours:
            chosen.runtime.close()
        raise


class OneMachine:
    """The machine of one runtime, shared by one or more nodes.

    Args:
        chosen: the runtime.
        nodes: what each node offers of it.
    """

    engine_lost_s = None

    def __init__(self, chosen: Chosen, nodes: Sequence[Node]) -> None:
        self._chosen = chosen
        self._nodes = nodes

    @property
    def name(self) -> str:
        """The runtime's."""
        return self._chosen.runtime.name

    def members(self) -> Sequence[Member]:
        """Its nodes."""
        return tuple(self.member(node) for node in self._nodes)

    def member(self, node: Node) -> Member:
        """A node on it."""
        return Member(node=node, runtime=self._chosen.runtime)

    def watch(self, notify: Callable[[Member], None]) -> Watch:
        """Nothing ever changes."""
        return _Nothing()

    def close(self) -> None:
        """Close the runtime, if the cluster made it."""
        if self._chosen.ours:
            self._chosen.runtime.close()


class _Nothing:
    def close(self) -> None:
        """There is nothing to end."""
