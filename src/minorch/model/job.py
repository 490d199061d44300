"""The Job: tasks that belong together, in the order their dependencies allow."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, get_args

from minorch.errors import SpecError, did_you_mean
from minorch.ids import check_name, instance_name
from minorch.model.base import NOTHING, as_models, one_of, require_flag, require_number, set_field
from minorch.model.labels import check_labels
from minorch.model.policy import RestartPolicy
from minorch.model.task import Named, Task

__all__ = ["Instance", "Job", "JobKind", "OnFailure"]

JobKind = Literal["batch", "service"]
OnFailure = Literal["continue", "stop"]

_MOST_INSTANCES: Final = 1_000_000
_MOST_IN_GANG: Final = 10_000
_MOST_PRIORITY: Final = 1000
_MOST_OF_CIRCLE: Final = 20


class Instance(NamedTuple):
    """One thing to run: a task, or one of the several that its completions or replicas ask for."""

    name: str
    task: Task
    number: int | None
    """Which of several, from 0; None where there is one."""


class _JobTasks(Named, frozen=True):
    tasks: Sequence[Task]


class Job(_JobTasks, frozen=True, kw_only=True):
    """A named group of tasks.

    A ``batch`` runs each task to completion, those named in ``after`` first.  A ``service`` keeps
    its tasks running until it is stopped; what cannot be started is tried again and again, unless its
    restart policy has an end.

    Raises:
        SpecError: a field is not well formed, two tasks share a name, ``after`` names no task of
            this job, the tasks wait for each other in a circle, or they cannot be placed together as
            ``gang`` asks.
    """

    kind: JobKind = "batch"
    parallelism: int | None = None
    """The most instances placed at the same time; None: as many as fit."""
    retries: int = 0
    """How many new attempts the job's failed tasks may have in all, on another node where there is one.
    An attempt lost with its node does not count."""
    deadline_s: float | None = None
    """How long after its submission the job fails, whatever still runs."""
    on_failure: OnFailure = "continue"
    """When a task fails for good: run what does not depend on it, or stop the others."""
    labels: Mapping[str, str] = NOTHING
    wait_for_nodes: bool = False
    """Accept tasks that no present node could hold even when empty, and wait for one that can."""
    priority: int = 0
    """From -1000 to 1000: tasks of the job with the higher one are placed first."""
    gang: bool = False
    """Whether all of its instances are placed together, or none."""

    def __post_init__(self) -> None:
        check_name(self.name, "job")
        tasks = [self.tasks] if isinstance(self.tasks, Task) else self.tasks
        set_field(self, "tasks", as_models(tasks, "$.tasks", kind=Task, most=100_000))
        if not self.tasks:
            raise SpecError("a job needs at least one task", "$.tasks")
        one_of(self.kind, get_args(JobKind), "$.kind")
        one_of(self.on_failure, get_args(OnFailure), "$.on_failure")
        if self.parallelism is not None:
            require_number(self.parallelism, "$.parallelism", least=1, whole=True)
        require_number(self.retries, "$.retries", whole=True)
        if self.deadline_s is not None:
            require_number(self.deadline_s, "$.deadline_s", least=0.001)
        set_field(self, "labels", check_labels(self.labels, "$.labels"))
        require_flag(self.wait_for_nodes, "$.wait_for_nodes")
        require_number(self.priority, "$.priority", least=-_MOST_PRIORITY, most=_MOST_PRIORITY, whole=True)
        require_flag(self.gang, "$.gang")
        self._check_tasks()

    def _check_tasks(self) -> None:
        known: dict[str, int] = {}
        total = 0
        for index, task in enumerate(self.tasks):
            path = f"$.tasks[{index}]"
            if task.name in known:
                raise SpecError(
                    f'"{task.name}" is the name of $.tasks[{known[task.name]}] too', f"{path}.name"
                )
            known[task.name] = index
            if self.kind == "service":
                if task.completions != 1:
                    raise SpecError(
                        "completions belong to a batch; a service has replicas", f"{path}.completions"
                    )
                if task.after:
                    raise SpecError(
                        "the tasks of a service do not complete, so none can come after", f"{path}.after"
                    )
            elif task.replicas != 1:
                raise SpecError("replicas belong to a service; a batch has completions", f"{path}.replicas")
            total += task.completions if self.kind == "batch" else task.replicas
        if total > _MOST_INSTANCES:
            raise SpecError(f"{total:,} instances are more than {_MOST_INSTANCES:,}", "$.tasks")
        if self.gang:
            self._check_gang(total)
        for index, task in enumerate(self.tasks):
            for position, name in enumerate(task.after):
                _check_known(name, known, f"$.tasks[{index}].after[{position}]")
            for position, wish in enumerate(task.affinity):
                if wish.task is not None:
                    _check_known(wish.task, known, f"$.tasks[{index}].affinity[{position}].task")
        try:
            graphlib.TopologicalSorter({task.name: task.after for task in self.tasks}).prepare()
        except graphlib.CycleError as error:
            circle = list(reversed(error.args[1]))
            left_out = len(circle) - _MOST_OF_CIRCLE
            shown = circle if left_out <= 0 else [*circle[:_MOST_OF_CIRCLE], f"{left_out:,} more"]
            raise SpecError(f"these wait for each other: {' after '.join(shown)}", "$.tasks") from None

    def _check_gang(self, total: int) -> None:
        for index, task in enumerate(self.tasks):
            if task.after:
                raise SpecError(
                    "the tasks of a gang are placed together, so none can come after another",
                    f"$.tasks[{index}].after",
                )
        if self.parallelism is not None:
            raise SpecError(
                "a gang is placed together, so no part of it can be held back: leave parallelism out",
                "$.parallelism",
            )
        if total > _MOST_IN_GANG:
            raise SpecError(
                f"{total:,} instances are more than the {_MOST_IN_GANG:,} that are placed together at most",
                "$.gang",
            )

    def instances(self) -> Iterator[Instance]:
        """Everything this job runs, in the order written."""
        for task in self.tasks:
            count = task.completions if self.kind == "batch" else task.replicas
            if count == 1:
                yield Instance(task.name, task, None)
            else:
                for index in range(count):
                    yield Instance(instance_name(task.name, index), task, index)

    def restart_policy(self, task: Task) -> RestartPolicy:
        """The policy that applies to *task*: its own, or never in a batch and always in a service."""
        if task.restart is not None:
            return task.restart
        return RestartPolicy.never() if self.kind == "batch" else RestartPolicy.always()


def _check_known(name: str, known: Mapping[str, int], path: str) -> None:
    if name not in known:
        raise SpecError(f'no task of this job is called "{name[:70]}"{did_you_mean(name, known)}', path)
