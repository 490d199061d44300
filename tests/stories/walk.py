"""A random walk: everything goes wrong for a while, as drawn from a seed, and then all is well again."""

from __future__ import annotations

import itertools
import random
from functools import partial

import msgspec

from minorch.contracts import Launch
from minorch.ids import RunKey
from minorch.manager import ManagerConfig
from minorch.messages import Assign, Report
from minorch.model import Affinity, Job, RestartPolicy, SpreadOver, Task
from minorch.resources import Resources
from minorch.schedulers import EPVM, BinPack, LeastLoaded, RandomChoice, RoundRobin, Spread
from minorch.scheduling import Scheduler
from minorch.scheduling.filters import selects
from minorch.states import AttemptState, Reason, TaskState
from minorch.worker import Refused, WorkerConfig
from tests.stories.world import Machine, World, machine as node

__all__ = ["Walk"]


class Walk:
    """One seed's world and what was done to it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        draw = self.random
        self.lossy = draw.choice([0.0, 0.1, 0.4])
        self.slow = draw.choice([0.0, 0.2, 0.6])
        self.doubled = draw.choice([0.0, 0.3])
        self.crashy = draw.choice([0.0, 0.02, 0.1])
        self.late_facts = draw.choice([0.0, 0.5])
        self.wrong = True
        """Whether things still go wrong."""
        self.jobs: list[str] = []
        self.submitted = 0
        self.social = draw.random() < 0.7
        """Whether tasks have priorities, gangs and wishes about each other."""
        self.begun: set[str] = set()
        """The gangs of which some task was placed."""
        self.world = World(
            *(
                node(f"node-{at}", labels={"zone": draw.choice("ab")}, max_tasks=draw.choice([3, 100]))
                for at in range(draw.randint(1, 4))
            ),
            scheduler=draw.choice(
                [
                    Scheduler,
                    LeastLoaded,
                    BinPack,
                    Spread,
                    EPVM,
                    RoundRobin,
                    RandomChoice,
                    partial(EPVM, sample=2),
                ]
            )(),
            manager_config=ManagerConfig(
                max_lost=3,
                drain_wait_s=draw.choice([2.0, 300.0]),
                max_events=500,
                keep_runs=20,
                preemption=draw.random() < 0.5,
                reserve_after_s=draw.choice([1.0, 120.0]),
                reserve_for_s=draw.choice([0.0, 5.0, 600.0]),
                ageing_s=draw.choice([1.0, 300.0]),
            ),
            worker_config=WorkerConfig(max_starting=2, max_removing=1),
        )
        self.world.on_settled = self._settled
        self.world.check_every = 5
        self.world.read_every = 10
        self.world.lose = lambda message: self._chance(self.lossy)
        self.world.delays_s = self._delays_s
        self.world.crash = lambda moment: self._chance(self.crashy / 2)
        self.world.on_start = self._on_start
        for machine in self.world.machines.values():
            machine.refuse = self._refuse
            machine.fact_delay_s = lambda: draw.expovariate(1.0) if self._chance(self.late_facts) else 0.0

    def _chance(self, share: float) -> bool:
        return self.wrong and self.random.random() < share

    def _delays_s(self, message: Assign | Report) -> list[float]:
        copies = 2 if self._chance(self.doubled) else 1
        return [self.random.expovariate(0.3) if self._chance(self.slow) else 0.0 for _ in range(copies)]

    def _on_start(self, machine: Machine, key: RunKey) -> None:
        code = self.random.choice([0, 0, 0, 1, 137])
        lasts_s = self.random.expovariate(0.1)
        unseen = self._chance(0.1)
        self.world.later(lasts_s, lambda: machine.exit(key, code, unseen=unseen))

    def _refuse(self, launch: Launch) -> Refused | None:
        """Services find no image now and then."""
        if not launch.job.startswith("service") or not self._chance(0.3):
            return None
        return Refused(key=launch.key, reason=Reason.IMAGE_NOT_FOUND, message="not there")

    # -- what goes wrong ----------------------------------------------------------------------

    def go(self, steps: int = 30) -> None:
        """Let things go wrong for so many steps, then let them be well."""
        for _ in range(steps):
            self._step()
            self.world.pass_time(self.random.choice([0.0, 0.1, 1.0, 5.0]))
        self.heal()

    def _step(self) -> None:
        draw, world = self.random, self.world
        machine = draw.choice(list(world.machines.values()))
        match draw.randrange(14):
            case 0 | 1 | 2:
                self._submit()
            case 3 if self.jobs:
                name = draw.choice(self.jobs)
                task = draw.choice(world.job(name).tasks)
                world.stop(draw.choice([None, task.name]), name)
            case 4:
                machine.deaf = not machine.deaf
                world.pass_time(draw.choice([0, 1, 20]))
            case 5:
                machine.engine_up = not machine.engine_up
            case 6:
                machine.boot()
            case 7:
                world.start_manager()
            case 8 if self._known(machine):
                world.manager.cordon(machine.node.name, world.now, cordoned=draw.random() < 0.5)
            case 9 if self._known(machine):
                world.manager.drain(
                    machine.node.name,
                    world.now,
                    deadline_s=draw.choice([None, None, 0.0, 5.0, 60.0]),
                    at_once=draw.choice([None, None, 1, 2]),
                )
            case 10 if machine.live:
                machine.vanish(draw.choice(machine.live))
            case 11:
                machine.stubborn = not machine.stubborn
            case 12:
                machine.ambiguous = not machine.ambiguous
            case _:
                machine.slow = not machine.slow
                machine.answer_starts()

    def _known(self, machine: Machine) -> bool:
        return any(node.name == machine.node.name for node in self.world.manager.nodes())

    def _submit(self) -> None:
        draw = self.random
        self.submitted += 1
        if draw.random() < 0.1:
            self._submit_service()
            return
        tasks: list[Task] = []
        for at in range(draw.randint(1, 4)):
            before = [task.name for task in tasks if draw.random() < 0.3]
            tasks.append(
                Task(
                    f"t{at}",
                    command=["x"],
                    resources=Resources(cpu=draw.choice([0, 0.5, 1, 2])),
                    after=before,
                    completions=draw.choice([1, 1, 3]),
                    restart=draw.choice([None, RestartPolicy.on_failure(2), RestartPolicy.always(1)]),
                    on_lost=draw.choice(["replace", "hold"]),
                    stop_grace_s=draw.choice([0.0, 2.0]),
                )
            )
        job = Job(
            f"job-{self.submitted}",
            tasks,
            retries=draw.choice([0, 2]),
            parallelism=draw.choice([None, 1, 2]),
            on_failure=draw.choice(["stop", "continue"]),
            deadline_s=draw.choice([None, None, 30.0]),
            wait_for_nodes=True,
        )
        if self.social:
            job = self._social(job)
        self.world.submit(job)
        if any(info.name == job.name for info in self.world.manager.jobs()):
            self.jobs.append(job.name)  # unless the manager died before it was committed

    def _submit_service(self) -> None:
        policy = RestartPolicy.always(backoff_s=self.random.choice([0.1, 5.0]))
        task = Task("serve", command=["x"], replicas=2, restart=policy, stop_grace_s=2.0)
        job = Job(f"service-{self.submitted}", [task], kind="service", retries=1, wait_for_nodes=True)
        self.world.submit(job)
        if any(info.name == job.name for info in self.world.manager.jobs()):
            self.jobs.append(job.name)

    def _social(self, job: Job) -> Job:
        """The same job with a priority, perhaps as a gang, and with wishes about others."""
        draw = self.random
        gang = draw.random() < 0.3
        names = [task.name for task in job.tasks[: 3 if gang else None]]
        tasks = []
        for task in job.tasks[: 3 if gang else None]:
            wishes = [self._wish(names)] if draw.random() < 0.4 else []
            if gang:  # which has to fit on the smallest cluster
                wishes = [msgspec.structs.replace(wish, weight=7) for wish in wishes]
                task = msgspec.structs.replace(
                    task, completions=1, resources=Resources(cpu=draw.choice([0.25, 1]))
                )
            spread = [SpreadOver(draw.choice(["zone", "node"]), weight=draw.choice([None, 3]))]
            tasks.append(
                msgspec.structs.replace(
                    task,
                    labels={"tier": draw.choice("xy")},
                    affinity=wishes,
                    spread_over=spread if draw.random() < 0.2 else [],
                    preferences={"zone == a": 5} if draw.random() < 0.2 else {},
                    constraints=["zone == a"] if self._zone_a and draw.random() < 0.1 else [],
                    after=[] if gang else task.after,
                )
            )
        return msgspec.structs.replace(
            job,
            tasks=tasks,
            gang=gang,
            parallelism=None if gang else job.parallelism,
            priority=draw.choice([0, 0, 1, 5]),
        )

    @property
    def _zone_a(self) -> bool:
        return any(machine.node.labels["zone"] == "a" for machine in self.world.machines.values())

    def _wish(self, names: list[str]) -> Affinity:
        """Something that can be fulfilled sooner or later, whatever else there is."""
        draw = self.random
        topology, weight = draw.choice(["node", "zone"]), draw.choice([None, 7])
        match draw.randrange(4):
            case 0:
                return Affinity.apart(labels={"tier": draw.choice("xy")}, topology="node", weight=weight)
            case 1:
                return Affinity.apart(
                    job=f"job-{draw.randint(1, self.submitted)}", topology="node", weight=weight
                )
            case 2:
                return Affinity.near(task=draw.choice(names), topology=topology, weight=7)
            case _:
                return Affinity.apart(task=draw.choice(names), topology=topology, weight=7)

    # -- and is well again --------------------------------------------------------------------

    def _settled(self) -> None:
        """No gang begins in part, and no two that must be apart are on one node."""
        state = self.world.desk.state
        for job_id, entry in state.jobs.items():
            if not entry.job.gang or job_id in self.begun:
                continue
            tasks = [state.tasks[task_id] for task_id in entry.task_ids()]
            if any(task.attempt for task in tasks):
                self.begun.add(job_id)
                left = [task.name for task in tasks if not task.attempt and not task.state.terminal]
                assert not left, f"gang {entry.job.name} began without {left}"
        for name, there in state.nodes.items():
            for group, other in itertools.product(there.groups, repeat=2):
                if other is not group or there.groups[group] > 1:
                    wishes = [wish for wish in group.apart if wish.topology == "node"]
                    together = [wish for wish in wishes if selects(wish, group.job_id, other)]
                    assert not together, f"{group} is on {name} with {other}"

    def heal(self) -> None:
        """Stop everything that goes wrong, and give it all time to come to rest."""
        world = self.world
        self.wrong = False
        world.run()
        for machine in world.machines.values():
            machine.deaf = machine.stubborn = machine.ambiguous = machine.slow = False
            machine.engine_up = True
            machine.answer_starts()
        world.check_every = 25
        world.pass_time(61)
        for info in world.manager.nodes():
            world.manager.cordon(info.name, world.now, cordoned=False)
        for job in world.manager.jobs():
            if job.kind == "service" and not job.state.terminal:
                for task in job.tasks:
                    assert not task.state.terminal or task.stopping or task.reason is Reason.NODE_LOST, task
                world.manager.stop(job.id, world.now)
        world.run()
        for _ in range(40):
            if all(job.state.terminal for job in world.manager.jobs()):
                break
            world.pass_time(30)

    def check(self) -> None:
        """Everything is over, every result is what really happened, and nothing is left."""
        world = self.world
        world.check()
        for info in world.manager.jobs():
            assert info.state.terminal, world.manager.explain(info.tasks[0].id, world.now)
            for task in info.tasks:
                self._check_task(task.id)
            world.manager.release(info.id, world.now)
        world.pass_time(61)
        for machine in world.machines.values():
            assert machine.runs == {}, machine.node.name
            assert machine.worker.idle
        assert [event.number for event in world.events] == list(range(1, len(world.events) + 1))

    def _check_task(self, task_id: str) -> None:
        world = self.world
        task = world.manager.task(task_id)
        for attempt in task.attempts:
            key = RunKey(task.id, attempt.number, attempt.run)
            truth = world.machines[attempt.node].truth.get(key)
            if attempt.state is AttemptState.COMPLETED:
                assert truth is not None
                assert (truth.phase, truth.exit_code, truth.reason) == ("exited", 0, Reason.EXITED), task
            elif attempt.reason in (Reason.EXITED, Reason.KILLED):
                assert truth is not None
                assert (truth.exit_code, truth.reason) == (attempt.exit_code, attempt.reason), (truth, task)
            elif attempt.reason is Reason.VANISHED:
                assert key in world.machines[attempt.node].vanished, task
        if task.state is TaskState.COMPLETED:
            assert task.attempts[-1].state is AttemptState.COMPLETED
        if task.state is TaskState.STOPPED:
            assert task.stopping
