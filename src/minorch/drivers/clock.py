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
    """128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)
