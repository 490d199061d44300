"""How something changed over time: lines, or areas on top of each other, above one time axis."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from minorch.markup.elements import Html, Hue, coordinate, join, legend, tag, text_width
from minorch.markup.scales import is_drawable, number_ticks, time_ticks

__all__ = ["Series", "lines"]

_WIDTH: Final = 820.0
_HEIGHT: Final = 180.0
_AXIS: Final = 20.0
_TOP: Final = 22.0
"""Above the highest value is its unit."""
_RIGHT: Final = 26.0
_MOST_SERIES: Final = 8
_MOST_POINTS: Final = 350
"""Of more points than can be told apart, the least and the greatest in each stretch are drawn."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name, its colour, and where it goes."""

    name: str
    points: Sequence[tuple[float, float]]
    """Time in seconds, and value; in the order of time. Those that are no numbers are left out."""
    hue: Hue
    dashed: bool = False


def lines(
    series: Sequence[Series],
    *,
    title: str,
    caption: str = "",
    unit: str = "",
    begin_s: float | None = None,
    end_s: float | None = None,
    high: float | None = None,
    steps: bool = False,
    stacked: bool = False,
) -> Html:
    """A chart of values over time. The axis of values begins at 0, or below if one is below.

    Args:
        series: the lines, eight at most.
        title: what the picture shows, for those who do not see it.
        caption: what stands above it.
        unit: what the values are, at the top of their axis.
        begin_s: the time at the left edge, in seconds; None: that of the first point.
        end_s: the time at the right edge; None: that of the last point.
        high: the value at the upper edge, if none is higher; None: the highest.
        steps: whether a value holds until the next one.
        stacked: whether values add up, and are drawn as areas. They are then steps, and 0 or above.
    """
    shown = [_finite(one) for one in series[:_MOST_SERIES]]
    times = [time for one in shown for time, _ in one]
    begin_s = min(times, default=0.0) if begin_s is None else begin_s
    end_s = max(times, default=begin_s) if end_s is None else end_s
    if not end_s - begin_s > 0:
        end_s = begin_s + max(1.0, abs(begin_s) * 1e-6)
    if stacked:
        shown = _stacked(shown, begin_s, end_s)
    else:
        shown = [_thinned(_within(points, begin_s, end_s), begin_s, end_s) for points in shown]
    values = [value for one in shown for _, value in one]
    top = max([*values, high or 0.0, 0.0])
    low = min([*values, 0.0])
    if not top - low > 0:
        top = low + 1.0
    plot = _Plot(begin_s, end_s, low, top)
    drawn = []
    for at in reversed(range(len(shown))):  # of stacked areas the highest reaches behind all others
        path = plot.path(shown[at], steps=steps or stacked)
        drawn.append(_area(plot, path, series[at]) if stacked else _line(path, series[at]))
    return join(
        [
            tag("div", caption, class_="mo-cap") if caption else Html(),
            legend([(one.name, one.hue) for one in series[:_MOST_SERIES]]) if len(series) > 1 else Html(),
            tag(
                "svg",
                tag("title", title),
                plot.axes(unit),
                *drawn,
                class_="mo-fig",
                width=_WIDTH,
                height=_HEIGHT,
                viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
                role="img",
            ),
        ]
    )


class _Plot:
    """Where times and values are on the picture."""

    def __init__(self, begin_s: float, end_s: float, low: float, high: float) -> None:
        self.begin_s, self.end_s, self.low, self.high = begin_s, end_s, low, high
        self.ticks = number_ticks(high, low, most=4)
        self.left = max(text_width(words) for _, words in self.ticks) + 10
        self.bottom = _HEIGHT - _AXIS - 2

    def x(self, time_s: float) -> float:
        part = (time_s - self.begin_s) / (self.end_s - self.begin_s)
        return self.left + min(1.0, max(0.0, part)) * (_WIDTH - _RIGHT - self.left)

    def y(self, value: float) -> float:
        part = (value - self.low) / (self.high - self.low)
        return self.bottom - min(1.0, max(0.0, part)) * (self.bottom - _TOP)

    def path(self, points: Sequence[tuple[float, float]], *, steps: bool) -> str:
        words: list[str] = []
        for time_s, value in points:
            x, y = coordinate(self.x(time_s)), coordinate(self.y(value))
            if not words:
                words.append(f"M{x} {y}")
            else:
                words.append(f"H{x}V{y}" if steps else f"L{x} {y}")
        return "".join(words)

    def axes(self, unit: str) -> Html:
        drawn, labels = [], []
        for value, words in self.ticks:
            y = self.y(value)
            drawn.append(
                tag(
                    "rect",
                    x=self.left,
                    y=y - 0.5,
                    width=_WIDTH - _RIGHT - self.left,
                    height=1,
                    fill="currentColor",
                )
            )
            labels.append(tag("text", words, x=self.left - 6, y=y + 4, text_anchor="end"))
        for time_s, words in time_ticks(self.end_s - self.begin_s):
            x = self.x(self.begin_s + time_s)
            drawn.append(tag("rect", x=x - 0.5, y=self.bottom, width=1, height=4, fill="currentColor"))
            labels.append(tag("text", words, x=x, y=self.bottom + 16, text_anchor="middle"))
        if unit:
            labels.append(tag("text", unit, x=0, y=10))
        return join([tag("g", *drawn, opacity=".18"), tag("g", *labels, opacity=".72")])


def _line(path: str, one: Series) -> Html:
    dashes = {"stroke_dasharray": "5 3"} if one.dashed else {}
    return tag(
        "path",
        tag("title", one.name),
        d=path,
        fill="none",
        stroke=one.hue.value,
        stroke_width="1.8",
        stroke_linejoin="round",
        **dashes,
    )


def _area(plot: _Plot, path: str, one: Series) -> Html:
    ground = coordinate(plot.y(0.0))
    closed = f"{path}V{ground}H{coordinate(plot.left)}Z" if path else ""
    return tag("path", tag("title", one.name), d=closed, fill=one.hue.value)


def _finite(one: Series) -> list[tuple[float, float]]:
    return [(time_s, value) for time_s, value in one.points if is_drawable(time_s) and is_drawable(value)]


def _within(points: Sequence[tuple[float, float]], begin_s: float, end_s: float) -> list[tuple[float, float]]:
    """The points between two times, and the value that holds at the first."""
    first = max(0, bisect.bisect_right(points, begin_s, key=lambda point: point[0]) - 1)
    return [point for point in points[first:] if point[0] <= end_s]


def _thinned(
    points: Sequence[tuple[float, float]], begin_s: float, end_s: float
) -> list[tuple[float, float]]:
    """Of each of so many stretches of time, the first point, the least, the greatest and the last."""
    if len(points) <= _MOST_POINTS:
        return list(points)
    stretches: dict[int, list[tuple[float, float]]] = {}
    for point in points:
        at = int((point[0] - begin_s) / (end_s - begin_s) * (_MOST_POINTS // 4))
        stretches.setdefault(at, []).append(point)
    kept: list[tuple[float, float]] = []
    for stretch in stretches.values():
        least, greatest = (choose(stretch, key=lambda point: point[1]) for choose in (min, max))
        chosen = sorted([stretch[0], least, greatest, stretch[-1]], key=lambda point: point[0])
        kept += [point for at, point in enumerate(chosen) if at == 0 or point != chosen[at - 1]]
    return kept


def _stacked(
    series: Sequence[Sequence[tuple[float, float]]], begin_s: float, end_s: float
) -> list[list[tuple[float, float]]]:
    """Each series on top of those before it, at the same times for all, up to the end."""
    times = sorted({time_s for points in series for time_s, _ in points if begin_s < time_s < end_s})
    if len(times) > _MOST_POINTS:
        times = [begin_s + (end_s - begin_s) * at / _MOST_POINTS for at in range(1, _MOST_POINTS)]
    times = [begin_s, *times, end_s]
    below = [0.0] * len(times)
    stacked = []
    for points in series:
        starts = [time_s for time_s, _ in points]
        for at, time_s in enumerate(times):
            found = bisect.bisect_right(starts, time_s) - 1
            below[at] += max(0.0, points[found][1]) if found >= 0 else 0.0
        stacked.append(list(zip(times, below, strict=True)))
    return stacked
