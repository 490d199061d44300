"""How much of something: a small meter for a cell, and a chart of labelled bars made of parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from minorch.markup.elements import Html, Hue, escape, fit, join, legend, note, tag, text_width
from minorch.markup.scales import is_drawable

__all__ = ["Bar", "Level", "Part", "bars", "meter"]

_METER_WIDTH: Final = 96.0
_WIDTH: Final = 820.0
_ROW: Final = 20.0
_BAR: Final = 12.0
_LABEL_MOST: Final = 180.0
_NOTE_MOST: Final = 220.0


@dataclass(frozen=True, slots=True)
class Level:
    """One line of a meter."""

    value: float
    hue: Hue
    words: str
    """What it is, for who points at it: ``6 of 8 cores reserved``."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar."""

    name: str
    """Parts of the same name have the same colour."""
    value: float
    """Those below zero go to the left of it."""
    hue: Hue


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar and what it is made of."""

    label: str
    parts: Sequence[Part]
    note: str = ""
    """What stands behind it: the sum, for instance."""
    strong: bool = False
    """Whether the label is set in bold."""


def meter(levels: Sequence[Level], whole: float, words: str = "") -> Html:
    """How much of a whole is taken, to be put into a table's cell.

    Args:
        levels: lines above each other, the first of which is thicker.
        whole: what the full width means; where it is not positive, or a value is no number, nothing is drawn.
        words: what stands behind it.
    """
    drawn, top = [], 1.0
    for at, level in enumerate(levels[:4]):
        height = 3.0 if at else 7.0
        part = min(1.0, max(0.0, level.value / whole)) if whole > 0 and is_drawable(level.value) else 0.0
        ground = tag("rect", y=top, width=_METER_WIDTH, height=height, fill="currentColor", opacity=".13")
        taken = tag("rect", y=top, width=part * _METER_WIDTH, height=height, fill=level.hue.value)
        drawn.append(tag("g", tag("title", level.words), ground, taken))
        top += height + 1
    picture = tag(
        "svg",
        tag("title", "; ".join(level.words for level in levels[:4])),
        *drawn,
        width=_METER_WIDTH,
        height=top,
        viewBox=f"0 0 {_METER_WIDTH:.0f} {top:.0f}",
        role="img",
    )
    return tag("span", picture, escape(words), class_="mo-meter")


def bars(
    rows: Sequence[Bar],
    *,
    title: str,
    caption: str = "",
    most: int = 30,
    noun: str = "bars",
    least_high: float = 0.0,
) -> Html:
    """Bars below each other, on one scale that starts at zero.

    Args:
        rows: the bars.
        title: what the picture shows, for those who do not see it.
        caption: what stands above it.
        most: how many are shown; below it says how many are not.
        noun: what a bar is, for that sentence.
        least_high: the scale goes up to this at the least, as for shares of which all is known.
    """
    shown = rows[:most]
    label = min(_LABEL_MOST, max((text_width(row.label, 11.5) for row in shown), default=0.0) + 12)
    behind = min(_NOTE_MOST, max((text_width(row.note) for row in shown), default=0.0) + 12)
    low = min((_reach(row, -1) for row in shown), default=0.0)
    high = max(least_high, max((_reach(row, 1) for row in shown), default=0.0))
    scale = (_WIDTH - label - behind) / ((high - low) or 1.0)
    zero = label - low * scale
    drawn = [_row(row, at * _ROW, label, zero, scale) for at, row in enumerate(shown)]
    height = len(shown) * _ROW + 2
    drawn.append(tag("rect", x=zero - 0.5, width=1, height=height, fill="currentColor", opacity=".4"))
    names = {part.name: part.hue for row in shown for part in row.parts[:12] if part.name}
    left = len(rows) - len(shown)
    return join(
        [
            tag("div", caption, class_="mo-cap") if caption else Html(),
            legend(list(names.items())[:12]) if len(names) > 1 else Html(),
            tag(
                "svg",
                tag("title", title),
                *drawn,
                class_="mo-fig",
                width=_WIDTH,
                height=height,
                viewBox=f"0 0 {_WIDTH:.0f} {height:.0f}",
                role="img",
            ),
            note(f"and {left:,} more {noun}" if left else ""),
        ]
    )


def _values(row: Bar, sign: int) -> list[tuple[float, Part]]:
    parts = [(part.value, part) for part in row.parts[:12] if is_drawable(part.value)]
    return [(value, part) for value, part in parts if value * sign > 0]


def _reach(row: Bar, sign: int) -> float:
    return sum(value for value, _ in _values(row, sign))


def _row(row: Bar, top: float, label: float, zero: float, scale: float) -> Html:
    middle = top + _ROW / 2 + 4
    weight = {"font_weight": "600"} if row.strong else {}
    drawn = [tag("text", tag("title", row.label), fit(row.label, label - 8), x=0, y=middle, **weight)]
    end = zero
    for sign in (-1, 1):
        at = zero
        for value, part in _values(row, sign):
            width = abs(value) * scale
            left = at if sign > 0 else at - width
            words = tag("title", f"{part.name or row.label}: {value:.4g}")
            drawn.append(
                tag(
                    "rect",
                    words,
                    x=left,
                    y=top + (_ROW - _BAR) / 2,
                    width=width,
                    height=_BAR,
                    fill=part.hue.value,
                )
            )
            at += sign * width
        end = max(end, at)
    if row.note:
        drawn.append(tag("text", fit(row.note, _NOTE_MOST - 8), x=end + 6, y=middle, **weight))
    return tag("g", *drawn)
