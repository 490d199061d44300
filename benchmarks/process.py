"""Plain processes: 2,000 tasks of ``true`` through minorch, a bare ``Popen`` loop, Dask and HyperQueue.

    python -m benchmarks.process [--tasks 2000] [--rounds 3] [--json]

The bare loop is the floor: two threads that start ``true`` and wait for it.  minorch does the same
work with scheduling, reports, logs and a state that can be asked.  Dask runs a function that does
nothing in two processes, HyperQueue runs ``true`` on two cores; both are measured where installed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import minorch as mo
from benchmarks._report import Figures, alternate, paired_ratio, print_figures

TRUE = shutil.which("true") or "/bin/true"


def bare_loop(tasks: int) -> float:
    """Start and await ``true`` in two threads; tasks/s."""
    numbers = itertools.count()

    def work() -> None:
        while next(numbers) < tasks:
            subprocess.Popen([TRUE], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).wait()

    threads = [threading.Thread(target=work) for _ in range(2)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tasks / (time.perf_counter() - start)


class Library:
    """One cluster on the process runtime, kept open over all rounds."""

    def __init__(self, store: str) -> None:
        self.cluster = mo.Cluster(workers=1, runtime="process", store=store)
        self._numbers = itertools.count()

    def throughput(self, tasks: int) -> float:
        """One job of so many tasks, from submit to its end; tasks/s."""
        job = mo.Job(f"many-{next(self._numbers)}", [mo.Task("true", command=[TRUE], completions=tasks)])
        start = time.perf_counter()
        handle = self.cluster.submit(job)
        state = handle.wait()
        took = time.perf_counter() - start
        assert state is mo.JobState.COMPLETED, state
        return tasks / took

    def round_trip_ms(self, times: int) -> float:
        """The median from the submit of one task to its end, in ms, one at a time."""
        took = []
        for _ in range(times):
            start = time.perf_counter()
            state = self.cluster.submit(mo.Task(f"one-{next(self._numbers)}", command=[TRUE])).wait()
            took.append(1000 * (time.perf_counter() - start))
            assert state is mo.JobState.COMPLETED, state
        return statistics.median(took)


def bare_round_trip_ms(times: int) -> float:
    """The median of ``Popen`` and wait, in ms."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.Popen([TRUE]).wait()
        took.append(1000 * (time.perf_counter() - start))
    return statistics.median(took)


@contextlib.contextmanager
def dask_client() -> object:
    """A Dask cluster of two processes; yields nothing where it is not installed."""
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError:
        yield None
        return
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


def nothing(_: int) -> None:
    """The task that Dask runs."""


def dask_throughput(client: object, tasks: int) -> float:
    """So many calls that do nothing; tasks/s."""
    start = time.perf_counter()
    client.gather(client.map(nothing, range(tasks), pure=False))  # type: ignore[attr-defined]
    return tasks / (time.perf_counter() - start)


@contextlib.contextmanager
def hyperqueue_client(where: str) -> object:
    """A HyperQueue server with a worker of two cores; yields nothing where it is not installed."""
    try:
        from hyperqueue import LocalCluster
        from hyperqueue.cluster import WorkerConfig
    except ImportError:
        yield None
        return
    with stdout_aside(), LocalCluster(server_dir=where) as cluster:
        cluster.start_worker(WorkerConfig(cores=2))
        yield cluster.client()


@contextlib.contextmanager
def stdout_aside() -> Iterator[None]:
    """Have what native code prints go to standard error, so that ours stays readable by programs."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def hyperqueue_throughput(client: object, tasks: int) -> float:
    """One job of so many ``true``; tasks/s. Its client looks once a second whether the job is over."""
    from hyperqueue import Job

    job = Job()
    for _ in range(tasks):
        job.program([TRUE], stdout=None, stderr=None)
    start = time.perf_counter()
    client.wait_for_jobs([client.submit(job)])  # type: ignore[attr-defined]
    return tasks / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--round-trips", type=int, default=50)
    parser.add_argument("--store", default="memory")
    parser.add_argument("--no-peers", action="store_true", help="leave out Dask and HyperQueue")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    figures: Figures = {}
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        library = Library(options.store)
        stack.callback(library.cluster.close)
        contenders: dict[str, Callable[[], float]] = {
            "bare loop": lambda: bare_loop(options.tasks),
            "minorch": lambda: library.throughput(options.tasks),
        }
        if not options.no_peers:
            client = stack.enter_context(dask_client())  # type: ignore[arg-type]
            if client is not None:
                contenders["dask"] = lambda: dask_throughput(client, options.tasks)
            queue = stack.enter_context(hyperqueue_client(scratch))  # type: ignore[arg-type]
            if queue is not None:
                contenders["hyperqueue"] = lambda: hyperqueue_throughput(queue, options.tasks)
        library.throughput(50)  # threads are up and modules loaded before anything is timed
        results = alternate(contenders, options.rounds, say)
        figures["tasks a round"] = options.tasks
        for name, rates in results.items():
            figures[f"{name}, tasks/s"] = statistics.median(rates)
        for name in results:
            if name != "minorch":
                figures[f"minorch by {name}"] = paired_ratio(results["minorch"], results[name])
        figures["minorch, round trip of one task, ms"] = library.round_trip_ms(options.round_trips)
        figures["bare Popen and wait, ms"] = bare_round_trip_ms(options.round_trips)
    print_figures("process", figures, as_json=options.json)


if __name__ == "__main__":
    main()
