"""From lines to arrivals: what is taken apart, what is malformed, and what is left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from pathlib import Path
from typing import Final, TypeVar

from minorch.errors import SpecError, UsageError, brief
from minorch.ids import check_name
from minorch.simulation.traces.trace import Reading
from minorch.simulation.workloads.arrivals import Arrival
from minorch.simulation.workloads.files import read_lines

__all__ = ["LATEST", "LeftOut", "Malformed", "as_name", "built", "number", "parsed", "whole"]

_Row = TypeVar("_Row")

_BAD: Final = re.compile(r"[^A-Za-z0-9_.\-]")
_ADDED: Final = "-line-"
LATEST: Final = 2**63 - 1
"""The largest whole number, which some traces have for a time after their end."""


class Malformed(Exception):
    """A line is not what the format says."""


class LeftOut(Exception):
    """A line is well formed, and gives no arrival; the message says why, in words that repeat."""


def parsed(
    path: Path,
    reading: Reading,
    parse: Callable[[str, int], _Row],
    *,
    comment: str = "",
    heading: bool = False,
) -> Iterator[_Row]:
    """What the lines of a file say.

    Args:
        path: the file.
        reading: notes what is malformed, or left out.
        parse: is given a line and its number; raises :class:`Malformed` or :class:`LeftOut`.
        comment: what lines of comment begin with.
        heading: whether the first line is one of names.

    Raises:
        TraceError: something is malformed, and the reading is strict.
        OSError: the file cannot be read.
    """

    def no_text(line: int, words: str) -> None:
        reading.lines += 1
        reading.problem(path, line, words)

    for line, text in read_lines(path, no_text):
        if heading or (comment and text.startswith(comment)):
            heading = False
            continue
        reading.lines += 1
        try:
            row = parse(text, line)
        except LeftOut as why:
            reading.leave_out(str(why))
        except (Malformed, UsageError) as error:
            reading.problem(path, line, str(error))
        else:
            yield row


def built(
    rows: Iterable[_Row],
    reading: Reading,
    build: Callable[[_Row], Arrival],
    place: Callable[[_Row], tuple[Path, int]],
) -> Iterator[Arrival]:
    """The arrivals that rows stand for; what cannot be one is malformed at its place.

    Raises:
        TraceError: something is malformed, and the reading is strict.
    """
    for row in rows:
        try:
            arrival = build(row)
        except (Malformed, UsageError) as error:
            reading.problem(*place(row), str(error))
        else:
            yield arrival


def as_name(text: str, line: int, *, sure: bool) -> str:
    """The name of a job for what a trace calls it, such as no other job of the trace has.

    Args:
        text: what the trace calls it.
        line: where; it is added where *text* is no name, or may have been there before.
        sure: whether it was certainly not.
    """
    if sure and _ADDED not in text:
        try:
            return check_name(text, "job")
        except SpecError:
            pass
    return f"{_BAD.sub('-', text)[:40].lstrip('-._') or 'job'}{_ADDED}{line}"


def number(text: str, what: str) -> float:
    """A finite number.

    Raises:
        Malformed: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        raise Malformed(f"{what} is {brief(text)}, and not a number") from None
    if not isfinite(value) or "_" in text:
        raise Malformed(f"{what} is {brief(text)}, and not a number")
    return value


def whole(text: str, what: str) -> int:
    """A whole number, which may be negative.

    Raises:
        Malformed: it is none, or takes more than 64 bits.
    """
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise Malformed(f"{what} is {brief(text)}, and not a whole number")
    value = int(text)
    if not -LATEST <= value <= LATEST:
        raise Malformed(f"{what} is {brief(text)}, which is too much")
    return value
