"""A secret goes through a whole life on plain processes, with failures, and shows up nowhere."""

from __future__ import annotations

import logging
import os
import sys
import traceback

import pytest

import minorch as mo
from minorch.cluster import handles
from minorch.errors import StartFailed
from minorch.model.secret import redact
from minorch.runtimes.process.probing import probe_command
from minorch.runtimes.process.spawning import _find

WORD = "hunter2-swordfish"


def test_nothing_that_minorch_shows_holds_the_secret(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    caplog.set_level(logging.DEBUG)
    secrets = {"PASSWORD": mo.Secret(WORD)}
    tells = [
        "sh",
        "-c",
        f'printf "%0490d" 0; test "$PASSWORD" = {WORD[:7]}"{WORD[7:]}"; echo "$PASSWORD"; exit 1',
    ]
    check = mo.HealthCheck.exec(tells, interval_s=0.05, threshold=1)
    tasks = [
        mo.Task("bad", command=["sh", "-c", "exit 4"], secrets=secrets),
        mo.Task("missing", command=[f"/no/{WORD}"], secrets=secrets),
        mo.Task("sick", command=["sleep", "100"], secrets=secrets, health=check),
        mo.Task("mounts", command=["true"], secrets=secrets, workdir=f"/no/{WORD}"),
    ]
    shown: list[str] = []
    with mo.Cluster(runtime="process") as cluster:
        job = cluster.submit(mo.Job("job", tasks))
        assert job.wait(timeout=30) is mo.JobState.FAILED
        assert job.tasks["sick"].reason is mo.Reason.UNHEALTHY
        shown += [repr(job), job.table(), job._repr_html_(), repr(job.info()), cluster.table(), repr(cluster)]
        for task in job.tasks.values():
            shown += [repr(task), repr(task.info()), task.message, str(task.history)]
        shown += [str(event) + repr(event) for event in cluster.events()]
        with pytest.raises(mo.JobFailed) as failure:
            job.result(timeout=5)
        shown += traceback.format_exception(failure.value)
    shown += [caplog.text, *capfd.readouterr()]
    for text in shown:
        assert WORD not in text
        assert WORD[:6] not in text, "not even its beginning"


def test_a_long_name_of_a_program_is_not_cut_in_the_middle_of_a_secret():
    secret = "s3cr3t-of-the-house"
    with pytest.raises(StartFailed) as raised:
        _find("x" * 110 + secret, "/usr/bin:/bin", "/tmp")
    assert secret[:6] not in str(raised.value)
    assert "129 characters" in str(raised.value)


@pytest.mark.parametrize("kept", range(9, 44))
def test_the_end_of_a_log_does_not_begin_within_a_secret(monkeypatch: pytest.MonkeyPatch, kept: int):
    monkeypatch.setattr(handles, "_EVIDENCE_BYTES", kept)
    secret = "QXJ0VBK7WZMGPLDYU"
    prints = ["sh", "-c", 'printf "%060d %s after" 0 "$PASSWORD"; exit 1']
    task = mo.Task("prints", command=prints, secrets={"PASSWORD": mo.Secret(secret)})
    with mo.Cluster(runtime="process") as cluster, pytest.raises(mo.JobFailed) as failure:
        cluster.submit(task).result(timeout=30)
    shown = str(failure.value)
    assert not any(secret[at : at + 2] in shown for at in range(len(secret) - 1)), shown
    assert kept < 24 or " after" in shown


@pytest.mark.parametrize(
    "script",
    [
        "print('{secret}'.rjust(5000, 'x') + 'y' * 4090)",
        "print('first'); print('{secret}' + 'y' * 4090)",
        "print('y' * 4096 + '{secret}'); print(); print()",
        "import sys; sys.stdout.write('x' * 190 + '{secret}')",
    ],
)
def test_no_part_of_a_secret_is_left_of_what_a_check_writes(script: str):
    secret = "pässwörter-ünd-ähnliches"
    check = mo.HealthCheck.exec([sys.executable, "-c", script.format(secret=secret)], timeout_s=20)
    probe = probe_command(check, {**os.environ, "PYTHONIOENCODING": "utf-8"}, "/")
    assert probe.healthy
    assert len(probe.detail) > 20, "the last line that says something"
    shown = redact(probe.detail, (secret,))
    assert not [part for at in range(len(secret) - 3) if (part := secret[at : at + 4]) in shown]


def test_the_last_line_that_says_something_is_told():
    def said(words: str) -> str:
        check = mo.HealthCheck.exec(["printf", words], timeout_s=20)
        return probe_command(check, os.environ, "/").detail

    assert said("one\\ntwo") == "exit code 0: two"
    assert said("one\\ntwo\\n \\n\\n") == "exit code 0: two"
    assert said("\\n") == "exit code 0"
    assert said("x" * 5000) == "exit code 0: " + "x" * 200
