"""The Simulation: the real manager, workers and strategies on a workload, in virtual time."""

from __future__ import annotations

import contextlib
import copy
import gc
import time
from collections.abc import Iterator, Sequence
from functools import partial
from math import inf
from typing import Final, Literal

from minorch.builtins import default_registry
from minorch.errors import NotFound, UnschedulableError, UsageError, brief, did_you_mean, of_kind
from minorch.manager import Manager, ManagerConfig
from minorch.model import Node
from minorch.plugins import Registry, choose_filters
from minorch.progress import ProgressLike, show_progress
from minorch.scheduling import CustomFilter, Explanation
from minorch.simulation.comparing.determinism import check_deterministic
from minorch.simulation.driver.cluster import SimulatedCluster
from minorch.simulation.faults import Faults
from minorch.simulation.models import FixedDuration, Model
from minorch.simulation.outages import Outages
from minorch.simulation.results.ledger import Ledger
from minorch.simulation.results.result import SimulationResult
from minorch.simulation.settings import (
    SchedulerLike,
    checked_nodes,
    manager_config_for,
    own_strategy,
    seconds,
    whole,
    worker_config_for,
)
from minorch.simulation.workloads.arrivals import Arrival, Workload, read_arrivals
from minorch.simulation.world import Planning, Recorder, SimulatedWorld
from minorch.state.events import Event
from minorch.state.listing import NodeList
from minorch.state.pictures import JobInfo, NodeInfo
from minorch.worker import WorkerConfig

__all__ = ["Simulation"]

_PATIENCE_S: Final = 7200.0
"""When nothing has happened to any task for so long, and none that runs will end by itself, nothing ever
will: every wait of the manager is shorter."""
_MOST_REFUSALS: Final = 20
_YOUNG: Final = 50_000
_TELL_EVERY: Final = 2000
"""After so many steps somebody who wants to know how far it is, is told."""
_MOST_MOMENTS: Final = 100
"""Nodes join at once; with a configuration of one's own, some moments later."""


class Simulation:
    """A cluster in virtual time: the code that runs on real machines, on nodes and work that are made up.

    It has the manager, the workers, the messages between them and the strategy of a real cluster; only
    clocks, engines and what tasks do are pretended.  The same arguments give the same result, bit for bit,
    unless *scheduler_s* is ``"measured"``.

    Args:
        nodes: the machines; :func:`~minorch.simulation.uniform` makes many alike.
        workload: what arrives and when: arrivals in the order of time, or a function that is given the seed
            and returns them.  It is read as it is due, so it may be longer than memory.
        scheduler: the strategy: a name, an object, or a function ``cost(task, node)``.  An object is copied,
            so that it may be used again elsewhere.
        seed: whatever is drawn is drawn from it: by the strategy, which draws what it would in a cluster with
            this seed; by a workload that is a function; and faults.
        faults: what goes wrong; None: nothing.
        model: how fast tasks run that share a node; None: each takes as long as was told.
        start_s: how long a node takes to start a task, in seconds.
        turn_s: for how long the manager gathers what comes before it takes a turn, in seconds of virtual
            time.  With many nodes or tasks, a tenth of a second makes it far faster, and adds about that to
            each wait.
        scheduler_s: virtual time that is charged for each placement, in seconds, so that a slow strategy
            shows; ``"measured"``: the real time that plans take, which is not the same in each run.
        measure_every_s: how often workers measure their nodes (``node.stats``), in seconds; None: never.
        filters: filters of one's own: names, or functions that get a task and a node.
        registry: where names are looked up; None: the built-in ones and what installed packages offer.
        manager_config: the manager's waits and bounds; None: what suits a simulation.
        worker_config: the workers'; None: what suits a simulation.

    Without faults that lose nodes, workers send no heartbeats and the manager grants leases that never
    end, for none of it would change anything.  With them, a lease is 60 s unless the configuration says
    otherwise.  A heartbeat is a third of a lease.

    Raises:
        UnknownPlugin: nothing of a given name is registered, or installed.
        PluginError: a strategy object cannot be copied.
        UsageError: an argument makes no sense; the message says which.

    >>> from minorch import Resources, Task
    >>> from minorch.simulation import Simulation, uniform
    >>> half = Task("half", command=["x"], resources=Resources(cpu=1))
    >>> result = Simulation(nodes=uniform(1, cpu=2), workload=[(0.0, half, 10.0)]).run()
    >>> result.ended_s
    10.0
    """

    def __init__(
        self,
        *,
        nodes: Sequence[Node],
        workload: Workload,
        scheduler: SchedulerLike = "least-loaded",
        seed: int = 0,
        faults: Faults | None = None,
        model: Model | None = None,
        start_s: float = 0.0,
        turn_s: float = 0.0,
        scheduler_s: float | Literal["measured"] = 0.0,
        measure_every_s: float | None = None,
        filters: Sequence[str | CustomFilter] = (),
        registry: Registry | None = None,
        manager_config: ManagerConfig | None = None,
        worker_config: WorkerConfig | None = None,
    ) -> None:
        nodes, seed = checked_nodes(nodes), whole(seed)
        self._make_again = partial(
            Simulation,
            nodes=nodes,
            workload=workload,
            scheduler=scheduler,
            seed=seed,
            faults=faults,
            model=model,
            start_s=start_s,
            turn_s=turn_s,
            scheduler_s=scheduler_s,
            measure_every_s=measure_every_s,
            filters=filters,
            registry=registry,
            manager_config=manager_config,
            worker_config=worker_config,
        )
        registry = registry if registry is not None else default_registry(installed=True)
        self.seed = seed
        self._faults = of_kind(Faults, "faults", faults) or Faults()
        self._scheduler_name, make_scheduler = own_strategy(scheduler, registry)
        self._ledger = Ledger(nodes)
        self._recorder = Recorder(self._ledger)
        self._planning = Planning()
        self._world = SimulatedWorld(
            self._recorder,
            self._planning,
            seed=seed,
            faults=self._faults,
            model=None if isinstance(model, FixedDuration) else of_kind(Model, "model", model),
            start_s=seconds("start_s", start_s),
            turn_s=seconds("turn_s", turn_s),
            scheduler_s="measured" if scheduler_s == "measured" else seconds("scheduler_s", scheduler_s),
            measures=measure_every_s is not None,
        )
        self._arrivals: Iterator[Arrival] = read_arrivals(workload, seed)
        self._arrived = 0
        self._refusals: list[str] = []
        self._error: BaseException | None = None
        self._all_arrived = False
        self._pending = 0
        """How many were submitted and the manager has not looked at yet."""
        self._wall_s = 0.0
        manager_config = of_kind(ManagerConfig, "manager_config", manager_config) or manager_config_for(
            self._faults
        )
        worker_config = of_kind(WorkerConfig, "worker_config", worker_config)
        self._cluster = SimulatedCluster(
            nodes,
            make_scheduler=make_scheduler,
            conditions=self._world,
            observer=self._recorder,
            manager_config=manager_config,
            worker_config=worker_config or worker_config_for(manager_config, measure_every_s),
            filters=choose_filters(filters, registry),
            now=0.0,
            seed=seed - 1,  # to which each manager adds its life: the first draws as that of Cluster(seed=)
            stopwatch=self._planning,
            durable=False,
        )
        self._world.join(self._cluster)
        self._join()
        self._outages = Outages(self._cluster, self._world, self._faults, seed)
        self._take_next()

    def _join(self) -> None:
        """Wait until the manager has heard of every node; that moment is the beginning."""
        agenda = self._cluster.agenda
        for _ in range(_MOST_MOMENTS):
            while agenda.next_at is not None and agenda.next_at <= agenda.now:
                agenda.step()
            if all(node.ready for node in self.nodes) or not agenda.step():
                break
        self._recorder.origin = agenda.now
        self._recorder.last_s = 0.0

    # -- going on -----------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """The virtual time, in seconds since the beginning."""
        return self._cluster.now - self._recorder.origin

    @property
    def over(self) -> bool:
        """Whether everything has arrived, and nothing more will ever happen to any task by itself."""
        recorder = self._recorder
        if not self._all_arrived or self._pending or recorder.bound:
            return False
        if not recorder.live:
            return True
        next_at = self._cluster.agenda.next_at
        return next_at is None or next_at - recorder.origin > recorder.last_s + _PATIENCE_S

    def run(
        self,
        until: float | None = None,
        *,
        progress: ProgressLike = None,
        check_determinism: bool = False,
    ) -> SimulationResult:
        """Let time pass, and say how it went. It may be called again, to go on.

        Args:
            until: until when, in seconds since the beginning. None: until everything has arrived and is over,
                or nothing but tasks that never end, and tasks that wait for them, is left.
            progress: True: a bar of how many tasks are over (``pip install "minorch[progress]"``); None: one
                if somebody watches and it takes long; or a :class:`~minorch.Progress` of one's own.
            check_determinism: run it all a second time, and see that the strategy decides the same. What the
                arguments hold is used again: the workload must be readable twice.

        Raises:
            UsageError: something in the workload makes no sense, or *until* is past; the message says what.
            PluginError: the strategy decided differently the second time; the message says where.
        """
        given: object = until
        if given is not None and (isinstance(given, bool) or not isinstance(given, int | float)):
            raise UsageError(f"until={brief(given)} is no time in seconds")
        if until is not None and not until >= self.now_s:
            raise UsageError(f"until={brief(until)}: it is {self.now_s:g} s already")
        agenda, began, steps = self._cluster.agenda, time.perf_counter(), 0
        limit = inf if until is None else self._recorder.origin + until
        try:
            with _rare_collections(), show_progress(progress, "simulation", "tasks") as shown:
                while not self.over:
                    next_at = agenda.next_at
                    if next_at is None or next_at > limit:
                        break
                    agenda.step()
                    if self._error is not None:
                        raise self._error
                    steps += 1
                    if steps % _TELL_EVERY == 0 and shown.shown:
                        shown.update(*self._progress())
                if shown.shown:
                    shown.update(*self._progress())
        finally:
            self._wall_s += time.perf_counter() - began
        if until is not None and not self.over:
            agenda.now = limit
        result = self.result()
        if check_determinism:
            check_deterministic(self._make_again, until=until, first=result)
        return result

    def _progress(self) -> tuple[int, int]:
        """How many tasks are over, and how many have arrived."""
        return len(self._ledger) - len(self._recorder.live), len(self._ledger)

    def step(self) -> Sequence[Event]:
        """Let time pass until something has happened that is worth telling, and tell it; empty: it is over.

        For learning and for looking closely: between two steps, :attr:`nodes`, :attr:`jobs` and
        :meth:`explain` show how things stand.

        Raises:
            UsageError: something in the workload makes no sense.
        """
        recorder, agenda = self._recorder, self._cluster.agenda
        recorder.wants_events = True
        try:
            while not recorder.fresh and not self.over and agenda.step():
                if self._error is not None:
                    raise self._error
        finally:
            recorder.wants_events = False
        told, recorder.fresh = tuple(recorder.fresh), []
        return told

    def result(self) -> SimulationResult:
        """How it went until now."""
        over = self.over
        ledger = self._ledger if over else copy.deepcopy(self._ledger)
        ledger.close()
        counts = {
            **self._recorder.counts,
            "plans": self._planning.plans,
            "steps": self._cluster.agenda.steps,
            "crashes": self._outages.crashes,
            "cuts": self._outages.cuts,
        }
        return SimulationResult(
            ledger,
            scheduler=self._scheduler_name,
            seed=self.seed,
            ended_s=self._recorder.last_s if over else self.now_s,
            counts=counts,
            wall_s=self._wall_s,
            planning_s=self._planning.took_s,
            faults=self._outages.so_far(),
            refusals=self._refusals,
            plugin_errors=self._recorder.plugin_errors,
        )

    # -- the workload -------------------------------------------------------------------------

    def _take_next(self) -> None:
        """Read the next arrival, and have it arrive in its time."""
        arrival = next(self._arrivals, None)
        if arrival is None:
            if not self._arrived:
                raise UsageError("the workload is empty: nothing ever arrives")
            self._all_arrived = True
            return
        at = self._recorder.origin + arrival.at_s
        self._cluster.agenda.at(at, partial(self._arrive, arrival))

    def _arrive(self, arrival: Arrival) -> None:
        """What is due arrives, all of it at once, so that one turn of the manager sees all of it."""
        try:
            self._submit(arrival)
            for following in self._arrivals:
                at = self._recorder.origin + following.at_s
                if at > self._cluster.now:
                    self._cluster.agenda.at(at, partial(self._arrive, following))
                    return
                self._submit(following)
            self._all_arrived = True
        except Exception as error:  # noqa: BLE001  a workload's own code may raise anything: run() raises it
            self._error = error

    def _submit(self, arrival: Arrival) -> None:
        job, number = arrival.job, self._arrived
        self._arrived += 1
        self._pending += 1

        def submit(manager: Manager, now: float) -> None:
            self._pending -= 1
            try:
                try:
                    ids = manager.task_ids(manager.submit(job, now))
                except UnschedulableError as error:
                    self._recorder.refused(arrival, job)
                    if len(self._refusals) < _MOST_REFUSALS:
                        self._refusals.append(str(error))
                else:
                    self._recorder.admitted(arrival, job, ids)
            except UsageError as error:
                self._error = UsageError(f'arrival {number}, job "{job.name}": {error}')

        self._cluster.manager.call(submit)

    # -- questions ----------------------------------------------------------------------------

    @property
    def manager(self) -> Manager:
        """The manager, to be asked and not to be changed."""
        manager = self._cluster.manager.manager
        assert manager is not None  # in a simulation it never dies
        return manager

    @property
    def nodes(self) -> Sequence[NodeInfo]:
        """A picture of every node, as the manager sees it now."""
        return NodeList(self.manager.nodes())

    @property
    def jobs(self) -> Sequence[JobInfo]:
        """A picture of every job that is not over, and of those that were lately."""
        return self.manager.jobs()

    def explain(self, task: str) -> Explanation:
        """Why a task is where it is, or why it is nowhere.

        Args:
            task: ``"job/task"``.

        Raises:
            NotFound: there is no such task, or it was forgotten.
            PluginError: the strategy failed when it was asked.
        """
        job_name, _, task_name = task.partition("/")
        job = self.manager.job(job_name)
        found = {one.name: one.id for one in job.tasks}
        if task_name not in found:
            raise NotFound(
                f'job "{job_name[:70]}" has no task "{task_name[:70]}"{did_you_mean(task_name, found)}'
            )
        return self.manager.explain(found[task_name], self._cluster.now)

    def __repr__(self) -> str:
        state = "over" if self.over else f"at {self.now_s:g} s"
        return (
            f"<Simulation {state}: {self._scheduler_name} on {len(self._ledger.nodes):,} nodes, "
            f"{len(self._ledger):,} tasks arrived>"
        )


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Have the garbage collector look at young objects less often for a while.

    It looks for circles, of which a simulation makes none, among all that was made lately, of which most
    still lives; that takes a fifth of the time.
    """
    before = gc.get_threshold()
    if not gc.isenabled() or not 0 < before[0] < _YOUNG:
        yield
        return
    gc.set_threshold(_YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
