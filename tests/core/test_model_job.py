from __future__ import annotations

import itertools
import pickle

import pytest
from hypothesis import given

from minorch.errors import SpecError
from minorch.model import Affinity, Instance, Job, RestartPolicy, Task
from tests.core.strategies import jobs

A = Task("a", command=["true"])


def task(name: str, **fields) -> Task:
    return Task(name, command=["true"], **fields)


@given(jobs())
def test_plain_data_and_pickle_give_it_back(job: Job):
    assert Job.from_dict(job.to_dict(reveal=True)) == job
    assert pickle.loads(pickle.dumps(job)) == job


@given(jobs())
def test_its_instances_are_as_many_as_its_tasks_ask_for_each_with_its_own_name(job: Job):
    instances = list(job.instances())
    assert len(instances) == sum(
        task.completions if job.kind == "batch" else task.replicas for task in job.tasks
    )
    assert len({instance.name for instance in instances}) == len(instances)


def test_a_task_alone_makes_a_job_too():
    assert Job("j", A) == Job("j", [A])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, '$.name: "" cannot name a job'),
        ({"tasks": []}, "$.tasks: a job needs at least one task"),
        ({"tasks": "a"}, "$.tasks: expected a list of Task, got str"),
        ({"tasks": [{"name": "a"}]}, "$.tasks[0]: expected Task, got dict"),
        ({"kind": "cron"}, "$.kind: 'cron' is none of batch, service"),
        ({"on_failure": "stopp"}, "$.on_failure: 'stopp' is none of continue, stop; did you mean \"stop\"?"),
        ({"parallelism": 0}, "$.parallelism: 0 is not from 1"),
        ({"retries": -1}, "$.retries: -1 is not from 0"),
        ({"deadline_s": 0}, "$.deadline_s: 0 is not from 0.001"),
        ({"labels": {"minorch.a": ""}}, "$.labels.minorch.a: labels that begin"),
        ({"wait_for_nodes": 1}, "$.wait_for_nodes: expected true or false, got 1"),
        ({"priority": 1001}, "$.priority: 1001 is not from -1,000 to 1,000"),
        ({"priority": 0.5}, "$.priority: expected a whole number, got 0.5"),
        ({"gang": "yes"}, "$.gang: expected true or false, got 'yes'"),
        (
            {"gang": True, "tasks": [A, task("b", after=["a"])]},
            "$.tasks[1].after: the tasks of a gang are placed together, so none can come after another",
        ),
        (
            {"gang": True, "parallelism": 2},
            "$.parallelism: a gang is placed together, so no part of it can be held back",
        ),
        (
            {"gang": True, "tasks": [A, task("b", completions=10_000)]},
            "$.gang: 10,001 instances are more than the 10,000 that are placed together at most",
        ),
        (
            {"tasks": [task("cache"), task("b", affinity=[Affinity.near(), Affinity.near(task="cahce")])]},
            '$.tasks[1].affinity[1].task: no task of this job is called "cahce"; did you mean "cache"?',
        ),
        ({"tasks": [A, task("b"), A]}, '$.tasks[2].name: "a" is the name of $.tasks[0] too'),
        (
            {"kind": "service", "tasks": [task("a", completions=2)]},
            "$.tasks[0].completions: completions belong to a batch; a service has replicas",
        ),
        (
            {"kind": "service", "tasks": [A, task("b", after=["a"])]},
            "$.tasks[1].after: the tasks of a service do not complete",
        ),
        ({"tasks": [task("a", replicas=2)]}, "$.tasks[0].replicas: replicas belong to a service"),
        (
            {"tasks": [task("a", completions=600_000), task("b", completions=600_000)]},
            "$.tasks: 1,200,000 instances are more than 1,000,000",
        ),
        (
            {"tasks": [task("prepare"), task("b", after=["prepare", "prepaer"])]},
            '$.tasks[1].after[1]: no task of this job is called "prepaer"; did you mean "prepare"?',
        ),
        ({"tasks": [task("a", after=["a"])]}, "$.tasks: these wait for each other: a after a"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_faulty_job_is_refused(fields, words: str):
    with pytest.raises(SpecError) as caught:
        Job(**{"name": "j", "tasks": [A], **fields})
    assert str(caught.value).startswith(words)


def test_a_gang_is_a_batch_or_a_service_of_what_fits_in_one():
    assert Job("j", [task("a", completions=9_999), task("b")], gang=True).gang
    apart = task("a", replicas=3, affinity=[Affinity.apart(task="a")])
    assert Job("j", [apart], kind="service", gang=True, priority=-1000).tasks == (apart,)


def test_a_circle_is_told_in_the_order_of_waiting():
    circle = [task("a", after=["b"]), task("b", after=["c"]), task("c", after=["a"]), task("d", after=["a"])]
    with pytest.raises(SpecError) as caught:
        Job("j", circle)
    told = caught.value.problem.removeprefix("these wait for each other: ").split(" after ")
    assert told[0] == told[-1]
    after = {one.name: one.after for one in circle}
    assert all(later in after[one] for one, later in itertools.pairwise(told))


def test_instances_are_numbered_where_there_are_several():
    batch = Job("j", [A, task("b", completions=2)])
    assert [(one.name, one.number) for one in batch.instances()] == [("a", None), ("b[0]", 0), ("b[1]", 1)]
    service = Job("j", [task("a", replicas=0), task("b")], kind="service")
    assert list(service.instances()) == [Instance("b", service.tasks[1], None)]


def test_a_batch_does_not_restart_and_a_service_does_unless_the_task_says_otherwise():
    own = task("b", restart=RestartPolicy.on_failure(1))
    assert Job("j", [A]).restart_policy(A) == RestartPolicy.never()
    assert Job("j", [A], kind="service").restart_policy(A) == RestartPolicy.always()
    assert Job("j", [own]).restart_policy(own) == own.restart
