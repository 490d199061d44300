"""Placement alone: decisions/s by index and by scan, with each built-in strategy, on several cluster sizes.

    python -m benchmarks.placement [--nodes 100 1000 5000 10000 100000] [--shapes 8] [--json]

*One decision* is: a random task of those that live ends, and is taken off its node; then a task arrives, of a
random shape, is given a node, and is put there.  So it is one question and two changes, and the number of
live tasks stays what it was.  The strategy's ``begin`` is called once before.

*The nodes* come in four sizes (8, 16, 32 and 64 cores, 4 GiB a core, the last with 4 GPUs), with the labels
``zone`` (a to d) and ``disk`` (ssd or hdd); one in ten has a taint.  They hold ``--live`` tasks each on
average, at random nodes at first.  *The tasks* are of ``--shapes`` shapes, one job for each, from a quarter
of a core to two; each has a constraint or a toleration, so all filters work, and the eighth asks for half
a GPU.  Shapes matter: a change of a node is looked at once for each shape that is still asked about.

The figures:

``index``, ``scan``
    decisions/s of ``Board.cheapest`` or, for round-robin and random, ``Board.feasible`` and the strategy's
    three phases, as ``find_node`` calls them.  The scan asks every node each time.  The index is full before
    the clock starts; ``build`` says what that takes.
``ratio``
    the median over rounds of index by scan; in each round both begin with the same nodes and play the same
    history.  The scan is timed on as many decisions as fit in ``--scan-s``.
``identical``
    whether both chose the same node at the same cost in each decision that the scan made.
``plan``
    decisions/s through ``make_plan`` with a board that is kept, which is how the manager asks: in each plan a
    hundred tasks end, then a hundred arrivals are placed, with ``begin`` and everything.
``batch``
    tasks/s: so many tasks of one shape, which have a constraint, placed in one ``make_plan`` over 10,000
    nodes, the making of the index included.
``build, s``, ``index, bytes/node``
    with the first strategy, at the largest size: to look at all nodes for all shapes, and what that and the
    board hold then, with the views left out, by tracemalloc in a run of its own.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from benchmarks._report import Figures, paired_ratio, print_rows
from minorch.schedulers import EPVM, BinPack, LeastLoaded, RandomChoice, RoundRobin, Spread
from minorch.scheduling import Board, ClusterView, NodeView, Scheduler, TaskView, make_plan
from minorch.scheduling.plan import find_node
from minorch.testing import builders

STRATEGIES: Final[dict[str, Callable[[], Scheduler]]] = {
    "round-robin": RoundRobin,
    "least-loaded": LeastLoaded,
    "epvm": EPVM,
    "epvm paper": lambda: EPVM(terms="paper"),
    "bin-pack": BinPack,
    "spread": Spread,
    "random": RandomChoice,
}
TURN: Final = 100
"""How many tasks a plan places."""

Decision = tuple[int, float]
"""The index of a node, and the cost there."""


def make_nodes(count: int) -> list[NodeView]:
    """Empty nodes of four sizes, with labels and some taints."""
    chance = random.Random(count)
    nodes = []
    for index in range(count):
        cores = chance.choice((8, 16, 32, 64))
        nodes.append(
            builders.node(
                f"node-{index:06}",
                cpu=cores,
                memory=f"{4 * cores}GiB",
                disk="1TiB",
                labels={"zone": chance.choice("abcd"), "disk": chance.choice(("ssd", "hdd"))},
                taints=("dedicated",) if chance.random() < 0.1 else (),
                index=index,
                gpu=4 if cores == 64 else 0,
            )
        )
    return nodes


def make_shapes(count: int) -> list[TaskView]:
    """One task of each shape; all make the filters look at labels or taints."""
    asks = [["disk == ssd"], ["zone != a"], ["disk != hdd", "zone in b, c, d"], []]
    return [
        builders.task(
            "task",
            job=f"job-{number}",
            cpu=0.25 * (1 + number % 8),
            memory=f"{1 + 5 * number % 7}GiB",
            constraints=asks[number % 4],
            tolerations=[] if asks[number % 4] else ["dedicated"],
            gpu=0.5 if number % 8 == 7 else 0,
        )
        for number in range(count)
    ]


class History:
    """Tasks that end and arrive on one board, the same each time it is made with the same arguments."""

    def __init__(self, nodes: Sequence[NodeView], live: Iterable[tuple[TaskView, int]], seed: int) -> None:
        self._random = random.Random(seed)
        self.live = list(live)
        self.view = ClusterView(nodes=nodes, now=0.0, random=random.Random(seed))

    def end(self, board: Board) -> None:
        """A random task ends."""
        live = self.live
        at = int(self._random.random() * len(live))
        task, node = live[at]
        live[at] = live[-1]
        live.pop()
        board.update(board.nodes[node].without_task(task))

    def arrival(self, shapes: Sequence[TaskView]) -> TaskView:
        """What is to be placed next."""
        return shapes[int(self._random.random() * len(shapes))]


class Setting:
    """Nodes of one number, with what lives on them at first."""

    def __init__(self, nodes: int, shapes: int, live: int) -> None:
        self.shapes = make_shapes(shapes)
        self.nodes = make_nodes(nodes)
        self.live: list[tuple[TaskView, int]] = []
        chance, filters = random.Random(1), Board().filters
        while len(self.live) < live * nodes:
            task, at = chance.choice(self.shapes), chance.randrange(nodes)
            if filters.admit(task, self.nodes[at]):
                self.nodes[at] = self.nodes[at].with_task(task)
                self.live.append((task, at))

    def begin(self, scheduler: Scheduler, seed: int, *, indexed: bool) -> tuple[Board, History]:
        """A board whose index is full, and what will happen on it."""
        board = Board(self.nodes, indexed=indexed)
        history = History(board.nodes, self.live, seed)
        scheduler.begin(history.view)
        if indexed:
            for task in self.shapes:
                fill(board, task, scheduler)
        gc.collect()
        return board, history


def fill(board: Board, task: TaskView, scheduler: Scheduler) -> None:
    """Have a board look at all nodes for one shape of task."""
    if board.indexes(task, scheduler):
        board.cheapest(task, scheduler)
    else:
        board.feasible(task)


def decide(
    setting: Setting, scheduler: Scheduler, seed: int, *, indexed: bool, most: int, most_s: float
) -> tuple[float, list[Decision]]:
    """Decisions/s, and the decisions: so many, or as many as the time allows."""
    board, history = setting.begin(scheduler, seed, indexed=indexed)
    shapes, decisions = setting.shapes, list[Decision]()
    live, view, clock = history.live, history.view, time.perf_counter
    start = clock()
    while len(decisions) < most and (len(decisions) < 4 or clock() < start + most_s):
        history.end(board)
        task = history.arrival(shapes)
        found = find_node(scheduler, task, board, view)
        assert found is not None, "the cluster is full"
        node, cost = found
        placed = node.with_task(task)
        scheduler.placed(task, placed)
        board.update(placed)
        live.append((task, node.index))
        decisions.append((node.index, cost))
    return len(decisions) / (clock() - start), decisions


def plan(setting: Setting, scheduler: Scheduler, seed: int, *, most: int) -> float:
    """Decisions/s by ``make_plan``, a hundred a plan."""
    board, history = setting.begin(scheduler, seed, indexed=True)
    took_s, turn = 0.0, min(TURN, len(history.live))
    turns = -(-most // turn)
    for _ in range(turns):
        arrivals = [history.arrival(setting.shapes) for _ in range(turn)]
        groups = [[task] * arrivals.count(task) for task in setting.shapes]
        start = time.perf_counter()
        for _ in range(turn):
            history.end(board)
        made = make_plan(history.view, groups, scheduler, board=board)
        took_s += time.perf_counter() - start
        assert len(made.placements) == turn, "the cluster is full"
        history.live += [(each.task, board.named(each.node).index) for each in made.placements]
    return turns * turn / took_s


def compare(options: argparse.Namespace, setting: Setting, name: str) -> Figures:
    """One strategy on one cluster."""
    rates: dict[str, list[float]] = {"index": [], "scan": [], "plan": []}
    compared, identical = 0, True
    for seed in range(options.rounds):
        rate, ours = decide(
            setting, STRATEGIES[name](), seed, indexed=True, most=options.decisions, most_s=float("inf")
        )
        rates["index"].append(rate)
        rate, theirs = decide(
            setting, STRATEGIES[name](), seed, indexed=False, most=options.decisions, most_s=options.scan_s
        )
        rates["scan"].append(rate)
        compared += len(theirs)
        identical = identical and ours[: len(theirs)] == theirs
        rates["plan"].append(plan(setting, STRATEGIES[name](), seed, most=options.decisions))
    return {
        "strategy": name,
        "nodes": len(setting.nodes),
        "shapes": len(setting.shapes),
        "index, /s": statistics.median(rates["index"]),
        "scan, /s": statistics.median(rates["scan"]),
        "ratio": paired_ratio(rates["index"], rates["scan"]),
        "identical": identical,
        "compared": compared,
        "plan, /s": statistics.median(rates["plan"]),
    }


def build(setting: Setting, name: str) -> Figures:
    """What it takes to make an index, in seconds and in bytes."""
    times = []
    for _ in range(3):
        gc.collect()
        start = time.perf_counter()
        _built(setting, name)
        times.append(time.perf_counter() - start)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        board = _built(setting, name)
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    count = len(board.nodes)
    return {
        f"build, {count:,} nodes, s": statistics.median(times),
        f"index, {count:,} nodes, bytes/node": held / count,
    }


def _built(setting: Setting, name: str) -> Board:
    board, scheduler = Board(setting.nodes), STRATEGIES[name]()
    for task in setting.shapes:
        fill(board, task, scheduler)
    return board


def batch(nodes: int, tasks: int, names: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Identical tasks, all placed in one plan."""
    views = make_nodes(nodes)
    task = builders.task(cpu=0.1, memory="256MiB", constraints=["disk == ssd"])
    for name in names:
        scheduler = STRATEGIES[name]()
        view = builders.cluster(views)
        gc.collect()
        start = time.perf_counter()
        made = make_plan(view, [[task] * tasks], scheduler)
        rate = len(made.placements) / (time.perf_counter() - start)
        assert len(made.placements) == tasks, "the cluster is full"
        yield f"batch, {tasks:,} tasks on {nodes:,} nodes, {name}, tasks/s", rate


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> tuple[Figures, list[Figures]]:
    """All figures of one run: what is known of it all, and the rows."""
    pairs = [(nodes, options.shapes) for nodes in options.nodes]
    if options.one_shape_at:
        pairs += [(options.one_shape_at, 1)]
    rows = []
    about: Figures = {
        "live tasks/node": options.live,
        "decisions": options.decisions,
        "rounds": options.rounds,
    }
    for nodes, shapes in pairs:
        setting = Setting(nodes, shapes, options.live)
        for name in options.strategies:
            rows.append(compare(options, setting, name))
            say(", ".join(f"{key} {value}" for key, value in rows[-1].items()))
        if (nodes, shapes) == (max(options.nodes), options.shapes):
            indexed = [name for name in options.strategies if STRATEGIES[name]().depends_on != "anything"]
            about |= build(setting, (indexed or options.strategies)[0])
    if options.batch:
        about |= dict(batch(options.batch_nodes, options.batch, options.strategies))
    if len(options.nodes) > 1:
        for row in rows:
            if (row["nodes"], row["shapes"]) == (options.nodes[-1], options.shapes):
                base = next(other for other in rows if other["strategy"] == row["strategy"])
                about[f"{row['strategy']}: {options.nodes[-1]:,} by {options.nodes[0]:,} nodes"] = _rate(
                    row
                ) / _rate(base)
    return about, rows


def _rate(row: Figures) -> float:
    rate = row["index, /s"]
    assert isinstance(rate, float)
    return rate


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[100, 1000, 5000, 10_000, 100_000])
    parser.add_argument("--shapes", type=int, default=8, help="how many shapes of tasks there are")
    parser.add_argument("--one-shape-at", type=int, default=10_000, help="nodes, for one shape too; 0: not")
    parser.add_argument("--live", type=int, default=8, help="tasks that live, per node")
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--decisions", type=int, default=20_000, help="by index, in a round")
    parser.add_argument("--scan-s", type=float, default=0.5, help="seconds of scanning in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=50_000, help="tasks of the batch; 0: none")
    parser.add_argument("--batch-nodes", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    about, rows = measure(options, lambda line: print(line, file=sys.stderr, flush=True))
    print_rows("placement", about, rows, as_json=options.json)


if __name__ == "__main__":
    main()
