"""Docker: 100 short containers through minorch and through a bare docker-py thread loop, in turn.

    python -m benchmarks.docker [--containers 100] [--rounds 3] [--threads 4] [--network none] [--json]

Both create, start, await and remove every container, with the same limits and the same number of
calls at once.  Printed are the throughput ratio, the processor time that each spends per container in
this process, and how long after a container's end (as the engine dates it) minorch reports it and
docker-py's ``wait`` returns: one container at a time, and for minorch also while the engine is saturated.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import Sequence

import docker

import minorch as mo
from benchmarks._report import Figures, alternate, paired_ratio, print_figures
from minorch.runtimes.docker import DockerRuntime
from minorch.runtimes.docker.status import parse_time

IMAGE = "busybox:latest"
SHORT = ["sleep", "0.2"]
URL = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


def cpu_s() -> float:
    """Processor time of this process so far, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class BareLoop:
    """Threads that take one container after the other through docker-py, with one shared client."""

    def __init__(self, threads: int, network: str) -> None:
        self._threads = threads
        self._network = network
        self._client = docker.APIClient(base_url=URL, version="auto", max_pool_size=threads)
        self.cpu_ms: list[float] = []

    def _one(self) -> None:
        client = self._client
        config = client.create_host_config(
            network_mode=self._network,
            nano_cpus=100_000_000,
            mem_limit=16 * 2**20,
            memswap_limit=16 * 2**20,
            pids_limit=512,
            init=True,
            security_opt=["no-new-privileges"],
            cap_drop=["NET_RAW", "MKNOD"],
        )
        container = client.create_container(IMAGE, ["true"], host_config=config)["Id"]
        client.start(container)
        assert client.wait(container, timeout=60)["StatusCode"] == 0
        client.remove_container(container)

    def run(self, containers: int) -> float:
        """So many containers; containers/s."""
        numbers = itertools.count()

        def work() -> None:
            while next(numbers) < containers:
                self._one()

        threads = [threading.Thread(target=work) for _ in range(self._threads)]
        start, cpu = time.perf_counter(), cpu_s()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - start
        self.cpu_ms.append(1000 * (cpu_s() - cpu) / containers)
        return containers / took

    def delay_ms(self) -> float:
        """How long after the end of one container ``wait`` returns, in ms."""
        client = self._client
        config = client.create_host_config(network_mode=self._network, init=True)
        container = client.create_container(IMAGE, SHORT, host_config=config)["Id"]
        client.start(container)
        client.wait(container, timeout=60)
        now = time.time()
        finished_at = parse_time(client.inspect_container(container)["State"]["FinishedAt"])
        client.remove_container(container)
        assert finished_at is not None
        return 1000 * (now - finished_at)

    def close(self) -> None:
        """Let go of the client."""
        self._client.close()


class Library:
    """One cluster, kept open over all rounds; it removes what is finished as it goes."""

    def __init__(self, threads: int, network: str, store: str) -> None:
        self._network = network
        self._numbers = itertools.count()
        self._seen: dict[str, float] = {}
        self.cpu_ms: list[float] = []
        self.delays_ms: list[float] = []
        registry = mo.default_registry()
        registry.register(self)
        self.cluster = mo.Cluster(
            workers=1,
            runtime=DockerRuntime(URL, concurrency=threads),
            store=store,
            registry=registry,
            manager_config=mo.ManagerConfig(keep_runs=0),
        )

    @mo.hookimpl
    def minorch_on_event(self, event: mo.Event) -> None:
        """Note when an end was reported."""
        if event.kind == "task_completed":
            self._seen[event.task_id] = time.time()

    def run(self, containers: int) -> float:
        """One job of so many containers, from submit to the last removal; containers/s."""
        task = mo.Task(
            "true",
            image=IMAGE,
            command=["true"],
            completions=containers,
            networks=[self._network],
            resources=mo.Resources(cpu=0.1, memory="16MiB"),
        )
        start, cpu = time.perf_counter(), cpu_s()
        job = self.cluster.submit(mo.Job(f"round-{next(self._numbers)}", [task]))
        assert job.wait() is mo.JobState.COMPLETED, job
        assert self.cluster.wait_idle(60)
        took = time.perf_counter() - start
        self.cpu_ms.append(1000 * (cpu_s() - cpu) / containers)
        self.delays_ms += [self._delay_ms(info) for info in job.info().tasks]
        return containers / took

    def _delay_ms(self, info: mo.TaskInfo) -> float:
        finished_at = info.attempts[-1].finished_at
        assert finished_at is not None
        return 1000 * (self._seen[info.id] - finished_at)

    def delay_ms(self) -> float:
        """How long after the end of one container it is reported, in ms."""
        task = mo.Task(f"one-{next(self._numbers)}", image=IMAGE, command=SHORT, networks=[self._network])
        job = self.cluster.submit(task)
        assert job.wait() is mo.JobState.COMPLETED, job
        assert self.cluster.wait_idle(60)
        return self._delay_ms(job.info().tasks[0])


def percentile(values: Sequence[float], share: float) -> float:
    """The value that *share* of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--containers", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--delays", type=int, default=20, help="how many ends to time, one at a time")
    parser.add_argument("--network", default="none")
    parser.add_argument("--store", default="memory")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with contextlib.ExitStack() as stack:
        bare = BareLoop(options.threads, options.network)
        stack.callback(bare.close)
        library = Library(options.threads, options.network, options.store)
        stack.callback(library.cluster.close)
        library.run(4)
        bare.run(4)
        for warm_up in (library.cpu_ms, library.delays_ms, bare.cpu_ms):
            warm_up.clear()
        contenders = {
            "bare loop": lambda: bare.run(options.containers),
            "minorch": lambda: library.run(options.containers),
        }
        results = alternate(contenders, options.rounds, say)
        delays = [(library.delay_ms(), bare.delay_ms()) for _ in range(options.delays)]
    figures: Figures = {
        "containers a round": options.containers,
        "calls at once": options.threads,
        "network": options.network,
        "bare loop, containers/s": statistics.median(results["bare loop"]),
        "minorch, containers/s": statistics.median(results["minorch"]),
        "minorch by bare loop": paired_ratio(results["minorch"], results["bare loop"]),
        "bare loop, own cpu per container, ms": statistics.median(bare.cpu_ms),
        "minorch, own cpu per container, ms": statistics.median(library.cpu_ms),
        "minorch on top of the bare loop, ms": statistics.median(
            ours - theirs for ours, theirs in zip(library.cpu_ms, bare.cpu_ms, strict=True)
        ),
        "end to report, one at a time, median, ms": statistics.median(ours for ours, _ in delays),
        "end to wait() of docker-py, one at a time, median, ms": statistics.median(
            theirs for _, theirs in delays
        ),
        "end to report, saturated, median, ms": statistics.median(library.delays_ms),
        "end to report, saturated, 95 % within, ms": percentile(library.delays_ms, 0.95),
    }
    print_figures("docker", figures, as_json=options.json)


if __name__ == "__main__":
    main()
