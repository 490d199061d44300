"""How few machines would do: the cell of a simulation is made smaller until its work no longer fits.

The method is that of Verma, Korupolu and Wilkes, "Evaluating job packing in warehouse-scale computing", IEEE
CLUSTER 2014, and of Verma et al., "Large-scale cluster management at Google with Borg", EuroSys 2015, section
5.1: machines are taken out in random order, and all work is packed anew, from nothing, by the scheduler's own
code each time.  How many are needed is found by bisection, for several random orders.
"""

from __future__ import annotations

import copy
import hashlib
import math
import random
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from minorch.builtins import default_registry
from minorch.errors import PluginError, UsageError
from minorch.model import Job, Node, Task
from minorch.plugins import Registry, choose_scheduler
from minorch.scheduling import Board, ClusterView, CostFunction, NodeView, Scheduler, TaskView, make_plan
from minorch.simulation.results.measures import percentile
from minorch.simulation.results.result import SimulationResult
from minorch.simulation.results.usage import Timeline

__all__ = ["Compaction", "cell_compaction"]

_MOST_COPIES: Final = 4
"""Where the work does not fit into the cell, so many copies of it are tried."""


class Compaction(msgspec.Struct, frozen=True, kw_only=True):
    """How many machines of a cell its work needs."""

    machines: int
    """How many the cell has."""
    tasks: int
    """How many tasks were packed."""
    pending: int
    """How many of them were allowed to be left over."""
    seeds: Sequence[int]
    needed: Sequence[int]
    """For each seed, how many machines were needed; more than there are where packing anew is worse."""

    @property
    def fraction(self) -> float:
        """The 90th percentile of what was needed, as a part of the cell; as in the Borg paper.

        With so many machines, whoever buys them may be rather sure that the work fits.
        """
        return percentile(sorted(map(float, self.needed)), 90) / self.machines

    def __str__(self) -> str:
        return (
            f"{100 * self.fraction:.1f} % of {self.machines:,} machines hold {self.tasks:,} tasks "
            f"(90th percentile of {len(self.seeds)} random orders: "
            f"{min(self.needed):,} to {max(self.needed):,} machines)"
        )


def cell_compaction(
    work: SimulationResult | Iterable[Job | Task],
    nodes: Sequence[Node] | None = None,
    scheduler: str | Scheduler | CostFunction = "least-loaded",
    *,
    seeds: Iterable[int] = range(11),
    pending_share: float = 0.002,
    registry: Registry | None = None,
) -> Compaction:
    """How few machines of a cell still hold its work.

    For each seed the machines are put in a random order.  Then a number *k* is looked for, by bisection, so
    that all tasks can be packed on the first *k* of them, and not on the first *k - 1*.  A strategy is no
    perfect packer, so that now and then some lesser number might do as well.  Where the work does not fit
    into the whole cell when it is packed anew, copies of its machines are added.

    Tasks are packed as the manager would place them if all arrived at once, in the order given.  Of a result
    it is those that ran at the busiest moment, and of these only what they asked for is known: constraints,
    ports, and whom they must be apart from are not looked at.  Give jobs or tasks instead, and they are.

    Args:
        work: a result, or jobs and tasks.
        nodes: the cell; None: that of the result.
        scheduler: the strategy: a name, an object, which is copied, or a function.
        seeds: one for each random order. The paper has 11.
        pending_share: which part of the tasks may be left over; as in the paper, 2 in 1,000.
        registry: where a name is looked up; None: the built-in ones and what installed packages offer.

    Raises:
        UnknownPlugin: no strategy of that name is registered.
        UsageError: there are no tasks, nodes or seeds, or the tasks do not fit into four cells.
        PluginError: the strategy failed.
    """
    if isinstance(work, SimulationResult):
        tasks, nodes = _busiest_tasks(work), work.ledger.nodes if nodes is None else nodes
    else:
        tasks = _views(work)
    chosen = list(seeds)
    if not tasks or not nodes or not chosen:
        raise UsageError("cell compaction needs tasks that run, nodes, and at least one seed")
    if not 0 <= pending_share < 1:
        raise UsageError(f"pending_share={pending_share!r} is no part of the tasks: from 0 to below 1")
    strategy = choose_scheduler(scheduler, registry or default_registry(installed=True))
    pending = math.floor(pending_share * len(tasks))
    packer = _Packer(tasks, strategy, pending)
    return Compaction(
        machines=len(nodes),
        tasks=len(tasks),
        pending=pending,
        seeds=chosen,
        needed=[packer.fewest(nodes, seed) for seed in chosen],
    )


class _Packer:
    """Packs the same tasks on this and that."""

    def __init__(self, tasks: Sequence[TaskView], strategy: Scheduler, pending: int) -> None:
        self._strategy = strategy
        self._pending = pending
        self._tasks = len(tasks)
        groups: dict[object, list[TaskView]] = {}
        for task in tasks:
            groups.setdefault(task.shape, []).append(task)
        self._groups = list(groups.values())

    def fewest(self, nodes: Sequence[Node], seed: int) -> int:
        """How many nodes are needed, if they are taken in the random order of a seed."""
        dice = random.Random(seed)
        order = list(nodes)
        dice.shuffle(order)
        too_few, most = 0, len(order)
        while not self._fits(order[:most], seed):
            if most >= _MOST_COPIES * len(nodes):
                raise UsageError(
                    f"{self._tasks:,} tasks do not fit into {_MOST_COPIES} times the {len(nodes):,} nodes"
                )
            more = [_renamed(node, most // len(nodes)) for node in nodes]
            dice.shuffle(more)
            order += more
            too_few, most = most, len(order)
        while most - too_few > 1:
            middle = (too_few + most) // 2
            if self._fits(order[:middle], seed):
                most = middle
            else:
                too_few = middle
        return most

    def _fits(self, nodes: Sequence[Node], seed: int) -> bool:
        """Whether all tasks but a few can be packed, from nothing."""
        views = [NodeView(index=index, node=node) for index, node in enumerate(nodes)]
        cluster = ClusterView(nodes=views, now=0.0, random=random.Random(seed))
        plan = make_plan(cluster, self._groups, copy.deepcopy(self._strategy), board=Board(views))
        if plan.broken:
            raise PluginError(next(iter(plan.broken.values())))
        return len(plan.placements) >= self._tasks - self._pending


def _busiest_tasks(result: SimulationResult) -> list[TaskView]:
    """What ran at the busiest moment, in the order of arrival."""
    ledger, timeline = result.ledger, Timeline(result.ledger, result.ended_s)
    rows = sorted({ledger.run_task[run] for run in timeline.running_at(timeline.busiest_s)})
    by_shape = {
        shape: Task("task", command=["true"], resources=ledger.shapes[shape])
        for shape in sorted({ledger.requested[row] for row in rows})
    }
    return [
        _view(by_shape[ledger.requested[row]], ledger.task[row], ledger.job[row], order)
        for order, row in enumerate(rows)
    ]


def _views(work: Iterable[Job | Task]) -> list[TaskView]:
    views: list[TaskView] = []
    for number, one in enumerate(work):
        if not isinstance(one, Job | Task):
            raise UsageError(f"cell compaction packs jobs and tasks, not {type(one).__name__}")
        job = one if isinstance(one, Job) else Job(one.name, [one])
        for name, task, _ in job.instances():
            views.append(_view(task, name, job.name, len(views), job_id=_identity(f"job {number}")))
    return views


def _view(task: Task, name: str, job: str, order: int, job_id: str | None = None) -> TaskView:
    return TaskView(
        id=_identity(f"task {order}"),
        name=name,
        job_id=job_id or _identity(job),
        job=job,
        task=task,
        order=order,
    )


def _identity(name: str) -> str:
    return hashlib.blake2s(name.encode(), digest_size=16).hexdigest()


def _renamed(node: Node, copy_number: int) -> Node:
    suffix = f"-{copy_number}"
    return msgspec.structs.replace(node, name=node.name[: 63 - len(suffix)] + suffix)
