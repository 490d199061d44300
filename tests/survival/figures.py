"""How thorough the tests of this directory are, and where they say how much they did.

Each of them counts.  ``pytest -s`` shows the counts, and so does the session ``nox -s kills``, which also has
them do far more than there is time for in a normal run.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["KILLS", "THOROUGH", "memory_directory", "tell"]

KILLS = int(os.environ.get("MINORCH_KILLS", "30"))
"""How many times a manager is killed."""
THOROUGH = KILLS >= 500
"""Whether there is time for every byte and every crash point on disk."""


def tell(words: str) -> None:
    """Write one line of counts, which pytest shows with ``-s`` and beside a failure."""
    sys.stdout.write(f"\n{words}\n")


@contextmanager
def memory_directory() -> Iterator[Path]:
    """A directory in memory where there is one: what is tried thousands of times need not reach a disk."""
    shared = Path("/dev/shm")
    usable = shared.is_dir() and os.access(shared, os.W_OK)
    with tempfile.TemporaryDirectory(prefix="minorch-", dir=shared if usable else None) as name:
        yield Path(name)
