"""How long the strategy takes: told as events, so that a slow one is seen. The clock is the driver's."""

from __future__ import annotations

from collections.abc import Callable

from minorch.manager.desk import Desk

__all__ = ["Stopwatch", "Timing"]

Stopwatch = Callable[[], float]
"""Seconds of real time, from any point on."""


class Timing:
    """Sums up how long plans take.

    Args:
        name: what the strategy is called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._plans = 0
        self._decisions = 0
        self._took_s = 0.0
        self._longest_s = 0.0
        self._told_at: float | None = None

    def add(self, desk: Desk, took_s: float, decisions: int, now: float) -> None:
        """Take note of a plan, and tell of it if it was slow, or of all since the last time if it is due."""
        config = desk.config
        if took_s >= config.slow_plan_s:
            words = f"{self._name} took {took_s:.2f} s for a plan of {decisions:,} placements"
            desk.state.log("scheduler_slow", now, detail=words)
        self._plans += 1
        self._decisions += decisions
        self._took_s += took_s
        self._longest_s = max(self._longest_s, took_s)
        if self._told_at is None:
            self._told_at = now
        if now - self._told_at >= config.timing_every_s:
            each = f", {1e6 * self._took_s / self._decisions:,.0f} us each" if self._decisions else ""
            words = (
                f"{self._name}: {self._decisions:,} placements in {self._plans:,} plans{each}; "
                f"the longest plan took {1e3 * self._longest_s:,.1f} ms"
            )
            desk.state.log("scheduler_timing", now, detail=words)
            self._plans = self._decisions = 0
            self._took_s = self._longest_s = 0.0
            self._told_at = now
