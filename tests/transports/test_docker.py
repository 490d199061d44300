"""The same ends with a Docker Engine beneath."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.transports.members import Pipe
from tools import engine
from tools.relay import Relay, still_there


def test_workers_of_an_engine_take_orders_over_a_pipe(
    engine_url: str, busybox: str, made: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    socket = engine.socket_of(engine_url)
    with Relay(socket) as relay:
        monkeypatch.setenv("DOCKER_HOST", relay.url)
        monkeypatch.setenv("MINORCH_RUNTIME", "docker")
        members = Pipe(tmp_path)
        try:
            members.start()
            tasks = [{"name": "t", "image": busybox, "command": ["true"], "completions": 4}]
            assert "id" in members.manager.tell({"submit": {"name": "batch", "tasks": tasks}})

            def state() -> object:
                return members.manager.tell({"job": "batch"}).get("state")

            members.until("the batch is over", lambda: state() == "COMPLETED")
            assert members.manager.tell({"release": "batch"}) == {}
            members.until("its containers are gone", lambda: not still_there(socket, relay.made, 0.0))
            assert members.manager.end() == 0
        finally:
            members.close()
            made.update(relay.made)
    assert len(relay.made) == 4
