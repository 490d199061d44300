"""The manager alone: tasks from submit to COMPLETED on 1,000 nodes, with each store, and memory per task.

    python -m benchmarks.lifecycle [--nodes 1000] [--tasks 50000] [--growth 10000,200000] [--json]

The real ``Manager`` and the real stores, without threads: this program is the driver, and calls them in
the order in which ``ManagerDriver`` does.  A turn takes in everything that has come, settles, commits and
then sends.  In each of the first turns a job of 5,000 instances is submitted, so most of them wait.  There
are four shapes, and a node holds about eleven tasks.  The workers are played: each has its turn once in
ten turns, and reports what it was assigned as RUNNING and, the next time, as COMPLETED.  So one commit
holds what a hundred workers report, and a plan places what takes the room of the tasks that ended.

*Timed* is what a manager's process does: submit, receive, settle, commit.  Playing the workers is not.
``memory`` and ``sqlite`` pass messages as they are, which is how it is within a process; ``wire`` has the
memory store, and the manager decodes each report and encodes each assignment, as it would for workers in
other processes.

*Growth* is the number of tasks in all: they wait at the same time, and all of them are remembered when
they are over (``keep_tasks``).  *Bytes per task* are measured with tracemalloc in a run of their own, the
mean over all tasks: ``waiting``, when all were submitted and none was placed, and ``ended``, when all are
over and remembered.  The manager's own are given, and those of the memory store's rows, which come on
top.  The log of events has a bound of its own and is kept at 100 there.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import random
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks._report import Figures, alternate, paired_ratio, print_figures
from minorch.builtins import default_registry
from minorch.contracts import Store
from minorch.drivers.clock import new_id
from minorch.manager import Manager, ManagerConfig
from minorch.messages import Assign, Observed, Report, decode, encode
from minorch.model import Job, Node, Task
from minorch.resources import Resources
from minorch.states import AttemptState, JobState, Reason
from minorch.stores.memory import MemoryStore
from minorch.stores.sqlite import SqliteStore

KINDS = ("memory", "sqlite", "wire")
JOB_TASKS = 5000
SLICES = 10
"""In how many turns each worker has its turn once."""
TURN_S = 0.02
"""How far the clock goes on in a turn."""
HEARTBEAT_S = 5.0
CAPACITY = Resources(cpu=8, memory="32GiB")
SHAPES = {
    "small": Resources(cpu=0.5, memory="1GiB"),
    "lean": Resources(cpu=0.5, memory="512MiB"),
    "middle": Resources(cpu=0.75, memory="2GiB"),
    "large": Resources(cpu=1, memory="3GiB"),
}


_FEW = 3
"""How often few tasks are run before many, and after them."""


class PlayedWorker:
    """A worker's side of the conversation. Its tasks run from one of its reports to the next."""

    def __init__(self, node: Node, cluster_id: str) -> None:
        self.node = node
        self.cluster_id = cluster_id
        self.sequence = self.epoch = self.revision = 0
        self.reported_at = float("-inf")
        self.assigned: dict[str, int] = {}
        self.running: dict[str, tuple[int, float]] = {}

    def take(self, message: Assign) -> None:
        """Do as told."""
        if message.base is not None and (message.epoch, message.base) != (self.epoch, self.revision):
            raise AssertionError("a message is missing, and none was lost")
        self.epoch, self.revision = message.epoch, message.revision
        for entry in message.entries:
            if entry.desired == "run" and entry.task_id not in self.running:
                self.assigned[entry.task_id] = entry.attempt

    def report(self, now: float) -> Report | None:
        """What is new; None: nothing, and it is too early for a mere sign of life."""
        observed = [
            Observed(
                task_id=task_id,
                attempt=attempt,
                run=1,
                state=AttemptState.COMPLETED,
                reason=Reason.EXITED,
                exit_code=0,
                started_at=started_at,
                finished_at=now,
                handle="4242",
            )
            for task_id, (attempt, started_at) in self.running.items()
        ]
        observed += [
            Observed(
                task_id=task_id,
                attempt=attempt,
                run=1,
                state=AttemptState.RUNNING,
                started_at=now,
                handle="4242",
            )
            for task_id, attempt in self.assigned.items()
        ]
        if not observed and now < self.reported_at + HEARTBEAT_S:
            return None
        self.running = {task_id: (attempt, now) for task_id, attempt in self.assigned.items()}
        self.assigned.clear()
        self.reported_at = now
        self.sequence += 1
        return Report(
            cluster_id=self.cluster_id,
            worker=self.node.name,
            incarnation="played",
            sequence=self.sequence,
            epoch=self.epoch,
            revision=self.revision,
            node=self.node,
            observed=tuple(observed),
        )


class Bench:
    """One manager with its played workers, from the first submit to the last end."""

    def __init__(
        self,
        nodes: int,
        tasks: int,
        scheduler: str,
        store: Store,
        *,
        wire: bool = False,
        events: int = 10_000,
    ) -> None:
        self.store = store
        self.wire = wire
        self.now = 1_000_000.0
        self.took_s = self.slowest_s = 0.0
        """What the manager's turns took, in all and at most."""
        self.turns = 0
        self.jobs = deque(jobs(tasks))
        """Those that are still to be submitted."""
        self.ids: list[str] = []
        self.manager = Manager(
            scheduler=default_registry().make_scheduler(scheduler),
            ids=new_id,
            random=random.Random(0),
            now=self.now,
            rows=store.load(),
            config=ManagerConfig(keep_tasks=tasks, max_events=events),
        )
        self.workers: dict[str, PlayedWorker] = {}
        for number in range(nodes):
            node = Node(f"node-{number:04}", capacity=CAPACITY, runtime="process")
            self.workers[node.name] = PlayedWorker(node, self.manager.cluster_id)
        self.slices = [list(self.workers.values())[at::SLICES] for at in range(SLICES)]
        for _ in range(SLICES):  # all join
            self.turn()
        self.took_s = self.slowest_s = 0.0
        self.turns = 0

    def submit(self) -> None:
        """Submit all jobs, one a turn."""
        while self.jobs:
            self.turn(self.jobs.popleft())

    def finish(self) -> None:
        """Take turns until every job is over."""
        for job_id in self.ids:
            while (state := self.manager.job_state(job_id)) is not JobState.COMPLETED:
                if state.terminal:
                    raise AssertionError(f"a job is {state}")
                self.turn()

    def cordon(self, *, cordoned: bool) -> None:
        """Have nothing placed, or everything again."""
        for name in self.workers:
            self.manager.cordon(name, self.now, cordoned=cordoned)

    def turn(self, job: Job | None = None) -> None:
        """What ``ManagerDriver`` does with what has come since the turn before."""
        self.turns += 1
        self.now += TURN_S
        members = self.slices[self.turns % SLICES]
        reports = [report for worker in members if (report := worker.report(self.now)) is not None]
        data = [encode(report) for report in reports] if self.wire else []
        start = time.perf_counter()
        if job is not None:
            self.ids.append(self.manager.submit(job, self.now))
        for arrived in map(decode, data) if self.wire else reports:
            assert isinstance(arrived, Report)
            self.manager.receive(arrived, self.now)
        step = self.manager.settle(self.now)
        if step.changes:
            self.store.commit(step.changes)
        sent = [encode(message) for message in step.messages] if self.wire else []
        took_s = time.perf_counter() - start
        self.took_s += took_s
        self.slowest_s = max(self.slowest_s, took_s)
        for message in map(decode, sent) if self.wire else step.messages:
            assert isinstance(message, Assign)
            self.workers[message.worker].take(message)


def jobs(tasks: int) -> Iterator[Job]:
    """So many instances in all, in jobs of all shapes; the first job takes what does not divide."""
    number = 0
    while tasks:
        count = tasks % JOB_TASKS or min(tasks, JOB_TASKS)
        tasks -= count
        parts = dict.fromkeys(SHAPES, count // len(SHAPES))
        parts["small"] += count % len(SHAPES)
        yield Job(
            f"job-{number}",
            [
                Task(name, command=["true"], resources=SHAPES[name], completions=part)
                for name, part in parts.items()
                if part
            ],
        )
        number += 1


def tasks_per_s(options: argparse.Namespace, kind: str, tasks: int, notes: Figures) -> float:
    """One run with one store; what else is worth knowing of it goes to *notes*."""
    with contextlib.ExitStack() as stack:
        store: Store = MemoryStore()
        if kind == "sqlite":
            scratch = stack.enter_context(tempfile.TemporaryDirectory(dir=options.directory))
            store = SqliteStore(Path(scratch, "lifecycle.db"))
            stack.callback(store.close)
        gc.collect()
        bench = Bench(options.nodes, tasks, options.scheduler, store, wire=kind == "wire")
        bench.submit()
        bench.finish()
        notes[f"{kind}, {tasks:,} tasks: commits"] = bench.turns
        notes[f"{kind}, {tasks:,} tasks: longest turn, ms"] = 1000 * bench.slowest_s
    return tasks / bench.took_s


def growth(
    options: argparse.Namespace, kind: str, least: int, most: int, notes: Figures, say: Callable[[str], None]
) -> tuple[float, float, float]:
    """Tasks/s of few tasks and of many, and the median over rounds of the one's by the other's.

    The machine's speed changes from second to second, so in each round the many are between runs of the few.
    """
    rates: list[tuple[float, float]] = []
    for number in range(1, options.rounds + 1):
        few = [tasks_per_s(options, kind, least, notes) for _ in range(_FEW)]
        many = tasks_per_s(options, kind, most, notes)
        few += [tasks_per_s(options, kind, least, notes) for _ in range(_FEW)]
        rates.append((statistics.median(few), many))
        say(f"round {number}: {kind}, {least:,} and {most:,} tasks {rates[-1][0]:,.1f}/s, {many:,.1f}/s")
    few_rates, many_rates = zip(*rates, strict=True)
    return (
        statistics.median(few_rates),
        statistics.median(many_rates),
        paired_ratio(many_rates, few_rates),
    )


def bytes_per_task(options: argparse.Namespace, tasks: int) -> dict[str, float]:
    """What the manager holds for a task that waits or has ended, and the memory store for its row."""
    bench = Bench(options.nodes, tasks, options.scheduler, MemoryStore(), events=100)
    bench.cordon(cordoned=True)
    held: dict[str, float] = {}

    def measure(moment: str) -> None:
        full = _traced()
        bench.store = MemoryStore()  # from here on only what is written anew is in it
        alone = _traced()
        held[f"{moment}, bytes/task"] = (alone - before) / tasks
        held[f"{moment}, memory store's rows, bytes/task"] = (full - alone) / tasks

    bench.turn()
    bench.store = MemoryStore()
    tracemalloc.start()
    try:
        before = _traced()
        bench.submit()
        measure("waiting")
        bench.cordon(cordoned=False)
        bench.finish()
        measure("ended")
    finally:
        tracemalloc.stop()
    return held


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def sizes(text: str) -> list[int]:
    """Numbers separated by commas."""
    return [int(part) for part in text.split(",") if part]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=50_000)
    parser.add_argument(
        "--growth", type=sizes, default=[10_000, 200_000], help="other numbers of tasks; '' for none"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scheduler", default="least-loaded")
    parser.add_argument("--kinds", default=",".join(KINDS), help="which of memory, sqlite and wire")
    parser.add_argument("--directory", help="where the SQLite file is; default: the system's temporary one")
    parser.add_argument("--no-memory", action="store_true", help="leave out the bytes per task")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    counts = sorted({options.tasks, *options.growth})
    kinds = [kind for kind in KINDS if kind in options.kinds.split(",")]
    figures: Figures = {"scheduler": options.scheduler, "nodes": options.nodes}
    notes: Figures = {}
    contenders: dict[str, Callable[[], float]] = {
        f"{kind}, {tasks:,} tasks": partial(tasks_per_s, options, kind, tasks, notes)
        for tasks in counts
        if tasks not in (counts[0], counts[-1]) or len(counts) == 1
        for kind in kinds
    }
    for name, rates in alternate(contenders, options.rounds, say).items():
        figures[f"{name}: tasks/s"] = statistics.median(rates)
    for kind in kinds if len(counts) > 1 else ():
        least, most, ratio = growth(options, kind, counts[0], counts[-1], notes, say)
        figures[f"{kind}, {counts[0]:,} tasks: tasks/s"] = least
        figures[f"{kind}, {counts[-1]:,} tasks: tasks/s"] = most
        figures[f"{counts[-1]:,} by {counts[0]:,} tasks: {kind}, tasks/s"] = ratio
    held: dict[int, dict[str, float]] = {}
    for tasks in [] if options.no_memory else counts:
        held[tasks] = bytes_per_task(options, tasks)
        for name, size in held[tasks].items():
            figures[f"{tasks:,} tasks: {name}"] = round(size)
    for name in held.get(counts[0], ()) if len(counts) > 1 else ():
        span = f"{counts[-1]:,} by {counts[0]:,} tasks"
        figures[f"{span}: {name}"] = held[counts[-1]][name] / held[counts[0]][name]
    print_figures("lifecycle", {**figures, **notes}, as_json=options.json)


if __name__ == "__main__":
    main()
