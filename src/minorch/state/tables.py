"""The cluster's state: its tables, the indices over them, and what each node has promised.

Everything is changed here, through methods that check the transition table, keep the indices right
and note which rows must be written.  Policy (who is retried, what is stopped) lives in the manager.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from minorch.contracts import Change
from minorch.errors import InvariantError, StoreCorrupt
from minorch.ids import RunKey
from minorch.model import Job, Node, NodeStats, RestartPolicy, Task, TaskStats
from minorch.resources import Resources
from minorch.state.events import Event, EventLog
from minorch.state.queue import Line
from minorch.state.records import (
    ATTEMPTS_KEPT,
    AttemptRecord,
    JobRecord,
    MetaRecord,
    NodeRecord,
    Record,
    TaskRecord,
    dump,
    load,
)
from minorch.state.shape import Shape, TaskGroup, group_of, shape_of
from minorch.states import (
    ATTEMPT_MOVES,
    JOB_MOVES,
    TASK_MOVES,
    AttemptState,
    JobState,
    Reason,
    TaskState,
    check_move,
)

__all__ = ["ClusterState", "JobEntry", "NodeEntry"]

_META: Final = "meta"


class JobEntry:
    """A job's record and description, with the counts and queues that follow from its tasks."""

    __slots__ = (
        "active",
        "backlog",
        "dependents",
        "doomed",
        "failed",
        "groups",
        "job",
        "lines",
        "open",
        "policies",
        "record",
        "shapes",
        "sizes",
        "stopped",
        "tasks",
        "unmet",
    )

    def __init__(self, record: JobRecord, job: Job, *, by_task: bool = False) -> None:
        self.record = record
        self.job = job
        positions = {task.name: at for at, task in enumerate(job.tasks)}
        self.tasks: list[list[str]] = [[] for _ in job.tasks]
        """Ids of the instances of each task, in order."""
        self.dependents: list[list[int]] = [[] for _ in job.tasks]
        for at, task in enumerate(job.tasks):
            for name in dict.fromkeys(task.after):
                self.dependents[positions[name]].append(at)
        self.doomed: set[int] = set()
        """Tasks of which an instance did not complete: their dependents have failed. Never iterated."""
        self.unmet: list[int] = [0] * len(job.tasks)
        """How many instances each task still waits for."""
        self.policies: list[RestartPolicy] = [job.restart_policy(task) for task in job.tasks]
        social = any(task.affinity or task.spread_over for task in job.tasks)
        self.sizes: dict[int, int] = {}
        """Of the descriptions of tasks, by position, in bytes; of those that somebody asked for."""
        self.shapes = [
            Shape(record.id, task.name) if by_task else shape_of(task, job_id=record.id if social else None)
            for task in job.tasks
        ]
        self.lines: list[Line] = [
            Line(
                # A gang is placed together whatever the shapes of its tasks, so it waits in one line.
                Shape("gang", record.id) if job.gang else self.shapes[at],
                priority=job.priority,
                patient=job.wait_for_nodes,
                gang=record.id if job.gang else "",
            )
            for at, _ in enumerate(job.tasks)
        ]
        """Where the instances of each task wait for a node."""
        self.groups = [group_of(task, job_id=record.id, job=job.name) for task in job.tasks]
        """What the instances of each task are to other tasks that look for them."""
        self.open = 0
        """Instances that are not over."""
        self.failed = 0
        self.stopped = 0
        self.active: set[str] = set()
        """Ids of the instances that wait for a node or have one: what parallelism limits. Never iterated."""
        self.backlog: deque[str] = deque()
        """Instances that could go but for the parallelism, in order."""

    def task_ids(self) -> Iterator[str]:
        """The ids of all instances, in order."""
        for ids in self.tasks:
            yield from ids


class NodeEntry:
    """A node's record, with what its tasks reserve and what was last measured."""

    __slots__ = (
        "engine_failed_at",
        "engine_message",
        "engine_ok",
        "groups",
        "heard_at",
        "host_ports",
        "job_tasks",
        "live",
        "record",
        "reserved",
        "stats",
    )

    def __init__(self, record: NodeRecord, heard_at: float) -> None:
        self.record = record
        self.heard_at = heard_at
        """When its worker was last heard of, or when the manager began to wait for it."""
        self.reserved = Resources()
        self.job_tasks: dict[str, int] = {}
        self.groups: dict[TaskGroup, int] = {}
        self.host_ports: set[tuple[int, str]] = set()
        self.live: dict[str, None] = {}
        """Ids of the tasks placed here, in the order of placement."""
        self.stats: NodeStats | None = None
        self.engine_ok = False
        """Whether its engine answers; not before the worker has said so."""
        self.engine_message = "not heard of yet"
        self.engine_failed_at: float | None = None
        """Since when its worker has said that it does not; None: it has not said so."""

    def copy(self) -> NodeEntry:
        """An entry of the same node that can be changed by itself."""
        other = copy.copy(self)
        other.job_tasks, other.groups = dict(self.job_tasks), dict(self.groups)
        other.host_ports, other.live = set(self.host_ports), dict(self.live)
        return other

    @property
    def ready(self) -> bool:
        """Whether tasks can be started there now."""
        return self.engine_ok and not self.record.lost


class ClusterState:
    """All tables. Iteration is always in the order of insertion.

    Args:
        meta: the cluster's identity and counters.
        most_events: how many events are remembered.
        by_task: take each task of each job for a shape of its own, because something that is asked where it
            may go looks at more than shapes.
    """

    def __init__(self, meta: MetaRecord, *, most_events: int, by_task: bool = False) -> None:
        self._by_task = by_task
        self.meta = meta
        self.jobs: dict[str, JobEntry] = {}
        self.tasks: dict[str, TaskRecord] = {}
        self.nodes: dict[str, NodeEntry] = {}
        self.events = EventLog(most_events)
        self.job_ids: dict[str, str] = {}
        """The id of the latest job of each name."""
        self.task_stats: dict[str, TaskStats] = {}
        """What was last measured of each live task."""
        self.changed_nodes: dict[str, None] = {}
        """Nodes whose picture for the scheduler is out of date."""
        self.open_tasks = 0
        """How many tasks are not over."""
        self._dirty: dict[tuple[str, str], Record | None] = {(_META, _META): meta}
        self._dirty_tasks: dict[str, TaskRecord | None] = {}
        """Tasks' rows apart, by id alone: there are a thousand in a turn, and each is noted several times."""

    # -- rows ---------------------------------------------------------------------------------

    def write(self, *, durable: bool = True) -> tuple[Sequence[Change], tuple[Event, ...]]:
        """Return what must be written since the last call, as one transaction, and its events.

        Args:
            durable: whether anything is to be written; it is always the same.
        """
        rows, events = self.events.write(durable=durable)
        if not durable:
            self._dirty.clear()
            self._dirty_tasks.clear()
            return (), events
        changes = [
            Change(table, key, None if record is None else dump(record))
            for (table, key), record in self._dirty.items()
        ]
        changes += [
            Change("task", task_id, None if task is None else dump(task))
            for task_id, task in self._dirty_tasks.items()
        ]
        changes += [Change("event", key, value) for key, value in rows]
        if events and (_META, _META) not in self._dirty:
            changes.append(Change(_META, _META, dump(self.meta)))
        self._dirty.clear()
        self._dirty_tasks.clear()
        return changes, events

    @classmethod
    def read(
        cls, rows: Iterable[Change], *, most_events: int, now: float, by_task: bool = False
    ) -> ClusterState | None:
        """Build the state from a store's rows; None: the store is empty.

        Raises:
            StoreCorrupt: a row is damaged, or a row that another one needs is missing.
        """
        tables: dict[str, dict[str, Record]] = {}
        events: list[tuple[str, bytes]] = []
        for table, key, value in rows:
            if value is None:
                continue
            if table == "event":
                events.append((key, value))
            else:
                tables.setdefault(table, {})[key] = load(table, key, value)
        meta = tables.get(_META, {}).get(_META)
        if not isinstance(meta, MetaRecord):
            if tables or events:
                raise StoreCorrupt("the store has rows but not the one that says which cluster it is")
            return None
        state = cls(meta, most_events=most_events, by_task=by_task)
        state._read_tables(tables, now)
        for key, value in sorted(events):
            state.events.read(key, value)
        state._dirty.clear()
        return state

    def rehearsal(self, without: JobEntry | None = None) -> ClusterState:
        """The same tables, to try out what would come of a new job: what is added there is not added here.

        Args:
            without: a job of which nothing is left there.
        """
        other = ClusterState(msgspec.structs.replace(self.meta), most_events=1, by_task=self._by_task)
        other.jobs, other.tasks = dict(self.jobs), dict(self.tasks)
        other.nodes, other.job_ids = dict(self.nodes), dict(self.job_ids)
        other.open_tasks = self.open_tasks
        if without is not None:
            for task_id in without.task_ids():
                task = other.tasks[task_id]
                other.open_tasks -= not task.state.terminal
                if task.live is not None:
                    name = task.live.node
                    if other.nodes[name] is self.nodes[name]:
                        other.nodes[name] = self.nodes[name].copy()
                    other._release(task, name)
                del other.tasks[task_id]
            del other.jobs[without.record.id], other.job_ids[without.job.name]
        return other

    def _read_tables(self, tables: dict[str, dict[str, Record]], now: float) -> None:
        nodes = [r for r in tables.get("node", {}).values() if isinstance(r, NodeRecord)]
        for node in sorted(nodes, key=lambda record: record.index):
            self.nodes[node.node.name] = NodeEntry(node, now)
            self.changed_nodes[node.node.name] = None
        jobs = [r for r in tables.get("job", {}).values() if isinstance(r, JobRecord)]
        for job in sorted(jobs, key=lambda record: record.number):
            spec = tables.get("spec", {}).get(job.id)
            if not isinstance(spec, Job):
                raise StoreCorrupt(f"the store has job {job.id} but not its description")
            self.jobs[job.id] = JobEntry(job, spec, by_task=self._by_task)
            self.job_ids[spec.name] = job.id
        tasks = [r for r in tables.get("task", {}).values() if isinstance(r, TaskRecord)]
        for task in sorted(tasks, key=lambda record: record.order):
            entry = self.jobs.get(task.job_id)
            if entry is None or not task.position < len(entry.tasks):
                raise StoreCorrupt(f"the store has task {task.id} but not its job")
            self._index_task(entry, task)
            if task.live is not None:
                self._reserve(task, task.live.node)
        for entry in self.jobs.values():
            self._count_unmet(entry)

    def touch(self, record: TaskRecord | JobRecord | NodeRecord) -> None:
        """Note that a record's row must be written."""
        match record:
            case TaskRecord():
                self._dirty_tasks[record.id] = record
            case JobRecord():
                self._dirty["job", record.id] = record
            case _:
                self._dirty["node", record.node.name] = record

    def touch_meta(self) -> None:
        """Note that the row of identity and counters must be written."""
        self._dirty[_META, _META] = self.meta

    def log(
        self,
        kind: str,
        now: float,
        *,
        job: JobEntry | None = None,
        task: TaskRecord | None = None,
        node: str = "",
        detail: str = "",
        reason: Reason | None = None,
    ) -> None:
        """Add an event; the number is given here, and written with the turn."""
        entry = self.jobs[task.job_id] if task is not None else job
        self.events.add(
            Event(
                number=self.meta.next_event,
                at=now,
                kind=kind,
                job=entry.job.name if entry is not None else "",
                task=task.name if task is not None else "",
                task_id=task.id if task is not None else "",
                attempt=task.attempt if task is not None else 0,
                node=node,
                detail=detail[:2000],
                reason=reason,
            )
        )
        self.meta.next_event += 1

    # -- jobs and tasks -----------------------------------------------------------------------

    def add_job(self, record: JobRecord, job: Job) -> JobEntry:
        """Take in a job without its tasks."""
        entry = JobEntry(record, job, by_task=self._by_task)
        self.jobs[record.id] = entry
        self.job_ids[job.name] = record.id
        self._dirty["spec", record.id] = job
        self._dirty["job", record.id] = record
        self.touch_meta()
        return entry

    def add_task(self, entry: JobEntry, task: TaskRecord) -> None:
        """Take in one instance of a job's task."""
        self._index_task(entry, task)
        self._dirty_tasks[task.id] = task

    def _index_task(self, entry: JobEntry, task: TaskRecord) -> None:
        self.tasks[task.id] = task
        entry.tasks[task.position].append(task.id)
        match task.state:
            case TaskState.FAILED:
                entry.failed += 1
            case TaskState.STOPPED:
                entry.stopped += 1
            case TaskState.COMPLETED:
                pass
            case _:
                entry.open += 1
                self.open_tasks += 1

    def _count_unmet(self, entry: JobEntry) -> None:
        for position, ids in enumerate(entry.tasks):
            left = sum(self.tasks[task_id].state is not TaskState.COMPLETED for task_id in ids)
            for dependent in entry.dependents[position]:
                entry.unmet[dependent] += left

    def count_dependencies(self, entry: JobEntry) -> None:
        """Work out, once all tasks of a new job are in, how many instances each one waits for."""
        self._count_unmet(entry)

    def remove_job(self, entry: JobEntry) -> None:
        """Forget a job that is over, with its tasks."""
        if not entry.record.state.terminal:
            raise InvariantError(f"job {entry.job.name} is {entry.record.state} and cannot be forgotten")
        for task_id in entry.task_ids():
            del self.tasks[task_id]
            self._dirty_tasks[task_id] = None
        del self.jobs[entry.record.id]
        if self.job_ids.get(entry.job.name) == entry.record.id:
            del self.job_ids[entry.job.name]
        self._dirty["job", entry.record.id] = None
        self._dirty["spec", entry.record.id] = None

    def move_job(self, entry: JobEntry, state: JobState, now: float) -> None:
        """Move a job along its table."""
        record = entry.record
        if state not in JOB_MOVES[record.state]:
            check_move(JOB_MOVES, record.state, state, f"job {entry.job.name} {record!r}")
        record.state = state
        if state.terminal:
            record.finished_at = now
        self.touch(record)

    def move_task(self, task: TaskRecord, state: TaskState, now: float) -> None:
        """Move a task along its table and keep its job's counts."""
        if state not in TASK_MOVES[task.state]:  # asked first, because the story is long
            check_move(TASK_MOVES, task.state, state, self.story(task))
        entry = self.jobs[task.job_id]
        task.state = state
        if state.terminal:
            task.finished_at = now
            entry.open -= 1
            self.open_tasks -= 1
            entry.failed += state is TaskState.FAILED
            entry.stopped += state is TaskState.STOPPED
        self.touch(task)

    def spec(self, task: TaskRecord) -> Task:
        """The description that an instance was made from."""
        return self.jobs[task.job_id].job.tasks[task.position]

    def story(self, task: TaskRecord) -> str:
        """All that is known of a task, for an error that should never be seen."""
        lines = [f"task {task.name} {task.id} of job {self.jobs[task.job_id].job.name}: {task.state}"]
        lines += [f"  {attempt!r}" for attempt in task.attempts]
        lines += [f"  {event}" for event in self.events.since(0) if event.task_id == task.id]
        return "\n".join(lines)

    # -- attempts and reservations ------------------------------------------------------------

    def add_attempt(self, task: TaskRecord, node: str, now: float) -> AttemptRecord:
        """Begin a new attempt of a task on a node, and reserve what it asks for."""
        if task.live is not None:
            raise InvariantError(f"a second live attempt\n{self.story(task)}")
        task.attempt += 1
        attempt = AttemptRecord(number=task.attempt, node=node, scheduled_at=now)
        task.attempts = (*task.attempts[1 - ATTEMPTS_KEPT :], attempt)
        task.released = False
        self._reserve(task, node)
        self.touch(task)
        return attempt

    def move_attempt(self, task: TaskRecord, state: AttemptState, now: float) -> None:
        """Move a task's attempt up its ladder; at the end give back what it reserved."""
        attempt = task.attempts[-1]
        if state not in ATTEMPT_MOVES[attempt.state]:
            check_move(ATTEMPT_MOVES, attempt.state, state, self.story(task))
        attempt.state = state
        if state.terminal:
            attempt.finished_at = attempt.finished_at or now
            self._release(task, attempt.node)
        self.touch(task)

    def _reserve(self, task: TaskRecord, node: str) -> None:
        entry, spec = self.nodes[node], self.spec(task)
        entry.reserved = entry.reserved + spec.resources
        entry.job_tasks[task.job_id] = entry.job_tasks.get(task.job_id, 0) + 1
        group = self.jobs[task.job_id].groups[task.position]
        entry.groups[group] = entry.groups.get(group, 0) + 1
        if spec.ports:
            entry.host_ports.update((p.host, p.protocol) for p in spec.ports if p.host is not None)
        entry.live[task.id] = None
        self.changed_nodes[node] = None

    def _release(self, task: TaskRecord, node: str) -> None:
        entry, spec = self.nodes[node], self.spec(task)
        entry.reserved = entry.reserved - spec.resources
        left = entry.job_tasks[task.job_id] - 1
        if left:
            entry.job_tasks[task.job_id] = left
        else:
            del entry.job_tasks[task.job_id]
        group = self.jobs[task.job_id].groups[task.position]
        entry.groups[group] -= 1
        if not entry.groups[group]:
            del entry.groups[group]
        if spec.ports:
            entry.host_ports.difference_update((p.host, p.protocol) for p in spec.ports if p.host is not None)
        del entry.live[task.id]
        self.task_stats.pop(task.id, None)
        self.changed_nodes[node] = None

    def run_key(self, task: TaskRecord) -> RunKey | None:
        """Which run a task's logs and figures come from; None: nothing has been started."""
        current = task.current
        return None if current is None or not current.run else RunKey(task.id, current.number, current.run)

    # -- nodes --------------------------------------------------------------------------------

    def add_node(self, node: Node, now: float) -> NodeEntry:
        """Take in a node that was not known."""
        entry = NodeEntry(NodeRecord(index=self.meta.next_node, node=node), now)
        self.meta.next_node += 1
        self.touch_meta()
        self.nodes[node.name] = entry
        self.touch(entry.record)
        self.changed_nodes[node.name] = None
        return entry

    def touch_node(self, entry: NodeEntry) -> None:
        """Note that a node's record changed, and what schedulers see of it."""
        self.touch(entry.record)
        self.changed_nodes[entry.record.node.name] = None

    def ended_with(
        self, task: TaskRecord, reason: Reason | None, exit_code: int | None, message: str
    ) -> None:
        """Note how a task ended; its state is moved separately."""
        task.reason = reason
        task.exit_code = exit_code
        task.message = message
        self.touch(task)
