"""From what a user gives for a strategy or a filter, a name or an object, to the object itself."""

from __future__ import annotations

from collections.abc import Sequence

from minorch.errors import UsageError, brief
from minorch.plugins.inspection import check_takes_task_and_node
from minorch.plugins.registry import Registry
from minorch.scheduling import CostFunction, CustomFilter, FunctionScheduler, Scheduler
from minorch.scheduling.scheduler import check_strategy

__all__ = ["choose_filters", "choose_scheduler"]


def choose_scheduler(wanted: str | Scheduler | CostFunction, registry: Registry) -> Scheduler:
    """Make or take the scheduling strategy.

    Raises:
        UnknownPlugin: nothing of that name is registered.
        UsageError: it is none of a name, a strategy and a function.
    """
    if isinstance(wanted, str):
        return registry.make_scheduler(wanted)
    if isinstance(wanted, Scheduler):
        check_strategy(wanted)
        return wanted
    if isinstance(wanted, type):
        raise UsageError(f"scheduler= takes an object; write {wanted.__name__}() instead of the class itself")
    if callable(wanted):
        check_takes_task_and_node(f"scheduler={brief(wanted, 60)}", wanted)
        return FunctionScheduler(wanted)
    raise UsageError(
        f"scheduler= takes a name, a Scheduler or a function cost(task, node), not a {type(wanted).__name__}"
    )


def choose_filters(wanted: Sequence[str | CustomFilter], registry: Registry) -> dict[str, CustomFilter]:
    """Make or take the filters of one's own, by name.

    Raises:
        UnknownPlugin: nothing of that name is registered.
        UsageError: one is neither a name nor a function, or two have the same name.
    """
    if isinstance(wanted, str) or callable(wanted):
        raise UsageError("filters= takes a list of names or functions; write it in brackets")
    chosen: dict[str, CustomFilter] = {}
    for one in wanted:
        name, made = one, one
        if isinstance(name, str):
            made = registry.make_filter(name)
        else:
            name = getattr(one, "__name__", type(one).__name__)
        if isinstance(made, str | type) or not callable(made):
            raise UsageError(f"filters= takes names or functions filter(task, node), not {one!r:.60}")
        check_takes_task_and_node(f"filter {name}", made)
        if name in chosen:
            raise UsageError(f"filters= has two that are called {name}; give one of them another __name__")
        chosen[name] = made
    return chosen
