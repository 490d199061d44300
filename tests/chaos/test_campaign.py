"""A short campaign; and that one in which something goes wrong does not pass."""

from __future__ import annotations

from random import Random

import pytest

import minorch as mo
from minorch.state.pictures import JobInfo, TaskInfo
from tests.chaos.campaign import Campaign, Outcome, ill_ended, order, table
from tests.chaos.faults import FAULTS
from tests.chaos.ledger import Verdict
from tests.chaos.rig import Rig


def test_a_worker_and_an_engine_are_killed_and_all_comes_right(image: bytes):
    with Rig(image) as rig:
        campaign = Campaign(rig, Random(1))
        for fault in ("worker killed", "engine killed, live-restore off"):
            outcome = campaign.cycle(fault)
            assert outcome.verdict.faults == [], campaign.evidence()
        assert len(rig.ledger.runs) >= 10
        assert campaign.finish() == []
        assert rig.left_behind() == []


def test_every_fault_has_its_turn_before_one_has_its_second():
    faults = order(2 * len(FAULTS) + 3, Random(7))
    assert set(faults[: len(FAULTS)]) == FAULTS.keys()
    assert set(faults[len(FAULTS) : 2 * len(FAULTS)]) == FAULTS.keys()
    assert order(50, Random(7)) == order(50, Random(7))
    assert order(50, Random(7)) != order(50, Random(8))


def picture(name: str, state: mo.TaskState, code: int | None = None) -> JobInfo:
    task = TaskInfo(
        id="ab" * 16,
        name=name,
        job="job",
        state=state,
        reason=mo.Reason.EXITED,
        exit_code=code,
        submitted_at=0,
    )
    return JobInfo(
        id="cd" * 16, name="job", kind="batch", state=mo.JobState.FAILED, submitted_at=0, tasks=[task]
    )


@pytest.mark.parametrize(
    ("name", "state", "code", "wrong"),
    [
        ("short", mo.TaskState.COMPLETED, 0, 0),
        ("short", mo.TaskState.FAILED, 137, 1),
        ("doomed", mo.TaskState.FAILED, 3, 0),
        ("doomed", mo.TaskState.FAILED, 4, 1),
        ("doomed", mo.TaskState.COMPLETED, 0, 1),
        ("endless", mo.TaskState.STOPPED, 0, 0),
        ("endless", mo.TaskState.COMPLETED, 0, 1),
    ],
)
def test_a_task_has_to_end_as_its_script_says(name: str, state: mo.TaskState, code: int, wrong: int):
    assert len(ill_ended(picture(name, state, code))) == wrong


def test_the_table_counts_by_fault():
    calm, bad = Verdict([], [], [], [], []), Verdict(["x"], ["y", "z"], ["g"], ["a"], ["b"])
    lines = table(
        [Outcome("worker killed", 1.0, calm), Outcome("worker killed", 3.0, bad), Outcome("disk", 9.0, bad)]
    ).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["worker", "killed", "2", "2.0", "3.0", "1", "2", "1", "1", "1"]
    ]
