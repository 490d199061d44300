"""What a process is given, what is refused, and that nothing of it stays behind."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from minorch.errors import PolicyError, StartFailed, UsageError
from minorch.model import HealthCheck, Mount, Port, Task
from minorch.resources import Resources
from minorch.runtimes.process import ProcessRuntime
from minorch.states import Reason
from minorch.testing.runtime_contract import eventually
from tests.runtimes.process.conftest import exited, launch, output, ran, shell


def test_the_environment_of_the_embedding_process_is_not_handed_on(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDDER_PASSWORD", "hunter2")
    runtime = ProcessRuntime(root)
    seen = ran(runtime, Task("t", command=["env"], env={"a.b": "dotted"}))
    runtime.close()
    assert "hunter2" not in seen
    assert "a.b=dotted" in seen
    assert "PATH=" in seen


def test_each_run_has_an_empty_directory_of_its_own(runtime: ProcessRuntime) -> None:
    first = ran(runtime, shell("pwd; ls -A; touch file; umask 0; mkdir open"))
    for status in runtime.list_runs(launch(shell("true")).owner):
        runtime.remove(status.key)
    second = ran(runtime, shell("pwd; ls -A"))
    assert len(first.splitlines()) == len(second.splitlines()) == 1
    assert first != second


def test_a_workdir_is_used_and_must_exist(runtime: ProcessRuntime, tmp_path: Path) -> None:
    assert ran(runtime, replace(shell("pwd"), workdir=str(tmp_path))) == f"{tmp_path}\n"
    with pytest.raises(StartFailed, match="workdir /no/such is not a directory"):
        runtime.start(launch(replace(shell("pwd"), workdir="/no/such")))


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (Task("t", image="busybox"), "give the task a command"),
        (replace(shell("true"), mounts=[Mount("/data", source="v")]), "nothing can be mounted at /data"),
        (replace(shell("true"), networks=["none"]), "the machine's own network"),
        (replace(shell("true"), user="nobody-of-this-name"), "runs as the user"),
        (replace(shell("true"), security="restricted"), "cannot be confined"),
        (replace(shell("true"), resources=Resources(memory=512)), "no program starts in 512 B of memory"),
    ],
)
def test_what_cannot_be_honoured_is_refused(runtime: ProcessRuntime, task: Task, words: str) -> None:
    given = launch(task)
    for call in (lambda: runtime.prepare(given, print), lambda: runtime.start(given)):
        with pytest.raises(PolicyError, match=words) as caught:
            call()
        assert caught.value.reason == "forbidden"
    assert runtime.inspect(given.key) is None


def test_what_a_process_has_anyway_is_accepted(runtime: ProcessRuntime) -> None:
    assert ran(runtime, replace(shell("echo ok"), networks=["host"], user=str(os.getuid()))) == "ok\n"


@pytest.mark.parametrize("record_exits", [False, True])
@pytest.mark.parametrize("limited", [False, True])
def test_a_command_that_may_not_be_executed_or_is_missing_fails_to_start(
    root: Path, tmp_path: Path, record_exits: bool, limited: bool
) -> None:
    runtime = ProcessRuntime(root, record_exits=record_exits)
    (tmp_path / "file").write_text("text")
    resources = Resources(memory="1GiB" if limited else 0)
    for command, code, reason in [
        (str(tmp_path / "file"), 126, "start_failed"),
        ("no-such-command", 127, "command_not_found"),
        ("exit", 127, "command_not_found"),  # a word of the shell's own
    ]:
        with pytest.raises(StartFailed) as caught:
            runtime.start(launch(Task("t", command=[command], resources=resources)))
        assert (caught.value.exit_code, caught.value.reason) == (code, reason)
    runtime.close()


def test_a_memory_limit_holds_for_the_process_and_what_it_starts(runtime: ProcessRuntime) -> None:
    hungry = f"{sys.executable} -c 'bytearray(400 << 20)' 2>/dev/null && echo got it || echo refused"
    assert ran(runtime, shell(hungry)) == "got it\n"
    limited = replace(shell(hungry), resources=Resources(memory="128MiB"))
    assert ran(runtime, limited) == "refused\n"
    with pytest.raises(StartFailed, match="letters, digits and _ only"):
        runtime.start(launch(replace(limited, env={"a.b": "c"})))


def test_no_core_is_dumped(runtime: ProcessRuntime) -> None:
    assert ran(runtime, shell("sleep 0.1; ulimit -c")) == "0\n"


def test_ports_are_given_and_told(runtime: ProcessRuntime) -> None:
    tell = shell('echo "$PORT $MINORCH_PORT_80 $MINORCH_PORT_53_UDP"; exec sleep 60')
    given = launch(replace(tell, ports=[Port(80), Port(53, protocol="udp")]))
    ports = runtime.start(given).ports
    tcp, udp = (ports[name].rpartition(":")[2] for name in ("80/tcp", "53/udp"))
    assert ports["80/tcp"].startswith("127.0.0.1:")
    eventually(lambda: output(runtime, given.key) == f"{tcp} {tcp} {udp}\n")


def test_a_port_that_is_taken_is_told_at_once(runtime: ProcessRuntime) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StartFailed, match=str(port)) as caught:
            runtime.start(launch(replace(shell("true"), ports=[Port(80, host=port)])))
    assert caught.value.reason == Reason.PORT_TAKEN.value


def test_two_runs_never_get_one_port(runtime: ProcessRuntime) -> None:
    first = launch(replace(shell("sleep 60"), ports=[Port(80)]))
    port = int(runtime.start(first).ports["80/tcp"].rpartition(":")[2])
    second = launch(replace(shell("true"), ports=[Port(80, host=port)]))
    with pytest.raises(StartFailed, match="another task"):
        runtime.start(second)
    runtime.kill(first.key)
    exited(runtime, first.key)
    eventually(lambda: _starts(runtime, second))


def _starts(runtime: ProcessRuntime, given: object) -> bool:
    try:
        runtime.start(given)  # type: ignore[arg-type]
    except StartFailed:
        return False
    return True


def test_checks_reach_the_port_that_was_given(runtime: ProcessRuntime) -> None:
    server = f"exec {sys.executable} -m http.server --bind 127.0.0.1 $PORT"
    given = launch(replace(shell(server), ports=[Port(80)]))
    runtime.start(given)
    eventually(lambda: runtime.probe(given.key, HealthCheck.tcp(80)).healthy)
    assert runtime.probe(given.key, HealthCheck.http(80)) == (True, "HTTP 200")
    assert runtime.probe(given.key, HealthCheck.http(80, "/nothing")) == (False, "HTTP 404")


def test_what_a_run_leaves_behind_is_killed_when_it_ends(runtime: ProcessRuntime) -> None:
    pid = int(ran(runtime, shell("sleep 60 & echo $!")))
    eventually(lambda: not psutil.pid_exists(pid))


def test_a_descendant_in_a_session_of_its_own_is_killed_too(runtime: ProcessRuntime) -> None:
    given = launch(shell("setsid sh -c 'echo $$; exec sleep 60' & wait"))
    runtime.start(given)
    pid = int(eventually(lambda: output(runtime, given.key)))
    runtime.kill(given.key)
    exited(runtime, given.key)
    eventually(lambda: not psutil.pid_exists(pid))


@pytest.mark.parametrize("record_exits", [False, True])
def test_stats_count_what_a_run_starts_but_not_the_supervisor(root: Path, record_exits: bool) -> None:
    runtime = ProcessRuntime(root, record_exits=record_exits)
    given = launch(shell("sleep 60 & sleep 60 & wait"))
    runtime.start(given)
    eventually(lambda: runtime.stats([given.key])[given.key].pids == 3)
    runtime.close()


def test_an_exit_that_somebody_else_took_is_unknown_and_never_a_success(runtime: ProcessRuntime) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps, and nobody learns the code
    try:
        given = launch(shell("sleep 0.1"))
        runtime.start(given)
        status = exited(runtime, given.key)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert (status.exit_code, status.reason) == (None, Reason.EXIT_UNKNOWN)


def test_a_root_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(UsageError, match="writable by nobody else"):
        ProcessRuntime(tmp_path)


def test_nobody_else_may_read_what_lies_there(runtime: ProcessRuntime, root: Path) -> None:
    runtime.start(launch(shell("exec sleep 60")))
    assert all(path.stat().st_mode & 0o077 == 0 for path in [root, *root.rglob("*")])


def test_processes_that_the_system_hides_are_strangers(
    runtime: ProcessRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mounted with hidepid=1, /proc lists them and lets nobody look."""
    given = launch(shell("sleep 60"))
    pid, real = int(runtime.start(given).handle), os.open

    def hidden(path: str, flags: int, *more: int) -> int:
        if path.startswith("/proc/") and path.endswith("/stat") and path != f"/proc/{pid}/stat":
            raise PermissionError(1, "Operation not permitted", path)
        return real(path, flags, *more)

    monkeypatch.setattr(os, "open", hidden)
    assert runtime.stats([given.key])[given.key].pids == 1
