"""Simulation against reality: a job of 60 containers on a real engine, then the same in virtual time.

    python -m benchmarks.reality [--containers 60] [--strategies ...] [--seed 1] [--runtime docker] [--json]

*The job*: so many ``busybox`` containers that sleep for 0.3 to 3 s and ask for different amounts, on four
nodes of different sizes that share one engine and hold about a sixth of them at a time; so most wait, and who
goes where next depends on who has just ended.  The durations and the amounts are drawn from the seed.

*Really*: ``Cluster(nodes, runtime="docker", scheduler=..., seed=...)``.  The event log tells when the manager
placed a task and when it heard of its end; the engine dates the begin and the end of its container.

*Simulated*, with the same nodes in the order in which they joined, the same job, strategy and seed:

``replayed``
    Each task keeps its room for as long as it really did: from its placement to the turn of the manager that
    saw its end.  Then the simulated manager sees the same ends in the same order at the same moments, and
    every decision has to be the same.  ``same`` is how many tasks are on the same node, ``in order`` whether
    all were placed one after the other as really, and ``apart, us`` how far apart the same placement was at
    most, in millionths of a second.
``one latency``
    Each container runs for as long as its engine says that it did, and everything else (to make and start
    it, to notice its end, to tell the manager) takes the mean of what it took.  Starts take longer when
    many happen at once, which this does not know, so ends swap places, and placements behind them differ.
``as written``
    Containers sleep for as long as they are told, and nothing else takes any time.

``another's`` is the check of the check: the same replay under each other strategy, and the most placements
that any of them has in common with what really happened.

Makespans are from the first placement to the last end that the manager heard of; waits from the first
placement to a task's own.  ``least-loaded`` also looks at what workers measure of their machine, which nobody
can foresee; here it is told that nothing was measured, really and simulated.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

import minorch as mo
from benchmarks._report import Figures, print_rows
from minorch.schedulers import EPVM, BinPack, LeastLoaded, RandomChoice, RoundRobin, Spread
from minorch.simulation import Arrival, Simulation

__all__ = [
    "NODES",
    "STRATEGIES",
    "History",
    "Real",
    "first_difference",
    "kept_room_s",
    "make_job",
    "replay",
    "run_really",
    "simulate",
]

IMAGE: Final = "busybox:latest"
NODES: Final = (
    mo.Node("small", capacity=mo.Resources(cpu=0.4, memory="96MiB"), max_tasks=3),
    mo.Node("wide", capacity=mo.Resources(cpu=0.8, memory="96MiB"), max_tasks=4),
    mo.Node("deep", capacity=mo.Resources(cpu=0.4, memory="192MiB"), max_tasks=4),
    mo.Node("large", capacity=mo.Resources(cpu=0.8, memory="192MiB"), max_tasks=6),
)
AMOUNTS: Final = ((0.1, "16MiB"), (0.1, "48MiB"), (0.2, "32MiB"), (0.3, "16MiB"), (0.4, "64MiB"))
TURN_S: Final = 1e-5
"""For so long the simulated manager gathers in a replay: less than lies between two turns of a real one, and
more than what sums of floats are off by."""


class ByReservation(LeastLoaded):
    """``least-loaded``, where nothing was measured."""

    def cost(self, task: mo.TaskView, node: mo.NodeView) -> float:
        """The cost by what is reserved alone."""
        return super().cost(task, msgspec.structs.replace(node, stats=None))


STRATEGIES: Final[dict[str, Callable[[], mo.Scheduler]]] = {
    "round-robin": RoundRobin,
    "least-loaded": ByReservation,
    "epvm": EPVM,
    "bin-pack": BinPack,
    "spread": Spread,
    "random": RandomChoice,
}


class Placement(NamedTuple):
    """A task was given a node."""

    task: str
    node: str
    at_s: float
    """Seconds since the first one."""


class History:
    """What an event log tells of a job: its placements and ends in their order, in seconds since the first.

    Args:
        events: of a cluster or of a simulation, oldest first.
    """

    def __init__(self, events: Sequence[mo.Event]) -> None:
        self.events = [event for event in events if event.kind in ("task_scheduled", "task_completed")]
        origin = self.events[0].at
        self.placements: list[Placement] = []
        self.ends: dict[str, float] = {}
        """By task, in the order in which the manager heard of them."""
        self.heard: list[Sequence[str]] = []
        """By placement: what had ended before it, in order."""
        for event in self.events:
            if event.kind == "task_scheduled":
                self.heard.append(tuple(self.ends))
                self.placements.append(Placement(event.task, event.node, event.at - origin))
            else:
                self.ends[event.task] = event.at - origin

    @property
    def nodes(self) -> Mapping[str, str]:
        """By task, where it was placed."""
        return {placement.task: placement.node for placement in self.placements}

    @property
    def order(self) -> Sequence[tuple[str, str]]:
        """Task and node of each placement, in order."""
        return [(placement.task, placement.node) for placement in self.placements]

    @property
    def makespan_s(self) -> float:
        """From the first placement to the last end."""
        return max(self.ends.values())

    @property
    def wait_s(self) -> float:
        """The mean time until a task was placed."""
        return statistics.fmean(placement.at_s for placement in self.placements)

    def same(self, other: History) -> int:
        """How many tasks are on the same node in both."""
        theirs = other.nodes
        return sum(theirs.get(task) == node for task, node in self.nodes.items())


class Real(NamedTuple):
    """What really happened."""

    job: mo.Job
    nodes: Sequence[mo.Node]
    """As they presented themselves, in the order in which they joined."""
    history: History
    ran_s: Mapping[str, float]
    """By task: for how long its container ran, as the engine dates its begin and its end."""


def make_job(containers: int, seed: int, *, runtime: str = "docker") -> mo.Job:
    """A batch of containers that sleep for 0.3 to 3 s, evenly spread, in any order."""
    dice = random.Random(f"{seed}/job")
    naps_s = [0.3 + 2.7 * number / max(1, containers - 1) for number in range(containers)]
    dice.shuffle(naps_s)
    tasks = []
    for number, nap_s in enumerate(naps_s):
        cpu, memory = dice.choice(AMOUNTS)
        tasks.append(
            mo.Task(
                f"t{number:02}",
                image=IMAGE,
                command=["sleep", f"{nap_s:.3f}"],
                resources=mo.Resources(cpu=cpu, memory=memory),
                networks=["none"] if runtime == "docker" else (),
                stop_grace_s=1,
            )
        )
    return mo.Job("reality", tasks)


# -- really -----------------------------------------------------------------------------------


def run_really(
    job: mo.Job, strategy: str, seed: int, *, runtime: str = "docker", timeout_s: float = 600.0
) -> Real:
    """Run a job on a real engine, or as plain processes.

    Raises:
        JobFailed: a container failed.
        ValueError: one was started more than once, so that there is nothing to compare.
        TimeoutError: it took too long.
    """
    with mo.Cluster(NODES, runtime=runtime, scheduler=STRATEGIES[strategy](), seed=seed) as cluster:
        handle = cluster.submit(job)
        handle.result(timeout=timeout_s)
        ran_s: dict[str, float] = {}
        for task in handle.info().tasks:
            (attempt,) = task.attempts
            if attempt.run != 1 or attempt.started_at is None or attempt.finished_at is None:
                raise ValueError(f"{task.name} was started {attempt.run} times: run it again")
            ran_s[task.name] = attempt.finished_at - attempt.started_at
        nodes = [info.node for info in cluster.nodes]
        return Real(job, nodes, History(cluster.events()), ran_s)


def kept_room_s(history: History) -> dict[str, float]:
    """By task: for how long it kept its room, from its placement to the turn that saw its end.

    The log dates an end by its report, and a manager may take in several before it plans.  All that it heard
    since its last placement is what it knew at the next one, so they count from then.
    """
    placed: dict[str, float] = {}
    seen: dict[str, float] = {}
    heard: list[str] = []
    for event in history.events:
        if event.kind == "task_completed":
            heard.append(event.task)
            seen[event.task] = event.at
            continue
        placed[event.task] = event.at
        seen.update((task, event.at) for task in heard)
        heard.clear()
    return {task: at - placed[task] for task, at in seen.items()}


# -- simulated --------------------------------------------------------------------------------


def simulate(
    real: Real,
    strategy: str,
    seed: int,
    *,
    lasts_s: Mapping[str, float],
    start_s: float = 0.0,
    turn_s: float = 0.0,
) -> History:
    """Play the job of *real* on its nodes.

    Args:
        real: what really happened.
        strategy: which strategy places it.
        seed: what the strategy draws is drawn from it.
        lasts_s: by task, for how long it runs.
        start_s: how long a start takes.
        turn_s: for how long the manager gathers.
    """
    simulation = Simulation(
        nodes=real.nodes,
        workload=[Arrival(0.0, real.job, lasts_s)],
        scheduler=STRATEGIES[strategy](),
        seed=seed,
        start_s=start_s,
        turn_s=turn_s,
    )
    events: list[mo.Event] = []
    while told := simulation.step():
        events += told
    return History(events)


def replay(real: Real, strategy: str, seed: int) -> History:
    """Play the job of *real* such that the manager sees each end at the moment at which it really did."""
    lasts_s = {task: room_s - TURN_S for task, room_s in kept_room_s(real.history).items()}
    return simulate(real, strategy, seed, lasts_s=lasts_s, turn_s=TURN_S)


def with_one_latency(real: Real, strategy: str, seed: int) -> tuple[History, float]:
    """Play it with what engines say of containers, and one latency for all; and that latency, in seconds."""
    room_s = kept_room_s(real.history)
    latency_s = statistics.fmean(room_s[task] - ran_s for task, ran_s in real.ran_s.items())
    return simulate(real, strategy, seed, lasts_s=real.ran_s, start_s=latency_s), latency_s


def as_written(real: Real, strategy: str, seed: int) -> History:
    """Play it with what the job says, as somebody would who has not run it."""
    lasts_s = {task.name: float(task.command[1]) for task in real.job.tasks}
    return simulate(real, strategy, seed, lasts_s=lasts_s)


# -- compared ---------------------------------------------------------------------------------


def first_difference(real: History, simulated: History) -> str:
    """At which placement two histories part, and what else had ended before; empty: nowhere."""
    pairs = zip(real.order, simulated.order, strict=True)
    at = next((number for number, (ours, theirs) in enumerate(pairs) if ours != theirs), None)
    if at is None:
        return ""
    (task, node), (other_task, other) = real.order[at], simulated.order[at]
    words = f"placement {at + 1} is {task} on {node}, simulated {other_task} on {other}"
    heard, then = real.heard[at], simulated.heard[at]
    for first, second in zip(heard, then, strict=False):
        if first != second:
            apart_ms = 1000 * (real.ends[second] - real.ends[first])
            swapped_ms = 1000 * (simulated.ends[first] - simulated.ends[second])
            return (
                f"{words}: {first} ended {apart_ms:.0f} ms before {second}, "
                f"simulated {swapped_ms:.0f} ms after it"
            )
    if len(heard) != len(then):
        return f"{words}: {len(heard)} had ended, simulated {len(then)}"
    return f"{words}: the same {len(heard)} had ended before"


def _apart_us(real: History, simulated: History) -> float | None:
    """How far apart the same placements are at most; None: they are not the same."""
    if real.order != simulated.order:
        return None
    pairs = zip(real.placements, simulated.placements, strict=True)
    return 1e6 * max(abs(ours.at_s - theirs.at_s) for ours, theirs in pairs)


def _percent(simulated_s: float, real_s: float) -> float:
    return 100.0 * (simulated_s - real_s) / real_s


def compare(
    strategy: str, containers: int, seed: int, say: Callable[[str], None], runtime: str = "docker"
) -> Figures:
    """One strategy: run it, simulate it, and put both side by side."""
    real = run_really(make_job(containers, seed, runtime=runtime), strategy, seed, runtime=runtime)
    history = real.history
    say(f"{strategy}: ran for {history.makespan_s:.1f} s")
    replayed = replay(real, strategy, seed)
    if words := first_difference(history, replayed):
        say(f"{strategy}, replayed: {words}")
    roughly, latency_s = with_one_latency(real, strategy, seed)
    if words := first_difference(history, roughly):
        say(f"{strategy}, one latency of {latency_s:.2f} s: {words}")
    written = as_written(real, strategy, seed)
    others = [history.same(replay(real, other, seed)) for other in STRATEGIES if other != strategy]
    return {
        "strategy": strategy,
        "containers": containers,
        "same": history.same(replayed),
        "in order": history.order == replayed.order,
        "apart, us": _apart_us(history, replayed),
        "another's": max(others),
        "makespan, s": history.makespan_s,
        "replayed, s": replayed.makespan_s,
        "replayed, %": _percent(replayed.makespan_s, history.makespan_s),
        "one latency, s": roughly.makespan_s,
        "one latency, %": _percent(roughly.makespan_s, history.makespan_s),
        "one latency, same": history.same(roughly),
        "as written, s": written.makespan_s,
        "as written, %": _percent(written.makespan_s, history.makespan_s),
        "wait, s": history.wait_s,
        "replayed wait, s": replayed.wait_s,
        "one latency wait, s": roughly.wait_s,
        "latency, s": latency_s,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, simulate, compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--containers", type=int, default=60)
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runtime", choices=("docker", "process"), default="docker")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    rows = [
        compare(strategy, options.containers, options.seed, say, options.runtime)
        for strategy in options.strategies
    ]
    about: Figures = {"runtime": options.runtime, "seed": options.seed}
    print_rows("reality", about, rows, as_json=options.json)


if __name__ == "__main__":
    main()
