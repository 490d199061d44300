"""Pictures of plain data: HTML with inline SVG, for notebooks. Nothing here knows what a task or a node is.

Whoever has something to show makes fragments (:func:`table`, :func:`gantt`, :func:`lines`, :func:`bars`,
:func:`meter`, :func:`badge`) and puts them into one :func:`view`, which brings the style.  All text is
escaped, and only :class:`Html` is not, which is what these functions give.  There are no scripts, nothing is
fetched, there are no ids that could clash, and whatever is long is cut, and says so in words.
"""

from minorch.markup.bars import Bar, Level, Part, bars, meter
from minorch.markup.elements import (
    Html,
    Hue,
    badge,
    counts,
    escape,
    hue_of,
    join,
    legend,
    note,
    shorten,
    tag,
    view,
)
from minorch.markup.gantt import Lane, Span, gantt
from minorch.markup.lines import Series, lines
from minorch.markup.scales import number_ticks, number_words, time_ticks, time_words
from minorch.markup.tables import Cell, table

__all__ = [
    "Bar",
    "Cell",
    "Hue",
    "Html",
    "Lane",
    "Level",
    "Part",
    "Series",
    "Span",
    "badge",
    "bars",
    "counts",
    "escape",
    "gantt",
    "hue_of",
    "join",
    "legend",
    "lines",
    "meter",
    "note",
    "number_ticks",
    "number_words",
    "shorten",
    "table",
    "tag",
    "time_ticks",
    "time_words",
    "view",
]
