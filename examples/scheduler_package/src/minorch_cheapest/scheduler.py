"""The strategy."""

import math

import minorch as mo

_DEAREST = 1e9
"""A price that no label says, and still finite: a cost must be."""


class Cheapest(mo.Scheduler):
    """The node with the lowest ``price`` label; of nodes at one price, the one with fewer tasks.

    Args:
        unpriced: what a node costs that has no price, or one that is no number.
    """

    depends_on = "node"

    def __init__(self, unpriced: float = _DEAREST) -> None:
        if not 0 <= unpriced < math.inf:
            raise mo.UsageError(f"unpriced={unpriced!r}: a price is zero or more")
        self.unpriced = unpriced

    def cost(self, task: mo.TaskView, node: mo.NodeView) -> float:
        """The price, and a little for each task: never as much as a thousandth."""
        return self.price(node) + 0.001 * node.tasks / (node.tasks + 1)

    def price(self, node: mo.NodeView) -> float:
        """What a node costs."""
        try:
            price = float(node.labels.get("price", ""))
        except ValueError:
            return self.unpriced
        return price if 0 <= price < math.inf else self.unpriced
