"""The judge itself is judged: whatever goes wrong shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from minorch.ids import RunKey
from minorch.state.pictures import AttemptInfo, TaskInfo
from minorch.states import AttemptState, Reason, TaskState
from tests.chaos.ledger import Ledger, Loss, Verdict, judge

ID = "ab" * 16
OTHER = "cd" * 16


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def write(ledger: Ledger, *lines: str) -> None:
    """Each line: what, attempt, run, node, time."""
    with (ledger.folder / "lines").open("a") as file:
        for line in lines:
            what, attempt, run, node, at = line.split()
            file.write(f"{what} {ID} {attempt} {run} {node} {at}\n")


def completed(*, attempt: int = 1, run: int = 1, lost: tuple[int, ...] = (), code: int = 0) -> TaskInfo:
    """A task that is said to have exited with a code, after attempts whose node was lost."""

    def one(number: int) -> AttemptInfo:
        gone = number in lost
        return AttemptInfo(
            number=number,
            node="a",
            state=AttemptState.FAILED if gone else AttemptState.COMPLETED,
            run=run,
            reason=Reason.NODE_LOST if gone else Reason.EXITED,
            exit_code=None if gone else code,
            scheduled_at=0.0,
        )

    return TaskInfo(
        id=ID,
        name="task",
        job="job",
        state=TaskState.FAILED if code else TaskState.COMPLETED,
        reason=Reason.EXITED,
        exit_code=code,
        submitted_at=0.0,
        attempts=tuple(one(number) for number in range(1, attempt + 1)),
    )


def verdict_on(ledger: Ledger, task: TaskInfo, *losses: Loss) -> Verdict:
    return judge(ledger.read(), [task], losses)


def test_a_task_that_did_what_is_said_of_it_is_right(ledger: Ledger):
    write(ledger, "start 1 1 a 1.0", "end=0 1 1 a 2.0")
    assert verdict_on(ledger, completed()) == Verdict([], [], [], [], [])


def test_half_a_line_is_read_once_it_is_whole(ledger: Ledger):
    write(ledger, "start 1 1 a 1.0")
    with (ledger.folder / "lines").open("a") as file:
        file.write(f"end=0 {ID} 1")
        file.flush()
        assert verdict_on(ledger, completed()).lost
        file.write(" 1 a 2.0\n")
    assert verdict_on(ledger, completed()).faults == []


def test_a_task_that_is_said_to_be_completed_and_never_came_to_its_end_is_lost(ledger: Ledger):
    write(ledger, "start 1 1 a 1.0")
    assert len(verdict_on(ledger, completed()).lost) == 1


def test_another_run_s_end_does_not_count(ledger: Ledger):
    write(ledger, "start 1 1 a 1.0", "end=0 1 1 a 1.5", "start 1 2 a 2.0")
    assert len(verdict_on(ledger, completed(run=2)).lost) == 1


def test_a_wrong_exit_code_is_seen(ledger: Ledger):
    write(ledger, "start 1 1 a 1.0", "end=5 1 1 a 2.0")
    assert len(verdict_on(ledger, completed(code=3)).lost) == 1
    assert verdict_on(ledger, completed(code=5)).faults == []


def test_a_run_that_begins_twice_is_doubled(ledger: Ledger):
    write(ledger, "start 1 1 a 1.0", "start 1 1 a 3.0", "end=0 1 1 a 4.0")
    assert len(verdict_on(ledger, completed()).doubled) == 1


def test_a_run_of_an_attempt_that_nobody_knows_is_seen(ledger: Ledger):
    write(ledger, "start 1 1 a 1.0", "end=0 1 1 a 2.0", "start 2 1 b 3.0")
    assert len(verdict_on(ledger, completed()).lost) == 1


def test_two_runs_one_after_the_other_are_right(ledger: Ledger):
    write(ledger, "start 1 1 a 1.0", "end=5 1 1 a 2.0", "start 1 2 a 2.0", "end=0 1 2 a 3.0")
    assert verdict_on(ledger, completed(run=2)) == Verdict([], [], [], [], [])


def test_two_runs_side_by_side_are_doubled(ledger: Ledger):
    write(ledger, "start 1 1 a 1.0", "start 1 2 a 2.0", "tick 1 1 a 2.1", "end=0 1 2 a 3.0")
    assert len(verdict_on(ledger, completed(run=2)).doubled) == 1


def side_by_side(ledger: Ledger) -> None:
    write(ledger, "start 1 1 a 1.0", "start 2 1 b 6.0", "tick 1 1 a 7.0", "end=0 2 1 b 8.0")


def test_side_by_side_is_allowed_once_the_older_one_s_node_was_given_up(ledger: Ledger):
    side_by_side(ledger)
    verdict = verdict_on(ledger, completed(attempt=2, lost=(1,)), Loss("a", 5.0))
    assert verdict.faults == []
    assert len(verdict.given_up) == 1


@pytest.mark.parametrize("loss", [Loss("b", 5.0), Loss("a", 6.5)])
def test_side_by_side_is_not_excused_by_the_loss_of_another_node_or_by_a_later_one(
    ledger: Ledger, loss: Loss
):
    side_by_side(ledger)
    assert len(verdict_on(ledger, completed(attempt=2, lost=(1,)), loss).doubled) == 1


def test_side_by_side_is_not_excused_where_the_attempt_was_not_lost(ledger: Ledger):
    side_by_side(ledger)
    assert len(verdict_on(ledger, completed(attempt=2), Loss("a", 5.0)).doubled) == 1


def test_side_by_side_is_allowed_where_the_older_one_s_engine_knew_nothing_of_it(ledger: Ledger):
    side_by_side(ledger)
    verdict = judge(ledger.read(), [completed(attempt=2)], [], forgotten=[RunKey(ID, 1, 1)])
    assert (verdict.faults, len(verdict.beyond)) == ([], 1)
    other = judge(ledger.read(), [completed(attempt=2)], [], forgotten=[RunKey(ID, 2, 1)])
    assert len(other.doubled) == 1


def test_a_good_end_is_repeated_only_where_it_may_not_have_been_seen(ledger: Ledger):
    write(ledger, "start 1 1 a 1.0", "end=0 1 1 a 2.0", "start 1 2 a 3.0", "end=0 1 2 a 4.0")
    assert len(verdict_on(ledger, completed(run=2)).doubled) == 1
    verdict = judge(ledger.read(), [completed(run=2)], [], unseen=True)
    assert verdict.faults == []
    assert len(verdict.again) == 1


def test_a_second_beginning_is_excused_once_where_the_first_may_not_have_been_seen(ledger: Ledger):
    write(ledger, "start 1 1 a 1.0", "start 1 1 a 3.0", "end=0 1 1 a 4.0")
    assert len(verdict_on(ledger, completed()).doubled) == 1
    unseen = judge(ledger.read(), [completed()], [], unseen=True)
    assert (unseen.faults, len(unseen.again)) == ([], 1)
    assert len(judge(ledger.read(), [completed()], [], unseen=True, once=["task"]).doubled) == 1
    write(ledger, "start 1 1 a 5.0")
    assert len(judge(ledger.read(), [completed()], [], unseen=True).doubled) == 1


def test_a_good_end_on_a_node_that_was_given_up_is_told(ledger: Ledger):
    write(ledger, "start 1 1 a 1.0", "end=0 1 1 a 2.0", "start 2 1 b 6.0", "end=0 2 1 b 8.0")
    verdict = verdict_on(ledger, completed(attempt=2, lost=(1,)), Loss("a", 5.0))
    assert verdict.faults == []
    assert len(verdict.again) == 1


def test_what_other_tasks_did_says_nothing_of_this_one(ledger: Ledger):
    with (ledger.folder / "lines").open("a") as file:
        file.write(f"start {OTHER} 1 1 a 1.0\nstart {OTHER} 1 1 a 1.0\n")
    write(ledger, "start 1 1 a 1.0", "end=0 1 1 a 2.0")
    assert verdict_on(ledger, completed()).faults == []
    assert ledger.runs.keys() == {RunKey(ID, 1, 1), RunKey(OTHER, 1, 1)}
