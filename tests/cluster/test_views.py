"""What a cluster and its handles show in a notebook, while it goes on and afterwards."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import minorch as mo
from minorch.cluster.handles import JobHandle, TaskHandle
from tests.cluster.support import running, task

Make = Callable[..., mo.Cluster]


def words(markup: str) -> str:
    """What there is to read, with a blank between texts."""
    root = ElementTree.fromstring(markup)
    for one in root.iter():
        if one.tag in ("style", "title"):
            one.text = ""
    return " ".join(text.strip() for text in root.itertext() if text.strip())


def test_a_cluster_shows_its_nodes_and_how_its_jobs_stand(make: Make):
    cluster = make(2)
    running(cluster.submit(mo.Job("long", [task(resources=mo.Resources(cpu=0.01))])))
    cluster.submit(task("exit", "0", name="short")).wait(10)
    text = words(cluster._repr_html_())
    assert "2 nodes · runtime fake" in text
    assert "jobs 1 running 1 completed" in text
    assert all(f"{node.name} ready {node.tasks}" in text for node in cluster.nodes)
    assert not cluster.settled
    cluster.close()
    assert cluster.settled
    assert "2 nodes · closed" in words(cluster._repr_html_())


def test_sequences_of_a_cluster_show_themselves_and_are_tuples(make: Make):
    cluster = make(2)
    running(cluster.submit(mo.Job("long", [task()])))
    assert "2 nodes" in words(cluster.nodes._repr_html_())  # type: ignore[attr-defined]
    assert "long/part" in words(cluster.tasks._repr_html_())  # type: ignore[attr-defined]
    assert "task running" in words(cluster.events()._repr_html_())  # type: ignore[attr-defined]
    assert "1 job job state long RUNNING" in words(cluster.jobs._repr_html_())  # type: ignore[attr-defined]
    assert isinstance(cluster.nodes, tuple)
    assert isinstance(cluster.tasks, tuple)
    assert isinstance(cluster.events(), tuple)


def test_of_many_jobs_the_latest_are_named(make: Make):
    cluster = make(1)
    for number in range(35):
        cluster.submit(task("exit", "0", name=f"j{number}"))
    text = words(cluster.jobs._repr_html_())  # type: ignore[attr-defined]
    assert text.startswith("35 jobs")
    assert " j4 " not in text
    assert " j34 " in text
    assert text.endswith("and 5 more jobs")


def test_handles_show_what_happened_so_far(make: Make):
    cluster = make(1)
    job = running(cluster.submit(mo.Job("long", [task(), task(name="other")])))
    assert "job long RUNNING batch · 2 tasks" in words(job._repr_html_())
    text = words(job.tasks["part"]._repr_html_())
    assert "task long/part RUNNING on" in text
    assert "History" in text
    assert "task scheduled" in text
    assert "2 tasks task state part RUNNING other RUNNING" in words(
        job.tasks._repr_html_()  # type: ignore[attr-defined]
    )
    assert not job.settled
    job.stop(wait=True, timeout=10)
    assert job.settled
    assert "job long STOPPED" in words(job._repr_html_())


def test_a_job_whose_cluster_is_closed_is_settled_although_it_goes_on(make: Make):
    cluster = make(1)
    job = cluster.submit(mo.Job("long", [task()]))
    cluster.close()
    assert job.settled


def test_a_handle_of_a_job_that_was_forgotten_says_so(make: Make):
    job = JobHandle(make(1), "f" * 32, "gone")
    part = TaskHandle(job._access, job, "e" * 32, "part")
    assert words(job._repr_html_()).startswith("job gone there is no job")
    assert words(part._repr_html_()).startswith("task part there is no task")
