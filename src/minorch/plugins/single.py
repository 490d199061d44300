"""Plugins that offer one thing each: what ``registry.add_scheduler()`` and its like register."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from minorch.plugins.hookspecs import (
    FilterPlugin,
    FleetPlugin,
    RuntimePlugin,
    SchedulerPlugin,
    StorePlugin,
    hookimpl,
)
from minorch.plugins.inspection import check_takes_task_and_node
from minorch.scheduling.filters import CustomFilter
from minorch.scheduling.scheduler import CostFunction, FunctionScheduler, Scheduler

__all__ = ["OneFilter", "OneFleet", "OneRuntime", "OneScheduler", "OneStore", "filter_of", "scheduler_of"]

_Made = TypeVar("_Made")


class OneScheduler:
    """Offers one scheduler."""

    kind: Final = "scheduler"

    def __init__(self, record: SchedulerPlugin) -> None:
        self.record = record

    @hookimpl
    def minorch_schedulers(self) -> Iterable[SchedulerPlugin]:
        """The one."""
        return [self.record]


class OneFilter:
    """Offers one filter."""

    kind: Final = "filter"

    def __init__(self, record: FilterPlugin) -> None:
        self.record = record

    @hookimpl
    def minorch_filters(self) -> Iterable[FilterPlugin]:
        """The one."""
        return [self.record]


class OneRuntime:
    """Offers one runtime."""

    kind: Final = "runtime"

    def __init__(self, record: RuntimePlugin) -> None:
        self.record = record

    @hookimpl
    def minorch_runtimes(self) -> Iterable[RuntimePlugin]:
        """The one."""
        return [self.record]


class OneFleet:
    """Offers one fleet."""

    kind: Final = "fleet"

    def __init__(self, record: FleetPlugin) -> None:
        self.record = record

    @hookimpl
    def minorch_fleets(self) -> Iterable[FleetPlugin]:
        """The one."""
        return [self.record]


class OneStore:
    """Offers one store."""

    kind: Final = "store"

    def __init__(self, record: StorePlugin) -> None:
        self.record = record

    @hookimpl
    def minorch_stores(self) -> Iterable[StorePlugin]:
        """The one."""
        return [self.record]


def scheduler_of(function: CostFunction) -> Callable[[], Scheduler]:
    """A factory of strategies that ask *function* for costs.

    Raises:
        UsageError: it does not take a task and a node.
    """
    check_takes_task_and_node("a cost function", function)

    def make() -> Scheduler:
        return FunctionScheduler(function)

    return _told_as(function, make)


def filter_of(function: CustomFilter) -> Callable[[], CustomFilter]:
    """A factory that gives *function* itself.

    Raises:
        UsageError: it does not take a task and a node.
    """
    check_takes_task_and_node("a filter", function)

    def make() -> CustomFilter:
        return function

    return _told_as(function, make)


def _told_as(function: Callable[..., object], make: Callable[[], _Made]) -> Callable[[], _Made]:
    """Let ``describe()`` tell of *function* when it is shown what makes it."""
    make.__doc__ = function.__doc__
    make.__module__ = getattr(function, "__module__", None) or type(function).__module__
    return make
