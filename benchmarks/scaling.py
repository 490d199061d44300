"""Where each part of one manager is full: lifecycles, commits, heartbeats, plans, a restart, a failing fleet.

    python -m benchmarks.scaling [--nodes 1000 10000 50000] [--json] [--write docs/_parts/scaling.md]

*Lifecycle*: tasks/s from submit to COMPLETED through the manager alone, with each store, and with every
message encoded and decoded (``benchmarks.lifecycle``, whose played workers are used). *Commits*: rows of
400 bytes, one at a time and many. *Heartbeats*: all nodes report that they are alive, with the figures of
their machines; the manager decodes and takes in what comes, and answers where it has to. *Plan*: a job of
many tasks is placed on nodes that are half full. *Restart*: a new manager reads what a store has of tasks
that wait.

*Fleet*: all of it at once, simulated: nodes with heartbeats that crash and are repaired, a workload that
keeps 70 % of the cores busy, the real manager and workers. Only the turns of the manager are timed: *load*
is for how much of the time one manager's thread would be busy with that. Nothing crosses a wire there.

Rates of failure: each machine fails every 30 days on average, and is away for ten minutes. That is an
assumption. Verma et al., "Large-scale cluster management at Google with Borg" (EuroSys 2015), tell of
failures and upgrades of machines as everyday events in cells of ten thousand.

Lifecycle and commits are timed by the clock; all else in processor time of the one thread that does it, so
that what else a shared machine does counts less. ``--write`` makes the figures that ``docs/scaling.md``
includes.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks._report import Figures, print_rows
from benchmarks.lifecycle import SHAPES, Bench
from minorch.builtins import default_registry
from minorch.contracts import Change, Store
from minorch.drivers.clock import new_id
from minorch.manager import Manager, ManagerConfig
from minorch.messages import Report, decode, encode
from minorch.model import Job, Node, NodeStats, Task
from minorch.resources import Resources
from minorch.simulation import Arrival, Faults, Simulation
from minorch.simulation.driver.cluster import ManagerProcess
from minorch.stores.memory import MemoryStore
from minorch.stores.postgresql import PostgreSQLStore
from minorch.stores.sqlite import SqliteStore
from tests.private_postgresql import missing, private_server

LEASE_S = 15.0
HEARTBEAT_S = 3.0
TURN_REPORTS = 500
"""So many reports share a turn of a manager that is busy."""
CAPACITY = Resources(cpu=8, memory="32GiB")
CRASH_EVERY_S = 30 * 86_400.0
REPAIR_S = 600.0
MEAN_S = 600.0
"""How long a task of the fleet runs on average, exponentially distributed."""


def machine(number: int) -> Node:
    """One of many that are alike."""
    return Node(
        f"node-{number:05}", capacity=CAPACITY, runtime="simulated", labels={"zone": f"z{number % 3}"}
    )


def manager_of(nodes: int, now: float = 1e6) -> Manager:
    """A manager that has heard of so many nodes."""
    manager = Manager(
        scheduler=default_registry().make_scheduler("least-loaded"),
        ids=new_id,
        random=random.Random(0),
        now=now,
        config=ManagerConfig(lease_s=LEASE_S, max_open_tasks=10_000_000),
    )
    for number in range(nodes):
        manager.receive(heartbeat(manager, number, 1, now), now)
    manager.settle(now)
    return manager


def heartbeat(manager: Manager, number: int, sequence: int, now: float) -> Report:
    """A sign of life, with the figures of a machine."""
    node = machine(number)
    stats = NodeStats(
        sampled_at=now,
        cpu_percent=number % 100,
        load_1m=1.5,
        memory_used=2**33,
        memory_total=2**35,
        disk_used=2**36,
        disk_total=2**38,
        tasks=10,
    )
    return Report(
        cluster_id=manager.cluster_id,
        worker=node.name,
        incarnation="0" * 32,
        sequence=sequence,
        epoch=manager.epoch,
        revision=1,
        node=node,
        stats=stats,
    )


# -- the parts -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def stores() -> Iterator[Mapping[str, Callable[[], Store]]]:
    """How each store that can be had here is made, and is empty; PostgreSQL is a server of our own."""
    numbers = itertools.count()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        made: dict[str, Callable[[], Store]] = {
            "memory": MemoryStore,
            "sqlite": lambda: SqliteStore(Path(scratch, f"scaling-{next(numbers)}.db")),
        }
        if problem := missing():
            print(f"without PostgreSQL: {problem}", file=sys.stderr)
        else:
            server = stack.enter_context(private_server())
            made["postgresql"] = lambda: PostgreSQLStore(server.url(f"scaling_{next(numbers)}"))
        yield made


def lifecycles(made: Mapping[str, Callable[[], Store]], tasks: int, nodes: int = 1000) -> Iterator[Figures]:
    """Tasks/s through the manager alone, by store; *wire* has the one in memory."""
    for kind, make in {**made, "wire": MemoryStore}.items():
        with contextlib.closing(make()) as store:
            bench = Bench(nodes, tasks, "least-loaded", store, wire=kind == "wire")
            gc.collect()
            bench.submit()
            bench.finish()
        yield {"part": "lifecycle", "of": kind, "nodes": nodes, "tasks/s": tasks / bench.took_s}


def commits(
    made: Mapping[str, Callable[[], Store]], rows: int = 100, seconds: float = 2.0
) -> Iterator[Figures]:
    """Commits/s of a row of 400 bytes each, alone and many at a time, by each store that waits for a disk."""
    for kind, count in itertools.product([kind for kind in made if kind != "memory"], (1, rows)):
        with contextlib.closing(made[kind]()) as store:
            done, began = 0, time.perf_counter()
            while time.perf_counter() - began < seconds:
                store.commit([Change("t", f"{done:08}-{at}", b"x" * 400) for at in range(count)])
                done += 1
            took_s = time.perf_counter() - began
        yield {
            "part": "commits",
            "of": f"{kind}, {count} row{'s' if count > 1 else ''}",
            "commits/s": done / took_s,
            "rows/s": done * count / took_s,
        }


def heartbeats(nodes: int) -> Figures:
    """How many signs of life one manager takes in, and how large they are."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    manager = manager_of(nodes)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    now, took_s, down = 1e6, 0.0, 0
    data = [encode(heartbeat(manager, number, 2, now)) for number in range(nodes)]
    for at in range(0, nodes, TURN_REPORTS):
        began = time.process_time()
        for one in data[at : at + TURN_REPORTS]:
            report = decode(one)
            assert isinstance(report, Report)
            manager.receive(report, now)
        step = manager.settle(now)
        down += sum(len(encode(message)) for message in step.messages)
        took_s += time.process_time() - began
    rate = nodes / took_s
    return {
        "part": "heartbeats",
        "of": "decoded, with figures",
        "nodes": nodes,
        "reports/s": rate,
        "bytes up": sum(map(len, data)) / nodes,
        "bytes/s, a node": sum(map(len, data)) / nodes / HEARTBEAT_S,
        "nodes that fill a thread": rate * HEARTBEAT_S,
        "memory, bytes/node": held / nodes,
    }


def plans(nodes: int, tasks: int) -> Figures:
    """How long it takes to place many tasks at once, on nodes that are half full."""
    manager, now = manager_of(nodes), 1e6
    filler = Task("filler", command=["x"], resources=Resources(cpu=4, memory="16GiB"), completions=nodes)
    manager.submit(Job("filler", [filler]), now)
    began = time.process_time()
    manager.settle(now)
    fill_s = time.process_time() - began
    parts = [
        Task(name, command=["x"], resources=amount, completions=tasks // len(SHAPES))
        for name, amount in SHAPES.items()
    ]
    manager.submit(Job("burst", parts), now)
    began = time.process_time()
    manager.settle(now)
    took_s = time.process_time() - began
    return {
        "part": "plan",
        "of": f"{nodes:,} tasks on empty nodes, then {tasks:,} of {len(SHAPES)} shapes",
        "nodes": nodes,
        "decisions/s, filling": nodes / fill_s,
        "decisions/s": tasks / took_s,
        "plan, ms": 1000 * took_s,
    }


def restart(tasks: int, nodes: int = 1000) -> Figures:
    """How long a new manager takes to read what a store has of waiting tasks."""
    bench = Bench(nodes, tasks, "least-loaded", MemoryStore())
    bench.cordon(cordoned=True)
    bench.submit()
    with tempfile.TemporaryDirectory() as scratch:
        store = SqliteStore(Path(scratch, "scaling.db"))
        store.commit(list(bench.store.load()))
        began = time.process_time()
        rows = list(store.load())
        read_s = time.process_time() - began
        again = Manager(
            scheduler=default_registry().make_scheduler("least-loaded"),
            ids=new_id,
            random=random.Random(0),
            now=2e6,
            rows=rows,
            config=ManagerConfig(max_open_tasks=10_000_000),
        )
        again.settle(2e6)
        took_s = time.process_time() - began
        store.close()
    return {
        "part": "restart",
        "of": f"sqlite, {tasks:,} tasks that wait",
        "read, s": read_s,
        "in all, s": took_s,
    }


def fleet(nodes: int, minutes: float) -> Figures:
    """A fleet in which machines fail, simulated: how busy one manager is with it."""
    rate = nodes * CAPACITY.cpu * 0.7 / 1.0 / MEAN_S
    turns_s = 0.0
    real = ManagerProcess._turn

    def timed(process: ManagerProcess) -> None:
        nonlocal turns_s
        began = time.process_time()
        real(process)
        turns_s += time.process_time() - began

    def workload(seed: int) -> Iterator[Arrival]:
        dice, at_s, number = random.Random(seed), 0.0, 0
        task = Task("t", command=["x"], resources=Resources(cpu=1, memory="2GiB"), completions=37)
        while at_s < 60 * minutes:
            at_s += dice.expovariate(rate / 37)
            yield Arrival(
                at_s, Job(f"job-{number}", [task]), [dice.expovariate(1 / MEAN_S) for _ in range(37)]
            )
            number += 1

    simulation = Simulation(
        nodes=[machine(number) for number in range(nodes)],
        workload=workload,
        scheduler="least-loaded",
        seed=1,
        faults=Faults(crash_every_s=CRASH_EVERY_S, repair_s=REPAIR_S),
        manager_config=ManagerConfig(lease_s=LEASE_S, max_open_tasks=10_000_000),
        turn_s=0.1,
    )
    ManagerProcess._turn = timed  # type: ignore[method-assign]
    try:
        began = time.process_time()
        result = simulation.run(until=60 * minutes)
        took_s = time.process_time() - began
    finally:
        ManagerProcess._turn = real  # type: ignore[method-assign]
    return {
        "part": "fleet",
        "of": f"{minutes:g} minutes, simulated",
        "nodes": nodes,
        "decisions/s of its time": result.counts["decisions"] / (60 * minutes),
        "nodes lost": result.counts.get("nodes lost", 0),
        "load, %": 100 * turns_s / (60 * minutes),
        "simulated in, s": took_s,
    }


# -- all of it -----------------------------------------------------------------------------------------------


def rows_of(options: argparse.Namespace) -> Iterator[Figures]:
    """Everything that is measured, a row each; what takes memory has a process of its own."""
    with stores() as made:
        yield from lifecycles(made, options.tasks)
        yield from commits(made, seconds=options.seconds)
    for nodes in options.nodes:
        yield in_a_process(f"heartbeats({nodes})")
    for nodes in options.nodes:
        yield in_a_process(f"plans({nodes}, {options.burst})")
    yield in_a_process(f"restart({options.waiting})")
    for nodes in options.nodes:
        yield in_a_process(f"fleet({nodes}, {options.minutes})")


def in_a_process(call: str) -> Figures:
    """One of the parts, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--one", call]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: Figures = json.loads(done.stdout)
    return figures


def one(call: str) -> Figures:
    """A part by its call, such as ``plans(1000, 5000)``."""
    name, _, rest = call.partition("(")
    numbers = [float(word) for word in rest.rstrip(")").split(",")]
    parts = {"heartbeats": heartbeats, "plans": plans, "restart": restart}
    if name == "fleet":
        return fleet(int(numbers[0]), numbers[1])
    return partial(parts[name], *(int(number) for number in numbers))()


def page(rows: Sequence[Figures], load: float) -> str:
    """The figures as Markdown: a table for each part; *load*: how many threads were ready before it began."""
    where = f"with Python {platform.python_version()} on a machine of {os.cpu_count()} cores"
    busy = f"for which {load:.1f} threads were ready in the minute before"
    lines = [f"Made by `python -m benchmarks.scaling --write` {where}, {busy}."]
    for part in dict.fromkeys(str(row["part"]) for row in rows):
        mine = [row for row in rows if row["part"] == part]
        heads = [head for head in dict.fromkeys(name for row in mine for name in row) if head != "part"]
        lines += ["", f"**{part.capitalize()}**", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
        lines += [f"| {' | '.join(_shown(row.get(head)) for head in heads)} |" for row in mine]
    return "\n".join(lines) + "\n"


def _shown(value: float | int | str | None) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else value or ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000, 10_000, 50_000])
    parser.add_argument("--tasks", type=int, default=50_000, help="of the lifecycle")
    parser.add_argument("--burst", type=int, default=10_000, help="tasks that are placed at once")
    parser.add_argument("--waiting", type=int, default=100_000, help="tasks that a restarted manager reads")
    parser.add_argument("--minutes", type=float, default=5.0, help="of the fleet's time")
    parser.add_argument("--seconds", type=float, default=2.0, help="of commits")
    parser.add_argument("--write", type=Path, help="where the page of figures goes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(one(options.one)))
        return
    rows, load = [], os.getloadavg()[0]
    for row in rows_of(options):
        rows.append(row)
        print(
            ", ".join(f"{name} {_shown(value)}" for name, value in row.items()), file=sys.stderr, flush=True
        )
    if options.write is not None:
        options.write.write_text(page(rows, load), encoding="utf-8")
    print_rows("scaling", {"cores": os.cpu_count() or 1}, rows, as_json=options.json)


if __name__ == "__main__":
    main()
