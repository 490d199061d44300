"""What a worker should have, in several messages where one would be too large. Data, and no policy.

A full message that is too large names the rest as *kept*: the worker neither stops nor forgets that, and is
told of it in later ones, each once the one before was confirmed.  What it is known to have taken in is not
told again, so each message that arrives brings it forward, however many are lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

__all__ = ["ENOUGH_FOR_ONE_BYTES", "Parts", "fitting"]

ENOUGH_FOR_ONE_BYTES: Final = 8 * 1024 * 1024
"""No assignment is larger: a task's words have a million characters at most, of six bytes at most."""
_BESIDES_BYTES: Final = 512
"""What an assignment has beside its task: names, counts, its policy."""
_MOST_ON_THE_WAY: Final = 1000
_KEPT_BYTES: Final = 56
"""What it takes to name one that is kept."""


def fitting(wanted: Sequence[str], most_bytes: int, size_of: Callable[[str], int], *, named: int = 0) -> int:
    """How many of *wanted*, from the first on, fit into a message; one at least, so that there is an end.

    Args:
        wanted: task ids.
        most_bytes: what a message may hold.
        size_of: gives the size of a task's description, in bytes.
        named: so many are named as kept if there is no room for them.
    """
    if len(wanted) * ENOUGH_FOR_ONE_BYTES <= most_bytes:
        return len(wanted)
    left = most_bytes - named * _KEPT_BYTES
    for count, task_id in enumerate(wanted):
        left -= size_of(task_id) + _BESIDES_BYTES
        if left < 0:
            return max(1, count)
    return len(wanted)


class Parts:
    """Which attempts a worker is known to have taken in, of those that it was told of in parts."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        """Attempt number by task id."""
        self._part = self._confirmed = 0
        """The revision of the latest part, which is more than stops; and the latest that was confirmed."""
        self._told_at: dict[str, int] = {}
        """The latest revision in which each was told."""
        self._on_the_way: deque[tuple[int, Mapping[str, int]]] = deque(maxlen=_MOST_ON_THE_WAY)
        """By revision: what was told and not confirmed; a full message begins anew. What is left out for want
        of room is told again."""

    def unknown(self, held: Mapping[str, int], changed: Iterable[str]) -> list[str]:
        """Those of *held* of which the worker must be told: never, or not since they *changed*."""
        for task_id in changed:
            self._known.pop(task_id, None)
        return [task_id for task_id, attempt in held.items() if self._known.get(task_id) != attempt]

    @property
    def under_way(self) -> bool:
        """Whether a part was sent that is not confirmed yet: the next one follows it."""
        return self._part > self._confirmed

    def told(self, revision: int, entries: Mapping[str, int], *, full: bool, part: bool = True) -> None:
        """A message is sent.

        Args:
            revision: its own.
            entries: what it tells: attempt number by task id.
            full: whether it begins anew.
            part: whether there is more in it than stops, which wait for nothing.
        """
        if part:
            self._part = revision
        if full:
            self._on_the_way.clear()
        for task_id in entries:
            self._known.pop(task_id, None)
            self._told_at[task_id] = revision
        self._on_the_way.append((revision, entries))

    def confirmed(self, revision: int, held: Mapping[str, int]) -> None:
        """The worker has applied this revision, and so all that led to it."""
        self._confirmed = max(self._confirmed, revision)
        while self._on_the_way and self._on_the_way[0][0] <= revision:
            at, entries = self._on_the_way.popleft()
            for task_id, attempt in entries.items():
                if self._told_at.get(task_id) == at:  # else it was told something else since
                    self._known[task_id] = attempt
        self._known = {task_id: number for task_id, number in self._known.items() if task_id in held}
        self._told_at = {task_id: at for task_id, at in self._told_at.items() if task_id in held}
