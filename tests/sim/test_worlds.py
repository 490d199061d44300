"""A few worlds, for every run of the tests; ``nox -s sim`` plays many, ``nox -s mutants`` hunts mutants."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import msgspec
import pytest

from tests.sim.mutants import MUTANTS, hunt
from tests.sim.scenario import Op, Scenario, draw
from tests.sim.shrink import shrink
from tests.sim.world import run


@pytest.mark.parametrize("tens", range(6))
def test_whatever_goes_wrong_nothing_is_lost_and_nothing_is_done_twice(tens: int):
    for seed in range(10 * tens, 10 * tens + 10):
        ended = run(draw(seed, 2000))
        assert not ended.broken, f"python -m tests.sim --replay {seed} --per-seed 2000: {ended.broken}"


def test_a_calm_world_compares_results_with_what_really_ran():
    scenario = msgspec.structs.replace(draw(1, 2000), rates={}, clocks=0.0)
    ops = tuple(op for op in scenario.ops if op.kind == "submit")
    ended = run(msgspec.structs.replace(scenario, ops=ops))
    assert not ended.broken
    assert ended.results > 10


def test_the_same_seed_has_the_same_history_whatever_hashes_are():
    code = "from tests.sim.scenario import draw; from tests.sim.world import run; print(run(draw(7, 3000)))"
    told = set()
    for seed in ("0", "1", "271828"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        told.add(done.stdout)
    assert len(told) == 1, told


@pytest.mark.parametrize("name", ["no_attempt_check", "sent_before_commit", "stopped_before_it_ended"])
def test_a_mutant_is_found(name: str):
    assert name in MUTANTS
    assert hunt(name, seeds=20, per_seed=4000).broken


def test_what_breaks_is_made_smaller_and_breaks_as_before():
    with contextlib.ExitStack() as patched:
        for patch in MUTANTS["orders_ignore_stops"]():
            patched.enter_context(patch)
        scenario = draw(0, 2000)
        ended = run(scenario)
        small, again = shrink(scenario, ended, most_s=20)
        told = run(small, tell=True)
    assert again.broken[:20] == ended.broken[:20] == "Violation: invariant"
    assert len(small.ops) < len(scenario.ops) // 2
    assert "sent to" in told.story


def test_a_scenario_is_what_its_seed_says():
    scenario = draw(3, 1000)
    assert scenario == draw(3, 1000)
    assert scenario != draw(4, 1000)
    assert isinstance(scenario, Scenario)
    assert all(isinstance(op, Op) for op in scenario.ops)


def test_worlds_are_played_side_by_side_from_the_command_line():
    words = ["-m", "tests.sim", "--steps", "1000", "--seeds", "3", "--per-seed", "300", "--jobs", "2"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True, timeout=120)
    assert "0 broken" in done.stdout
