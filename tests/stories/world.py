"""A whole cluster in one object, for stories: real manager, real workers, a pretended runtime, a hand-held clock.

No thread, no sleep, no I/O.  ``world.run()`` delivers what is due until nothing more happens at this
moment; ``world.pass_time(s)`` moves the clock from deadline to deadline.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from minorch.contracts import Change, Launch, RunStatus
from minorch.ids import RunKey
from minorch.manager import Manager, ManagerConfig
from minorch.messages import Assign, Report, decode, encode
from minorch.model import Job, Node, Task
from minorch.resources import Resources
from minorch.scheduling import Scheduler
from minorch.state.pictures import JobInfo, TaskInfo
from minorch.states import Reason
from minorch.worker import (
    Cancel,
    Cancelled,
    Fact,
    Kill,
    Listed,
    ListRuns,
    Probe,
    Remove,
    Removed,
    Sample,
    Sampled,
    Seen,
    Start,
    Terminate,
    Unreachable,
    Worker,
    WorkerConfig,
)

__all__ = ["Machine", "World", "sleeper"]

Answer = Callable[[Launch], Fact]


def sleeper(name: str = "sleep", **fields: object) -> Task:
    """A task that runs until the story ends it."""
    return Task(name, command=["sleep", "1000"], **fields)  # type: ignore[arg-type]


class Machine:
    """One worker with its pretended runtime: runs last until the story says otherwise."""

    def __init__(self, world: World, node: Node) -> None:
        self.world = world
        self.node = node
        self.runs: dict[RunKey, RunStatus] = {}
        self.started: list[RunKey] = []
        self.engine_up = True
        self.deaf = False
        """Nothing reaches its worker and nothing leaves it."""
        self.stubborn = False
        """Runs ignore the request to end, and have to be killed."""
        self.slow = False
        """Starts are answered only by :meth:`answer_starts`."""
        self.pending: list[Start] = []
        self.refuse: Answer | None = None
        self.starts_made = 0
        self.boot()

    def boot(self) -> None:
        """Start the worker (again); what it ran is still there."""
        self.starts_made += 1
        self.worker = Worker(
            self.node,
            cluster_id=self.world.cluster_id,
            incarnation=f"{self.node.name}-{self.starts_made}",
            random=random.Random(1),
            now=self.world.now,
            config=self.world.worker_config,
        )

    def step(self) -> Report | None:
        """Settle the worker, do what it asks of the runtime, and give its report."""
        step = self.worker.settle(self.world.now)
        self.deadline = step.deadline
        for action in step.actions:
            match action:
                case Start():
                    self.pending.append(action)
                    if not self.slow:
                        self.answer_starts()
                case Cancel(key=key):
                    self._cancel(key)
                case Terminate(key=key):
                    if not self.stubborn:
                        self.exit(key, 143)
                case Kill(key=key):
                    self.exit(key, 137)
                case Remove(key=key):
                    self.runs.pop(key, None)
                    self.tell(Removed(key=key))
                case ListRuns(asked=asked):
                    if self.engine_up:
                        self.tell(Listed(asked=asked, statuses=tuple(self.runs.values())))
                    else:
                        self.tell(Unreachable(message="engine is down"))
                case Sample():
                    self.tell(Sampled(node=None))
                case Probe():
                    self.probes.append(action)
        return step.report

    probes: list[Probe]

    def answer_starts(self) -> None:
        """Carry out the starts that wait."""
        pending, self.pending = self.pending, []
        for action in pending:
            key = action.key
            if not self.engine_up:
                self.tell(Unreachable(message="engine is down", key=key))
            elif self.refuse is not None:
                self.tell(self.refuse(action.launch))
            else:
                if key in self.started:
                    raise AssertionError(f"{key} was started twice")
                self.started.append(key)
                self.runs[key] = RunStatus(key=key, phase="running", started_at=self.world.now)
                self.tell(Seen(status=self.runs[key]))

    def _cancel(self, key: RunKey) -> None:
        if any(start.key == key for start in self.pending):
            self.pending = [start for start in self.pending if start.key != key]
            self.tell(Cancelled(key=key))

    def tell(self, fact: Fact) -> None:
        self.worker.observe(fact, self.world.now)

    def exit(self, key: RunKey, code: int, reason: Reason | None = None, *, unseen: bool = False) -> None:
        """End a run; *unseen*: nobody notices until the runtime is listed."""
        status = self.runs.get(key)
        if status is None or status.phase == "exited":
            return
        given = reason or (Reason.KILLED if code > 128 else Reason.EXITED)
        self.runs[key] = RunStatus(
            key=key,
            phase="exited",
            exit_code=code,
            reason=given,
            started_at=status.started_at,
            finished_at=self.world.now,
        )
        if not unseen:
            self.tell(Seen(status=self.runs[key]))

    @property
    def live(self) -> list[RunKey]:
        """The runs that run."""
        return [key for key, status in self.runs.items() if status.phase == "running"]


class World:
    """A manager, its machines, and the time."""

    def __init__(
        self,
        *machines: Node | str,
        scheduler: Scheduler | None = None,
        manager_config: ManagerConfig | None = None,
        worker_config: WorkerConfig | None = None,
    ) -> None:
        self.now = 1_000_000.0
        self._next_id = 0
        self.cluster_id = "c" * 32
        self.scheduler = scheduler or Scheduler()
        self.manager_config = manager_config or ManagerConfig()
        self.worker_config = worker_config or WorkerConfig()
        self.rows: dict[tuple[str, str], bytes] = {}
        self.manager_up = True
        self.sent: list[Assign] = []
        self.lose: Callable[[Assign | Report], bool] = lambda message: False
        self.start_manager()
        self.machines: dict[str, Machine] = {}
        for machine in machines:
            self.add(machine)
        self.run()

    def add(self, machine: Node | str) -> Machine:
        node = (
            Node(machine, capacity=Resources(cpu=4, memory="8GiB"), runtime="pretended")
            if isinstance(machine, str)
            else machine
        )
        self.machines[node.name] = Machine(self, node)
        self.machines[node.name].probes = []
        return self.machines[node.name]

    def start_manager(self) -> None:
        """Start the manager (again) from what was committed."""
        self.manager = Manager(
            scheduler=self.scheduler,
            ids=self._id,
            random=random.Random(0),
            now=self.now,
            rows=[Change(table, key, value) for (table, key), value in sorted(self.rows.items())],
            cluster_id=self.cluster_id,
            config=self.manager_config,
        )
        self.deadline: float | None = None

    def _id(self) -> str:
        self._next_id += 1
        return f"{self._next_id:032x}"

    # -- time and messages ------------------------------------------------------------------

    def run(self, most: int = 1000) -> None:
        """Let everything happen that happens at this moment."""
        for _ in range(most):
            busy = False
            for machine in list(self.machines.values()):
                report = machine.step()
                if report is not None:
                    busy = True
                    if not machine.deaf and self.manager_up and not self.lose(report):
                        self.manager.receive(_over_the_wire(report), self.now)
            if self.manager_up:
                busy = self._settle_manager() or busy
            if not busy:
                return
        raise AssertionError("the cluster does not come to rest")

    def _settle_manager(self) -> bool:
        step = self.manager.settle(self.now)
        self.deadline = step.deadline
        for table, key, value in step.changes:
            if value is None:
                self.rows.pop((table, key), None)
            else:
                self.rows[table, key] = value
        for message in step.messages:
            self.sent.append(message)
            machine = self.machines.get(message.worker)
            if machine is not None and not machine.deaf and not self.lose(message):
                machine.worker.receive(_over_the_wire(message), self.now)
        return bool(step.messages)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, stopping wherever somebody has something to do."""
        end = self.now + seconds
        self.run()
        for _ in range(100_000):
            deadlines = [machine.deadline for machine in self.machines.values()]
            if self.deadline is not None and self.manager_up:
                deadlines.append(self.deadline)
            self.now = min([end, *(d for d in deadlines if d > self.now)])
            self.run()
            if self.now >= end:
                return
        raise AssertionError("time does not pass")

    # -- what stories ask -------------------------------------------------------------------

    def submit(self, job: Job | Task | Sequence[Task], **fields: object) -> str:
        """Submit a job and let it be placed."""
        if not isinstance(job, Job):
            job = Job("job", job, **fields)  # type: ignore[arg-type]
        job_id = self.manager.submit(job, self.now)
        self.run()
        return job_id

    def job(self, name: str = "job") -> JobInfo:
        return self.manager.job(name)

    def task(self, name: str = "sleep", job: str = "job") -> TaskInfo:
        return next(task for task in self.job(job).tasks if task.name == name)

    def where(self, name: str = "sleep", job: str = "job") -> Machine:
        """The machine that a task is on."""
        node = self.task(name, job).node
        assert node is not None
        return self.machines[node]

    def exit(self, name: str = "sleep", code: int = 0, job: str = "job", **how: object) -> None:
        """End a task's run."""
        machine = self.where(name, job)
        task = self.task(name, job)
        (key,) = [key for key in machine.live if key.task_id == task.id]
        machine.exit(key, code, **how)  # type: ignore[arg-type]
        self.run()

    def kinds(self) -> list[str]:
        """The kinds of all events, in order."""
        return [event.kind for event in self.manager.events()]


def _over_the_wire(message: Assign | Report) -> Assign | Report:
    decoded = decode(encode(message))
    assert decoded == message
    return decoded
