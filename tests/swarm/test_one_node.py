"""What is special about the Swarm runtime, on a real Swarm of one node."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import minorch as mo
from minorch.contracts import Launch, Owner, RunStatus
from minorch.errors import EngineUnavailable, NotFound, StartFailed
from minorch.ids import RunKey
from minorch.model import HealthCheck, Mount, Port, Task
from minorch.runtimes.swarm import Swarm, SwarmRuntime
from minorch.states import Reason
from minorch.testing.runtime_contract import Notes, eventually
from tests.chaos.private_engine import PrivateEngine
from tools import engine as tool

PATIENCE_S = 60.0


class Story:
    """A runtime with one owner: makes launches, and cleans up behind them."""

    def __init__(self, swarm: Swarm, engine: PrivateEngine) -> None:
        self.swarm = swarm
        self.engine = engine
        (node,) = swarm.link.poll.fresh().nodes.values()
        self.node = node
        self.runtime: SwarmRuntime = swarm.runtime(node.id)
        self.owner = Owner(uuid.uuid4().hex, "node-1")

    def launch(self, shell: str, **fields: object) -> Launch:
        """A launch of a line of shell."""
        options = {"image": tool.IMAGE, "command": ["sh", "-c", shell], "stop_grace_s": 2, **fields}
        return Launch(
            key=RunKey(uuid.uuid4().hex, 1, 1),
            owner=self.owner,
            job="story",
            task_name="part",
            index=0,
            task=Task("part", **options),  # type: ignore[arg-type]
        )

    def start(self, shell: str, **fields: object) -> Launch:
        """Start a line of shell."""
        launch = self.launch(shell, **fields)
        self.runtime.start(launch)
        return launch

    def ended(self, launch: Launch) -> RunStatus:
        """Wait for the end of a run."""

        def look() -> RunStatus | None:
            status = self.runtime.inspect(launch.key)
            assert status is not None
            return status if status.phase == "exited" else None

        found = eventually(look, within_s=PATIENCE_S)
        assert found is not None
        return found

    def call(self, method: str, path: str, body: object = None) -> object:
        """Call the engine behind the library's back."""
        data = None if body is None else json.dumps(body).encode()
        status, answer = tool.request(self.engine.socket, method, path, data)
        assert status < 300, answer
        return json.loads(answer) if answer else None


@pytest.fixture
def story(swarm: Swarm, swarm_engine: PrivateEngine) -> Iterator[Story]:
    story = Story(swarm, swarm_engine)
    yield story
    for status in story.runtime.list_runs(story.owner):
        swarm.link.services.remove(status.key)
    eventually(lambda: not swarm_engine.containers(), within_s=PATIENCE_S)


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"image": "nosuch:latest"}, Reason.IMAGE_NOT_FOUND, "No such image"),
        ({"mounts": [Mount("/s", kind="secret", source="nosuch")]}, Reason.START_FAILED, "no secret"),
        ({"networks": ["nosuch"]}, Reason.START_FAILED, "network"),
        ({"image": "sha256:" + "0" * 64}, Reason.IMAGE_NOT_FOUND, "image"),
    ],
)
def test_what_cannot_start_is_refused_and_leaves_nothing(
    story: Story, fields: dict[str, object], reason: Reason, words: str
) -> None:
    launch = story.launch("true", **fields)
    with pytest.raises(StartFailed, match=words) as caught:
        story.runtime.start(launch)
    assert caught.value.reason == reason.value
    assert story.runtime.list_runs(story.owner) == []


def test_a_missing_command_is_named(story: Story) -> None:
    launch = story.start("", command=["/no/such/command"])
    status = story.ended(launch)
    assert (status.exit_code, status.reason) == (127, Reason.COMMAND_NOT_FOUND)
    assert "/no/such/command" in status.message


def test_an_image_may_be_named_by_its_id(story: Story) -> None:
    image = story.call("GET", f"/images/{tool.IMAGE}/json")
    assert isinstance(image, dict)
    assert story.ended(story.start("exit 4", image=image["Id"])).exit_code == 4


def test_the_exit_code_of_a_run_that_was_ended_stays_readable(story: Story) -> None:
    launch = story.start("trap 'exit 7' TERM; while :; do sleep 0.05; done")
    story.runtime.terminate(launch.key)
    status = story.ended(launch)
    assert (status.exit_code, status.reason) == (7, Reason.EXITED)
    time.sleep(1.0)
    assert story.ended(launch).exit_code == 7
    story.runtime.remove(launch.key)
    assert story.runtime.inspect(launch.key) is None


def test_a_run_that_swarm_ended_for_a_drain_is_not_a_success(story: Story) -> None:
    launch = story.start("trap 'exit 0' TERM; while :; do sleep 0.05; done")

    def availability(word: str) -> None:
        node = story.call("GET", f"/nodes/{story.node.id}")
        assert isinstance(node, dict)
        spec = {**node["Spec"], "Availability": word}
        story.call("POST", f"/nodes/{story.node.id}/update?version={node['Version']['Index']}", spec)

    availability("drain")
    try:
        status = story.ended(launch)
    finally:
        availability("active")
    assert (status.exit_code, status.reason) == (0, Reason.KILLED)
    assert "Swarm ended it" in status.message
    time.sleep(1.0)
    assert [one.phase for one in story.runtime.list_runs(story.owner)] == ["exited"]
    assert story.engine.containers(status=["running"]) == [], "Swarm does not start it again"


def test_a_removal_by_somebody_else_is_told(story: Story) -> None:
    notes = Notes()
    launch = story.start("exec sleep 60")
    watch = story.runtime.watch(story.owner, notes)
    eventually(lambda: notes.told == [None])
    story.swarm.link.services.remove(launch.key)
    eventually(lambda: notes.told.count(None) > 1, within_s=PATIENCE_S)
    assert story.runtime.list_runs(story.owner) == []
    watch.close()


def test_the_node_makes_an_exec_check_and_ends_what_fails_it(story: Story) -> None:
    check = HealthCheck.exec(["test", "-f", "/tmp/ok"], interval_s=0.3, threshold=2, start_period_s=5)
    launch = story.start("sleep 1; touch /tmp/ok; sleep 2; rm /tmp/ok; sleep 60", health=check)
    assert story.runtime.probe(launch.key, check).healthy
    status = story.ended(launch)
    assert status.reason is Reason.UNHEALTHY
    assert not story.runtime.probe(launch.key, check).healthy


def test_limits_and_safe_defaults_reach_the_container(story: Story) -> None:
    story.start("exec sleep 60", resources=mo.Resources(cpu=0.5, memory="32MiB"), pids=77)
    (container,) = story.engine.containers(status=["running"])
    record = story.call("GET", f"/containers/{container['Id']}/json")
    assert isinstance(record, dict)
    config = record["HostConfig"]
    assert (config["NanoCpus"], config["Memory"], config["PidsLimit"]) == (5 * 10**8, 32 << 20, 77)
    assert sorted(config["CapDrop"]) == ["CAP_MKNOD", "CAP_NET_RAW"]
    assert config["Init"] is True
    assert config["Privileged"] is False


def test_a_task_without_grace_is_killed_at_once(story: Story) -> None:
    launch = story.start("trap '' TERM; while :; do sleep 0.1; done", stop_grace_s=0)
    began = time.monotonic()
    story.runtime.terminate(launch.key)
    assert story.ended(launch).exit_code == 137
    assert time.monotonic() - began < 8


def test_a_restricted_task_is_nobody_and_cannot_write(story: Story) -> None:
    launch = story.start("id -u; touch /etc/x || echo read-only; touch /tmp/x", security="restricted")
    assert story.ended(launch).exit_code == 0
    log = b"".join(story.runtime.logs(launch.key))
    assert b"65534" in log
    assert b"read-only" in log


def test_secrets_and_configs_are_files(story: Story) -> None:
    names = {"secret": f"s{uuid.uuid4().hex[:8]}", "config": f"c{uuid.uuid4().hex[:8]}"}
    ids = {
        kind: story.call(
            "POST", f"/{kind}s/create", {"Name": name, "Data": base64.b64encode(kind.encode()).decode()}
        )
        for kind, name in names.items()
    }
    launch = story.start(
        "cat /run/secrets/s /etc/app.conf",
        mounts=[
            Mount("/run/secrets/s", kind="secret", source=names["secret"]),
            Mount("/etc/app.conf", kind="config", source=names["config"]),
        ],
    )
    assert story.ended(launch).exit_code == 0
    assert b"".join(story.runtime.logs(launch.key)) == b"secretconfig"
    story.swarm.link.services.remove(launch.key)
    for kind, made in ids.items():
        assert isinstance(made, dict)
        story.call("DELETE", f"/{kind}s/{made['ID']}")


def test_a_followed_log_has_each_line_once_and_ends_with_the_run(story: Story) -> None:
    launch = story.start("for n in $(seq 1 300); do echo $n; done; sleep 1; echo last; echo err >&2")
    pieces = story.runtime.logs(launch.key, follow=True)
    lines = b"".join(pieces).split()
    assert lines[:300] == [str(n).encode() for n in range(1, 301)]
    assert sorted(lines[300:]) == [b"err", b"last"]


def test_a_followed_tail_begins_with_the_last_lines(story: Story) -> None:
    launch = story.start("for n in 1 2 3 4; do echo $n; done; sleep 2; echo 5")
    eventually(lambda: b"4" in b"".join(story.runtime.logs(launch.key)), within_s=PATIENCE_S)
    assert b"".join(story.runtime.logs(launch.key, follow=True, tail=2)) == b"3\n4\n5\n"


def test_leftovers_are_found_and_removed(story: Story) -> None:
    launch = story.start("exec sleep 60")
    found = [left for left in mo.leftovers(story.runtime) if left.key == launch.key]
    assert [(left.phase, left.verdict) for left in found] == [("running", "unknown")]
    assert mo.leftovers(story.runtime).of(story.owner.cluster_id).clean(unknown=True) == 1
    assert story.runtime.list_runs(story.owner) == []


def test_a_port_on_one_address_alone_is_refused(story: Story) -> None:
    with pytest.raises(StartFailed, match="every address"):
        story.runtime.start(story.launch("true", ports=[Port(80)]))


def test_a_node_that_there_is_not_is_told_with_those_that_there_are(story: Story) -> None:
    with pytest.raises(NotFound, match=story.node.hostname):
        story.swarm.runtime("nosuch")


def test_an_engine_that_is_in_no_swarm_is_told_at_once(engine_url: str) -> None:
    swarm = Swarm([engine_url])
    try:
        with pytest.raises(EngineUnavailable, match="is in no Swarm: docker swarm init"):
            swarm.link.poll.fresh()
        with pytest.raises(EngineUnavailable, match="is in no Swarm: docker swarm init"):
            swarm.link.managers.check_addresses()
    finally:
        swarm.close()


def test_many_runs_are_started_at_once(story: Story) -> None:

    launches = [story.launch(f"exit {number % 3}") for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(story.runtime.start, launches))
    codes = [story.ended(launch).exit_code for launch in launches]
    assert codes == [number % 3 for number in range(20)]
