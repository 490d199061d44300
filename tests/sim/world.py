"""One world from its first step to its last: what is done to it, then calm, and all must come to rest."""

from __future__ import annotations

import random
import re
import traceback
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from minorch.manager import Manager, ManagerConfig
from minorch.model import Affinity, HealthCheck, Job, Node, RestartPolicy, Task
from minorch.resources import Resources
from minorch.schedulers import EPVM, BinPack, LeastLoaded, RandomChoice, RoundRobin, Spread
from minorch.scheduling import Scheduler
from minorch.simulation import SimulatedCluster, WorkerProcess
from minorch.states import JobState, Reason, TaskState
from minorch.worker import WorkerConfig
from tests.sim.hostile import Hostile
from tests.sim.oracle import BROKEN, Oracle, Violation
from tests.sim.scenario import Op, Scenario, draw

__all__ = ["Ended", "World", "play", "run"]

_ID: Final = re.compile(r"[0-9a-f]{32}")
_BEGINNING: Final = 1_000_000.0
_MOST_LINES: Final = 120
_STRATEGIES: Final[tuple[Callable[[], Scheduler], ...]] = (
    Scheduler,
    LeastLoaded,
    BinPack,
    Spread,
    EPVM,
    RoundRobin,
    RandomChoice,
    partial(EPVM, sample=2),
)
_MOST_OPEN: Final = 12
"""So many jobs are open at a time: more would only wait, and make each step dearer."""
_CALM_S: Final = 1800.0
"""How long a calm world may take to come to rest."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a world went."""

    steps: int
    ops: int
    """How many of its operations were begun."""
    trace: int
    """A checksum of its history."""
    calm_s: float
    """How long it took to come to rest once everything was well, in its own time."""
    results: int
    """How many results were compared with what really happened."""
    broken: str = ""
    """What did not hold; empty: everything did."""
    at_s: float = 0.0
    """When, in its own time."""
    story: str = ""
    """Of the task that it is about, if it is about one."""


class World:
    """The world of one scenario."""

    def __init__(self, scenario: Scenario, *, tell: bool = False) -> None:
        self.scenario = scenario
        dice = random.Random(scenario.seed + 3)
        self.conditions = Hostile(scenario)
        self.oracle = Oracle(most_steps=20 * scenario.steps + 100_000)
        self.oracle.lines = [] if tell else None
        self.open: dict[str, None] = {}
        """Names of jobs that were accepted and may not be over."""
        self.submitted = 0
        self.done = 0
        """How many of the scenario's operations were begun."""
        self._cluster = SimulatedCluster(
            make_scheduler=dice.choice(_STRATEGIES),
            conditions=self.conditions,
            observer=self.oracle,
            manager_config=ManagerConfig(
                max_lost=dice.choice((1, 3, 20)),
                max_events=200,
                keep_runs=dice.choice((0, 5)),
                keep_runs_s=60,
                keep_tasks=dice.choice((0, 15)),
                preemption=scenario.preemption,
                reserve_after_s=dice.choice((1.0, 120.0)),
                reserve_for_s=dice.choice((0.0, 5.0)),
                ageing_s=dice.choice((1.0, 300.0)),
                max_message_bytes=dice.choice((1, 5_000, 2**25)),
            ),
            worker_config=WorkerConfig(
                max_starting=dice.choice((1, 8)),
                max_removing=dice.choice((1, 4)),
                engine_lost_s=dice.choice((None, 0.0, 10.0)),
                max_message_bytes=dice.choice((1, 5_000, 2**25)),
            ),
            wire=scenario.wire,
        )
        for at in range(scenario.nodes):
            self._cluster.add(
                Node(
                    f"n{at}",
                    capacity=Resources(cpu=dice.choice((2, 4)), memory="8GiB"),
                    runtime="sim",
                    labels={"zone": dice.choice("ab")},
                    max_tasks=dice.choice((3, 100)),
                )
            )

    def go(self) -> float:
        """Let everything go wrong, then nothing; return how long it took to come to rest."""
        agenda = self._cluster.agenda
        for op in self.scenario.ops:
            self.done += 1
            self.oracle.tell("", "---", op.kind, op.dice)
            agenda.run_until(agenda.now + op.wait_s)
            self.oracle.note(op.kind, op.dice)
            self._do(op)
            if agenda.steps >= self.scenario.steps:
                break
        self._calm_down()
        return self._come_to_rest()

    @property
    def steps(self) -> int:
        """How many steps there were."""
        return self._cluster.agenda.steps

    def story(self, broken: str) -> str:
        """What happened to the task that *broken* is about, or else what was done to the cluster."""
        known = {task_id for _, task_id, _ in self.oracle.lines or ()}
        about = next((found for found in _ID.findall(broken) if found in known), "")
        lines = [line for line in self.oracle.lines or () if line[1] in ("", about)]
        return "\n".join(f"{at - _BEGINNING:10.3f}  {words}" for at, _, words in lines[-_MOST_LINES:])

    # -- what is done to it -------------------------------------------------------------------

    def _do(self, op: Op) -> None:
        dice, cluster = random.Random(op.dice), self._cluster
        worker = dice.choice(list(cluster.workers.values()))
        lasts_s = dice.choice((0.0, 0.5, 3.0, 20.0, 60.0))
        manager = cluster.manager
        match op.kind:
            case "submit":
                self._submit(dice)
            case "stop job" | "stop task" | "release" | "move":
                self._about_a_task(op.kind, dice)
            case "manager crashes" if manager.up:
                manager.crash(written=dice.random() < 0.5)
                cluster.agenda.after(lasts_s, partial(self._start_manager, manager.lives))
            case "manager freezes":
                manager.frozen_until = cluster.now + lasts_s
            case "worker crashes" if worker.up:
                worker.crash()
                cluster.agenda.after(lasts_s, partial(self._start_worker, worker, worker.lives))
            case "worker freezes":
                worker.frozen_until = cluster.now + lasts_s
            case "engine fails" if worker.engine.up:
                worker.engine.go_down(runs_end=dice.random() < 0.4)
                cluster.agenda.after(lasts_s, worker.engine.come_up)
            case "machine crashes" if worker.up:
                worker.engine.go_down(runs_end=True)
                worker.crash()
                if dice.random() < 0.5:
                    worker.engine.lose_disk()
                cluster.agenda.after(lasts_s, worker.engine.come_up)
                cluster.agenda.after(lasts_s, partial(self._start_worker, worker, worker.lives))
            case "link is cut":
                ways = {(worker.name, way) for way in dice.choice(((True,), (False,), (True, False)))}
                self.conditions.cut |= ways
                cluster.agenda.after(lasts_s, lambda: self.conditions.cut.difference_update(ways))
            case "runs are removed" | "runs are killed":
                for key in worker.engine.live[: dice.randint(1, 2)]:
                    if op.kind == "runs are removed":
                        worker.engine.vanish(key)
                    else:
                        worker.engine.end(key, 137, Reason.KILLED)
            case "store fails":
                self.conditions.store_fails = True
                cluster.agenda.after(lasts_s, partial(setattr, self.conditions, "store_fails", False))
            case "cordon" | "uncordon":
                cordoned = op.kind == "cordon"
                manager.call(lambda m, now: m.cordon(worker.name, now, cordoned=cordoned))
            case "drain":
                deadline_s, at_once = dice.choice((None, 0.0, 20.0)), dice.choice((None, 1, 2))
                drain = partial(Manager.drain, deadline_s=deadline_s, at_once=at_once)
                manager.call(lambda m, now: drain(m, worker.name, now))
            case _:
                pass  # it is so already

    def _start_manager(self, life: int) -> None:
        manager = self._cluster.manager
        if manager.lives == life and not manager.up:
            manager.start()

    @staticmethod
    def _start_worker(worker: WorkerProcess, life: int) -> None:
        if worker.lives == life and not worker.up:
            worker.start()

    def _about_a_task(self, kind: str, dice: random.Random) -> None:
        tasks = list(self.oracle.tasks.values())
        if not tasks:
            return
        task = dice.choice(tasks)
        manager = self._cluster.manager
        match kind:
            case "stop job":
                manager.call(lambda m, now: m.stop(task.job_id, now))
            case "stop task":
                manager.call(lambda m, now: m.stop(task.job_id, now, task_id=task.id))
            case "release":
                manager.call(lambda m, now: m.release(task.job_id, now))
            case _:
                manager.call(lambda m, now: m.move(task.id, now))

    # -- work ---------------------------------------------------------------------------------

    def _submit(self, dice: random.Random) -> None:
        if sum(not job.state.terminal for job in self.oracle.jobs.values()) >= _MOST_OPEN:
            return
        self.submitted += 1
        job = self._draw_job(f"job-{self.submitted}", dice)
        self._cluster.submit(job, partial(self._submitted, job.name))

    def _submitted(self, name: str, answer: object) -> None:
        if isinstance(answer, str):
            known = any(spec.name == name for spec in self.oracle.specs.values())
            if not known and self._cluster.manager_config.keep_tasks:
                raise Violation(f"invariant 1: {name} was accepted and is not durable")

    def _draw_job(self, name: str, dice: random.Random) -> Job:
        kind = dice.choice(("batch", "batch", "batch", "service"))
        gang = kind == "batch" and dice.random() < 0.1
        names: list[str] = []
        tasks = []
        for at in range(dice.randint(1, 3)):
            after = [other for other in names if dice.random() < 0.3]
            task = self._draw_task(f"t{at}", kind, after if kind == "batch" and not gang else [], dice)
            if gang:  # which has to fit on the smallest cluster
                task = msgspec.structs.replace(task, completions=1, resources=Resources(cpu=0.5))
            tasks.append(task)
            names.append(f"t{at}")
        return Job(
            name,
            tasks,
            kind="service" if kind == "service" else "batch",
            retries=dice.choice((0, 2)),
            parallelism=None if gang else dice.choice((None, 1, 2)),
            on_failure=dice.choice(("stop", "continue")),
            deadline_s=dice.choice((None, None, 30.0)),
            wait_for_nodes=True,
            priority=dice.choice((0, 0, 1, 5)),
            gang=gang,
        )

    def _draw_task(self, name: str, kind: str, after: list[str], dice: random.Random) -> Task:
        apart = Affinity.apart(
            task=name, weight=None if self.scenario.nodes > 2 and dice.random() < 0.5 else 7
        )
        once = dice.random() < 0.3  # see LocalAttempt.once
        policies = (None, RestartPolicy.on_failure(2), RestartPolicy.always(1), RestartPolicy.never())
        return Task(
            name,
            command=["x"],
            resources=Resources(cpu=dice.choice((0, 0.25, 0.5, 1))),
            after=after,
            completions=dice.choice((1, 1, 2, 3)) if kind == "batch" else 1,
            replicas=dice.choice((1, 2)) if kind == "service" else 1,
            restart=RestartPolicy.never() if once else dice.choice(policies),
            on_lost="hold" if once else dice.choice(("replace", "hold")),
            stop_grace_s=dice.choice((0.0, 2.0)),
            labels={"kind": kind},
            health=HealthCheck.tcp(80, interval_s=2, threshold=2) if dice.random() < 0.2 else None,
            affinity=[apart] if dice.random() < 0.05 else [],
        )

    # -- and all is well again ----------------------------------------------------------------

    def _calm_down(self) -> None:
        cluster, conditions = self._cluster, self.conditions
        conditions.calm, conditions.store_fails = True, False
        conditions.cut.clear()
        manager = cluster.manager
        manager.frozen_until = 0.0
        if not manager.up:
            manager.start()
        for worker in cluster.workers.values():
            worker.frozen_until = 0.0
            worker.engine.come_up()
            if not worker.up:
                worker.start()
        cluster.run_for(61)
        for name in cluster.workers:
            manager.call(partial(_uncordon, name))
        cluster.run_for(61)

    def _come_to_rest(self) -> float:
        """14: in a bounded time all work is done, nothing is left over, and services are at their count."""
        cluster, began = self._cluster, self._cluster.now
        self._wait_until(self._is_settled, 300, "what is placed does not run")
        for job_id, job in self.oracle.jobs.items():
            if self.oracle.specs[job_id].kind == "service":
                if job.state is JobState.RUNNING:
                    self._check_count(job_id)
                cluster.manager.call(partial(_stop, job_id))
        self._wait_until(self._is_done, _CALM_S, "work is left undone")
        took_s = cluster.now - began
        for job_id in self.oracle.jobs:
            cluster.manager.call(partial(_release, job_id))
        cluster.run_for(131)
        for worker in cluster.workers.values():
            if worker.engine.there:
                raise Violation(f"invariant 14: {worker.name} has {list(worker.engine.there)} left over")
            if worker.worker is not None and not worker.worker.idle:
                raise Violation(f"invariant 14: {worker.name} is not idle")
        return took_s

    def _wait_until(self, holds: Callable[[], bool], most_s: float, words: str) -> None:
        until = self._cluster.now + most_s
        while not holds():
            if self._cluster.now > until:
                raise Violation(f"invariant 14: {words}: {self._open_tasks()}")
            self._cluster.run_for(5)

    def _is_done(self) -> bool:
        return all(task.state.terminal for task in self.oracle.tasks.values())

    def _is_settled(self) -> bool:
        """Whether just what should run runs, or waits to be restarted."""
        live = {run.launch.key.task_id for run in self.oracle.live}
        if len(live) != len(self.oracle.live):
            return False
        placed = {task.id for task in self.oracle.tasks.values() if task.live is not None}
        return live <= placed and all(
            task.state is TaskState.RUNNING for task in self.oracle.tasks.values() if task.id in placed
        )

    def _check_count(self, job_id: str) -> None:
        """A service has each of its instances, unless it used up its restarts or waits for room."""
        live = {run.launch.key.task_id for run in self.oracle.live}
        for task in self.oracle.tasks.values():
            if task.job_id == job_id and task.live is not None and task.id not in live:
                waits = "restart" in task.live.message
                if not waits:
                    raise Violation(f"invariant 14: it is told to run and does not: {task}")

    def _open_tasks(self) -> str:
        manager = self._cluster.manager.manager
        assert manager is not None
        told = [
            f"{task}\n{manager.explain(task.id, self._cluster.manager.clock())}"
            for task in self.oracle.tasks.values()
            if not task.state.terminal
        ]
        return "\n".join(told[:3])


def _uncordon(name: str, manager: object, now: float) -> None:
    manager.cordon(name, now, cordoned=False)  # type: ignore[attr-defined]


def _stop(job_id: str, manager: object, now: float) -> None:
    manager.stop(job_id, now)  # type: ignore[attr-defined]


def _release(job_id: str, manager: object, now: float) -> None:
    manager.release(job_id, now)  # type: ignore[attr-defined]


def run(scenario: Scenario, *, tell: bool = False) -> Ended:
    """Let a world happen, and say how it went; with *tell*, with the story of what broke."""
    world = World(scenario, tell=tell)
    calm_s, broken = 0.0, ""
    try:
        calm_s = world.go()
    except BROKEN as error:
        broken = f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001  a crash of the code under test is a fault like any other
        broken = "".join(traceback.format_exception(error)[-3:])
    return Ended(
        steps=world.steps,
        ops=world.done,
        trace=world.oracle.trace,
        calm_s=calm_s,
        results=world.oracle.checked,
        broken=broken,
        at_s=world.oracle.cluster.now,
        story=world.story(broken) if tell else "",
    )


def play(per_seed: int, seed: int) -> tuple[int, Ended]:
    """The seed, and how its world went; here, where other processes find it."""
    return seed, run(draw(seed, per_seed))
