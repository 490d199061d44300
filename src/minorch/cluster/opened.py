"""Which clusters of this process are open, and a word about it in a notebook.

Whoever runs a cell again that makes a cluster means to replace it.  If nothing refers to the old one any more
it is closed; but a notebook keeps what a cell showed, in ``Out``, and so the old one goes on.
"""

from __future__ import annotations

import itertools
import logging
import sys
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from minorch.cluster.cluster import Cluster

__all__ = ["in_notebook", "open_clusters", "remember", "warn_of_others"]

_log = logging.getLogger("minorch")
_numbers: Final[Iterator[int]] = itertools.count()
_made: Final[weakref.WeakValueDictionary[int, Cluster]] = weakref.WeakValueDictionary()
"""The only thing of minorch's that all of a process shares. It keeps no cluster alive."""


def open_clusters() -> tuple[Cluster, ...]:
    """The clusters of this process that are open, the oldest first.

    In a notebook, this closes those that a cell made that was run again::

        for old in minorch.open_clusters()[:-1]:
            old.close()
    """
    clusters = [cluster for _number, cluster in sorted(_made.items())]
    return tuple(cluster for cluster in clusters if not cluster.settled and not cluster.manager.forked)


def remember(cluster: Cluster) -> None:
    """List a cluster from now on, while it is open."""
    _made[next(_numbers)] = cluster


def warn_of_others(cluster: Cluster) -> None:
    """In a notebook, say that an older cluster is open on the same runtime, unless either is in a block."""
    if cluster.in_block or not in_notebook():
        return
    others = [
        other
        for other in itertools.takewhile(lambda one: one is not cluster, open_clusters())
        if other.runtime == cluster.runtime and not other.in_block
    ]
    if others:
        _log.warning(
            "%d older cluster%s still open in this notebook: if a cell was run again, close what it made "
            "before: for old in minorch.open_clusters()[:-1]: old.close()",
            len(others),
            " is" if len(others) == 1 else "s are",
        )


def in_notebook() -> bool:
    """Whether this is an interactive IPython, which nobody need have installed."""
    module = sys.modules.get("IPython")
    get = getattr(module, "get_ipython", None)
    return get is not None and get() is not None
