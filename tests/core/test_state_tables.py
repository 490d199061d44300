"""The tables refuse what cannot be, and read back what was written or say what is damaged."""

from __future__ import annotations

import pytest

from minorch.contracts import Change
from minorch.errors import InvariantError, StoreCorrupt
from minorch.model import Job, Node, Task
from minorch.state.pictures import job_info, node_info, task_info
from minorch.state.records import JobRecord, MetaRecord, TaskRecord, dump, load
from minorch.state.tables import ClusterState, JobEntry
from minorch.states import AttemptState, JobState, Reason, TaskState

NOW = 1000.0
JOB, TASK = "a" * 32, "b" * 32


def new_state() -> ClusterState:
    state = ClusterState(MetaRecord(cluster_id="c" * 32, epoch=1), most_events=10)
    state.add_node(Node("n"), NOW)
    return state


def with_task() -> tuple[ClusterState, JobEntry, TaskRecord]:
    state = new_state()
    job = Job("job", [Task("t", command=["x"])])
    entry = state.add_job(JobRecord(id=JOB, number=1, submitted_at=NOW), job)
    task = TaskRecord(id=TASK, job_id=JOB, name="t", position=0, order=1, submitted_at=NOW)
    state.add_task(entry, task)
    state.count_dependencies(entry)
    return state, entry, task


def rows(state: ClusterState) -> list[Change]:
    changes, _ = state.write()
    return sorted(changes)


def read(changes: list[Change]) -> ClusterState | None:
    return ClusterState.read(changes, most_events=10, now=NOW)


def test_an_empty_store_has_no_state():
    assert read([]) is None
    assert read([Change("job", JOB, None)]) is None


def test_what_was_written_is_read_back():
    state, _, task = with_task()
    state.add_attempt(task, "n", NOW)
    again = read(rows(state))
    assert again is not None
    assert again.tasks[TASK].attempts == task.attempts
    assert list(again.nodes["n"].live) == [TASK]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("meta", "not the one that says which cluster"),
        ("spec", "not its description"),
        ("job", "not its job"),
    ],
)
def test_a_row_that_is_missing_is_named(table: str, words: str):
    changes = [change for change in rows(with_task()[0]) if change.table != table]
    with pytest.raises(StoreCorrupt, match=words):
        read(changes)


def test_a_task_at_a_place_that_its_job_does_not_have_is_named():
    state, _, task = with_task()
    changes = rows(state)
    task.position = 7
    changes = [c if c.table != "task" else Change("task", TASK, dump(task)) for c in changes]
    with pytest.raises(StoreCorrupt, match="not its job"):
        read(changes)


@pytest.mark.parametrize("table", ["meta", "job", "spec", "task", "node", "event"])
def test_a_damaged_row_is_named_without_its_content(table: str):
    with pytest.raises(StoreCorrupt, match=f"row 'key' of table {table} .* is damaged") as caught:
        read([*rows(new_state()), Change(table, "key", b'{"secret": 1}')])
    assert "secret" not in str(caught.value)


def test_a_table_of_another_version_is_named():
    with pytest.raises(StoreCorrupt, match='a table "wishes"'):
        load("wishes", "key", b"{}")


def test_illegal_moves_are_refused_with_the_story_of_the_task():
    state, entry, task = with_task()
    state.log("job_submitted", NOW, job=entry)
    state.log("task_pondered", NOW, task=task)
    with pytest.raises(InvariantError, match=r"(?s)PENDING -> RUNNING.*task t .* of job job.*task pondered"):
        state.move_task(task, TaskState.RUNNING, NOW)
    state.add_attempt(task, "n", NOW)
    with pytest.raises(InvariantError, match="a second live attempt"):
        state.add_attempt(task, "n", NOW)
    state.move_attempt(task, AttemptState.RUNNING, NOW)
    with pytest.raises(InvariantError, match=r"RUNNING -> PREPARING"):
        state.move_attempt(task, AttemptState.PREPARING, NOW)
    state.move_job(entry, JobState.RUNNING, NOW)
    with pytest.raises(InvariantError, match=r"RUNNING -> PENDING\njob job"):
        state.move_job(entry, JobState.PENDING, NOW)
    with pytest.raises(InvariantError, match="is RUNNING and cannot be forgotten"):
        state.remove_job(entry)


def test_events_without_meta_changes_still_write_the_counter():
    state = new_state()
    rows(state)
    state.log("nothing_much", NOW)
    assert [change.table for change in rows(state)] == ["event", "meta"]
    assert rows(state) == []


def test_pictures_say_what_there_is():
    state, entry, task = with_task()
    info = task_info(state, task)
    assert (info.node, info.restarts, info.run_key) == (None, 0, None)
    attempt = state.add_attempt(task, "n", NOW)
    attempt.run = 3
    info = task_info(state, task)
    assert (info.node, info.restarts, info.attempts[0].restarts) == ("n", 2, 2)
    assert job_info(state, entry).tasks == (info,)
    node = node_info(state.nodes["n"])
    assert node.tasks == 1
    assert node.capacity == node.free
    assert task.reason is None
    state.ended_with(task, Reason.EXITED, 0, "")
    assert task.reason is Reason.EXITED
