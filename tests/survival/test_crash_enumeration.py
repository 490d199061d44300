"""The manager is killed at every commit of every scenario: before it, after it, and while it sends.

Each scenario is played once undisturbed, to count its commits, and then once for each place to die.  The
rows are in a SQLite file, and the next manager starts from a copy of the file and its log, as a killed
process leaves them.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import pytest

from tests.survival.crashing import MOMENTS, Crash, CrashingWorld, Outcome
from tests.survival.figures import THOROUGH, memory_directory, tell
from tests.survival.scenarios import SCENARIOS, Scenario


def play(scenario: Scenario, within: Path, *crashes: Crash) -> tuple[Outcome, CrashingWorld]:
    with tempfile.TemporaryDirectory(dir=within) as directory:
        return scenario.play(Path(directory), *crashes)


SOON = [Crash(1, "before"), Crash(1, "after"), Crash(2, "sent")]
"""Where the next manager dies too, when there is time to try that."""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_wherever_the_manager_dies_the_end_is_the_same(scenario: Scenario):
    with memory_directory() as memory:
        expected, world = play(scenario, memory)
        commits, places, twice = world.commits, 0, 0
        for commit, moment in itertools.product(range(1, commits + 1), MOMENTS):
            crash = Crash(commit, moment)
            outcome, world = play(scenario, memory, crash)
            assert outcome == expected, crash
            assert world.deaths == 1, f"nobody died at {crash}"
            places += 1
            for next_one in SOON if THOROUGH else ():
                outcome, world = play(scenario, memory, crash, next_one)
                assert outcome == expected, (crash, next_one)
                twice += world.deaths == 2
    assert expected
    assert places == commits * len(MOMENTS)
    tell(f"{scenario.name}: {commits} commits, killed at {places} places, and {twice} times twice")
