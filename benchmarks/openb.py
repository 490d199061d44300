"""Alibaba's GPU cluster trace "openb" (2023: 1,523 nodes, 8,152 pods), placed with each built-in strategy.

    python -m benchmarks.openb [--data ../shared/data] [--plan 100] [--json]

Two modes.  ``fill``: the pods arrive in the order of their creation and none ends; what fits nowhere when it
arrives stays unplaced, as it would at the end.  ``replay``: they end at their time of deletion, too; those
that fit nowhere wait, and are tried again when something has ended.  ``waited`` counts them, ``unplaced`` is
what was not placed at all before its own deletion or the end of the trace.

*The model.*  A node has its CPU, its memory, its GPUs as the custom resource ``gpu``, and a label ``model``.
A pod asks for ``num_gpu * gpu_milli / 1000`` of ``gpu``: half a GPU is 0.5.  A node's GPUs are one pool:
which device a share is cut from is not modelled, so two shares of 0.6 and 0.4 GPU fit a node whose two
devices have 0.5 left each, which they would not in reality.  ``gpu_spec`` becomes the constraint
``model in V100M16, V100M32`` (in the default list of pods it is empty throughout; others have it).  What
the trace does not tell, such as disks, is not asked for.

*Fragmentation* is measured when the most GPUs are reserved.

``gpu fragmentation, %``
    the share of free GPUs that pods of the trace cannot use, after Weng et al., "Beware of Fragmentation:
    Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent", USENIX ATC 2023, section 3: for a
    node n and a pod m drawn from the trace, F_n(m) is all that is free of n's GPUs if m cannot run there,
    else nothing; F_n is its mean over pods, and the figure is the sum of F_n by all free GPUs.  There, for a
    pod that can run, devices with too little left for it count as well; with a pool there are none.
    As there, a pod that asks for no GPU can use none: all that is free is fragmented for it.
``cpu fragmentation, %``
    the same of free cores: the share of them on nodes where a pod drawn from the trace cannot run.

``decisions/s`` counts every pod that ``make_plan`` was asked about; up to ``--plan`` arrivals are one plan,
in replay those before the next end.  Filters and index are those of a cluster; begins and ends are timed,
reading and measuring fragmentation are not.
"""

from __future__ import annotations

import argparse
import csv
import gc
import heapq
import itertools
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks._report import Figures, print_rows
from benchmarks.placement import STRATEGIES
from minorch.model import Node, Task
from minorch.resources import Resources
from minorch.scheduling import Board, NodeView, Scheduler, TaskView, make_plan
from minorch.testing import builders

DATA: Final = Path(__file__).parents[2] / "shared" / "data"
NODES: Final = "openb_node_list_all_node.csv"
PODS: Final = "openb_pod_list_default.csv"
MODES: Final = ("fill", "replay")


class Pod(NamedTuple):
    """One pod of the trace."""

    view: TaskView
    created: int
    deleted: int


def read_nodes(path: Path) -> list[NodeView]:
    """The nodes, empty."""
    with path.open(newline="") as file:
        return [
            NodeView(
                index=index,
                node=Node(
                    row["sn"],
                    capacity=Resources(
                        cpu=int(row["cpu_milli"]) / 1000,
                        memory=int(row["memory_mib"]) * 2**20,
                        gpu=int(row["gpu"]),
                    ),
                    runtime="docker",
                    labels={"model": row["model"]} if row["model"] else {},
                    max_tasks=1000,
                ),
            )
            for index, row in enumerate(csv.DictReader(file))
        ]


def read_pods(path: Path) -> list[Pod]:
    """The pods, in the order of their creation."""
    with path.open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["creation_time"]))
    shapes: dict[tuple[str, ...], TaskView] = {}
    pods = []
    for order, row in enumerate(rows):
        key = (row["cpu_milli"], row["memory_mib"], row["num_gpu"], row["gpu_milli"], row["gpu_spec"])
        like = shapes.get(key)
        if like is None:
            like = shapes[key] = _task(row, len(shapes))
        view = TaskView(
            id=builders.identity(row["name"]),
            name=row["name"],
            job_id=like.job_id,
            job=like.job,
            task=like.task,
            order=order,
            group=like.group,
            shape=like.shape,
        )
        pods.append(Pod(view, int(row["creation_time"]), int(row["deletion_time"])))
    return pods


def _task(row: dict[str, str], number: int) -> TaskView:
    wanted = ", ".join(row["gpu_spec"].split("|")) if row["gpu_spec"] else ""
    task = Task(
        "pod",
        command=["true"],
        resources=Resources(
            cpu=int(row["cpu_milli"]) / 1000,
            memory=int(row["memory_mib"]) * 2**20,
            gpu=int(row["num_gpu"]) * int(row["gpu_milli"]) / 1000,
        ),
        constraints=[f"model in {wanted}"] if wanted else [],
    )
    job = f"shape-{number}"
    return TaskView(id=builders.identity(job), name="pod", job_id=builders.identity(job), job=job, task=task)


class Run:
    """One strategy on the trace, from the first arrival to the last."""

    def __init__(self, nodes: Sequence[NodeView], scheduler: Scheduler) -> None:
        self.board = Board(nodes)
        self.cluster = builders.cluster(nodes)
        self.scheduler = scheduler
        self.asked = self.waited = 0
        self.took_s = 0.0
        self.gpus = self.most_gpus = 0
        """Thousandths of GPUs that are reserved now, and were at most."""
        self.fullest = list(nodes)
        """The nodes when the most GPUs were reserved."""
        self.where: dict[str, str] = {}
        """By id, the node of each pod that was placed, also if it has ended."""

    def arrive(self, pods: Iterable[Pod]) -> list[Pod]:
        """Place what fits, pods of one shape together; returns the rest."""
        pods = list(pods)
        groups: dict[int, list[TaskView]] = {}
        for pod in pods:
            groups.setdefault(id(pod.view.task), []).append(pod.view)
        start = time.perf_counter()
        plan = make_plan(self.cluster, groups.values(), self.scheduler, board=self.board)
        self.took_s += time.perf_counter() - start
        assert not plan.broken, plan.broken
        self.asked += len(plan.placements) + len(plan.waiting)
        self.where |= {placement.task.id: placement.node for placement in plan.placements}
        self.gpus += sum(each.task.resources.custom_millis.get("gpu", 0) for each in plan.placements)
        if self.gpus > self.most_gpus:
            self.most_gpus, self.fullest = self.gpus, list(self.board.nodes)
        return [pod for pod in pods if pod.view.id not in self.where]

    def end(self, pod: Pod) -> None:
        """Take a pod off its node."""
        start = time.perf_counter()
        self.board.update(self.board.named(self.where[pod.view.id]).without_task(pod.view))
        self.took_s += time.perf_counter() - start
        self.gpus -= pod.view.resources.custom_millis.get("gpu", 0)


def fill(run: Run, pods: Sequence[Pod], most: int) -> list[Pod]:
    """All pods arrive and none ends; returns what was not placed."""
    return [pod for part in _parts(pods, most) for pod in run.arrive(part)]


def replay(run: Run, pods: Sequence[Pod], most: int) -> list[Pod]:
    """All pods arrive and end in their time; returns what was never placed."""
    ends: list[tuple[int, int, Pod]] = []
    arrivals, at, lost = list(reversed(pods)), 0, list[Pod]()
    waiting: list[Pod] = []
    while arrivals:
        now = arrivals[-1].created
        ended = False
        while ends and ends[0][0] <= now:
            run.end(heapq.heappop(ends)[2])
            ended = True
        lost += [pod for pod in waiting if pod.deleted <= now]
        waiting = [pod for pod in waiting if pod.deleted > now]
        until = ends[0][0] if ends else float("inf")
        part: list[Pod] = []
        while arrivals and len(part) < most and arrivals[-1].created < until:
            part.append(arrivals.pop())
            until = min(until, max(part[-1].deleted, now + 1))
        tried = [*waiting, *part] if ended else part
        rest = run.arrive(tried)
        left = {pod.view.id for pod in rest}
        run.waited += sum(pod.view.id in left for pod in part)
        waiting = rest if ended else [*waiting, *rest]
        for pod in tried:
            if pod.view.id not in left:
                at += 1
                heapq.heappush(ends, (pod.deleted, at, pod))
    return [*lost, *waiting]


def _parts(pods: Sequence[Pod], most: int) -> Iterator[Sequence[Pod]]:
    rest = iter(pods)
    while part := list(itertools.islice(rest, most)):
        yield part


def fragmentation(nodes: Sequence[NodeView], pods: Sequence[Pod]) -> tuple[float, float]:
    """The shares of free GPUs and of free cores that a pod drawn from the trace cannot use."""
    kinds: dict[int, TaskView] = {id(pod.view.task): pod.view for pod in pods}
    counts = Counter(id(pod.view.task) for pod in pods)
    filters = Board().filters
    free_gpu = free_cpu = lost_gpu = lost_cpu = 0.0
    for node in nodes:
        free = node.free
        gpu, cpu = free.custom_millis.get("gpu", 0), free.cpu_millis
        free_gpu += gpu
        free_cpu += cpu
        if not gpu and not cpu:
            continue
        for kind, view in kinds.items():
            weight = counts[kind] / len(pods)
            runs = filters.admit(view, node)
            if not (runs and view.resources.custom_millis):
                lost_gpu += weight * gpu
            if not runs:
                lost_cpu += weight * cpu
    return 100 * lost_gpu / (free_gpu or 1), 100 * lost_cpu / (free_cpu or 1)


def measure(
    nodes: Sequence[NodeView], pods: Sequence[Pod], mode: str, name: str, plan: int, rounds: int
) -> Figures:
    """One strategy in one mode: the rate is the median over rounds, and the rest is the same in each."""
    rates, run, unplaced = [], Run(nodes, STRATEGIES[name]()), list[Pod]()
    for _ in range(rounds):
        gc.collect()
        run = Run(nodes, STRATEGIES[name]())
        unplaced = (fill if mode == "fill" else replay)(run, pods, plan)
        rates.append(run.asked / run.took_s)
    gpu, cpu = fragmentation(run.fullest, pods)
    gpus = sum(node.capacity.custom_millis.get("gpu", 0) for node in nodes)
    return {
        "mode": mode,
        "strategy": name,
        "decisions/s": statistics.median(rates),
        "placed": len(pods) - len(unplaced),
        "unplaced": len(unplaced),
        "waited": run.waited,
        "gpus reserved, %": 100 * run.most_gpus / gpus,
        "gpu fragmentation, %": gpu,
        "cpu fragmentation, %": cpu,
        "nodes in use": sum(node.tasks > 0 for node in run.fullest),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="the directory of the two CSV files")
    parser.add_argument("--plan", type=int, default=100, help="how many arrivals are one plan at most")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if absent := [name for name in (NODES, PODS) if not (options.data / name).is_file()]:
        parser.exit(
            2,
            f"{' and '.join(absent)} not found in {options.data}: get data/csv/ of "
            "https://github.com/hkust-adsl/kubernetes-scheduler-simulator, and say where it is with --data\n",
        )
    nodes, pods = read_nodes(options.data / NODES), read_pods(options.data / PODS)
    about: Figures = {
        "nodes": len(nodes),
        "pods": len(pods),
        "shapes": len({pod.view.shape for pod in pods}),
        "pods with a constraint": sum(bool(pod.view.task.constraints) for pod in pods),
    }
    rows = []
    for mode in options.modes:
        for name in options.strategies:
            rows.append(measure(nodes, pods, mode, name, plan=options.plan, rounds=options.rounds))
            print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), file=sys.stderr, flush=True)
    print_rows("openb", about, rows, as_json=options.json)


if __name__ == "__main__":
    main()
