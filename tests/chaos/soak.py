"""Many tasks, one after the other: does anything pile up?

    python -m tests.chaos.soak [--containers 1000] [--played 200000]

*Containers* are short ones on the engine that ``DOCKER_HOST`` names, or the usual one, through one cluster.
*Played* tasks go through one manager whose workers are played, with a clock of its own, in seconds.  Both
keep little of what is over, and are measured all along: the process's descriptors, threads and memory, and
the rows that the manager would find in its store.  Exits with 1 if something grew that must not, or was left
behind.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import quote

import psutil

import minorch as mo
from benchmarks.lifecycle import CAPACITY, PlayedWorker
from minorch.builtins import default_registry
from minorch.drivers.clock import new_id
from minorch.manager import Manager, ManagerConfig
from minorch.runtimes.docker import DockerRuntime
from minorch.stores.memory import MemoryStore
from tools import engine

__all__ = ["MOST_RSS_MIB", "SETTLED", "Sample", "grown", "left_on", "play", "run_containers"]

EVERY = 50
"""A cluster is measured after so many containers."""
SETTLED = 200
"""What a cluster holds after so many containers it may hold, and no more."""
MOST_RSS_MIB = 8.0
"""Memory may grow by so much, for the allocator does not give every page back."""
JOB_TASKS = 5000
"""Of each job that is played."""
_FEW = 4
_LATE = 4
"""A pool's threads, and the connection of each, are made when they are first needed, which may be late."""
_MIB = 1 << 20
_TURN_S = 0.02
_WAIT_S = 300.0


class Sample(NamedTuple):
    """What a process holds."""

    tasks: int
    """After so many."""
    descriptors: int
    threads: int
    rss_mib: float
    rows: int = 0
    """In the manager's store, where it can be seen."""

    def __str__(self) -> str:
        return (
            f"{self.tasks:9,} {self.descriptors:11} {self.threads:7} {self.rss_mib:8.1f}"
            f"{f'{self.rows:9,}' if self.rows else ''}"
        )


HEAD = f"{'tasks':>9} {'descriptors':>11} {'threads':>7} {'RSS, MiB':>8}{'rows':>9}"


def take(tasks: int, rows: int = 0) -> Sample:
    """Measure this process."""
    gc.collect()
    own = psutil.Process()
    return Sample(tasks, own.num_fds(), own.num_threads(), own.memory_info().rss / _MIB, rows)


def grown(samples: Sequence[Sample], settled: int, most_rss_mib: float = MOST_RSS_MIB) -> list[str]:
    """What grew after *settled* tasks, in words.

    Connections come and go, so the lowest of the last few figures is held against the highest of the first
    few; what leaks grows steadily, and passes that.
    """
    counted = [sample for sample in samples if sample.tasks >= settled]
    if len(counted) < 2 * _FEW:
        raise ValueError(f"too few samples after {settled} tasks: {len(counted)}")
    first, last = counted[:_FEW], counted[-_FEW:]
    wrong = []
    figures: Sequence[tuple[str, Callable[[Sample], float], float]] = (
        ("descriptors", lambda sample: sample.descriptors, _LATE),
        ("threads", lambda sample: sample.threads, _LATE),
        ("rows", lambda sample: sample.rows, 0),
        ("MiB of memory", lambda sample: sample.rss_mib, most_rss_mib),
    )
    for name, figure, allowed in figures:
        before, after = max(map(figure, first)), min(map(figure, last))
        if after > before + allowed:
            wrong.append(f"{name}: {before:g} at most at first, {after:g} at least in the end")
    return wrong


def run_containers(
    runtime: mo.Runtime, count: int, say: Callable[[str], None], *, every: int = EVERY
) -> tuple[list[Sample], str]:
    """Run so many short containers through one cluster; also its id. Raises what a failed job raises."""
    config = mo.ManagerConfig(keep_runs=20, keep_tasks=2 * every, max_events=500)
    samples = []
    with mo.Cluster(workers=2, runtime=runtime, manager_config=config) as cluster:
        for number in range(count // every):
            task = mo.Task(
                "short", image=engine.IMAGE, command=["true"], networks=["none"], completions=every
            )
            cluster.submit(mo.Job(f"soak-{number}", [task])).result(timeout=_WAIT_S)
            samples.append(take((number + 1) * every))
            say(str(samples[-1]))
        return samples, cluster.manager.cluster_id


def left_on(socket_path: str, cluster_id: str) -> list[str]:
    """The containers of a cluster that an engine has."""
    wanted = quote(json.dumps({"label": [f"minorch.cluster={cluster_id}"]}))
    status, answer = engine.request(socket_path, "GET", f"/containers/json?all=1&filters={wanted}")
    if status != 200:
        raise OSError(f"containers cannot be listed: {answer[:300]!r}")
    return [entry["Names"][0] for entry in json.loads(answer)]


def play(
    jobs: int, tasks: int, nodes: int, config: ManagerConfig, say: Callable[[str], None]
) -> list[Sample]:
    """Have a manager do so many jobs of so many tasks, one after the other."""
    store, now = MemoryStore(), 1_000_000.0
    manager = Manager(
        scheduler=default_registry().make_scheduler("least-loaded"),
        ids=new_id,
        random=random.Random(0),
        now=now,
        rows=store.load(),
        config=config,
    )
    names = [f"node-{number:03}" for number in range(nodes)]
    workers = {
        name: PlayedWorker(mo.Node(name, capacity=CAPACITY, runtime="process"), manager.cluster_id)
        for name in names
    }
    part = mo.Task(
        "part", command=["true"], resources=mo.Resources(cpu=0.5, memory="1GiB"), completions=tasks
    )
    samples: list[Sample] = []
    job_id = ""
    while True:
        now += _TURN_S
        for worker in workers.values():
            if (report := worker.report(now)) is not None:
                manager.receive(report, now)
        if not job_id or manager.job_state(job_id) is mo.JobState.COMPLETED:
            if job_id:
                manager.release(job_id, now)
                samples.append(take(tasks * (len(samples) + 1), sum(1 for _row in store.load())))
                say(str(samples[-1]))
            if len(samples) == jobs:
                return samples
            job_id = manager.submit(mo.Job(f"job-{len(samples)}", [part]), now)
        step = manager.settle(now)
        if step.changes:
            store.commit(step.changes)
        for message in step.messages:
            workers[message.worker].take(message)


def main() -> int:
    """Do both, and say what grew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--containers", type=int, default=1000)
    parser.add_argument("--played", type=int, default=200_000)
    options = parser.parse_args()
    wrong: list[str] = []
    began = time.monotonic()

    def say(words: str) -> None:
        sys.stdout.write(words + "\n")
        sys.stdout.flush()

    say(f"containers\n{HEAD}")
    if options.containers:
        wrong += soak_engine(options.containers, say)
    say(f"{time.monotonic() - began:.0f} s\n\nplayed tasks\n{HEAD}")
    if options.played:
        began = time.monotonic()
        config = ManagerConfig(keep_runs=100, keep_tasks=2 * JOB_TASKS, max_events=2000)
        samples = play(options.played // JOB_TASKS, JOB_TASKS, 100, config, say)
        wrong += grown(samples, 5 * JOB_TASKS, 2 * MOST_RSS_MIB)
        say(f"{time.monotonic() - began:.0f} s")
    for words in wrong:
        say(f"WRONG: {words}")
    return 1 if wrong else 0


def soak_engine(count: int, say: Callable[[str], None]) -> list[str]:
    """Run containers on the engine there is; returns in words what grew and what is left."""
    url = os.environ.get("DOCKER_HOST") or f"unix://{engine.DEFAULT_SOCKET}"
    path = engine.socket_of(url)
    if not engine.answers(path):
        say(f"no engine answers at {url}: nothing was tried")
        return ["no engine"] if os.environ.get("MINORCH_REQUIRE_DOCKER") == "1" else []
    runtime = DockerRuntime(url)
    try:
        samples, cluster_id = run_containers(runtime, count, say)
    finally:
        runtime.close()
    return grown(samples, SETTLED) + [f"left behind: {name}" for name in left_on(path, cluster_id)]


if __name__ == "__main__":
    raise SystemExit(main())
