"""How benchmarks measure and print: medians of alternating rounds, and one JSON document on request."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence

__all__ = ["Figures", "alternate", "paired_ratio", "print_figures"]

Figures = dict[str, float | int | str | None]


def alternate(
    contenders: Mapping[str, Callable[[], float]], rounds: int, say: Callable[[str], None]
) -> dict[str, list[float]]:
    """Run each contender once a round, in turn, so that a slow minute of the machine hits all of them."""
    results: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        for name, run in contenders.items():
            results[name].append(run())
            say(f"round {number}: {name} {results[name][-1]:,.1f}/s")
    return results


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over rounds of ours by theirs."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def print_figures(title: str, figures: Figures, *, as_json: bool) -> None:
    """Print the figures of one run, as a table or as JSON."""
    if as_json:
        print(json.dumps({"benchmark": title, "python": platform.python_version(), **figures}, indent=2))
        return
    print(f"\n{title} (Python {platform.python_version()})")
    width = max(len(name) for name in figures)
    for name, value in figures.items():
        shown = f"{value:,.3f}" if isinstance(value, float) else str(value)
        print(f"  {name.ljust(width)}  {shown}")


def print_rows(title: str, about: Figures, rows: Sequence[Figures], *, as_json: bool) -> None:
    """Print what holds for a whole run, then rows of figures with the same names, as a table or as JSON."""
    if as_json:
        document = {"benchmark": title, "python": platform.python_version(), **about, "rows": list(rows)}
        print(json.dumps(document, indent=2))
        return
    if about:
        print_figures(title, about, as_json=False)
    heads = list(dict.fromkeys(name for row in rows for name in row))
    cells = [heads, *([_cell(row.get(name)) for name in heads] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(heads))]
    print()
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def _cell(value: float | int | str | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    return value or ""
