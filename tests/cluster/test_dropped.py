"""A cluster that nothing refers to any more is closed, and says so; which ones are open can be asked."""

from __future__ import annotations

import gc
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import minorch as mo
from minorch.runtimes.process import ProcessRuntime
from tests.cluster.fakes import FakeRuntime
from tests.cluster.support import eventually, running, task, threads


@pytest.fixture(autouse=True)
def none_open() -> Iterator[None]:
    """No cluster of another test is looked at."""
    gc.collect()
    assert mo.open_clusters() == ()
    yield
    gc.collect()
    eventually(lambda: mo.open_clusters() == (), "the end of every cluster")


def test_a_dropped_cluster_stops_what_it_runs_and_ends_its_threads(
    fake: FakeRuntime, warnings_of: Callable[[], str]
):
    cluster = mo.Cluster(runtime=fake)
    running(cluster.submit(task()))
    assert warnings_of() == ""
    del cluster
    eventually(lambda: not fake.runs, "the end of its run")
    eventually(lambda: not threads(), "the end of its threads")
    assert warnings_of().count("nothing refers any more to a cluster on runtime fake") == 1
    assert "its tasks are stopped" in warnings_of()


def test_a_name_that_is_given_to_a_new_cluster_lets_the_old_one_go(fake: FakeRuntime):
    cluster = mo.Cluster(runtime=fake)
    first = running(cluster.submit(task())).id
    cluster = mo.Cluster(runtime=fake)
    eventually(lambda: not fake.runs, "the end of the old cluster's run")
    second = running(cluster.submit(task())).id
    assert first != second
    assert len(fake.runs) == 1
    cluster.close()


def test_a_cluster_lives_as_long_as_a_job_or_a_task_of_it_is_referred_to(fake: FakeRuntime):
    job = running(mo.Cluster(runtime=fake).submit(task()))
    one = job.tasks["part"]
    del job
    gc.collect()
    assert one.state is mo.TaskState.RUNNING
    del one
    eventually(lambda: not threads(), "the end of its threads")


def test_a_cluster_that_was_closed_says_nothing_when_it_goes(
    fake: FakeRuntime, warnings_of: Callable[[], str]
):
    cluster = mo.Cluster(runtime=fake)
    cluster.close()
    del cluster
    with mo.Cluster(runtime=fake):
        pass
    gc.collect()
    assert warnings_of() == ""


def test_a_dropped_cluster_that_is_detached_leaves_its_tasks_for_the_next_one(
    tmp_path: Path, processes: ProcessRuntime, warnings_of: Callable[[], str]
):
    store = tmp_path / "jobs.db"
    cluster = mo.Cluster(runtime=processes, store=store, detach=True)
    running(cluster.submit(task("sleep", "1000")))
    del cluster
    eventually(lambda: "minorch-manager" not in threads(), "the end of its threads")
    assert "its tasks go on" in warnings_of()
    with mo.Cluster(runtime=processes, store=store) as cluster:
        assert cluster.jobs["part"].tasks["part"].state is mo.TaskState.RUNNING


def test_a_fork_that_drops_its_parents_cluster_ends_nothing(fake: FakeRuntime):
    cluster = mo.Cluster(runtime=fake)
    job = running(cluster.submit(task()))
    pid = os.fork()
    if pid == 0:
        open_here = mo.open_clusters()
        del cluster, job
        gc.collect()
        os._exit(len(open_here))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "none is open in a fork"
    assert job.tasks["part"].state is mo.TaskState.RUNNING
    assert mo.open_clusters() == (cluster,)
    cluster.close()


def test_the_open_clusters_of_a_process_are_listed_from_the_oldest(make: Callable[..., mo.Cluster]):
    first, second, third = make(), make(), make()
    assert mo.open_clusters() == (first, second, third)
    second.close()
    assert mo.open_clusters() == (first, third)


# -- in a notebook -------------------------------------------------------------------------------------------


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this were a notebook."""
    module: Any = types.ModuleType("IPython")
    module.get_ipython = lambda: object()
    monkeypatch.setitem(sys.modules, "IPython", module)


@pytest.mark.usefixtures("notebook")
def test_in_a_notebook_the_first_job_of_a_new_cluster_says_that_an_older_one_is_open(
    make: Callable[..., mo.Cluster], warnings_of: Callable[[], str]
):
    make()
    new = make()
    assert warnings_of() == "", "it may yet get a with block"
    new.submit(task("exit", "0"))
    new.submit(task("exit", "0", name="another"))
    assert warnings_of().count("1 older cluster is still open in this notebook") == 1
    for old in mo.open_clusters()[:-1]:
        old.close()
    assert mo.open_clusters() == (new,)


@pytest.mark.usefixtures("notebook")
def test_a_cluster_in_a_block_or_on_another_runtime_is_no_older_one(
    make: Callable[..., mo.Cluster], processes: ProcessRuntime, warnings_of: Callable[[], str]
):
    with make() as outer:
        make(runtime=processes).submit(task("true"))
        with make() as inner:
            inner.submit(task("exit", "0"))
        make().submit(task("exit", "0"))
        outer.submit(task("exit", "0"))
    assert warnings_of() == ""


def test_elsewhere_clusters_side_by_side_are_nobodys_business(
    make: Callable[..., mo.Cluster], warnings_of: Callable[[], str]
):
    make().submit(task("exit", "0"))
    make().submit(task("exit", "0"))
    assert warnings_of() == ""
