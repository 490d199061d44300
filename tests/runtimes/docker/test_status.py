"""From the engine's record to a status, and from its refusals to our errors, without an engine."""

from __future__ import annotations

from typing import Any

import pytest

from minorch.contracts import RunStatus
from minorch.errors import RuntimeFault, UsageError
from minorch.ids import RunKey
from minorch.runtimes.docker.engine import Engine, container_path, filters
from minorch.runtimes.docker.faults import DEFAULT_URL, Refused, hide, start_failure, unreachable
from minorch.runtimes.docker.images import LayerCount, json_lines
from minorch.runtimes.docker.logs import demultiplex
from minorch.runtimes.docker.measuring import mount_points
from minorch.runtimes.docker.references import parse_reference
from minorch.runtimes.docker.status import parse_time, read_status, tini_complaint
from minorch.runtimes.docker.watching import from_event
from minorch.states import Reason

KEY = RunKey("ab" * 16, 1, 2)
LABELS = {"minorch.task-id": KEY.task_id, "minorch.attempt": "1", "minorch.run": "2"}
NEVER = "0001-01-01T00:00:00Z"


def record(**state: Any) -> dict[str, Any]:
    state = {
        "Status": "exited",
        "StartedAt": "1970-01-01T00:00:10.5Z",
        "FinishedAt": "1970-01-01T00:00:12.000000001Z",
        "ExitCode": 0,
        **state,
    }
    return {"Id": "f" * 64, "State": state, "Config": {"Labels": LABELS}}


def status(**state: Any) -> RunStatus:
    read = read_status(record(**state))
    assert read is not None
    return read


def test_an_exit_is_told_with_its_times():
    read = status(ExitCode=3)
    assert (read.key, read.phase, read.exit_code, read.reason) == (KEY, "exited", 3, Reason.EXITED)
    assert (read.started_at, read.finished_at) == (10.5, 12.0)
    assert read.handle == "f" * 64


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"ExitCode": 0, "OOMKilled": True}, Reason.EXITED),
        ({"ExitCode": 137, "OOMKilled": True}, Reason.OOM),
        ({"ExitCode": 1, "OOMKilled": True}, Reason.OOM),
        ({"ExitCode": 137}, Reason.KILLED),
        ({"ExitCode": 143}, Reason.KILLED),
        ({"ExitCode": 128}, Reason.EXITED),
        ({"ExitCode": 255}, Reason.EXITED),
        ({"ExitCode": None}, Reason.EXIT_UNKNOWN),
    ],
)
def test_the_exit_code_tells_the_reason(state: dict[str, Any], reason: Reason):
    assert status(**state).reason == reason


def test_signals_are_named_and_memory_is_an_annotation():
    assert status(ExitCode=137).message == "ended by SIGKILL"
    assert status(ExitCode=128 + 63).message == "ended by signal 63"
    assert "memory" in status(ExitCode=0, OOMKilled=True).message


def test_an_end_before_the_start_is_moved_to_the_start():
    read = status(FinishedAt="1970-01-01T00:00:09Z")
    assert read.finished_at == read.started_at == 10.5


@pytest.mark.parametrize("how", ["Running", "Paused", "Restarting"])
def test_what_has_not_ended_is_running(how: str):
    read = status(Status=how.lower(), **{how: True})
    assert (read.phase, read.exit_code, read.finished_at) == ("running", None, None)


def test_a_failed_start_never_ran_and_shows_no_value_of_the_environment():
    made = record(Status="created", StartedAt=NEVER, ExitCode=127, Error="bad value hunter22 here")
    made["Config"]["Env"] = ["P=hunter22", "EMPTY="]
    read = read_status(made)
    assert read is not None
    assert (read.phase, read.exit_code, read.reason) == ("created", None, None)
    assert read.message == "its start failed: bad value *** here"


@pytest.mark.parametrize("how", ["dead", "removing"])
def test_what_is_being_removed_is_gone(how: str):
    assert read_status(record(Status=how)) is None


def test_a_container_without_our_labels_is_nobodys():
    made = record()
    for labels in (None, {}, {"minorch.task-id": "x"}):
        made["Config"]["Labels"] = labels
        assert read_status(made) is None


def test_ports_prefer_ipv4_and_tell_a_reachable_address():
    made = record(Status="running", Running=True)
    made["NetworkSettings"] = {
        "Ports": {
            "80/tcp": [{"HostIp": "::", "HostPort": "8"}, {"HostIp": "0.0.0.0", "HostPort": "9"}],
            "81/tcp": [{"HostIp": "127.0.0.1", "HostPort": "10"}],
            "82/tcp": [{"HostIp": "fe80::1", "HostPort": "11"}],
            "83/tcp": None,
        }
    }
    read = read_status(made, "10.0.0.7")
    assert read is not None
    assert read.ports == {"80/tcp": "10.0.0.7:9", "81/tcp": "127.0.0.1:10", "82/tcp": "[fe80::1]:11"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.123456789Z", 1.123456),
        ("1970-01-01T02:00:01.5+02:00", 1.5),
        (NEVER, None),
        ("", None),
        (None, None),
        ("yesterday", None),
    ],
)
def test_times_have_nanoseconds_and_the_year_1_is_none(text: str | None, seconds: float | None):
    assert parse_time(text) == seconds


def test_what_the_init_process_says_is_found_in_the_log():
    assert (
        tini_complaint(b"x\n[FATAL tini (7)] exec nope failed: No such file\n")
        == "exec nope failed: No such file"
    )
    assert tini_complaint(b"sh: nope: not found\n") == ""


# -- events --------------------------------------------------------------------------------------------------


def test_an_event_tells_the_end_of_a_container_that_is_already_gone():
    event = {
        "timeNano": 12_500_000_000,
        "Actor": {"ID": "f" * 64, "Attributes": {**LABELS, "exitCode": "137"}},
    }
    read = from_event(event)
    assert read is not None
    assert (read.key, read.exit_code, read.reason, read.finished_at) == (KEY, 137, Reason.KILLED, 12.5)
    assert from_event({"Actor": {"Attributes": {"exitCode": "0"}}}) is None
    unknown = from_event({"Actor": {"Attributes": LABELS}})
    assert unknown is not None
    assert unknown.reason == Reason.EXIT_UNKNOWN


# -- errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason", "exit_code"),
    [
        ('exec: "nope": executable file not found in $PATH: unknown', Reason.COMMAND_NOT_FOUND, 127),
        ("exec: /nope: no such file or directory", Reason.COMMAND_NOT_FOUND, 127),
        ("Bind for 127.0.0.1:80 failed: port is already allocated", Reason.PORT_TAKEN, None),
        ("listen tcp4 127.0.0.1:80: bind: address already in use", Reason.PORT_TAKEN, None),
        ("No such image: nope:latest", Reason.IMAGE_NOT_FOUND, None),
        ("manifest for nope:1 not found: manifest unknown", Reason.IMAGE_NOT_FOUND, None),
        ("pull access denied for nope, repository does not exist", Reason.IMAGE_NOT_FOUND, None),
        ("no basic auth credentials", Reason.START_FAILED, None),
        ("bind source path does not exist: /x", Reason.START_FAILED, None),
    ],
)
def test_refused_starts_have_a_reason(text: str, reason: Reason, exit_code: int | None):
    error = start_failure(text)
    assert (error.reason, error.exit_code) == (reason, exit_code)
    assert str(error).startswith(text)


def test_a_refused_start_says_what_to_do():
    assert "leave host= out" in str(start_failure("Bind for 0.0.0.0:80 failed: port is already allocated"))
    assert "docker network create" in str(start_failure("network nonet not found"))
    assert "registry up" in str(start_failure("dial tcp: lookup busibox.example: no such host"))
    assert str(start_failure("something else")) == "something else"


@pytest.mark.parametrize("shown", range(1, 20))
def test_a_refusal_that_is_cut_within_a_secret_shows_no_part_of_it(shown: int):
    secret = "s3cr3t-of-the-house"
    text = "port is already allocated ".ljust(2000 - shown, "y") + secret
    for error in (start_failure(text), start_failure(Refused(500, text, "start").text)):
        words = hide(str(error), [secret])
        assert "s3cr" not in words
        assert "free the port" not in words, "it would hide that the text ends in the middle of something"


def test_secrets_are_hidden_also_where_they_are_quoted():
    text = 'invalid "a\\"b\\u0001" and a"b\x01 and é'
    assert hide(text, ['a"b\x01', "é", ""]) == 'invalid "***" and *** and ***'


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied"), "docker group"),
        (FileNotFoundError(2, "No such file"), "is it running"),
        (ConnectionRefusedError(111, "refused"), "is it running"),
        (TimeoutError("timed out"), "in time"),
        (ConnectionResetError(104, "reset by peer"), "broke"),
    ],
)
def test_a_broken_connection_says_what_to_do_however_deep_it_is_wrapped(error: OSError, words: str):
    wrapped = ConnectionError(ValueError("Connection aborted.", error))
    assert words in str(unreachable(error, "unix:///x"))
    assert words in str(unreachable(wrapped, "unix:///x"))
    assert "unix:///x" in str(unreachable(wrapped, "unix:///x"))


def test_docker_host_is_advised_only_where_it_decides():
    refused = ConnectionRefusedError(111, "refused")
    assert "DOCKER_HOST" in str(unreachable(refused, DEFAULT_URL))
    assert "DOCKER_HOST" not in str(unreachable(refused, "tcp://b:2376"))


def test_a_refusal_keeps_the_engines_words_within_bounds():
    refusal = Refused(409, "x" * 10_000, "GET /x")
    assert len(str(refusal)) < 2200
    assert refusal.status == 409
    assert "no reason given" in str(Refused(500, " ", "GET /x"))


# -- urls, ids and names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../volumes/x", "", "abc", "F" * 64, "f" * 64 + "/", "f" * 64 + "\n"])
def test_only_a_full_id_gets_into_a_path(name: str):
    with pytest.raises(RuntimeFault, match="not the full id"):
        container_path(name)
    assert container_path("f" * 64, "kill") == f"/containers/{'f' * 64}/kill"


def test_filters_are_json():
    assert filters(label=["a=b"]) == '{"label":["a=b"]}'


@pytest.mark.parametrize("url", ["docker.sock", "ftp://x", "tcp://user:hunter2@host:1"])
def test_what_is_no_engines_address_is_refused_without_its_password(url: str):
    with pytest.raises(UsageError) as caught:
        Engine(url, timeout_s=1, connections=1)
    assert "hunter2" not in str(caught.value)


def test_the_address_comes_from_the_argument_then_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.7:2375")
    engine = Engine(None, timeout_s=1, connections=1)
    assert (engine.url, engine.address, engine.local) == ("tcp://10.0.0.7:2375", "10.0.0.7", False)
    engine = Engine("unix:///x/y.sock", timeout_s=1, connections=1)
    assert (engine.socket_path, engine.address, engine.local) == ("/x/y.sock", "127.0.0.1", True)
    monkeypatch.delenv("DOCKER_HOST")
    assert Engine(None, timeout_s=1, connections=1).url == "unix:///var/run/docker.sock"


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1.36", "busybox:1.36"),
        ("team/app", "team/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("localhost/app:1", "localhost/app:1"),
        ("Registry.Example.com/a/b_c:V1", "Registry.Example.com/a/b_c:V1"),
        ("127.0.0.1:5000/app:1", "127.0.0.1:5000/app:1"),
        (f"app:1@sha256:{'0' * 64}", f"app@sha256:{'0' * 64}"),
        (f"sha256:{'a' * 64}", f"sha256:{'a' * 64}"),
        ("a" * 64, f"sha256:{'a' * 64}"),
    ],
)
def test_images_are_named_as_the_engine_names_them(image: str, text: str):
    assert parse_reference(image).text == text


@pytest.mark.parametrize(
    "image", ["", "UPPER", "User/app", "a//b", "../x", "a/../b", "x:", "x@sha256:1", "a:b:c", "-x"]
)
def test_what_names_no_image_is_refused(image: str):
    with pytest.raises(RuntimeFault, match="does not name an image"):
        parse_reference(image)


# -- streams -------------------------------------------------------------------------------------------------


def test_frames_are_taken_apart_wherever_they_are_cut():
    wire = b"\x01\0\0\0\0\0\0\x03abc" + b"\x02\0\0\0\0\0\0\0" + b"\x02\0\0\0\0\0\0\x02de"
    for size in range(1, len(wire) + 1):
        pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
        assert b"".join(demultiplex(pieces)) == b"abcde"


def test_json_lines_survive_cuts_and_rubbish_and_are_bounded():
    wire = b'{"a":1}\r\n{"b"\n[2]\n{"c":3}'
    for size in range(1, len(wire) + 1):
        pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
        assert list(json_lines(pieces)) == [{"a": 1}, {"c": 3}]
    assert list(json_lines([b"x" * 600_000, b"x" * 600_000, b'\n{"a":1}\n'])) == [{"a": 1}]


def test_layers_are_counted():
    layers = LayerCount()
    for layer, what in (("a", "Pulling fs layer"), ("b", "Already exists"), ("a", "Downloading")):
        layers.see({"id": layer, "status": what})
    assert str(layers) == "1/2 layers"
    layers.see({"id": "a", "status": "Pull complete"})
    assert str(layers) == "2/2 layers"


def test_control_group_hierarchies_are_found_by_controller():
    text = (
        "30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
        "31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\nrubbish\n"
    )
    points = mount_points(text)
    assert points["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct"
    assert points[""] == "/sys/fs/cgroup/unified"
