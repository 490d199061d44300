"""Whether a running task is healthy, from the answers of its check. Pure; the worker asks the runtime."""

from __future__ import annotations

from typing import NamedTuple

from minorch.model import HealthCheck

__all__ = ["Health", "judge"]


class Health(NamedTuple):
    """What is known of a run's health."""

    healthy: bool | None = None
    """None: no verdict yet."""
    failures: int = 0
    """Failed checks in a row that count."""

    @property
    def spent(self) -> bool:
        """Whether the verdict is that it is unhealthy, so that the run must end."""
        return self.healthy is False


def judge(check: HealthCheck, health: Health, *, answered: bool, up_s: float) -> Health:
    """Return the health after one more check.

    Args:
        check: the task's health check.
        health: what was known before.
        answered: whether the check found it healthy.
        up_s: for how many seconds the run has been up; within the start period failures do not count.
    """
    if answered:
        return Health(healthy=True)
    if up_s < check.start_period_s and health.healthy is None:
        return health
    failures = health.failures + 1
    return Health(False if failures >= check.threshold else health.healthy, failures)
