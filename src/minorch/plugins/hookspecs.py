"""Every hook that a plugin may implement, and the records that hooks yield. Nothing is done here.

Five factories say what there is to choose from, by name; their errors surface.  They may be called
more than once, so they do nothing but yield:

- :func:`minorch_schedulers` yields :class:`SchedulerPlugin` records,
- :func:`minorch_filters` yields :class:`FilterPlugin` records,
- :func:`minorch_runtimes` yields :class:`RuntimePlugin` records,
- :func:`minorch_fleets` yields :class:`FleetPlugin` records,
- :func:`minorch_stores` yields :class:`StorePlugin` records.

One observer is told what happened; there may be many, and their errors are kept to themselves:

- :func:`minorch_on_event` is given each event.

A plugin is a module or an object whose functions carry :data:`hookimpl`::

    import minorch

    @minorch.hookimpl
    def minorch_schedulers():
        yield minorch.SchedulerPlugin("fewest-tasks", FewestTasks)

To have it found once it is installed, name it in the entry-point group ``minorch``::

    [project.entry-points.minorch]
    fewest-tasks = "my_package.plugin"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import pluggy

from minorch.contracts import Fleet, Runtime, Store
from minorch.scheduling.filters import CustomFilter
from minorch.scheduling.scheduler import CostFunction, Scheduler
from minorch.state.events import Event

__all__ = [
    "FilterPlugin",
    "FleetPlugin",
    "RuntimePlugin",
    "SchedulerPlugin",
    "StorePlugin",
    "hookimpl",
    "hookspec",
    "minorch_filters",
    "minorch_fleets",
    "minorch_on_event",
    "minorch_runtimes",
    "minorch_schedulers",
    "minorch_stores",
]

hookspec = pluggy.HookspecMarker("minorch")
"""Marks the functions of this module."""
hookimpl = pluggy.HookimplMarker("minorch")
"""Marks a plugin's function as an implementation of the hook of the same name."""


class SchedulerPlugin(msgspec.Struct, frozen=True):
    """A scheduling strategy to choose by *name*."""

    name: str
    factory: Callable[..., Scheduler | CostFunction]
    """Called with the options that the user gives; returns a new strategy, or a function
    ``cost(task, node)``, which becomes one."""
    summary: str = ""
    """What it does, in one line. Empty: the first line of the factory's docstring."""


class FilterPlugin(msgspec.Struct, frozen=True):
    """A filter to choose by *name*: it keeps tasks off nodes."""

    name: str
    factory: Callable[..., CustomFilter]
    """Called with the options that the user gives; returns a function ``filter(task, node)``."""
    summary: str = ""
    """What it keeps off, in one line. Empty: the first line of the factory's docstring."""


class RuntimePlugin(msgspec.Struct, frozen=True):
    """A runtime to choose by *name*."""

    name: str
    factory: Callable[..., Runtime]
    """Called with the options that the user gives; returns a new runtime."""
    summary: str = ""
    """What it does, in one line. Empty: the first line of the factory's docstring."""


class FleetPlugin(msgspec.Struct, frozen=True):
    """A fleet to choose by *name*: machines that may come and go, each with a runtime of its own."""

    name: str
    factory: Callable[..., Fleet]
    """Called with the options that the user gives; returns a new fleet."""
    summary: str = ""
    """What its machines are, in one line. Empty: the first line of the factory's docstring."""


class StorePlugin(msgspec.Struct, frozen=True):
    """A store to choose by *name*, which is also the scheme of its URLs."""

    name: str
    factory: Callable[..., Store]
    """Called with the options that the user gives, or with ``url=`` the whole URL if it was chosen
    by one; returns an open store."""
    summary: str = ""
    """What it does, in one line. Empty: the first line of the factory's docstring."""


@hookspec
def minorch_schedulers() -> Iterable[SchedulerPlugin]:  # type: ignore[empty-body]
    """Yield the scheduling strategies that the plugin offers. Called when it is registered."""


@hookspec
def minorch_filters() -> Iterable[FilterPlugin]:  # type: ignore[empty-body]
    """Yield the filters that the plugin offers. Called when it is registered."""


@hookspec
def minorch_runtimes() -> Iterable[RuntimePlugin]:  # type: ignore[empty-body]
    """Yield the runtimes that the plugin offers. Called when it is registered."""


@hookspec
def minorch_fleets() -> Iterable[FleetPlugin]:  # type: ignore[empty-body]
    """Yield the fleets that the plugin offers. Called when it is registered."""


@hookspec
def minorch_stores() -> Iterable[StorePlugin]:  # type: ignore[empty-body]
    """Yield the stores that the plugin offers. Called when it is registered."""


@hookspec
def minorch_on_event(event: Event) -> None:
    """Take note of *event*, which is durable by then.

    Called from the thread that drives the manager, so return soon.  What it returns is ignored; what
    it raises is counted and logged, and stops nothing.
    """
