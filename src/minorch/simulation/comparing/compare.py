"""Runs schedulers on the same workloads, several at a time, and compares how they did."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from numbers import Integral
from typing import Final, Literal

from minorch.builtins import default_registry
from minorch.errors import RuntimeFault, UsageError, brief, did_you_mean
from minorch.manager import ManagerConfig
from minorch.model import Node
from minorch.plugins import Registry, choose_filters
from minorch.progress import Progress, ProgressLike, show_progress
from minorch.scheduling import CustomFilter
from minorch.simulation.comparing.comparison import Comparison
from minorch.simulation.comparing.contestants import ContestantLike, choose_contestants
from minorch.simulation.comparing.criteria import Measure, choose_measures
from minorch.simulation.comparing.other_processes import (
    CannotTravel,
    WorkerDied,
    in_processes,
    loky_is_installed,
    packed,
    usable_cores,
)
from minorch.simulation.comparing.trials import Failed, Plan, Played
from minorch.simulation.faults import Faults
from minorch.simulation.models import Model
from minorch.simulation.settings import checked_nodes
from minorch.simulation.simulation import Simulation
from minorch.simulation.workloads.arrivals import Workload
from minorch.worker import WorkerConfig

__all__ = ["compare"]

_log = logging.getLogger("minorch.simulation")

_MOST_SEEDS: Final = 10_000
_MOST_PROCESSES: Final = 1_000


def compare(
    schedulers: Sequence[ContestantLike] | Mapping[str, ContestantLike],
    *,
    workload: Workload,
    nodes: Sequence[Node],
    seeds: Iterable[int] = range(10),
    processes: int | None = None,
    progress: ProgressLike = None,
    baseline: str | None = None,
    measures: Sequence[str | Measure] | None = None,
    keep_results: bool = False,
    until: float | None = None,
    model: Model | None = None,
    faults: Faults | None = None,
    start_s: float = 0.0,
    turn_s: float = 0.0,
    scheduler_s: float | Literal["measured"] = 0.0,
    measure_every_s: float | None = None,
    filters: Sequence[str | CustomFilter] = (),
    registry: Registry | None = None,
    manager_config: ManagerConfig | None = None,
    worker_config: WorkerConfig | None = None,
) -> Comparison:
    """Run each scheduler with each seed, and compare how they did.

    Runs with the same seed have the same workload and the same faults, whatever the scheduler, and are
    compared with each other.  They are made in several processes if loky is installed (``pip install
    "minorch[compare]"``), from a notebook and from a script alike: what is defined there is sent along, and
    the script is not imported again.  The figures are the same in any number of processes, but for those of
    real time.

    Args:
        schedulers: what to compare: names, :class:`~minorch.Scheduler` objects or classes, other functions
            without arguments that make a scheduler, and functions ``cost(task, node)``; or any of these by
            a name of your own. An object is copied for each run.
        workload: what arrives: best a function that is given the seed and returns arrivals, so that each
            seed is another workload. What can be read only once is refused.
        nodes: the machines.
        seeds: with which to run each scheduler. About ten are needed to tell small differences from chance.
        processes: how many runs are made at once; None: one for each core that may be used. 1: one after
            another in this process.
        progress: True: a bar (``pip install "minorch[progress]"``); None: one if somebody watches.
        baseline: the name of the scheduler with which the others are compared; None: by measure, the one that
            comes out best, with more caution.
        measures: by what to compare: names of figures, or :class:`~minorch.simulation.Measure`; None: waits,
            slowdown, makespan, cores reserved, unplaced, preemptions.
        keep_results: whether each run's whole result is kept in ``comparison.results``.
        until: until when each simulation runs, in seconds; see :meth:`Simulation.run`.
        model: this and the others as for :class:`~minorch.simulation.Simulation`.
        faults: what goes wrong.
        start_s: how long a node takes to start a task, in seconds.
        turn_s: for how long the manager gathers what comes, in seconds.
        scheduler_s: virtual time charged for each placement, in seconds, or ``"measured"``.
        measure_every_s: how often workers measure their nodes, in seconds.
        filters: filters of one's own.
        registry: where names are looked up.
        manager_config: the manager's waits and bounds.
        worker_config: the workers'.

    Raises:
        UnknownPlugin: nothing of a given name is registered.
        UsageError: an argument makes no sense, or a workload does; the message says which, and in the latter
            case with which scheduler and seed.
        PluginError: a strategy failed, or something else that was given to be called; the message says with
            which scheduler and seed.
        RuntimeFault: the process of a run died, also when it ran alone.
    """
    began = time.perf_counter()
    registry = registry if registry is not None else default_registry(installed=True)
    contestants = choose_contestants(schedulers, registry)
    names = [one.name for one in contestants]
    if baseline is not None and baseline not in names:
        hint = did_you_mean(str(baseline), names) or f"; there are {', '.join(names)}"
        raise UsageError(f'baseline: no scheduler is called "{str(baseline)[:70]}"{hint}')
    if not callable(workload) and isinstance(workload, Iterator):
        raise UsageError(
            "workload= can be read only once, and each run reads it; give a list, or a function that returns "
            "it: workload=lambda seed: ..."
        )
    nodes = checked_nodes(nodes)  # each run reads them
    plan = Plan(
        contestants,
        _checked_seeds(seeds),
        choose_measures(measures),
        keep_results,
        until,
        partial(
            Simulation,
            workload=workload,
            nodes=nodes,
            model=model,
            faults=faults,
            start_s=start_s,
            turn_s=turn_s,
            scheduler_s=scheduler_s,
            measure_every_s=measure_every_s,
            filters=list(choose_filters(filters, registry).values()),
            manager_config=manager_config,
            worker_config=worker_config,
        ),
    )
    with show_progress(progress, "compare", "runs") as shown:
        played, how = _play_all(plan, processes, shown)
    runs = [played[key] for key in sorted(played, key=lambda key: (key % len(names), key))]
    took_s = time.perf_counter() - began
    notes = [f"{len(runs):,} runs in {took_s:.1f} s, {how}."]
    if not callable(workload):
        notes.append(
            "The workload is the same for every seed: seeds change only what strategies and faults draw. "
            "Nothing is said about other workloads; for that, give a function of the seed."
        )
    return Comparison(
        [one.run for one in runs],
        schedulers=names,
        seeds=plan.seeds,
        measures=plan.measures,
        baseline=baseline,
        notes=notes,
        results={(one.run.scheduler, one.run.seed): one.result for one in runs if one.result is not None},
    )


def _checked_seeds(seeds: object) -> tuple[int, ...]:
    if not isinstance(seeds, Iterable) or isinstance(seeds, str):
        raise UsageError(f"seeds={brief(seeds)}: write a list of whole numbers, such as range(10)")
    found: dict[int, None] = {}
    for one in seeds:
        if isinstance(one, bool) or not isinstance(one, Integral):  # numpy's are Integral, too
            raise UsageError(f"seeds= takes whole numbers, not {brief(one)}")
        seed = int(one)
        if seed in found:
            raise UsageError(f"seeds= names {seed} twice: the same run again tells nothing")
        found[seed] = None
        if len(found) > _MOST_SEEDS:
            raise UsageError(f"seeds= takes {_MOST_SEEDS:,} at most")
    if not found:
        raise UsageError("seeds=[]: with which seeds?")
    return tuple(found)


# -- all runs -----------------------------------------------------------------------------------


def _play_all(plan: Plan, processes: int | None, progress: Progress) -> tuple[dict[int, Played], str]:
    """Make all runs; say in words how."""
    count, why_not = _process_count(processes, len(plan))
    played: dict[int, Played] = {}
    progress.update(0, len(plan))
    how = f"in {count} processes"
    if count > 1:
        try:
            work = packed(plan)
            try:
                _play_there(plan, work, range(len(plan)), count, played, progress)
            except WorkerDied as death:
                _log.warning("a process died (%s); the runs that are left are made one by one", death)
                how += ", until one died; from then on each in a process of its own"
                _play_alone(plan, work, played, progress)
        except CannotTravel as error:
            why_not = f"something that was given cannot be sent to another process ({error})"
            _log.warning("runs are made one after another: %s", why_not)
    if len(played) < len(plan):
        how = f"one after another in this process: {why_not}"
        for key in range(len(plan)):
            if key not in played:
                played[key] = plan.play(key)
                progress.update(len(played), len(plan), plan.who(key))
    return played, how


def _process_count(wanted: object, runs: int) -> tuple[int, str]:
    """How many processes there are to be, and why there is only one, if so.

    Raises:
        UsageError: that is no number of processes.
    """
    if wanted is not None and (isinstance(wanted, bool) or not isinstance(wanted, int)):
        raise UsageError(f"processes={brief(wanted)} is no number of processes")
    if isinstance(wanted, int) and not 1 <= wanted <= _MOST_PROCESSES:
        raise UsageError(f"processes={brief(wanted)}: from 1 to {_MOST_PROCESSES:,}")
    if wanted == 1:
        return 1, "processes=1"
    if runs == 1:
        return 1, "there is only one"
    if not loky_is_installed():
        why = 'loky is not installed; pip install "minorch[compare]"'
        _log.warning("runs are made one after another: %s", why)
        return 1, why
    count = min(wanted if isinstance(wanted, int) else usable_cores(), runs)
    return count, "there is one core" if count == 1 else ""


def _play_there(
    plan: Plan,
    work: bytes,
    keys: Sequence[int],
    processes: int,
    played: dict[int, Played],
    progress: Progress,
) -> None:
    """Make some runs in other processes.

    Raises:
        MinorchError: one failed.
        CannotTravel: none can be made there.
        WorkerDied: a process died.
    """
    with closing(in_processes(work, keys, processes)) as outcomes:
        for key, outcome in outcomes:
            if isinstance(outcome, Failed):
                if outcome.trace:
                    outcome.error.add_note(f"In the process of that run:\n\n{outcome.trace}")
                raise outcome.error
            assert isinstance(outcome, Played)
            played[key] = outcome
            progress.update(len(played), len(plan), plan.who(key))


def _play_alone(plan: Plan, work: bytes, played: dict[int, Played], progress: Progress) -> None:
    """Make the runs that are left one by one, each in a process of its own, so that one that dies is known.

    Raises:
        RuntimeFault: one died.
    """
    for key in [key for key in range(len(plan)) if key not in played]:
        try:
            _play_there(plan, work, [key], 1, played, progress)
        except WorkerDied as death:
            raise RuntimeFault(
                f"{plan.who(key)}: the process that made this run died, although it ran alone ({death}). "
                "If it was killed for want of memory, simulate less."
            ) from death
