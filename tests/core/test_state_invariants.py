"""The checks find what they are for: each kind of damage is done on purpose."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from minorch.contracts import Change
from minorch.errors import InvariantError
from minorch.manager.desk import Desk
from minorch.manager.holds import Hold
from minorch.manager.invariants import check_desk, check_planner
from minorch.manager.planning import Planner
from minorch.model import Job
from minorch.resources import Resources
from minorch.state.invariants import check_invariants, check_stored
from minorch.state.records import TaskRecord
from minorch.states import AttemptState, JobState, TaskState
from tests.stories.world import World, sleeper


def world() -> World:
    made = World("a", "b")
    made.submit(
        Job(
            "job",
            [
                sleeper(resources=Resources(cpu=1)),
                sleeper("next", after=["sleep"]),
                sleeper("big", resources=Resources(cpu=4), completions=5),
            ],
            parallelism=4,
        )
    )
    made.submit(Job("done", [sleeper()]))
    made.exit(job="done")
    return made


def running(desk: Desk) -> TaskRecord:
    return next(task for task in desk.state.tasks.values() if task.state is TaskState.RUNNING)


def first_job(desk: Desk):
    return next(iter(desk.state.jobs.values()))


def queued(desk: Desk) -> str:
    return next(task_id for task_id in desk.state.tasks if task_id in desk.queue)


def set_field(path: str, value: object) -> Callable[[Desk], None]:
    def damage(desk: Desk) -> None:
        *way, last = path.split(".")
        thing: object = {"task": running(desk), "job": first_job(desk), "state": desk.state}[way[0]]
        for step in way[1:]:
            thing = thing[int(step)] if step.lstrip("-").isdigit() else getattr(thing, step)  # type: ignore[index]
        setattr(thing, last, value)

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (set_field("task.id", "x"), "is filed as"),
        (set_field("task.finished_at", 1.0), "over without an end"),
        (set_field("task.attempt", 3), "attempts are numbered"),
        (set_field("task.state", TaskState.COMPLETED), "over without an end"),
        (set_field("task.state", TaskState.PENDING), "with a live attempt"),
        (set_field("task.state", TaskState.SCHEDULED), "SCHEDULED, but not its attempt"),
        (set_field("task.released", True), "released before it is over"),
        (set_field("task.lost", 5), "5 of 1 attempts lost"),
        (set_field("task.attempts.0.run", 0), "no run began"),
        (set_field("task.attempts.0.node", "z"), "unknown node z"),
        (set_field("task.attempts.0.node", "b"), "has lost count of its tasks"),
        (set_field("job.open", 1), "counts 1 open tasks"),
        (set_field("job.failed", 1), "counts 1 failed tasks"),
        (set_field("job.stopped", 1), "counts 1 stopped tasks"),
        (set_field("job.unmet", [0, 0, 0]), "as unmet"),
        (set_field("job.record.state", JobState.COMPLETED), "is COMPLETED with"),
        (set_field("job.record.finished_at", 1.0), "is over without an end"),
        (set_field("job.record.retries_used", 1), "used 1 retries of 0"),
        (set_field("state.open_tasks", 1), "1 tasks are counted open"),
        (set_field("state.meta.next_event", 1), "event numbers have gaps"),
        (set_field("state.job_ids", {}), "do not lead to the latest ones"),
        (set_field("state.task_stats", {"x": None}), "figures of tasks that are gone"),
        (lambda desk: desk.state.nodes.__setitem__("z", desk.state.nodes["a"]), "is filed as z"),
        (lambda desk: setattr(desk.state.nodes["a"], "reserved", Resources()), "reserved, not"),
        (lambda desk: setattr(desk.state.nodes["a"], "job_tasks", {}), "counts tasks by job"),
        (lambda desk: setattr(desk.state.nodes["a"], "host_ports", {(1, "tcp")}), "promises"),
    ],
)
def test_damage_to_the_tables_is_found(damage: Callable[[Desk], None], words: str):
    made = world()
    check_invariants(made.desk.state)
    damage(made.desk)
    with pytest.raises(InvariantError, match=words):
        check_invariants(made.desk.state)


def test_a_completed_task_of_a_wrong_exit_code_is_found_with_its_story():
    made = world()
    done = next(task for task in made.desk.state.tasks.values() if task.state is TaskState.COMPLETED)
    done.exit_code = 3
    with pytest.raises(
        InvariantError, match=r"(?s)COMPLETED with exit code 3.*of job done: COMPLETED.*Attempt"
    ):
        check_invariants(made.desk.state)


def test_an_attempt_that_is_over_without_a_reason_is_found():
    made = world()
    done = next(task for task in made.desk.state.tasks.values() if task.state is TaskState.COMPLETED)
    done.attempts[0].reason = None
    assert done.attempts[0].state is AttemptState.COMPLETED
    with pytest.raises(InvariantError, match="attempt 1 is over without a reason"):
        check_invariants(made.desk.state)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda desk: desk.queue.add("x" * 32, 1, ("shape",)), "tasks wait that are gone"),
        (
            lambda desk: desk.queue.remove(queued(desk)),
            r"PENDING: \[\]",
        ),
        (lambda desk: first_job(desk).backlog.clear(), r"PENDING: \[\]"),
        (lambda desk: first_job(desk).backlog.append(first_job(desk).backlog[0]), "in its backlog twice"),
        (lambda desk: first_job(desk).active.clear(), "has a backlog and room for it"),
        (lambda desk: first_job(desk).active.add("more"), "has 5 at a time"),
        (lambda desk: setattr(desk, "plan_due", True), "a plan is due"),
        (lambda desk: desk.ended.append(None), "were not followed up"),
        (lambda desk: desk.sessions["a"].held.clear(), "and are told to have"),
        (lambda desk: desk.sessions["a"].changed.update({"x": None}), "what it should not have"),
        (lambda desk: setattr(desk.sessions["a"], "worker", "z"), "the session of z is filed as a"),
        (lambda desk: setattr(first_job(desk).record, "ending", "stopped"), "its job stops, not it"),
    ],
)
def test_damage_to_the_desk_is_found(damage: Callable[[Desk], None], words: str):
    made = world()
    check_desk(made.desk)
    damage(made.desk)
    with pytest.raises(InvariantError, match=words):
        check_desk(made.desk)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda desk, planner: desk.queue.add("x" * 32, 1, ("shape",)), "nobody tries to place what waits"),
        (lambda desk, planner: desk.state.nodes["a"].live.clear(), "node a with other tasks than the tables"),
        (lambda desk, planner: planner.board.nodes.pop(), "node b is not on the board"),
        (lambda desk, planner: planner.holds.keep(Hold("x", "a", 0.0, 1.0)), "other held_for"),
        (
            lambda desk, planner: (
                planner.holds.keep(Hold("x", "a", 0.0, 1.0)),
                desk.state.changed_nodes.update(a=None),
            ),
            "node a is kept for x, which does not wait",
        ),
    ],
)
def test_damage_to_the_planner_is_found(damage: Callable[[Desk, Planner], object], words: str):
    made = world()
    planner = made.manager._planner
    check_planner(made.desk, planner)
    damage(made.desk, planner)
    with pytest.raises(InvariantError, match=words):
        check_planner(made.desk, planner)


def test_rows_that_are_not_the_state_are_found():
    made = world()
    state = made.desk.state
    rows = [Change(table, key, value) for (table, key), value in sorted(made.rows.items())]

    def check(changes: list[Change]) -> None:
        check_stored(state, changes, most_events=made.manager_config.max_events, now=made.now)

    check(rows)
    with pytest.raises(InvariantError, match="nothing was committed"):
        check([])
    state.nodes["z"] = state.nodes["a"]
    with pytest.raises(InvariantError, match="other rows of table node"):
        check(rows)
    del state.nodes["z"]
    running(made.desk).message = "changed behind everybody's back"
    with pytest.raises(InvariantError, match=r"row .* of task: stored is .*, meant is"):
        check(rows)
