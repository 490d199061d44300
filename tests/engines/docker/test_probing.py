"""Health checks and measurements of runs on a real engine."""

from __future__ import annotations

import time

import pytest

from minorch.ids import RunKey
from minorch.model import HealthCheck, Port
from minorch.model.secret import redact
from tests.engines.docker.conftest import Story, eventually

SERVER = "mkdir /tmp/w; echo hello >/tmp/w/index.html; exec httpd -f -p 80 -h /tmp/w"


def test_an_exec_check_tells_exit_code_and_output(story: Story):
    launch = story.start("sleep", "60")
    well = story.runtime.probe(launch.key, HealthCheck.exec(["echo", "fine"]))
    ill = story.runtime.probe(launch.key, HealthCheck.exec(["sh", "-c", "echo broken >&2; exit 2"]))
    assert well == (True, "exit code 0: fine")
    assert ill == (False, "exit code 2: broken")


@pytest.mark.parametrize("command", ["sleep 30", "while :; do echo y; sleep 0.01; done", "yes"])
def test_an_exec_check_that_hangs_ends_in_time_and_leaves_no_process(story: Story, command: str):
    launch = story.start("sleep", "61")
    begun = time.monotonic()
    probe = story.runtime.probe(launch.key, HealthCheck.exec(["sh", "-c", f"exec {command}"], timeout_s=0.5)
                                if not command.startswith("while")
                                else HealthCheck.exec(["sh", "-c", command], timeout_s=0.5))  # fmt: skip
    assert not probe.healthy
    assert "within 0.5 s" in probe.detail
    assert time.monotonic() - begun < 15
    eventually(lambda: len(story.api.top(launch.key.name)["Processes"]) <= 2, "the check's end")


def test_an_exec_check_of_a_missing_command_or_run_is_unhealthy(story: Story):
    launch = story.start("true")
    story.ended(launch)
    assert not story.runtime.probe(launch.key, HealthCheck.exec(["true"])).healthy
    assert not story.runtime.probe(RunKey("0" * 32, 1, 1), HealthCheck.exec(["true"])).healthy
    running = story.start("sleep", "60")
    assert not story.runtime.probe(running.key, HealthCheck.exec(["no-such"])).healthy


@pytest.mark.parametrize("ports", [[Port(80)], []], ids=["published", "own address"])
def test_tcp_and_http_checks_find_a_server(story: Story, ports: list[Port]):
    launch = story.start("sh", "-c", SERVER, networks=[], ports=ports)
    eventually(lambda: story.runtime.probe(launch.key, HealthCheck.tcp(80)).healthy, "the server")
    assert story.runtime.probe(launch.key, HealthCheck.http(80, "/")) == (True, "GET / answered 200")
    assert story.runtime.probe(launch.key, HealthCheck.http(80, "/absent")) == (
        False,
        "GET /absent answered 404",
    )


@pytest.mark.parametrize("ports", [[Port(81)], []], ids=["published", "own address"])
def test_tcp_and_http_checks_of_a_port_where_nobody_listens_are_unhealthy(story: Story, ports: list[Port]):
    """The engine's proxy accepts connections for it all the same."""
    launch = story.start("sleep", "60", networks=[], ports=ports)
    assert not story.runtime.probe(launch.key, HealthCheck.tcp(81)).healthy
    assert not story.runtime.probe(launch.key, HealthCheck.http(81)).healthy


def test_a_server_that_drips_or_is_silent_is_unhealthy_in_time(story: Story):
    drip = "while :; do (printf HTT; sleep 20) | nc -l -p 80 ; done"
    launch = story.start("sh", "-c", drip, networks=[], ports=[Port(80)])
    eventually(lambda: story.runtime.probe(launch.key, HealthCheck.tcp(80)).healthy, "the server")
    begun = time.monotonic()
    assert not story.runtime.probe(launch.key, HealthCheck.http(80, timeout_s=0.5)).healthy
    assert time.monotonic() - begun < 10


def test_checks_of_what_has_no_address_or_does_not_run_are_unhealthy(story: Story):
    alone = story.start("sleep", "60")
    assert "cannot be reached" in story.runtime.probe(alone.key, HealthCheck.tcp(80)).detail
    ended = story.start("true")
    story.ended(ended)
    assert story.runtime.probe(ended.key, HealthCheck.tcp(80)) == (False, "it does not run")


def test_stats_measure_running_runs_and_leave_out_the_others(story: Story):
    busy = story.start("sh", "-c", "while :; do :; done")
    ended = story.start("true")
    story.ended(ended)
    keys = [busy.key, ended.key, RunKey("0" * 32, 1, 1)]

    def cpu_is_used() -> bool:
        stats = story.runtime.stats(keys)
        return set(stats) == {busy.key} and stats[busy.key].cpu_s > 0.2

    eventually(cpu_is_used, "some use of the processor")
    measured = story.runtime.stats(keys)[busy.key]
    assert measured.memory > 0
    assert measured.pids >= 2  # the init process and the shell
    assert abs(measured.sampled_at - time.time()) < 60


def test_stats_see_memory_that_the_run_takes(story: Story):
    launch = story.start("sh", "-c", "x=$(yes 0123456789 | head -c 20000000); echo ready; sleep 60; true")
    eventually(lambda: b"".join(story.runtime.logs(launch.key)), "the memory")
    assert story.runtime.stats([launch.key])[launch.key].memory > 15_000_000


def test_what_a_check_writes_is_cut_between_characters_so_that_a_secret_is_recognised(story: Story):
    launch = story.start("sleep", "300")
    secret = "pässwörter-ünd-ähnliches"
    for before in range(500 - len(secret), 500):
        words = "x" * before + secret + "y" * 600
        detail = story.runtime.probe(launch.key, HealthCheck.exec(["echo", words])).detail
        assert detail.startswith("exit code 0: x")
        assert len(detail) == len("exit code 0: ") + 500
        shown = redact(detail, (secret,))
        assert secret[:4] not in shown
