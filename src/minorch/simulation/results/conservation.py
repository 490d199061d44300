"""What must be so in every ledger, whatever happened: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import mul, sub
from typing import TYPE_CHECKING

from minorch.errors import InvariantError
from minorch.simulation.results.ledger import ENDINGS, REASONS, Ending, Ledger
from minorch.simulation.results.occupancy import Occupancy
from minorch.simulation.results.usage import Timeline

if TYPE_CHECKING:
    from minorch.simulation.results.result import SimulationResult

__all__ = ["check", "check_columns"]


def check(result: SimulationResult) -> None:
    """See that a result adds up.

    - Every task that arrived is in just one bucket, has as many runs as are listed, and first ran when the
      first of them began; what was refused, never ran; what completed, ran, and for no shorter than nothing.
    - No run began before its task arrived, or ended before it began, or outlasted the simulation.
    - Busy time adds up: all runs by themselves, and the number of those that run, over time, give the same.
    - No node had more reserved, or held more tasks, than it can; but for nodes that were cut off, of which
      the manager cannot know for a while what still runs there.

    Raises:
        InvariantError: one of these does not hold; the message tells which, and of what.
    """
    ledger = result.ledger
    check_columns(ledger)
    for row in range(len(ledger)):
        _check_task(ledger, row)
    _check_runs(ledger, result.ended_s)
    timeline = Timeline(ledger, result.ended_s)
    _check_busy(timeline)
    cut = {fault.node: fault.began_s for fault in reversed(result.faults) if fault.kind == "cut"}
    _check_capacity(timeline, cut)


def _require(holds: bool, *words: object) -> None:
    if not holds:
        raise InvariantError(" ".join(map(str, words)))


def check_columns(ledger: Ledger) -> None:
    """See that columns fit together and hold no row that is not there.

    Raises:
        InvariantError: they do not.
    """
    tasks, runs = ledger.columns()
    for kind, columns in (("tasks", tasks), ("runs", runs)):
        lengths = {name: len(column) for name, column in columns.items()}
        _require(len(set(lengths.values())) <= 1, f"columns of {kind} of different lengths:", lengths)
    strangers = sorted({*ledger.ending} - set(range(len(ENDINGS))))
    _require(not strangers, "no such endings:", strangers)
    strangers = sorted({*ledger.reason} - set(range(len(REASONS))))
    _require(not strangers, "no such reasons:", strangers)
    for name, numbers, most in (
        ("requested", ledger.requested, len(ledger.shapes)),
        ("used", ledger.used, len(ledger.shapes)),
        ("run_task", ledger.run_task, len(ledger)),
        ("run_node", ledger.run_node, len(ledger.nodes)),
    ):
        bad = [number for number in _extremes(numbers) if not 0 <= number < most]
        _require(not bad, f"{name} holds a row that is not there:", bad)
    told = Counter(ledger.run_task)
    for row, runs_told in enumerate(ledger.runs):
        if told[row] != runs_told:
            raise InvariantError(f"{told[row]} runs, and {runs_told} counted: {_story(ledger, row)}")
    ended = [run for run, ended_s in enumerate(ledger.run_ended_s) if not math.isnan(ended_s)]
    _require(sorted(ledger.ends) == ended, "the runs that ended are not those that have an end")


def _extremes(numbers: Sequence[int]) -> Sequence[int]:
    return [min(numbers), max(numbers)] if numbers else []


def _check_task(ledger: Ledger, row: int) -> None:
    ending, runs, last = ENDINGS[ledger.ending[row]], ledger.runs[row], ledger.last_run[row]
    arrived, started, finished = ledger.arrived_s[row], ledger.started_s[row], ledger.finished_s[row]
    over = ending not in (Ending.RUNNING, Ending.WAITING)
    holds = (
        over == (not math.isnan(finished))
        and not finished < arrived
        and not started < arrived
        and not finished < started
        and (runs > 0) == (not math.isnan(started)) == (last >= 0)
        and (last < 0 or ledger.run_task[last] == row)
        and (runs > 0 or ending not in (Ending.RUNNING, Ending.COMPLETED))
        and (runs == 0 or ending is not Ending.REFUSED)
        and (ending is not Ending.RUNNING or math.isnan(ledger.run_ended_s[last]))
    )
    if not holds:
        raise InvariantError(f"this cannot be: {_story(ledger, row)}")


def _check_runs(ledger: Ledger, simulation_ended_s: float) -> None:
    first = array("d", [math.nan]) * len(ledger)
    for run, (task, began, ended) in enumerate(
        zip(ledger.run_task, ledger.run_began_s, ledger.run_ended_s, strict=True)
    ):
        if not ledger.arrived_s[task] <= began or ended < began:
            raise InvariantError(f"run {run}, from {began} s to {ended} s, cannot be: {_story(ledger, task)}")
        if began > simulation_ended_s or ended > simulation_ended_s:
            raise InvariantError(
                f"run {run}, from {began} s to {ended} s, outlasts the simulation, which ended at "
                f"{simulation_ended_s} s: {_story(ledger, task)}"
            )
        first[task] = min(first[task], began) if first[task] == first[task] else began
    for row, (began, started) in enumerate(zip(first, ledger.started_s, strict=True)):
        if began != started and not (math.isnan(began) and math.isnan(started)):
            raise InvariantError(f"the first run began at {began} s: {_story(ledger, row)}")


def _check_busy(timeline: Timeline) -> None:
    """The time of all runs, once added up run by run and once as how many run from moment to moment."""
    times_s = timeline.times_s
    running = array("l")
    now = 0
    for event in timeline.events:
        now += 1 if event >= 0 else -1
        running.append(now)
    last_s = times_s[-1] if times_s else 0.0
    steps: Iterable[float] = map(sub, times_s[1:], times_s)
    over_time = math.fsum(map(mul, running, steps)) + now * (timeline.ended_s - last_s)
    open_runs = len(timeline.ledger.run_task) - len(timeline.ledger.ends)
    _require(now == open_runs, f"{open_runs} runs have no end, and {now} run at the end")
    _require(
        math.isclose(over_time, timeline.busy_s, rel_tol=1e-9, abs_tol=1e-6),
        f"busy time does not add up: {timeline.busy_s} s by run, {over_time} s over time",
    )


def _check_capacity(timeline: Timeline, cut: dict[str, float]) -> None:
    """No node holds more than it can; *cut*: by node, when it was first cut off."""
    ledger, occupancy = timeline.ledger, Occupancy(timeline)
    packing, free, node_of = occupancy.packing, occupancy.free, ledger.run_node
    for run in occupancy.play(math.inf):
        number = node_of[run]
        if packing.covered(free[number]):
            continue
        node, now_s = ledger.nodes[number], ledger.run_began_s[run]
        if not timeline.lengths_s[run] or now_s >= cut.get(node.name, math.inf):
            continue
        lacking = {
            name: -amount
            for name, amount in zip([*packing.resources, "tasks"], packing.signed(free[number]), strict=True)
            if amount < 0
        }
        raise InvariantError(
            f"node {node.name}, which has {node.capacity} for {node.max_tasks} tasks, holds more than that "
            f"at {now_s} s, by {lacking}, once run {run} has begun: {_story(ledger, ledger.run_task[run])}"
        )


def _story(ledger: Ledger, row: int) -> str:
    """What is known of a task, for an error."""
    runs = [
        f"run {run} on node {ledger.run_node[run]} "
        f"from {ledger.run_began_s[run]} s to {ledger.run_ended_s[run]} s"
        for run, task in enumerate(ledger.run_task)
        if task == row
    ]
    return "; ".join(
        [
            f"task {row}, {ledger.job[row]}/{ledger.task[row]}, arrived at {ledger.arrived_s[row]} s, "
            f"first ran at {ledger.started_s[row]} s, was over at {ledger.finished_s[row]} s, "
            f"{ENDINGS[ledger.ending[row]]}, {ledger.runs[row]} runs",
            *runs[:20],
        ]
    )
