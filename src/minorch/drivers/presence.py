"""A sign that a cluster is open, which the kernel takes away with the process, however that ends.

The runs of a cluster with a durable store name the process that had them started, and that may be dead while
another one has opened the store and goes on with them.  What a container says cannot be changed.  So whoever
has such a cluster open holds a socket with the cluster's id in its name, in the abstract namespace of Linux:
it leaves no file, needs no clean-up, and all names there can be read.  It is seen within one network
namespace, and where there are no such sockets nothing is seen.
"""

from __future__ import annotations

import logging
import re
import secrets
import socket
import sys
from typing import Final

from minorch.ids import check_id

__all__ = ["Presence", "open_clusters"]

_log: Final = logging.getLogger("minorch.drivers")
_LIST: Final = "/proc/net/unix"
_SIGN: Final = re.compile(r" @minorch/cluster/([0-9a-f]{32})/[0-9a-f]{16}$", re.MULTILINE)


class Presence:
    """Shows that a cluster is open, from when it is made until :meth:`close` or the end of the process.

    A fork holds it too.  So it may be seen for too long, which harms nothing, and never too short.

    Args:
        cluster_id: which cluster. Several may show the same one.
    """

    def __init__(self, cluster_id: str) -> None:
        self._socket: socket.socket | None = None
        if sys.platform == "linux":
            name = f"\0minorch/cluster/{check_id(cluster_id, 'cluster')}/{secrets.token_hex(8)}"
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                self._socket.bind(name)
            except OSError as error:
                self._socket.close()
                _log.warning("that cluster %s is open cannot be seen by others: %s", cluster_id, error)

    def close(self) -> None:
        """Show it no longer. Closing twice is fine."""
        if self._socket is not None:
            self._socket.close()


def open_clusters() -> frozenset[str] | None:
    """The ids of the clusters that show that they are open; None: that cannot be seen here."""
    if sys.platform != "linux":
        return None
    try:
        with open(_LIST, encoding="utf-8", errors="replace") as file:
            return frozenset(_SIGN.findall(file.read()))
    except OSError:
        return None
