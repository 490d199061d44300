"""A Docker Engine of one's own, to be killed, frozen, and filled up; nothing of it is left afterwards.

It lives in namespaces of its own: network, mounts, and processes.  Its data is in memory, on a file system of
a size of its own.  When its first process ends, the kernel ends everything in there: dockerd, containerd,
shims, containers, mounts and networks.  Only its control groups are seen outside, and they are removed.
The first process ends with ours, whatever happens: it reads from a pipe that nobody else holds.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from minorch.ids import RunKey
from tools import engine

__all__ = [
    "PrivateEngine",
    "control_groups",
    "daemon_among",
    "end_daemon",
    "freeze",
    "image_tar",
    "remove_control_groups",
    "sweep",
    "until",
    "why_not",
]

_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_INIT = """
mount -t tmpfs tmpfs /run && ip link set lo up && mkdir -p "$0/data" || exit 1
mount -t tmpfs -o "size=$1m" tmpfs "$0/data" || exit 1
while read -r _word; do
    rm -f "$0/pid"
    (exec dockerd --host "unix://$0/socket" --data-root "$0/data" --exec-root "$0/exec" --pidfile "$0/pid" \
        --iptables=false --ip6tables=false --bridge=none --cgroup-parent "$2" "--live-restore=$3" \
        </dev/null >>"$0/log" 2>&1 &)
done
"""
_CGROUPS = Path("/sys/fs/cgroup")
_FOLDERS = Path("/tmp")
_PREFIX = "minorch-chaos-"
UP_S = 60.0
_GONE_S = 10.0
_HANGS_S = 10.0


def why_not() -> str | None:
    """Why there can be no private engine here; None: there can."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [
        name for name in ("dockerd", "docker-init", "unshare", "ip") if not shutil.which(name, path=path)
    ]
    if os.geteuid() != 0:
        return "a private engine needs root"
    return f"a private engine needs {', '.join(missing)}" if missing else None


def image_tar(socket_path: str) -> bytes:
    """The busybox image of an engine that has it, as it may be loaded into others."""
    status, data = engine.request(socket_path, "GET", f"/images/get?names={quote(engine.IMAGE)}")
    if status != 200:
        raise OSError(f"no image from {socket_path}: {data[:200]!r}")
    return data


class PrivateEngine:
    """A dockerd in namespaces of its own.

    Args:
        live_restore: whether containers outlive dockerd.
        data_mib: how large its file system is.
    """

    def __init__(self, *, live_restore: bool, data_mib: int = 128) -> None:
        sweep()
        self.live_restore = live_restore
        self.forgotten: set[RunKey] = set()
        """The runs that it began and knows nothing of, as it had died in the middle of their start. They go
        on, and nobody can end them through it."""
        prefix = f"{_PREFIX}{os.getpid()}-"  # by which it is known whose it is
        self.folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_FOLDERS))  # short, for a socket's path is
        self.socket = f"{self.folder}/socket"
        self.url = f"unix://{self.socket}"
        words = [str(self.folder), str(data_mib), f"/{self.folder.name}", "true" if live_restore else "false"]
        self._init = subprocess.Popen(
            [*_UNSHARE, "docker-init", "--", "sh", "-c", _INIT, *words],
            env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
            stdin=subprocess.PIPE,
            start_new_session=True,  # an interrupt is for us alone: we end it
        )

    # -- dockerd ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start dockerd, and return when it answers."""
        pipe = self._init.stdin
        assert pipe is not None
        before = time.time()
        pipe.write(b"start\n")
        pipe.flush()
        self.wait()
        self.forgotten |= self._unknown(before)

    def wait(self) -> None:
        """Return when dockerd answers. Raises ``TimeoutError`` with the end of its log."""
        until(
            lambda: engine.answers(self.socket), UP_S, lambda: f"no answer from dockerd:\n{self._log_end()}"
        )

    def load(self, image: bytes) -> None:
        """Load an image that :func:`image_tar` gave."""
        status, answer = engine.request(self.socket, "POST", "/images/load?quiet=1", image, timeout_s=60)
        if status != 200 or not engine.has_image(self.socket):
            raise OSError(f"the image cannot be loaded: {answer[:300]!r}")

    def process(self) -> psutil.Process:
        """Its dockerd, found among the processes that we started. Raises ``LookupError`` if none runs."""
        return daemon_among(psutil.Process(self._init.pid))

    def kill(self) -> None:
        """Kill dockerd, without any farewell, and return when it and its containerd are gone."""
        end_daemon(self.process(), signal.SIGKILL, _GONE_S)

    def terminate(self) -> None:
        """Have dockerd end in order, and return when it and its containerd are gone."""
        end_daemon(self.process(), signal.SIGTERM, UP_S)

    def freeze(self) -> None:
        """Have dockerd stand still."""
        freeze(self.process())

    def thaw(self) -> None:
        """Let dockerd go on."""
        self.process().resume()

    # -- its disk --------------------------------------------------------------------------------------------

    @property
    def _filler(self) -> Path:
        return Path(f"/proc/{self.process().pid}/root{self.folder}/data/filler")

    def fill(self) -> None:
        """Leave no byte free on its file system."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def unfill(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)

    # -- containers, behind everybody's back -----------------------------------------------------------------

    def containers(self, **wanted: list[str]) -> list[Mapping[str, Any]]:
        """All its containers, or those that a filter lets through."""
        query = f"/containers/json?all=1&filters={quote(json.dumps(wanted))}"
        status, answer = engine.request(self.socket, "GET", query)
        if status != 200:
            raise OSError(f"containers cannot be listed: {answer[:300]!r}")
        return list(json.loads(answer))

    def state(self, container_id: str) -> str:
        """What an inspect says of a container's state, as the engine writes it."""
        answer = engine.request(self.socket, "GET", f"/containers/{container_id}/json")[1]
        return json.dumps(json.loads(answer).get("State"))

    def do(self, method: str, container_id: str, action: str) -> int:
        """Do something to a container; returns the HTTP status, or 0 where the engine hangs over it."""
        path = f"/containers/{container_id}{action}"
        try:
            return engine.request(self.socket, method, path, timeout_s=_HANGS_S)[0]
        except TimeoutError:
            return 0

    # -- what it forgot --------------------------------------------------------------------------------------

    def forget_start(self, container_id: str) -> None:
        """Between :meth:`kill` and :meth:`start`: leave it as if it had died in the middle of that start."""
        path = Path(f"/proc/{self._init.pid}/root{self.folder}/data/containers/{container_id}/config.v2.json")
        config = json.loads(path.read_bytes())
        config["State"].update(Running=False, Pid=0, StartedAt="0001-01-01T00:00:00Z")
        path.write_text(json.dumps(config))

    def _unknown(self, before: float) -> set[RunKey]:
        """The runs with a process from before a moment that the engine does not have as running."""
        living = set()
        for process in psutil.Process(self._init.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                said = process.environ()
                if "MINORCH_RUN" in said and process.create_time() < before:
                    task_id, attempt, run = (
                        said[f"MINORCH_{name}"] for name in ("TASK_ID", "ATTEMPT", "RUN")
                    )
                    living.add(RunKey(task_id, int(attempt), int(run)))
        known = {
            entry["Names"][0].partition(".")[0] for entry in self.containers(status=["running", "paused"])
        }
        return {key for key in living if f"/{key.name}" not in known}

    # -- the end ---------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End everything in its namespaces, and remove what is left. Closing twice is fine."""
        if self._init.stdin is not None:
            self._init.stdin.close()
        self._init.kill()
        self._init.wait()
        _remove(self.folder)

    def _log_end(self) -> str:
        path = self.folder / "log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-15:]) if path.exists() else "(no log)"


def daemon_among(first: psutil.Process) -> psutil.Process:
    """The dockerd among the processes below one. Raises ``LookupError`` if none runs."""
    for process in first.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() == "dockerd" and process.status() != psutil.STATUS_ZOMBIE:
                return process
    raise LookupError("no dockerd runs")


def freeze(process: psutil.Process) -> None:
    """Have a process stand still, and return when each of its threads does, which may take a while."""
    process.suspend()
    tasks = Path(f"/proc/{process.pid}/task")

    def still() -> bool:
        try:
            stats = [(task / "stat").read_text(errors="replace") for task in tasks.iterdir()]
        except OSError:  # one has just ended
            return False
        return all(stat.rpartition(")")[2].split()[0] in "tT" for stat in stats)

    until(still, _GONE_S, lambda: f"{process} does not stand still")


def end_daemon(process: psutil.Process, by: signal.Signals, patience_s: float) -> None:
    """End a dockerd, and return when it and its containerd are gone.

    The kernel ends containerd a moment after its dockerd, and the next dockerd must not meet it:
    one that finds a containerd alive starts none, waits for that one, and ends when it does not answer.
    """
    ending = [process, *(child for child in process.children() if child.name() == "containerd")]
    process.send_signal(by)
    if left := psutil.wait_procs(ending, timeout=patience_s)[1]:
        raise TimeoutError(f"still there {patience_s:g} s after {by.name}: {left}")


def sweep() -> None:
    """Remove what is left of engines whose programs were killed: folders and control groups."""
    for folder in _FOLDERS.glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            _remove(folder)


def control_groups(name: str) -> list[Path]:
    """The control groups of that name and those in it, inner ones first."""
    tops = [*_CGROUPS.glob(f"*/{name}"), _CGROUPS / name]
    found = [Path(folder) for top in tops for folder, _inner, _files in os.walk(top, topdown=False)]
    return [path for path in found if path.exists()]


def remove_control_groups(name: str) -> None:
    """Remove the control groups of an engine that is being ended, once they are empty."""

    def gone() -> bool:
        for path in control_groups(name):
            _thaw_group(path)
            with contextlib.suppress(OSError):  # while the last process in it is being buried
                path.rmdir()
        return not control_groups(name)

    until(gone, _GONE_S, lambda: f"the control groups {name} cannot be removed")


def _remove(folder: Path) -> None:
    """Remove the folder of an engine that is being ended, and its control groups."""
    remove_control_groups(folder.name)
    shutil.rmtree(folder, ignore_errors=True)


def _thaw_group(path: Path) -> None:
    """What is paused cannot die, at least with the first version of control groups."""
    for name, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        with contextlib.suppress(OSError):
            if (path / name).exists():
                (path / name).write_text(word)


def until(true: Callable[[], bool], patience_s: float, complaint: Callable[[], str]) -> None:
    """Return when something is true. Raises ``TimeoutError`` with a complaint."""
    deadline = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(complaint())
        time.sleep(0.02)
