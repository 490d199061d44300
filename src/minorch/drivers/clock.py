"""Where drivers get the time and new ids from."""

from __future__ import annotations

import secrets
import time

__all__ = ["SteadyClock", "new_id"]


class SteadyClock:
    """Seconds since 1970 that never go back: the time of day once, and from then on a steady count."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        """The time now."""
        return self._offset + time.monotonic()


def new_id() -> str:
    """32 hexadecimal digits: the time of day in nanoseconds, and 64 random bits.

    Ids that are made one after the other sort so, which puts them side by side in a store: a commit
    then writes some full pages, and not a page for each row.
    """
    return f"{time.time_ns():016x}{secrets.token_hex(8)}"
