"""Reading what runs on a real engine wrote."""

from __future__ import annotations

import threading
import time

import pytest

from minorch.errors import RuntimeFault
from minorch.ids import RunKey
from minorch.runtimes.docker import DockerRuntime
from tests.engines.docker.conftest import Story, eventually


def test_logs_merge_both_streams_without_the_engines_frames(story: Story):
    launch = story.start("sh", "-c", "echo out; echo err >&2")
    story.ended(launch)
    text = b"".join(story.runtime.logs(launch.key))
    assert sorted(text.splitlines()) == [b"err", b"out"]


def test_tail_gives_the_last_lines(story: Story):
    launch = story.start("seq", "100")
    story.ended(launch)
    assert b"".join(story.runtime.logs(launch.key, tail=2)) == b"99\n100\n"
    assert b"".join(story.runtime.logs(launch.key, tail=0)) == b""
    assert len(b"".join(story.runtime.logs(launch.key)).splitlines()) == 100


def test_since_gives_only_what_came_later(story: Story):
    launch = story.start("sh", "-c", "echo early; sleep 2; echo late")
    eventually(lambda: b"".join(story.runtime.logs(launch.key)), "the first line")
    between = time.time() + 0.5
    story.ended(launch)
    assert b"".join(story.runtime.logs(launch.key, since=between)) == b"late\n"


def test_follow_gives_lines_as_they_come_and_ends_with_the_run(story: Story):
    launch = story.start("sh", "-c", "echo a; sleep 0.3; echo b")
    begun = time.time()
    pieces = [(time.time() - begun, piece) for piece in story.runtime.logs(launch.key, follow=True)]
    assert b"".join(piece for _at, piece in pieces) == b"a\nb\n"
    assert pieces[0][0] < pieces[-1][0]


def test_a_long_log_comes_in_bounded_pieces(story: Story):
    launch = story.start("sh", "-c", "yes 0123456789abcde | head -c 2000000")
    story.ended(launch)
    sizes = [len(piece) for piece in story.runtime.logs(launch.key)]
    assert sum(sizes) == 2_000_000
    assert max(sizes) <= 65536


def test_a_follower_may_leave_early(story: Story):
    launch = story.start("sh", "-c", "while :; do echo again; sleep 0.05; done")
    lines = story.runtime.logs(launch.key, follow=True)
    assert next(lines) == b"again\n"
    lines.close()  # type: ignore[attr-defined]
    eventually(lambda: not [t for t in threading.enumerate() if "logs-guard" in t.name], "the guard's end")


def test_closing_the_runtime_ends_a_follower_that_waits(story: Story, engine_url: str):
    launch = story.start("sleep", "60")
    runtime = DockerRuntime(engine_url)
    ended = threading.Event()

    def follow() -> None:
        for _piece in runtime.logs(launch.key, follow=True):
            pass
        ended.set()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    eventually(lambda: [t for t in threading.enumerate() if "logs-guard" in t.name], "the follower")
    runtime.close()
    assert ended.wait(10)
    thread.join(timeout=10)


def test_the_logs_of_no_run_are_an_error(story: Story):
    with pytest.raises(RuntimeFault, match="no run"):
        story.runtime.logs(RunKey("0" * 32, 1, 1))
