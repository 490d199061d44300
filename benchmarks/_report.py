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
