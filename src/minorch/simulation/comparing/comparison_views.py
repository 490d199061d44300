"""How a comparison is shown: as text in columns, and as HTML."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from minorch.markup import join, note, shorten, table, view
from minorch.simulation.comparing.contrasts import Difference, Verdict, finite
from minorch.simulation.comparing.criteria import Measure
from minorch.simulation.comparing.intervals import Interval, constant

if TYPE_CHECKING:
    from minorch.simulation.comparing.comparison import Comparison, Row

__all__ = ["as_html", "as_text", "counted"]

_NAME: Final = 40
"""A longer name is cut."""
_MOST_DIGITS: Final = 6
_MORE_DIGITS: Final = 2
"""So many more digits a difference may have than the means it is between."""
_TEXT_WIDTH: Final = 100


class _Block(msgspec.Struct, frozen=True):
    """One measure: its heading, and either a line or rows of cells."""

    heading: str
    line: str
    rows: Sequence[Sequence[str]]


_HEADS: Final = ("scheduler", "mean", "95 % interval", "difference", "95 % interval", "")


def as_text(comparison: Comparison) -> str:
    """All measures below each other, in columns that are aligned, and below them what has to be known."""
    blocks = [_block(comparison, measure) for measure in comparison.measures]
    cells = [row for block in blocks for row in block.rows]
    widths = [max(map(len, column)) for column in zip(_HEADS, *cells, strict=True)]
    lines = [_title(comparison)]
    if cells:
        lines += ["", _aligned(_HEADS, widths)]
    for block in blocks:
        if block.rows:
            lines += ["", block.heading, *(_aligned(row, widths) for row in block.rows)]
    told = [f"{block.heading}: {block.line}" for block in blocks if not block.rows]
    lines += ["", *told] if told else []
    for words in (*_legend(comparison), *comparison.notes):
        lines += ["", *textwrap.wrap(words, _TEXT_WIDTH, break_on_hyphens=False)]
    return "\n".join(lines)


def as_html(comparison: Comparison) -> str:
    """The same for notebooks."""
    blocks = [_block(comparison, measure) for measure in comparison.measures]
    parts = [
        table(_HEADS, block.rows, caption=block.heading, right=(1, 2, 3, 4), whole=(0,), noun="schedulers")
        for block in blocks
        if block.rows
    ]
    told = [note(f"{block.heading}: {block.line}") for block in blocks if not block.rows]
    remarks = [note(words) for words in (*_legend(comparison), *comparison.notes)]
    return view("Comparison of schedulers", join(parts), join(told), join(remarks), words=_title(comparison))


def counted(things: Sequence[object], noun: str) -> str:
    """``3 seeds``, ``1 seed``."""
    return f"{len(things):,} {noun}{'' if len(things) == 1 else 's'}"


def _title(comparison: Comparison) -> str:
    return (
        f"{counted(comparison.schedulers, 'scheduler')}, {counted(comparison.seeds, 'seed')}, "
        f"{counted(comparison.runs, 'run')}"
    )


def _legend(comparison: Comparison) -> Iterator[str]:
    """How to read the table, where there is anything to read."""
    if len(comparison.schedulers) < 2 or len(comparison.seeds) < 2:
        return
    baseline = (
        f"to {comparison.baseline}"
        if comparison.baseline
        else "to the scheduler with the best mean, and p takes into account that it was chosen for that"
    )
    yield f"Differences are {baseline}; runs with the same seed are pairs."
    yield (
        "Intervals are Student's t, 95 %, each by itself; p is corrected for all differences of a measure "
        "(Holm). Not significant means that these seeds do not show a difference, not that there is none."
    )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if 0 < at < len(cells) - 1 else cell.ljust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def _block(comparison: Comparison, measure: Measure) -> _Block:
    rows = comparison.rows(measure.name)
    figures = [value for row in rows for value in finite(row.values)]
    if measure.better is None:
        words = ", ".join(f"{_name(row)} {_number(row.interval.mean, _digits([row]))}" for row in rows)
        return _Block(measure.heading, f"{words} (for information)", ())
    heading = f"{measure.heading} ({measure.better} is better)"
    if not figures:
        return _Block(measure.heading, "no run has any", ())
    if constant(figures) and len(figures) > 1:
        return _Block(measure.heading, f"{_number(figures[0], _digits(rows))} in every run", ())
    digits = _digits(rows)
    finer = _finer(rows, digits)
    return _Block(heading, "", [_cells(row, comparison.baseline, digits, finer) for row in rows])


def _cells(row: Row, baseline: str | None, digits: int, finer: int) -> list[str]:
    interval = row.interval
    bounds = _bounds(interval, digits)
    if interval.count > 1 and constant(finite(row.values)):
        bounds = "in every run"
    cells = [_name(row), _number(interval.mean, digits), bounds]
    if row.difference is None:
        return [*cells, "", "", "best" if baseline is None else "the baseline"]
    found = row.difference
    within = _bounds(found.interval, finer)
    if found.verdict is Verdict.SAME:
        return [*cells, "0", "", _words(found)]
    if found.verdict is Verdict.CONSTANT:
        within = ""
    return [*cells, _signed(found.interval.mean, finer), within, _words(found)]


def _words(found: Difference) -> str:
    match found.verdict:
        case Verdict.NOT_SIGNIFICANT:
            return f"no significant difference ({_p(found.p)})"
        case Verdict.BETTER | Verdict.WORSE:
            return f"{found.verdict} ({_p(found.p)})"
        case _:
            return str(found.verdict)


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _name(row: Row) -> str:
    return shorten(" ".join(row.scheduler.split()), _NAME)


def _bounds(interval: Interval, digits: int) -> str:
    if math.isnan(interval.low):
        return "-"
    return f"{_number(interval.low, digits)} to {_number(interval.high, digits)}"


def _digits(rows: Sequence[Row]) -> int:
    """How many digits after the point show four of the greatest mean that matter."""
    return min(_MOST_DIGITS, _places([row.interval.mean for row in rows], 4))


def _finer(rows: Sequence[Row], digits: int) -> int:
    """As many for differences, or some more if of the greatest there were not two that matter."""
    found = [row.difference.interval for row in rows if row.difference is not None]
    needed = _places([value for each in found for value in (each.mean, each.low, each.high)], 2)
    return min(_MOST_DIGITS, digits + _MORE_DIGITS, max(digits, needed))


def _places(values: Sequence[float], digits: int) -> int:
    """How many digits after the point there are, if so many of the greatest value are to be seen."""
    most = max(map(abs, finite(values)), default=0.0)
    return max(0, digits - 1 - math.floor(math.log10(most))) if most else 0


def _number(value: float, digits: int) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:z,.{digits}f}"  # without the sign of what is rounded to zero


def _signed(value: float, digits: int) -> str:
    """With its sign; what is too small to be seen is told as such, for it is not nothing."""
    if math.isnan(value):
        return "-"
    least = 0.5 * 10.0**-digits
    return f"{value:+,.{digits}f}" if value == 0 or abs(value) >= least else f"< {10.0**-digits:.{digits}f}"
