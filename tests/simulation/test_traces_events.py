"""What really happened, recorded and played again under another scheduler."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest

import minorch as mo
from minorch.errors import TraceError, UsageError
from minorch.model import Job, Node, Task
from minorch.resources import Resources
from minorch.simulation import Conditions, Outcome, SimulatedCluster, Simulation
from minorch.simulation.traces import Recording, from_events, load_events, save_events
from minorch.simulation.workloads.nodes import uniform
from minorch.state.events import Event


def task(name: str, **options) -> Task:
    return Task(name, command=["true"], resources=Resources(cpu=1), **options)


class Timed(Conditions):
    """Each task runs for as many seconds as its name says; ``x`` fails."""

    def outcome(self, node, launch):
        seconds, _, ends = launch.task.name.partition("-")
        return Outcome(float(seconds), int(ends == "x"))


JOBS = [
    Job("dag", [task("100"), task("50", after=["100"])]),
    Job("many", [task("30", completions=4)]),
    Job("fails", [task("20-x")]),
]


def on_a_simulated_cluster() -> Recording:
    nodes = uniform(2, cpu=4, memory="1GiB")
    cluster = SimulatedCluster(nodes, conditions=Timed())
    cluster.run_for(5)
    for job in JOBS:
        cluster.submit(job)
        cluster.run_for(10)
    cluster.run_for(1000)
    manager = cluster.manager.manager
    assert manager is not None
    return Recording(manager.events(), JOBS, nodes)


def test_what_happened_in_one_cluster_happens_again_under_another_scheduler(tmp_path: Path):
    recording = on_a_simulated_cluster()
    path = tmp_path / "tuesday.jsonl.gz"
    save_events(path, *recording)
    trace = from_events(*load_events(path))
    found = list(trace)
    assert [(one.at_s, one.job) for one in found] == [
        (pytest.approx(10 * at, abs=0.2), job) for at, job in enumerate(JOBS)
    ]
    assert found[0].duration_of("100", 0) == pytest.approx(100, abs=0.2)
    assert found[0].duration_of("50", 0) == pytest.approx(50, abs=0.2)
    assert [found[1].duration_of("30", at) for at in range(4)] == pytest.approx([30] * 4, abs=0.2)
    assert [one.exit_code for one in found] == [0, 0, {"20-x": [1]}]
    assert trace.unfinished == 0
    results = {
        scheduler: Simulation(nodes=trace.nodes, workload=trace, scheduler=scheduler).run()
        for scheduler in ("bin-pack", "spread")
    }
    used = {
        scheduler: len({row.node for row in result.records() if row.job == "many"})
        for scheduler, result in results.items()
    }
    assert used == {"bin-pack": 2, "spread": 2}  # three beside the dag, one elsewhere; and evenly
    for result in results.values():
        assert result.ended_s == pytest.approx(150, abs=0.5)
        assert {row.ending for row in result.records() if row.job == "fails"} == {"failed"}


def test_what_happened_on_a_real_cluster_happens_again():
    jobs = [
        Job("nap", [Task("nap", command=["sleep", "0.3"], completions=2)]),
        Job("steps", [Task("a", command=["true"]), Task("b", command=["sleep", "0.2"], after=["a"])]),
    ]
    with mo.Cluster(workers=2, runtime="process") as cluster:
        for handle in [cluster.submit(job) for job in jobs]:
            handle.result(timeout=60)
        events = cluster.events()
    trace = from_events(events, jobs, uniform(2, cpu=1, memory="1GiB"))
    nap, steps = trace
    assert nap.at_s == 0 < steps.at_s < 10
    assert 0.1 < nap.duration_of("nap", 1) < 10
    assert 0.1 < steps.duration_of("b", 0) < 10
    result = Simulation(nodes=trace.nodes, workload=trace, scheduler="bin-pack").run()
    assert {row.ending for row in result.records()} == {"completed"}


# -- stories told by hand --------------------------------------------------------------------


def told(*events: tuple[float, str, str]) -> list[Event]:
    """Events of job ``j``: (when, what, which task)."""
    return [
        Event(number=number, at=1e9 + at, kind=kind, job="j", task=name)
        for number, (at, kind, name) in enumerate(events, 1)
    ]


def durations(job: Job, *events: tuple[float, str, str]):
    trace = from_events(told((0, "job_submitted", ""), *events), [job])
    (one,) = trace
    return {name: one.duration_of(name, 0) for name in (each.name for each in job.tasks)}, trace


ONE = Job("j", [task("a")])


def test_the_last_run_counts_of_a_task_that_was_restarted_or_placed_anew():
    found, _ = durations(
        ONE, (1, "task_running", "a"), (5, "task_restarted", "a"), (7, "task_completed", "a")
    )
    assert found == {"a": 2}
    found, _ = durations(
        ONE,
        (1, "task_running", "a"),
        (5, "task_rescheduled", "a"),
        (9, "task_running", "a"),
        (19, "task_completed", "a"),
    )
    assert found == {"a": 10}


def test_a_task_that_did_not_end_runs_on_and_is_told():
    found, trace = durations(Job("j", [task("a"), task("b")]), (1, "task_running", "a"))
    assert found == {"a": inf, "b": inf}
    assert (trace.unfinished, trace.unfinished_names) == (2, ("j/a", "j/b"))


def test_a_service_runs_on_also_if_it_was_stopped_and_is_not_told():
    job = Job("j", [task("a")], kind="service")
    found, trace = durations(job, (1, "task_running", "a"), (5, "task_stopped", "a"))
    assert found == {"a": inf}
    assert trace.unfinished == 0


def test_a_task_that_ended_without_having_run_is_counted():
    found, trace = durations(ONE, (5, "task_failed", "a"))
    assert found == {"a": 0}
    assert trace.left_out == {"tasks that ended without having run": 1}


def test_a_clock_that_was_set_back_makes_no_negative_duration():
    assert durations(ONE, (9, "task_running", "a"), (7, "task_completed", "a"))[0] == {"a": 0}


def test_a_name_that_was_used_again_is_another_arrival():
    events = told(
        (0, "job_submitted", ""), (1, "task_running", "a"), (2, "task_completed", "a"),
        (60, "job_submitted", ""), (61, "task_running", "a"), (66, "task_completed", "a"),
        (90, "job_submitted", ""),
    )  # fmt: skip
    larger = Job("j", [task("a", env={"x": "y"})])
    found = list(from_events(events, [ONE, larger]))
    assert [(one.at_s, one.job, one.duration_of("a", 0)) for one in found] == [
        (0, ONE, 1),
        (60, larger, 5),
        (90, larger, inf),
    ]


def test_what_was_submitted_before_the_log_begins_is_left_out():
    events = [
        Event(number=7, at=1.0, kind="task_completed", job="old", task="t"),
        Event(number=8, at=2.0, kind="node_lost", node="n"),
        Event(number=9, at=3.0, kind="job_submitted", job="j"),
    ]
    trace = from_events(events, [ONE])
    assert [one.at_s for one in trace] == [0]
    assert trace.left_out == {"jobs that were submitted before the first event": 1}


def test_a_job_that_is_not_given_is_told_or_skipped_and_counted():
    events = told((0, "job_submitted", ""), (1, "task_running", "a"))
    with pytest.raises(TraceError, match='event 1: job "j" was submitted, and is not among the jobs'):
        list(from_events(events, []))
    other = [*events, Event(number=9, at=1e9 + 5, kind="job_submitted", job="k")]
    trace = from_events(other, [Job("k", [task("a")])], strict=False)
    assert ([one.at_s for one in trace], trace.skipped) == ([0], 1)


def test_a_job_that_is_not_what_was_submitted_is_told():
    events = told((0, "job_submitted", ""), (1, "task_running", "b"))
    with pytest.raises(TraceError, match='has no task "b"'):
        list(from_events(events, [ONE]))


def test_events_in_disorder_and_other_things_are_refused():
    events = told((0, "job_submitted", ""), (1, "task_running", "a"))
    with pytest.raises(UsageError, match="event 1 comes after event 2"):
        from_events(reversed(events), [ONE])
    with pytest.raises(UsageError, match="events are what"):
        from_events(["x"], [ONE])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="jobs are what"):
        from_events(events, ["j"])  # type: ignore[list-item]


def test_a_time_that_is_none_is_told():
    far = [*told((0, "job_submitted", "")), Event(number=9, at=1e300, kind="job_submitted", job="j")]
    with pytest.raises(TraceError, match=r"event 9: at_s=1e\+300"):
        list(from_events(far, [ONE]))


def test_a_recording_without_a_job_is_empty():
    with pytest.raises(TraceError, match="the recording: the trace is empty"):
        list(from_events([], []))


# -- in a file -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kept.jsonl", "kept.jsonl.gz"])
def test_a_recording_comes_back_as_it_was_kept_but_for_secrets(tmp_path: Path, name: str):
    job = Job("j", [task("a", env={"x": "1"}, secrets={"KEY": mo.Secret("hunter2")})])
    node = Node("n", capacity=Resources(cpu=4, gpu=1), labels={"a": "b"})
    events = told((0, "job_submitted", ""), (1, "task_running", "a"))
    save_events(tmp_path / name, events, [job], [node])
    back = load_events(tmp_path / name)
    assert (list(back.events), list(back.nodes)) == (events, [node])
    assert list(back.jobs) == [Job("j", [task("a", env={"x": "1"})])]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "no line of a recording"),
        ("[1]", "no line of a recording"),
        ("{}", "no line of a recording"),
        ('{"tusk": 1}', "'tusk' is no node, job or event"),
        ('{"job": {"name": "j", "tasks": [{"name": "a"}]}}', r"\$.tasks\[0\]"),
        ('{"event": {"number": "x", "at": 1, "kind": "k"}}', "no line of a recording"),
        ('{"event": {"number": 1, "at": 1, "kind": "k"}}\n' * 2, "event 1 comes after event 1"),
    ],
)
def test_a_damaged_recording_is_told_with_its_line(tmp_path: Path, line: str, words: str):
    path = tmp_path / "kept.jsonl"
    save_events(path, [], [])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(TraceError, match=words) as caught:
        load_events(path)
    assert caught.value.line == 2 + line.count("\n") // 2


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ('{"minorch":"events","version":2}', "version 2"),
        ("{}", "no recording"),
        ("", "empty"),
        ("{", "no recording"),
    ],
)
def test_a_file_that_is_no_recording_is_told(tmp_path: Path, heading: str, words: str):
    path = tmp_path / "kept.jsonl"
    path.write_text(heading)
    with pytest.raises(TraceError, match=words):
        load_events(path)
