"""From what a user gives for a simulation to its parts: checked arguments, a strategy, configurations."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Final

from minorch.errors import PluginError, UsageError, brief
from minorch.manager import ManagerConfig
from minorch.model import Node
from minorch.plugins import Registry, choose_scheduler
from minorch.scheduling import CostFunction, Scheduler
from minorch.simulation.faults import Faults
from minorch.worker import WorkerConfig

__all__ = [
    "NEVER_S",
    "SchedulerLike",
    "checked_nodes",
    "manager_config_for",
    "own_strategy",
    "seconds",
    "whole",
    "worker_config_for",
]

SchedulerLike = str | Scheduler | CostFunction

NEVER_S: Final = 1e9
"""Thirty years: no simulation gets there."""


def own_strategy(scheduler: object, registry: Registry) -> tuple[str, Callable[[], Scheduler]]:
    """What a strategy is called, and what makes one that serves one manager alone.

    Raises:
        PluginError: it cannot be copied.
    """
    chosen = choose_scheduler(scheduler, registry)  # type: ignore[arg-type]  # it refuses what is none
    if isinstance(scheduler, str):
        return scheduler, lambda: chosen
    name = getattr(scheduler, "__name__", None) or repr(chosen)
    try:
        own = copy.deepcopy(chosen)
    except Exception as error:
        raise PluginError(
            f"scheduler {type(chosen).__name__} cannot be copied for a simulation: "
            f"{type(error).__name__}: {error}"[:2000]
        ) from error
    return name, lambda: own


def checked_nodes(nodes: object) -> list[Node]:
    """The nodes, if there are any and no two of a name.

    Raises:
        UsageError: there are none, two of a name, or something that is no node.
    """
    if isinstance(nodes, str) or not isinstance(nodes, Iterable):
        raise UsageError(f"nodes={brief(nodes, 60)}: write a list of Node; uniform() makes one")
    given = list(nodes)
    for node in given:
        if not isinstance(node, Node):
            raise UsageError(
                f"nodes= takes a list of Node, not of {type(node).__name__}; uniform() makes one"
            )
    if not given:
        raise UsageError("nodes=[]: a simulation has at least one node")
    names: dict[str, None] = {}
    for node in given:
        if node.name in names:
            raise UsageError(f'two nodes are called "{node.name}"')
        names[node.name] = None
    return given


def whole(seed: object) -> int:
    """A seed, if it is a whole number.

    Raises:
        UsageError: it is none.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral):  # numpy's are Integral, too
        raise UsageError(f"seed={brief(seed)} is no whole number")
    return int(seed)


def seconds(name: str, value: object) -> float:
    """An argument, if it is a time in seconds, from 0 on.

    Raises:
        UsageError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= NEVER_S:
        raise UsageError(f"{name}={brief(value)} is no time in seconds")
    return float(value)


def manager_config_for(faults: Faults) -> ManagerConfig:
    """Nothing is said again that is not lost, and what is over is soon forgotten."""
    most_s = 60.0 if faults.lose_nodes else NEVER_S
    return ManagerConfig(
        lease_s=most_s,
        resend_s=min(most_s, 5.0) if faults.lose_nodes else NEVER_S,
        full_every_s=NEVER_S,
        slow_plan_s=NEVER_S,
        timing_every_s=NEVER_S,
        keep_runs=0,
        keep_runs_s=0.0,
        keep_tasks=10_000,
        keep_jobs_s=NEVER_S,
        max_events=1000,
    )


def worker_config_for(manager: ManagerConfig, measure_every_s: float | None) -> WorkerConfig:
    """Several heartbeats fit into a lease, with which figures are told too."""
    sample_s = NEVER_S if measure_every_s is None else seconds("measure_every_s", measure_every_s)
    return WorkerConfig(
        heartbeat_s=max(0.01, min(manager.lease_s / 3, sample_s)),
        sample_s=sample_s,
        relist_s=NEVER_S,
        max_starting=100_000,
        max_removing=100_000,
    )
