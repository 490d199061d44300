"""What a cluster decides on a real engine, it decides in a simulation that sees the same ends."""

from __future__ import annotations

import pytest

from benchmarks.reality import first_difference, make_job, replay, run_really

pytestmark = pytest.mark.usefixtures("busybox")


@pytest.mark.parametrize("strategy", ["epvm", "round-robin", "random"])
def test_containers_are_placed_as_in_the_simulation(
    strategy: str, monkeypatch: pytest.MonkeyPatch, engine_url: str
):
    monkeypatch.setenv("DOCKER_HOST", engine_url)
    real = run_really(make_job(20, 2), strategy, 2)
    again = replay(real, strategy, 2)
    assert first_difference(real.history, again) == ""
    assert real.history.same(again) == 20
    assert again.makespan_s == pytest.approx(real.history.makespan_s, abs=1e-4)
    waited = [placement for placement in real.history.placements if placement.at_s > 0.1]
    assert len(waited) >= 5, "hardly any placement depended on who had ended"
    assert real.history.same(replay(real, "bin-pack", 2)) < 20, "any strategy would have done the same"
