"""The world that a simulation plays in: how long its tasks run, what goes wrong, and who notes it down.

This is where the virtual-time driver (:mod:`minorch.simulation.driver.cluster`) meets the workload.  The
*conditions* say what happens, the *recorder* writes into the ledger what did.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import inf

from minorch.contracts import Change, Launch
from minorch.ids import RunKey
from minorch.manager import Step
from minorch.messages import Assign, Report
from minorch.model import Job, NodeStats
from minorch.resources import Resources
from minorch.simulation.driver.cluster import ManagerProcess, SimulatedCluster
from minorch.simulation.driver.conditions import AT_ONCE, Commit, Conditions, Fate, Outcome
from minorch.simulation.driver.engine import Run, SimulatedEngine
from minorch.simulation.driver.observer import Observer
from minorch.simulation.faults import Faults
from minorch.simulation.models import Model, Running
from minorch.simulation.pace import Pace
from minorch.simulation.results.ledger import Ending, Ledger
from minorch.simulation.workloads.arrivals import Arrival
from minorch.state.events import Event
from minorch.states import Reason
from minorch.worker import Action, Start

__all__ = ["Planning", "Recorder", "SimulatedWorld"]

_COUNTED = {
    "task_scheduled": "decisions",
    "task_preempted": "preemptions",
    "task_moving": "moves",
    "task_rescheduled": "attempts that were placed anew",
    "task_restarted": "restarts",
    "node_lost": "nodes lost",
}
"""Events that are counted, and under which name."""

_MOST_TOLD = 20

_ENDINGS = {
    "task_completed": Ending.COMPLETED,
    "task_failed": Ending.FAILED,
    "task_stopped": Ending.STOPPED,
}


class Planning:
    """Adds up the real time that plans take, and tells the manager that they take none.

    The manager reads its stopwatch before a plan and after it.  It is always told the same time, so that
    what it does depends on nothing outside the simulation.
    """

    def __init__(self) -> None:
        self.took_s = 0.0
        self.plans = 0
        self._begun: float | None = None

    def __call__(self) -> float:
        """Begin or end a measurement."""
        now = time.perf_counter()
        if self._begun is None:
            self._begun = now
        else:
            self.took_s += now - self._begun
            self.plans += 1
            self._begun = None
        return 0.0


class _Live:
    """A task that is not over: its row, and what was told of it."""

    __slots__ = ("duration_s", "exit_code", "row", "usage")

    def __init__(self, row: int, duration_s: float, exit_code: int, usage: Resources) -> None:
        self.row = row
        self.duration_s = duration_s
        self.exit_code = exit_code
        self.usage = usage


class Recorder(Observer):
    """Writes down what happens, and knows of each task that is not over what was told of it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.live: dict[str, _Live] = {}
        """By id, the tasks that are not over."""
        self.runs: dict[RunKey, int] = {}
        """The rows of the runs that run."""
        self.counts: Counter[str] = Counter()
        self.plugin_errors: list[str] = []
        """What plugins raised, for the first tasks that failed of it."""
        self.fresh: list[Event] = []
        """Events of which nobody was told yet, if anybody wants them."""
        self.wants_events = False
        self.decided = 0
        """How many placements were made, if anybody wants to know that before they are carried out."""
        self.wants_decisions = False
        self.last_s = 0.0
        """When something of a task last happened."""
        self.origin = 0.0
        """The true time at the beginning."""
        self.bound = 0
        """How many of the runs that run end by themselves."""
        self.on_began: Callable[[SimulatedEngine, Run], None] | None = None
        self.on_ended: Callable[[SimulatedEngine, Run], None] | None = None

    def admitted(self, arrival: Arrival, job: Job, ids: Sequence[str]) -> None:
        """A job was accepted; its instances have these ids, in order."""
        for live, task_id in zip(self._write_down(arrival, job), ids, strict=True):
            self.live[task_id] = live

    def refused(self, arrival: Arrival, job: Job) -> None:
        """A job was refused."""
        for live in self._write_down(arrival, job):
            self.ledger.finish(live.row, Ending.REFUSED, Reason.UNSCHEDULABLE, arrival.at_s)

    def _write_down(self, arrival: Arrival, job: Job) -> Iterator[_Live]:
        """Each instance of a job that has arrived, with a row of the ledger.

        Raises:
            UsageError: it is not told how long one of them runs, or how it ends.
        """
        self.last_s = arrival.at_s
        for name, task, number in job.instances():
            duration_s = arrival.duration_of(task.name, number or 0)
            exit_code, usage = arrival.exit_code_of(task.name, number or 0), arrival.usage_of(task)
            row = self.ledger.arrive(job.name, name, arrival.at_s, duration_s, task.resources, usage)
            yield _Live(row, duration_s, exit_code, usage)

    def run_began(self, engine: SimulatedEngine, run: Run) -> None:
        """A run really began."""
        live = self.live.get(run.launch.key.task_id)
        if live is None:
            return
        now_s = run.began_at - self.origin
        key = run.launch.key
        self.runs[key] = self.ledger.begin(live.row, self.ledger.node_numbers[engine.node], now_s)
        self.bound += live.duration_s != inf
        self.last_s = now_s
        if self.on_began is not None:
            self.on_began(engine, run)

    def run_ended(self, engine: SimulatedEngine, run: Run) -> None:
        """A run really ended, or what was left of it was removed."""
        row = self.runs.pop(run.launch.key, None)
        if row is None or run.ended_at is None:
            return
        now_s = run.ended_at - self.origin
        self.ledger.end(row, now_s)
        self.bound -= self.ledger.duration_s[self.ledger.run_task[row]] != inf
        self.last_s = now_s
        if self.on_ended is not None:
            self.on_ended(engine, run)

    def manager_settled(self, process: ManagerProcess, step: Step) -> None:
        """The manager has decided something."""
        if self.wants_decisions:
            self.decided += sum(event.kind == "task_scheduled" for event in step.events)

    def committed(self, process: ManagerProcess, changes: Sequence[Change], events: Sequence[Event]) -> None:
        """The manager has decided something, and it is durable."""
        for event in events:
            ending = _ENDINGS.get(event.kind)
            if ending is not None:
                live = self.live.pop(event.task_id)
                self.last_s = event.at - self.origin
                if event.reason is Reason.PLUGIN_ERROR and len(self.plugin_errors) < _MOST_TOLD:
                    words = event.detail.partition("; ")[2]
                    self.plugin_errors.append(f"{event.job}/{event.task}: {words}")
                self.ledger.finish(live.row, ending, event.reason, self.last_s)
            elif event.kind in _COUNTED:
                self.counts[_COUNTED[event.kind]] += 1
        if self.wants_events:
            self.fresh += events


class SimulatedWorld(Conditions):
    """How long things take in a simulation, and what goes wrong.

    Args:
        recorder: knows what was told of each task.
        planning: how long plans take in real time.
        seed: everything that is drawn is drawn from it.
        faults: what goes wrong.
        model: how fast tasks run; None: as was told.
        start_s: how long an engine takes to start a run, in seconds.
        turn_s: for how long the manager gathers what comes before it takes a turn, in seconds.
        scheduler_s: what each placement takes of virtual time, in seconds; ``"measured"``: what plans really
            take.
        measures: whether workers can measure their nodes.
    """

    prompt = True

    def __init__(
        self,
        recorder: Recorder,
        planning: Planning,
        *,
        seed: int,
        faults: Faults,
        model: Model | None,
        start_s: float,
        turn_s: float,
        scheduler_s: float | str,
        measures: bool,
    ) -> None:
        self._recorder = recorder
        self._planning = planning
        self._seed = seed
        self._faults = faults
        self._model = model
        self._fate = Fate(start_s, start_s) if start_s else AT_ONCE
        self._turn_s = turn_s
        self._scheduler_s = scheduler_s
        self._measures = measures
        self._charged_s = 0.0
        recorder.wants_decisions = bool(scheduler_s)
        self.cut: set[str] = set()
        """Nodes that are cut off."""
        self._paces: dict[str, Pace] = {}
        self._cluster: SimulatedCluster | None = None
        if model is not None:
            recorder.on_began, recorder.on_ended = self._set_out, self._arrive

    def join(self, cluster: SimulatedCluster) -> None:
        """This is the cluster."""
        self._cluster = cluster

    def pause_s(self, process: str) -> float:
        """The manager gathers for a while; workers look at once."""
        return self._turn_s if process == "manager" else 0.0

    def arrivals_s(self, message: Assign | Report) -> Sequence[float]:
        """At once, or never."""
        return () if message.worker in self.cut else (0.0,)

    def commit(self) -> Commit:
        """The time that is charged for plans: until then nobody hears what was decided."""
        if not self._scheduler_s:
            return _NO_TIME
        if isinstance(self._scheduler_s, str):
            spent_s = self._planning.took_s - self._charged_s
            self._charged_s = self._planning.took_s
            return Commit(spent_s)
        decided, self._recorder.decided = self._recorder.decided, 0
        return Commit(decided * self._scheduler_s)

    def fate(self, node: str, action: Action) -> Fate:
        """Starts take their time."""
        return self._fate if isinstance(action, Start) else AT_ONCE

    def outcome(self, node: str, launch: Launch) -> Outcome:
        """How long a run takes and how it ends, as was told; with a model, that comes out on the way."""
        live = self._recorder.live.get(launch.key.task_id)
        if live is None or self._model is not None or live.duration_s == inf:
            return _ENDLESS
        return Outcome(live.duration_s * self._slowness(live, launch.key), live.exit_code)

    def _slowness(self, live: _Live, key: RunKey) -> float:
        faults = self._faults
        if not faults.straggler_share:
            return 1.0
        dice = random.Random(f"{self._seed}/straggler/{live.row}/{key.attempt}/{key.run}")
        return faults.straggler_factor if dice.random() < faults.straggler_share else 1.0

    def measured(self, node: str) -> NodeStats | None:
        """What a worker would measure on its machine: what its tasks really use."""
        cluster, recorder = self._cluster, self._recorder
        if cluster is None or not self._measures:
            return None
        process = cluster.workers[node]
        live = [recorder.live.get(key.task_id) for key in process.engine.live]
        used = sum((one.usage for one in live if one is not None), Resources())
        most = process.node.capacity
        return NodeStats(
            sampled_at=process.clock(),
            cpu_percent=min(100.0, 100.0 * used.cpu / most.cpu) if most.cpu else 0.0,
            load_1m=used.cpu,
            memory_used=used.memory,
            memory_total=most.memory,
            disk_used=used.disk,
            disk_total=most.disk,
            tasks=len(live),
        )

    # -- with a model -------------------------------------------------------------------------

    def _set_out(self, engine: SimulatedEngine, run: Run) -> None:
        assert self._model is not None
        assert self._cluster is not None
        key = run.launch.key
        live = self._recorder.live[key.task_id]
        pace = self._paces.get(engine.node)
        if pace is None:
            node = self._cluster.workers[engine.node].node

            def end(key: RunKey) -> None:
                ending = self._recorder.live.get(key.task_id)
                engine.end(key, 0 if ending is None else ending.exit_code)

            pace = self._paces[engine.node] = Pace(self._cluster.agenda, node, self._model, end)
        pace.begin(key, Running(run.launch.task, live.usage), live.duration_s * self._slowness(live, key))

    def _arrive(self, engine: SimulatedEngine, run: Run) -> None:
        self._paces[engine.node].leave(run.launch.key)


_NO_TIME = Commit()
_ENDLESS = Outcome(None)
