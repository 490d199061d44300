"""The Docker runtime: every duty of :class:`minorch.contracts.Runtime`, handed to the module that does it."""

from __future__ import annotations

import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from minorch.contracts import Launch, Made, Owner, Probe, RunStatus, RuntimeInfo, Watch
from minorch.errors import RuntimeFault, UsageError
from minorch.ids import RunKey
from minorch.model import HealthCheck, TaskStats
from minorch.resources import Resources
from minorch.runtimes.docker import images, logs, measuring, probing, starting
from minorch.runtimes.docker.containers import Containers
from minorch.runtimes.docker.engine import Engine
from minorch.runtimes.docker.policy import DockerPolicy
from minorch.runtimes.docker.translation import Host
from minorch.runtimes.docker.watching import EventWatch

__all__ = ["About", "DockerRuntime"]

_PROCESSORS: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "i686": "386"}


class About(NamedTuple):
    """What an engine says of itself."""

    info: RuntimeInfo
    identity: str
    """The engine's id and its machine's name; empty: it tells neither."""
    labels: Sequence[str]
    """Each ``key=value``, as its configuration has them."""


class DockerRuntime:
    """Runs tasks as containers of one Docker Engine. It connects at the first call, and after ``fork``.

    Args:
        url: ``unix:///path``, ``tcp://host:port``, ``ssh://user@host``; None: ``DOCKER_HOST``, or
            ``unix:///var/run/docker.sock``.
        policy: what tasks may do to the machine; None: nothing that reaches out of their containers.
        timeout_s: how long one call to the engine may take; pulls and logs are bounded otherwise.
        concurrency: how many calls at once make it faster; None: twice the cores of this machine.
        certificates: a directory with ``ca.pem``, ``cert.pem`` and ``key.pem``, for an engine over TLS;
            None: ``DOCKER_CERT_PATH`` if ``DOCKER_TLS_VERIFY`` is set and *url* is None.

    Raises:
        UsageError: the url is no engine's, or a number is not positive.

    >>> DockerRuntime("tcp://10.0.0.7:2376").name
    'docker'
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        policy: DockerPolicy | None = None,
        timeout_s: float = 30.0,
        concurrency: int | None = None,
        certificates: str | Path | None = None,
    ) -> None:
        if not timeout_s > 0 or (concurrency is not None and concurrency < 1):
            raise UsageError("timeout_s and concurrency are positive")
        self._concurrency = concurrency or 2 * (os.cpu_count() or 1)
        self._policy = policy or DockerPolicy()
        self._engine = Engine(
            url, timeout_s=timeout_s, connections=self._concurrency + 2, certificates=certificates
        )
        self._containers = Containers(self._engine)
        self._lock = threading.Lock()
        self._starting = [threading.Lock() for _ in range(256)]
        self._capacity: Resources | None = None
        self._watches: weakref.WeakSet[EventWatch] = weakref.WeakSet()

    @property
    def name(self) -> str:
        """``docker``."""
        return "docker"

    @property
    def concurrency(self) -> int:
        """How many calls at once still make it faster; a two-core machine is full at 4 to 8."""
        return self._concurrency

    @property
    def url(self) -> str:
        """Where the engine is."""
        return self._engine.url

    def __repr__(self) -> str:
        return f"DockerRuntime({self._engine.url!r})"

    # -- the machine -----------------------------------------------------------------------------------------

    def describe(self) -> RuntimeInfo:
        """Say what the engine's machine offers; raises as the contract says."""
        return self.about().info

    def about(self) -> About:
        """Say what the engine's machine offers, and what it says of itself; raises as the contract says."""
        told = self._engine.record("GET", "/info")
        self._capacity = Resources(
            cpu=told.get("NCPU") or 0, memory=told.get("MemTotal") or 0, disk=self._disk(told)
        )
        processor = str(told.get("Architecture", ""))
        info = RuntimeInfo(
            capacity=self._capacity,
            platform=f"{told.get('OSType', 'linux')}/{_PROCESSORS.get(processor, processor)}",
            version=str(told.get("ServerVersion", "")),
            address=self._engine.address,
        )
        labels = tuple(str(label) for label in told.get("Labels") or ())
        # Machines that were copied have one id; one machine does not have two names.
        return About(info, " ".join(filter(None, (told.get("ID"), told.get("Name")))), labels)

    def _disk(self, info: Mapping[str, Any]) -> int:
        root = str(info.get("DockerRootDir") or "")
        try:
            return shutil.disk_usage(root).total if root and self._engine.local else 0
        except OSError:  # in a virtual machine of the engine's, or not ours to look at
            return 0

    def _host(self, launch: Launch) -> Host:
        """What the translation needs to know; the capacity is asked for (46 ms) once, and only for limits."""
        asked = launch.task.resources
        if self._capacity is None and (asked.memory or asked.cpu_millis):
            self.describe()
        return Host(self._capacity, self._engine.local, self._engine.socket_path)

    # -- one run ---------------------------------------------------------------------------------------------

    def prepare(self, launch: Launch, progress: Callable[[str], None]) -> None:
        """Have the image of the run on the engine."""
        images.prepare(self._engine, launch, progress)

    def start(self, launch: Launch) -> RunStatus:
        """Start the run, once."""
        host = self._host(launch)
        # Two starts of one key at once: the second might start what the first saw end.
        with self._starting[hash(launch.key) % len(self._starting)]:
            return starting.start(self._engine, self._containers, self._policy, host, launch)

    def inspect(self, key: RunKey) -> RunStatus | None:
        """Return what the engine knows of a run."""
        return self._containers.inspect(key)

    def list_runs(self, owner: Owner) -> Sequence[RunStatus]:
        """Return every run of *owner*."""
        return self._containers.list_runs(owner)

    def terminate(self, key: RunKey) -> None:
        """Send the stop signal."""
        self._containers.terminate(key)

    def kill(self, key: RunKey) -> None:
        """Send SIGKILL."""
        self._containers.kill(key)

    def remove(self, key: RunKey) -> None:
        """Remove an ended run, its logs and its anonymous volumes."""
        self._containers.remove(key)

    def logs(
        self, key: RunKey, *, follow: bool = False, tail: int | None = None, since: float | None = None
    ) -> Iterator[bytes]:
        """Yield what the run wrote to stdout and stderr."""
        return logs.read_logs(self._engine, self._containers, key, follow=follow, tail=tail, since=since)

    def stats(self, keys: Sequence[RunKey]) -> Mapping[RunKey, TaskStats]:
        """Measure running runs where the engine is on this machine."""
        return measuring.measure(self._containers, keys) if self._engine.local else {}

    def probe(self, key: RunKey, check: HealthCheck) -> Probe:
        """Make one health check."""
        return probing.probe(self._engine, self._containers, key, check)

    # -- all runs --------------------------------------------------------------------------------------------

    def watch(self, owner: Owner, notify: Callable[[RunStatus | None], None]) -> Watch:
        """Tell *notify* of changes, from a thread of the watch's own."""
        if self._engine.closed:
            raise RuntimeFault("this Docker runtime was closed")
        watch = EventWatch(self._engine, self._containers, owner, notify)
        with self._lock:
            self._watches.add(watch)
        return watch

    def list_made(self) -> Sequence[Made]:
        """Return every container of the engine's that is a run, whoever made it; one call."""
        return self._containers.list_made()

    def discard(self, owner: Owner) -> None:
        """Do nothing: of an owner there is nothing but its containers."""

    def close(self) -> None:
        """End watches, followed logs and connections; containers go on."""
        with self._lock:
            watches = list(self._watches)
        for watch in watches:
            watch.close()
        self._engine.close()
