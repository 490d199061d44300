"""What a plugin author's type checker must accept, infer and refuse. Run by ``mypy``, never executed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_type

import minorch as mo

registry = mo.default_registry(installed=True)


@registry.scheduler("fewest")
def fewest(task: mo.TaskView, node: mo.NodeView) -> float:
    return node.tasks


@registry.filter("quiet")
def quiet(task: mo.TaskView, node: mo.NodeView) -> str | None:
    return "noisy" if node.labels.get("noise") else None


@registry.filter("at-most")
class AtMost:
    def __init__(self, tasks: int = 10) -> None:
        self.tasks = tasks

    def __call__(self, task: mo.TaskView, node: mo.NodeView) -> str | None:
        return "crowded" if node.tasks >= self.tasks else None


@registry.filter("wrong")  # type: ignore[type-var]
def wrong(task: mo.TaskView, node: mo.NodeView) -> int:
    return 1


@mo.hookimpl
def minorch_filters() -> Iterable[mo.FilterPlugin]:
    yield mo.FilterPlugin("at-most", AtMost)
    yield mo.FilterPlugin("quiet", lambda: quiet)
    yield mo.FilterPlugin("wrong", lambda: wrong)  # type: ignore[arg-type,return-value]


assert_type(AtMost(3).tasks, int)  # decorated, it is still the class
assert_type(registry.make_filter("quiet"), Callable[[mo.TaskView, mo.NodeView], str | None])
assert_type(registry.make_scheduler("fewest"), mo.Scheduler)
