"""What a simulation gives: the ledger of what happened, and how it came about."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, overload

from minorch.errors import UsageError, brief
from minorch.markup import time_words
from minorch.simulation.results.archive import Archived, digest, pieces, read, read_file, write_file
from minorch.simulation.results.frames import to_frame
from minorch.simulation.results.ledger import Fault, Ledger, RunRecord, SimulatedTask
from minorch.simulation.results.measures import TAU_S
from minorch.simulation.results.summary import Summary, summarise
from minorch.simulation.results.views import result_view

if TYPE_CHECKING:
    import pandas

__all__ = ["Fault", "SimulationResult"]


class SimulationResult:
    """How a simulation went.

    Args:
        ledger: what happened, closed.
        scheduler: what the strategy is called.
        seed: what was drawn at random was drawn from it.
        ended_s: when it ended, in seconds since the beginning.
        counts: how often what happened, by name: ``decisions``, ``plans``, ``preemptions``, ``moves``, ...
        wall_s: how long it took in real time, in seconds.
        planning_s: how much of that was spent in plans.
        faults: what went wrong on purpose.
        refusals: why jobs were refused, in words; the first ones.
        plugin_errors: what the strategy or a filter raised, and for which task; the first ones.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        scheduler: str,
        seed: int,
        ended_s: float,
        counts: Mapping[str, int],
        wall_s: float,
        planning_s: float,
        faults: Sequence[Fault] = (),
        refusals: Sequence[str] = (),
        plugin_errors: Sequence[str] = (),
    ) -> None:
        self.ledger = ledger
        self.scheduler = scheduler
        self.seed = seed
        self.ended_s = ended_s
        self.counts = dict(counts)
        self.wall_s = wall_s
        self.planning_s = planning_s
        self.faults = tuple(faults)
        self.refusals = tuple(refusals)
        self.plugin_errors = tuple(plugin_errors)

    def records(self) -> Iterator[SimulatedTask]:
        """What became of each task, in the order of arrival."""
        return map(self.ledger.record, range(len(self.ledger)))

    def runs(self) -> Iterator[RunRecord]:
        """Every run, in the order in which they began."""
        return map(self.ledger.run, range(len(self.ledger.run_task)))

    def summary(self, *, tau_s: float = TAU_S) -> Summary:
        """The figures of this simulation, to be printed or taken one by one.

        A million tasks take some seconds.

        Args:
            tau_s: the shortest run that counts as such in bounded slowdowns, in seconds.

        Raises:
            UsageError: *tau_s* is not above 0.
        """
        return summarise(
            self.ledger,
            scheduler=self.scheduler,
            seed=self.seed,
            ended_s=self.ended_s,
            counts=self.counts,
            wall_s=self.wall_s,
            planning_s=self.planning_s,
            refusals=self.refusals,
            plugin_errors=self.plugin_errors,
            tau_s=tau_s,
        )

    def to_frame(self, what: Literal["tasks", "runs"] = "tasks") -> pandas.DataFrame:
        """A table for pandas: a row for each task, or for each run of one.

        Times are in seconds since the beginning, and not a number where there are none.  Amounts are in
        cores, bytes and units.

        Args:
            what: ``"tasks"`` or ``"runs"``.

        Raises:
            UsageError: pandas is not installed, or *what* is neither.
        """
        return to_frame(self.ledger, what)

    @overload
    def to_json(self) -> str: ...

    @overload
    def to_json(self, path: str | os.PathLike[str]) -> None: ...

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """Write everything as JSON, that :meth:`from_json` reads.

        A task takes about a hundred bytes.  With a path it is written piece by piece, which needs little
        memory, however many there are.

        Args:
            path: a file to write it to, packed if its name ends in ``.gz``; None: return it.

        Raises:
            OSError: the file cannot be written.
        """
        if path is None:
            return b"".join(pieces(self)).decode()
        write_file(self, path)
        return None

    @classmethod
    def from_json(cls, source: str | bytes | os.PathLike[str]) -> SimulationResult:
        """Read what :meth:`to_json` wrote.

        Args:
            source: the JSON itself, or the path of a file that holds it, packed or not. A text that begins
                with ``{`` is JSON.

        Raises:
            OSError: the file cannot be read.
            UsageError: it is no result, or of another version, or damaged; the message says where.
        """
        if isinstance(source, bytes) or (isinstance(source, str) and source.lstrip()[:1] == "{"):
            found = read(source)
        elif isinstance(source, str | os.PathLike):
            found = read_file(source)
        else:
            raise UsageError(f"from_json() takes JSON or a path, not {brief(source)}")
        return cls._of(found)

    @classmethod
    def _of(cls, found: Archived) -> SimulationResult:
        about = found.about
        return cls(
            found.ledger,
            scheduler=about.scheduler,
            seed=about.seed,
            ended_s=about.ended_s,
            counts=about.counts,
            wall_s=about.wall_s,
            planning_s=about.planning_s,
            faults=about.faults,
            refusals=about.refusals,
            plugin_errors=about.plugin_errors,
        )

    def digest(self) -> str:
        """64 hexadecimal digits that are the same for results that are the same bit for bit.

        Everything counts but how long it took in real time.
        """
        return digest(self)

    def __repr__(self) -> str:
        return (
            f"<SimulationResult: {self.scheduler}, seed {self.seed}, on {len(self.ledger.nodes):,} nodes, "
            f"{len(self.ledger):,} tasks, {time_words(self.ended_s)}>"
        )

    def _repr_html_(self) -> str:
        return result_view(self)
