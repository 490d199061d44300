"""Drivers: the thin loops that own clock, threads and I/O around the manager and the worker.

:class:`ManagerDriver` and :class:`WorkerDriver` each run one core in a thread of its own.  They are
what :class:`minorch.Cluster` uses, and what an application uses that carries the messages itself.  For one
that lives in an event loop, :mod:`minorch.drivers.aio` has the same.
"""

from minorch.drivers.clock import SteadyClock, new_id
from minorch.drivers.hands import RuntimeHands
from minorch.drivers.makers import Life, life_of, this_process
from minorch.drivers.manager_driver import ManagerDriver
from minorch.drivers.outbox import Outbox
from minorch.drivers.presence import Presence, open_clusters
from minorch.drivers.worker_driver import WorkerDriver

__all__ = [
    "Life",
    "ManagerDriver",
    "Outbox",
    "Presence",
    "RuntimeHands",
    "SteadyClock",
    "WorkerDriver",
    "life_of",
    "new_id",
    "open_clusters",
    "this_process",
]
