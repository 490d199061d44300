"""Files of traces, plain or packed with gzip, read line by line in bounded memory."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from os import PathLike as OsPathLike
from pathlib import Path
from typing import Final, TypeAlias

from minorch.errors import TraceError

__all__ = ["PathLike", "is_gzip", "read_lines", "read_text", "unpacked"]

PathLike: TypeAlias = str | OsPathLike[str]

_LONGEST_LINE: Final = 1024 * 1024
_MOST_TEXT: Final = 256 * 1024 * 1024
_GZIP: Final = b"\x1f\x8b"
_DAMAGED: Final = (EOFError, zlib.error, gzip.BadGzipFile)
_BOM: Final = b"\xef\xbb\xbf"


def is_gzip(path: PathLike) -> bool:
    """Whether a file is packed with gzip, whatever its name says."""
    with Path(path).open("rb") as file:
        return file.read(2) == _GZIP


def _open(path: PathLike) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path, "rb") if is_gzip(path) else Path(path).open("rb")


def read_lines(path: PathLike, problem: Callable[[int, str], None]) -> Iterator[tuple[int, str]]:
    """Every line that is not empty, with its number from 1, stripped of blanks.

    Args:
        path: the file.
        problem: is told the number of a line that is no text, and why; it may raise.

    Raises:
        TraceError: the file is packed, and damaged.
        OSError: it cannot be opened or read.
    """
    number = 0
    with _open(path) as file:
        try:
            while line := file.readline(_LONGEST_LINE):
                number += 1
                if number == 1:
                    line = line.removeprefix(_BOM)
                if len(line) >= _LONGEST_LINE and not line.endswith(b"\n"):
                    _skip_rest(file)
                    problem(number, f"a line of more than {_LONGEST_LINE:,} bytes is none of a trace")
                    continue
                try:
                    text = line.decode("utf-8").strip()
                except UnicodeDecodeError:
                    problem(number, "this is no text in UTF-8")
                    continue
                if text:
                    yield number, text
        except _DAMAGED as error:
            raise _damaged(path, number + 1, error) from None


def _skip_rest(file: gzip.GzipFile | BufferedReader) -> None:
    while (rest := file.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
        pass


def _damaged(path: PathLike, line: int | None, error: Exception) -> TraceError:
    return TraceError(f"the gzip file is damaged here: {str(error) or type(error).__name__}", str(path), line)


def read_text(path: PathLike) -> str:
    """A whole file of a size that fits into memory.

    Raises:
        TraceError: it is damaged, no text, or larger than 256 MiB.
        OSError: it cannot be opened or read.
    """
    with _open(path) as file:
        try:
            content = file.read(_MOST_TEXT + 1)
        except _DAMAGED as error:
            raise _damaged(path, None, error) from None
    if len(content) > _MOST_TEXT:
        raise TraceError(f"more than {_MOST_TEXT:,} bytes are no list of nodes", str(path))
    try:
        return content.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TraceError("this is no text in UTF-8", str(path), line) from None


@contextmanager
def unpacked(path: PathLike) -> Iterator[Path]:
    """The file, or where it is packed with gzip, a temporary copy that is not.

    Raises:
        TraceError: it is packed, and damaged.
        OSError: it cannot be opened or read, or the copy not written.
    """
    if not is_gzip(path):
        yield Path(path)
        return
    with tempfile.NamedTemporaryFile(prefix="minorch-trace-") as copy:
        try:
            with gzip.open(path, "rb") as packed:
                shutil.copyfileobj(packed, copy)
        except _DAMAGED as error:
            raise _damaged(path, None, error) from None
        copy.flush()
        yield Path(copy.name)
