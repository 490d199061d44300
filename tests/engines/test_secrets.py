"""A secret reaches its container and shows up nowhere else."""

from __future__ import annotations

import logging
import traceback

import pytest

import minorch as mo
from tests.cluster.engine import Stage, box, no_container_left, soon, stage, up

__all__ = ["no_container_left", "stage"]  # fixtures

WORD = "hunter2-swordfish"


def test_a_secret_reaches_its_container_and_nothing_that_minorch_shows(
    stage: Stage, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    caplog.set_level(logging.DEBUG)
    cluster = stage.cluster()
    secrets = {"PASSWORD": mo.Secret(WORD)}
    tasks = [
        box(
            "sh",
            "-c",
            f'test "$PASSWORD" = {WORD[:7]}"{WORD[7:]}" && sleep 1000',
            name="good",
            secrets=secrets,
        ),
        box("sh", "-c", "exit 4", name="bad", secrets=secrets),
        box("/no/such/thing", name="missing", secrets=secrets),
        box("true", name="image", image="nothing.invalid/x:1", pull="never", secrets=secrets),
    ]
    job = mo.Job("job", tasks)
    handle = cluster.submit(job)
    for name in ("bad", "missing", "image"):
        soon(lambda name=name: handle.tasks[name].state.terminal, f"the end of {name}")  # type: ignore[misc]
    soon(lambda: handle.tasks["good"].state is not mo.TaskState.SCHEDULED, "the start of the good one")
    assert handle.tasks["good"].state is mo.TaskState.RUNNING, "it got the secret"
    shown = [repr(job), str(job), str(job.to_dict()), repr(tasks[0]), str(tasks[0].to_dict())]
    shown += [repr(handle), handle.table(), handle._repr_html_(), repr(handle.info())]
    shown += [repr(cluster), cluster.table(), cluster._repr_html_(), repr(cluster.nodes), repr(cluster.tasks)]
    for task in handle.tasks.values():
        shown += [repr(task), repr(task.info()), task.message, str(task.history), str(cluster.explain(task))]
    shown += [str(event) + repr(event) for event in cluster.events()]
    handle.stop()
    with pytest.raises(mo.JobFailed) as failure:
        handle.result(timeout=30)
    shown += [str(failure.value), repr(failure.value), *traceback.format_exception(failure.value)]
    cluster.close()
    shown += [caplog.text, *capfd.readouterr()]
    assert not [text for text in shown if WORD in text]


def test_what_an_engine_echoes_of_a_secret_is_made_unreadable(stage: Stage, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    cluster = stage.cluster()
    user = WORD  # the engine's refusal repeats the name of the user
    job = cluster.submit(box("true", user=user, secrets={"PASSWORD": mo.Secret(WORD)}))
    assert job.wait(60) is mo.JobState.FAILED
    assert job.tasks["part"].reason is mo.Reason.START_FAILED
    text = "\n".join([job.tasks["part"].message, str(cluster.events()), caplog.text, repr(job.info())])
    assert WORD not in text


def test_a_secret_is_kept_in_no_file_that_others_can_read(stage: Stage, tmp_path):
    cluster = stage.cluster(store=tmp_path / "jobs.db")
    up(cluster.submit(box(secrets={"PASSWORD": mo.Secret(WORD)})))
    files = list(tmp_path.iterdir())
    assert any(WORD.encode() in file.read_bytes() for file in files), "it must survive a crash"
    assert all(file.stat().st_mode & 0o077 == 0 for file in files if WORD.encode() in file.read_bytes())
