"""What outlives the managers that are killed: clients, and workers with what runs there.

The workers are real, their runtime is pretended; both live in the test's process and take part in what the
managers say over a socket.  So nothing here forgets anything, and whatever a manager lost or doubled shows.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Sequence

from minorch.contracts import Change
from minorch.ids import RunKey
from minorch.messages import Assign, decode, encode
from minorch.model import Job, RestartPolicy, Task
from minorch.resources import Resources
from minorch.state.events import Event
from minorch.state.invariants import check_invariants
from minorch.state.pictures import JobInfo, TaskInfo
from minorch.state.tables import ClusterState
from minorch.states import AttemptState, JobState, Reason
from minorch.worker import WorkerConfig
from tests.stories.world import Machine, World, machine
from tests.survival.mortal import CONFIG, Life, Picture

__all__ = ["Outside", "check_rows"]

_OVER = {f"job_{state.lower()}" for state in JobState if state.terminal}


def check_rows(rows: Sequence[Change]) -> None:
    """Check what a dead manager left, as the next one would read it."""
    state = ClusterState.read(rows, most_events=CONFIG.max_events, now=time.time())
    assert state is not None
    check_invariants(state)


class Outside(World):
    """Three machines and some clients, without a manager of their own."""

    def __init__(self, seed: int) -> None:
        # Not that of a world, which has a manager; its machines ask for no more than this.
        self.random = random.Random(seed)
        self.now = time.time()
        self.cluster_id = ""
        self.worker_config = WorkerConfig(heartbeat_s=0.2, kill_every_s=0.5, max_starting=100)
        self.on_start = self._started
        self._later = []
        self._planned = 0
        self.machines = {}
        self.life: Life | None = None
        self.busy = True
        """Whether clients go on asking for more."""
        self.asked: dict[str, Job] = {}
        """Jobs that were asked for and not answered yet."""
        self.accepted: dict[str, str] = {}
        """Job ids by name, as they were acknowledged."""
        self.stopping: set[str] = set()
        """Ids of jobs whose stop was acknowledged."""
        self.over: set[str] = set()
        """Names of jobs that were told to be over."""
        self.events: list[Event] = []
        self.starts: dict[RunKey, str] = {}
        self.final: dict[str, tuple[object, ...]] = {}
        """By task id, how it was told to have ended."""
        self.epochs: list[int] = []
        self.lived: list[int] = []
        """The epochs of the managers that said hello."""
        self.compared: set[RunKey] = set()
        """Runs whose end was compared with the truth."""
        self._serial = 0

    # -- what machines ask of a world -----------------------------------------------------------

    def check_alone(self, machine: Machine, key: RunKey) -> None:
        """Nothing of a task runs when a run of it starts: here no node is ever lost."""
        for other in self.machines.values():
            for live in other.live:
                assert live.task_id != key.task_id, f"{live} runs on {other.node.name} while {key} starts"

    def check_counted_on(self, machine: Machine, key: RunKey) -> None:
        """Here no manager gives up on a worker."""

    def _started(self, there: Machine, key: RunKey) -> None:
        assert key not in self.starts, f"{key} was started on {self.starts[key]} and on {there.node.name}"
        self.starts[key] = there.node.name
        lasts_s = self.random.choice([0.0, 0.005, 0.02, 0.1])
        code = self.random.choice([0, 0, 0, 1, 137])
        self.later(lasts_s, lambda: there.exit(key, code))

    # -- one life ---------------------------------------------------------------------------------

    def go_on(self, until: float) -> bool:
        """Take part until a moment, or until the manager is dead; whether it still speaks."""
        assert self.life is not None
        talk = self.life.talk
        try:
            while (left := until - time.time()) > 0:
                self._step()
                due = [machine.deadline for machine in self.machines.values()]
                due += [self._later[0][0]] if self._later else []
                if talk.poll(min(left, max(0.0, min(due, default=until) - time.time()), 0.02)):
                    self._take(*talk.recv())
                    while talk.poll():
                        self._take(*talk.recv())
        except (EOFError, OSError):
            return False
        return True

    def hear_last_words(self) -> None:
        """Take what a dead manager had still said."""
        assert self.life is not None
        try:
            while True:
                self._take(*self.life.talk.recv())
        except (EOFError, OSError):
            pass

    def _step(self) -> None:
        assert self.life is not None
        self.now = time.time()
        while self._later and self._later[0][0] <= self.now:
            heapq.heappop(self._later)[2]()
        for there in self.machines.values():
            report, _ = there.step()
            if report is not None:
                self.life.talk.send(("report", encode(report)))
        if self.busy and self.machines:
            self._ask()

    def _ask(self) -> None:
        """Keep some jobs waiting for an answer, and stop one now and then."""
        assert self.life is not None
        draw = self.random
        while len(self.asked) < 4 and len(self.accepted) - len(self.over) < 12:
            self._serial += 1
            job = Job(
                f"job-{self._serial}",
                [
                    Task(
                        "part",
                        command=["x"],
                        completions=draw.choice([1, 2, 3]),
                        resources=Resources(cpu=draw.choice([0, 1])),
                        restart=draw.choice([None, RestartPolicy.on_failure(1, backoff_s=0.01)]),
                        env={"PADDING": "x" * draw.choice([0, 0, 3000])},
                    ),
                    Task("last", command=["x"], after=["part"]),
                ],
                retries=draw.choice([0, 1]),
            )
            self.asked[job.name] = job
            self.life.talk.send(("submit", (job.name, job)))
        running = [name for name in self.accepted if name not in self.over]
        if running and draw.random() < 0.02:
            name = draw.choice(running)
            self.life.talk.send(("stop", (name, self.accepted[name])))

    def ask_again(self) -> None:
        """Ask for everything that the last manager did not answer."""
        assert self.life is not None
        for job in self.asked.values():
            self.life.talk.send(("submit", (job.name, job)))

    # -- what a manager says ----------------------------------------------------------------------

    def _take(self, kind: str, what: object) -> None:
        self.now = time.time()
        match kind, what:
            case "assign", bytes():
                message = decode(what)
                assert isinstance(message, Assign)
                self.machines[message.worker].worker.receive(message, self.now)
            case "events", tuple():
                self._note(what)
            case "answer", ("submit", str(name), str(job_id)):
                self.asked.pop(name, None)
                assert self.accepted.setdefault(name, job_id) == job_id, f"{name} was accepted twice"
            case "answer", ("stop", str(), str(job_id)):
                self.stopping.add(job_id)
            case "hello", Picture():
                self._meet(what)
            case "refused", (_, _, str(why)) if why.startswith("ClusterClosed"):
                pass  # it is asked again in the next life
            case "refused", ("stop", str(name), str(why)) if why.startswith("NotFound"):
                assert name in self.over, f"{name} was acknowledged and lost"
            case "bye", None:
                pass
            case _:
                raise AssertionError(f"a manager said {kind} {what}")

    def _note(self, events: Sequence[Event]) -> None:
        """Each event comes next, or is one that was told before, word for word."""
        for event in events:
            assert event.number <= len(self.events) + 1, f"after #{len(self.events)} came #{event.number}"
            if event.number <= len(self.events):
                assert event == self.events[event.number - 1], "an event's number was used twice"
                continue
            self.events.append(event)
            if event.kind in _OVER:
                self.over.add(event.job)

    def _meet(self, picture: Picture) -> None:
        """Compare what a new manager knows with what really happened."""
        if not self.cluster_id:
            self.cluster_id = picture.cluster_id
            for name in ("a", "b", "c"):
                self.machines[name] = Machine(self, machine(name))
        assert picture.cluster_id == self.cluster_id
        assert not self.lived or picture.epoch > self.lived[-1], "an epoch was used twice"
        self.lived.append(picture.epoch)
        last = len(self.events)
        assert last == 0 or picture.events[-1].number >= last, f"event #{last} was told and lost"
        self._note(picture.events)
        self.compare(picture.jobs)
        self.ask_again()

    def compare(self, jobs: Sequence[JobInfo]) -> None:
        """Nothing acknowledged is missing, nothing ran that is not known, and every end is the true one."""
        known = {info.name: info.id for info in jobs}
        for name, job_id in self.accepted.items():
            assert name in known or name in self.over, f"{name} was acknowledged and lost"
            assert known.get(name, job_id) == job_id, f"{name} was accepted twice"
        tasks = {task.id: task for info in jobs for task in info.tasks}
        for key in self.starts:
            if key.task_id in tasks:
                attempts = tasks[key.task_id].attempts
                assert attempts, f"{key} ran, and nobody knows"
                assert attempts[-1].number >= key.attempt, f"{key} ran, and nobody knows"
            else:
                assert key.task_id in self.final, f"{key} ran, and nobody knows its task"
        for task in tasks.values():
            self._compare_task(task)

    def _compare_task(self, task: TaskInfo) -> None:
        for attempt in task.attempts:
            key = RunKey(task.id, attempt.number, attempt.run)
            truth = self.machines[attempt.node].truth.get(key)
            if attempt.state is AttemptState.COMPLETED or attempt.reason in (Reason.EXITED, Reason.KILLED):
                assert truth is not None, f"{key} never ran"
                told = (attempt.exit_code, attempt.reason)
                assert ("exited", *told) == (truth.phase, truth.exit_code, truth.reason), key
                assert RunKey(task.id, attempt.number, attempt.run + 1) not in self.starts, key
                self.compared.add(key)
        if task.state.terminal:
            ended = (task.state, task.reason, task.exit_code, task.finished_at)
            assert self.final.setdefault(task.id, ended) == ended, f"{task.id} ended twice"

    def check_stops(self) -> None:
        """Every stop that was acknowledged was written down, and nothing of its job was placed after that."""
        stopped: set[str] = set()
        over: set[str] = set()
        for event in self.events:
            if event.kind == "job_stopping":
                stopped.add(event.job)
            elif event.kind in _OVER:
                over.add(event.job)
            elif event.kind == "task_scheduled":
                assert event.job not in stopped | over, f"{event} after its job was stopped or over"
        names = {job_id: name for name, job_id in self.accepted.items()}
        assert {names[job_id] for job_id in self.stopping} <= stopped | over, "a stop was lost"
