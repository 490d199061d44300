"""Plugins: the hooks, the records they yield, and the registry that chooses among them by name."""

from minorch.plugins.choosing import choose_filters, choose_scheduler
from minorch.plugins.hookspecs import (
    FilterPlugin,
    FleetPlugin,
    RuntimePlugin,
    SchedulerPlugin,
    StorePlugin,
    hookimpl,
    minorch_filters,
    minorch_fleets,
    minorch_on_event,
    minorch_runtimes,
    minorch_schedulers,
    minorch_stores,
)
from minorch.plugins.listing import PluginInfo, PluginList
from minorch.plugins.registry import Registry

__all__ = [
    "FilterPlugin",
    "FleetPlugin",
    "PluginInfo",
    "PluginList",
    "Registry",
    "RuntimePlugin",
    "SchedulerPlugin",
    "StorePlugin",
    "choose_filters",
    "choose_scheduler",
    "hookimpl",
    "minorch_filters",
    "minorch_fleets",
    "minorch_on_event",
    "minorch_runtimes",
    "minorch_schedulers",
    "minorch_stores",
]
