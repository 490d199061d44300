"""A socket that fails without a word."""

from __future__ import annotations

import contextlib
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.hole import Hole
from tools import engine


@pytest.fixture
def asked() -> Iterator[tuple[str, list[bytes]]]:
    """Something that answers each request with 200, and what it was asked."""
    heard: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if not (line := self.rfile.readline()):
                return  # who connected has hung up
            heard.append(line)
            with contextlib.suppress(BrokenPipeError):  # who asked has given up
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with tempfile.TemporaryDirectory(prefix="minorch-", dir="/tmp") as folder:
        path = str(Path(folder, "socket"))
        with Server(path, Handler) as server:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            yield path, heard
            server.shutdown()


@pytest.fixture
def hole(asked: tuple[str, list[bytes]]) -> Iterator[Hole]:
    hole = Hole(asked[0])
    yield hole
    hole.close()


def path_of(hole: Hole) -> str:
    return hole.url.removeprefix("unix://")


def test_while_it_is_open_it_is_not_noticed(hole: Hole):
    assert engine.answers(path_of(hole))
    assert hole.swallowed == 0


def test_silent_nothing_gets_through(hole: Hole, asked: tuple[str, list[bytes]]):
    hole.swallow("silent")
    assert not engine.answers(path_of(hole), timeout_s=0.2)
    assert asked[1] == []
    hole.heal()
    assert engine.answers(path_of(hole))


def test_deaf_what_is_asked_is_done_and_not_answered(hole: Hole, asked: tuple[str, list[bytes]]):
    hole.swallow("deaf")
    assert not engine.answers(path_of(hole), timeout_s=0.2)
    assert len(asked[1]) == 1
    hole.heal()
    assert engine.answers(path_of(hole))


def test_wedged_questions_are_answered_and_changes_hang(hole: Hole, asked: tuple[str, list[bytes]]):
    hole.swallow("wedged")
    assert engine.answers(path_of(hole))
    with pytest.raises(OSError, match="timed out"):
        engine.request(path_of(hole), "POST", "/containers/x/start", timeout_s=0.2)
    assert len(asked[1]) == 1


def test_connections_with_missing_words_end_when_it_is_healed(hole: Hole):
    hole.swallow("silent")
    waiting = threading.Thread(target=lambda: engine.answers(path_of(hole), timeout_s=30), daemon=True)
    waiting.start()
    while not hole.swallowed:
        waiting.join(0.01)
    hole.heal()
    waiting.join(10)
    assert not waiting.is_alive()
