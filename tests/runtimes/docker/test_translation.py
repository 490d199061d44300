"""From a launch to what the engine is asked, without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minorch.contracts import Launch, Owner
from minorch.errors import PolicyError, SpecError, StartFailed, UsageError
from minorch.ids import RunKey
from minorch.model import Mount, Port, Secret, Task
from minorch.resources import Resources
from minorch.runtimes.docker.labels import is_of, key_of, labels_of, owner_filter
from minorch.runtimes.docker.policy import DockerPolicy
from minorch.runtimes.docker.translation import Host, create_body

HOST = Host(Resources(cpu=2, memory="4GiB"), True, "/var/run/docker.sock")
OWNER = Owner("ab" * 16, "node-1")


def launch(*command: str, **fields: Any) -> Launch:
    fields.setdefault("image", "busybox")
    key = RunKey("cd" * 16, 2, 3)
    task = Task("part", command=list(command) or ["true"], **fields)
    return Launch(key=key, owner=OWNER, job="story", task_name="part[4]", index=4, task=task)


def body(
    *command: str, policy: DockerPolicy | None = None, host: Host = HOST, **fields: Any
) -> dict[str, Any]:
    return create_body(launch(*command, **fields), policy or DockerPolicy(), host)


def test_the_smallest_task_gets_safe_defaults():
    made = body("echo", "hi")
    config = made["HostConfig"]
    assert made["Cmd"] == ["echo", "hi"]
    assert "Entrypoint" not in made
    assert "User" not in made
    assert made["Healthcheck"] == {"Test": ["NONE"]}
    assert config["RestartPolicy"] == {"Name": "no"}
    assert config["Init"] is True
    assert config["CapDrop"] == ["NET_RAW", "MKNOD"]
    assert config["NetworkMode"] == "default"
    assert config["PidsLimit"] == 512
    assert "Memory" not in config
    assert "NanoCpus" not in config


def test_environment_holds_secrets_and_labels_do_not():
    made = body(env={"A": "1"}, secrets={"B": Secret("hush")})
    assert "A=1" in made["Env"]
    assert "B=hush" in made["Env"]
    assert "MINORCH_TASK_INDEX=4" in made["Env"]
    assert "hush" not in str(made["Labels"])


def test_limits_are_exact_and_forbid_swap():
    config = body(resources=Resources(cpu=1.5, memory="64MiB"))["HostConfig"]
    assert config["NanoCpus"] == 1_500_000_000
    assert config["Memory"] == config["MemorySwap"] == 64 * 2**20


def test_a_sliver_of_a_core_becomes_the_least_that_docker_takes():
    assert body(resources=Resources(cpu=0.001))["HostConfig"]["NanoCpus"] == 10_000_000


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (Resources(memory="5MiB"), "6.0 MiB"),
        (Resources(memory="5GiB"), "4.0 GiB"),
        (Resources(cpu=3), "2 cores"),
    ],
)
def test_amounts_that_cannot_be_are_refused_with_the_bound(resources: Resources, words: str):
    with pytest.raises(StartFailed, match=words):
        body(resources=resources)


def test_where_the_capacity_is_unknown_the_engine_judges():
    assert body(resources=Resources(cpu=3), host=Host(None, False))["HostConfig"]["NanoCpus"] == 3 * 10**9


def test_ports_are_random_or_fixed_on_their_address():
    made = body(ports=[Port(80), Port(53, host=5353, protocol="udp", host_ip="0.0.0.0")])
    assert made["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert made["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
        "53/udp": [{"HostIp": "0.0.0.0", "HostPort": "5353"}],
    }


def test_the_first_network_is_the_containers_own():
    made = body(networks=["front", "back"])
    assert made["HostConfig"]["NetworkMode"] == "front"
    assert made["NetworkingConfig"] == {"EndpointsConfig": {"front": {}}}
    assert body(networks=["none"])["HostConfig"]["NetworkMode"] == "none"


@pytest.mark.parametrize("networks", [["container:x"], ["none", "front"], ["front", "none"], ["../x"]])
def test_networks_that_are_none_are_refused(networks: list[str]):
    with pytest.raises(StartFailed):
        body(networks=networks)


def test_a_task_without_an_image_is_no_docker_task():
    with pytest.raises(StartFailed, match="no image"):
        body(image=None)


def test_an_empty_entrypoint_clears_the_images():
    assert body(entrypoint=[])["Entrypoint"] == [""]
    assert body(entrypoint=["sh", "-c"])["Entrypoint"] == ["sh", "-c"]


def test_restricted_drops_everything():
    made = body(security="restricted")
    config = made["HostConfig"]
    assert made["User"] == "65534:65534"
    assert config["CapDrop"] == ["ALL"]
    assert config["ReadonlyRootfs"] is True
    assert [mount["Target"] for mount in config["Mounts"]] == ["/tmp"]


def test_restricted_keeps_a_tmp_of_the_tasks_own():
    mount = Mount("/tmp", kind="tmpfs", size="1MiB")
    config = body(security="restricted", mounts=[mount])["HostConfig"]
    assert config["Mounts"] == [
        {"Type": "tmpfs", "Target": "/tmp", "ReadOnly": False, "TmpfsOptions": {"SizeBytes": 2**20}}
    ]


@pytest.mark.parametrize("user", ["root", "0", "0:1", "000", "app", "-1", "²"])
def test_restricted_needs_a_number_that_is_not_roots(user: str):
    with pytest.raises(PolicyError, match="restricted"):
        body(security="restricted", user=user)
    if user != "app":
        assert body(user=user)["User"] == user  # the baseline does not mind


# -- binds ---------------------------------------------------------------------------------------------------


def bound(source: str, *allowed: str, host: Host = HOST) -> str:
    made = body(
        mounts=[Mount("/x", source=source, kind="bind")], policy=DockerPolicy(binds=allowed), host=host
    )
    return str(made["HostConfig"]["Mounts"][0]["Source"])


def test_a_bind_must_be_beneath_an_allowed_directory(tmp_path: Path):
    (tmp_path / "a").mkdir()
    assert bound(f"{tmp_path}/a", str(tmp_path)) == f"{tmp_path}/a"
    assert bound(f"{tmp_path}/a", f"{tmp_path}/a") == f"{tmp_path}/a"
    for denied in (str(tmp_path), f"{tmp_path}/ab", "/etc"):
        with pytest.raises(PolicyError, match="forbidden"):
            bound(denied, f"{tmp_path}/a")


def test_links_are_followed_where_the_engine_is_local(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in/link").symlink_to(tmp_path / "out")
    with pytest.raises(PolicyError, match="out"):
        bound(f"{tmp_path}/in/link", f"{tmp_path}/in")
    assert (
        bound(f"{tmp_path}/in/link", str(tmp_path)) == f"{tmp_path}/out"
    )  # the link may change; this may not
    remote = Host(None, False)
    assert bound(f"{tmp_path}/in/link", f"{tmp_path}/in", host=remote) == f"{tmp_path}/in/link"


def test_the_engines_own_socket_is_denied_wherever_it_is(tmp_path: Path):
    host = Host(None, True, f"{tmp_path}/run/engine.sock")
    for source in (f"{tmp_path}/run", f"{tmp_path}/run/engine.sock"):
        with pytest.raises(PolicyError, match="socket"):
            bound(source, str(tmp_path), host=host)


def test_parent_directories_and_the_root_are_no_bind_at_all():
    for source in ("/srv/../etc", "/", "relative"):
        with pytest.raises(SpecError):
            Mount("/x", source=source, kind="bind")
    for root in ("/", "srv", "/srv/..", "/srv//x"):
        with pytest.raises(UsageError):
            DockerPolicy(binds=(root,))
    with pytest.raises(UsageError, match="list"):
        DockerPolicy(binds="/srv")


def test_a_policy_may_forbid_volumes_and_tmpfs():
    with pytest.raises(PolicyError, match="volume"):
        body(mounts=[Mount("/x", source="data")], policy=DockerPolicy(volumes=False))
    with pytest.raises(PolicyError, match="tmpfs"):
        body(mounts=[Mount("/x", kind="tmpfs")], policy=DockerPolicy(tmpfs=False))


def test_the_hosts_network_needs_the_policys_word():
    with pytest.raises(PolicyError, match="host_network=True"):
        body(networks=["host"])
    made = body(networks=["host"], policy=DockerPolicy(host_network=True))
    assert made["HostConfig"]["NetworkMode"] == "host"


# -- labels --------------------------------------------------------------------------------------------------


def test_labels_say_which_run_a_container_is():
    labels = labels_of(launch())
    assert key_of(labels) == RunKey("cd" * 16, 2, 3)
    assert is_of({**labels, "other": "x"}, launch())
    for name in labels:
        assert not is_of({**labels, name: "other"}, launch())
    assert owner_filter(OWNER) == [f"minorch.cluster={OWNER.cluster_id}", "minorch.node=node-1"]


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"minorch.task-id": "../volumes/x", "minorch.attempt": "1", "minorch.run": "1"},
        {"minorch.task-id": "ab" * 16, "minorch.attempt": "one", "minorch.run": "1"},
        {"minorch.task-id": "ab" * 16, "minorch.attempt": "1"},
    ],
)
def test_labels_that_are_not_ours_name_no_run(labels: dict[str, str]):
    assert key_of(labels) is None
