"""The driver in virtual time: one manager, its workers and their engines, and the messages between them.

The manager and the workers are the real ones.  What their surroundings do to them, the conditions say; what
happens, an observer is told.  There are no threads and no sleeping, and nothing depends on the machine that
this runs on: the same conditions give the same history.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from minorch.contracts import Change
from minorch.errors import MinorchError, StoreError
from minorch.manager import Manager, ManagerConfig, Step, Stopwatch
from minorch.messages import Assign, Report, decode, encode
from minorch.model import Job, Node
from minorch.scheduling import CustomFilter, Scheduler
from minorch.simulation.driver.agenda import Agenda
from minorch.simulation.driver.conditions import Conditions
from minorch.simulation.driver.engine import SimulatedEngine
from minorch.simulation.driver.observer import Observer
from minorch.worker import Fact, Worker, WorkerConfig

__all__ = ["ManagerProcess", "SimulatedCluster", "WorkerProcess"]

Call = Callable[[Manager, float], object]
Answered = Callable[[object], None]
"""Gets what a call returned or raised, once that is durable; never called if the manager dies before."""

_RETRY_S: Final = 1.0
_NO_HURRY_S: Final = 30.0
_A_MOMENT_S: Final = 1e-6
"""Added to deadlines, so that a clock that is converted to and fro shows them as past."""


def _says_nothing(report: Report) -> bool:
    """Whether it is a mere sign of life, on which nothing depends but that it is heard some time."""
    return not (report.observed or report.full or report.renew) and report.engine_ok


class _Process:
    """Something that takes in what has come for it, does its turn, and waits."""

    def __init__(self, cluster: SimulatedCluster, name: str) -> None:
        self.cluster = cluster
        self._agenda = cluster.agenda
        self.name = name
        self.clock = cluster.conditions.clock(cluster.agenda, name)
        self.lives = 0
        """How often it was started. What was meant for an earlier life comes to nothing."""
        self.frozen_until = 0.0
        """It has no turn before that, in true time, as if it were stopped; what comes for it waits."""
        self._wakes_at: float | None = None
        self._asked: set[float] = set()
        """At which times it is looked at whether it has a turn. Never iterated."""
        self._look = partial(self._look_whether_due, 0)
        self._prompt = cluster.conditions.prompt

    def _begin_life(self) -> None:
        self.lives += 1
        self._wakes_at = None
        self._asked = set()
        self._look = partial(self._look_whether_due, self.lives)

    def _wake_soon(self) -> None:
        self._wake_at(self._agenda.now + self.cluster.conditions.pause_s(self.name))

    def _wake_when(self, shown: float) -> None:
        """Have a turn when its own clock shows this."""
        self._wake_at(self.clock.true_time(shown) + _A_MOMENT_S)

    def _wake_at(self, time: float) -> None:
        agenda, before = self._agenda, self._wakes_at
        if time < agenda.now:
            time = agenda.now
        if time < self.frozen_until:
            time = self.frozen_until
        if before is not None and before <= time:
            return
        self._wakes_at = time
        if time not in self._asked:
            self._asked.add(time)
            agenda.at(time, self._look)

    def _look_whether_due(self, life: int) -> None:
        now = self._agenda.now
        if self.lives == life:
            self._asked.discard(now)
        if self.lives != life or self._wakes_at != now:
            self._agenda.steps -= 1  # nothing happened
            return
        self._wakes_at = None
        if now < self.frozen_until:
            self._wake_at(now)
        else:
            self._turn()

    def _turn(self) -> None:
        raise NotImplementedError


class ManagerProcess(_Process):
    """The process that the manager lives in: it commits before it sends, as every driver has to."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        super().__init__(cluster, "manager")
        self.manager: Manager | None = None
        """None: it is not up."""
        self.writing = False
        """Whether a transaction is under way."""
        self.faulty = False
        """Whether the store could not be written when it was last tried. No turn follows until it can."""
        self._reports: list[Report] = []
        self._calls: list[tuple[Call, Answered | None]] = []
        self._step: Step | None = None
        """What is to be written, and then sent."""
        self._unanswered: list[tuple[Answered | None, object]] = []

    @property
    def up(self) -> bool:
        """Whether there is a manager."""
        return self.manager is not None

    def start(self) -> None:
        """Start a manager from what was committed."""
        cluster = self.cluster
        self._begin_life()
        self.manager = Manager(
            scheduler=cluster.make_scheduler(),
            ids=cluster.new_id,
            random=random.Random(cluster.seed + self.lives),
            now=self.clock(),
            rows=cluster.committed(),
            cluster_id=cluster.cluster_id,
            config=cluster.manager_config,
            filters=cluster.filters,
            stopwatch=cluster.stopwatch,
            durable=cluster.durable,
        )
        cluster.observer.manager_started(self)
        self._turn()

    def crash(self, *, written: bool = False) -> None:
        """Die; *written*: a transaction that is under way is durable all the same."""
        if self.writing and written:
            self._write()
        self.lives += 1
        self.manager = None
        self.writing = self.faulty = False
        self._step = None
        for forgotten in (self._reports, self._calls, self._unanswered):
            forgotten.clear()

    def receive(self, report: Report) -> None:
        """A report has arrived."""
        if not self.up:
            return
        self._reports.append(report)
        if self._prompt and _says_nothing(report):
            self._wake_at(self.cluster.agenda.now + self.cluster.no_hurry_s)
        else:
            self._wake_soon()

    def call(self, change: Call, answered: Answered | None = None) -> None:
        """Somebody calls an entry point."""
        if self.up:
            self._calls.append((change, answered))
            self._wake_soon()

    def _turn(self) -> None:
        manager = self.manager
        if manager is None or self.writing:  # what has come is taken in when that is done
            return
        calls, self._calls = self._calls, []
        if self.faulty:
            for _, answered in calls:
                if answered is not None:
                    answered(StoreError("nothing new is accepted while the store cannot be written"))
            return
        for change, answered in calls:
            self._apply(manager, change, answered)
        reports, self._reports = self._reports, []
        for report in reports:
            manager.receive(report, self.clock())
        step = manager.settle(self.clock())
        self.cluster.observer.manager_settled(self, step)
        self._step = step
        self._begin_to_write()

    def _apply(self, manager: Manager, change: Call, answered: Answered | None) -> None:
        try:
            self._unanswered.append((answered, change(manager, self.clock())))
        except MinorchError as error:
            if answered is not None:
                answered(error)

    def _begin_to_write(self) -> None:
        assert self._step is not None
        if not self._step.changes and not self._step.events:
            self._go_on(self._step)
            return
        takes_s, fails = self.cluster.conditions.commit()
        self.writing, life = True, self.lives

        def end() -> None:
            if self.lives != life:
                return
            if fails:
                self._could_not_write()
            else:
                self._go_on(self._write())

        if takes_s > 0:
            self.cluster.agenda.after(takes_s, end)
        else:
            end()

    def _write(self) -> Step:
        step, self._step = self._step, None
        assert step is not None
        self.writing = self.faulty = False
        self.cluster.write(step.changes)
        self.cluster.observer.committed(self, step.changes, step.events)
        return step

    def _could_not_write(self) -> None:
        self.writing, self.faulty, life = False, True, self.lives

        def again() -> None:
            if self.lives == life:
                self._begin_to_write()

        self.cluster.agenda.after(_RETRY_S, again)

    def _go_on(self, step: Step) -> None:
        """What was decided is durable: send it, and answer who asked."""
        for message in step.messages:
            self.cluster.send(message)
        answers, self._unanswered = self._unanswered, []
        for answered, result in answers:
            if answered is not None:
                answered(result)
        if self._reports or self._calls:
            self._wake_soon()
        if step.deadline is not None:
            self._wake_when(step.deadline)


class WorkerProcess(_Process):
    """The process that a worker lives in, on a machine with an engine."""

    def __init__(self, cluster: SimulatedCluster, node: Node) -> None:
        super().__init__(cluster, node.name)
        self.node = node
        self.worker: Worker | None = None
        """None: it is not up."""
        self.engine = SimulatedEngine(
            cluster.agenda, node.name, self.clock, cluster.conditions, cluster.observer
        )
        self._inbox: list[Assign | Fact] = []
        self._tell: Callable[[Fact], None] = self._inbox.append
        self._in_turn = False
        """Whether facts that come are taken in by the turn that is under way."""

    @property
    def up(self) -> bool:
        """Whether there is a worker."""
        return self.worker is not None

    def start(self) -> None:
        """Start a worker, which knows nothing of what an earlier one did."""
        cluster = self.cluster
        self._begin_life()
        self.worker = Worker(
            self.node,
            cluster_id=cluster.cluster_id,
            incarnation=f"{self.name}-{self.lives}",
            random=random.Random(cluster.seed + self.lives),
            now=self.clock(),
            config=cluster.worker_config,
        )
        cluster.observer.worker_started(self)
        self._tell = self._for_this_life()
        self.engine.listen(self._tell)
        self._wake_soon()

    def crash(self) -> None:
        """Die; what the engine was asked for may happen all the same."""
        self.lives += 1
        self.worker = None
        self._inbox.clear()
        self.engine.leave()

    def _for_this_life(self) -> Callable[[Fact], None]:
        life = self.lives

        def tell(fact: Fact) -> None:
            if self.lives == life:
                self._inbox.append(fact)
                if not self._in_turn:
                    self._wake_soon()

        return tell

    def receive(self, assign: Assign) -> None:
        """An order has arrived."""
        if self.worker is None:
            return
        self._inbox.append(assign)
        if assign.entries or assign.base is None or not self._prompt or self.worker.awaits_answer:
            self._wake_soon()
        elif assign.released:
            self._wake_at(self.cluster.agenda.now + self.cluster.no_hurry_s)

    def _turn(self) -> None:
        worker = self.worker
        if worker is None:
            return
        self._take_in(worker)
        while self._prompt and self._inbox:
            self._take_in(worker)
        step = worker.tell(self.clock())
        if step.report is not None:
            self.cluster.send(step.report)
        self._wake_when(step.deadline)

    def _take_in(self, worker: Worker) -> None:
        """Have the worker take in what has come, and the engine do what it asks for."""
        inbox, self._inbox = self._inbox, []
        now = self.clock()
        for item in inbox:
            if isinstance(item, Assign):
                worker.receive(item, now)
            else:
                worker.observe(item, now)
        actions = worker.act(now)
        self.cluster.observer.worker_settled(self, actions)
        self._in_turn = self._prompt
        for action in actions:
            self.engine.do(action, self._tell)
        self._in_turn = False


class SimulatedCluster:
    """A whole cluster in virtual time.

    Args:
        nodes: the machines, each with an engine and a worker.
        make_scheduler: makes the strategy; called at each start of the manager.
        conditions: how long things take, and what goes wrong; by default neither.
        observer: is told everything that happens.
        manager_config: the manager's waits and bounds.
        worker_config: the workers'.
        filters: filters of one's own, by name.
        wire: encode and decode each message, as a transport would.
        now: the true time at the beginning, in seconds since 1970.
        seed: what managers and workers draw is drawn from it.
        stopwatch: real time in seconds, read before and after each plan; None: it is not.
        durable: whether a manager may be started again; if not, nothing that it decides is kept in rows.
    """

    def __init__(
        self,
        nodes: Iterable[Node] = (),
        *,
        make_scheduler: Callable[[], Scheduler] = Scheduler,
        conditions: Conditions | None = None,
        observer: Observer | None = None,
        manager_config: ManagerConfig | None = None,
        worker_config: WorkerConfig | None = None,
        filters: Mapping[str, CustomFilter] | None = None,
        wire: bool = False,
        now: float = 1_000_000.0,
        seed: int = 0,
        stopwatch: Stopwatch | None = None,
        durable: bool = True,
    ) -> None:
        self.agenda = Agenda(now)
        self.make_scheduler = make_scheduler
        self.conditions = conditions or Conditions()
        self.observer = observer or Observer()
        self.manager_config = manager_config or ManagerConfig()
        self.worker_config = worker_config or WorkerConfig()
        self.filters = filters
        self.seed = seed
        self.stopwatch = stopwatch
        self.durable = durable
        self.no_hurry_s = min(_NO_HURRY_S, self.manager_config.resend_s / 4)
        """In a prompt world: for so long a mere sign of life, and what is to be removed, waits for a turn
        that something else makes necessary."""
        self.cluster_id = "c" * 32
        self.rows: dict[tuple[str, str], bytes] = {}
        """What is durable."""
        self._wire = wire
        self._ids = 0
        self.observer.begins(self)
        self.manager = ManagerProcess(self)
        self.manager.start()
        self.workers: dict[str, WorkerProcess] = {}
        for node in nodes:
            self.add(node)

    def add(self, node: Node) -> WorkerProcess:
        """Have a machine join."""
        worker = self.workers[node.name] = WorkerProcess(self, node)
        worker.start()
        return worker

    @property
    def now(self) -> float:
        """The true time."""
        return self.agenda.now

    def new_id(self) -> str:
        """An id that there was never before."""
        self._ids += 1
        return f"{self._ids:032x}"

    # -- what is durable ----------------------------------------------------------------------

    def committed(self) -> list[Change]:
        """Every durable row, in the order of table and key."""
        return [Change(table, key, value) for (table, key), value in sorted(self.rows.items())]

    def write(self, changes: Iterable[Change]) -> None:
        """Make changes durable."""
        for table, key, value in changes:
            if value is None:
                self.rows.pop((table, key), None)
            else:
                self.rows[table, key] = value

    # -- messages -----------------------------------------------------------------------------

    def send(self, message: Assign | Report) -> None:
        """Have a message travel, and arrive or not."""
        self.observer.sent(message)
        prompt = self.conditions.prompt
        for delay_s in self.conditions.arrivals_s(message):
            if prompt and not delay_s:
                self._deliver(message)
            else:
                self.agenda.after(delay_s, partial(self._deliver, message))

    def _deliver(self, message: Assign | Report) -> None:
        arrived = decode(encode(message)) if self._wire else message
        self.observer.delivered(arrived)
        if isinstance(arrived, Report):
            self.manager.receive(arrived)
        else:
            self.workers[arrived.worker].receive(arrived)

    # -- what users do ------------------------------------------------------------------------

    def submit(self, job: Job, answered: Answered | None = None) -> None:
        """Submit a job; *answered* gets its id, or the error, once that is durable."""
        self.manager.call(lambda manager, now: manager.submit(job, now), answered)

    def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        self.agenda.run_until(self.agenda.now + seconds)
