"""A user who makes mistakes is told what to do, in minorch's words alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import minorch as mo
from minorch.runtimes.process import ProcessRuntime
from tests.cluster.fakes import FakeRuntime
from tests.cluster.support import eventually, no_strangers_in, running, task

Make = Callable[..., mo.Cluster]


def refused(act: Callable[[], object], *words: str, kind: type[Exception] = mo.UsageError) -> None:
    """Check that an act is refused with all these words, and with no stranger's traceback."""
    with pytest.raises(kind) as found:
        act()
    text = str(found.value)
    assert all(word in text for word in words), text
    no_strangers_in(found.value)


# -- what is no time, number or node --------------------------------------------------------------


@pytest.mark.parametrize("timeout", ["5", timedelta(seconds=5), float("nan"), True])
def test_a_time_out_is_a_number_of_seconds(cluster: mo.Cluster, timeout: Any):
    job = cluster.submit(task())
    node = cluster.nodes[0].name
    cluster.drain(node)
    for act in (
        lambda: job.wait(timeout),
        lambda: job.result(timeout),
        lambda: job.wait_ready(timeout),
        lambda: job.stop(wait=True, timeout=timeout),
        lambda: cluster.wait_drained(node, timeout),
    ):
        refused(act, "is no number of seconds", "total_seconds()" if isinstance(timeout, timedelta) else "")


def test_a_node_is_given_by_its_name_or_its_picture(cluster: mo.Cluster):
    (node,) = cluster.nodes
    cluster.cordon(node)
    assert cluster.nodes[0].cordoned
    cluster.uncordon(node)
    assert not cluster.nodes[0].cordoned
    cluster.drain(node, wait=True, timeout=20)
    cluster.wait_drained(cluster.nodes[0], timeout=20)
    for act in (
        lambda: cluster.cordon(1),  # type: ignore[arg-type]
        lambda: cluster.uncordon(None),  # type: ignore[arg-type]
        lambda: cluster.drain([node]),  # type: ignore[arg-type]
        lambda: cluster.wait_drained(mo.Node("worker-1")),  # type: ignore[arg-type]
    ):
        refused(act, "takes a node of cluster.nodes or its name, not a")


def test_what_is_no_number_of_lines_or_events_is_refused(cluster: mo.Cluster):
    (part,) = cluster.submit(task()).tasks.values()
    for tail in ("1", -1, True, 1.5):
        refused(lambda tail=tail: part.logs(tail=tail), "is no number of lines")
        refused(lambda tail=tail: next(part.follow(tail=tail)), "is no number of lines")
    refused(lambda: part.logs(since="yesterday"), "is no time in seconds")  # type: ignore[arg-type]
    for since in ("x", None, 1.5, True):
        refused(lambda since=since: cluster.events(since=since), "is no number of an event")


# -- making a cluster -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scheduler": "epmv"}, ["no scheduler", "epvm"]),
        ({"scheduler": "least_loaded"}, ["no scheduler", 'did you mean "least-loaded"']),
        ({"scheduler": mo.Scheduler}, ["write Scheduler()"]),
        ({"scheduler": 3}, ["cost(task, node)", "not a int"]),
        ({"runtime": "dokcer"}, ["no runtime", 'did you mean "docker"']),
        ({"runtime": 3}, ["runtime=", "not a int"]),
        ({"runtime": FakeRuntime}, ["runtime"]),
        ({"store": "sqlte:///x.db"}, ["no store", 'did you mean "sqlite"']),
        ({"store": "sqlite:"}, ["names no file"]),
        ({"store": 3}, ["store=", "not a int"]),
        ({"detach": True}, ["detach=True", "sqlite:"]),
        ({"manager_config": {"lease_s": 3}}, ["manager_config= takes ManagerConfig(...), not {"]),
        ({"worker_config": {}}, ["worker_config= takes WorkerConfig(...), not {}"]),
        ({"plugins": object()}, ["write a list of plugins"]),
        ({"plugins": "mine"}, ["write a list of plugins"]),
        ({"scheduler": lambda task: 0.0}, ["two arguments, (task, node)"]),
        ({"filters": [lambda: None]}, ["two arguments, (task, node)"]),
        ({"workers": 0}, ["1 to 10,000"]),
        ({"workers": -1}, ["1 to 10,000"]),
        ({"workers": 10_001}, ["1 to 10,000"]),
        ({"workers": True}, ["workers=True"]),
        ({"workers": None}, ["a number or a list of Node"]),
        ({"workers": 1.5}, ["a number or a list of Node"]),
        ({"workers": "3"}, ["a number or a list of Node"]),
        ({"workers": mo.Node("a")}, ["write workers=[Node(...)]"]),
        ({"workers": []}, ["at least one worker"]),
        ({"workers": [mo.Node("a"), mo.Node("a")]}, ['two workers are called "a"']),
        ({"workers": ["a"]}, ["list of Node"]),
        (
            {"workers": [mo.Node("a", capacity=mo.Resources(cpu=8, memory="8GiB")), mo.Node("b")]},
            ["take all the machine has", "give the other 1 one too"],
        ),
    ],
)
def test_a_cluster_that_makes_no_sense_is_refused_in_words(
    fake: FakeRuntime, options: dict[str, Any], words: list[str]
):
    refused(lambda: mo.Cluster(**{"runtime": fake, **options}), *words)


def test_an_engine_that_is_down_is_told_with_its_address_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/dead.sock")
    refused(lambda: mo.Cluster(runtime="docker"), f"{tmp_path}/dead.sock", kind=mo.EngineUnavailable)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with mo.Cluster(runtime="auto") as cluster:
        assert cluster.runtime == "process"
        assert "dead.sock" in cluster.why


@pytest.mark.parametrize("runtime", ["docker", "auto"])
def test_a_docker_host_that_is_no_address_is_told(monkeypatch: pytest.MonkeyPatch, runtime: str):
    monkeypatch.setenv("DOCKER_HOST", "localhost/var/run")
    refused(lambda: mo.Cluster(runtime=runtime), "unix:///var/run/docker.sock")


def test_a_directory_that_does_not_exist_is_named(fake: FakeRuntime, tmp_path: Path):
    refused(
        lambda: mo.Cluster(runtime=fake, store=tmp_path / "no" / "jobs.db"),
        "create it first",
        kind=mo.StoreError,
    )


@pytest.mark.parametrize("form", [str, Path, "sqlite://{}".format, "sqlite:{}".format])
def test_a_store_is_named_by_a_path_or_a_url(
    fake: FakeRuntime, tmp_path: Path, form: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
):
    path = str(tmp_path / "jobs.db")
    with mo.Cluster(runtime=fake, store=form(path)) as cluster:  # type: ignore[arg-type]
        cluster.submit(task("exit", "0", name="kept")).wait(10)
    monkeypatch.chdir(tmp_path)
    with mo.Cluster(runtime=fake, store="jobs.db") as cluster:
        assert cluster.jobs["kept"].state is mo.JobState.COMPLETED
    assert [name for name in os.listdir(tmp_path) if name.endswith(".db")] == ["jobs.db"]


# -- writing a task -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda: mo.Resources(cpu=1, memroy=5), ["memory"]),
        (lambda: mo.Resources(memory="64 megs"), ["64 megs"]),
        (lambda: mo.Task("a", command="echo hi"), ['["sh", "-c", "..."]']),
        (lambda: mo.Task("a"), ["image or a command"]),
        (lambda: mo.Task("a b", command=["true"]), ["cannot name a task"]),
        (lambda: mo.Task("a", command=["true"], resources={"cpu": 1}), ["Resources("]),
        (lambda: mo.Task("a", command=["true"], restart="on-failure"), ["RestartPolicy.on_failure(3)"]),
        (lambda: mo.Task("a", command=["sleep", 5]), ["$.command[1]", 'write "5"']),
        (lambda: mo.Task("a", command=["true"], env={"A": 1}), ["$.env.A", 'write "1"']),
        (lambda: mo.Task("a", command=["true"], secrets={"A": "x"}), ["$.secrets.A", "write Secret(...)"]),
        (lambda: mo.Task("a", command=["true"], ports=[80]), ["$.ports[0]", "write Port(...)"]),
        (lambda: mo.Job("j", []), ["at least one task"]),
        (lambda: mo.Job("j", [task(after=["prat"])]), ["prat"]),
        (lambda: mo.Job("j", [task(replicas=3)]), ["completions"]),
        (lambda: mo.Job("j", [task(), task()]), ["part"]),
    ],
)
def test_a_task_that_is_not_well_formed_is_refused_where_it_is_written(
    write: Callable[[], object], words: list[str]
):
    refused(write, *words)


def test_a_task_that_fits_nowhere_is_refused_with_what_there_is(make: Make):
    cluster = make(2)
    refused(lambda: cluster.submit(task(resources=mo.Resources(cpu=100))), "cpu", "ask for less")
    refused(lambda: cluster.submit(task(constraints=["disk == ssd"])), "disk")
    refused(lambda: cluster.submit(task(runtime="docker")), "docker")
    assert not cluster.jobs


@pytest.mark.parametrize("thing", ["part", None, 3, [task()], mo.Task])
def test_only_jobs_and_tasks_are_submitted(cluster: mo.Cluster, thing: Any):
    refused(lambda: cluster.submit(thing), "submit() takes a Job or a Task")


def test_a_name_is_free_again_once_its_job_is_over(cluster: mo.Cluster, fake: FakeRuntime):
    job = running(cluster.submit(task()))
    refused(lambda: cluster.submit(task()), '"part" is RUNNING', "take another name")
    fake.end(fake.starts[0], 0)
    job.wait(10)
    again = running(cluster.submit(task()))
    assert again.id != job.id
    assert cluster.jobs["part"].id == again.id
    assert job.state is mo.JobState.COMPLETED


# -- asking ---------------------------------------------------------------------------------------


def test_names_that_do_not_exist_are_answered_with_the_nearest(cluster: mo.Cluster):
    job = running(cluster.submit(mo.Job("hello", [task(name="greet")])))
    for ask, words in [
        (lambda: cluster.explain("hello/gret"), ["gret", '"greet"']),
        (lambda: cluster.explain("helo/greet"), ["helo", '"hello"']),
        (lambda: cluster.explain("hello"), ["hello"]),
        (lambda: cluster.cordon("worker1"), ["worker1", '"worker-1"']),
        (lambda: cluster.drain(""), ["node"]),
        (lambda: cluster.jobs["helo"], ["helo"]),
        (lambda: job.tasks["gret"], ["gret"]),
    ]:
        refused(ask, *words)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [None, 3, "a job"])
def test_explain_says_what_it_takes(cluster: mo.Cluster, wrong: Any):
    job = running(cluster.submit(mo.Job("hello", [task(name="greet")])))
    refused(lambda: cluster.explain(job if wrong == "a job" else wrong), "job.tasks[")


def test_logs_of_what_never_ran_say_why_there_are_none(make: Make):
    cluster = make([mo.Node("a", capacity=mo.Resources(cpu=1, memory="1GiB"))])
    running(cluster.submit(task(name="first", resources=mo.Resources(cpu=1))))
    second = cluster.submit(task(name="second", resources=mo.Resources(cpu=1)))
    refused(second.tasks["second"].logs, "second", "PENDING", kind=mo.RuntimeFault)
    text = str(cluster.explain(second.tasks["second"]))
    assert "cpu" in text


# -- everything can be looked at ------------------------------------------------------------------


def test_everything_has_a_repr_and_a_table_that_escapes_what_it_shows(make: Make):
    cluster = make([mo.Node("a", labels={"x": "<script>"}), mo.Node("b", taints=["mine"])])
    good = task(name="good", labels={"y": "<script>"})
    bad = task("exit", "3", name="bad", env={"X": "<script>"})
    job = running(cluster.submit(mo.Job("shown", [good])))
    over = cluster.submit(bad)
    over.wait(10)
    eventually(lambda: cluster.nodes[0].stats, "figures", 10)
    shown = [
        *(cluster.table(), cluster._repr_html_(), job.table(), job._repr_html_(), over._repr_html_()),
        *(repr(cluster), repr(job), repr(over), repr(job.tasks["good"]), repr(over.tasks["bad"])),
        *(str(cluster.explain("shown/good")), str(cluster.explain("bad/bad"))),
        *map(str, cluster.events()),
    ]
    assert all(shown)
    assert not [text for text in shown if "<script>" in text]
    assert "<TaskHandle bad/bad FAILED (exited)>" in shown
    assert "<JobHandle shown RUNNING: 1 RUNNING>" in shown
    assert repr(cluster.registry)
    assert repr(cluster.nodes[0])
    assert repr(cluster.tasks[0])


# -- choosing nodes -------------------------------------------------------------------------------


def test_labels_constraints_and_taints_decide_where_a_task_may_go(make: Make):
    nodes = [mo.Node("fast", labels={"disk": "ssd"}), mo.Node("slow", labels={"disk": "hdd"})]
    cluster = make([*nodes, mo.Node("mine", taints=["reserved"])])
    tasks = [
        task(name="ssd", constraints=["disk == ssd"]),
        task(name="hdd", constraints=["disk != ssd"], completions=1),
        task(name="mine", constraints=["disk != ssd", "disk != hdd"], tolerations=["reserved"]),
    ]
    job = running(cluster.submit(mo.Job("job", tasks)))
    assert {name: t.node for name, t in job.tasks.items()} == {"ssd": "fast", "hdd": "slow", "mine": "mine"}


def test_capacity_is_shared_evenly_and_what_is_given_is_taken_off(make: Make):
    given = mo.Node("given", capacity=mo.Resources(cpu=2, memory="2GiB"))
    cluster = make([given, mo.Node("a"), mo.Node("b")])
    assert [node.capacity.cpu_millis for node in cluster.nodes] == [2000, 3000, 3000]
    assert {node.capacity.memory for node in cluster.nodes[1:]} == {3 * 1024**3}
    assert {node.node.runtime for node in cluster.nodes} == {"fake"}


class Last(mo.Scheduler):
    """Always the last node."""

    def cost(self, task: mo.TaskView, node: mo.NodeView) -> float:
        return -node.index


def _last(task: mo.TaskView, node: mo.NodeView) -> float:
    return -node.index


class LastPlugin:
    """Offers it by name."""

    @mo.hookimpl
    def minorch_schedulers(self) -> list[mo.SchedulerPlugin]:
        return [mo.SchedulerPlugin("last", Last)]


@pytest.mark.parametrize(
    "options", [{"scheduler": Last()}, {"scheduler": _last}, {"scheduler": "last", "plugins": [LastPlugin()]}]
)
def test_a_scheduler_is_a_function_an_object_or_a_name(make: Make, options: dict[str, Any]):
    cluster = make(3, **options)
    assert running(cluster.submit(task())).tasks["part"].node == "worker-3"


def test_a_scheduler_that_raises_fails_its_task_and_the_cluster_goes_on(make: Make):
    def picky(task: mo.TaskView, node: mo.NodeView) -> float:
        if task.name == "bad":
            raise KeyError("my bug")
        return 0.0

    cluster = make(scheduler=picky)
    bad = cluster.submit(task(name="bad"))
    assert bad.wait(10) is mo.JobState.FAILED
    assert bad.tasks["bad"].reason is mo.Reason.PLUGIN_ERROR
    assert "my bug" in bad.tasks["bad"].message
    running(cluster.submit(task(name="good")))
    with pytest.raises(mo.JobFailed, match="my bug"):
        bad.result()


def test_explain_tells_of_waiting_placed_and_finished_tasks(make: Make):
    cluster = make([mo.Node("a", capacity=mo.Resources(cpu=1, memory="1GiB"))])
    full = mo.Resources(cpu=1)
    running(cluster.submit(task(name="placed", resources=full)))
    cluster.submit(task(name="waiting", resources=full))
    over = cluster.submit(task("exit", "3", name="over"))
    over.wait(10)
    after = cluster.submit(mo.Job("chain", [task(name="x"), task("exit", "0", name="y", after=["x"])]))
    texts = {
        name: str(cluster.explain(name))
        for name in ("placed/placed", "waiting/waiting", "over/over", "chain/y")
    }
    assert "RUNNING" in texts["placed/placed"]
    assert "cpu" in texts["waiting/waiting"]
    assert "exited" in texts["over/over"]
    assert "waits for 1 task" in texts["chain/y"]
    assert str(cluster.explain(after.tasks["y"])) == texts["chain/y"]
    with pytest.raises(mo.NotFound, match='"chain" is a job; ask about a task of it, such as "chain/x"'):
        cluster.explain("chain")


def test_a_job_that_failed_carries_its_evidence(processes: ProcessRuntime):
    with mo.Cluster(runtime=processes) as cluster:
        talk = "for i in 1 2 3 4 5 6 7; do echo line $i; done; exit 9"
        job = cluster.submit(mo.Job("job", [task("sh", "-c", talk, completions=7)]))
        with pytest.raises(mo.JobFailed) as found:
            job.result(timeout=30)
        text = str(found.value)
        assert 'job "job" ended FAILED' in text
        assert "part[0]: FAILED (exited, exit code 9) on worker-1" in text
        assert "| line 7" in text
        assert "| line 2" not in text
        assert "and 2 more tasks" in text
        missing = cluster.submit(task("no-such-command", name="missing"))
        assert missing.wait(10) is mo.JobState.FAILED
        assert missing.tasks["missing"].reason is mo.Reason.COMMAND_NOT_FOUND
        assert missing.tasks["missing"].exit_code == 127
        assert "no-such-command" in missing.tasks["missing"].message


def test_a_secret_that_a_task_prints_is_in_its_log_but_in_no_error(processes: ProcessRuntime):
    with mo.Cluster(runtime=processes) as cluster:
        leaky = task(
            "sh", "-c", "echo cannot log in with $TOKEN; exit 1", secrets={"TOKEN": mo.Secret("s3cret")}
        )
        job = cluster.submit(leaky)
        with pytest.raises(mo.JobFailed, match=r"cannot log in with \*\*\*") as found:
            job.result(timeout=30)
        assert "s3cret" not in str(found.value)
        assert job.tasks["part"].logs() == "cannot log in with s3cret\n"


def test_a_log_is_followed_from_the_start_of_a_task_that_has_not_started_yet(processes: ProcessRuntime):
    with mo.Cluster(runtime=processes) as cluster:
        chain = [
            task("sleep", "0.3", name="first"),
            task("sh", "-c", "echo one; sleep 0.1; echo two", name="then", after=["first"]),
            task("no-such-command", name="never"),
        ]
        job = cluster.submit(mo.Job("job", chain))
        assert list(job.tasks["then"].follow()) == ["one", "two"]
        with pytest.raises(mo.RuntimeFault, match="never started"):
            list(job.tasks["never"].follow())


def test_the_evidence_is_short_however_long_the_lines_are(processes: ProcessRuntime):
    line = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the last words; exit 1"
    with mo.Cluster(runtime=processes) as cluster:
        job = cluster.submit(mo.Task("part", command=["sh", "-c", line]))
        with pytest.raises(mo.JobFailed, match="the last words") as found:
            job.result(timeout=20)
    assert len(str(found.value)) < 2000


def test_handles_of_one_thing_are_equal_and_those_of_another_are_not(make: Make):
    cluster, other = make(), make()
    job, second, elsewhere = (
        cluster.submit(task()),
        cluster.submit(mo.Job("second", [task()])),
        other.submit(task()),
    )
    assert job == cluster.jobs[job.name]
    assert len({job, cluster.jobs[job.name], second, elsewhere}) == 3
    assert job != second
    assert job != job.name
    (part,) = job.tasks.values()
    (again,) = cluster.jobs[job.name].tasks.values()
    assert part == again
    assert {part, again} == {part}
    assert part != next(iter(second.tasks.values()))
    assert part != part.id
    assert cluster.jobs._ipython_key_completions_() == [job.name, "second"]  # type: ignore[attr-defined]
