"""What really happened: every container writes it down itself, and minorch is held against that.

A container appends a line at its start, while it runs, and at its end, to a file outside of every engine.
Its lines carry the time since the machine's start, which all share.  :func:`judge` compares them with what
minorch reports.  That a run lives is known from its lines alone: a run that was killed has no end.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from minorch.ids import RunKey
from minorch.state.pictures import TaskInfo
from minorch.states import Reason, TaskState

__all__ = ["SAY", "TARGET", "Ledger", "Loss", "Run", "Verdict", "judge", "machine_time"]

TARGET = "/ledger"
"""Where a container sees the ledger's directory."""
SAY = (
    "say() { read -r up idle </proc/uptime; "
    'echo "$1 $MINORCH_TASK_ID $MINORCH_ATTEMPT $MINORCH_RUN $MINORCH_NODE $up" >>/ledger/lines; }; '
    "say start; "
)
"""How a container's script begins. Then ``say tick`` while it runs and ``say end=0`` before ``exit 0``."""


class Loss(NamedTuple):
    """That the manager gave a node up."""

    node: str
    at: float
    """By :func:`machine_time`."""


class Run:
    """What one run wrote."""

    def __init__(self, key: RunKey, node: str) -> None:
        self.key = key
        self.node = node
        self.starts: list[float] = []
        self.last = 0.0
        """When it wrote its latest line."""
        self.ends: list[int] = []
        """The codes with which it was about to exit."""


class Verdict(NamedTuple):
    """What is wrong, in words, and what happened that may happen."""

    lost: list[str]
    """Tasks that did not get done, or that are said to be done and are not."""
    doubled: list[str]
    """Runs that began twice, and runs of one task that lived side by side without good reason."""
    given_up: list[str]
    """Runs that lived side by side because the manager had to give the older one's node up."""
    again: list[str]
    """Runs that ended well while their end could not be seen, so that they were made again, and runs that
    began a second time because their engine died in the middle of their start and forgot it."""
    beyond: list[str]
    """Runs that lived on beside others because their engine had died in the middle of their start: nobody
    could know of them, nor end them."""

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong."""
        return self.lost + self.doubled


class Ledger:
    """The file, and what was read of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "lines"
        self._path.touch()
        self._path.chmod(0o666)
        self._at = 0
        self.runs: dict[RunKey, Run] = {}

    def read(self) -> Mapping[RunKey, Run]:
        """Take in what was written since the last time."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self._at += whole
        for line in data[:whole].decode().splitlines():
            self._take(line)
        return self.runs

    def _take(self, line: str) -> None:
        what, task_id, attempt, number, node, at = line.split()
        key = RunKey(task_id, int(attempt), int(number))
        run = self.runs.setdefault(key, Run(key, node))
        run.last = max(run.last, float(at))
        if what == "start":
            run.starts.append(float(at))
        elif what.startswith("end="):
            run.ends.append(int(what[4:]))


def machine_time() -> float:
    """The clock of the ledger: seconds since the machine's start."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def judge(
    runs: Mapping[RunKey, Run],
    tasks: Sequence[TaskInfo],
    losses: Sequence[Loss],
    *,
    unseen: bool = False,
    once: Collection[str] = (),
    forgotten: Collection[RunKey] = (),
) -> Verdict:
    """Hold what minorch reports of *tasks* against what their *runs* wrote.

    Args:
        runs: everything that was written, of these tasks and of others.
        tasks: what is reported; of a batch job that is over, or of a service.
        losses: when nodes were given up.
        unseen: whether what happened may have taken ends along, so that a good one was not seen, or a
            beginning.
        once: the names of tasks of which no attempt may begin twice even then.
        forgotten: runs that engines began and know nothing of.
    """
    verdict = Verdict([], [], [], [], [])
    of_task: dict[str, list[Run]] = defaultdict(list)
    for run in runs.values():
        of_task[run.key.task_id].append(run)
    for task in tasks:
        mine = sorted(of_task[task.id], key=lambda run: run.key)
        _judge_result(verdict, task, runs)
        _judge_starts(verdict, task, mine, unseen=unseen and task.name not in once)
        _judge_overlaps(verdict, task, mine, losses, forgotten)
        _judge_repeats(verdict, task, mine, unseen=unseen)
    return verdict


def _judge_result(verdict: Verdict, task: TaskInfo, runs: Mapping[RunKey, Run]) -> None:
    """What is reported as the program's own exit must be what the program wrote."""
    if task.reason is not Reason.EXITED:
        if task.state is TaskState.COMPLETED:
            verdict.lost.append(f"{task.name} is COMPLETED and its reason is {task.reason}")
        return
    key = RunKey(task.id, task.attempts[-1].number, task.attempts[-1].run)
    written = runs[key].ends if key in runs else []
    if task.exit_code not in written:
        verdict.lost.append(
            f"{task.name} is {task.state} with exit code {task.exit_code}; {key} wrote {written}"
        )


def _judge_starts(verdict: Verdict, task: TaskInfo, mine: Iterable[Run], *, unseen: bool) -> None:
    """A run begins once, unless its engine forgot that, which it does once in a fault, and not twice."""
    latest = max((attempt.number for attempt in task.attempts), default=0)
    for run in mine:
        if len(run.starts) > 1:
            excused = unseen and len(run.starts) == 2
            (verdict.again if excused else verdict.doubled).append(
                f"{task.name}: {run.key} began {len(run.starts)} times"
            )
        if run.key.attempt > latest:
            verdict.lost.append(f"{task.name}: {run.key} ran, and only {latest} attempts are known")


def _given_up(task: TaskInfo) -> set[int]:
    return {attempt.number for attempt in task.attempts if attempt.reason is Reason.NODE_LOST}


def _in_doubt(task: TaskInfo) -> set[int]:
    return {attempt.number for attempt in task.attempts if attempt.reason is Reason.EXIT_UNKNOWN}


def _judge_repeats(verdict: Verdict, task: TaskInfo, mine: Sequence[Run], *, unseen: bool) -> None:
    """What has ended well is not made again, unless nobody could know."""
    well = [run.key for run in mine if 0 in run.ends]
    for key in well[:-1]:
        excused = unseen or key.attempt in _given_up(task) | _in_doubt(task)
        (verdict.again if excused else verdict.doubled).append(
            f"{task.name}: {key} had ended well, and there was another"
        )


def _judge_overlaps(
    verdict: Verdict,
    task: TaskInfo,
    mine: Sequence[Run],
    losses: Sequence[Loss],
    forgotten: Collection[RunKey],
) -> None:
    given_up = _given_up(task)
    for at, newer in enumerate(mine):
        for older in mine[:at]:
            if not newer.starts or older.last <= newer.starts[0]:
                continue
            told = any(loss.node == older.node and loss.at <= newer.starts[0] for loss in losses)
            words = f"{older.key} was alive {older.last - newer.starts[0]:.2f} s after {newer.key} began"
            allowed = told and older.key.attempt in given_up and older.key.attempt < newer.key.attempt
            if older.key in forgotten:
                verdict.beyond.append(f"{task.name}: {words}")
            else:
                (verdict.given_up if allowed else verdict.doubled).append(f"{task.name}: {words}")
