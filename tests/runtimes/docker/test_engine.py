"""Calls to something that is, or is not, a Docker Engine: what it answers, and from which process."""

from __future__ import annotations

import http.server
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import minorch as mo
from minorch.contracts import Owner
from minorch.errors import EngineUnavailable, UsageError
from minorch.runtimes.docker import DockerRuntime

VERSION = b'{"ApiVersion": "1.41"}'


class Server:
    """Answers each path with what :attr:`answers` has for it: status, type and body."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: Mapping[str, tuple[int, str, bytes]] = {}
        self.slow_s: Mapping[str, float] = {}


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections

        def do_GET(self) -> None:
            path = self.path.rpartition("/")[2]
            time.sleep(served.slow_s.get(path, 0.0))
            status, kind, body = served.answers.get(path, (200, "application/json", VERSION))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        served = Server(f"tcp://127.0.0.1:{listening.server_port}")
        yield served
        listening.shutdown()


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("version", "text/html", b"<html>a router's page</html>"),
        ("version", "application/json", b"[1]"),
        ("version", "application/json", b'"\xff"'),
        ("info", "application/json", b'{"NCPU":'),
    ],
)
def test_what_is_no_docker_engine_is_said_to_be_none(server: Server, path: str, kind: str, body: bytes):
    server.answers = {path: (200, kind, body)}
    runtime = DockerRuntime(server.url)
    with pytest.raises(EngineUnavailable, match="is it the right address"):
        runtime.describe()
    runtime.close()


def test_an_engine_that_is_too_old_is_told(server: Server):
    server.answers = {"version": (200, "application/json", b'{"ApiVersion": "1.39", "Version": "18.09"}')}
    runtime = DockerRuntime(server.url)
    with pytest.raises(EngineUnavailable, match=r"its API is 1\.39, and 1\.40 \(Docker 19\.03\)"):
        runtime.describe()
    runtime.close()


def test_an_engine_that_wants_tls_is_told(server: Server):
    words = b'{"message": "Client sent an HTTP request to an HTTPS server."}'
    server.answers = {"version": (400, "application/json", words)}
    runtime = DockerRuntime(server.url)
    with pytest.raises(EngineUnavailable, match="wants TLS: give a directory"):
        runtime.describe()
    runtime.close()


def test_what_speaks_no_tls_and_is_to_is_told(server: Server, tmp_path: Path):
    from tests.hosts.certificates import Authority

    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    certificates = Authority(tmp_path / "authority", "ours").sign(tmp_path / "client", "client")
    runtime = DockerRuntime(server.url, certificates=certificates)
    with pytest.raises(EngineUnavailable, match="what answers there does not speak TLS"):
        runtime.describe()
    runtime.close()


def test_where_an_engine_refuses_us_a_cluster_runs_plain_processes(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    server.answers = {"info": (403, "application/json", b'{"message": "not for you"}')}
    monkeypatch.setenv("DOCKER_HOST", server.url)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with mo.Cluster() as cluster:
        assert cluster.runtime == "process"
        assert "not for you" in cluster.why


@pytest.mark.parametrize("url", ["tcp://10.0.0.7:http", "tcp://10.0.0.7:70000", "tcp://[::1"])
def test_an_address_that_cannot_be_taken_apart_is_refused(url: str):
    with pytest.raises(UsageError, match="not the address of a Docker Engine"):
        DockerRuntime(url)


def test_certificates_that_are_missing_or_broken_are_told(tmp_path: Path):
    (tmp_path / "ca.pem").touch()
    runtime = DockerRuntime("tcp://127.0.0.1:1", certificates=tmp_path)
    with pytest.raises(EngineUnavailable, match=r"has no cert\.pem, key\.pem"):
        runtime.describe()
    (tmp_path / "cert.pem").touch()
    (tmp_path / "key.pem").touch()
    with pytest.raises(EngineUnavailable):
        runtime.describe()
    runtime.close()


def test_a_fork_has_connections_of_its_own(server: Server):
    """On its parent's, each would read what the other asked for."""
    server.answers = {
        "info": (200, "application/json", b'{"NCPU": 3}'),
        "json": (200, "application/json", b"[]"),
    }
    server.slow_s = {"info": 0.3}
    runtime = DockerRuntime(server.url)
    runtime.describe()
    child = os.fork()
    if child == 0:
        try:
            time.sleep(0.1)  # while the parent waits for its answer
            os._exit(len(runtime.list_runs(Owner("c" * 32, "node-1"))))
        finally:
            os._exit(100)
    assert runtime.describe().capacity.cpu == 3
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    runtime.close()
