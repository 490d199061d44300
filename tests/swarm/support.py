"""What tests of Swarms share: whether there can be one here."""

from __future__ import annotations

import os

import pytest

from tests.chaos.private_engine import why_not

__all__ = ["required", "why_not_swarm"]


def why_not_swarm() -> str | None:
    """Why there can be no Swarm of one's own here; None: there can."""
    return why_not()


def required(reason: str) -> None:
    """Skip, or fail where MINORCH_REQUIRE_DOCKER says that nothing may be missing."""
    if os.environ.get("MINORCH_REQUIRE_DOCKER") == "1":
        pytest.fail(f"MINORCH_REQUIRE_DOCKER=1, but {reason}", pytrace=False)
    pytest.skip(reason)
