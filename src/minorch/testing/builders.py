"""Nodes and tasks as a scheduler sees them, made in one line each: for the tests of a strategy.

>>> nodes = cluster([node("n1", cpu=4), node("n2", cpu=8, holds=[task("old", cpu=2)])])
>>> nodes.nodes[1].reserved
Resources(cpu=2)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from random import Random

import msgspec

from minorch.model import Affinity, Node, NodeStats, Port, SpreadOver, Task
from minorch.resources import Resources
from minorch.scheduling.view import ClusterView, NodeView, TaskView

__all__ = ["cluster", "identity", "node", "stats", "task"]


def node(
    name: str,
    *,
    cpu: float | str = 4,
    memory: int | float | str = "8GiB",
    disk: int | float | str = 0,
    reserved: Resources | None = None,
    tasks: int = 0,
    job_tasks: Mapping[str, int] | None = None,
    holds: Iterable[TaskView] = (),
    stats: NodeStats | None = None,
    ready: bool = True,
    cordoned: bool = False,
    index: int = 0,
    max_tasks: int = 100,
    runtime: str = "docker",
    labels: Mapping[str, str] | None = None,
    taints: Sequence[str] = (),
    **custom: float,
) -> NodeView:
    """Return a node as a strategy sees it.

    Args:
        name: the node's name.
        cpu: its capacity in cores.
        memory: its capacity in bytes, or text such as ``"8GiB"``.
        disk: its capacity in bytes, or text.
        reserved: what its tasks asked for, in all.
        tasks: how many tasks it has.
        job_tasks: how many of them, by job id (:func:`identity` of the job's name).
        holds: tasks to place there, on top of *reserved*, *tasks* and *job_tasks*.
        stats: what was measured on it, see :func:`stats`.
        ready: whether it is heard of.
        cordoned: whether nothing new is to be placed there.
        index: its place among the nodes; :func:`cluster` sets it.
        max_tasks: how many tasks it takes.
        runtime: what it runs tasks with.
        labels: its labels.
        taints: its taints.
        custom: its capacity of other resources, such as ``gpu=2``.
    """
    view = NodeView(
        index=index,
        node=Node(
            name,
            capacity=Resources(cpu=cpu, memory=memory, disk=disk, **custom),
            runtime=runtime,
            labels=labels or {},
            taints=taints,
            max_tasks=max_tasks,
        ),
        reserved=reserved or Resources(),
        tasks=tasks,
        job_tasks=job_tasks or {},
        stats=stats,
        ready=ready,
        cordoned=cordoned,
    )
    for held in holds:
        view = view.with_task(held)
    return view


def task(
    name: str = "task",
    *,
    cpu: float | str = 0,
    memory: int | float | str = 0,
    disk: int | float | str = 0,
    job: str = "job",
    order: int = 0,
    avoid: Iterable[str] = (),
    constraints: Sequence[str] = (),
    tolerations: Sequence[str] = (),
    preferences: Mapping[str, int] | None = None,
    affinity: Sequence[Affinity] = (),
    spread_over: Sequence[SpreadOver] = (),
    ports: Sequence[Port] = (),
    runtime: str | None = None,
    platform: str | None = None,
    labels: Mapping[str, str] | None = None,
    priority: int = 0,
    **custom: float,
) -> TaskView:
    """Return a task that waits for a node. Its id and its job's follow from the names.

    Args:
        name: the task's name.
        cpu: how many cores it asks for.
        memory: how much memory, in bytes or as text such as ``"512MiB"``.
        disk: how much disk, in bytes or as text.
        job: its job's name.
        order: its turn; lower comes first.
        avoid: nodes where it failed before.
        constraints: what it asks of its node's labels.
        preferences: what it would like them to say, each with its weight.
        affinity: which tasks it is to be near, or apart from.
        spread_over: over which places its instances are to be spread.
        tolerations: taints that it puts up with.
        ports: ports that it listens on.
        runtime: the runtime that its node must have.
        platform: the platform that its node must have.
        labels: its own labels.
        priority: its job's.
        custom: how much of other resources, such as ``gpu=1``.
    """
    return TaskView(
        id=identity(f"{job}/{name}"),
        name=name,
        job_id=identity(job),
        job=job,
        priority=priority,
        order=order,
        avoid=frozenset(avoid),
        task=Task(
            name,
            command=["true"],
            resources=Resources(cpu=cpu, memory=memory, disk=disk, **custom),
            constraints=constraints,
            preferences=preferences or {},
            affinity=affinity,
            spread_over=spread_over,
            platform=platform,
            tolerations=tolerations,
            ports=ports,
            runtime=runtime,
            labels=labels or {},
        ),
    )


def cluster(nodes: Iterable[NodeView], *, seed: int = 0, now: float = 0.0) -> ClusterView:
    """Return a view of *nodes*, numbered in their order.

    Args:
        nodes: the nodes, in the order in which they joined.
        seed: of the source of randomness that strategies are given.
        now: seconds since 1970.
    """
    numbered = [msgspec.structs.replace(view, index=index) for index, view in enumerate(nodes)]
    return ClusterView(nodes=numbered, now=now, random=Random(seed))


def stats(*, cpu: float = 0.0, memory: float = 0.0, disk: float = 0.0) -> NodeStats:
    """Return a measurement of a machine: how busy its processors, memory and disk are, from 0 to 1."""
    whole = 1_000_000
    return NodeStats(
        sampled_at=0.0,
        cpu_percent=cpu * 100,
        load_1m=0.0,
        memory_used=round(memory * whole),
        memory_total=whole,
        disk_used=round(disk * whole),
        disk_total=whole,
        tasks=0,
    )


def identity(name: str) -> str:
    """Return an id of 32 hexadecimal digits that follows from *name*."""
    return hashlib.blake2s(name.encode(), digest_size=16).hexdigest()
