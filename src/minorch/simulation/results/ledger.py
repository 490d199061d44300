"""What really happened in a simulation, as columns: one row for each task, and one for each run of a task.

Nothing is worked out here; :mod:`minorch.simulation.results.measures` does that afterwards.  Columns are
arrays, so that a million tasks take some ten bytes a figure.  Times are in seconds since the beginning.
"""

from __future__ import annotations

import enum
from array import array
from collections.abc import Sequence
from math import isnan, nan
from typing import Final, TypeAlias

import msgspec

from minorch.model import Node
from minorch.resources import Resources
from minorch.states import Reason

__all__ = ["Ending", "Fault", "Ledger", "RunRecord", "SimulatedTask"]

REASONS: Sequence[Reason | None] = (None, *Reason)
"""What the numbers in the column of reasons mean."""


class Ending(enum.StrEnum):
    """Where a task that arrived has ended up. Each is in just one of these."""

    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    RUNNING = "running"
    """It was still running when the simulation ended."""
    WAITING = "waiting"
    """It was waiting for room, or for other tasks, when the simulation ended."""
    REFUSED = "refused"
    """It was refused when it was submitted: no node could ever hold a task of its job."""


ENDINGS: Sequence[Ending] = tuple(Ending)
"""What the numbers in the column of fates mean."""


class SimulatedTask(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one task."""

    job: str
    task: str
    """The instance's name."""
    arrived_s: float
    """When it was submitted. This and the other times are in seconds since the beginning."""
    started_s: float | None
    """When it first ran; None: it never did."""
    finished_s: float | None
    """When it was over; None: it is not."""
    ending: Ending
    reason: Reason | None
    """Why it is over; None: it is not."""
    node: str | None
    """Where it ran last; None: it never did."""
    runs: int
    """How many times it was started."""
    duration_s: float
    """For how long it would run undisturbed."""
    resources: Resources
    """What it asked for."""

    @property
    def wait_s(self) -> float | None:
        """How long it waited until it first ran; None: it never did."""
        return None if self.started_s is None else self.started_s - self.arrived_s


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a task: from when to when it really had its node's resources."""

    task: int
    """Which row of the tasks."""
    node: str
    began_s: float
    ended_s: float | None
    """None: it still ran at the end."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that went wrong on purpose."""

    kind: str
    """``crash`` or ``cut``, of its link."""
    node: str
    began_s: float
    ended_s: float | None
    """When it was over; None: it was not."""


class Ledger:
    """Columns of what happened. A row's number is its index in each column.

    Args:
        nodes: every node there ever was, in order.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = list(nodes)
        self.node_numbers = {node.name: number for number, node in enumerate(nodes)}
        self.shapes: list[Resources] = []
        """The different amounts that tasks ask for or use."""
        self._shape_numbers: dict[Resources, int] = {}

        self.job: list[str] = []
        """By task: its job's name. So are all that follow, up to the runs."""
        self.task: list[str] = []
        self.arrived_s = array("d")
        self.started_s = array("d")
        """Not a number: never."""
        self.finished_s = array("d")
        """Not a number: it is not over."""
        self.ending = bytearray()
        """Which of ``ENDINGS``."""
        self.reason = bytearray()
        """Which of ``REASONS``."""
        self.duration_s = array("d")
        self.requested = array("l")
        """Which of the shapes it asks for."""
        self.used = array("l")
        """Which of the shapes it really uses."""
        self.runs = array("l")
        """How many runs it had."""
        self.last_run = array("l")
        """Its latest run's row; -1: none."""

        self.run_task = array("l")
        """By run: which task. So are those that follow."""
        self.run_node = array("l")
        self.run_began_s = array("d")
        self.run_ended_s = array("d")
        """Not a number: it still ran at the end."""
        self.ends = array("l")
        """The rows of the runs that are over, in the order in which they ended."""

    def __len__(self) -> int:
        return len(self.task)

    def columns(self) -> tuple[dict[str, Column], dict[str, Column]]:
        """The columns of the tasks and those of the runs, by name."""
        tasks = {name: getattr(self, name) for name in _TASK_COLUMNS}
        return tasks, {name: getattr(self, name) for name in _RUN_COLUMNS}

    def __getstate__(self) -> dict[str, object]:
        """What goes to another process: columns, which are copied as they lie in memory."""
        return {name: value for name, value in vars(self).items() if name not in _LOOKED_UP}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self.node_numbers = {node.name: number for number, node in enumerate(self.nodes)}
        self._shape_numbers = {shape: number for number, shape in enumerate(self.shapes)}

    def shape(self, amount: Resources) -> int:
        """The number of an amount among the shapes."""
        number = self._shape_numbers.get(amount)
        if number is None:
            number = self._shape_numbers[amount] = len(self.shapes)
            self.shapes.append(amount)
        return number

    def arrive(
        self, job: str, task: str, now_s: float, duration_s: float, requested: Resources, used: Resources
    ) -> int:
        """A task has arrived; returns its row."""
        row = len(self.task)
        self.job.append(job)
        self.task.append(task)
        self.arrived_s.append(now_s)
        self.started_s.append(nan)
        self.finished_s.append(nan)
        self.ending.append(_WAITING)
        self.reason.append(0)
        self.duration_s.append(duration_s)
        self.requested.append(self.shape(requested))
        self.used.append(self.shape(used))
        self.runs.append(0)
        self.last_run.append(-1)
        return row

    def begin(self, row: int, node: int, now_s: float) -> int:
        """A task has begun to run on a node; returns the run's row."""
        run = len(self.run_task)
        self.run_task.append(row)
        self.run_node.append(node)
        self.run_began_s.append(now_s)
        self.run_ended_s.append(nan)
        if isnan(self.started_s[row]):
            self.started_s[row] = now_s
        self.runs[row] += 1
        self.last_run[row] = run
        return run

    def end(self, run: int, now_s: float) -> None:
        """A run has ended. If that is told again, as of one that is cleared away, the first time counts."""
        if isnan(self.run_ended_s[run]):
            self.run_ended_s[run] = now_s
            self.ends.append(run)

    def finish(self, row: int, ending: Ending, reason: Reason | None, now_s: float) -> None:
        """A task is over."""
        self.finished_s[row] = now_s
        self.ending[row] = ENDINGS.index(ending)
        self.reason[row] = REASONS.index(reason)

    def close(self) -> None:
        """The simulation has ended: what is not over runs, or waits."""
        for row, ending in enumerate(self.ending):
            run = self.last_run[row]
            if ending == _WAITING and run >= 0 and isnan(self.run_ended_s[run]):
                self.ending[row] = _RUNNING

    def record(self, row: int) -> SimulatedTask:
        """What became of the task in a row."""
        started_s, finished_s, run = self.started_s[row], self.finished_s[row], self.last_run[row]
        return SimulatedTask(
            job=self.job[row],
            task=self.task[row],
            arrived_s=self.arrived_s[row],
            started_s=None if isnan(started_s) else started_s,
            finished_s=None if isnan(finished_s) else finished_s,
            ending=ENDINGS[self.ending[row]],
            reason=REASONS[self.reason[row]],
            node=self.nodes[self.run_node[run]].name if run >= 0 else None,
            runs=self.runs[row],
            duration_s=self.duration_s[row],
            resources=self.shapes[self.requested[row]],
        )

    def run(self, row: int) -> RunRecord:
        """The run in a row."""
        ended_s = self.run_ended_s[row]
        return RunRecord(
            task=self.run_task[row],
            node=self.nodes[self.run_node[row]].name,
            began_s=self.run_began_s[row],
            ended_s=None if isnan(ended_s) else ended_s,
        )


Column: TypeAlias = "list[str] | bytearray | array[int] | array[float]"

_TASK_COLUMNS: Final = (
    "job",
    "task",
    "arrived_s",
    "started_s",
    "finished_s",
    "ending",
    "reason",
    "duration_s",
    "requested",
    "used",
    "runs",
    "last_run",
)
_RUN_COLUMNS: Final = ("run_task", "run_node", "run_began_s", "run_ended_s")
_LOOKED_UP: Final = ("node_numbers", "_shape_numbers")
"""What follows from the rest."""

_WAITING = ENDINGS.index(Ending.WAITING)
_RUNNING = ENDINGS.index(Ending.RUNNING)
