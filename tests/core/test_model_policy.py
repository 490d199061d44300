from __future__ import annotations

import math

import pytest

from minorch.errors import SpecError
from minorch.model import HealthCheck, Mount, Port, RestartPolicy


def refused(make, *arguments, **fields) -> str:
    with pytest.raises(SpecError) as caught:
        make(*arguments, **fields)
    return str(caught.value)


# -- restarts ------------------------------------------------------------------------------------------------


def test_the_three_restart_policies():
    assert RestartPolicy.never() == RestartPolicy(mode="never", attempts=0)
    assert RestartPolicy.on_failure(5, backoff_s=2) == RestartPolicy(attempts=5, backoff_s=2)
    assert RestartPolicy.always(max_backoff_s=5) == RestartPolicy(
        mode="always", attempts=None, max_backoff_s=5
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"mode": "on_failure"},
            "$.mode: 'on_failure' is none of never, on-failure, always; did you mean \"on-failure\"?",
        ),
        ({"mode": ["never"]}, "$.mode: ['never'] is none of"),
        ({"attempts": -1}, "$.attempts: -1 is not from 0 to 1,000,000,000"),
        ({"attempts": 1.5}, "$.attempts: expected a whole number, got 1.5"),
        ({"attempts": True}, "$.attempts: expected a whole number, got True"),
        ({"attempts": 10**5000}, "$.attempts: an enormous number is not from 0"),
        ({"backoff_s": "1s"}, "$.backoff_s: expected a number, got '1s'"),
        ({"backoff_s": math.nan}, "$.backoff_s: nan is not from 0 to 86,400"),
        ({"max_backoff_s": math.inf}, "$.max_backoff_s: inf is not from 0 to 86,400"),
        ({"jitter": 1.1}, "$.jitter: 1.1 is not from 0 to 1"),
        ({"reset_after_s": -1}, "$.reset_after_s: -1 is not from 0"),
    ],
)
def test_a_faulty_restart_policy_is_refused(fields, words: str):
    assert refused(RestartPolicy, **fields).startswith(words)


# -- health --------------------------------------------------------------------------------------------------


def test_the_three_health_checks():
    assert HealthCheck.exec(["test", "-e", "/ok"]).command == ("test", "-e", "/ok")
    assert HealthCheck.tcp(80, threshold=1) == HealthCheck(kind="tcp", port=80, threshold=1)
    assert HealthCheck.http(80, "/ok", start_period_s=5).path == "/ok"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "https"}, "$.kind: 'https' is none of exec, tcp, http; did you mean \"http\"?"),
        ({"kind": "exec"}, "$.command: an exec check needs a command"),
        (
            {"kind": "exec", "command": "test -e /ok"},
            '$.command: expected a list of words, got the text "test -e /ok"',
        ),
        ({"kind": "exec", "command": ["true"], "port": 80}, "$.port: an exec check takes no port"),
        ({"kind": "tcp", "port": 80, "command": ["true"]}, "$.command: a tcp check takes none"),
        ({"kind": "tcp"}, "$.port: 0 is not from 1 to 65,535"),
        ({"kind": "http", "port": 70_000}, "$.port: 70000 is not from 1 to 65,535"),
        ({"kind": "http", "port": "80"}, "$.port: expected a whole number, got '80'"),
        ({"kind": "http", "port": 80, "path": "ok"}, '$.path: "ok" is not a path'),
        ({"kind": "http", "port": 80, "path": "/a\r\nHost: b"}, '$.path: "/a'),
        ({"kind": "http", "port": 80, "path": ""}, "$.path: expected 1 to 2048 characters, got 0"),
        ({"kind": "tcp", "port": 80, "interval_s": 0}, "$.interval_s: 0 is not from 0.05"),
        ({"kind": "tcp", "port": 80, "timeout_s": 0}, "$.timeout_s: 0 is not from 0.01"),
        ({"kind": "tcp", "port": 80, "threshold": 0}, "$.threshold: 0 is not from 1"),
        ({"kind": "tcp", "port": 80, "start_period_s": -1}, "$.start_period_s: -1 is not from 0"),
    ],
)
def test_a_faulty_health_check_is_refused(fields, words: str):
    assert refused(HealthCheck, **fields).startswith(words)


# -- ports ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::", "::1", "192.168.1.7"])
def test_a_port_is_bound_to_an_address(address: str):
    assert Port(80, host=8080, host_ip=address).host_ip == address


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"container": 0}, "$.container: 0 is not from 1 to 65,535"),
        ({"container": "80"}, "$.container: expected a whole number, got '80'"),
        ({"container": 80, "host": 0}, "$.host: 0 is not from 1 to 65,535"),
        ({"container": 80, "protocol": "TCP"}, "$.protocol: 'TCP' is none of tcp, udp"),
        (
            {"container": 80, "host_ip": "localhost"},
            '$.host_ip: "localhost" is not an IP address; write "127.0.0.1"',
        ),
        ({"container": 80, "host_ip": ""}, "$.host_ip: expected 1 to 45 characters"),
        ({"container": 80, "host_ip": 0}, "$.host_ip: expected text, got int"),
    ],
)
def test_a_faulty_port_is_refused(fields, words: str):
    assert refused(Port, **fields).startswith(words)


# -- mounts --------------------------------------------------------------------------------------------------


def test_the_three_kinds_of_mount():
    assert Mount("/data", source="data").kind == "volume"
    assert Mount("/data", source="/srv/data", kind="bind", read_only=True).read_only
    assert Mount("/tmp", kind="tmpfs", size="64MiB").size == 64 * 1024**2


@pytest.mark.parametrize("path", ["data", "/", "//", "//data", "/a//b", "/a/../b", "/a/.", "/a/..", "../a"])
def test_only_a_plain_absolute_path_is_mounted(path: str):
    for problem in (
        refused(Mount, path, source="data").partition(": "),
        refused(Mount, "/data", kind="bind", source=path).partition(": "),
    ):
        assert "is not a plain absolute path" in problem[2]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"kind": "Bind", "source": "/a"},
            "$.kind: 'Bind' is none of volume, bind, tmpfs, secret, config; did you mean \"bind\"?",
        ),
        ({}, '$.source: a volume needs a name, e.g. source="data"'),
        ({"source": "/srv"}, '$.source: "/srv" is not a volume\'s name; a host path needs kind="bind"'),
        ({"kind": "secret"}, '$.source: a secret needs a name, e.g. source="data"'),
        ({"source": "dâta"}, '$.source: "dâta" is not a volume\'s name'),
        ({"source": 5}, "$.source: expected text, got int"),
        ({"source": "x" * 129}, "$.source: expected 1 to 128 characters, got 129"),
        ({"kind": "bind"}, "$.source: expected 1 to 4096 characters, got 0"),
        ({"kind": "tmpfs", "source": "x"}, "$.source: a tmpfs has no source"),
        ({"kind": "tmpfs", "size": "64 MBB"}, '$.size: "64 MBB" is not a size; did you mean "MB"?'),
        ({"source": "data", "size": 5}, "$.size: only a tmpfs has a size"),
        ({"source": "data", "read_only": "no"}, "$.read_only: expected true or false, got 'no'"),
        ({"target": 5}, "$.target: expected text, got int"),
        ({"target": "/a\0"}, "$.target: it holds a NUL character"),
    ],
)
def test_a_faulty_mount_is_refused(fields, words: str):
    assert refused(Mount, **{"target": "/data", **fields}).startswith(words)
