"""Several engines: short containers through bare loops, minorch, Docker Swarm and docker-compose, in turn.

    python -m benchmarks.engines [--containers 60] [--rounds 3] [--managers 1] [--json]

As root on Debian: four hosts, each a Docker Engine in a network namespace of its own, all on this machine,
so more engines make nothing faster here; what is compared is what each way adds.  All run ``true`` with the
same limits.  Timed are

- bare loops of docker-py threads on 1, 2 and 4 engines, as many threads for each as minorch has calls, until
  the last container is removed;
- minorch on the same engines over TLS, from submit to the last removal;
- on a Swarm of the four hosts, to the last completed task, while nothing is removed: a ``replicated-job``
  service; a bare loop that makes a service for each container, pinned to a node; and minorch, which does so;
- minorch on that Swarm to the last removal, which is many services to remove where Swarm's job is one;
- docker-compose 1.29 on one engine, ``up --scale`` to the end of all, and ``down``.

Containers have no network, but in a Swarm, which has no such thing, the engine's default.  However it ends,
nothing of the hosts is left.
"""

from __future__ import annotations

import abc
import argparse
import contextlib
import functools
import itertools
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import docker

import minorch as mo
from benchmarks._report import Figures, alternate, paired_ratio, print_figures
from benchmarks.docker import cpu_s
from minorch.runtimes.docker import DockerFleet
from tests.hosts.host import Host
from tests.hosts.hosts import Hosts, why_not
from tests.swarm.stage import make_swarm, wait_ready

HOSTS = 4
ENGINES = (1, 2, 4)
AT_ONCE = (4, 16)
PATIENCE_S = 600
CALLS = 2 * (os.cpu_count() or 1)
"""At once for each engine: what a Docker runtime of minorch has."""
STARTS = 8
"""At once for each node of the Swarm: what a Swarm runtime of minorch has."""
LOOK_S = 0.1
LABEL = "benchmark=services"
CPU, MEMORY_MIB, PIDS = 0.1, 16, 512
COMPOSE = f"""
version: "2.4"
services:
  t:
    image: {{image}}
    command: ["true"]
    network_mode: none
    init: true
    cpus: {CPU}
    mem_limit: {MEMORY_MIB}m
    memswap_limit: {MEMORY_MIB}m
    pids_limit: {PIDS}
    security_opt: ["no-new-privileges"]
    cap_drop: [NET_RAW, MKNOD]
"""


class Contender(abc.ABC):
    """One way to run them all, and what it used in each of its rounds."""

    def __init__(self) -> None:
        self.cpu_ms: list[float] = []
        """Processor time of this process, per container."""
        self.share: list[float] = []
        """The same, by all the time that went by."""

    @abc.abstractmethod
    def run(self, containers: int) -> float:
        """Run so many containers; containers/s."""

    @contextlib.contextmanager
    def round(self, containers: int) -> Iterator[Callable[[], float]]:
        """Give a function that tells containers/s so far."""
        start, cpu = time.perf_counter(), cpu_s()
        yield lambda: containers / (time.perf_counter() - start)
        used = cpu_s() - cpu
        self.cpu_ms.append(1000 * used / containers)
        self.share.append(used / (time.perf_counter() - start))


def client_of(host: Host) -> Any:
    """A low-level client, over the network as minorch's."""
    assert host.certificates is not None
    folder = Path(host.certificates)
    tls = docker.tls.TLSConfig(
        client_cert=(str(folder / "cert.pem"), str(folder / "key.pem")),
        ca_cert=str(folder / "ca.pem"),
        verify=True,
    )
    client = docker.APIClient(
        base_url=host.url.replace("tcp:", "https:"), tls=tls, version="1.41", max_pool_size=CALLS
    )
    client.trust_env = False
    return client


class BareLoop(Contender):
    """Threads that take one container after the other, some for each engine."""

    def __init__(self, hosts: Sequence[Host], image: str) -> None:
        super().__init__()
        self._hosts, self._image = hosts, image

    def _one(self, client: docker.APIClient) -> None:
        config = client.create_host_config(
            network_mode="none",
            nano_cpus=round(CPU * 1e9),
            mem_limit=MEMORY_MIB * 2**20,
            memswap_limit=MEMORY_MIB * 2**20,
            pids_limit=PIDS,
            init=True,
            security_opt=["no-new-privileges"],
            cap_drop=["NET_RAW", "MKNOD"],
        )
        container = client.create_container(self._image, ["true"], host_config=config)["Id"]
        client.start(container)
        assert client.wait(container, timeout=60)["StatusCode"] == 0
        client.remove_container(container)

    def run(self, containers: int) -> float:
        """So many containers, whichever engine has time for one; containers/s."""
        numbers = itertools.count()
        stop = threading.Event()
        faults: list[Exception] = []

        def work(client: docker.APIClient) -> None:
            try:
                while not stop.is_set() and next(numbers) < containers:
                    self._one(client)
            except Exception as fault:  # noqa: BLE001 - raised again where the round was asked for
                faults.append(fault)
                stop.set()

        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(contextlib.closing(client_of(host))) for host in self._hosts]
            stack.callback(stop.set)
            threads = [
                threading.Thread(target=work, args=(client,), daemon=True)
                for client in clients
                for _ in range(CALLS)
            ]
            with self.round(containers) as rate:
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                if faults:
                    raise faults[0]
                return rate()


class Library(Contender):
    """A cluster that is made for each round.

    Args:
        engine: makes what it runs on.
        task: what it runs.
        removes: whether what is finished is removed as it goes, and waited for; else the closing does it.
    """

    def __init__(
        self, engine: Callable[[], DockerFleet | mo.Swarm], task: mo.Task, *, removes: bool = True
    ) -> None:
        super().__init__()
        self._engine, self._task, self._removes = engine, task, removes

    def run(self, containers: int) -> float:
        """One job of so many containers, from submit; containers/s."""
        task = mo.Task(
            self._task.name,
            image=self._task.image,
            command=self._task.command,
            completions=containers,
            networks=self._task.networks,
            resources=self._task.resources,
        )
        config = mo.ManagerConfig(keep_runs=0 if self._removes else containers)
        with (
            contextlib.closing(self._engine()) as engine,
            mo.Cluster(engine=engine, manager_config=config) as cluster,
            self.round(containers) as rate,
        ):
            job = cluster.submit(mo.Job("round", [task]))
            assert job.wait(timeout=PATIENCE_S) is mo.JobState.COMPLETED, job
            assert not self._removes or cluster.wait_idle(60)
            return rate()


def template(image: str, node_id: str | None = None) -> dict[str, Any]:
    """What a service of the Swarm says of each of its tasks; with *node_id*, where they go."""
    limits = {"NanoCPUs": round(CPU * 1e9), "MemoryBytes": MEMORY_MIB * 2**20}
    return {
        "ContainerSpec": {
            "Image": image,
            "Args": ["true"],
            "Init": True,
            "CapabilityDrop": ["CAP_NET_RAW", "CAP_MKNOD"],
        },
        "Resources": {"Limits": {**limits, "Pids": PIDS}, "Reservations": limits},
        "RestartPolicy": {"Condition": "none"},
        "LogDriver": {"Name": "json-file"},
        "Placement": {"Constraints": [f"node.id=={node_id}"] if node_id else []},
    }


def completed(client: Any, which: dict[str, Any]) -> int:
    """How many tasks that a filter lets through are completed; none may have failed."""
    states = [task["Status"]["State"] for task in client.tasks(filters=which)]
    if bad := {"failed", "rejected"}.intersection(states):
        raise RuntimeError(f"Swarm has tasks that are {', '.join(sorted(bad))}")
    return states.count("complete")


def remove_services(hosts: Sequence[Host]) -> None:
    """Remove all services and their containers; those of a replicated-job stay when it goes."""
    with contextlib.closing(client_of(hosts[0])) as client:
        for service in client.services():
            client.remove_service(service["ID"])
        wait_until(lambda: not client.tasks(filters={"label": [LABEL]}))
    for host in hosts:
        with contextlib.closing(client_of(host)) as client:
            wait_until(functools.partial(remove_containers, client))


def remove_containers(client: Any) -> bool:
    """Remove the containers of services; whether there were none."""
    containers = client.containers(all=True, filters={"label": ["com.docker.swarm.service.id"]})
    for container in containers:
        with contextlib.suppress(docker.errors.APIError):  # the node may be at it
            client.remove_container(container["Id"], force=True)
    return not containers


def wait_until(so: Callable[[], bool]) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the Swarm did not get there within {PATIENCE_S} s")
        time.sleep(LOOK_S)


class NativeSwarm(Contender):
    """One service of kind replicated-job."""

    def __init__(self, hosts: Sequence[Host], image: str, at_once: int) -> None:
        super().__init__()
        self._hosts, self._image, self._at_once = hosts, image, at_once

    def run(self, containers: int) -> float:
        """To the last completed task; containers/s."""
        mode = docker.types.ServiceMode("replicated-job", containers, self._at_once)
        with contextlib.closing(client_of(self._hosts[0])) as client:
            try:
                with self.round(containers) as rate:
                    job = client.create_service(template(self._image), name="round", mode=mode)["ID"]
                    wait_until(lambda: completed(client, {"service": job}) == containers)
                    return rate()
            finally:
                remove_services(self._hosts)


class BareServices(Contender):
    """A service of one replica for each container, its node chosen here, some at once for each node."""

    def __init__(self, hosts: Sequence[Host], image: str) -> None:
        super().__init__()
        self._hosts, self._image = hosts, image

    def run(self, containers: int) -> float:
        """To the last completed task; containers/s."""
        labels, mode = dict([LABEL.split("=")]), docker.types.ServiceMode("replicated", 1)
        deadline = time.monotonic() + PATIENCE_S
        with contextlib.closing(client_of(self._hosts[0])) as client:
            nodes = itertools.cycle([node["ID"] for node in client.nodes()])
            try:
                with self.round(containers) as rate:
                    made = done = 0
                    while done < containers:
                        for number in range(made, min(containers, done + STARTS * len(self._hosts))):
                            work = template(self._image, next(nodes))
                            client.create_service(work, name=f"round-{number}", labels=labels, mode=mode)
                            made += 1
                        time.sleep(LOOK_S)
                        done = completed(client, {"label": [LABEL]})
                        if time.monotonic() > deadline:
                            raise TimeoutError("Swarm did not complete its tasks")
                    return rate()
            finally:
                remove_services(self._hosts)


class Compose(Contender):
    """docker-compose on one engine; it is a process of its own, so its processor time is not told."""

    def __init__(self, host: Host, image: str) -> None:
        super().__init__()
        self._host = host
        self._file = host.folder / "docker-compose.yml"
        self._file.write_text(COMPOSE.format(image=image))

    def _do(self, *words: str) -> None:
        environment = {**os.environ, "DOCKER_HOST": f"unix://{self._host.socket}"}
        command = ["docker-compose", "--no-ansi", "-p", "round", "-f", str(self._file), *words]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        if done.returncode:
            raise RuntimeError(f"docker-compose {words[0]} failed: {done.stderr[-2000:]}")

    def run(self, containers: int) -> float:
        """Up, to the end of all, and down; containers/s."""
        ended = {"status": ["exited"], "label": ["com.docker.compose.project=round"]}
        with contextlib.closing(client_of(self._host)) as client, self.round(containers) as rate:
            self._do("up", "-d", "--scale", f"t={containers}")
            deadline = time.monotonic() + PATIENCE_S
            while len(client.containers(all=True, filters=ended)) < containers:
                if time.monotonic() > deadline:
                    raise TimeoutError("not all containers of docker-compose ended")
                time.sleep(0.05)
            self._do("down")
            return rate()


def task_on(image: str, networks: Sequence[str]) -> mo.Task:
    """What minorch runs."""
    limits = mo.Resources(cpu=CPU, memory=f"{MEMORY_MIB}MiB")
    return mo.Task("true", image=image, command=["true"], networks=networks, resources=limits)


def fleet_of(hosts: Sequence[Host]) -> DockerFleet:
    """The engines of some hosts."""
    engines = [mo.DockerEngine(host.url, name=host.name, certificates=host.certificates) for host in hosts]
    return DockerFleet(engines)


def contenders(hosts: Hosts, managers: int) -> dict[str, Contender]:
    """All of them, by name; those that are compared run one right after the other."""
    image, everyone = hosts[0].image_id(), list(hosts)
    found: dict[str, Contender] = {}
    for count in ENGINES:
        some = everyone[:count]
        found[f"bare loop, {count}"] = BareLoop(some, image)
        found[f"minorch, {count}"] = Library(functools.partial(fleet_of, some), task_on(image, ["none"]))
    urls = [host.url for host in everyone[:managers]]
    certificates = hosts[0].certificates
    found["Swarm, 4 at once"], found["Swarm, 16 at once"] = (
        NativeSwarm(everyone, image, at_once) for at_once in AT_ONCE
    )
    on_swarm = functools.partial(mo.Swarm, urls, certificates=certificates)
    found["minorch on Swarm"] = Library(on_swarm, task_on(image, []), removes=False)
    found["services on Swarm"] = BareServices(everyone, image)
    found["minorch on Swarm, with removal"] = Library(on_swarm, task_on(image, []))
    if shutil.which("docker-compose"):
        found["docker-compose, 1"] = Compose(hosts[0], image)
    return found


def measure(hosts: Hosts, containers: int, rounds: int, managers: int, say: Callable[[str], None]) -> Figures:
    """Run all on hosts that are a Swarm already; what came out."""
    all_of_them = contenders(hosts, managers)
    if "docker-compose, 1" not in all_of_them:
        say("docker-compose is left out: it is not installed (apt-get install docker-compose)")
    runs = {name: functools.partial(one.run, containers) for name, one in all_of_them.items()}
    BareLoop(list(hosts), hosts[0].image_id()).run(
        4 * HOSTS
    )  # what an engine does for the first time is slow
    results = alternate(runs, rounds, say)
    figures: Figures = {"containers a round": containers, "rounds": rounds, "calls at once, an engine": CALLS}
    for name, rates in results.items():
        figures[f"{name}, containers/s"] = statistics.median(rates)
    for count in ENGINES:
        ours, theirs = results[f"minorch, {count}"], results[f"bare loop, {count}"]
        figures[f"minorch by bare loop, {count}"] = paired_ratio(ours, theirs)
    ours = results["minorch on Swarm"]
    figures["minorch on Swarm by services on Swarm"] = paired_ratio(ours, results["services on Swarm"])
    for at_once in AT_ONCE:
        theirs = results[f"Swarm, {at_once} at once"]
        figures[f"minorch on Swarm by Swarm, {at_once} at once"] = paired_ratio(ours, theirs)
        figures[f"minorch on Swarm, with removal, by Swarm, {at_once} at once, without"] = paired_ratio(
            results["minorch on Swarm, with removal"], theirs
        )
        figures[f"minorch, {HOSTS} by Swarm, {at_once} at once"] = paired_ratio(
            results[f"minorch, {HOSTS}"], theirs
        )
    for name, one in all_of_them.items():
        if not isinstance(one, Compose):
            figures[f"{name}, own cpu per container, ms"] = statistics.median(one.cpu_ms)
            figures[f"{name}, own cpu by the whole time"] = statistics.median(one.share)
    return figures


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit("ended by a signal")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--containers", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--managers", type=int, default=1, help="how many of the four hosts manage the Swarm")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if (reason := why_not()) is not None:
        raise SystemExit(reason)
    signal.signal(signal.SIGTERM, _end)  # or hosts would be left for the next one to sweep

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with Hosts(HOSTS, tls=True) as hosts:
        make_swarm(hosts, options.managers)
        wait_ready(hosts)
        say(f"{HOSTS} hosts are up, and a Swarm with {options.managers} of them as managers")
        figures = measure(hosts, options.containers, options.rounds, options.managers, say)
    print_figures("engines", figures, as_json=options.json)


if __name__ == "__main__":
    main()
