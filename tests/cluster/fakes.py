"""A runtime in memory, whose tasks do what their first word says, and a store that fails when told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from minorch.contracts import Change, Launch, Owner, Probe, RunStatus, RuntimeInfo
from minorch.errors import StoreError
from minorch.ids import RunKey
from minorch.model import HealthCheck, TaskStats
from minorch.resources import Resources
from minorch.states import Reason
from minorch.stores.memory import MemoryStore

Notify = Callable[[RunStatus | None], None]


class FakeRuntime:
    """Runs nothing. The first word of a task's command says what becomes of it.

    ``exit N`` ends by itself with N, ``sleep`` runs until it is stopped, ``stubborn`` until it is killed,
    ``hang`` keeps ``start`` from returning until :attr:`let_go` is set, ``raise`` makes it raise what
    :attr:`raises` holds.
    """

    name = "fake"

    def __init__(self, *, concurrency: int = 4, cpu: float = 8, memory: str = "8GiB") -> None:
        self.concurrency = concurrency
        self.capacity = Resources(cpu=cpu, memory=memory)
        self.deaf = False
        """Whether notifications are lost."""
        self.raises: BaseException = ValueError("a bug in the fake")
        self.let_go = threading.Event()
        self.broken: set[str] = set()
        """Names of calls that raise."""
        self.starts: list[RunKey] = []
        self.closed = 0
        self.runs: dict[RunKey, tuple[Owner, RunStatus]] = {}
        self._stubborn: set[RunKey] = set()
        self._watches: list[tuple[Owner, Notify]] = []
        self._lock = threading.Lock()

    def _check(self, call: str) -> None:
        if call in self.broken:
            raise self.raises

    def describe(self) -> RuntimeInfo:
        self._check("describe")
        return RuntimeInfo(capacity=self.capacity, platform="fake/fake", version="1")

    def prepare(self, launch: Launch, progress: Callable[[str], None]) -> None:
        self._check("prepare")
        progress("thinking about it")

    def start(self, launch: Launch) -> RunStatus:
        self._check("start")
        word, *rest = launch.task.command
        if word == "raise":
            raise self.raises
        if word == "hang":
            self.let_go.wait(120)
        with self._lock:
            if launch.key in self.runs:
                return self.runs[launch.key][1]
            self.starts.append(launch.key)
            if word == "stubborn":
                self._stubborn.add(launch.key)
            status = RunStatus(key=launch.key, phase="running", started_at=time.time(), handle="fake")
            self.runs[launch.key] = (launch.owner, status)
        if word == "exit":
            self.end(launch.key, int(rest[0]))
        return self.runs[launch.key][1]

    def end(self, key: RunKey, code: int, reason: Reason = Reason.EXITED) -> None:
        """Have a run end."""
        with self._lock:
            owner, status = self.runs.get(key, (None, None))
            if owner is None or status is None or status.phase == "exited":
                return
            status = msgspec.structs.replace(
                status, phase="exited", exit_code=code, reason=reason, finished_at=time.time()
            )
            self.runs[key] = (owner, status)
            watchers = [notify for watched, notify in self._watches if watched == owner]
        if not self.deaf:
            for notify in watchers:
                notify(status)

    def inspect(self, key: RunKey) -> RunStatus | None:
        found = self.runs.get(key)
        return None if found is None else found[1]

    def list_runs(self, owner: Owner) -> Sequence[RunStatus]:
        self._check("list_runs")
        with self._lock:
            return [status for whose, status in self.runs.values() if whose == owner]

    def watch(self, owner: Owner, notify: Notify) -> _Watch:
        self._check("watch")
        entry = (owner, notify)
        self._watches.append(entry)
        if not self.deaf:
            notify(None)
        return _Watch(lambda: self._watches.remove(entry) if entry in self._watches else None)

    @property
    def watched(self) -> int:
        """How many watches are open."""
        return len(self._watches)

    def terminate(self, key: RunKey) -> None:
        self._check("terminate")
        if key not in self._stubborn:
            self.end(key, 143, Reason.KILLED)

    def kill(self, key: RunKey) -> None:
        self._check("kill")
        self.end(key, 137, Reason.KILLED)

    def remove(self, key: RunKey) -> None:
        self._check("remove")
        with self._lock:
            self.runs.pop(key, None)

    def logs(
        self, key: RunKey, *, follow: bool = False, tail: int | None = None, since: float | None = None
    ) -> Iterator[bytes]:
        yield b"first line\nlast line\n"

    def stats(self, keys: Sequence[RunKey]) -> Mapping[RunKey, TaskStats]:
        self._check("stats")
        return {key: TaskStats(sampled_at=time.time(), cpu_s=0.5, memory=1024, pids=1) for key in keys}

    def probe(self, key: RunKey, check: HealthCheck) -> Probe:
        self._check("probe")
        return Probe(True, "fine")

    def close(self) -> None:
        self.closed += 1


class _Watch:
    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def close(self) -> None:
        self._end()


class FlakyStore(MemoryStore):
    """A store in memory that can be made to refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.commits = 0

    def commit(self, changes: Sequence[Change]) -> None:
        if self.error is not None:
            raise self.error
        self.commits += 1
        super().commit(changes)


FULL = StoreError("the disk is full; free some space")
