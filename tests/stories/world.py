"""A whole cluster in one object, for stories: real manager, real workers, a pretended runtime and clock.

No thread, no sleep, no I/O.  ``world.run()`` delivers what is due until nothing more happens at this
moment; ``world.pass_time(s)`` moves the clock from deadline to deadline.  Whenever the manager settles,
every invariant is checked, and that the rows which were committed are all that it knows.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping, Sequence

from minorch.contracts import Change, Launch, Probe as ProbeAnswer, RunStatus
from minorch.ids import RunKey
from minorch.manager import Manager, ManagerConfig
from minorch.manager.desk import Desk
from minorch.manager.invariants import check_desk, check_planner
from minorch.messages import Assign, Report, decode, encode
from minorch.model import Job, Node, Task
from minorch.resources import Resources
from minorch.scheduling import CustomFilter, Scheduler
from minorch.state.events import Event
from minorch.state.invariants import check_invariants, check_stored
from minorch.state.pictures import JobInfo, TaskInfo
from minorch.states import Reason
from minorch.worker import (
    Action,
    Cancel,
    Cancelled,
    Fact,
    Kill,
    Listed,
    ListRuns,
    Probe,
    Probed,
    Refused,
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

__all__ = ["Machine", "World", "machine", "refusing", "sleeper"]

Answer = Callable[[Launch], Fact | None]
"""How a start is refused; None: it is not."""


def sleeper(name: str = "sleep", **fields: object) -> Task:
    """A task that runs until the story ends it."""
    return Task(name, command=["sleep", "1000"], **fields)  # type: ignore[arg-type]


def machine(name: str, **fields: object) -> Node:
    """What a machine offers, where the story cares."""
    fields = {"capacity": Resources(cpu=4, memory="8GiB"), "runtime": "pretended", **fields}
    return Node(name, **fields)  # type: ignore[arg-type]


def refusing(reason: Reason, message: str = "no", exit_code: int | None = None) -> Answer:
    """Refuse every start for this reason."""
    return lambda launch: Refused(key=launch.key, reason=reason, message=message, exit_code=exit_code)


class Machine:
    """One worker with its pretended runtime: runs last until the story says otherwise."""

    def __init__(self, world: World, node: Node) -> None:
        self.world = world
        self.node = node
        self.runs: dict[RunKey, RunStatus] = {}
        """What the runtime has."""
        self.truth: dict[RunKey, RunStatus] = {}
        """Every run there ever was, as it last was."""
        self.started: list[RunKey] = []
        self.vanished: set[RunKey] = set()
        """Those that somebody removed: what leaves no trace and was not reported yet may start again."""
        self.actions: list[Action] = []
        """Everything that its workers asked for."""
        self.probes: list[Probe] = []
        self.pending: list[Start] = []
        self.engine_up = True
        self.ambiguous = False
        """Starts are carried out even though the engine does not answer."""
        self.deaf = False
        """Nothing reaches its worker and nothing leaves it."""
        self.stubborn = False
        """Runs ignore the request to end, and have to be killed."""
        self.slow = False
        """Starts are answered only by :meth:`answer_starts`."""
        self.refuse: Answer | None = None
        self.removal_fails = ""
        """Why nothing can be removed; empty: everything can."""
        self.healthy: Callable[[RunKey], bool] | None = None
        """How health checks are answered; None: only the story does."""
        self.fact_delay_s: Callable[[], float] = lambda: 0.0
        self.deadline = world.now
        self.starts_made = 0
        self.boot()

    def boot(self) -> None:
        """Start the worker (again); what it ran is still there, what it asked for last may never happen."""
        self.starts_made += 1
        self.pending.clear()
        self.worker = Worker(
            self.node,
            cluster_id=self.world.cluster_id,
            incarnation=f"{self.node.name}-{self.starts_made}",
            random=random.Random(1),
            now=self.world.now,
            config=self.world.worker_config,
        )

    def step(self) -> tuple[Report | None, bool]:
        """Settle the worker, do what it asks of the runtime; its report, and whether it asked for any."""
        step = self.worker.settle(self.world.now)
        self.deadline = step.deadline
        self.actions += step.actions
        for action in step.actions:
            self._do(action)
        return step.report, bool(step.actions)

    def _do(self, action: Action) -> None:
        match action:
            case Start():
                self.world.check_counted_on(self, action.key)
                self.pending.append(action)
                if not self.slow:
                    self.answer_starts()
            case Cancel(key=key):
                if any(start.key == key for start in self.pending):
                    self.pending = [start for start in self.pending if start.key != key]
                    self.tell(Cancelled(key=key))
            case ListRuns(asked=asked):
                if self.engine_up:
                    self.tell(Listed(asked=asked, statuses=tuple(self.runs.values())))
                else:
                    self.tell(Unreachable(message="engine is down"))
            case Sample():
                self.tell(Sampled(node=None))
            case Terminate(key=key) | Kill(key=key) | Remove(key=key) | Probe(key=key) if not self.engine_up:
                self.tell(Unreachable(message="engine is down", key=key))
            case Terminate(key=key):
                if not self.stubborn:
                    self.exit(key, 143)
            case Kill(key=key):
                self.exit(key, 137)
            case Remove(key=key):
                self._remove(key)
            case Probe(key=key):
                self.probes.append(action)
                if self.healthy is not None:
                    self.tell(Probed(key=key, probe=ProbeAnswer(self.healthy(key), "was asked")))

    def answer_starts(self) -> None:
        """Carry out the starts that wait."""
        pending, self.pending = self.pending, []
        for action in pending:
            key = action.key
            refused = self.refuse(action.launch) if self.refuse is not None else None
            if not self.engine_up:
                if self.ambiguous:
                    self.really_start(key)
                self.tell(Unreachable(message="engine is down", key=key))
            elif refused is not None:
                self.tell(refused)
            else:
                self.really_start(key)
                self.tell(Seen(status=self.runs[key]))

    def really_start(self, key: RunKey) -> None:
        """What the contract asks of a runtime: a run that was started before is not started again."""
        if key in self.runs:
            return
        if key in self.started and key not in self.vanished:
            raise AssertionError(f"{key} was started twice")
        self.world.check_alone(self, key)
        self.started.append(key)
        self.truth[key] = self.runs[key] = RunStatus(key=key, phase="running", started_at=self.world.now)
        self.world.on_start(self, key)

    def _remove(self, key: RunKey) -> None:
        status = self.runs.get(key)
        if status is not None and (self.removal_fails or status.phase == "running"):
            self.tell(Removed(key=key, error=self.removal_fails or "it still runs"))
            return
        self.runs.pop(key, None)
        self.tell(Removed(key=key))

    def tell(self, fact: Fact) -> None:
        """Have the worker know, now or after a while; a worker that was started since never does."""
        worker, delay_s = self.worker, self.fact_delay_s()

        def observe() -> None:
            if worker is self.worker:
                worker.observe(fact, self.world.now)

        if delay_s:
            self.world.later(delay_s, observe)
        else:
            observe()

    def exit(self, key: RunKey, code: int, reason: Reason | None = None, *, unseen: bool = False) -> None:
        """End a run; *unseen*: nobody notices until the runtime is listed."""
        status = self.runs.get(key)
        if status is None or status.phase == "exited":
            return
        given = reason or (Reason.KILLED if code > 128 else Reason.EXITED)
        self.truth[key] = self.runs[key] = RunStatus(
            key=key,
            phase="exited",
            exit_code=code,
            reason=given,
            started_at=status.started_at,
            finished_at=self.world.now,
        )
        if not unseen and self.engine_up:
            self.tell(Seen(status=self.runs[key]))

    def vanish(self, key: RunKey) -> None:
        """Somebody else removes a run; of those before it there is no trace any more either."""
        self.vanished |= {
            other for other in self.started if (other.task_id, other.attempt) == (key.task_id, key.attempt)
        }
        del self.runs[key]

    def asked_for(self, kind: type[Action]) -> int:
        """How many actions of this kind its workers asked for."""
        return sum(isinstance(action, kind) for action in self.actions)

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
        filters: Mapping[str, CustomFilter] | None = None,
    ) -> None:
        self.filters = filters
        self.now = 1_000_000.0
        self._next_id = 0
        self.cluster_id = "c" * 32
        self.scheduler = scheduler or Scheduler()
        self.manager_config = manager_config or ManagerConfig()
        self.worker_config = worker_config or WorkerConfig()
        self.rows: dict[tuple[str, str], bytes] = {}
        self.events: list[Event] = []
        self.manager_up = True
        self.sent: list[Assign] = []
        self.heard: list[Report] = []
        self.lose: Callable[[Assign | Report], bool] = lambda message: False
        self.delays_s: Callable[[Assign | Report], Sequence[float]] = lambda message: (0.0,)
        """After which times copies of a message arrive."""
        self.crash: Callable[[str], bool] = lambda moment: False
        """Whether the manager dies ``before`` or ``after`` it committed."""
        self.on_start: Callable[[Machine, RunKey], None] = lambda machine, key: None
        self.on_settled: Callable[[], None] = lambda: None
        """Asked after every settlement, for what a story expects of all of them."""
        self.check_every = 1
        """Invariants are checked at every so many settlements, and the rows at every so many checks."""
        self.read_every = 1
        self._settled = 0
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0
        self.shrunk: set[str] = set()
        self.machines: dict[str, Machine] = {}
        self.start_manager()
        for machine in machines:
            self.add(machine)
        self.run()

    def add(self, node: Node | str) -> Machine:
        if isinstance(node, str):
            node = machine(node)
        self.machines[node.name] = Machine(self, node)
        return self.machines[node.name]

    def start_manager(self) -> None:
        """Start the manager (again) from what was committed."""
        self.manager = Manager(
            scheduler=self.scheduler,
            ids=self._id,
            random=random.Random(0),
            now=self.now,
            rows=self._committed(),
            cluster_id=self.cluster_id,
            config=self.manager_config,
            filters=self.filters,
        )
        self.deadline: float | None = None

    def _committed(self) -> list[Change]:
        return [Change(table, key, value) for (table, key), value in sorted(self.rows.items())]

    def _id(self) -> str:
        self._next_id += 1
        return f"{self._next_id:032x}"

    # -- time and messages ------------------------------------------------------------------

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Have something happen after a while."""
        self._planned += 1
        heapq.heappush(self._later, (self.now + delay_s, self._planned, call))

    def run(self, most: int = 1000) -> None:
        """Let everything happen that happens at this moment."""
        for _ in range(most):
            busy = False
            while self._later and self._later[0][0] <= self.now:
                heapq.heappop(self._later)[2]()
                busy = True
            for machine in list(self.machines.values()):
                report, acted = machine.step()
                busy = busy or acted
                if report is not None:
                    busy = True
                    self._send(report, machine)
            if self.manager_up:
                busy = self._settle_manager() or busy
            if not busy:
                return
        raise AssertionError("the cluster does not come to rest")

    def _send(self, message: Assign | Report, machine: Machine | None) -> None:
        if machine is None or machine.deaf or self.lose(message):
            return
        for delay_s in self.delays_s(message):
            if delay_s:
                self.later(delay_s, lambda: self._deliver(message, machine))
            else:
                self._deliver(message, machine)

    def _deliver(self, message: Assign | Report, machine: Machine) -> None:
        if machine.deaf:
            return
        arrived = decode(encode(message))
        assert arrived == message
        if isinstance(arrived, Assign):
            machine.worker.receive(arrived, self.now)
        elif self.manager_up:
            self.heard.append(arrived)
            self.manager.receive(arrived, self.now)

    def _settle_manager(self) -> bool:
        step = self.manager.settle(self.now)
        self.on_settled()
        if self.crash("before"):
            self.start_manager()
            return True
        self.deadline = step.deadline
        for table, key, value in step.changes:
            if value is None:
                del self.rows[table, key]
            else:
                self.rows[table, key] = value
        self.events += step.events
        self._settled += bool(step.changes or step.messages)
        if (step.changes or step.messages) and self._settled % self.check_every == 0:
            self.check(rows=self._settled % (self.check_every * self.read_every) == 0)
        if self.crash("after"):
            self.start_manager()
            return True
        for message in step.messages:
            self.sent.append(message)
            self._send(message, self.machines.get(message.worker))
        return bool(step.messages)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, stopping wherever somebody has something to do."""
        end = self.now + seconds
        self.run()
        for _ in range(100_000):
            deadlines = [machine.deadline for machine in self.machines.values()]
            if self.deadline is not None and self.manager_up:
                deadlines.append(self.deadline)
            if self._later:
                deadlines.append(self._later[0][0])
            self.now = min([end, *(d for d in deadlines if d > self.now)])
            self.run()
            if self.now >= end:
                return
        raise AssertionError("time does not pass")

    # -- what always holds ------------------------------------------------------------------

    @property
    def desk(self) -> Desk:
        """The manager's own memory, for checks only."""
        return self.manager._desk

    def check(self, *, rows: bool = True) -> None:
        """Check every invariant, and that the committed rows are all that the manager knows."""
        state = self.desk.state
        check_invariants(state, shrunk=self.shrunk)
        check_desk(self.desk)
        check_planner(self.desk, self.manager._planner)
        most = self.manager_config.max_events
        if rows:
            check_stored(state, self._committed(), most_events=most, now=self.now, shrunk=self.shrunk)

    def check_alone(self, machine: Machine, key: RunKey) -> None:
        """Nothing of a task runs when a run of it starts, but on nodes that were declared lost."""
        task = self.desk.state.tasks.get(key.task_id)
        lost = (
            {a.number for a in task.attempts if a.reason is Reason.NODE_LOST} if task is not None else set()
        )
        for other in self.machines.values():
            for live in other.live:
                if live.task_id == key.task_id and not {live.attempt, key.attempt} & lost:
                    raise AssertionError(f"{live} runs on {other.node.name} while {key} starts")

    def check_counted_on(self, machine: Machine, key: RunKey) -> None:
        """Nothing that never ran is begun by a worker after its manager gave up on it."""
        if any(other[:2] == key[:2] for other in machine.started):
            return
        task = self.desk.state.tasks.get(key.task_id)
        for attempt in task.attempts if task is not None else ():
            if attempt.number == key.attempt and attempt.reason is Reason.NODE_LOST:
                raise AssertionError(f"{key} is begun on {machine.node.name}, which was given up")

    # -- what stories ask -------------------------------------------------------------------

    def submit(self, job: Job | Task | Sequence[Task], **fields: object) -> str:
        """Submit a job and let it be placed."""
        if not isinstance(job, Job):
            job = Job("job", job, **fields)  # type: ignore[arg-type]
        job_id = self.manager.submit(job, self.now)
        self.run()
        return job_id

    def stop(self, name: str | None = None, job: str = "job") -> None:
        """Stop a job, or one task of it."""
        task_id = None if name is None else self.task(name, job).id
        self.manager.stop(self.job(job).id, self.now, task_id=task_id)
        self.run()

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

    def states(self, job: str = "job") -> dict[str, str]:
        """The states of all tasks of a job, by name."""
        return {task.name: str(task.state) for task in self.job(job).tasks}

    def kinds(self, task: str | None = None) -> list[str]:
        """The kinds of all events, or of those of one task, in order."""
        return [event.kind for event in self.events if task is None or event.task == task]
