"""What the oracle lets pass and what it does not, where a world that shows it is one in thousands."""

from __future__ import annotations

from unittest import mock

import pytest

from minorch.contracts import Launch
from minorch.model import Job, Node, RestartPolicy, Task
from minorch.resources import Resources
from minorch.simulation import Conditions, Outcome, SimulatedCluster
from minorch.states import TaskState
from minorch.worker import supervisor
from tests.sim.oracle import Oracle, Violation


class Lasting(Conditions):
    """Runs fail, each after its time in seconds."""

    def __init__(self, *lasts_s: float) -> None:
        self._lasts_s = lasts_s

    def outcome(self, node: str, launch: Launch) -> Outcome:
        return Outcome(self._lasts_s[launch.key.run - 1], 1)


def play(*lasts_s: float) -> Oracle:
    """A task that is restarted twice in a row, and again after ten minutes."""
    oracle = Oracle(100_000)
    node = Node("n0", capacity=Resources(cpu=4, memory="8GiB"), runtime="sim")
    cluster = SimulatedCluster([node], conditions=Lasting(*lasts_s), observer=oracle)
    policy = RestartPolicy.on_failure(2)
    assert policy.reset_after_s == 600
    cluster.submit(Job("job", [Task("t", command=["x"], restart=policy)], retries=0, wait_for_nodes=True))
    cluster.run_for(sum(lasts_s) + 100)
    return oracle


@pytest.mark.parametrize(
    ("lasts_s", "runs"),
    [
        ((5, 5, 5, 5), 3),
        ((590, 5, 5, 5), 3),
        ((5, 620, 5, 5, 5), 4),
        ((5, 5, 620, 5, 5, 5), 5),
        ((5, 620, 5, 620, 5, 5, 5), 6),
    ],
)
def test_restarts_in_a_row_begin_again_with_a_run_that_lasted(lasts_s: tuple[float, ...], runs: int):
    oracle = play(*lasts_s)
    (task,) = oracle.tasks.values()
    assert task.state is TaskState.FAILED
    assert task.attempts[-1].run == runs


@pytest.mark.parametrize(
    ("lasts_s", "run"),
    [((5, 5, 5, 5), 4), ((500, 5, 5, 5), 4), ((5, 620, 5, 5, 5), 5), ((5, 620, 5, 620, 5, 5, 5), 7)],
)
def test_one_restart_too_many_is_seen(lasts_s: tuple[float, ...], run: int):
    forgetful = mock.patch.object(supervisor, "decide_restart", return_value=1.0)
    with forgetful, pytest.raises(Violation, match=f"invariant 6: run {run} of"):
        play(*lasts_s)
