"""The Swarm runtime of one node: every duty of :class:`minorch.contracts.Runtime`."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from minorch.contracts import Launch, Made, Owner, Probe, RunStatus, RuntimeInfo, Watch
from minorch.errors import EngineUnavailable, RuntimeFault, StartFailed
from minorch.ids import RunKey
from minorch.model import HealthCheck, TaskStats
from minorch.runtimes.docker.policy import DockerPolicy
from minorch.runtimes.docker.references import parse_reference
from minorch.runtimes.docker.status import tini_complaint
from minorch.runtimes.swarm import logs, probing, starting
from minorch.runtimes.swarm.managers import Managers
from minorch.runtimes.swarm.members import answering
from minorch.runtimes.swarm.polling import Poll
from minorch.runtimes.swarm.services import Services
from minorch.runtimes.swarm.snapshot import Snapshot, SwarmNode, SwarmTask
from minorch.runtimes.swarm.status import never_began, phase_of, read_status
from minorch.runtimes.swarm.watching import HeldBack, SwarmWatch
from minorch.states import Reason

__all__ = ["Link", "SwarmRuntime"]

_NOT_STARTED: Final = (126, 127)
_MOST_KNOWN: Final = 10_000


class Link(NamedTuple):
    """What the runtimes of all nodes of a Swarm share."""

    managers: Managers
    poll: Poll
    services: Services
    policy: DockerPolicy


class SwarmRuntime:
    """Runs tasks as services of a Swarm, all on one node of it. ``Swarm.runtime()`` makes them.

    Args:
        link: the way to the Swarm.
        node_id: which node, by the id that the Swarm gave it.
        concurrency: how many starts and removals at once.

    A run that is ended has the task's ``stop_grace_s`` even where it is to be killed: a Swarm knows no other
    signal than the stop signal that it sends first.
    """

    def __init__(self, link: Link, node_id: str, *, concurrency: int = 8) -> None:
        self._link = link
        self._node_id = node_id
        self._concurrency = concurrency
        self._lock = threading.Lock()
        self._starting = [threading.Lock() for _ in range(256)]
        self._held_back = HeldBack()
        self._complaints: OrderedDict[str, str] = OrderedDict()
        self._watches: weakref.WeakSet[SwarmWatch] = weakref.WeakSet()
        self._closed = False

    @property
    def name(self) -> str:
        """``swarm``."""
        return "swarm"

    @property
    def concurrency(self) -> int:
        """How many starts at once still make it faster."""
        return self._concurrency

    @property
    def node_id(self) -> str:
        """Which node, by the id that the Swarm gave it."""
        return self._node_id

    def __repr__(self) -> str:
        return f"SwarmRuntime({self._node_id!r})"

    def describe(self) -> RuntimeInfo:
        """Say what the node offers; raises as the contract says."""
        node = answering(self._link.poll.fresh(), self._node_id)
        return RuntimeInfo(
            capacity=node.capacity, platform=node.platform, version=node.version, address=node.address
        )

    # -- one run ---------------------------------------------------------------------------------------------

    def prepare(self, launch: Launch, progress: Callable[[str], None]) -> None:
        """Look at the name of the image; the node pulls it when the service is there."""
        if launch.task.image is None:
            raise StartFailed(f'task "{launch.task_name}" has no image; a Swarm needs one')
        parse_reference(launch.task.image)

    def start(self, launch: Launch) -> RunStatus:
        """Start the run, once, and return when it runs."""
        self._check_open()
        # Two starts of one key at once: the second might remove what the first has just made anew.
        with self._starting[hash(launch.key) % len(self._starting)]:
            status = starting.start(
                self._link.poll, self._link.services, self._link.policy, self._node_id, launch
            )
        if status.phase == "exited":
            self._check_told([launch.key], self._link.poll.latest())
        return status

    def inspect(self, key: RunKey) -> RunStatus | None:
        """Return what the Swarm knows of a run."""
        snapshot = self._link.poll.fresh()
        node = answering(snapshot, self._node_id)
        task = snapshot.tasks.get(key)
        if task is not None and not task.over:
            return self._status(task, node)
        if self._link.services.record(key) is None:
            return None  # a task is there for a moment after its service was removed
        return RunStatus(key=key, phase="created") if task is None else self._status(task, node)

    def list_runs(self, owner: Owner) -> Sequence[RunStatus]:
        """Return every run of *owner*."""
        there = self._link.services.listed(owner)
        snapshot = self._link.poll.fresh()
        node = answering(snapshot, self._node_id)
        self._check_told(there, snapshot)
        statuses = []
        for key in there:
            task = snapshot.tasks.get(key)
            statuses.append(RunStatus(key=key, phase="created") if task is None else self._status(task, node))
        going = (task for key, task in snapshot.tasks.items() if key not in there and task.owner == owner)
        statuses += [self._status(task, node) for task in going if not task.over]  # its removal takes a while
        return statuses

    def terminate(self, key: RunKey) -> None:
        """Have the stop signal sent, and SIGKILL after the task's grace."""
        self._held_back.asked_to_end(key)
        self._link.services.end(key)

    def kill(self, key: RunKey) -> None:
        """End the run, within the task's grace."""
        self.terminate(key)

    def remove(self, key: RunKey) -> None:
        """Remove an ended run and its logs."""
        snapshot = self._link.poll.fresh()
        answering(snapshot, self._node_id)
        task = snapshot.tasks.get(key)
        if task is not None and task.state in ("starting", "running"):
            raise RuntimeFault(f"{key.name} still runs: it cannot be removed")
        self._link.services.remove(key)

    def logs(
        self, key: RunKey, *, follow: bool = False, tail: int | None = None, since: float | None = None
    ) -> Iterator[bytes]:
        """Yield what the run wrote to stdout and stderr."""
        task = self._link.poll.fresh().tasks.get(key)
        if task is None:
            raise RuntimeFault(f"there is no run {key.name}, so it has no logs")
        return logs.read_log(
            self._link.managers, self._link.poll, task, follow=follow, tail=tail, since=since
        )

    def stats(self, keys: Sequence[RunKey]) -> Mapping[RunKey, TaskStats]:
        """Return nothing: a Swarm does not measure its tasks."""
        return {}

    def probe(self, key: RunKey, check: HealthCheck) -> Probe:
        """Make one health check; of a command, tell what the node found."""
        snapshot = self._link.poll.fresh()
        node = answering(snapshot, self._node_id)
        return probing.probe(snapshot.tasks.get(key), node, check)

    # -- all runs --------------------------------------------------------------------------------------------

    def watch(self, owner: Owner, notify: Callable[[RunStatus | None], None]) -> Watch:
        """Tell *notify* of changes, from a thread of the watch's own."""
        self._check_open()
        watch = SwarmWatch(
            self._link.poll,
            owner,
            self._node_id,
            notify,
            read=self._status,
            held_back=self._held_back,
        )
        with self._lock:
            self._watches.add(watch)
        return watch

    def list_made(self) -> Sequence[Made]:
        """Return every service of this node that is a run, whoever made it."""
        return self._link.services.list_made(self._link.poll.fresh(), self._node_id)

    def discard(self, owner: Owner) -> None:
        """Do nothing: of an owner there is nothing but its services."""

    def close(self) -> None:
        """End watches; services go on, and so does the Swarm's connection, which is the Swarm's to close."""
        with self._lock:
            self._closed = True
            watches = list(self._watches)
        for watch in watches:
            watch.close()

    # -- what is remembered ----------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed or self._link.managers.closed:
            raise RuntimeFault("this Swarm runtime was closed")

    def _check_told(self, keys: Iterable[RunKey], snapshot: Snapshot) -> None:
        """Raise ``EngineUnavailable`` while an end is not told yet: nobody may take it for anything else."""
        if any(self._held_back.holds(snapshot.tasks.get(key), snapshot) for key in keys):
            raise EngineUnavailable("its node is being drained, and Swarm has ended what ran there")

    def _status(self, task: SwarmTask, node: SwarmNode | None) -> RunStatus:
        """Return the status of a run, with what its init process wrote of a missing command."""
        if node is not None and task.node_id not in ("", node.id):
            task = self._elsewhere(task)
        began_at = self._link.poll.first_seen_running(task.key)
        status = read_status(task, node, began_at=began_at)
        if status.exit_code not in _NOT_STARTED or phase_of(task) != "exited" or never_began(task):
            return status
        complaint = self._complaint(task)
        if not complaint:
            return status
        reason = Reason.COMMAND_NOT_FOUND if status.exit_code == 127 else status.reason
        return replace(status, reason=reason, message=f"its command could not be run: {complaint}")

    def _elsewhere(self, task: SwarmTask) -> SwarmTask:
        """A run of an earlier node of this name: where that has left, nobody will ever know how it ended."""
        left = task.node_id not in self._link.poll.latest().nodes
        return replace(task, state="orphaned") if left and not task.over else task

    def _complaint(self, task: SwarmTask) -> str:
        with self._lock:
            known = self._complaints.get(task.id)
        if known is None:
            known = tini_complaint(logs.last_words(self._link.managers, task))
            with self._lock:
                self._complaints[task.id] = known
                while len(self._complaints) > _MOST_KNOWN:
                    self._complaints.popitem(last=False)
        return known
