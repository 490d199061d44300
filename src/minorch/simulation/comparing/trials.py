"""The runs of a comparison, one by one: made here or in another process, and told in figures."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence

import msgspec

from minorch.errors import InvariantError, MinorchError, PluginError, UsageError, brief
from minorch.simulation.comparing.comparison import ComparedRun
from minorch.simulation.comparing.contestants import Contestant
from minorch.simulation.comparing.criteria import Measure, figure
from minorch.simulation.results.ledger import REASONS
from minorch.simulation.results.result import SimulationResult
from minorch.simulation.simulation import Simulation
from minorch.states import Reason

__all__ = ["Failed", "Plan", "Played"]


class Played(msgspec.Struct):
    """A run that was made."""

    run: ComparedRun
    result: SimulationResult | None


class Failed(msgspec.Struct):
    """A run that failed, as it comes from another process."""

    error: MinorchError
    trace: str


class Plan(msgspec.Struct):
    """What is to be run. A run's key is its number: by seed, and of each seed by scheduler."""

    contestants: tuple[Contestant, ...]
    seeds: tuple[int, ...]
    measures: tuple[Measure, ...]
    keep_results: bool
    until: float | None
    make: Callable[..., Simulation]

    def __len__(self) -> int:
        return len(self.contestants) * len(self.seeds)

    def who(self, key: int) -> str:
        """The run in words."""
        seed, number = divmod(key, len(self.contestants))
        return f'scheduler "{self.contestants[number].name[:200]}", seed {self.seeds[seed]}'

    def play(self, key: int) -> Played:
        """Make a run.

        Raises:
            MinorchError: it failed; the message says which one.
        """
        at, number = divmod(key, len(self.contestants))
        contestant, seed = self.contestants[number], self.seeds[at]
        try:
            simulation = self.make(scheduler=contestant.make(), seed=seed)
            result = simulation.run(self.until)
            _refuse_faults(result)
            result.scheduler = contestant.name
            run = _figures(result, self.measures)
        except (Exception, SystemExit) as error:  # strategies, workloads and measures may raise anything
            raise _told(error, self.who(key)) from error
        return Played(run, result if self.keep_results else None)

    def __call__(self, key: int) -> Played | Failed:
        """Make a run in another process."""
        try:
            return self.play(key)
        except MinorchError as error:
            cause = error.__cause__
            return Failed(error, "".join(traceback.format_exception(cause)) if cause else "")


def _refuse_faults(result: SimulationResult) -> None:
    """See that no plugin failed: a task fails of that, but figures of such a run tell nothing of a strategy.

    Raises:
        PluginError: one did.
    """
    if result.plugin_errors:
        faulty = result.ledger.reason.count(REASONS.index(Reason.PLUGIN_ERROR))
        raise PluginError(f"{faulty} tasks failed by it; {result.plugin_errors[0]}")


def _figures(result: SimulationResult, measures: Sequence[Measure]) -> ComparedRun:
    summary = result.summary()
    figures = summary.figures()
    for measure in measures:
        if measure.of is not None:
            value: object = measure.of(result)
            try:
                figures[measure.name] = float(value)  # type: ignore[arg-type]
            except (TypeError, ValueError):
                raise UsageError(f"measure {measure.name} gave {brief(value)}, which is no number") from None
        figure(figures, measure)
    return ComparedRun(
        scheduler=result.scheduler,
        seed=result.seed,
        figures=figures,
        over=summary.makespan.over,
        wall_s=result.wall_s,
    )


def _told(error: BaseException, who: str) -> MinorchError:
    """The error of one run, as one of a kind that tells whose fault it is, and which run it was."""
    words = (
        f"{who}: {error}" if isinstance(error, MinorchError) else f"{who}: {type(error).__name__}: {error}"
    )
    for kind in (InvariantError, UsageError):
        if isinstance(error, kind):
            return kind(words)
    return PluginError(words)
