"""A cluster of machines that come and go: each a node with a worker and a runtime of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import minorch as mo
from minorch.contracts import Watch
from tests.cluster.fakes import FakeRuntime
from tests.cluster.support import eventually

OFTEN = mo.WorkerConfig(heartbeat_s=0.2, retry_s=0.1, relist_s=0.2)
QUICK: Any = {"manager_config": mo.ManagerConfig(lease_s=1.0), "worker_config": OFTEN}


def member(name: str, runtime: FakeRuntime | None = None, **fields: Any) -> mo.Member:
    """A machine of four cores."""
    about = {key: fields.pop(key) for key in ("labels", "capacity") if key in fields}
    about.setdefault("capacity", mo.Resources(cpu=4, memory="4GiB"))
    return mo.Member(node=mo.Node(name, runtime="fake", **about), runtime=runtime or FakeRuntime(), **fields)


class Machines:
    """A fleet that a test changes."""

    name = "fake"

    def __init__(self, *members: mo.Member, engine_lost_s: float | None = None) -> None:
        self.engine_lost_s = engine_lost_s
        self.there = {member.node.name: member for member in members}
        self.closed = 0
        self.notify: Callable[[mo.Member], None] | None = None
        self.raises: Exception | None = None

    def members(self) -> Sequence[mo.Member]:
        if self.raises is not None:
            raise self.raises
        return list(self.there.values())

    def watch(self, notify: Callable[[mo.Member], None]) -> Watch:
        self.notify = notify
        return _Watch()

    def tell(self, member: mo.Member) -> None:
        """Something changed about a machine."""
        assert self.notify is not None
        self.there[member.node.name] = member
        self.notify(member)

    def close(self) -> None:
        self.closed += 1


class _Watch:
    def close(self) -> None:
        """There is nothing to end."""


def runtime_of(machines: Machines, name: str) -> FakeRuntime:
    """What runs the tasks of a machine."""
    runtime = machines.there[name].runtime
    assert isinstance(runtime, FakeRuntime)
    return runtime


def sleepers(count: int, **fields: Any) -> mo.Job:
    """Instances that run until they are stopped."""
    return mo.Job("service", [mo.Task("t", command=["sleep"], completions=count, **fields)])


def nodes_of(job: mo.JobHandle) -> list[str | None]:
    """Where each task is."""
    return [task.node for task in job.info().tasks]


def test_each_machine_runs_its_own_tasks():
    machines = Machines(member("a"), member("b"))
    with mo.Cluster(engine=machines, scheduler="spread") as cluster:
        job = cluster.submit(sleepers(4))
        eventually(lambda: nodes_of(job).count("a") == nodes_of(job).count("b") == 2, "two tasks on each")
        for name in "ab":
            eventually(lambda name=name: len(runtime_of(machines, name).starts) == 2, f"two runs on {name}")
        assert cluster.runtime == "fake"
        assert cluster.runtime_of("a") is machines.there["a"].runtime
        assert repr(cluster) == "<Cluster 2 workers, runtime fake>"
        with pytest.raises(mo.NotFound, match='node "c" is none of the machines'):
            cluster.runtime_of("c")
    assert machines.closed == 0, "it is the caller's"
    for name in "ab":
        assert not [status for _, status in runtime_of(machines, name).runs.values()]


def test_a_machine_that_joins_takes_tasks_from_then_on():
    machines = Machines(member("a", capacity=mo.Resources(cpu=1, memory="1GiB")))
    with mo.Cluster(engine=machines) as cluster:
        job = cluster.submit(sleepers(2, resources=mo.Resources(cpu=1)))
        eventually(lambda: nodes_of(job) == ["a", None], "one that waits")
        machines.tell(member("b"))
        eventually(lambda: nodes_of(job) == ["a", "b"], "both placed")
        assert [node.name for node in cluster.nodes] == ["a", "b"]


def test_a_machine_without_a_capacity_yet_is_told_and_used_when_it_has_one():
    runtime = FakeRuntime()
    runtime.broken, runtime.raises = {"list_runs"}, mo.EngineUnavailable("no SSH to b: permission denied")
    machines = Machines(member("a"), member("b", runtime, capacity=mo.Resources()))
    with mo.Cluster(engine=machines, worker_config=OFTEN) as cluster:
        (b,) = (node for node in cluster.nodes if node.name == "b")
        assert not b.ready
        assert "permission denied" in b.message
        job = cluster.submit(sleepers(1))
        eventually(lambda: nodes_of(job) != [None], "the task placed")
        assert job.info().tasks[0].node == "a"
        runtime.broken = set()
        machines.tell(member("b", runtime, labels={"disk": "ssd"}))
        eventually(lambda: all(node.ready for node in cluster.nodes), "both ready")
        (b,) = (node for node in cluster.nodes if node.name == "b")
        assert b.node.labels == {"disk": "ssd"}
        assert b.capacity.cpu == 4


def test_a_machine_that_does_not_answer_at_a_new_start_is_what_it_was(tmp_path: Path):
    machines, store = Machines(member("a"), member("b", labels={"disk": "ssd"})), tmp_path / "store.db"
    with mo.Cluster(engine=machines, store=store, scheduler="spread", detach=True) as cluster:
        job = cluster.submit(sleepers(2))
        eventually(lambda: sorted(map(str, nodes_of(job))) == ["a", "b"], "one task on each")
        eventually(lambda: all(task.run_key for task in job.info().tasks), "both begun")
    b = runtime_of(machines, "b")
    b.broken, b.raises = {"list_runs"}, mo.EngineUnavailable("it is off")
    machines.there["b"] = member("b", b, capacity=mo.Resources())
    with mo.Cluster(engine=machines, store=store, worker_config=OFTEN) as cluster:
        (node,) = (node for node in cluster.nodes if node.name == "b")
        assert (node.ready, node.capacity.cpu, node.node.labels) == (False, 4, {"disk": "ssd"})
        again = cluster.jobs["service"]
        assert again.state is mo.JobState.RUNNING
        b.broken = set()
        eventually(lambda: all(node.ready for node in cluster.nodes), "both ready")
        assert sorted(map(str, nodes_of(again))) == ["a", "b"]
        assert len(b.starts) == 1, "it runs on"


def test_a_machine_that_has_left_for_good_loses_its_tasks():
    machines = Machines(member("a"), member("b"))
    with mo.Cluster(engine=machines, scheduler="spread", **QUICK) as cluster:
        job = cluster.submit(sleepers(2))
        eventually(lambda: sorted(map(str, nodes_of(job))) == ["a", "b"], "one task on each")
        machines.tell(member("b", runtime_of(machines, "b"), gone=True))
        eventually(lambda: nodes_of(job) == ["a", "a"], "both on a")
        machines.tell(member("never-there", gone=True))


def test_an_engine_that_is_gone_for_long_loses_its_tasks_and_has_them_ended_when_it_is_back():
    machines = Machines(member("a"), member("b"), engine_lost_s=0.3)
    with mo.Cluster(engine=machines, scheduler="spread", **QUICK) as cluster:
        job = cluster.submit(sleepers(2))
        eventually(lambda: sorted(map(str, nodes_of(job))) == ["a", "b"], "one task on each")
        b = runtime_of(machines, "b")
        b.broken, b.raises = {"list_runs", "watch"}, mo.EngineUnavailable("the machine is gone")
        eventually(lambda: nodes_of(job) == ["a", "a"], "both on a")
        assert len(b.runs) == 1
        b.broken = set()
        eventually(lambda: not b.runs, "nothing on b")
        eventually(lambda: all(node.ready for node in cluster.nodes), "both ready")


def test_what_the_fleet_drains_is_drained_and_opened_again_and_what_a_user_does_stays():
    machines = Machines(member("a"), member("b"))
    with mo.Cluster(engine=machines, scheduler="spread") as cluster:
        job = cluster.submit(sleepers(2))
        eventually(lambda: sorted(map(str, nodes_of(job))) == ["a", "b"], "one task on each")
        b = runtime_of(machines, "b")
        machines.tell(member("b", b, availability="drain"))
        eventually(lambda: nodes_of(job) == ["a", "a"], "both on a")

        def cordoned(name: str) -> bool:
            return next(node.cordoned for node in cluster.nodes if node.name == name)

        assert cordoned("b")
        machines.tell(member("b", b))
        assert not cordoned("b")
        machines.tell(member("b", b, availability="paused"))
        assert cordoned("b")
        machines.tell(member("b", b))
        cluster.cordon("b")
        machines.tell(member("b", b, labels={"x": "y"}))
        assert cordoned("b"), "the fleet had not done it"


def test_a_machine_that_is_paused_at_the_start_takes_nothing():
    machines = Machines(member("a"), member("b", availability="paused"))
    with mo.Cluster(engine=machines, scheduler="spread") as cluster:
        job = cluster.submit(sleepers(2))
        eventually(lambda: nodes_of(job) == ["a", "a"], "both on a")


def test_a_fleet_is_chosen_by_name_and_closed_with_the_cluster():
    machines = Machines(member("a"))
    registry = mo.default_registry()
    registry.add_fleet("mine", lambda: machines, summary="two of them")
    assert [info.summary for info in registry.describe() if info.kind == "fleet" and info.name == "mine"] == [
        "two of them"
    ]
    with mo.Cluster(engine="mine", registry=registry) as cluster:
        assert cluster.why == "machines of fleet fake"
    assert machines.closed == 1
    registry.add_fleet("wrong", lambda: object())  # type: ignore[arg-type,return-value]
    with pytest.raises(
        mo.PluginError, match=r"not a Fleet \(it lacks close, engine_lost_s, members, name, watch"
    ):
        mo.Cluster(engine="wrong", registry=registry)
    with pytest.raises(mo.UnknownPlugin, match='no fleet is called "mien"'):
        mo.Cluster(engine="mien", registry=registry)


def test_a_fleet_that_has_none_to_offer_is_told_in_its_own_words_and_closed():
    machines = Machines()
    machines.raises = mo.EngineUnavailable("a: it is off; b: it is off")
    registry = mo.default_registry()
    registry.add_fleet("mine", lambda: machines)
    with pytest.raises(mo.EngineUnavailable, match="a: it is off; b: it is off"):
        mo.Cluster(engine="mine", registry=registry)
    assert machines.closed == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": Machines(member("a")), "workers": 3}, "leave out workers= and runtime="),
        ({"engine": Machines(member("a")), "runtime": "process"}, "leave out workers= and runtime="),
        ({"engine": 7}, "engine= takes a name, addresses of Docker Engines or a fleet, not a int"),
        ({"engine": []}, "a fleet has 1 to 10,000 engines, not 0"),
        ({"engine": [7]}, "an engine is an address or a DockerEngine, not a int"),
        ({"engine": ["tcp://a:1", "tcp://a:2"]}, 'would both be node "a": give one another name'),
        ({"engine": "docker"}, 'For this machine write runtime="docker"'),
        ({"engine": "process"}, 'For this machine write runtime="process"'),
        ({"engine": "swarn"}, 'no fleet is called "swarn"; did you mean "swarm"'),
        ({"engine": ["gopher://a"]}, '"gopher://a" is not the address of a Docker Engine'),
        ({"engine": ["a"]}, '"a" is not the address of a Docker Engine'),
        ({"engine": ["tcp://a"]}, '"tcp://a" has no host or no port: write tcp://host:2376'),
        ({"engine": ["http://:2375"]}, '"http://:2375" has no host or no port'),
        ({"engine": ["ssh://-oProxyCommand=x"]}, "names no host"),
        ({"engine": ["ssh://a:secret@b"]}, '"ssh://b" is not the address of a Docker Engine.*no password'),
    ],
)
def test_machines_that_make_no_sense_are_refused_in_words(options: dict[str, Any], words: str):
    with pytest.raises(mo.UsageError, match=words.replace("(", r"\(")):
        mo.Cluster(**options)


def test_two_machines_of_one_name_are_refused():
    class Doubled(Machines):
        def members(self) -> Sequence[mo.Member]:
            return [member("a"), member("a")]

    with pytest.raises(mo.UsageError, match='two workers are called "a"'):
        mo.Cluster(engine=Doubled())


def test_what_joins_while_the_cluster_closes_comes_to_nothing():
    machines = Machines(member("a"))
    cluster = mo.Cluster(engine=machines)
    cluster.close()
    before = threading.active_count()
    machines.tell(member("b"))
    assert threading.active_count() == before
