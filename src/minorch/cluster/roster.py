"""Which worker does the work of which machine, as machines come and go."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from minorch.contracts import Availability, Fleet, Maker, Member, Runtime
from minorch.drivers import ManagerDriver, RuntimeHands, WorkerDriver
from minorch.errors import ClusterClosed, MinorchError, NotFound
from minorch.model import Node
from minorch.worker import WorkerConfig

__all__ = ["Roster"]

_log = logging.getLogger("minorch")
_REPORT_EVERY_S: Final = 0.003
"""Costs a task that ends at once so much, and saves a third of the work for each of many."""
_JOIN_S: Final = 5.0
_LOOK_S: Final = 0.005


class Roster:
    """The workers of a fleet's machines. Each runtime has threads of its own: none waits for another.

    Args:
        fleet: whose machines they are.
        maker: what each run says of who had it started.
        config: the workers' waits and bounds; None: the usual ones.
        clock: seconds since 1970, never going back.
        here: whether the machines are this one, so that its figures are theirs.
    """

    def __init__(
        self,
        fleet: Fleet,
        maker: Maker,
        *,
        config: WorkerConfig | None,
        clock: Callable[[], float],
        here: bool,
    ) -> None:
        self._fleet = fleet
        self._maker = maker
        self._config = config
        self._clock = clock
        self._here = here
        self._lock = threading.Lock()
        self._workers: dict[str, WorkerDriver] = {}
        self._runtimes: dict[str, Runtime] = {}
        self._hands: dict[int, RuntimeHands] = {}
        """By the identity of the runtime, which they hold, so that it stays its own."""
        self._availability: dict[str, Availability] = {}
        """What the fleet had done to nodes, and so undoes."""
        self._manager: ManagerDriver | None = None
        self._closed = False

    @property
    def workers(self) -> Mapping[str, WorkerDriver]:
        """By node, in the order in which they joined; a copy."""
        with self._lock:
            return dict(self._workers)

    @property
    def runtimes(self) -> Sequence[Runtime]:
        """Each runtime once."""
        with self._lock:
            return [hands.runtime for hands in self._hands.values()]

    def worker(self, node: str) -> WorkerDriver | None:
        """The worker of a machine that is there."""
        return self._workers.get(node)

    def runtime_of(self, node: str) -> Runtime:
        """The runtime of a machine, also of one that has left since.

        Raises:
            NotFound: there never was one of that name.
        """
        try:
            return self._runtimes[node]
        except KeyError:
            raise NotFound(
                f'node "{node:.70}" is none of the machines of this cluster; it belonged to an earlier one'
            ) from None

    def open(self, members: Sequence[Member], manager: ManagerDriver) -> None:
        """Make the workers of the first machines; :meth:`start` starts them."""
        self._manager = manager
        for member in members:
            self._enlist(member, manager)

    def start(self) -> None:
        """Start them, in their order."""
        for worker in self.workers.values():
            worker.start()

    def update(self, member: Member) -> None:
        """A machine joined, left or changed. Called in a thread of the fleet's."""
        name = member.node.name
        try:
            if member.gone:
                self._dismiss(name)
                return
            if self._manager is None:
                return
            known = self._workers.get(name)
            if known is None:
                worker = self._enlist(member, self._manager)
                worker.start()
                self._await_joined(name, self._manager)
                _log.info("machine %s joined: %s", name, worker.node.capacity)
            elif known.node != (node := self._as_known(member.node, self._manager)):
                known.describe(node)
            self.follow(member)
        except ClusterClosed:
            return
        except MinorchError as error:
            _log.warning("what changed about machine %s could not be followed: %s", name, error)

    def _enlist(self, member: Member, manager: ManagerDriver) -> WorkerDriver:
        runtime, node = member.runtime, self._as_known(member.node, manager)
        with self._lock:
            if self._closed:
                raise ClusterClosed("the cluster is closed")
            hands = self._hands.get(id(runtime))
            if hands is None:
                hands = self._hands[id(runtime)] = RuntimeHands(runtime, self._maker, here=self._here)
            worker = WorkerDriver(
                node,
                hands,
                cluster_id=manager.cluster_id,
                send=manager.receive,
                config=self._config_for(runtime),
                clock=self._clock,
            )
            self._workers[member.node.name] = worker
            self._runtimes[member.node.name] = runtime
        return worker

    @staticmethod
    def _as_known(node: Node, manager: ManagerDriver) -> Node:
        """A machine that does not say yet what it has is as it was: something may be placed there."""
        if node.capacity:
            return node
        for info in manager.ask(lambda core, now: core.nodes()):
            if info.name == node.name:
                labels = {**info.node.labels, **node.labels}
                changes = {"capacity": info.node.capacity, "platform": info.node.platform, "labels": labels}
                return msgspec.structs.replace(node, **changes)
        return node

    def _config_for(self, runtime: Runtime) -> WorkerConfig:
        starts = max(1, runtime.concurrency)
        config = self._config or WorkerConfig(
            max_starting=2 * starts, max_removing=4 * starts, report_every_s=_REPORT_EVERY_S
        )
        if config.engine_lost_s is None and self._fleet.engine_lost_s is not None:
            config = msgspec.structs.replace(config, engine_lost_s=self._fleet.engine_lost_s)
        return config

    def _dismiss(self, name: str) -> None:
        """Its worker speaks no more, so the manager loses the node when its lease is over."""
        with self._lock:
            worker = self._workers.pop(name, None)
        self._availability.pop(name, None)
        if worker is not None:
            _log.warning("machine %s is gone: what ran there is lost when the lease is over", name)
            worker.close(_JOIN_S)

    def _await_joined(self, name: str, manager: ManagerDriver) -> None:
        deadline = time.monotonic() + _JOIN_S
        while time.monotonic() < deadline and not self._closed:
            if any(info.name == name for info in manager.ask(lambda core, now: core.nodes())):
                return
            time.sleep(_LOOK_S)

    def follow(self, member: Member) -> None:
        """Cordon, drain and open a node as the fleet has it; what a user did to it stays."""
        name, manager = member.node.name, self._manager
        before = self._availability.get(name, "active")
        if manager is None or before == member.availability:
            return
        match member.availability:
            case "active":
                manager.call(lambda core, now: core.cordon(name, now, cordoned=False))
            case "paused":
                manager.call(lambda core, now: core.cordon(name, now))
            case "drain":
                manager.call(lambda core, now: core.drain(name, now))
        self._availability[name] = member.availability
        _log.info("machine %s is %s", name, member.availability)

    # -- the end ------------------------------------------------------------------------------

    def close_workers(self, timeout_s: float) -> None:
        """End the workers' threads; what runs goes on."""
        with self._lock:
            self._closed = True
        for worker in self.workers.values():
            worker.close(timeout_s)

    def close_hands(self, timeout_s: float) -> None:
        """End the threads that call the runtimes."""
        with self._lock:
            every = list(self._hands.values())
        for hands in every:
            hands.close(timeout_s)
