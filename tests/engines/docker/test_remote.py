"""The same engine reached over TCP, as a remote one would be."""

from __future__ import annotations

import contextlib
import queue
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from minorch.contracts import RunStatus
from minorch.model import HealthCheck, Port
from minorch.runtimes.docker import DockerRuntime
from tests.engines.docker.conftest import PATIENCE_S, Story, eventually
from tools import engine


@pytest.fixture
def tcp_url(engine_url: str) -> Iterator[str]:
    """The URL of a TCP port that leads to the engine's socket."""
    path = engine.socket_of(engine_url)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as inner:
                inner.connect(path)
                back = threading.Thread(target=pump, args=(inner, self.request), daemon=True)
                back.start()
                pump(self.request, inner)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_remote_engine_starts_watches_logs_and_checks(story: Story, tcp_url: str):
    told: queue.Queue[RunStatus | None] = queue.Queue()
    runtime = story.runtime = DockerRuntime(tcp_url)
    watch = runtime.watch(story.owner, told.put)
    try:
        assert told.get(timeout=PATIENCE_S) is None
        assert runtime.describe().capacity.disk == 0  # not ours to look at
        launch = story.start("sh", "-c", "echo a; sleep 0.3; echo b; exit 8")
        assert b"".join(runtime.logs(launch.key, follow=True)) == b"a\nb\n"
        status = told.get(timeout=PATIENCE_S)
        assert status is not None
        assert status.exit_code == 8
        server = story.start("sh", "-c", "exec httpd -f -p 80 -h /", networks=[], ports=[Port(80)])
        assert runtime.probe(server.key, HealthCheck.exec(["true"])).healthy
        assert not runtime.probe(server.key, HealthCheck.exec(["sleep", "9"], timeout_s=0.3)).healthy
        eventually(lambda: runtime.probe(server.key, HealthCheck.tcp(80)).healthy, "the server")
        assert runtime.stats([server.key]) == {}
        alone = story.start("sleep", "60", networks=[])
        assert "publish it" in runtime.probe(alone.key, HealthCheck.tcp(80)).detail
        begun = time.monotonic()
        watch.close()
        assert time.monotonic() - begun < 2
    finally:
        runtime.close()


def test_proxies_in_the_environment_are_not_used(story: Story, tcp_url: str, monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    runtime = DockerRuntime(tcp_url)
    assert runtime.describe().capacity.cpu >= 1
    runtime.close()
