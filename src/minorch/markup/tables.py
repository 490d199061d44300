"""Rows and columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeAlias

from minorch.markup.elements import Html, escape, join, note, tag

__all__ = ["Cell", "table"]

Cell: TypeAlias = str | int | float | None
"""Text, which is escaped unless it is :class:`Html`; or a number; or nothing."""


def table(
    heading: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    caption: str = "",
    right: Collection[int] = (),
    whole: Collection[int] = (),
    most: int = 60,
    noun: str = "rows",
    sparse: bool = False,
) -> Html:
    """A table.

    Args:
        heading: what stands above each column.
        rows: cells, as many in each row as there are headings.
        caption: what stands above the table.
        right: which columns, from 0, end at the same place; those that hold only numbers do in any case.
        whole: which columns are not broken into lines.
        most: how many rows are shown; below the table it says how many are not.
        noun: what a row is, for that sentence.
        sparse: leave out columns in which there is nothing.
    """
    shown = rows[:most]
    kept = [at for at in range(len(heading)) if not sparse or any(row[at] not in (None, "") for row in shown)]
    classes = [
        "mo-right" if at in right or _is_numeric(shown, at) else "mo-whole" if at in whole else ""
        for at in range(len(heading))
    ]
    head = [_cell("th", heading[at], classes[at], scope="col") for at in kept]
    body = [tag("tr", *(_cell("td", row[at], classes[at]) for at in kept)) for row in shown]
    left = len(rows) - len(shown)
    return join(
        [
            tag("div", caption, class_="mo-cap") if caption else Html(),
            tag(
                "div",
                tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body), class_="mo-table"),
                class_="mo-scroll",
            ),
            note(f"and {left:,} more {noun}" if left else ""),
        ]
    )


def _is_numeric(rows: Sequence[Sequence[Cell]], column: int) -> bool:
    cells = [row[column] for row in rows if row[column] not in (None, "")]
    return bool(cells) and all(isinstance(cell, int | float) for cell in cells)


def _cell(name: str, cell: Cell, class_: str, **attributes: str) -> Html:
    if class_:
        attributes["class_"] = class_
    return tag(name, _words(cell), **attributes)


def _words(cell: Cell) -> Html:
    if isinstance(cell, Html):
        return cell
    if cell is None:
        return Html()
    if isinstance(cell, str):
        return escape(cell)
    return escape(f"{cell:,}" if isinstance(cell, int) else f"{cell:,.4g}")
