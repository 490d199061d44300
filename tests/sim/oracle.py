"""What must hold in every world, asked after every step that could break it. The numbers are the design's.

What really ran is known from the engines; what is durable, from what was committed.  Neither is asked of the
manager that is under test.
"""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Sequence

from minorch.contracts import Change
from minorch.errors import InvariantError
from minorch.ids import RunKey
from minorch.manager import Step
from minorch.manager.invariants import check_desk, check_planner
from minorch.messages import Assign, Report
from minorch.model import Job, Task
from minorch.simulation import ManagerProcess, Observer, Run, SimulatedCluster, SimulatedEngine, WorkerProcess
from minorch.state.events import Event
from minorch.state.invariants import check_changed, check_invariants, check_stored
from minorch.state.records import AttemptRecord, JobRecord, TaskRecord, load
from minorch.states import TASK_MOVES, AttemptState, Reason, TaskState
from minorch.worker import Action, Cancel, Kill, Remove, Start, Terminate

__all__ = ["Oracle", "Violation"]

_EVERY_FULL = 40
_EVERY_STORED = 150
_FASTEST_CLOCK = 1.05
"""How many seconds a clock counts in a true one, at most."""
_MOVES = ("task_moving", "task_preempted")
_ENDS = ("task_completed", "task_failed", "task_stopped")


class Violation(Exception):
    """Something that must always hold does not."""


class Oracle(Observer):
    """Watches one world."""

    cluster: SimulatedCluster

    def __init__(self, most_steps: int) -> None:
        self._most_steps = most_steps
        self.trace = 0
        """A checksum of everything that happened, in order."""
        self.tasks: dict[str, TaskRecord] = {}
        """As they were last committed."""
        self._gone: dict[str, TaskRecord] = {}
        """What was last known of tasks that the manager has forgotten. A worker that has not heard of that
        yet may restart what it has."""
        self.jobs: dict[str, JobRecord] = {}
        self.specs: dict[str, Job] = {}
        self._largest_turn = 0
        """How many events the largest turn had."""
        self.events = 0
        """The number of the latest event that was committed."""
        self.checked = 0
        """How many results were compared with what really happened."""
        self.untraceable: set[tuple[str, int]] = set()
        """Attempts of which somebody removed what there was, or which their engine forgot: nothing tells that
        they began, and they may begin again if they are not of those that begin once at most."""
        self._ended: dict[str, TaskState] = {}
        self._moves: Counter[str] = Counter()
        """How often each task was moved, for whatever reason, which costs it nothing."""
        self._failures: dict[str, set[int]] = {}
        """Attempts that failed, and not with their nodes: there is no end to those of a service."""
        self._positions: dict[str, tuple[int, int]] = {}
        """By incarnation: the epoch and revision that its worker has applied."""
        self._sequences: dict[str, int] = {}
        self._runs: dict[tuple[str, int], list[Run]] = {}
        """Every run that really began, by task and attempt."""
        self._live: dict[str, list[Run]] = {}
        """What really runs, by task."""
        self._stops: dict[tuple[str, str, int], tuple[int, int]] = {}
        """By incarnation, task and attempt: the epoch and revision of the first order to stop it."""
        self._epoch = 0
        """The latest that was told to anybody."""
        self._settled = self._written = 0
        self.lines: list[tuple[float, str, str]] | None = None
        """When, about which tasks, and what happened; None: nobody wants to read it."""

    def tell(self, about: object, *words: object) -> None:
        """Write down something that happened, if anybody wants to read it."""
        if self.lines is not None:
            self.lines.append((self.cluster.now, str(about), " ".join(map(str, words))))

    def note(self, *what: object) -> None:
        """Add something to the trace."""
        if self.cluster.agenda.steps > self._most_steps:
            raise Violation("invariant 14: somebody is busy without end")
        self.trace = zlib.crc32(repr((round(self.cluster.now, 6), *what)).encode(), self.trace)

    def begins(self, cluster: SimulatedCluster) -> None:
        """Watch this one."""
        self.cluster = cluster

    # -- the manager --------------------------------------------------------------------------

    def manager_started(self, process: ManagerProcess) -> None:
        """A manager has read what was committed."""
        self.note("manager")
        self.tell("", "the manager starts")
        manager = process.manager
        assert manager is not None
        self._require(manager.epoch > self._epoch, 12, f"epoch {manager.epoch} follows {self._epoch}")

    def manager_settled(self, process: ManagerProcess, step: Step) -> None:
        """4, 5, 6, 13: tables, counts and queues are as they must be."""
        manager = process.manager
        assert manager is not None
        desk = manager._desk
        self.note("settled", len(step.changes))
        self._largest_turn = max(self._largest_turn, len(step.events))
        self._settled += 1
        if self._settled % _EVERY_FULL == 0:
            check_invariants(desk.state)
            check_planner(desk, manager._planner)
            check_desk(desk)
            self._check_bounds(process)
        elif step.changes:
            check_changed(desk.state, step.changes)
            check_desk(desk)

    def _check_bounds(self, process: ManagerProcess) -> None:
        """13: every queue, history and log has a bound."""
        manager = process.manager
        assert manager is not None
        desk, config = manager._desk, self.cluster.manager_config
        tasks = len(desk.state.tasks)
        timers = len(desk.timers._heap)
        most = 300 + 4 * (len(desk.state.nodes) + len(desk.state.jobs) + tasks)
        self._require(timers <= most, 13, f"the manager has {timers} timers, with {tasks} tasks")
        self._require(
            len(desk.state.events.since(0)) < self._largest_turn + max(config.max_events, self._largest_turn),
            13,
            "too many events are kept",
        )
        for session in desk.sessions.values():
            self._require(len(session.released) <= tasks + 50, 13, f"{session.worker} is to release too much")
        for worker in self.cluster.workers.values():
            if worker.worker is None:
                continue
            local = worker.worker
            attempts = len(local._attempts.attempts)
            timers = len(local._timers._heap)
            self._require(
                timers <= 300 + 20 * attempts, 13, f"{worker.name} has {timers} timers for {attempts}"
            )
            self._require(
                len(local._unheard) <= attempts + 50, 13, f"{worker.name} remembers too many reports"
            )
            waiting = sum(len(a.leftovers) for a in local._attempts.attempts.values())
            self._require(waiting <= 4 * attempts + 4, 13, f"{worker.name} has {waiting} leftovers")

    def committed(self, process: ManagerProcess, changes: Sequence[Change], events: Sequence[Event]) -> None:
        """1, 4, 6 to 10: what is durable now follows from what was before, and from what really happened."""
        told = {event.task_id for event in events if event.kind in _ENDS}
        for table, key, value in changes:
            if table == "task" and value is None:
                self._task_forgotten(key, told)
            elif table == "task" and value is not None:
                self._task_committed(key, value)
            elif table == "job":
                self._job_committed(key, value)
            elif table == "spec" and value is not None:
                record = load(table, key, value)
                assert isinstance(record, Job)
                self.specs[key] = record
        for event in events:
            if event.kind in _MOVES:
                self._moves[event.task_id] += 1
            self._require(event.number == self.events + 1, 10, f"event {event.number} follows {self.events}")
            self.events = event.number
            self.tell(event.task_id, "committed:", event)
        self.note("commit", len(changes), self.events)
        self._written += 1
        manager = process.manager
        if self._written % _EVERY_STORED == 0 and manager is not None:
            state, most = manager._desk.state, self.cluster.manager_config.max_events
            check_stored(state, self.cluster.committed(), most_events=most, now=process.clock())

    def _job_committed(self, key: str, value: bytes | None) -> None:
        if value is None:
            self.jobs.pop(key, None)
            self.specs.pop(key, None)
            return
        record = load("job", key, value)
        assert isinstance(record, JobRecord)
        before = self.jobs.get(key)
        over = before is not None and before.state.terminal
        self._require(not over or record.state is before.state, 4, f"job {key} was {before} and is {record}")  # type: ignore[union-attr]
        self.jobs[key] = record

    def _task_forgotten(self, key: str, told: set[str]) -> None:
        """1: only what is over is forgotten, or is over in the same transaction."""
        before = self.tasks.pop(key, None)
        if before is not None:
            self._gone[key] = before
        over = before is None or before.state.terminal or key in told
        self._require(over, 1, f"{key} was forgotten, and was {before}")
        self._ended.pop(key, None)
        self._failures.pop(key, None)

    def _task_committed(self, key: str, value: bytes) -> None:
        before = self.tasks.get(key)
        task = load("task", key, value)
        assert isinstance(task, TaskRecord)
        self.tasks[key] = task
        for attempt in task.attempts:
            if attempt.state is AttemptState.FAILED and attempt.reason is not Reason.NODE_LOST:
                self._failures.setdefault(key, set()).add(attempt.number)
        if before is not None:
            self._check_move(before, task)
        if task.state.terminal and key not in self._ended:
            self._ended[key] = task.state
            self._check_end(task)

    def _check_move(self, before: TaskRecord, task: TaskRecord) -> None:
        same = task.state is before.state
        if before.state.terminal:
            kept = (before.state, before.reason, before.exit_code, before.attempt, before.finished_at)
            now = (task.state, task.reason, task.exit_code, task.attempt, task.finished_at)
            self._require(kept == now, 4, f"over was {before}, and is {task}")
        elif not same and task.state not in TASK_MOVES[before.state]:
            # several moves may share one commit; from PENDING all states can be reached in steps
            back = before.state in (TaskState.SCHEDULED, TaskState.RUNNING)
            through = TaskState.PENDING if back else TaskState.SCHEDULED
            legal = through in TASK_MOVES[before.state] and (task.state in TASK_MOVES[through])
            self._require(legal, 4, f"from {before} to {task}")
        self._require(
            task.attempt >= before.attempt, 4, f"attempts were {before.attempt}, are {task.attempt}"
        )
        if before.ending is not None:
            self._require(task.attempt == before.attempt, 8, f"a new attempt after a stop: {before}, {task}")
            self._require(task.state is not TaskState.PENDING or same, 8, f"waits again: {before}, {task}")

    def _check_end(self, task: TaskRecord) -> None:
        """1, 6, 7, 8: a task is over, rightly."""
        for attempt in task.attempts:
            self._check_result(task, attempt)
        if task.state is TaskState.COMPLETED:
            attempt = task.attempts[-1]
            self._require(attempt.state is AttemptState.COMPLETED, 7, f"its attempt did not complete: {task}")
        if task.state is TaskState.STOPPED:
            self._require(task.ending is not None, 8, f"stopped unasked: {task}")
        job = self.specs.get(task.job_id)
        if job is not None and task.attempts:
            most = 1 + job.retries + self.cluster.manager_config.max_lost + 1 + self._moves[task.id]
            if job.kind == "service":
                most += len(self._failures.get(task.id, ()))
            self._require(task.attempt <= most, 6, f"{task.attempt} attempts: {task}")

    def _check_result(self, task: TaskRecord, attempt: AttemptRecord) -> None:
        """7: what is told of an attempt is what happened to the last run of it that really began."""
        if (task.id, attempt.number) in self.untraceable:  # it may have begun twice, and either is told
            return
        runs = self._runs.get((task.id, attempt.number), [])
        told = f"{attempt} of {task}"
        if attempt.state is AttemptState.COMPLETED or attempt.reason in (
            Reason.EXITED,
            Reason.KILLED,
            Reason.OOM,
        ):
            self.checked += 1
            last = [run for run in runs if run.launch.key.run == attempt.run]
            self._require(bool(last), 7, f"no such run ever began: {told}")
            status = last[-1].status
            is_over = status.phase == "exited"
            self._require(is_over, 7, f"it runs, or was removed: {status} is told as {told}")
            same = (status.exit_code, status.reason) == (attempt.exit_code, attempt.reason)
            self._require(same, 7, f"it was {status}, and is told as {told}")
            later = [run for run in runs if run.launch.key.run > attempt.run]
            self._require(not later, 7, f"a later run began: {told}")
        if attempt.state is not AttemptState.FAILED or attempt.reason is not Reason.NODE_LOST:
            live = [run for run in runs if run.live]
            self._require(not live, 7, f"it runs still: {told}")

    # -- messages -----------------------------------------------------------------------------

    def sent(self, message: Assign | Report) -> None:
        """9: what is sent is committed. 12: positions of workers never go back."""
        if isinstance(message, Assign):
            self._epoch = message.epoch
            base = "in full" if message.base is None else f"after {message.base}"
            for entry in message.entries:
                self.tell(
                    entry.task_id,
                    f"sent to {message.worker}: {message.epoch}.{message.revision} "
                    f"({base}, to {message.incarnation}): {entry.desired} attempt {entry.attempt}, "
                    f"run {entry.run} is known",
                )
            for task_id, number in message.released:
                self.tell(
                    task_id, f"sent to {message.worker}: forget attempt {number} ({message.incarnation})"
                )
            for entry in message.entries:
                if entry.desired == "stop":
                    about = message.incarnation, entry.task_id, entry.attempt
                    self._stops.setdefault(about, (message.epoch, message.revision))
                task = self.tasks.get(entry.task_id)
                known = task is not None and task.attempt >= entry.attempt
                self._require(known, 9, f"attempt {entry.attempt} of {entry.task_id} was sent, not committed")
                if task is not None and entry.desired == "run":
                    stopped = task.ending is not None or task.state.terminal
                    self._require(not stopped, 8, f"told to run, though it is to stop: {task}")
        else:
            for seen in message.observed:
                self.tell(
                    seen.task_id,
                    f"{message.incarnation} reports ({message.sequence}, has "
                    f"{message.epoch}.{message.revision}): "
                    f"attempt {seen.attempt} run {seen.run} {seen.state} {seen.reason or ''} {seen.message}",
                )
            at, before = (message.epoch, message.revision), self._positions.get(message.incarnation, (0, 0))
            self._require(at >= before, 12, f"{message.incarnation} went from {before} back to {at}")
            self._positions[message.incarnation] = at
            number, last = message.sequence, self._sequences.get(message.incarnation, 0)
            self._require(number == last + 1, 12, f"{message.incarnation} sent {number} after {last}")
            self._sequences[message.incarnation] = number
        self.note("sent", message.worker, message.epoch, message.revision)

    def delivered(self, message: Assign | Report) -> None:
        """A message has arrived."""
        self.note("arrived", message.worker)

    # -- workers and engines ------------------------------------------------------------------

    def worker_started(self, process: WorkerProcess) -> None:
        """A worker has started, knowing nothing."""
        self.note(process.name, process.lives)
        self.tell("", process.name, "starts; there is", [key[1:] for key in process.engine.there])

    def worker_settled(self, process: WorkerProcess, actions: Sequence[Action]) -> None:
        """3: a worker that was given up begins nothing new. 11: what is confirmed is there."""
        self._check_applied(process)
        self.note(process.name, *(type(action).__name__ for action in actions))
        for action in actions:
            if isinstance(action, Start | Kill | Terminate | Remove | Cancel):
                self.tell(action.key.task_id, process.name, "asks to", type(action).__name__, action.key[1:])
            if isinstance(action, Start):
                self._check_not_stopped(process, action.key)
                if action.key.run == 1:
                    self._check_allowed(process, action.key)

    def _check_not_stopped(self, process: WorkerProcess, key: RunKey) -> None:
        """8: what a worker was told to stop it does not start any more."""
        worker = process.worker
        assert worker is not None
        stopped = self._stops.get((worker._incarnation, key.task_id, key.attempt))
        told = stopped is not None and (worker._epoch, worker._revision) >= stopped
        self._require(not told, 8, f"{process.name} starts {key}, which it was told to stop")

    def _check_applied(self, process: WorkerProcess) -> None:
        """Whatever became of the messages, equal revisions mean equal knowledge."""
        manager, worker = self.cluster.manager.manager, process.worker
        assert worker is not None
        if manager is None or worker._epoch != manager.epoch or worker._held_back is not None:
            return
        session = manager._desk.sessions.get(process.name)
        if session is None or session._revision != worker._revision or session.changed or session.released:
            return
        missing = [
            f"{task_id}/{attempt}"
            for task_id, attempt in session.held.items()
            if f"{task_id}/{attempt}" not in worker._attempts.attempts
        ]
        same = session._incarnation == worker._incarnation
        self._require(not missing or not same, 11, f"{process.name} confirms what it never got: {missing}")

    def _check_allowed(self, process: WorkerProcess, key: RunKey) -> None:
        task = self.tasks.get(key.task_id)
        if task is None:
            return
        given_up = task.attempt > key.attempt or any(
            attempt.number == key.attempt and attempt.reason is Reason.NODE_LOST for attempt in task.attempts
        )
        self._require(not given_up, 3, f"{process.name} begins {key}, which was given up: {task}")

    def run_began(self, engine: SimulatedEngine, run: Run) -> None:
        """2: nothing starts twice. 3: two of one task run only where the older one's node was lost."""
        key = run.launch.key
        self.note("began", engine.node, key)
        self.tell(key.task_id, "run", key[1:], "begins on", engine.node)
        attempt = key.task_id, key.attempt
        runs = self._runs.setdefault(attempt, [])
        again = any(other.launch.key.run >= key.run for other in runs)
        self._require(not again or attempt in self.untraceable, 2, f"{key} begins again: {runs}")
        runs.append(run)
        self._check_restarts(runs)
        known = self.tasks.get(key.task_id)
        task = known or self._gone.get(key.task_id)
        for other in self._live.get(key.task_id, []):
            self._require(task is not None, 3, f"two of a task that nobody knows: {key}")
            assert task is not None
            older = min(other.launch.key.attempt, key.attempt)
            lost = [a for a in task.attempts if a.number == older and a.reason is Reason.NODE_LOST]
            self._require(bool(lost), 3, f"{other.launch.key} runs while {key} begins: {task}")
            holds = run.launch.task.on_lost == "hold" and known is not None and known.ending is None
            self._require(not holds, 3, f"two of one that must never run twice: {task}")
        self._live.setdefault(key.task_id, []).append(run)

    def _check_restarts(self, runs: Sequence[Run]) -> None:
        """6: the latest run is not one too many in a row, which begins again with a run that lasted for long.

        How long it may have lasted for all that its worker knew: until the next one began.
        """
        key, policy = runs[-1].launch.key, runs[-1].launch.task.restart
        if policy is None or policy.attempts is None:
            return
        lasted = [
            run.launch.key.run
            for run, following in itertools.pairwise(runs)
            if (following.began_at - run.began_at) * _FASTEST_CLOCK >= policy.reset_after_s
        ]
        most = max(lasted, default=1) + policy.attempts
        self._require(key.run <= most, 6, f"run {key.run} of {key.task_id} with {policy}")

    def run_ended(self, engine: SimulatedEngine, run: Run) -> None:
        """A run is over."""
        key = run.launch.key
        self.note("ended", engine.node, key)
        gone = f", removed by {run.removed_by}" if run.removed_by else ""
        self.tell(key.task_id, "run", key[1:], "ends on", engine.node, run.status.exit_code, gone)
        if run in self._live.get(key.task_id, []):
            self._live[key.task_id].remove(run)
        if run.removed_by in ("somebody", "engine") and not _once(run.launch.task):
            self.untraceable.add((key.task_id, key.attempt))

    def remainder_removed(self, engine: SimulatedEngine, key: RunKey) -> None:
        """It was the last trace of the runs before it, if any had begun: their workers removed those."""
        runs = self._runs.get((key.task_id, key.attempt), ())
        if any(not _once(run.launch.task) for run in runs):
            self.untraceable.add((key.task_id, key.attempt))

    @property
    def live(self) -> list[Run]:
        """Everything that really runs."""
        return [run for runs in self._live.values() for run in runs]

    def _require(self, holds: bool, invariant: int, words: str) -> None:
        if not holds:
            raise Violation(f"invariant {invariant}: {words}")


def _once(task: Task) -> bool:
    """Whether each of its attempts begins once at most, whatever happens."""
    return task.on_lost == "hold" and task.restart is not None and task.restart.mode == "never"


BROKEN = (Violation, InvariantError)
"""How it shows that something does not hold."""
