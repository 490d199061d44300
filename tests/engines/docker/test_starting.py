"""Starting runs on a real engine: once, adopted, refused, or failed without a trace."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from minorch.contracts import Owner, Runtime
from minorch.errors import EngineUnavailable, StartFailed
from minorch.ids import RunKey
from minorch.model import Port, Secret
from minorch.resources import Resources
from minorch.runtimes.docker import DockerRuntime
from minorch.states import Reason
from tests.engines.docker.conftest import Story


def test_the_runtime_keeps_the_contract_and_describes_its_machine(runtime: DockerRuntime):
    info = runtime.describe()
    assert isinstance(runtime, Runtime)
    assert info.capacity.cpu >= 1
    assert info.capacity.memory > 2**26
    assert info.capacity.disk > 0
    assert info.platform in ("linux/amd64", "linux/arm64")
    assert info.address == "127.0.0.1"
    assert info.version


def test_a_run_starts_ends_and_leaves_nothing_after_its_removal(story: Story):
    launch = story.start("sh", "-c", "exit 3")
    status = story.ended(launch)
    assert (status.exit_code, status.reason) == (3, Reason.EXITED)
    assert status.started_at is not None
    assert status.finished_at is not None
    assert status.finished_at >= status.started_at
    assert len(status.handle) == 64
    story.runtime.remove(launch.key)
    story.runtime.remove(launch.key)
    assert story.runtime.inspect(launch.key) is None
    assert story.listed() == []


def test_a_container_carries_the_runs_name_and_labels_and_the_users(story: Story):
    launch = story.start("true", labels={"team": "blue"})
    config = story.record(launch)["Config"]
    assert config["Labels"] == {
        "minorch.cluster": story.owner.cluster_id,
        "minorch.node": "node-1",
        "minorch.task-id": launch.key.task_id,
        "minorch.attempt": "1",
        "minorch.run": "1",
        "minorch.job": "story",
        "minorch.task": "part",
        "team": "blue",
    }


def test_limits_and_safe_defaults_are_in_the_engines_record(story: Story):
    launch = story.start("sleep", "60", resources=Resources(cpu=0.5, memory="32MiB"), pids=99)
    config = story.record(launch)["HostConfig"]
    assert config["NanoCpus"] == 500_000_000
    assert config["Memory"] == config["MemorySwap"] == 32 * 2**20
    assert config["PidsLimit"] == 99
    assert config["Init"] is True
    assert config["Privileged"] is False
    assert config["RestartPolicy"]["Name"] == "no"
    assert config["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert config["SecurityOpt"] == ["no-new-privileges"]
    assert sorted(config["CapDrop"]) == ["MKNOD", "NET_RAW"]


def test_environment_working_directory_and_user_reach_the_command(story: Story):
    launch = story.start(
        "sh", "-c", "echo $A $B $MINORCH_TASK; pwd; id -u", env={"A": "1 2"}, secrets={"B": Secret("x$y")},
        workdir="/tmp", user="1234",
    )  # fmt: skip
    assert story.ended(launch).exit_code == 0
    assert b"".join(story.runtime.logs(launch.key)) == b"1 2 x$y part\n/tmp\n1234\n"


def test_an_entrypoint_replaces_the_images_and_an_empty_one_clears_it(story: Story):
    replaced = story.start("b", entrypoint=["echo", "a"])
    cleared = story.start("echo", "c", entrypoint=[])
    assert (story.ended(replaced).exit_code, story.ended(cleared).exit_code) == (0, 0)
    assert b"".join(story.runtime.logs(replaced.key)) == b"a b\n"
    assert b"".join(story.runtime.logs(cleared.key)) == b"c\n"


def test_starting_twice_starts_once(story: Story):
    launch = story.launch("sh", "-c", "echo once; sleep 60")
    first = story.runtime.start(launch)
    second = story.runtime.start(launch)
    assert first == second
    assert b"".join(story.runtime.logs(launch.key)) == b"once\n"


def test_starting_from_many_threads_starts_once(story: Story):
    launch = story.launch("echo", "once")
    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(lambda _n: story.runtime.start(launch), range(6)))
    assert {status.key for status in statuses} == {launch.key}
    story.ended(launch)
    assert b"".join(story.runtime.logs(launch.key)) == b"once\n"
    assert len(story.listed()) == 1


def test_two_runtimes_that_start_the_same_run_at_once_make_one_container(story: Story, engine_url: str):
    launch = story.launch("sh", "-c", "echo once; sleep 60")
    runtimes = [DockerRuntime(engine_url) for _ in range(6)]
    try:
        with ThreadPoolExecutor(6) as pool:
            statuses = list(pool.map(lambda runtime: runtime.start(launch), runtimes))
    finally:
        for runtime in runtimes:
            runtime.close()
    assert len({status.handle for status in statuses}) == 1
    assert b"".join(story.runtime.logs(launch.key)) == b"once\n"


def test_what_has_ended_is_not_started_again(story: Story):
    launch = story.start("sh", "-c", "echo once; exit 4")
    before = story.ended(launch)
    assert story.runtime.start(launch) == before
    assert b"".join(story.runtime.logs(launch.key)) == b"once\n"


def test_a_container_made_by_a_lost_call_is_adopted_and_started(story: Story, engine_url: str):
    import docker

    launch = story.launch("sleep", "60")
    story.runtime.start(launch)
    story.api.kill(launch.key.name)
    config = story.record(launch)["Config"]
    story.api.remove_container(launch.key.name, force=True)
    story.api.create_container(
        "busybox:latest", ["sleep", "60"], name=launch.key.name, labels=config["Labels"],
        host_config=story.api.create_host_config(network_mode="none"),
    )  # fmt: skip
    other = DockerRuntime(engine_url)
    assert [status.phase for status in other.list_runs(story.owner)] == ["created"]
    assert other.start(launch).phase == "running"
    other.close()
    assert isinstance(story.api, docker.APIClient)


def test_a_name_taken_by_a_container_that_is_not_the_runs_is_refused(story: Story):
    launch = story.start("sleep", "60")
    stranger = msgspec.structs.replace(launch, owner=Owner(launch.owner.cluster_id, "node-2"))
    with pytest.raises(StartFailed, match="not this run's"):
        story.runtime.start(stranger)
    status = story.runtime.inspect(launch.key)
    assert status is not None
    assert status.phase == "running"


def test_a_container_without_labels_is_nobodys_run(story: Story, busybox: str):
    key = RunKey("ab" * 16, 1, 1)
    made = story.api.create_container(busybox, ["true"], name=key.name)
    try:
        assert story.runtime.inspect(key) is None
        story.runtime.kill(key)
        story.runtime.remove(key)
        with pytest.raises(StartFailed, match="not this run's"):
            story.runtime.start(story.launch("true", key=key))
        assert story.api.inspect_container(made["Id"])["State"]["Status"] == "created"
    finally:
        story.api.remove_container(made["Id"])


def test_a_missing_command_ends_with_127_and_says_so(story: Story):
    launch = story.start("no-such-command")
    status = story.ended(launch)
    assert status.exit_code == 127
    assert status.reason == Reason.COMMAND_NOT_FOUND
    assert "no-such-command" in status.message


def test_a_shell_that_ends_with_127_has_just_exited(story: Story):
    launch = story.start("sh", "-c", "exit 127")
    status = story.ended(launch)
    assert (status.exit_code, status.reason) == (127, Reason.EXITED)


def test_an_absent_image_is_image_not_found(story: Story):
    with pytest.raises(StartFailed, match="No such image") as caught:
        story.runtime.start(story.launch("true", image="minorch-absent:1"))
    assert caught.value.reason == Reason.IMAGE_NOT_FOUND
    assert story.listed() == []


def test_a_taken_port_is_port_taken_and_leaves_nothing_behind(story: Story, free_port: int):
    story.start("sleep", "60", ports=[Port(80, host=free_port)], networks=[])
    second = story.launch("sleep", "60", ports=[Port(80, host=free_port)], networks=[])
    with pytest.raises(StartFailed) as caught:
        story.runtime.start(second)
    assert caught.value.reason == Reason.PORT_TAKEN
    assert story.runtime.inspect(second.key) is None
    assert len(story.listed()) == 1


def test_a_network_that_is_not_there_fails_the_start_and_leaves_nothing_behind(story: Story):
    for networks in (["minorch-absent"], ["bridge", "minorch-absent"]):
        with pytest.raises(StartFailed, match="minorch-absent"):
            story.runtime.start(story.launch("true", networks=networks))
    assert story.listed() == []


def test_a_task_joins_every_network_that_it_names(story: Story):
    names = [f"{story.owner.cluster_id}-{n}" for n in "ab"]
    try:
        for name in names:
            story.api.create_network(name)
        launch = story.start("sleep", "60", networks=names)
        assert sorted(story.record(launch)["NetworkSettings"]["Networks"]) == names
        story.clean_up()
    finally:
        for name in names:
            story.api.remove_network(name)


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (Resources(memory="4MiB"), "too little"),
        (Resources(memory=10**15), "more than this machine"),
        (Resources(cpu=4096), "more than this machine"),
    ],
)
def test_impossible_amounts_are_refused_in_words(story: Story, resources: Resources, words: str):
    with pytest.raises(StartFailed, match=words):
        story.runtime.start(story.launch("true", resources=resources))
    assert story.listed() == []


def test_ports_are_told_random_and_fixed(story: Story, free_port: int):
    launch = story.launch("sleep", "60", ports=[Port(80), Port(81, host=free_port), Port(53, protocol="udp")],
                          networks=[])  # fmt: skip
    status = story.runtime.start(launch)
    assert status.ports["81/tcp"] == f"127.0.0.1:{free_port}"
    assert status.ports["80/tcp"].startswith("127.0.0.1:")
    assert set(status.ports) == {"80/tcp", "81/tcp", "53/udp"}


def test_no_error_shows_a_secret(story: Story, monkeypatch: pytest.MonkeyPatch):
    from minorch.runtimes.docker import starting, translation

    secret = 'hunter2"\\quoted'
    original = translation.create_body

    def with_nul(launch, policy, host):
        body = original(launch, policy, host)
        body["Env"].append(f"BAD={secret}\0")  # a Task refuses this; the engine echoes the value
        return body

    monkeypatch.setattr(starting, "create_body", with_nul)
    with pytest.raises(StartFailed) as caught:
        story.runtime.start(story.launch("true", secrets={"PASSWORD": Secret(secret)}))
    assert "hunter2" not in str(caught.value)
    assert "***" in str(caught.value)
    assert caught.value.__cause__ is None
    assert story.listed() == []


def test_a_start_whose_answer_is_lost_is_settled_by_looking(story: Story, monkeypatch: pytest.MonkeyPatch):
    real = story.runtime._engine._request
    lost: list[str] = []

    def lossy(client, method, url, *args, **kwargs):
        answer = real(client, method, url, *args, **kwargs)
        for step in ("/create", "/start"):
            if url.endswith(step) and step not in lost:
                lost.append(step)
                raise EngineUnavailable("the answer was lost")
        return answer

    monkeypatch.setattr(story.runtime._engine, "_request", lossy)
    launch = story.launch("sh", "-c", "echo once; sleep 60")
    assert story.runtime.start(launch).phase == "running"
    assert lost == ["/create", "/start"]
    assert b"".join(story.runtime.logs(launch.key)) == b"once\n"


def test_a_create_that_never_arrived_is_undecided(story: Story, monkeypatch: pytest.MonkeyPatch):
    real = story.runtime._engine._request

    def deaf(client, method, url, *args, **kwargs):
        if url.endswith("/create"):
            raise EngineUnavailable("cut off")
        return real(client, method, url, *args, **kwargs)

    launch = story.launch("true")
    with monkeypatch.context() as patch:
        patch.setattr(story.runtime._engine, "_request", deaf)
        with pytest.raises(EngineUnavailable):
            story.runtime.start(launch)
    assert story.runtime.inspect(launch.key) is None
    assert story.runtime.start(launch).phase in ("running", "exited")
