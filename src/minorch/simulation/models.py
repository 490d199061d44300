"""How fast tasks run that share a node: the performance models of a simulation.

A model says one thing: of each task that runs on a node now, how fast it goes compared with what was told of
it.  The simulation asks whenever that may have changed, which is when a task on that node begins or ends, and
works out from the answers when each task is over.  Without a model each takes just as long as was told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minorch.errors import UsageError
from minorch.model import Node, Task
from minorch.resources import Resources

__all__ = ["CpuSharing", "FixedDuration", "MemoryThrash", "Model", "Running"]


class Running(NamedTuple):
    """One task that runs on a node."""

    task: Task
    usage: Resources
    """What it really uses, which may be more or less than what it asked for."""


class Model:
    """Says how fast tasks run that share a node. Derive yours from it; it keeps nothing between questions."""

    def speeds(self, node: Node, running: Sequence[Running]) -> Sequence[float]:
        """For each of *running*, how fast it goes: 1.0 is as fast as was told, 0.5 half as fast.

        Args:
            node: the node.
            running: every task that runs on it, in the order in which they began; at least one.

        Speeds are above 0, or a task would never end.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class FixedDuration(Model):
    """Each task takes as long as was told, whatever runs beside it; as it is without a model, too."""

    def speeds(self, node: Node, running: Sequence[Running]) -> Sequence[float]:
        """All as told."""
        return [1.0] * len(running)


class CpuSharing(Model):
    """Tasks share the cores of their node: where they use more than there is, all slow down alike.

    With *C* cores and tasks that together use *D*, each runs at the speed ``min(1, C / D)``.  A node that
    says nothing of its cores slows nobody down.

    Args:
        at_least: the cores that a task uses at the least.

    Raises:
        UsageError: *at_least* is negative.
    """

    def __init__(self, at_least: float = 0.0) -> None:
        if not at_least >= 0:
            raise UsageError(f"at_least={at_least!r} cores are negative, or no number")
        self.at_least = at_least

    def speeds(self, node: Node, running: Sequence[Running]) -> Sequence[float]:
        """The share of the cores that each gets, by the share that it would use."""
        wanted = sum(max(one.usage.cpu, self.at_least) for one in running)
        cores = node.capacity.cpu
        return [min(1.0, cores / wanted) if wanted and cores else 1.0] * len(running)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(at_least={self.at_least!r})"


class MemoryThrash(CpuSharing):
    """Tasks share the cores, and where they use more memory than the node has, all go slower by a factor.

    This is the model with which E-PVM was studied: a machine whose memory is exceeded pages, and each share
    of its processor is a tenth of what it would be (R. S. Borgstrom's talk on his thesis, slide 7; see Amir,
    Awerbuch, Barak, Borgstrom, Keren: "An Opportunity Cost Approach for Job Assignment in a Scalable
    Computing Cluster", IEEE TPDS 11(7), 2000).

    Args:
        factor: by how much everything is slower on a node whose memory is exceeded.
        at_least: the cores that a task uses at the least.

    Raises:
        UsageError: *factor* is less than 1, or *at_least* negative.
    """

    def __init__(self, factor: float = 10.0, at_least: float = 0.0) -> None:
        super().__init__(at_least)
        if not factor >= 1:
            raise UsageError(f"factor={factor!r}: what thrashes is slower by a factor of 1 or more")
        self.factor = factor

    def speeds(self, node: Node, running: Sequence[Running]) -> Sequence[float]:
        """The shares of the cores, by the factor less where memory is exceeded."""
        shares = super().speeds(node, running)
        if sum(one.usage.memory for one in running) <= node.capacity.memory:
            return shares
        return [share / self.factor for share in shares]

    def __repr__(self) -> str:
        return f"MemoryThrash(factor={self.factor!r}, at_least={self.at_least!r})"
