"""The manager's door. All changes go through four entry points and end in :meth:`Manager.settle`.

The manager has no clock, no randomness, no threads and does no I/O.  A driver calls an entry point for
each thing that happened, then ``settle`` once; it writes the step's changes to the store, and only when
they are durable sends the step's messages.  It calls ``tick`` no later than the step's deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from minorch.contracts import Change
from minorch.errors import MessageError, NotFound, UsageError, did_you_mean
from minorch.ids import check_id
from minorch.manager import lifecycle
from minorch.manager.answers import Answers, check_count, check_feasible
from minorch.manager.config import ManagerConfig
from minorch.manager.desk import Desk
from minorch.manager.drains import begin_drain, check_terms, end_drain, go_on_draining, resume_drains
from minorch.manager.planning import Planner
from minorch.manager.reports import absorb_report
from minorch.manager.retention import forget_jobs, next_to_forget, release_job, release_runs
from minorch.manager.timing import Stopwatch
from minorch.messages import Assign, Assignment, Report, encoded_size
from minorch.model import Job, Task
from minorch.scheduling import CustomFilter, Explanation, Filters, JobPlan, Rebalance, Scheduler
from minorch.scheduling.scheduler import check_strategy
from minorch.state.events import Event
from minorch.state.pictures import JobInfo, NodeInfo, TaskInfo, job_info, node_info, task_info
from minorch.state.records import MetaRecord, TaskRecord
from minorch.state.tables import ClusterState, JobEntry, NodeEntry
from minorch.states import JobState, Reason

if TYPE_CHECKING:
    from random import Random

__all__ = ["Manager", "Step"]

_LONGEST_LEASE_S: Final = 1e9
"""No message says more. A worker that is told of a shorter lease than it has is only more careful."""


class Step(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a driver has to do after the manager has settled."""

    changes: Sequence[Change]
    """To be written to the store, as one transaction, before anything is sent."""
    messages: Sequence[Assign]
    """To be sent, each to the worker that it names. Any of them may be lost."""
    events: Sequence[Event]
    """What happened, for observers, once it is written."""
    changed_jobs: Sequence[str]
    """Ids of the jobs of which something changed: a task began, ended or changed its health."""
    drained: Sequence[str] = ()
    """Names of the nodes whose drain is over: they are empty, or were opened for tasks again."""
    deadline: float | None
    """When to call ``tick`` at the latest, in seconds since 1970; None: not before something happens."""


class Manager:
    """Accepts jobs, has them placed, tells workers what to run and absorbs what they report.

    Args:
        scheduler: the strategy that chooses nodes; it serves this manager alone.
        ids: gives a new id at each call: 32 hexadecimal digits, never the same. A store is written fastest
            if each sorts behind the one before, as those of :func:`minorch.drivers.new_id` do.
        random: the source of all other randomness.
        now: seconds since 1970; time never goes back from one call to the next.
        rows: what a store holds (``store.load()``); nothing for a new cluster.
        cluster_id: the identity of a new cluster; None: one is made. A store's own wins.
        config: waits and bounds.
        filters: filters of one's own, by name, beside the built-in ones: each gets a task and a node and
            returns None, or in words why the task cannot go there.
        stopwatch: real time in seconds, only to tell how long plans take, as events; None: it is not told,
            and what the manager does follows from its arguments alone.
        durable: whether anything of it is to be read again; if not, its steps have no changes to write.

    Raises:
        SpecError: *cluster_id* is not 32 hexadecimal digits.
        StoreCorrupt: the rows cannot be what a manager wrote.
    """

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        ids: Callable[[], str],
        random: Random,
        now: float,
        rows: Iterable[Change] = (),
        cluster_id: str | None = None,
        config: ManagerConfig | None = None,
        filters: Mapping[str, CustomFilter] | None = None,
        stopwatch: Stopwatch | None = None,
        durable: bool = True,
    ) -> None:
        config = config or ManagerConfig()
        most, by_task = config.max_events, bool(filters)
        state = ClusterState.read(rows, most_events=most, now=now, by_task=by_task)
        if state is None:
            given = None if cluster_id is None else check_id(cluster_id, "cluster", "$.cluster_id")
            meta = MetaRecord(cluster_id=given or ids(), epoch=0)
            state = ClusterState(meta, most_events=most, by_task=by_task)
        # An earlier manager may have given longer leases: a worker that did not hear of it counts on those.
        state.meta.lease_s = max(config.lease_s, state.meta.lease_s)
        state.meta.epoch += 1
        state.touch_meta()
        self._ids = ids
        self._now = now
        self._durable = durable
        self._desk = Desk(state, config)
        check_strategy(scheduler)
        self._planner = Planner(scheduler, random, Filters(filters), stopwatch)
        self._answers = Answers(self._planner)
        lifecycle.resume(self._desk, now)
        resume_drains(self._desk)
        self._planner.resume(self._desk, now)
        for name, entry in state.nodes.items():
            if not entry.record.lost:
                self._desk.timers.add(now + state.meta.lease_s, "lease", name)
        if state.meta.lease_s > config.lease_s:
            self._desk.timers.add(now + state.meta.lease_s, "leases over")
        state.log("manager_started", now, detail=f"epoch {state.meta.epoch}")

    @property
    def cluster_id(self) -> str:
        """The cluster's identity, the same for its whole life."""
        return self._desk.state.meta.cluster_id

    @property
    def epoch(self) -> int:
        """One higher at each start of the manager."""
        return self._desk.state.meta.epoch

    # -- the entry points ---------------------------------------------------------------------

    def submit(self, job: Job, now: float) -> str:
        """Accept a job and return its id.

        Raises:
            UnschedulableError: a task of it fits on no present node, even an empty one.
            UsageError: a job of that name is not over, or there are too many unfinished tasks.
        """
        desk = self._desk
        latest = desk.state.job_ids.get(job.name)
        if latest is not None and not desk.state.jobs[latest].record.state.terminal:
            state = desk.state.jobs[latest].record.state
            raise UsageError(
                f'a job called "{job.name}" is {state}; wait for it, stop it, or take another name'
            )
        check_count(job, desk.state.open_tasks, desk.config)
        check_feasible(job, desk.state.nodes, desk.able)
        return lifecycle.admit(desk, job, ids=self._ids, now=self._at(now)).record.id

    def stop(self, job_id: str, now: float, *, task_id: str | None = None) -> None:
        """Have a job, or one task of it, end. What is over already stays as it is.

        Raises:
            NotFound: there is no such job or task.
        """
        entry = self._job(job_id)
        if task_id is None:
            lifecycle.stop_job(self._desk, entry, Reason.STOPPED, self._at(now))
        else:
            task = self._task(task_id)
            if task.job_id != entry.record.id:
                raise NotFound(f'task {task_id} is none of job "{entry.job.name}"')
            lifecycle.stop_task(self._desk, task, Reason.STOPPED, self._at(now))

    def receive(self, report: Report, now: float) -> None:
        """Absorb a worker's report. One that is old, doubled or about nothing known changes nothing.

        Raises:
            MessageError: it is meant for another cluster, or its sender is not whom it names.
        """
        if report.cluster_id != self.cluster_id:
            raise MessageError(f'worker "{report.worker[:70]}" reports to another cluster')
        if report.node.name != report.worker:
            raise MessageError(f'worker "{report.worker[:70]}" reports as node "{report.node.name}"')
        absorb_report(self._desk, report, self._at(now))

    def tick(self, now: float) -> None:
        """Do what has come due: leases, deadlines, waits that are over, things to forget."""
        desk = self._desk
        now = self._at(now)
        while (timer := desk.timers.due(now)) is not None:
            match timer:
                case ("lease", name):
                    self._check_lease(desk.state.nodes[name], now)
                case ("engine", name):
                    self._check_engine(desk.state.nodes[name], now)
                case ("deadline", job_id):
                    lifecycle.stop_job(desk, desk.state.jobs[job_id], Reason.DEADLINE, now)
                case ("leases over", _):
                    desk.state.meta.lease_s = desk.config.lease_s
                    desk.state.touch_meta()
                case ("retry", task_id):
                    lifecycle.retry(desk, task_id)
                case ("drain", _):
                    pass  # every turn looks at them
                case _:  # "plan"
                    desk.plan_due = True

    def cordon(self, node: str, now: float, *, cordoned: bool = True) -> None:
        """Place nothing new on a node from now on, or place on it again, which ends a drain too.

        Raises:
            NotFound: there is no such node.
        """
        entry = self._node(node)
        if entry.record.cordoned is not cordoned:
            entry.record.cordoned = cordoned
            if not cordoned:
                end_drain(self._desk, entry)
            self._desk.state.touch_node(entry)
            self._desk.plan_due = True
            self._desk.state.log("node_cordoned" if cordoned else "node_uncordoned", self._at(now), node=node)

    def drain(
        self, node: str, now: float, *, deadline_s: float | None = None, at_once: int | None = None
    ) -> None:
        """Cordon a node and have its tasks stopped there and placed on others.

        A node that is being drained is drained in the new way from now on.  It stays cordoned; to cordon it
        with ``cordoned=False`` ends the drain.

        Args:
            node: its name.
            now: seconds since 1970.
            deadline_s: tasks of batch jobs may complete for so long; after that whatever is left is moved,
                all of it at once. None: they are moved like those of services, now.
            at_once: at most so many tasks of that node are on the move at a time. Each is until it runs
                elsewhere, healthy where it has a check, or is over, or has not done so for
                ``ManagerConfig.drain_wait_s``. None: all are moved at once.

        Raises:
            NotFound: there is no such node.
            SpecError: a number makes no sense.
        """
        entry, now = self._node(node), self._at(now)
        check_terms(deadline_s=deadline_s, at_once=at_once)
        self.cordon(node, now)
        begin_drain(self._desk, entry, now, deadline_s=deadline_s, at_once=at_once)

    def move(self, task_id: str, now: float) -> None:
        """Have a task stopped where it is and placed anew; one that is nowhere or stopping stays as it is.

        Where it goes is for the scheduler to choose when it has stopped; that may be the same node.

        Raises:
            NotFound: there is no such task.
        """
        lifecycle.move_away(self._desk, self._task(task_id), self._at(now))

    def release(self, job_id: str, now: float) -> None:
        """Have workers forget the containers and logs of a job's finished tasks now.

        Raises:
            NotFound: there is no such job.
        """
        self._at(now)
        release_job(self._desk, self._job(job_id))

    # -- the end of every turn ----------------------------------------------------------------

    def settle(self, now: float) -> Step:
        """Carry out what follows from everything absorbed, and say what the driver has to do."""
        desk = self._desk
        now = self._at(now)
        self.tick(now)
        lifecycle.follow_up(desk, now)
        while desk.plan_due:
            self._planner.run(desk, now)
            lifecycle.follow_up(desk, now)
        go_on_draining(desk, now)
        release_runs(desk, now)
        forget_jobs(desk, now)
        changes, events = desk.state.write(durable=self._durable)
        messages = self._dispatch(now)
        changed, drained = tuple(desk.changed_jobs), tuple(desk.drained)
        desk.changed_jobs.clear()
        desk.drained.clear()
        due = [at for at in (desk.timers.next(), next_to_forget(desk)) if at is not None]
        return Step(
            changes=changes,
            messages=messages,
            events=events,
            changed_jobs=changed,
            drained=drained,
            deadline=min(due, default=None),
        )

    def _at(self, now: float) -> float:
        self._now = max(self._now, now)
        return self._now

    def _check_lease(self, entry: NodeEntry, now: float) -> None:
        """Declare a worker lost if its lease has run out; otherwise look again when it does."""
        desk, record = self._desk, entry.record
        due = entry.heard_at + desk.config.lease_s
        if now < due:
            desk.timers.add(due, "lease", record.node.name)
            return
        record.lost = True
        desk.state.touch_node(entry)
        desk.plan_due = True  # rooms that are kept there are given up
        words = f"not heard of for {desk.config.lease_s:g} s"
        desk.state.log("node_lost", now, node=record.node.name, detail=words)
        for task_id in list(entry.live):
            task = desk.state.tasks[task_id]
            if task.ending is not None or desk.state.spec(task).on_lost == "replace":
                lifecycle.lose_attempt(desk, task, f"node {record.node.name} was {words}", now)

    def _check_engine(self, entry: NodeEntry, now: float) -> None:
        """Take away what has not begun where the engine is silent or hangs over it, if others are ready."""
        desk = self._desk
        patience_s = desk.config.engine_patience_s
        since = now - patience_s
        silent = entry.engine_failed_at is not None and entry.engine_failed_at <= since
        stuck = []
        for task in [desk.state.tasks[task_id] for task_id in entry.live]:
            attempt = task.attempts[-1]
            hangs = attempt.hung_since is not None and attempt.hung_since <= since
            if (silent or hangs) and not attempt.run and not attempt.may_have_begun:
                stuck.append(task)
        if silent or stuck:
            desk.timers.add(now + patience_s, "engine", entry.record.node.name)
        others = (other for other in desk.state.nodes.values() if other is not entry)
        if stuck and any(other.ready and not other.record.cordoned for other in others):
            for task in stuck:
                lifecycle.move_away(desk, task, now)

    def _dispatch(self, now: float) -> Sequence[Assign]:
        desk = self._desk
        messages = []
        for name in desk.talkative:
            message = desk.sessions[name].next_message(
                self._assignment,
                self._size_of,
                most_bytes=desk.config.max_message_bytes,
                cluster_id=self.cluster_id,
                epoch=self.epoch,
                now=now,
                lease_s=min(desk.config.lease_s, _LONGEST_LEASE_S),
            )
            if message is not None:
                messages.append(message)
        desk.talkative.clear()
        return messages

    def _assignment(self, task_id: str, attempt: int) -> Assignment:
        """What a worker is to do about a task's latest attempt."""
        state = self._desk.state
        task = state.tasks[task_id]
        entry = state.jobs[task.job_id]
        spec = entry.job.tasks[task.position]
        current = task.attempts[-1]
        if _is_to_stop(task):
            return Assignment(
                task_id=task_id, attempt=attempt, desired="stop", run=current.run, grace_s=spec.stop_grace_s
            )
        return Assignment(
            task_id=task_id,
            attempt=attempt,
            desired="run",
            run=current.run,
            job=entry.job.name,
            task_name=task.name,
            index=task.number,
            task=spec,
            restart=entry.policies[task.position],
            restarts=task.restarts_made,
            may_have_begun=current.may_have_begun,
            grace_s=spec.stop_grace_s,
        )

    def _size_of(self, task_id: str) -> int:
        """How large a task's description is, in bytes; once for all instances; 0: it is to stop."""
        state = self._desk.state
        task = state.tasks[task_id]
        if _is_to_stop(task):
            return 0
        entry = state.jobs[task.job_id]
        size = entry.sizes.get(task.position)
        if size is None:
            size = entry.sizes[task.position] = encoded_size(entry.job.tasks[task.position])
        return size

    # -- questions ----------------------------------------------------------------------------

    def job(self, job_id: str) -> JobInfo:
        """A picture of a job, by id or by the name of the latest one called so.

        Raises:
            NotFound: there is none, or it was forgotten.
        """
        return job_info(self._desk.state, self._job(job_id))

    def job_state(self, job_id: str) -> JobState:
        """A job's state alone, which costs nothing however many tasks it has.

        Raises:
            NotFound: there is none, or it was forgotten.
        """
        return self._job(job_id).record.state

    def task_ids(self, job_id: str) -> tuple[str, ...]:
        """The ids of a job's instances, in the order of :meth:`Job.instances <minorch.Job.instances>`.

        Raises:
            NotFound: there is no such job, or it was forgotten.
        """
        return tuple(self._job(job_id).task_ids())

    def unready(self, job_id: str) -> int:
        """How many of a job's tasks neither run, healthy where they have a check, nor are over.

        Raises:
            NotFound: there is no such job, or it was forgotten.
        """
        entry, tasks = self._job(job_id), self._desk.state.tasks
        return sum(not lifecycle.is_ready(tasks[task_id], entry) for task_id in entry.task_ids())

    def job_ids(self) -> dict[str, str]:
        """The id of the latest job of each name that is remembered."""
        return dict(self._desk.state.job_ids)

    def jobs(self) -> tuple[JobInfo, ...]:
        """A picture of every job that is remembered, in the order of submission."""
        return tuple(job_info(self._desk.state, entry) for entry in self._desk.state.jobs.values())

    def task(self, task_id: str) -> TaskInfo:
        """A picture of one task.

        Raises:
            NotFound: there is none, or its job was forgotten.
        """
        return task_info(self._desk.state, self._task(task_id))

    def spec(self, task_id: str) -> Task:
        """The description a task was made from.

        Raises:
            NotFound: there is none, or its job was forgotten.
        """
        return self._desk.state.spec(self._task(task_id))

    def node(self, name: str) -> NodeInfo:
        """A picture of one node.

        Raises:
            NotFound: there is no such node.
        """
        return node_info(self._node(name))

    def nodes(self) -> tuple[NodeInfo, ...]:
        """A picture of every node, in the order in which they joined."""
        return tuple(node_info(entry) for entry in self._desk.state.nodes.values())

    def events(self, since: int = 0) -> tuple[Event, ...]:
        """The remembered events with a number above *since*, oldest first."""
        return self._desk.state.events.since(since)

    def explain(self, task_id: str, now: float) -> Explanation:
        """Why a task is where it is, or why it is nowhere.

        Raises:
            NotFound: there is no such task.
            PluginError: the scheduler failed when it was asked.
        """
        return self._answers.explain(self._desk, self._task(task_id), self._at(now))

    def plan(self, job: Job, now: float) -> JobPlan:
        """What would be placed where if a job were submitted now; nothing is changed.

        Raises:
            PluginError: the scheduler cannot be copied, or a filter failed.
        """
        return self._answers.plan(self._desk, job, self._at(now))

    def propose_rebalance(self, now: float, *, max_moves: int = 10) -> Rebalance:
        """Which tasks would be better off on another node; nothing is moved.

        Args:
            now: seconds since 1970.
            max_moves: how many at most.

        Raises:
            PluginError: the scheduler or a filter failed when it was asked.
            UsageError: *max_moves* is not positive.
        """
        return self.prepare_rebalance(now, max_moves=max_moves)()

    def prepare_rebalance(self, now: float, *, max_moves: int = 10) -> Callable[[], Rebalance]:
        """Return what works out :meth:`propose_rebalance`, once; it needs nothing more of the manager.

        This is quick, and the rest, which may take seconds, can be done in another thread.

        Raises:
            PluginError: the scheduler cannot be copied.
            UsageError: *max_moves* is not positive.
        """
        if max_moves < 1:
            raise UsageError(f"max_moves is {max_moves}; ask for at least one")
        return self._answers.rebalance(self._desk, self._at(now), max_moves)

    def _job(self, name: str) -> JobEntry:
        state = self._desk.state
        entry = state.jobs.get(name) or state.jobs.get(state.job_ids.get(name, ""))
        if entry is None:
            raise NotFound(f'there is no job "{name[:70]}"{did_you_mean(name, state.job_ids)}')
        return entry

    def _task(self, task_id: str) -> TaskRecord:
        task = self._desk.state.tasks.get(task_id)
        if task is None:
            raise NotFound(f'there is no task with the id "{task_id[:70]}"')
        return task

    def _node(self, name: str) -> NodeEntry:
        entry = self._desk.state.nodes.get(name)
        if entry is None:
            raise NotFound(f'there is no node "{name[:70]}"{did_you_mean(name, self._desk.state.nodes)}')
        return entry


def _is_to_stop(task: TaskRecord) -> bool:
    """Whether a worker is to end a task's latest attempt, and not to run it."""
    return task.attempts[-1].state.terminal or task.ending is not None or task.moving
