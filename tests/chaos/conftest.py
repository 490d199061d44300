"""A private engine's image, and why there is none."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.private_engine import PrivateEngine, image_tar, why_not
from tools import engine


@pytest.fixture
def image(engine_url: str, busybox: str) -> bytes:
    """The busybox image, for engines of one's own."""
    if reason := why_not():
        if os.environ.get("MINORCH_REQUIRE_DOCKER") == "1":
            pytest.fail(f"MINORCH_REQUIRE_DOCKER=1, but {reason}", pytrace=False)
        pytest.skip(reason)
    return image_tar(engine.socket_of(engine_url))


@pytest.fixture
def own(image: bytes, request: pytest.FixtureRequest) -> Iterator[PrivateEngine]:
    """An engine to be hurt, with the image; with live-restore, unless a test says otherwise."""
    own = PrivateEngine(live_restore=getattr(request, "param", True), data_mib=48)
    try:
        own.start()
        own.load(image)
        yield own
    finally:
        own.close()


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Fail a test whose threads are not daemons and outlive it."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]
    assert left == []
