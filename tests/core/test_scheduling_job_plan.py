"""How two jobs of one name differ, and a dry run in words."""

from __future__ import annotations

from minorch.model import Job, Secret, Task
from minorch.scheduling import JobPlan, PlannedPlacement, PlannedPreemption, PlannedWait
from minorch.scheduling.job_plan import changes_between


def a_job(*tasks: Task, **fields: object) -> Job:
    return Job("job", tasks or [Task("t", command=["true"])], **fields)  # type: ignore[arg-type]


def test_equal_jobs_have_no_changes():
    changes = changes_between(a_job(), a_job(), "RUNNING")
    assert not changes
    assert str(changes) == "none"


def test_changes_name_fields_and_no_values():
    before = a_job(Task("t", command=["true"], secrets={"A": Secret("hush")}), retries=1)
    after = a_job(Task("t", command=["false"], secrets={"A": Secret("psst")}), Task("n", command=["true"]))
    changes = changes_between(before, after, "RUNNING")
    assert changes.fields == ["retries"]
    assert changes.new == ["n"]
    assert dict(changes.changed) == {"t": ["command", "secrets"]}
    assert str(changes) == "job: retries; new: n; changed: t (command, secrets)"
    assert changes_between(after, before, "RUNNING").gone == ["n"]
    for value in ("hush", "psst"):
        assert value not in repr(changes)


def test_a_plan_reads_as_text_and_is_plain_data():
    plan = JobPlan(
        job="job",
        placements=[PlannedPlacement(task="a", node="n1", cost=0.5)],
        waiting=[PlannedWait(tasks=["b"], why="1 node: cordoned")],
        preempted=[PlannedPreemption(task="b", node="n1", moved=["low/x", "low/y"])],
    )
    assert str(plan).splitlines() == [
        "job: 1 of 2 tasks would be placed now",
        "  placed:",
        "    a on n1, cost 0.5",
        "  not placed:",
        "    b: 1 node: cordoned",
        "  would take the room of others:",
        "    b on n1, in place of low/x, low/y",
    ]
    assert plan.to_dict()["preempted"] == [{"task": "b", "node": "n1", "moved": ["low/x", "low/y"]}]


def test_one_task_is_no_plural():
    plan = JobPlan(job="job", placements=[PlannedPlacement(task="a", node="n1", cost=0.5)])
    assert str(plan).startswith("job: 1 of 1 task would be placed now")
