"""Drivers: the thin loops that own clock, threads and I/O around the manager and the worker.

:class:`ManagerDriver` and :class:`WorkerDriver` each run one core in a thread of its own.  They are
what :class:`minorch.Cluster` uses, and what an application uses that carries the messages itself.
"""

from minorch.drivers.clock import SteadyClock, new_id
from minorch.drivers.hands import RuntimeHands
from minorch.drivers.manager_driver import ManagerDriver
from minorch.drivers.worker_driver import WorkerDriver

__all__ = ["ManagerDriver", "RuntimeHands", "SteadyClock", "WorkerDriver", "new_id"]
