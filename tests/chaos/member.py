"""The processes of a cluster that is to be killed: one manager, and workers. The harness is between them.

    python -m tests.chaos.member manager DESCRIPTOR STORE
    python -m tests.chaos.member worker DESCRIPTOR NODE CLUSTER ENGINE BINDS

Each talks with the harness over a socket whose number it is given, and ends when that is closed.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import minorch as mo
from minorch.drivers import ManagerDriver, RuntimeHands, WorkerDriver
from minorch.manager import Manager
from minorch.runtimes.docker import DockerPolicy, DockerRuntime
from minorch.schedulers import Spread
from minorch.stores.sqlite import SqliteStore

__all__ = ["ENGINE_S", "LEASE_S", "MANAGER_CONFIG", "WORKER_CONFIG"]

LEASE_S = 4.0
ENGINE_S = 3.0
"""How long a call to an engine may take."""
MANAGER_CONFIG = mo.ManagerConfig(lease_s=LEASE_S, resend_s=0.5, full_every_s=5.0, keep_runs=8)
WORKER_CONFIG = mo.WorkerConfig(
    heartbeat_s=0.5,
    relist_s=10.0,
    retry_s=0.25,
    orphan_grace_s=5.0,
    kill_every_s=1.0,
    max_starting=4,
)


class Line:
    """What a member says to the harness, from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def say(self, kind: str, *words: object) -> None:
        """Say one thing."""
        with self._lock:
            self._connection.send((kind, *words))


def manager(connection: Connection, path: str) -> None:
    """A manager on a file, until nobody talks to it any more."""
    line = Line(connection)
    driver = ManagerDriver(
        Spread(),
        SqliteStore(Path(path)),
        send=lambda message: line.say("message", message.worker, mo.encode(message)),
        config=MANAGER_CONFIG,
    )
    driver.start()
    line.say("hello", driver.cluster_id)
    for kind, *words in heard(connection):
        if kind == "message":
            report = mo.decode(words[0])
            assert isinstance(report, mo.Report)
            driver.receive(report)
            continue
        number, name, *arguments = words
        try:
            answer: object = ask(driver, name, arguments)
        except mo.MinorchError as error:
            answer = error
        line.say("answer", number, answer)


def ask(driver: ManagerDriver, name: str, arguments: list[Any]) -> object:
    """Call one of the manager's methods; it returns when what it changed is durable."""

    def call(core: Manager, now: float) -> object:
        return getattr(core, name)(*arguments, now) if changes else getattr(core, name)(*arguments)

    changes = name in ("submit", "stop", "release")
    return driver.call(call) if changes else driver.ask(call)


def worker(connection: Connection, name: str, cluster_id: str, url: str, binds: str) -> None:
    """A worker of one engine, until nobody talks to it any more."""
    line = Line(connection)
    runtime = DockerRuntime(url, policy=DockerPolicy(binds=[binds]), timeout_s=ENGINE_S)
    node = mo.Node(name, capacity=mo.Resources(cpu=8, memory="8GiB"), runtime="docker")
    driver = WorkerDriver(
        node,
        RuntimeHands(runtime),
        cluster_id=cluster_id,
        send=lambda report: line.say("message", "", mo.encode(report)),
        config=WORKER_CONFIG,
    )
    driver.start()
    for _kind, data in heard(connection):
        message = mo.decode(data)
        assert isinstance(message, mo.Assign)
        driver.receive(message)


def heard(connection: Connection) -> Any:
    """What the harness says, until it hangs up."""
    while True:
        try:
            yield connection.recv()
        except (EOFError, OSError):
            return


PARTS: dict[str, Callable[..., None]] = {"manager": manager, "worker": worker}

if __name__ == "__main__":
    part, descriptor, *rest = sys.argv[1:]
    PARTS[part](Connection(int(descriptor)), *rest)
    os._exit(0)  # as abruptly as a process may end: the harness ends them all like this
