"""A cluster in a process of its own, to be killed: what it left behind is then looked for."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

_CODE = """
import json, os, sys, time
import minorch as mo

options, words, fields, forks = json.loads(sys.argv[1])
cluster = mo.Cluster(worker_config=mo.WorkerConfig(heartbeat_s=1.0), **options)
tasks = [
    mo.Task("runs", command=words, **fields),
    mo.Task("ended", command=["true"], **fields),
]
job = cluster.submit(mo.Job("left", tasks))
while not (job.tasks["runs"].state is mo.TaskState.RUNNING and job.tasks["ended"].state.terminal):
    assert not job.state.terminal, repr(job)
    time.sleep(0.01)
if forks and os.fork() == 0:
    time.sleep(1000)
print(json.dumps([cluster.manager.cluster_id, job.tasks["runs"].attempts[-1].handle]), flush=True)
time.sleep(1000)
"""


class Mortal:
    """The cluster, as the outside sees it."""

    def __init__(self, process: subprocess.Popen[str], cluster_id: str, handle: str) -> None:
        self._process = process
        self.pid = process.pid
        self.cluster_id = cluster_id
        self.handle = handle
        """What the runtime calls the task that runs."""

    def kill(self, *, bury: bool = True) -> None:
        """Kill its process without any farewell, and let the system forget it unless told otherwise."""
        self._process.kill()
        if bury:
            self._process.wait(30)


@contextlib.contextmanager
def mortal(
    state: Path,
    *,
    words: Sequence[str] = ("sleep", "1000"),
    fields: dict[str, Any] | None = None,
    forks: bool = False,
    **options: object,
) -> Iterator[Mortal]:
    """A cluster with one task that runs and one that has ended; its process is gone at the end.

    Args:
        state: where its user's state is kept.
        words: the command of the task that runs.
        fields: of both tasks.
        forks: whether its process has a fork that lives until the end.
        options: of the cluster.
    """
    import json

    told = json.dumps([options, list(words), fields or {}, forks])
    with subprocess.Popen(
        [sys.executable, "-c", _CODE, told],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(state), "PYTHONPATH": str(ROOT / "src")},
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the cluster did not start"
            yield Mortal(process, *json.loads(line))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)  # with its fork
