from __future__ import annotations

import itertools

import pytest

from minorch.errors import InvariantError
from minorch.states import (
    ATTEMPT_MOVES,
    JOB_MOVES,
    TASK_MOVES,
    AttemptState,
    JobState,
    Reason,
    TaskState,
    check_move,
    diagram,
)

TABLES = [(TaskState, TASK_MOVES), (AttemptState, ATTEMPT_MOVES), (JobState, JOB_MOVES)]
tables = pytest.mark.parametrize(("states", "moves"), TABLES, ids=["task", "attempt", "job"])


@tables
def test_every_state_has_its_row(states, moves):
    assert list(moves) == list(states)
    assert set(itertools.chain(*moves.values())) <= set(states)


@tables
def test_terminal_states_have_no_exit_and_all_others_have_one(states, moves):
    for state in states:
        assert state.terminal == (not moves[state])


@tables
def test_every_state_can_be_reached_from_the_first(states, moves):
    reached, todo = set(), [next(iter(states))]
    while todo:
        state = todo.pop()
        if state not in reached:
            reached.add(state)
            todo += moves[state]
    assert reached == set(states)


@tables
def test_every_state_that_is_not_terminal_can_fail_and_be_stopped(states, moves):
    for state in states:
        if not state.terminal:
            assert {states.FAILED, states.STOPPED} <= moves[state]


@tables
def test_no_state_moves_to_itself(states, moves):
    assert not [state for state in states if state in moves[state]]


def test_an_attempt_only_climbs():
    for old, new in itertools.product(AttemptState, AttemptState):
        assert (new in ATTEMPT_MOVES[old]) == (new.rank > old.rank)


def test_a_task_goes_back_only_to_wait_for_a_new_attempt():
    order = list(TaskState)
    back = [(old, new) for old in order for new in TASK_MOVES[old] if order.index(new) < order.index(old)]
    assert sorted(back) == [(TaskState.RUNNING, TaskState.PENDING), (TaskState.SCHEDULED, TaskState.PENDING)]


@tables
def test_a_move_is_checked_against_the_table(states, moves):
    for old, new in itertools.product(states, states):
        if new in moves[old]:
            check_move(moves, old, new, "the story")
        else:
            with pytest.raises(InvariantError, match=f"illegal move {old} -> {new}\nthe story"):
                check_move(moves, old, new, "the story")


def test_the_diagram_shows_every_move_once():
    assert diagram(ATTEMPT_MOVES) == (
        "stateDiagram-v2\n"
        "    [*] --> SCHEDULED\n"
        "    SCHEDULED --> PREPARING\n"
        "    SCHEDULED --> RUNNING\n"
        "    SCHEDULED --> COMPLETED\n"
        "    SCHEDULED --> FAILED\n"
        "    SCHEDULED --> STOPPED\n"
        "    PREPARING --> RUNNING\n"
        "    PREPARING --> COMPLETED\n"
        "    PREPARING --> FAILED\n"
        "    PREPARING --> STOPPED\n"
        "    RUNNING --> COMPLETED\n"
        "    RUNNING --> FAILED\n"
        "    RUNNING --> STOPPED\n"
        "    COMPLETED --> [*]\n"
        "    FAILED --> [*]\n"
        "    STOPPED --> [*]\n"
    )


@tables
def test_a_diagram_has_a_line_for_each_move_the_beginning_and_the_ends(states, moves):
    lines = diagram(moves).splitlines()
    ends = sum(state.terminal for state in states)
    assert len(lines) == len(set(lines)) == 2 + sum(map(len, moves.values())) + ends


def test_states_and_reasons_are_their_own_text():
    assert f"{TaskState.RUNNING} {Reason.OOM}" == "RUNNING oom"
    assert len(set(Reason)) == len(Reason.__members__)
