"""The benchmark of the simulation runs, at sizes that take no time."""

from __future__ import annotations

import json

import pytest

from benchmarks import simulation


def test_it_tells_rates_growth_and_a_day(capsys: pytest.CaptureFixture[str]):
    options = "--nodes 10 --tasks 60 --growth 100 --day 40 --rounds 1 --json"
    simulation.main(options.split())
    report = json.loads(capsys.readouterr().out)
    expected = ["nodes", "nodes", "abreast", "growth", "growth", "day", "day"]
    assert [row["what"] for row in report["rows"]] == expected
    assert all(row["tasks/s"] > 0 and row["peak MiB"] > 10 for row in report["rows"])
    assert all(row["by bare"] > 0 for row in report["rows"][:2])


def test_the_workload_is_as_long_as_was_asked_for_and_the_same_each_time():
    first, again = (list(simulation.arrivals(100, 5.0, simulation.MANY, seed=3)) for _ in range(2))
    assert sum(sum(1 for _ in arrival.job.instances()) for arrival in first) == 100
    assert [arrival.at_s for arrival in first] == [arrival.at_s for arrival in again]
