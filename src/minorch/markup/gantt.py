"""What went on when: lanes below each other, with spans of time in them, above one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from minorch.markup.elements import Html, Hue, fit, join, legend, note, tag, text_width
from minorch.markup.scales import is_drawable, time_ticks, time_words

__all__ = ["Lane", "Span", "gantt"]

_WIDTH: Final = 820.0
_LANE: Final = 20.0
_BAR: Final = 13.0
_THIN: Final = 3.0
_AXIS: Final = 20.0
_LABEL_MOST: Final = 190.0
_NOTE_MOST: Final = 170.0
_MOST_SPANS: Final = 1500
"""More are drawn together until a picture has so many at most: it stays below 300 kB."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasted."""

    begin_s: float
    end_s: float | None
    """None: it still lasts, to the end of the picture."""
    hue: Hue
    words: str = ""
    """What it was, for who points at it. How long it took, or since when it lasts, is added."""
    label: str = ""
    """What is written on it, if there is room."""
    thin: bool = False
    """Whether it is only a line: for waiting, behind what counts."""


@dataclass(frozen=True, slots=True)
class Lane:
    """What goes on a line. Spans that overlap are drawn over each other, later ones above."""

    label: str
    spans: Sequence[Span]
    note: str = ""
    """What stands behind it."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where times are on the picture."""

    left: float
    right: float
    begin_s: float
    end_s: float

    def x(self, time_s: float) -> float:
        part = (time_s - self.begin_s) / (self.end_s - self.begin_s)
        return self.left + min(1.0, max(0.0, part)) * (self.right - self.left)


def gantt(
    lanes: Sequence[Lane],
    *,
    title: str,
    caption: str = "",
    begin_s: float | None = None,
    end_s: float | None = None,
    keys: Sequence[tuple[str, Hue]] = (),
    most: int = 40,
    noun: str = "lanes",
) -> Html:
    """Lanes above a time axis, which counts from the left edge.

    Args:
        lanes: top to bottom.
        title: what the picture shows, for those who do not see it.
        caption: what stands above it.
        begin_s: the time at the left edge, in seconds; None: the first that anything begins at.
        end_s: the time at the right edge; None: the last that anything begins or ends at.
        keys: what the colours mean.
        most: how many lanes are shown; below it says how many are not.
        noun: what a lane is, for that sentence.
    """
    shown = lanes[:most]
    frame = _frame(shown, begin_s, end_s)
    height = len(shown) * _LANE + _AXIS + 2
    total = sum(len(lane.spans) for lane in shown)
    grain = 0.0 if total <= _MOST_SPANS else max(1.0, len(shown) * (frame.right - frame.left) / _MOST_SPANS)
    drawn = [_axis(frame, height - _AXIS)]
    drawn += [_lane(lane, at * _LANE + 1, frame, grain) for at, lane in enumerate(shown)]
    left = len(lanes) - len(shown)
    remarks = [f"and {left:,} more {noun}"] if left else []
    remarks += [f"{total:,} spans: those that lie together are drawn as one"] if grain else []
    return join(
        [
            tag("div", caption, class_="mo-cap") if caption else Html(),
            legend(keys),
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
            note("; ".join(remarks)),
        ]
    )


def _frame(lanes: Sequence[Lane], begin_s: float | None, end_s: float | None) -> _Frame:
    times = [time for lane in lanes for span in lane.spans for time in (span.begin_s, span.end_s)]
    known = [time for time in times if time is not None and is_drawable(time)]
    begin_s = min(known, default=0.0) if begin_s is None else begin_s
    end_s = max(known, default=begin_s) if end_s is None else end_s
    if not end_s - begin_s > 0:
        end_s = begin_s + max(1.0, abs(begin_s) * 1e-6)
    left = min(_LABEL_MOST, max((text_width(lane.label) for lane in lanes), default=0.0) + 12)
    right = min(_NOTE_MOST, max((text_width(lane.note) for lane in lanes), default=0.0) + 8)
    return _Frame(left, _WIDTH - max(right, 26.0), begin_s, end_s)


def _axis(frame: _Frame, bottom: float) -> Html:
    drawn = [
        tag("rect", x=frame.left, y=bottom, width=frame.right - frame.left, height=1, fill="currentColor")
    ]
    labels = []
    for time_s, words in time_ticks(frame.end_s - frame.begin_s):
        x = frame.x(frame.begin_s + time_s)
        drawn.append(tag("rect", x=x - 0.5, y=0, width=1, height=bottom + 4, fill="currentColor"))
        labels.append(tag("text", words, x=x, y=bottom + 16, text_anchor="middle", opacity=".72"))
    return tag("g", tag("g", *drawn, opacity=".18"), *labels)


def _lane(lane: Lane, top: float, frame: _Frame, grain: float) -> Html:
    middle = top + _LANE / 2
    drawn = [tag("text", tag("title", lane.label), fit(lane.label, frame.left - 8), x=0, y=middle + 4)]
    thin = [span for span in lane.spans if span.thin]
    thick = [span for span in lane.spans if not span.thin]
    for spans, height in ((thin, _THIN), (thick, _BAR)):
        for left, right, span, count in _merged(spans, frame, grain):
            drawn.append(_span(span, left, right, middle - height / 2, height, frame, count))
    if lane.note:
        words = fit(lane.note, _WIDTH - frame.right - 6)
        drawn.append(tag("text", tag("title", lane.note), words, x=frame.right + 8, y=middle + 4))
    return tag("g", *drawn)


def _merged(spans: Sequence[Span], frame: _Frame, grain: float) -> list[tuple[float, float, Span, int]]:
    """Where each span is, and how many others it stands for, as no two begin closer than *grain* pixels."""
    placed: list[tuple[float, float, Span, int]] = []
    for span in spans:
        end_s = frame.end_s if span.end_s is None else span.end_s
        if not (is_drawable(span.begin_s) and is_drawable(end_s)):
            continue
        left, right = frame.x(span.begin_s), frame.x(max(end_s, span.begin_s))
        placed.append((left, max(right, left + 1.5), span, 1))
    if not grain:
        return placed
    placed.sort(key=lambda one: one[0])
    kept: list[tuple[float, float, Span, int]] = []
    for left, right, span, count in placed:
        if kept and left - kept[-1][0] < grain:
            begun, reached, first, more = kept[-1]
            longer = span if right - left > reached - begun else first
            kept[-1] = (begun, max(reached, right), longer, more + count)
        else:
            kept.append((left, right, span, count))
    return kept


def _span(
    span: Span, left: float, right: float, top: float, height: float, frame: _Frame, count: int
) -> Html:
    if span.end_s is None:
        lasted = f"since {time_words(span.begin_s - frame.begin_s)}"
    else:
        lasted = time_words(max(0.0, span.end_s - span.begin_s))
    words = f"{span.words}, {lasted}" if span.words else lasted
    words += f", and {count - 1:,} more" if count > 1 else ""
    box = tag(
        "rect",
        tag("title", words),
        x=left,
        y=top,
        width=right - left,
        height=height,
        rx=0 if span.thin else min(2.0, (right - left) / 2),
        fill=span.hue.value,
        opacity=".7" if span.thin else "1",
    )
    if span.thin or not span.label or text_width(span.label, 10) > right - left - 8:
        return box
    style = f"fill:{span.hue.ink};font-size:10px"
    label = tag("text", span.label, x=left + 4, y=top + height / 2 + 3.5, style=style, pointer_events="none")
    return join([box, label])
