"""The process runtime: the calls of the contract, each put together from the parts beside it.

What belongs here is which part does what, and the table of known runs; no system call does.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from minorch.contracts import Launch, Made, Owner, Probe, RunStatus, RuntimeInfo, Watch
from minorch.errors import RuntimeFault, StartFailed, UsageError
from minorch.ids import RunKey
from minorch.model import HealthCheck, Task, TaskStats
from minorch.resources import Resources
from minorch.runtimes.process import processes
from minorch.runtimes.process.files import Record, Root, RunFiles, WrittenExit, default_root
from minorch.runtimes.process.ports import Ports, port_variables
from minorch.runtimes.process.probing import probe_command, probe_port
from minorch.runtimes.process.refusals import refuse_unless_possible
from minorch.runtimes.process.run import Run
from minorch.runtimes.process.spawning import base_environment, can_be_supervised, spawn
from minorch.runtimes.process.watcher import Watcher

__all__ = ["ProcessRuntime"]

_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_SETTLE_S: Final = 2.0
"""How long another runtime may take between claiming a run and recording it."""


class ProcessRuntime:
    """Runs tasks as plain processes of the user who calls it. It isolates nothing: run only what you trust.

    A task's command is its ``entrypoint`` and ``command``; its image is not used.  It gets the task's
    environment and of the embedding process's only PATH, HOME, LANG, LC_*, TMPDIR and TZ.  Where it
    must listen is told in ``MINORCH_PORT_<container>`` and ``PORT``.  A memory limit holds for each
    process on its own (RLIMIT_DATA).  What a process cannot honour is refused: mounts, networks but
    ``host``, another user, ``security="restricted"``; ``cpu``, ``disk`` and ``pids`` are not enforced.

    Args:
        root: where the files of runs are kept; by default
            ``$XDG_STATE_HOME/minorch`` or ``~/.local/state/minorch``. Only you may write there.
        max_log_bytes: the most that is kept of a run's output; what it writes in a second comes on top.
        record_exits: let a small shell wait beside each run and write its exit code down, so that it is
            known also if the embedding process crashes meanwhile. Otherwise such an exit is
            ``exit_unknown``. Costs 0.8 ms of processor time and 1 MB a run. A task with environment
            variables that a shell cannot hand on, such as ``a.b``, goes without.
        concurrency: how many calls at once make it faster; None: as many as there are cores, from 2 to 4.

    Raises:
        UsageError: others may write to *root*.
    """

    name: Final = "process"

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        max_log_bytes: int = 10 * 1024 * 1024,
        record_exits: bool = False,
        concurrency: int | None = None,
    ) -> None:
        if max_log_bytes < 2:
            raise UsageError(
                f"max_log_bytes={max_log_bytes!r:.40} leaves no room for a log; give bytes, e.g. 2**20"
            )
        self._root = Root(default_root() if root is None else root)
        self._record_exits = record_exits
        # A spawn holds the interpreter until the new program is loaded, so more threads only wait: measured.
        self.concurrency = concurrency or min(4, max(2, os.cpu_count() or 1))
        self._inherited = base_environment()
        self._ports = Ports()
        self._lock = threading.Lock()
        self._runs: dict[RunKey, Run] = {}
        self._watcher = Watcher(max_log_bytes, self._give_back_ports)
        self._pid = os.getpid()
        self._closed = False

    def __repr__(self) -> str:
        return f"ProcessRuntime({self._root.path!r})"

    def describe(self) -> RuntimeInfo:
        """Say what this machine offers: the cores it may use, its memory, and the free disk at the root."""
        memory = psutil.virtual_memory().total
        disk = psutil.disk_usage(self._root.path).free
        machine = platform.machine().lower()
        return RuntimeInfo(
            capacity=Resources(cpu=_cores(), memory=memory, disk=disk),
            platform=f"{sys.platform}/{_MACHINES.get(machine, machine)}",
            version=f"Python {platform.python_version()}, {platform.system()} {platform.release()}",
        )

    def prepare(self, launch: Launch, progress: Callable[[str], None]) -> None:
        """Refuse early what a process cannot honour; there is nothing to fetch."""
        refuse_unless_possible(launch.task)

    def start(self, launch: Launch) -> RunStatus:
        """Start the run, or return its status if it was started before, by whomever."""
        self._check_open()
        with self._lock:
            run = self._runs.get(launch.key)
            if fresh := run is None:
                files = self._root.files(launch.owner, launch.key)
                run = self._runs[launch.key] = Run(launch.key, launch.owner, files)
                run.lock.acquire()
        if not fresh:
            with run.lock:  # until the thread that starts it is done
                if self._runs.get(launch.key) is run:
                    return run.status
            return self.start(
                launch
            )  # that one failed; this call may yet succeed, or fail with its own words
        try:
            return self._start(run, launch)
        except BaseException:
            self._forget(run)
            raise
        finally:
            run.lock.release()

    def _start(self, run: Run, launch: Launch) -> RunStatus:
        refuse_unless_possible(launch.task)
        try:
            self._root.claim(run.owner, run.files)
        except FileExistsError:  # if nothing is left of it by now, whoever claimed it could not start it
            return self._recover(run) or self._start(run, launch)
        except OSError as error:
            raise _no_files(error) from None
        try:
            record = self._spawn(run, launch)
            # It runs now. Where this cannot be written, it is found again by its environment.
            with contextlib.suppress(OSError):
                run.files.append(record)
        except StartFailed:  # and on nothing else: after that it may run, and the claim is its only trace
            with contextlib.suppress(OSError):
                self._root.remove(run.owner, run.files)
            raise
        run.has_started(record)
        status = run.status
        self._watcher.add(run)
        return status

    def _spawn(self, run: Run, launch: Launch) -> Record:
        task = launch.task
        ports = self._ports.take(task.ports) if task.ports else {}
        environment = {**self._inherited, **port_variables(ports), **launch.environment()}
        supervised = self._record_exits and can_be_supervised(environment)
        workdir = task.workdir or run.files.work
        started_at = time.time()
        try:
            pid = self._spawn_in(run, launch.task, workdir, environment, supervised)
        except (StartFailed, OSError) as error:
            self._ports.give_back(ports)
            raise (error if isinstance(error, StartFailed) else _no_files(error)) from None
        return Record(
            run=run.files.name,
            pid=pid,
            birth=processes.birth(pid) or "",
            started_at=started_at,
            workdir=workdir,
            ports=ports,
            supervised=supervised,
            job=launch.job,
            task=launch.task_name,
            maker=launch.maker,
        )

    def _spawn_in(
        self, run: Run, task: Task, workdir: str, environment: Mapping[str, str], supervised: bool
    ) -> int:
        log = run.files.open_log()
        try:
            return spawn(
                (*(task.entrypoint or ()), *task.command),
                environment=environment,
                workdir=workdir,
                log=log,
                memory=task.resources.memory,
                record=run.files if supervised else None,
            )
        finally:
            os.close(log)

    def inspect(self, key: RunKey) -> RunStatus | None:
        """Return what is known of a run; None if there is no trace of it."""
        run = self._find(key)
        if run is None:
            return None
        return self._status(run)

    def list_runs(self, owner: Owner) -> Sequence[RunStatus]:
        """Return every run of *owner*; those of an earlier process are adopted and watched from now on."""
        self._refuse_fork()
        statuses: list[RunStatus] = []
        for key, files in self._root.runs(owner):
            run = self._known(key, owner, files)
            status = None if run is None else self._status(run)
            if status is not None:
                statuses.append(status)
        return statuses

    def _status(self, run: Run) -> RunStatus | None:
        """What is known of a run once nobody starts, recovers or removes it; None if it is gone then."""
        with run.lock:
            return run.status if self._runs.get(run.key) is run else None

    def watch(self, owner: Owner, notify: Callable[[RunStatus | None], None]) -> Watch:
        """Call *notify* from the runtime's thread soon after a run of *owner* ends."""
        self._check_open()
        return self._watcher.subscribe(owner, notify)

    def terminate(self, key: RunKey) -> None:
        """Send SIGTERM to the run's process group."""
        run = self._find(key)
        if run is not None:
            run.terminate()

    def kill(self, key: RunKey) -> None:
        """Kill the run's process group and all descendants that can be found."""
        run = self._find(key)
        if run is not None:
            run.kill()

    def remove(self, key: RunKey) -> None:
        """Remove the files of a run that has ended."""
        run = self._find(key)
        if run is None:
            return
        with run.lock:
            if run.running:
                raise RuntimeFault(f"{key.name} still runs as process {run.pid}; kill it first")
            try:
                self._root.remove(run.owner, run.files)
            except OSError as error:
                raise RuntimeFault(f"{key.name} could not be removed: {error}") from None
            self._forget(run)

    def logs(
        self, key: RunKey, *, follow: bool = False, tail: int | None = None, since: float | None = None
    ) -> Iterator[bytes]:
        """Yield what the run wrote, output and errors as they came."""
        run = self._find(key)
        if run is None:
            raise RuntimeFault(f"there is no run {key.name}")
        started_at = run.status.started_at
        if since is not None and (started_at is None or since > started_at):
            raise RuntimeFault("the output of a process carries no times; ask for all of it, or for tail=")

        def ended(at_most_s: float) -> bool:
            return run.ended.wait(at_most_s) or self._closed  # nobody would notice the end any more

        return run.output.read(ended if follow else None, tail)

    def stats(self, keys: Sequence[RunKey]) -> Mapping[RunKey, TaskStats]:
        """Measure running runs: all processes of each one's session, in one pass for all of them."""
        running = [run for key in keys if (run := self._runs.get(key)) is not None and run.running]
        leaders = {run.pid: run.record is not None and run.record.supervised for run in running}
        used = processes.usage_by_session(leaders)
        now = time.time()
        return {
            run.key: TaskStats(sampled_at=now, cpu_s=usage.cpu_s, memory=usage.memory, pids=usage.pids)
            for run in running
            if (usage := used.get(run.pid)) is not None
        }

    def probe(self, key: RunKey, check: HealthCheck) -> Probe:
        """Make one health check: a command in the run's environment and directory, or its port."""
        run = self._find(key)
        if run is None or run.record is None or not run.running:
            return Probe(False, "it does not run")
        if check.kind == "exec":
            # Read from the process itself, so that no secret is kept here and adopted runs have theirs.
            environment = processes.environment(run.pid)
            return probe_command(check, environment, run.record.workdir)
        reached = run.record.ports.get(f"{check.port}/tcp", f"127.0.0.1:{check.port}")
        host, _, port = reached.rpartition(":")
        host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))
        return probe_port(check, host, int(port))

    def list_made(self) -> Sequence[Made]:
        """Return what lies below the root, of every owner. No run is adopted by it."""
        self._check_open()
        found: list[Made] = []
        for owner, runs, spares in self._root.everything():
            made = [_made(owner, key, files) for key, files in runs]
            if not runs and spares:
                made = [_put_aside(owner, spares)]
            found += filter(None, made)
        return found

    def discard(self, owner: Owner) -> None:
        """Remove the directories of an owner that has no runs any more."""
        self._root.discard(owner)

    def close(self) -> None:
        """End the runtime's thread. Runs go on; another runtime with the same root finds them."""
        if os.getpid() != self._pid:  # a fork's copy is not its own to tidy up
            return
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            self._watcher.close()
            self._root.tidy()

    def _refuse_fork(self) -> None:
        """A fork has no thread that watches, and would put its runs into what its parent's thread watches."""
        if os.getpid() != self._pid:
            raise RuntimeFault(
                f"this process runtime was made in process {self._pid}, and this is its fork {os.getpid()}; "
                "make one here"
            )

    def _check_open(self) -> None:
        self._refuse_fork()
        if self._closed:
            raise RuntimeFault("this process runtime was closed")

    def _give_back_ports(self, run: Run) -> None:
        if run.record is not None and run.record.ports:
            self._ports.give_back(run.record.ports)

    def _forget(self, run: Run) -> None:
        with self._lock:
            if self._runs.get(run.key) is run:
                del self._runs[run.key]

    def _find(self, key: RunKey) -> Run | None:
        self._refuse_fork()
        run = self._runs.get(key)
        if run is not None:
            return run
        found = self._root.find(key)
        return None if found is None else self._known(key, *found)

    def _known(self, key: RunKey, owner: Owner, files: RunFiles) -> Run | None:
        """The run that has these files, recovered if it is seen for the first time; None if they are gone."""
        with self._lock:
            run = self._runs.get(key)
            if run is not None:
                return run
            run = self._runs[key] = Run(key, owner, files)
            run.lock.acquire()
        there = None
        try:
            there = self._recover(run)
        finally:
            if there is None:
                self._forget(run)
            run.lock.release()
        return None if there is None else run

    def _recover(self, run: Run) -> RunStatus | None:
        """Find out what became of a run that this runtime did not start; None if there is nothing of it.

        It may have been there a moment ago: its start failed since, or it was removed.
        """
        record, written = self._recorded(run)
        if record is None and not run.files.there:
            return None
        if record is not None and record.birth and processes.birth(record.pid) == record.birth:
            run.has_started(record)
            self._ports.adopt(record.ports)
            status = run.status
            self._watcher.add(run)
            return status
        run.was_over(record, written)
        return run.status

    def _recorded(self, run: Run) -> tuple[Record | None, WrittenExit | None]:
        """What was written down; if a crash came before the record, what the running processes tell."""
        deadline = time.monotonic() + _SETTLE_S
        record, written = run.files.read()
        while record is None and run.files.age_s < _SETTLE_S and time.monotonic() < deadline:
            time.sleep(0.01)  # whoever claimed it is probably about to write it
            record, written = run.files.read()
        if record is not None or not run.files.there:
            return record, written
        leaders = processes.find_by_environment(run.marks)
        if not leaders or (born := processes.birth(leaders[0])) is None:
            return None, written
        record = Record(
            run=run.files.name,
            pid=leaders[0],
            birth=born,
            started_at=time.time(),
            workdir=run.files.work,
            supervised=self._record_exits,
        )
        with contextlib.suppress(OSError):
            run.files.append(record)
        return record, written


def _made(owner: Owner, key: RunKey, files: RunFiles) -> Made | None:
    """What is written of a run; None where it is about to be."""
    record, _written = files.read()
    if record is None:
        return None if files.age_s < _SETTLE_S else Made(owner=owner, key=key, phase="created")
    runs = bool(record.birth) and processes.birth(record.pid) == record.birth
    return Made(
        owner=owner,
        key=key,
        phase="running" if runs else "exited",
        handle=str(record.pid),
        job=record.job,
        task=record.task,
        maker=record.maker,
    )


def _put_aside(owner: Owner, spares: Sequence[RunFiles]) -> Made:
    makers = (files.last_maker() for files in spares)
    return Made(owner=owner, key=None, phase="exited", maker=next(filter(None, makers), None))


def _no_files(error: OSError) -> StartFailed:
    return StartFailed(f"its files could not be made: {error.strerror}: {error.filename}")


def _cores() -> int:
    cores = os.cpu_count() or 1
    if sys.platform == "linux":
        cores = len(os.sched_getaffinity(0))
    return cores
