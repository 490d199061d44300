"""The Trace: a recorded workload that is read anew each time, and what was found while reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from minorch.errors import TraceError
from minorch.model import Node
from minorch.simulation.workloads.arrivals import Arrival

__all__ = ["Reading", "Trace"]

_MOST_TOLD: Final = 100


class Reading:
    """What one reading of a trace has found so far.

    Args:
        strict: raise what is malformed, instead of counting it.
    """

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.lines = 0
        """How many lines with data there were."""
        self.arrivals = 0
        self.skipped = 0
        """How many lines, or jobs of several lines, were malformed."""
        self.problems: list[TraceError] = []
        """The first 100 of what was malformed."""
        self.left_out: dict[str, int] = {}
        self.unfinished = 0
        self.unfinished_names: list[str] = []

    def problem(self, path: Path | str, line: int | None, words: str) -> None:
        """Something is malformed.

        Raises:
            TraceError: this is a strict reading.
        """
        error = TraceError(words, str(path), line)
        if self.strict:
            raise error
        self.skipped += 1
        if len(self.problems) < _MOST_TOLD:
            self.problems.append(error)

    def leave_out(self, why: str) -> None:
        """Something is well formed, and gives no arrival."""
        self.left_out[why] = self.left_out.get(why, 0) + 1

    def not_ended(self, name: str) -> None:
        """The end of something is not in the trace; it runs until it is stopped."""
        self.unfinished += 1
        if len(self.unfinished_names) < _MOST_TOLD:
            self.unfinished_names.append(name)


class Trace:
    """A recorded workload: arrivals in the order of time, read anew from its file by each iteration.

    It is a workload as it stands: ``Simulation(workload=trace, nodes=trace.nodes)``.  What was found on the
    way is that of the latest reading, and complete when that has come to its end.

    Args:
        paths: its files; none: it is in memory.
        read: reads the arrivals, and notes what it finds.
        nodes: the machines, where the trace has them.
        node_problems: what was skipped of them.
        strict: whether malformed lines raise.
        most: how many arrivals to read at most; None: all.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        read: Callable[[Reading], Iterator[Arrival]],
        *,
        nodes: Sequence[Node] = (),
        node_problems: Sequence[TraceError] = (),
        strict: bool = True,
        most: int | None = None,
    ) -> None:
        self.paths = tuple(paths)
        self.nodes = list(nodes)
        """The machines; none: the trace does not tell them."""
        self.strict = strict
        self._read = read
        self._most = most
        self.node_problems = tuple(node_problems)
        """What was skipped of the list of machines: the first 100."""
        self._reading = Reading(strict)

    @property
    def path(self) -> Path | None:
        """Its file, the first one of several; None: it is in memory."""
        return self.paths[0] if self.paths else None

    def __iter__(self) -> Iterator[Arrival]:
        """Read it from the beginning.

        Raises:
            TraceError: something is malformed and this is strict; or there is no arrival in it.
            OSError: a file cannot be read.
        """
        reading = self._reading = Reading(self.strict)
        return self._arrivals(reading)

    def _arrivals(self, reading: Reading) -> Iterator[Arrival]:
        for arrival in islice(self._read(reading), self._most):
            reading.arrivals += 1
            yield arrival
        if not reading.arrivals and self._most != 0:
            raise TraceError(_empty(reading), str(self.path or "the recording"))

    def first(self, arrivals: int) -> Trace:
        """The same trace, up to so many arrivals."""
        most = arrivals if self._most is None else min(arrivals, self._most)
        return Trace(
            self.paths,
            self._read,
            nodes=self.nodes,
            node_problems=self.node_problems,
            strict=self.strict,
            most=max(0, most),
        )

    @property
    def lines(self) -> int:
        """How many lines with data, rows or events were read, headings and comments not counted."""
        return self._reading.lines

    @property
    def arrivals(self) -> int:
        """How many arrivals they gave."""
        return self._reading.arrivals

    @property
    def skipped(self) -> int:
        """How many were skipped because they are malformed.

        A job of several lines counts once if its lines do not fit together.
        """
        return self._reading.skipped

    @property
    def problems(self) -> Sequence[TraceError]:
        """The first 100 of those, with file and line."""
        return tuple(self._reading.problems)

    @property
    def left_out(self) -> Mapping[str, int]:
        """How many were well formed and gave no arrival, by why."""
        return dict(self._reading.left_out)

    @property
    def unfinished(self) -> int:
        """How many tasks have no end in the trace. In a simulation they run until they are stopped."""
        return self._reading.unfinished

    @property
    def unfinished_names(self) -> Sequence[str]:
        """The first 100 of those."""
        return tuple(self._reading.unfinished_names)

    def __repr__(self) -> str:
        where = str(self.path) if self.path else "in memory"
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return f"<Trace {where}{more}: {self.arrivals} arrivals read, {self.skipped} skipped>"


def _empty(reading: Reading) -> str:
    words = "the trace is empty: no job in it arrives"
    if reading.skipped:
        words += f"; {reading.skipped:,} lines were malformed, the first: {reading.problems[0]}"
    if reading.left_out:
        words += f"; left out: {', '.join(f'{count:,} {why}' for why, count in reading.left_out.items())}"
    return words
