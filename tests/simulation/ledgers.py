"""Ledgers that are made up: a few tasks written down, or many drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
from hypothesis import strategies as st

from minorch import Node, Reason, Resources
from minorch.simulation import Ending, Fault, Ledger, SimulationResult

ONE = Resources(cpu=1)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One task, as a test writes it down."""

    at_s: float = 0.0
    runs: Sequence[tuple[int, float, float | None]] = ()
    """Node, begin and end."""
    ending: Ending = Ending.COMPLETED
    finished_s: float | None = None
    """None: when its last run ended."""
    duration_s: float = 10.0
    asks: Resources = ONE
    uses: Resources | None = None
    job: str = "job"


def ran(node: int, began_s: float, ended_s: float | None, **more: object) -> Told:
    """A task that arrived at once and ran once."""
    return Told(runs=[(node, began_s, ended_s)], **more)


def ledger_of(nodes: Sequence[Node], told: Sequence[Told]) -> Ledger:
    """The ledger of these tasks, filled in the order of time."""
    ledger, runs = Ledger(nodes), dict[tuple[int, int], int]()
    happenings: list[tuple[float, int, int, int]] = []
    order = sorted(range(len(told)), key=lambda number: told[number].at_s)
    rows = {number: row for row, number in enumerate(order)}
    for number, task in enumerate(told):
        happenings.append((task.at_s, 0, rows[number], number))
        for at, (_, began_s, ended_s) in enumerate(task.runs):
            happenings.append((began_s, 2, number, at))
            if ended_s is not None:
                happenings.append((ended_s, 3 if ended_s == began_s else 1, number, at))
        if task.ending not in (Ending.RUNNING, Ending.WAITING):
            last_s = max((ended_s or 0.0 for _, _, ended_s in task.runs), default=task.at_s)
            happenings.append((last_s if task.finished_s is None else task.finished_s, 4, number, 0))
    for now_s, what, number, at in sorted(happenings):
        if what == 0:
            task = told[at]
            name = f"t{number}"
            ledger.arrive(task.job, name, now_s, task.duration_s, task.asks, task.uses or task.asks)
        elif what == 2:
            runs[number, at] = ledger.begin(rows[number], told[number].runs[at][0], now_s)
        elif what in (1, 3):
            ledger.end(runs[number, at], now_s)
        else:
            reason = Reason.UNSCHEDULABLE if told[number].ending is Ending.REFUSED else Reason.EXITED
            ledger.finish(rows[number], told[number].ending, reason, now_s)
    ledger.close()
    return ledger


def result_of(
    nodes: Sequence[Node], told: Sequence[Told], ended_s: float, faults: Sequence[Fault] = ()
) -> SimulationResult:
    """The result with that ledger."""
    return SimulationResult(
        ledger_of(nodes, told),
        scheduler="epvm",
        seed=7,
        ended_s=ended_s,
        counts={"decisions": 30, "plans": 4, "preemptions": 2, "moves": 1},
        wall_s=2.5,
        planning_s=0.5,
        faults=faults,
        refusals=["no node could ever hold it"],
    )


def machines(number: int, **capacity: float | str) -> list[Node]:
    """So many nodes that are alike."""
    amounts = Resources(**(capacity or {"cpu": 4, "memory": "8GiB"}))  # type: ignore[arg-type]
    return [Node(f"n{at}", capacity=amounts) for at in range(number)]


_SHAPES = (
    ONE,
    Resources(cpu=2, memory="1GiB"),
    Resources(cpu="500m", memory="4GiB"),
    Resources(memory="2GiB", gpu=1),
    Resources(),
)
MIXED = (
    Node("small", capacity=Resources(cpu=2, memory="4GiB"), max_tasks=3),
    Node("large", capacity=Resources(cpu=8, memory="8GiB")),
    Node("gpus", capacity=Resources(cpu=4, memory="16GiB", gpu=2)),
)
END_S = 40.0


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Ledgers of some tasks on :data:`MIXED`, until 40 s. Nodes may hold more than they can."""
    moments = st.integers(0, int(END_S)).map(float)
    told = []
    for number in range(draw(st.integers(0, 12))):
        at_s, *times = sorted(draw(st.lists(moments, min_size=7, max_size=7)))
        count = draw(st.integers(0, 3))
        runs: list[tuple[int, float, float | None]] = [
            (draw(st.integers(0, len(MIXED) - 1)), times[2 * at], times[2 * at + 1]) for at in range(count)
        ]
        ending = draw(st.sampled_from(Ending))
        if ending is Ending.REFUSED:
            runs = []
        if ending in (Ending.RUNNING, Ending.COMPLETED) and not runs:
            ending = Ending.WAITING
        if ending is Ending.RUNNING:
            runs[-1] = (*runs[-1][:2], None)
        told.append(
            Told(
                at_s=at_s,
                runs=runs,
                ending=ending,
                duration_s=draw(st.sampled_from([0.0, 1.0, 7.0, 30.0, math.inf])),
                asks=draw(st.sampled_from(_SHAPES)),
                uses=draw(st.sampled_from([None, *_SHAPES])),
                job=f"job-{number // 2}",
            )
        )
    return ledger_of(MIXED, told)
