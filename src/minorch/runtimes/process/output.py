"""A run's output: bounded, read from the end, followed while it grows.

The file is cut in place ("copytruncate"): writers hold it open with O_APPEND and go on at its new
end.  The newest half of the limit is kept in a file beside it, ``.log.1``.  What is written between the
copy and the cut, some microseconds, is lost; what is written between two looks comes on top of the limit.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["Output"]

_PIECE: Final = 1 << 16
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW


class Output:
    """The output of one run. Positions count every byte it ever wrote, also those already cut away."""

    __slots__ = ("_base", "_lock", "_older", "_path")

    def __init__(self, path: str) -> None:
        self._path = path
        self._older = f"{path}.1"
        self._lock = threading.Lock()
        self._base: int | None = None  # the position of the file's first byte; found out when first needed

    def trim(self, limit: int) -> None:
        """Cut it if it has outgrown half of *limit* bytes."""
        try:
            if os.stat(self._path).st_size <= limit // 2:
                return
        except FileNotFoundError:
            return
        with self._lock:
            start = self._start()
            with open(os.open(self._path, os.O_RDWR | _FLAGS), "rb+") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - limit // 2))
                self._write_older(file.read(limit // 2))
                os.ftruncate(file.fileno(), 0)
            self._base = start + size

    def _write_older(self, content: bytes) -> None:
        fd = os.open(self._older, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS, 0o600)
        with open(fd, "wb") as file:
            file.write(content)

    def _start(self) -> int:
        if self._base is None:
            self._base = _size(self._older)
        return self._base

    def _span(self) -> tuple[int, int]:
        start = self._start()
        return start - _size(self._older), start + _size(self._path)

    def _read(self, position: int, most: int = _PIECE) -> tuple[int, bytes]:
        """Read from *position*, or the first byte after it that is still there; return where that was."""
        with self._lock:
            first, end = self._span()
            start = self._start()
            if position > end:  # somebody else cut it
                position = start
            position = max(position, first)
            if position < start:
                return position, _read_at(self._older, position - first, min(most, start - position))
            return position, _read_at(self._path, position - start, most)

    def read(self, ended: Callable[[float], bool] | None = None, tail: int | None = None) -> Iterator[bytes]:
        """Yield what is there.

        Args:
            ended: to follow: waits at most so many seconds and says whether the run has ended.
            tail: begin with the last so many lines.
        """
        position = 0 if tail is None else self._last_lines(tail)
        with self._lock:
            until = self._span()[1]
        pause_s = 0.01
        while True:
            over = ended is None or ended(0)
            position, piece = self._read(position)
            position += len(piece)
            if piece:
                yield piece
                pause_s = 0.01
            if ended is None and position >= until:
                return  # a writer that is faster than its reader must not keep it for ever
            if not piece:
                if over or ended is None:
                    return
                ended(pause_s)
                pause_s = min(2 * pause_s, 0.2)

    def _last_lines(self, lines: int) -> int:
        """The position at which the last *lines* lines begin."""
        with self._lock:
            first, end = self._span()
        if lines <= 0:
            return end
        position = end
        missing = lines
        while position > first:
            begin = max(first, position - _PIECE)
            # Never across the cut, where a read ends early.
            start = self._start()
            if begin < start < position:
                begin = start
            begin, piece = self._read(begin, position - begin)
            if position == end and piece.endswith(b"\n"):
                missing += 1  # that one ends the last line
            at = len(piece)
            while missing and (at := piece.rfind(b"\n", 0, at)) >= 0:
                missing -= 1
            if not missing:
                return begin + at + 1
            position = begin
        return first


def _size(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def _read_at(path: str, offset: int, most: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, most, offset)
    finally:
        os.close(fd)
