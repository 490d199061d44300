"""Has tasks end when a model has them end: each has so much left to do, at a speed that changes."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite

from minorch.errors import UsageError
from minorch.ids import RunKey
from minorch.model import Node
from minorch.simulation.driver.agenda import Agenda
from minorch.simulation.models import Model, Running

__all__ = ["Pace"]

_DONE_S = 1e-9
"""What is left of a task that is done, for numbers that were rounded on the way."""


class _Course:
    """One run on its way."""

    __slots__ = ("left_s", "running", "speed")

    def __init__(self, running: Running, left_s: float) -> None:
        self.running = running
        self.left_s = left_s
        """What is left to do, in seconds at full speed."""
        self.speed = 1.0


class Pace:
    """What runs on one node, and how fast.

    Args:
        agenda: the true time.
        node: the node.
        model: says how fast.
        end: is called with a run that has done all there was to do.
    """

    def __init__(self, agenda: Agenda, node: Node, model: Model, end: Callable[[RunKey], None]) -> None:
        self._agenda = agenda
        self._node = node
        self._model = model
        self._end = end
        self._courses: dict[RunKey, _Course] = {}
        self._as_of = agenda.now
        self._changes = 0
        """What was to happen before the latest of them does not."""

    def begin(self, key: RunKey, running: Running, work_s: float) -> None:
        """A run has begun that takes *work_s* at full speed; infinite: it never ends."""
        self._catch_up()
        self._courses[key] = _Course(running, work_s)
        self._look_ahead()

    def leave(self, key: RunKey) -> None:
        """A run has ended, one way or another."""
        if key in self._courses:
            self._catch_up()
            del self._courses[key]
            self._look_ahead()

    def _catch_up(self) -> None:
        passed_s, self._as_of = self._agenda.now - self._as_of, self._agenda.now
        for course in self._courses.values():
            course.left_s -= passed_s * course.speed

    def _look_ahead(self) -> None:
        """Ask the model, and have the next run end in its time."""
        self._changes += 1
        if not self._courses:
            return
        courses = list(self._courses.values())
        speeds = self._model.speeds(self._node, [course.running for course in courses])
        if len(speeds) != len(courses):
            raise UsageError(f"{self._model!r} gave {len(speeds)} speeds for {len(courses)} tasks")
        next_s = inf
        for course, speed in zip(courses, speeds, strict=True):
            if not 1e-9 <= speed <= 1e9:
                raise UsageError(f"{self._model!r} gave the speed {speed!r}; it is a number above 0")
            course.speed = speed
            next_s = min(next_s, max(0.0, course.left_s) / speed)
        if isfinite(next_s):
            change = self._changes
            self._agenda.after(next_s, lambda: self._arrive(change))

    def _arrive(self, change: int) -> None:
        if change != self._changes:
            return
        self._catch_up()
        slack_s = _DONE_S * max(1.0, abs(self._agenda.now) * 1e-3)
        done = [
            key for key, course in self._courses.items() if course.left_s <= slack_s * max(1.0, course.speed)
        ]
        for key in done:
            self._end(key)
        if not done:  # time is too coarse for what is left: the nearest is done
            self._end(min(self._courses, key=lambda key: self._courses[key].left_s))
