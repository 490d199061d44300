"""Versions, such as ``5.10`` and ``v2.0.0-rc.1``: which ones are well formed, and their order."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["Version", "parse_version"]

_MOST: Final = 64
_FORM: Final = re.compile(
    r"v?([0-9]+(?:\.[0-9]+)*)"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:\+[0-9A-Za-z.-]+)?\Z"
)

Version = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]
"""What versions are compared by: the numbers, whether it is the release itself, what came before it."""


def parse_version(text: str) -> Version | None:
    """Read a version as Semantic Versioning orders them; None: it is none, or has more than 64 characters.

    There may be any count of numbers, those left out are 0; a leading ``v`` and a build after ``+`` do
    not count.  What follows a ``-`` came before the release.

    >>> parse_version("v1.2-rc.1") < parse_version("1.2.0") == parse_version("1.2")
    True
    """
    match = _FORM.match(text) if len(text) <= _MOST else None
    if match is None:
        return None
    numbers = [int(number) for number in match[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    words = match[2].split(".") if match[2] else []
    before = tuple((False, int(word), "") if word.isdigit() else (True, 0, word) for word in words)
    return tuple(numbers), not words, before
