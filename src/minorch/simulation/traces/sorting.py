"""Sorting more rows than fit into memory: sorted runs in temporary files, and a merge of them.

The classic external merge sort (Knuth, TAOCP vol. 3, section 5.4).  Rows are tuples of plain data that can be
compared; the callers put a number into them that no two have, so that the order is total and stable.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import IO, Final, TypeVar

import msgspec

__all__ = ["sort_rows"]

_Row = TypeVar("_Row", bound=tuple[object, ...])

_MOST_ROWS: Final = 100_000
"""Some 50 MB of rows."""
_MOST_RUNS: Final = 64
"""So many files are open at most; then they become one."""
_BLOCK: Final = 500
_LENGTH: Final = 4


def sort_rows(rows: Iterable[_Row], *, most: int = _MOST_ROWS) -> Iterator[_Row]:
    """Give rows in ascending order.

    Args:
        rows: tuples of numbers, text, None and tuples of these.
        most: how many are held in memory at the same time.

    What fits is sorted in memory.  Temporary files have no name, and are gone with the iterator.
    """
    source = iter(rows)
    first = sorted(islice(source, most))
    if len(first) < most:
        yield from first
        return
    with ExitStack() as stack:
        runs: list[IO[bytes]] = []
        part = first
        while part:
            runs.append(_written(stack, part))
            del part
            if len(runs) == _MOST_RUNS:
                runs = [_written(stack, heapq.merge(*map(_read, runs)))]
            part = sorted(islice(source, most))
        yield from heapq.merge(*map(_read, runs))  # type: ignore[misc]


def _written(stack: ExitStack, rows: Iterable[tuple[object, ...]]) -> IO[bytes]:
    """A file of rows, at its beginning: blocks, each behind its length."""
    file = stack.enter_context(tempfile.TemporaryFile(prefix="minorch-trace-"))  # noqa: SIM115
    source = iter(rows)
    while block := list(islice(source, _BLOCK)):
        content = msgspec.msgpack.encode(block)
        file.write(len(content).to_bytes(_LENGTH, "big"))
        file.write(content)
    file.seek(0)
    return file


def _read(file: IO[bytes]) -> Iterator[tuple[object, ...]]:
    """The rows of a file, which is closed after the last one."""
    while length := file.read(_LENGTH):
        content = file.read(int.from_bytes(length, "big"))
        yield from map(_as_tuple, msgspec.msgpack.decode(content))
    file.close()


def _as_tuple(value: list[object]) -> tuple[object, ...]:
    """As it was before it was written: there are no lists in rows."""
    return tuple(_as_tuple(one) if isinstance(one, list) else one for one in value)
