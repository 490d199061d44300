"""Of which attempts the manager may not know the latest: what the next report tells. Data, and no policy.

Each report tells all of it, so that one that is lost costs time and nothing else; where that is too much for
a message, the rest follows once what was told first is known to have been heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from minorch.messages import Observed
from minorch.worker.attempt import LocalAttempt

__all__ = ["Unheard"]

_ENOUGH_FOR_ONE_BYTES: Final = 1024 * 1024
"""No attempt takes more: it has 256 ports of two words at most, of six bytes to a character."""
_BESIDES_BYTES: Final = 1024
"""What an attempt takes beside its words and ports."""
_STATS_BYTES: Final = 512
"""What the figures of one task take."""


class Unheard:
    """Which attempts are to be told of, and since which report they are.

    Args:
        most_bytes: what a report may hold.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._told: dict[str, int] = {}
        """By attempt, the first report that told its latest, as each one since; 0: the next one does."""
        self._waits = False
        """Whether there was no room for some."""

    def __len__(self) -> int:
        return len(self._told)

    def __contains__(self, attempt_id: object) -> bool:
        return attempt_id in self._told

    def note(self, attempt_ids: Iterable[str]) -> None:
        """These have changed, or are to be told again: after the others, which else might never be told."""
        for attempt_id in attempt_ids:
            self._told.pop(attempt_id, None)
            self._told[attempt_id] = 0

    def heard(self, sequence: int) -> bool:
        """The manager has taken in that report, and so what was told in it or before.

        Returns:
            Whether there is room now for something that waits, so that another report is due.
        """
        before = len(self._told)
        if before:
            self._told = {key: told for key, told in self._told.items() if not 0 < told <= sequence}
        return self._waits and len(self._told) < before

    def forget(self, attempt_id: str) -> None:
        """Nobody is to be told of it any more."""
        self._told.pop(attempt_id, None)

    def tell(self, sequence: int, attempts: Mapping[str, LocalAttempt]) -> tuple[tuple[Observed, ...], int]:
        """What a report tells, one attempt at least, and for how many tasks' figures it has room then.

        Args:
            sequence: the report's.
            attempts: all that are left; others are forgotten.
        """
        self._told = {key: told or sequence for key, told in self._told.items() if key in attempts}
        self._waits = False
        left = self._most_bytes
        if len(self._told) * _ENOUGH_FOR_ONE_BYTES <= left:
            observed = tuple(attempts[key].observed() for key in self._told)
            return observed, (left - len(observed) * _ENOUGH_FOR_ONE_BYTES) // _STATS_BYTES
        fitting: list[Observed] = []
        for key in self._told:
            one = attempts[key].observed()
            left -= _bytes_at_most(one)
            if left < 0 and fitting:
                break
            fitting.append(one)
        for key in islice(self._told, len(fitting), None):
            self._told[key] = 0  # or it would count as heard with what is told now
            self._waits = True
        return tuple(fitting), max(0, left) // _STATS_BYTES


def _bytes_at_most(one: Observed) -> int:
    characters = len(one.message) + len(one.handle) + sum(len(a) + len(b) + 1 for a, b in one.ports.items())
    return _BESIDES_BYTES + 6 * characters
