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
``100,000 by 100 nodes``
    decisions/s by index on the largest cluster by those on the smallest, in short turns one after the other,
    with one shape and with ``--shapes``.
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
from array import array
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
    nodes: list[NodeView] = []
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
    """Tasks that end and arrive on one board, the same each time it is made with the same arguments.

    What lives is kept in an array, so that hardly any of the time goes to the keeping of it.
    """

    def __init__(
        self, nodes: Sequence[NodeView], shapes: Sequence[TaskView], live: array[int], seed: int
    ) -> None:
        self._random = random.Random(seed)
        self._shapes = shapes
        self._numbers = {task: number for number, task in enumerate(shapes)}
        self._live = live[:]
        self.view = ClusterView(nodes=nodes, now=0.0, random=random.Random(seed))

    def end(self, board: Board) -> None:
        """A random task ends."""
        live = self._live
        at = int(self._random.random() * len(live))
        node, number = divmod(live[at], len(self._shapes))
        live[at] = live[-1]
        live.pop()
        board.update(board.nodes[node].without_task(self._shapes[number]))

    def arrival(self) -> TaskView:
        """What is to be placed next."""
        return self._shapes[int(self._random.random() * len(self._shapes))]

    def enter(self, task: TaskView, node: int) -> None:
        """A task lives from now on."""
        self._live.append(node * len(self._shapes) + self._numbers[task])


class Setting:
    """Nodes of one number, with what lives on them at first."""

    def __init__(self, nodes: int, shapes: int, live: int) -> None:
        self.shapes = make_shapes(shapes)
        self.nodes = make_nodes(nodes)
        self.live = array("q")
        """Of each task that lives, its node, times the number of shapes, plus its shape."""
        chance, filters = random.Random(1), Board().filters
        while len(self.live) < live * nodes:
            number, at = chance.randrange(shapes), chance.randrange(nodes)
            if filters.admit(self.shapes[number], self.nodes[at]):
                self.nodes[at] = self.nodes[at].with_task(self.shapes[number])
                self.live.append(at * shapes + number)

    def begin(self, scheduler: Scheduler, seed: int, *, indexed: bool) -> tuple[Board, History]:
        """A board whose index is full, and what will happen on it."""
        board = Board(self.nodes, indexed=indexed)
        history = History(board.nodes, self.shapes, self.live, seed)
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
    decisions, clock = list[Decision](), time.perf_counter
    start = clock()
    while len(decisions) < most and (len(decisions) < 4 or clock() < start + most_s):
        decisions.append(step(scheduler, board, history))
    return len(decisions) / (clock() - start), decisions


def step(scheduler: Scheduler, board: Board, history: History) -> Decision:
    """One decision: a task ends, and another arrives and is placed."""
    history.end(board)
    task = history.arrival()
    found = find_node(scheduler, task, board, history.view)
    assert found is not None, "the cluster is full"
    node, cost = found
    placed = node.with_task(task)
    scheduler.placed(task, placed)
    board.update(placed)
    history.enter(task, node.index)
    return node.index, cost


def grown(
    small: Setting, large: Setting, make: Callable[[], Scheduler], *, rounds: int, most: int
) -> tuple[float, float, float]:
    """Decisions/s by index on a small and on a large cluster, in turns, and the median of their ratios.

    The machine's speed changes from second to second, so both are measured within the same: so many rounds of
    a few decisions on the one, then on the other, then on the one again.
    """
    ready = []
    for setting in (small, large):
        scheduler = make()
        ready.append((scheduler, *setting.begin(scheduler, 0, indexed=True)))

    def rate(at: int) -> float:
        scheduler, board, history = ready[at]
        start = time.perf_counter()
        for _ in range(most):
            step(scheduler, board, history)
        return most / (time.perf_counter() - start)

    for at in (0, 1):
        rate(at)  # to warm up
    rates: list[tuple[float, float]] = []
    for _ in range(rounds):
        before, there, after = rate(0), rate(1), rate(0)
        rates.append((2 / (1 / before + 1 / after), there))
    smalls, larges = zip(*rates, strict=True)
    ratio = statistics.median(large / small for small, large in rates)
    return statistics.median(smalls), statistics.median(larges), ratio


def plan(setting: Setting, scheduler: Scheduler, seed: int, *, most: int) -> float:
    """Decisions/s by ``make_plan``, a hundred a plan."""
    board, history = setting.begin(scheduler, seed, indexed=True)
    took_s, turn = 0.0, min(TURN, len(setting.live))
    turns = -(-most // turn)
    for _ in range(turns):
        arrivals = [history.arrival() for _ in range(turn)]
        groups = [[task] * arrivals.count(task) for task in setting.shapes]
        start = time.perf_counter()
        for _ in range(turn):
            history.end(board)
        made = make_plan(history.view, groups, scheduler, board=board)
        took_s += time.perf_counter() - start
        assert len(made.placements) == turn, "the cluster is full"
        for each in made.placements:
            history.enter(each.task, board.named(each.node).index)
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
    least, most = min(options.nodes), max(options.nodes)
    for shapes in sorted({1, options.shapes}) if least < most else ():
        ends = Setting(least, shapes, options.live), Setting(most, shapes, options.live)
        for name in options.strategies:
            small, large, ratio = grown(*ends, STRATEGIES[name], rounds=options.pairs, most=20 * TURN)
            words = f"{name}, {shapes} shapes, {most:,} by {least:,} nodes"
            about[words] = ratio
            say(f"{words}: {large:,.0f}/s by {small:,.0f}/s: {ratio:.2f}")
    return about, rows


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
    parser.add_argument("--pairs", type=int, default=25, help="rounds of the smallest by the largest cluster")
    parser.add_argument("--batch", type=int, default=50_000, help="tasks of the batch; 0: none")
    parser.add_argument("--batch-nodes", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    about, rows = measure(options, lambda line: print(line, file=sys.stderr, flush=True))
    print_rows("placement", about, rows, as_json=options.json)


if __name__ == "__main__":
    main()
