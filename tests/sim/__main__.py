"""Run many worlds, side by side, until enough steps were made; or one of them again, with its story.

    python -m tests.sim [--steps 2000000] [--seeds 300] [--first 0] [--jobs 2]
    python -m tests.sim --replay SEED [--whole]

Each world is drawn from its seed and makes ``--per-seed`` steps of a hostile phase; then all is well and it
must come to rest.  After every step the invariants are checked that it could have broken.  What breaks is
made as small as can be and printed, with the command that plays it again.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import multiprocessing
import sys
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing.pool import AsyncResult

import msgspec

from tests.sim.scenario import Scenario, draw
from tests.sim.shrink import kind_of, shrink
from tests.sim.world import Ended, play, run

__all__ = ["main"]


def _results(options: argparse.Namespace) -> Iterator[tuple[int, Ended]]:
    seeds = itertools.count(options.first)
    play_seed = partial(play, options.per_seed)
    if options.jobs <= 1:
        yield from map(play_seed, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        under_way = collections.deque[AsyncResult[tuple[int, Ended]]]()
        for seed in seeds:
            under_way.append(pool.apply_async(play_seed, (seed,)))
            if len(under_way) > 16 * options.jobs:  # so that a pool does not run ahead without end
                yield under_way.popleft().get()


def run_many(options: argparse.Namespace) -> int:
    """Run worlds until there were enough seeds and steps; the number of those that broke."""
    began = last = time.perf_counter()
    steps = seeds = results = 0
    longest_s, trace = 0.0, 0
    broken: list[tuple[int, Ended]] = []
    for seed, ended in _results(options):
        seeds, steps, results = seeds + 1, steps + ended.steps, results + ended.results
        longest_s, trace = max(longest_s, ended.calm_s), (trace * 31 + ended.trace) % 2**32
        if ended.broken:
            broken.append((seed, ended))
            print(f"seed {seed} broke after {ended.steps:,} steps: {ended.broken[:200]}", flush=True)
        now = time.perf_counter()
        if now - last > options.progress_s:
            last = now
            print(f"{seeds:,} seeds, {steps:,} steps, {steps / (now - began):,.0f}/s", flush=True)
        if (seeds >= options.seeds and steps >= options.steps) or len(broken) >= options.most_broken:
            break
    took_s = time.perf_counter() - began
    print(
        f"{seeds:,} seeds, {steps:,} steps in {took_s:.1f} s: {steps / took_s:,.0f} steps/s; "
        f"{results:,} results compared with what really ran; at rest {longest_s:,.0f} s later at most; "
        f"trace {trace:08x}; {len(broken)} broken"
    )
    for kind, number in collections.Counter(kind_of(ended.broken) for _, ended in broken).most_common():
        print(f"{number:6} {kind}")
    for seed, ended in broken[: options.shrink]:
        tell(draw(seed, options.per_seed), ended, options)
    return len(broken)


def tell(scenario: Scenario, ended: Ended, options: argparse.Namespace) -> None:
    """Print the shortest history that was found, and how to play it again."""
    if not options.whole:
        scenario, ended = shrink(scenario, ended, most_s=options.shrink_s)
    ended = run(scenario, tell=True)
    print(f"\nseed {scenario.seed}: {ended.steps:,} steps, {len(scenario.ops)} operations")
    print(msgspec.json.encode({"rates": scenario.rates, "nodes": scenario.nodes}).decode())
    for op in scenario.ops:
        print(f"    after {op.wait_s:.3f} s: {op.kind} ({op.dice})")
    print(ended.story)
    print(ended.broken or "nothing broke")
    replay = f"python -m tests.sim --replay {scenario.seed} --per-seed {options.per_seed}"
    print(f"play it again: {replay}")


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; 1: something broke."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2_000_000, help="at least so many in all")
    parser.add_argument("--seeds", type=int, default=300, help="at least so many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--per-seed", type=int, default=7000, help="steps of a world's hostile phase")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--replay", type=int, help="play this seed alone, and tell its story")
    parser.add_argument("--whole", action="store_true", help="do not make it smaller first")
    parser.add_argument("--shrink", type=int, default=2, help="so many of those that broke are told")
    parser.add_argument("--shrink-s", type=float, default=60.0)
    parser.add_argument("--most-broken", type=int, default=20, help="give up after so many")
    parser.add_argument("--progress-s", type=float, default=30.0)
    options = parser.parse_args(arguments)
    if options.replay is not None:
        scenario = draw(options.replay, options.per_seed)
        ended = run(scenario)
        tell(scenario, ended, options) if ended.broken else print(f"seed {options.replay}: nothing broke")
        return bool(ended.broken)
    return bool(run_many(options))


if __name__ == "__main__":
    sys.exit(main())
