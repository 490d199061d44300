"""The drivers for a program that lives in an asyncio event loop: the same methods, to be awaited.

:class:`AsyncManagerDriver` and :class:`AsyncWorkerDriver` carry :class:`~minorch.drivers.ManagerDriver` and
:class:`~minorch.drivers.WorkerDriver` to a loop and back.  There is one set of rules for turns, commits and
retries, and it is theirs.  The core and its store, or its runtime, stay in threads, so neither a slow disk
nor a plan that takes a second holds up the loop; what is the application's (``send``, ``on_events``) is
called on the loop.
"""

from minorch.drivers.aio.manager_driver import AsyncManagerDriver
from minorch.drivers.aio.worker_driver import AsyncWorkerDriver

__all__ = ["AsyncManagerDriver", "AsyncWorkerDriver"]
