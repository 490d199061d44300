"""Mistakes with a real engine: each task tells what was wrong with it, in words that name it."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import minorch as mo
from tests.cluster.engine import Stage, box, no_container_left, stage
from tests.cluster.support import no_strangers_in

__all__ = ["no_container_left", "stage"]  # fixtures


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"image": "busybux", "pull": "never"}, mo.Reason.IMAGE_NOT_FOUND, ["busybux", 'pull="never"']),
        ({"resources": mo.Resources(memory="1KiB")}, mo.Reason.START_FAILED, ["at least 6.0 MiB"]),
        (
            {"mounts": [mo.Mount("/x", source="/etc", kind="bind")]},
            mo.Reason.FORBIDDEN,
            ["/etc", "DockerPolicy(binds="],
        ),
        ({"networks": ["no-such-net"]}, mo.Reason.START_FAILED, ["no-such-net"]),
        ({"user": "nobodyy"}, mo.Reason.START_FAILED, ["nobodyy"]),
        ({"workdir": "/etc/passwd"}, mo.Reason.START_FAILED, ["/etc/passwd"]),
    ],
)
def test_a_task_that_the_engine_refuses_says_what_was_wrong(
    stage: Stage, fields: dict[str, Any], reason: mo.Reason, words: list[str]
):
    cluster = stage.cluster()
    job = cluster.submit(box("true", **fields))
    assert job.wait(60) is mo.JobState.FAILED
    task = job.tasks["part"]
    assert task.reason is reason, task.message
    assert all(word in task.message for word in words), task.message
    with pytest.raises(mo.JobFailed) as found:
        job.result()
    assert words[0] in str(found.value)
    no_strangers_in(found.value)


def test_two_tasks_that_want_one_port_never_run_at_the_same_time(stage: Stage):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    cluster = stage.cluster()
    fields: dict[str, Any] = {"ports": [mo.Port(80, host=port)], "networks": []}
    tasks = [box("sleep", "0.2", name=name, **fields) for name in ("a", "b")]
    job = cluster.submit(mo.Job("job", tasks))
    assert job.wait(60) is mo.JobState.COMPLETED, job.table()
    first, second = sorted((t.attempts[-1] for t in job.tasks.values()), key=lambda one: one.started_at or 0)
    assert (first.finished_at or 0) <= (second.started_at or 0)
