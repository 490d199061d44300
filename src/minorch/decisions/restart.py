"""Whether a run that ended is started again on the same node, and when. Pure; the worker carries it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from minorch.model import RestartPolicy
from minorch.states import Reason

if TYPE_CHECKING:
    from random import Random

__all__ = ["HOPELESS", "backoff_s", "decide_restart", "has_end", "wait_s"]

HOPELESS: Final = frozenset({Reason.IMAGE_NOT_FOUND, Reason.COMMAND_NOT_FOUND, Reason.FORBIDDEN})
"""Starting again on the same node would end the same way."""


def decide_restart(
    policy: RestartPolicy, *, failed: bool, reason: Reason | None, restarts: int, random: Random
) -> float | None:
    """Return how many seconds to wait before the next run, or None if there is none.

    Args:
        policy: the task's restart policy.
        failed: whether the run failed; if not, it ended by itself with exit code 0.
        reason: why it ended.
        restarts: how many restarts in a row it has had already.
        random: for the jitter.
    """
    if policy.mode == "never" or reason in HOPELESS:
        return None
    if policy.mode == "on-failure" and not failed:
        return None
    if policy.attempts is not None and restarts >= policy.attempts:
        return None
    return backoff_s(policy, restarts, random)


def backoff_s(policy: RestartPolicy, restarts: int, random: Random) -> float:
    """The wait in seconds before the restart after *restarts* others: doubling, capped, with jitter."""
    return wait_s(policy, restarts) * (1.0 + policy.jitter * random.random())


def wait_s(policy: RestartPolicy, restarts: int) -> float:
    """The same without jitter."""
    return min(policy.max_backoff_s, policy.backoff_s * 2.0 ** min(restarts, 63))


def has_end(policy: RestartPolicy) -> bool:
    """Whether what fails again and again is given up some time."""
    return policy.mode == "never" or policy.attempts is not None
