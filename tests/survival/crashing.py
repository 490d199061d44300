"""A world whose manager keeps its rows in a SQLite file and is killed at chosen moments of chosen commits.

Whoever asks for something asks again until it is answered, as a client would whose connection broke.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from minorch.ids import RunKey
from minorch.manager import Manager, ManagerConfig
from minorch.model import Job, Node
from minorch.states import AttemptState, Reason, TaskState
from minorch.stores.sqlite import SqliteStore
from minorch.worker import WorkerConfig
from tests.stories.world import Machine, World

__all__ = ["MOMENTS", "Crash", "CrashingWorld", "Fate", "Moment", "Outcome"]

Moment = Literal["before", "after", "sent"]
MOMENTS: Final[tuple[Moment, ...]] = ("before", "after", "sent")
"""The manager has decided and nothing is written; all is written and nothing sent; half of it is sent."""

Outcome = Mapping[str, tuple[str, str | None, int | None]]
"""State, reason and exit code of each task, by ``job/task``."""

Fate = tuple[float, int]
"""After how many seconds a run ends by itself, and with which code."""


class Crash(NamedTuple):
    """When the manager is killed."""

    commit: int
    """At its commit of this number, from 1 at each start of a manager."""
    moment: Moment


class CrashingWorld(World):
    """A world in *directory*, whose manager is killed as often as there are *crashes*."""

    def __init__(
        self,
        directory: Path,
        crashes: Sequence[Crash],
        *machines: Node | str,
        fates: Mapping[str, Sequence[Fate]] | None = None,
        manager_config: ManagerConfig | None = None,
        worker_config: WorkerConfig | None = None,
    ) -> None:
        self.directory = directory
        self.planned = list(crashes)
        self._peaceful = not crashes
        self.fates = fates or {}
        """By task name, what becomes of its runs, one after the other; then as the last one."""
        self.deaths = 0
        self.commits = 0
        self.accepted: dict[str, str] = {}
        """The ids of the jobs that were acknowledged, by name."""
        self.started: list[RunKey] = []
        """Every run that any machine started."""
        self._begun: dict[str, int] = {}
        self._asking = self._unheard = False
        self._store: SqliteStore | None = None
        super().__init__(*machines, manager_config=manager_config, worker_config=worker_config)
        self.on_start = self._live_out_its_fate

    # -- the manager and its death ------------------------------------------------------------

    def start_manager(self) -> None:
        """Start the manager (again) from the file that the last one left."""
        path = self.directory / f"life-{self.deaths}.db"
        if self._store is not None:
            for left in self.directory.glob(f"life-{self.deaths - 1}.db*"):
                if not left.name.endswith((".lock", "-shm")):  # of a dead process, nobody holds these
                    shutil.copy(
                        left, path.with_name(left.name.replace(f"-{self.deaths - 1}.", f"-{self.deaths}."))
                    )
            self._store.close()
        self._store = SqliteStore(path)
        assert self._store.load() == self._committed(), "the file has just what was committed"
        super().start_manager()
        forgotten = [
            name for name, job in self.accepted.items() if job not in self.manager.job_ids().values()
        ]
        assert not forgotten, "what was acknowledged is known to the next manager"

    def _settle_manager(self) -> bool:
        step = self.manager.settle(self.now)
        self.on_settled()
        writes = bool(step.changes)
        self.commits += writes
        if writes and self._dies("before"):
            return self._die()
        self.deadline = step.deadline
        for table, key, value in step.changes:
            if value is None:
                del self.rows[table, key]
            else:
                self.rows[table, key] = value
        assert self._store is not None
        self._store.commit(step.changes)
        self.events += step.events
        if writes and (self._peaceful or self.deaths or self._dies("after") or self._dies("sent")):
            self.check()  # what comes before a death is checked where nobody dies
        if writes and self._dies("after"):
            return self._die()
        for number, message in enumerate(step.messages):
            if writes and number * 2 >= len(step.messages) and self._dies("sent"):
                return self._die()
            self.sent.append(message)
            self._send(message, self.machines.get(message.worker))
        if writes and self._dies("sent"):
            return self._die()
        self._asking = False  # what was asked before is answered
        return bool(step.messages)

    def _dies(self, moment: Moment) -> bool:
        return bool(self.planned) and self.planned[0] == (self.commits, moment)

    def _die(self) -> bool:
        del self.planned[0]
        self.deaths += 1
        self.commits = 0
        self._unheard, self._asking = self._unheard or self._asking, False
        self.start_manager()
        return True

    def close(self) -> None:
        assert self._store is not None
        self._store.close()

    # -- those who ask ------------------------------------------------------------------------

    def ask(self, change: Callable[[Manager], object]) -> None:
        """Ask for something until it is answered; what was asked twice changes nothing more."""
        for _ in range(3):
            self._asking, self._unheard = True, False
            change(self.manager)
            self.run()
            if not self._unheard:
                return
        raise AssertionError("the manager died too often")

    def submit(self, job: object, **fields: object) -> str:
        """Submit a job until it is accepted."""
        assert isinstance(job, Job)
        assert not fields

        def change(manager: Manager) -> None:
            if job.name not in manager.job_ids():  # else its acknowledgement was lost
                manager.submit(job, self.now)

        self.ask(change)
        self.accepted[job.name] = self.manager.job(job.name).id
        return self.accepted[job.name]

    def stop(self, name: str | None = None, job: str = "job") -> None:
        """Stop a job, or one task of it, until that is accepted."""
        task_id = None if name is None else self.task(name, job).id
        self.ask(lambda manager: manager.stop(self.accepted[job], self.now, task_id=task_id))

    def until(self, holds: Callable[[], bool], patience_s: float = 200.0) -> None:
        """Let time pass until something holds."""
        end = self.now + patience_s
        while not holds():
            assert self.now < end, f"it did not come in {patience_s:g} s"
            self.pass_time(1)

    def until_running(self, name: str = "sleep", job: str = "job") -> None:
        """Let time pass until a task runs."""
        self.until(lambda: self.task(name, job).state is TaskState.RUNNING)

    # -- those who run ------------------------------------------------------------------------

    def _live_out_its_fate(self, machine: Machine, key: RunKey) -> None:
        assert key not in self.started, f"{key} was started twice"
        self.started.append(key)
        name = self.desk.state.tasks[key.task_id].name
        number = self._begun.get(key.task_id, 0)
        self._begun[key.task_id] = number + 1
        fates = self.fates.get(name, self.fates.get(name.partition("[")[0], ()))
        if fates:
            lasts_s, code = fates[min(number, len(fates) - 1)]
            self.later(lasts_s, lambda: machine.exit(key, code))

    # -- how it ends --------------------------------------------------------------------------

    def finish(self, patience_s: float = 600.0) -> Outcome:
        """Wait until every accepted job is over, and compare what is told with what really happened."""
        end = self.now + patience_s
        while not all(job.state.terminal for job in self.manager.jobs()):
            assert self.now < end, [
                str(self.manager.explain(t.id, self.now)) for j in self.manager.jobs() for t in j.tasks
            ]
            self.pass_time(5)
        self.check()
        numbers = [event.number for event in self.events]
        assert numbers == list(range(1, len(numbers) + 1))
        outcome: dict[str, tuple[str, str | None, int | None]] = {}
        for name, job_id in self.accepted.items():
            info = self.manager.job(job_id)
            assert info.name == name
            for task in info.tasks:
                self._compare_with_truth(task.id)
                outcome[f"{name}/{task.name}"] = (
                    str(task.state),
                    None if task.reason is None else str(task.reason),
                    task.exit_code,
                )
        self._leave_nothing()
        return outcome

    def _compare_with_truth(self, task_id: str) -> None:
        for attempt in self.manager.task(task_id).attempts:
            key = RunKey(task_id, attempt.number, attempt.run)
            truth = self.machines[attempt.node].truth.get(key)
            if attempt.state is AttemptState.COMPLETED or attempt.reason in (Reason.EXITED, Reason.KILLED):
                assert truth is not None, f"{key} never ran"
                assert (truth.phase, truth.exit_code, truth.reason) == (
                    "exited",
                    attempt.exit_code,
                    attempt.reason,
                ), key

    def _leave_nothing(self) -> None:
        """Once they are released, nothing is left of finished tasks anywhere."""
        for job_id in self.accepted.values():
            self.ask(lambda manager, job_id=job_id: manager.release(job_id, self.now))  # type: ignore[misc]
        self.pass_time(61)
        left = {name: machine.runs for name, machine in self.machines.items() if machine.runs}
        assert not left, "runs that nobody answers for"
        self.check()
