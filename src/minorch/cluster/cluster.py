"""The Cluster: a manager, its workers and their drivers, wired together in one process."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, Unpack

from minorch.builtins import default_registry
from minorch.cluster.crew import Crew
from minorch.cluster.draining import wait_drained
from minorch.cluster.handles import JobHandle, Named, TaskHandle
from minorch.cluster.left_over import (
    Leftovers,
    Place,
    find_leftovers,
    tell_of_leftovers,
    where_to_look,
)
from minorch.cluster.one_machine import OneMachine, share_out
from minorch.cluster.opened import remember, warn_of_others
from minorch.cluster.roster import Roster
from minorch.cluster.setup import (
    ClusterOptions,
    ask_for_members,
    choose_fleet,
    choose_runtime,
    choose_store,
    nodes_left_over,
    ready_or_told,
)
from minorch.cluster.tables import node_rows, text_table
from minorch.cluster.views import cluster_view
from minorch.contracts import Fleet, Runtime, Store
from minorch.drivers import (
    ManagerDriver,
    Presence,
    SteadyClock,
    this_process,
)
from minorch.errors import ClusterClosed, NotFound, UsageError, brief, did_you_mean, of_kind
from minorch.manager import Manager, ManagerConfig
from minorch.model import Job, Node, Task
from minorch.plugins import Registry, choose_filters, choose_scheduler
from minorch.scheduling import CostFunction, CustomFilter, Explanation, JobPlan, Rebalance, Scheduler
from minorch.state.events import Event
from minorch.state.listing import EventList, NodeList, TaskList
from minorch.state.pictures import NodeInfo, TaskInfo
from minorch.stores.memory import MemoryStore
from minorch.worker import WorkerConfig

if TYPE_CHECKING:
    from minorch.runtimes.docker.fleet import DockerEngine

__all__ = ["Cluster"]

_log = logging.getLogger("minorch")
_START_S: Final = 10.0


class Cluster:
    """Runs jobs on this machine, on the machine of one engine, or on those of many.

    It works from the moment it is made, in threads of its own, until :meth:`close` or the end of the
    ``with`` block; then everything it runs is stopped and removed, unless *detach* was asked for.  One that
    nothing refers to any more, nor to a job of it, is closed too, by a thread, which says so in a warning.

    Args:
        workers: how many workers share the machine evenly, or their nodes one by one; a ``Node``
            without a capacity gets an even share of what the others leave.
        runtime: what runs the tasks: ``"docker"``, ``"process"``, the name of a plugin, an object; or
            ``"auto"``: Docker if an engine answers, else plain processes (``cluster.why`` tells).
        scheduler: what chooses nodes: a name, a :class:`~minorch.Scheduler`, or a function
            ``cost(task, node)``.
        engine: the machines, instead of *runtime* and *workers*: the addresses of Docker Engines, as for
            :meth:`connect`; the name of a fleet, such as ``"swarm"``; or a fleet.
        store: where the state is kept: ``"memory"``, ``"sqlite:jobs.db"`` (``"sqlite:///jobs.db"`` is
            a file in the root directory), a :class:`~pathlib.Path`, ``"postgresql://host/database"``, or an
            object. A cluster that is opened on a durable store goes on where the last one stopped.
        filters: what keeps tasks off nodes beside the built-in filters: names, or functions that get a task
            and a node and return None, or in words why it cannot go there.
        plugins: modules or objects with plugin hooks, for this cluster alone.
        registry: the plugins to choose from, and no others; None: the built-in ones, *plugins*, and what
            installed packages offer, which are imported only for a name that is none of those.
        detach: at the end leave running what runs; needs a durable store, with which the next
            cluster finds it again.
        seed: makes the scheduler's random choices repeatable.
        manager_config: the manager's waits and bounds.
        worker_config: the workers' waits and bounds.

    Raises:
        UnknownPlugin: nothing of a given name is registered, or installed.
        EngineUnavailable: the engine does not answer.
        StoreError: the store cannot be opened.
        UsageError: an argument makes no sense; the message says which.
    """

    def __init__(
        self,
        workers: int | Sequence[Node] = 1,
        *,
        runtime: str | Runtime = "auto",
        engine: str | Fleet | Sequence[str | DockerEngine] | None = None,
        scheduler: str | Scheduler | CostFunction = "least-loaded",
        store: str | Path | Store = "memory",
        filters: Sequence[str | CustomFilter] = (),
        plugins: Sequence[object] = (),
        registry: Registry | None = None,
        detach: bool = False,
        seed: int | None = None,
        manager_config: ManagerConfig | None = None,
        worker_config: WorkerConfig | None = None,
    ) -> None:
        self._registry = registry if registry is not None else default_registry(installed=True)
        if registry is not None and plugins:
            raise UsageError("plugins= are for the cluster's own registry; register them in the one you give")
        of_kind(ManagerConfig, "manager_config", manager_config)
        of_kind(WorkerConfig, "worker_config", worker_config)
        given: object = plugins
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise UsageError(f"plugins={brief(given, 60)}: write a list of plugins")
        for plugin in plugins:
            self._registry.register(plugin)
        strategy = choose_scheduler(scheduler, self._registry)
        more_filters = choose_filters(filters, self._registry)
        if detach and store == "memory":
            raise UsageError(
                "detach=True needs a store that lasts, or nobody could find the tasks again: "
                'store="sqlite:jobs.db"'
            )
        durable = store != "memory"
        if engine is not None:
            if workers != 1 or runtime != "auto":
                raise UsageError("engine= says which machines there are: leave out workers= and runtime=")
            fleet, own_fleet = choose_fleet(engine, self._registry)
            members, self.why = ask_for_members(fleet, own=own_fleet), f"machines of fleet {fleet.name}"
        else:
            chosen = choose_runtime(runtime, self._registry, durable=durable)
            fleet, own_fleet = share_out(workers, chosen), True
            members, self.why = fleet.members(), chosen.why
        """Why the tasks run where they do."""
        self._anywhere = engine is None and runtime == "auto"
        self._in_block = False
        self._submits = False
        maker = this_process(durable=durable and not isinstance(store, MemoryStore))
        clock = SteadyClock()
        roster = Roster(fleet, maker, config=worker_config, clock=clock, here=isinstance(fleet, OneMachine))
        self._crew = crew = Crew(fleet, roster, self._registry, own_fleet=own_fleet, detach=detach)
        try:
            crew.store, crew.own_store = choose_store(store, self._registry)
            self._manager = crew.manager = ManagerDriver(
                strategy,
                crew.store,
                send=crew.carry,
                on_events=crew.tell_observers,
                config=manager_config,
                clock=clock,
                seed=seed,
                filters=more_filters,
                on_lost=crew.give_way,
            )
            if maker.durable:
                crew.presence = Presence(self._manager.cluster_id)
            if isinstance(fleet, OneMachine):
                nodes = [member.node for member in members]
                extra = self._manager.ask(lambda manager, now: nodes_left_over(manager, nodes, chosen))
                members = [*members, *(fleet.member(node) for node in extra)]
            roster.open(members, self._manager)
            self._manager.start()
            roster.start()
            crew.closed = False
            self._await_nodes()
            for member in members:
                roster.follow(member)
            crew.watch = fleet.watch(roster.update)
        except BaseException:
            crew.end_threads()
            raise
        _log.info("cluster of %d workers on runtime %s: %s", len(members), fleet.name, self.why)
        look = partial(tell_of_leftovers, self._places(), self._manager.cluster_id)
        if isinstance(fleet, OneMachine):
            look()
        else:  # a machine that does not answer would keep one waiting
            threading.Thread(target=look, name="minorch-leftovers", daemon=True).start()
        self._finalizer = weakref.finalize(self, crew.drop)
        self._finalizer.atexit = False  # then daemon threads are gone, and nobody could wait for a task
        remember(self)

    @classmethod
    def connect(cls, engines: str | Sequence[str | DockerEngine], **options: Unpack[ClusterOptions]) -> Self:
        """Run jobs on the machines of many Docker Engines, each a node with a worker of its own.

        Those that do not answer yet are nodes too, and become ready when they do.

        Args:
            engines: where each is: ``ssh://user@host``, ``tcp://host:2376``, ``unix:///path``,
                ``context:name`` for one that the docker command knows, or a :class:`~minorch.DockerEngine`.
            options: as for :class:`Cluster` itself.

        Raises:
            EngineUnavailable: not one of them answers; the message says of each why.
            UsageError: an address is none, or two are of one engine.
        """
        return cls(engine=[engines] if isinstance(engines, str) else engines, **options)

    def _await_nodes(self) -> None:
        """Wait until every worker was heard of, so that a job can be judged by what there is."""
        deadline = time.monotonic() + _START_S
        wanted, patient = self._crew.workers.keys(), isinstance(self._crew.fleet, OneMachine)
        while time.monotonic() < deadline:
            if ready_or_told(self.nodes, patient=patient) >= wanted:
                return
            time.sleep(0.002)
        _log.warning("not all workers are ready after %g s: %s", _START_S, self.nodes)

    # -- jobs ---------------------------------------------------------------------------------

    def submit(self, job: Job | Task) -> JobHandle:
        """Accept a job, or a single task as a job of its name, and return at once.

        When this returns, the job is in the store: it is not lost if the process ends.

        Raises:
            UnschedulableError: a task of it fits on no node, even an empty one.
            UsageError: a job of that name is not over yet, or it is neither job nor task.
            StoreError: the store cannot be written.
            ClusterClosed: the cluster was closed.
        """
        crew = self._crew
        crew.check_open()
        submitted = _as_job(job, "submit")
        if not self._submits:
            self._submits = True
            warn_of_others(self)

        def accept(manager: Manager, now: float) -> str:
            if crew.closing:  # in the manager's thread, so that no job slips in behind the last stop
                raise ClusterClosed("the cluster is closing; make a new one")
            return manager.submit(submitted, now)

        return JobHandle(self, self._manager.call(accept), submitted.name)

    @property
    def jobs(self) -> Mapping[str, JobHandle]:
        """The jobs that are remembered, by name; of several with one name the latest."""
        ids = self._manager.ask(lambda manager, now: manager.job_ids())
        return Named("job", {name: JobHandle(self, job_id, name) for name, job_id in ids.items()})

    @property
    def tasks(self) -> Sequence[TaskInfo]:
        """A picture of every task of every job that is remembered."""
        jobs = self._manager.ask(lambda manager, now: manager.jobs())
        return TaskList(task for job in jobs for task in job.tasks)

    def explain(self, task: TaskHandle | TaskInfo | str) -> Explanation:
        """Why a task is where it is, or why it is nowhere.

        Args:
            task: a handle or a picture of it, or ``"job/task"``.

        Raises:
            NotFound: there is no such task.
            PluginError: the scheduler or a filter failed when it was asked.
            UsageError: it is not a task.
        """
        task_id = self._task_id(task, "explain")
        return self._manager.ask(lambda manager, now: manager.explain(task_id, now))

    def plan(self, job: Job | Task) -> JobPlan:
        """What would be placed where if a job were submitted now, and why the rest would not.

        It is worked out by the code that places tasks, on copies of what that depends on: nothing is
        submitted, and the cluster decides later as if nobody had asked.  Tasks that wait already go first
        where it is their turn.  A job of that name that is not over is taken to be gone, and its
        differences are told.

        Args:
            job: a job, or a single task as a job of its name.

        Raises:
            PluginError: the scheduler cannot be copied, or a filter failed.
            UsageError: it is neither job nor task.
        """
        planned = _as_job(job, "plan")
        return self._manager.ask(lambda manager, now: manager.plan(planned, now))

    def propose_rebalance(self, *, max_moves: int = 10) -> Rebalance:
        """Which tasks would be better off on another node, by the scheduler's own costs; nothing is moved.

        :meth:`move` carries a move out.  On a cluster of thousands of nodes this takes seconds, during
        which the cluster goes on.

        Args:
            max_moves: how many moves at most.

        Raises:
            PluginError: the scheduler or a filter failed when it was asked.
            UsageError: *max_moves* is not positive.
        """
        answer = self._manager.ask(lambda manager, now: manager.prepare_rebalance(now, max_moves=max_moves))
        return answer()

    def move(self, task: TaskHandle | TaskInfo | str) -> None:
        """Have a task stopped where it is and placed anew; returns at once.

        Where it goes is for the scheduler to choose once it has stopped; that may be where it was.  What
        waits or is stopping stays as it is.  It costs no retry.

        Args:
            task: a handle or a picture of it, or ``"job/task"``.

        Raises:
            NotFound: there is no such task.
            UsageError: it is not a task.
        """
        task_id = self._task_id(task, "move")
        self._manager.call(lambda manager, now: manager.move(task_id, now))

    def _task_id(self, task: object, method: str) -> str:
        if isinstance(task, str):
            return self._find_task(task)
        if isinstance(task, TaskHandle | TaskInfo):
            return task.id
        raise UsageError(
            f'{method}() takes a task, job.tasks["name"] or the text "job/task", not a {type(task).__name__}'
        )

    def _find_task(self, name: str) -> str:
        job_name, slash, task_name = name.partition("/")
        job = self._manager.ask(lambda manager, now: manager.job(job_name))
        names = {task.name: task.id for task in job.tasks}
        if not slash:
            raise NotFound(
                f'"{job_name}" is a job; ask about a task of it, such as "{job_name}/{job.tasks[0].name}"'
            )
        if task_name not in names:
            raise NotFound(f'job "{job_name}" has no task "{task_name[:70]}"{did_you_mean(task_name, names)}')
        return names[task_name]

    # -- nodes and events ---------------------------------------------------------------------

    @property
    def nodes(self) -> Sequence[NodeInfo]:
        """A picture of every node."""
        return NodeList(self._manager.ask(lambda manager, now: manager.nodes()))

    def cordon(self, node: str | NodeInfo) -> None:
        """Place nothing new on a node, given by its name or its picture, from now on.

        Raises:
            NotFound: there is no such node.
            UsageError: it is no node.
        """
        name = _name_of(node, "cordon")
        self._manager.call(lambda manager, now: manager.cordon(name, now))

    def uncordon(self, node: str | NodeInfo) -> None:
        """Place tasks on a node again.

        Raises:
            NotFound: there is no such node.
            UsageError: it is no node.
        """
        name = _name_of(node, "uncordon")
        self._manager.call(lambda manager, now: manager.cordon(name, now, cordoned=False))

    def drain(
        self,
        node: str | NodeInfo,
        *,
        deadline_s: float | None = None,
        at_once: int | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Cordon a node, stop its tasks there and place them on others.

        Called again for a node that is being drained, it goes on as it is told now.  When it is empty, the
        node stays cordoned; :meth:`uncordon` opens it again, and ends a drain that is not over.

        Args:
            node: its name, or its picture.
            deadline_s: tasks of batch jobs may complete for so long; after that whatever is left is moved,
                all of it at once. None: they are moved like those of services, now.
            at_once: at most so many tasks are on the move at a time: each until it runs elsewhere, healthy
                where it has a check, or is over, or has not managed that for
                ``ManagerConfig(drain_wait_s=)``, 300 s. None: all are moved at once.
            wait: return only when the node is empty.
            timeout: then for how many seconds at most; None: as long as it takes.

        Raises:
            NotFound: there is no such node.
            SpecError: a number makes no sense.
            TimeoutError: it was not empty in time. The drain goes on.
            UsageError: it is no node.
        """
        name = _name_of(node, "drain")
        self._manager.call(
            lambda manager, now: manager.drain(name, now, deadline_s=deadline_s, at_once=at_once)
        )
        if wait:
            self.wait_drained(name, timeout)

    def wait_drained(self, node: str | NodeInfo, timeout: float | None = None) -> None:
        """Wait until nothing is left on a node that is being drained.

        Args:
            node: its name, or its picture.
            timeout: for how many seconds at most; None: as long as it takes.

        Raises:
            NotFound: there is no such node.
            TimeoutError: it was not empty in time; the message names what is left. The drain goes on.
            UsageError: it is no node, nobody has it drained, or somebody called that off; or an observer of
                events waits, and would wait for itself.
            ClusterClosed: the cluster was closed before it was empty.
        """
        wait_drained(self._manager, _name_of(node, "wait_drained"), timeout)

    def events(self, since: int = 0) -> Sequence[Event]:
        """What happened, oldest first: the remembered events with a number above *since*.

        Raises:
            UsageError: *since* is no number of an event.
        """
        if isinstance(since, bool) or not isinstance(since, int):
            raise UsageError(f"since={brief(since)} is no number of an event, such as event.number")
        return EventList(self._manager.ask(lambda manager, now: manager.events(since)))

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing of any task is left at the workers: nothing runs, and what ended is removed.

        Args:
            timeout: for how many seconds at most.

        Finished tasks are kept for their logs as ``ManagerConfig(keep_runs=, keep_runs_s=)`` says.
        """
        deadline = time.monotonic() + timeout
        return all(
            worker.wait_idle(max(0.0, deadline - time.monotonic())) for worker in self._crew.workers.values()
        )

    # -- what handles need --------------------------------------------------------------------

    @property
    def manager(self) -> ManagerDriver:
        """The driver of the manager, for those who build on it."""
        return self._manager

    def runtime_of(self, node: str) -> Runtime:
        """The runtime that runs a node's tasks.

        Raises:
            ClusterClosed: the cluster was closed.
        """
        return self._crew.runtime_of(node)

    @property
    def runtime(self) -> str:
        """The name of the runtime."""
        return self._crew.fleet.name

    @property
    def registry(self) -> Registry:
        """The plugins that this cluster chooses from."""
        return self._registry

    @property
    def leftovers(self) -> Leftovers:
        """What clusters left over on its runtime whose process is gone, as it is now.

        See :func:`minorch.leftovers`.  A cluster looks when it starts, and says in a warning of the logger
        ``minorch`` if there is something to clean up; it touches nothing.  If ``"auto"`` chose its runtime,
        it looks among plain processes too.
        """
        return find_leftovers(self._places(), but=frozenset({self._manager.cluster_id}))

    def _places(self) -> list[Place]:
        return where_to_look(self._crew.roster.runtimes, anywhere=self._anywhere)

    # -- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop and remove everything that runs, unless detached, and end all threads. Closing twice is fine.

        A task that ignores the request to end is killed after its grace; all are killed at once, and removed,
        when this is interrupted (Ctrl-C) meanwhile.

        Raises:
            StoreError: the stops cannot be written, so what runs is left running.
            UsageError: an observer of events closes it, and would wait for itself.
        """
        self._crew.close()
        self._finalizer.detach()

    @property
    def settled(self) -> bool:
        """Whether nothing of it will change any more: it was closed."""
        return self._crew.closed

    @property
    def in_block(self) -> bool:
        """Whether a ``with`` block closes it."""
        return self._in_block

    def __enter__(self) -> Self:
        self._crew.check_open()
        self._in_block = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def table(self) -> str:
        """Its nodes as a table to print."""
        return text_table(node_rows(self.nodes))

    def _repr_html_(self) -> str:
        states = self._manager.ask(
            lambda manager, now: [manager.job_state(job_id) for job_id in manager.job_ids().values()]
        )
        words = "closed" if self._crew.closed else f"runtime {self.runtime}"
        return cluster_view(self.nodes, states, words)

    def __repr__(self) -> str:
        state = "closed" if self._crew.closed else f"{len(self._crew.workers)} workers"
        return f"<Cluster {state}, runtime {self.runtime}>"


def _as_job(job: object, method: str) -> Job:
    if isinstance(job, Task):
        return Job(job.name, [job])
    if isinstance(job, Job):
        return job
    raise UsageError(f"{method}() takes a Job or a Task, not a {type(job).__name__}")


def _name_of(node: object, method: str) -> str:
    """What a node is called that is given by its name or its picture."""
    if isinstance(node, str):
        return node
    if isinstance(node, NodeInfo):
        return node.name
    raise UsageError(f"{method}() takes a node of cluster.nodes or its name, not a {type(node).__name__}")
