"""Who does the work of a cluster, and how that ends: when it is closed, and when it is dropped.

Nothing here refers to the :class:`~minorch.Cluster`, nor does any thread.  So one that nobody refers to any
more is garbage, which is how it is found out that nobody will ever close it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from minorch.cluster.handles import JobHandle
from minorch.cluster.left_over import kill_and_remove
from minorch.cluster.roster import Roster
from minorch.contracts import Fleet, Owner, Runtime, Store, Watch
from minorch.drivers import ManagerDriver, Presence, WorkerDriver
from minorch.errors import ClusterClosed, MinorchError, RuntimeFault, StoreFenced
from minorch.manager import Manager
from minorch.messages import Assign
from minorch.plugins import Registry
from minorch.state.events import Event
from minorch.state.pictures import JobInfo

__all__ = ["Crew"]

_log = logging.getLogger("minorch")
_MARGIN_S: Final = 15.0
"""How much longer than the longest grace the cluster waits for its tasks to end when it closes."""
_JOIN_S: Final = 5.0


class Crew:
    """A cluster's drivers, and what they need.

    Args:
        fleet: the machines.
        roster: which worker does the work of which machine.
        registry: whose observers are told what happens.
        own_fleet: whether the cluster made the fleet, and closes it.
        detach: at the end leave running what runs.
    """

    def __init__(
        self, fleet: Fleet, roster: Roster, registry: Registry, *, own_fleet: bool, detach: bool
    ) -> None:
        self.fleet = fleet
        self.own_fleet = own_fleet
        self.roster = roster
        self.registry = registry
        self.detach = detach
        self.watch: Watch | None = None
        self.store: Store | None = None
        self.own_store = False
        self.presence: Presence | None = None
        self.closed = True
        """Until everything stands, and from its end on."""
        self.closing = False
        self.lost: StoreFenced | None = None
        """That another cluster leads on the same store, if that is why it was closed."""
        self._ending = threading.RLock()
        self._manager: ManagerDriver | None = None

    @property
    def manager(self) -> ManagerDriver:
        """The manager's driver."""
        assert self._manager is not None
        return self._manager

    @manager.setter
    def manager(self, manager: ManagerDriver) -> None:
        self._manager = manager

    @property
    def workers(self) -> Mapping[str, WorkerDriver]:
        """The workers of the present, by node."""
        return self.roster.workers

    def carry(self, message: Assign) -> None:
        """Hand a message of the manager's to its worker."""
        worker = self.roster.worker(message.worker)
        if worker is not None:  # a node of an earlier cluster on this store may not be there any more
            worker.receive(message)

    def tell_observers(self, events: Sequence[Event]) -> None:
        """Tell plugins what happened."""
        for event in events:
            self.registry.emit(event)

    def runtime_of(self, node: str) -> Runtime:
        """The runtime that runs a node's tasks.

        Raises:
            ClusterClosed: the cluster was closed.
            NotFound: there is no such machine any more.
            StoreFenced: another one leads on its store.
        """
        self.check_open()
        return self.roster.runtime_of(node)

    def check_open(self) -> None:
        """Refuse what needs the cluster open."""
        if self.lost is not None:
            raise StoreFenced(str(self.lost))
        if self.closed:
            raise ClusterClosed("the cluster is closed; make a new one")

    def give_way(self, error: StoreFenced) -> None:
        """Have it closed, since another cluster leads on its store: what runs is that one's now.

        The manager's thread calls this, as the last thing that it does.
        """
        self.lost = error
        threading.Thread(target=self._end_without_stopping, name="minorch-closing", daemon=True).start()

    def _end_without_stopping(self) -> None:
        with self._ending:
            if not self.closed:
                self.end_threads()

    # -- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Do as :meth:`minorch.Cluster.close` says."""
        if self.closed or self.manager.forked:  # a fork's copy is not its own to end
            return
        self.manager.refuse_own_thread("close the cluster")
        with self._ending:
            if not self.closed:  # another thread may have closed it meanwhile
                self._close()

    def _close(self) -> None:
        try:
            if not self.detach:
                self._stop_everything()
        except MinorchError as error:
            _log.warning("what runs is left running: %s", error)
            raise
        except KeyboardInterrupt:
            _log.warning("interrupted while it closes: what still runs is killed")
            self.roster.close_workers(_JOIN_S)  # so that nothing is started again
            self._kill_what_runs()
            raise
        finally:
            self.end_threads()

    def _stop_everything(self) -> None:
        """Stop all jobs, wait for their ends, and have what is left of them removed."""
        manager = self.manager

        def begin(core: Manager, now: float) -> tuple[list[JobInfo], float]:
            self.closing = True
            return _stop_open_jobs(core, now)

        jobs, grace_s = manager.call(begin)
        deadline = time.monotonic() + grace_s + _MARGIN_S
        for job in jobs:
            try:
                JobHandle(self, job.id, job.name).wait(max(0.0, deadline - time.monotonic()))
            except TimeoutError as error:
                _log.warning("closing although %s", error)
        manager.call(_release_all)
        deadline = time.monotonic() + _MARGIN_S
        for name, worker in self.workers.items():
            if not worker.wait_idle(max(0.0, deadline - time.monotonic())):
                _log.warning("something of its tasks is left at worker %s", name)

    def _kill_what_runs(self) -> None:
        """End and remove all runs at once, for somebody who does not wait for them."""
        for name in self.workers:
            runtime = self.roster.runtime_of(name)
            try:
                keys = [run.key for run in runtime.list_runs(Owner(self.manager.cluster_id, name))]
            except RuntimeFault as fault:
                _log.warning("what runs at %s is left running: %s", name, fault)
                continue
            with ThreadPoolExecutor(max(1, runtime.concurrency), "minorch-closing") as pool:
                for left in filter(None, pool.map(partial(kill_and_remove, runtime), keys)):
                    _log.warning("something is left at %s: %s", name, left)

    def end_threads(self) -> None:
        """End everything but what runs."""
        self.closed = True
        if self.watch is not None:
            self.watch.close()
        self.roster.close_workers(_JOIN_S)
        if self._manager is not None:
            self._manager.close(_JOIN_S)
        self.roster.close_hands(_JOIN_S)
        if self.own_fleet:
            self.fleet.close()
        if self.store is not None and self.own_store:
            self.store.close()
        if self.presence is not None:
            self.presence.close()

    def drop(self) -> None:
        """Have it closed soon, since nobody can any more.

        The garbage collector calls this, in any thread and in the middle of anything: so it takes no lock and
        starts no thread, but leaves both to the manager's.
        """
        if not self.closed:
            self.manager.post(self._begin_to_close)

    def _begin_to_close(self) -> None:
        threading.Thread(target=self._close_dropped, name="minorch-closing", daemon=True).start()

    def _close_dropped(self) -> None:
        what = "its tasks go on" if self.detach else "its tasks are stopped"
        _log.warning(
            "nothing refers any more to a cluster on runtime %s that was not closed: %s; close() or a with "
            "block end it when you want",
            self.fleet.name,
            what,
        )
        try:
            self.close()
        except MinorchError:
            return  # it was told


def _stop_open_jobs(manager: Manager, now: float) -> tuple[list[JobInfo], float]:
    """Stop every job that is not over; also the longest grace of their tasks, in seconds."""
    jobs = [job for job in manager.jobs() if not job.state.terminal]
    tasks = [task for job in jobs for task in job.tasks if not task.state.terminal]
    grace_s = max((manager.spec(task.id).stop_grace_s for task in tasks), default=0.0)
    for job in jobs:
        manager.stop(job.id, now)
    return jobs, grace_s


def _release_all(manager: Manager, now: float) -> None:
    """Have the workers forget what is left of every job."""
    for job in manager.jobs():
        manager.release(job.id, now)
