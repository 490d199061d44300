"""Simulated tasks per second through the real core, how much memory that takes, and how both grow.

    python -m benchmarks.simulation [--nodes 100 1000 5000 10000] [--tasks 60000] [--day 1000000] [--json]

*The workload.*  Nodes have 8 cores; tasks ask for half a core to one and a half and run for a minute on
average, exponentially distributed; they arrive as a Poisson process that keeps 70 % of the cores busy.  They
come one to a job, and thirty-seven to a job, which is the mean of Google's trace of 2011 (25 million tasks in
670,000 jobs: Reiss, Tumanov, Ganger, Katz, Kozuch, "Heterogeneity and Dynamicity of Clouds at Scale: Google
Trace Analysis", SoCC 2012).  The manager gathers what comes for ``--turn-s`` of virtual time.

*Simulated* is the whole of it: generating the workload, the manager with plan and reservations, the workers,
the messages between them, the ledger; not reading the result.  *bare* is the same workload in a loop of a
few lines with a heap of events and a scan of all nodes for the least loaded, which has nothing of that; it
says what the machine could do at the time, and what a scan costs where there are many nodes.

*Abreast*: as many simulations at a time as there are cores, each in a process of its own, as ``compare`` runs
them; their tasks/s are added.

*Day*: so many tasks over 86,400 s on 1,000 nodes, with the peak memory of the process.  *Growth*: ten times
as many tasks on 1,000 nodes, tasks/s and memory for each more task.

Each figure is had in a process of its own, in turns; the median over rounds is told.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from benchmarks._report import Figures, print_rows
from minorch.model import Job, Node, Task
from minorch.resources import Resources
from minorch.simulation import Arrival, Simulation

CORES = 8
MEAN_S = 60.0
BUSY = 0.7
SHAPES = ((0.5, "1GiB"), (1.0, "2GiB"), (1.0, "3GiB"), (1.5, "2GiB"))
MEAN_CORES = sum(cores for cores, _ in SHAPES) / len(SHAPES)
MANY = 37
"""Instances of a job, where there are several."""


def machines(count: int) -> list[Node]:
    """Nodes that are all alike."""
    return [
        Node(
            f"node-{number:05}",
            capacity=Resources(cpu=CORES, memory="32GiB"),
            runtime="simulated",
            max_tasks=1000,
        )
        for number in range(count)
    ]


def arrivals(tasks: int, rate: float, instances: int, seed: int) -> Iterator[Arrival]:
    """The workload.

    Args:
        tasks: how many in all.
        rate: tasks per second of virtual time.
        instances: how many to a job.
        seed: what is drawn is drawn from it.
    """
    dice, at_s, number = random.Random(seed), 0.0, 0
    kinds = {
        count: [
            Task("t", command=["x"], resources=Resources(cpu=cores, memory=memory), completions=count)
            for cores, memory in SHAPES
        ]
        for count in {instances, tasks % instances or instances}
    }
    while tasks:
        count = min(instances, tasks)
        tasks -= count
        at_s += dice.expovariate(rate / instances)
        job = Job(f"job-{number}", [dice.choice(kinds[count])])
        number += 1
        yield Arrival(at_s, job, [dice.expovariate(1 / MEAN_S) for _ in range(count)])


def busy_rate(nodes: int) -> float:
    """Tasks per second that keep so many nodes busy."""
    return nodes * CORES * BUSY / MEAN_CORES / MEAN_S


def simulate(options: argparse.Namespace) -> Figures:
    """One simulation in this process."""
    rate = options.rate or busy_rate(options.nodes[0])
    workload = partial(arrivals, options.tasks, rate, options.instances)
    before = _peak_mib()
    began = time.perf_counter()
    simulation = Simulation(
        nodes=machines(options.nodes[0]),
        workload=workload,
        scheduler=options.scheduler,
        seed=1,
        turn_s=options.turn_s,
    )
    result = simulation.run()
    took_s = time.perf_counter() - began
    ended = sum(task.finished_s is not None for task in result.records())
    if ended != options.tasks:
        raise AssertionError(f"{ended} of {options.tasks} tasks are over")
    return {
        "tasks/s": options.tasks / took_s,
        "planning, %": 100 * result.planning_s / took_s,
        "virtual s": result.ended_s,
        "peak MiB": _peak_mib(),
        "bytes/task": (_peak_mib() - before) * 2**20 / options.tasks,
    }


def bare(options: argparse.Namespace) -> Figures:
    """The same workload in a loop that does nothing but choose the least loaded node."""
    rate = options.rate or busy_rate(options.nodes[0])
    free = [float(CORES)] * options.nodes[0]
    began = time.perf_counter()
    events: list[tuple[float, int, int, float]] = []
    waiting: deque[tuple[float, float]] = deque()
    count = 0

    def place(now_s: float) -> None:
        nonlocal count
        while waiting:
            cores, duration_s = waiting[0]
            best = max(range(len(free)), key=free.__getitem__)
            if free[best] < cores:
                return
            waiting.popleft()
            free[best] -= cores
            count += 1
            heapq.heappush(events, (now_s + duration_s, count, best, cores))

    for arrival in arrivals(options.tasks, rate, options.instances, 1):
        while events and events[0][0] <= arrival.at_s:
            now_s, _, node, cores = heapq.heappop(events)
            free[node] += cores
            place(now_s)
        (task,) = arrival.job.tasks
        for number in range(task.completions):
            waiting.append((task.resources.cpu, arrival.duration_of("t", number)))
        place(arrival.at_s)
    while events:
        now_s, _, node, cores = heapq.heappop(events)
        free[node] += cores
        place(now_s)
    return {"tasks/s": options.tasks / (time.perf_counter() - began)}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def command_of(kind: str, options: argparse.Namespace, **changes: object) -> list[str]:
    """What makes one run in a fresh process."""
    chosen = {**vars(options), **changes}
    arguments = [f"--nodes={chosen['nodes']}", f"--tasks={chosen['tasks']}"]
    arguments += [f"--instances={chosen['instances']}", f"--turn-s={chosen['turn_s']}"]
    arguments += [f"--scheduler={chosen['scheduler']}", f"--rate={chosen['rate']}"]
    return [sys.executable, "-m", "benchmarks.simulation", "--one", kind, *arguments]


def in_a_process(kind: str, options: argparse.Namespace, **changes: object) -> Figures:
    """The figures of one run in a fresh process."""
    done = subprocess.run(command_of(kind, options, **changes), check=True, stdout=subprocess.PIPE, text=True)
    figures: Figures = json.loads(done.stdout)
    return figures


def abreast(options: argparse.Namespace, **changes: object) -> Figures:
    """The figures of a run on each core, all at a time: rates and memory added, else the largest."""
    command = command_of("simulate", options, **changes)
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(os.cpu_count() or 1)
    ]
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise AssertionError("a simulation failed")
    every: list[dict[str, float]] = [json.loads(output) for output in outputs]
    return {
        name: (sum if name in ("tasks/s", "peak MiB") else max)(one[name] for one in every)
        for name in every[0]
    }


def medians(rounds: int, run: Callable[[], Figures]) -> Figures:
    """The median of each figure over some runs."""
    every = [run() for _ in range(rounds)]
    return {name: statistics.median(float(one[name] or 0) for one in every) for name in every[0]}


def rows_of(options: argparse.Namespace, say: Callable[[Figures], None]) -> list[Figures]:
    """Everything that is measured, a row each."""
    rows: list[Figures] = []

    def measure(what: str, nodes: int, tasks: int, instances: int, **changes: object) -> None:
        arguments: dict[str, object] = {"nodes": nodes, "tasks": tasks, "instances": instances, **changes}
        one = abreast if what == "abreast" else partial(in_a_process, "simulate")
        ours = medians(options.rounds, partial(one, options, **arguments))
        row: Figures = {"what": what, "nodes": nodes, "tasks": tasks, "tasks/job": instances, **ours}
        if what == "nodes" and not options.no_bare:
            few = {**arguments, "tasks": max(1, min(tasks, 20_000_000 // nodes))}
            row["bare, tasks/s"] = medians(1, partial(in_a_process, "bare", options, **few))["tasks/s"]
            row["by bare"] = float(ours["tasks/s"] or 0) / float(row["bare, tasks/s"] or 1)
        rows.append(row)
        say(row)

    for nodes in options.nodes:
        for instances in (1, MANY):
            measure("nodes", nodes, options.tasks, instances)
        measure("abreast", nodes, options.tasks, MANY)
    if options.growth:
        for tasks in (options.growth // 10, options.growth):
            measure("growth", 1000, tasks, MANY)
    if options.day:
        measure("day", 1000, options.day, MANY, rate=options.day / 86_400)
        measure("day", 1000, options.day, 1, rate=options.day / 86_400)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[100, 1000, 5000, 10_000])
    parser.add_argument("--tasks", type=int, default=60_000)
    parser.add_argument("--growth", type=int, default=200_000, help="0: leave it out")
    parser.add_argument("--day", type=int, default=1_000_000, help="tasks of a day; 0: leave it out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scheduler", default="least-loaded")
    parser.add_argument("--turn-s", type=float, default=0.1)
    parser.add_argument("--no-bare", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=("simulate", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--instances", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        gc.collect()
        print(json.dumps((simulate if options.one == "simulate" else bare)(options)))
        return

    def say(row: Figures) -> None:
        print(", ".join(f"{name} {value}" for name, value in row.items()), file=sys.stderr, flush=True)

    about: Figures = {"scheduler": options.scheduler, "turn_s": options.turn_s}
    print_rows("simulation", about, rows_of(options, say), as_json=options.json)


if __name__ == "__main__":
    main()
