"""From a launch to a service, and what a Swarm cannot do and is refused in words; without a Swarm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from minorch.contracts import Launch
from minorch.errors import PolicyError, StartFailed
from minorch.model import HealthCheck, Mount, Port
from minorch.resources import Resources
from minorch.runtimes.docker import DockerPolicy
from minorch.runtimes.docker.translation import Host, create_body
from minorch.runtimes.swarm.members import Names, as_node
from minorch.runtimes.swarm.snapshot import SwarmNode, read_snapshot
from minorch.runtimes.swarm.translation import nowhere, service_body
from tests.runtimes.swarm.played import PlayedSwarm, node_id

Make = Callable[..., Launch]


def nodes(played: PlayedSwarm) -> dict[str, SwarmNode]:
    return dict(read_snapshot(list(played.nodes.values()), [], began_at=0.0, manager="m").nodes)


@pytest.fixture
def swarm_of() -> Callable[..., dict[str, SwarmNode]]:
    """Nodes of a Swarm that nobody serves, each described as told."""

    def make(*told: dict[str, Any]) -> dict[str, SwarmNode]:
        played = PlayedSwarm(nodes=len(told), managers=0)
        for record, extra in zip(played.nodes.values(), told, strict=True):
            record["Description"] |= extra.get("Description", {})
            record["Spec"] |= extra.get("Spec", {})
        return nodes(played)

    return make


NODE = nodes(PlayedSwarm(nodes=1, managers=0))[node_id(1)]


def body(launch: Launch, policy: DockerPolicy | None = None, node: SwarmNode = NODE) -> dict[str, Any]:
    return service_body(launch, policy or DockerPolicy(), node)


def test_the_safe_defaults_are_those_of_the_docker_runtime(launch: Make) -> None:
    container = body(launch())["TaskTemplate"]["ContainerSpec"]
    assert container["Init"] is True
    assert container["CapabilityDrop"] == ["CAP_NET_RAW", "CAP_MKNOD"]
    assert container["Privileges"] == {"NoNewPrivileges": True}
    assert container["Healthcheck"] == {"Test": ["NONE"]}
    assert body(launch())["TaskTemplate"]["Resources"]["Limits"] == {"Pids": 512}
    restricted = body(launch(security="restricted"))["TaskTemplate"]["ContainerSpec"]
    assert restricted["CapabilityDrop"] == ["ALL"]
    assert restricted["ReadOnly"] is True
    assert restricted["User"] == "65534:65534"


def test_what_is_reserved_is_reserved_in_the_swarm_too(
    launch: Make, swarm_of: Callable[..., dict[str, SwarmNode]]
) -> None:
    generic = [{"DiscreteResourceSpec": {"Kind": "GPU", "Value": 2}}]
    generic += [{"NamedResourceSpec": {"Kind": "disk-slot", "Value": name}} for name in ("a", "b", "c")]
    resources = {"NanoCPUs": 2 * 10**9, "MemoryBytes": 1 << 30, "GenericResources": generic}
    (node,) = swarm_of({"Description": {"Resources": resources}}).values()
    assert node.capacity == Resources(cpu=2, memory=1 << 30, gpu=2, **{"disk-slot": 3})
    asked = Resources(cpu=0.5, memory="64MiB", gpu=1, licences=1)
    reserved = body(launch(resources=asked), node=node)["TaskTemplate"]["Resources"]["Reservations"]
    assert reserved == {
        "NanoCPUs": 500_000_000,
        "MemoryBytes": 64 << 20,
        "GenericResources": [{"DiscreteResourceSpec": {"Kind": "GPU", "Value": 1}}],
    }


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"networks": ["none"]}, PolicyError, "--internal"),
        ({"networks": ["default"]}, PolicyError, "overlay"),
        ({"networks": ["host"]}, PolicyError, "host_network=True"),
        ({"networks": ["container:x"]}, StartFailed, "not the name of a network"),
        ({"ports": [Port(80)]}, PolicyError, 'host_ip="0.0.0.0"'),
        ({"image": None}, StartFailed, "no image"),
        ({"resources": Resources(memory="1TiB")}, StartFailed, "more than this machine's"),
        ({"mounts": [Mount("/x", kind="bind", source="/etc")]}, PolicyError, "forbidden"),
    ],
)
def test_what_a_swarm_cannot_do_is_refused_in_words(
    launch: Make, fields: dict[str, Any], error: type[StartFailed], words: str
) -> None:
    with pytest.raises(error, match=words):
        body(launch(**fields))


def test_networks_ports_mounts_and_checks_are_passed_on(launch: Make) -> None:
    made = body(
        launch(
            networks=["backend", "metrics"],
            ports=[Port(80, host_ip="0.0.0.0"), Port(53, host=5353, protocol="udp", host_ip="0.0.0.0")],
            mounts=[
                Mount("/data", source="vol"),
                Mount("/in", kind="bind", source="/srv/in", read_only=True),
            ],
            health=HealthCheck.exec(["ok"], interval_s=2, timeout_s=1, threshold=4, start_period_s=9),
            stop_grace_s=3,
        ),
        DockerPolicy(binds=("/srv",)),
    )
    template = made["TaskTemplate"]
    assert template["Networks"] == [{"Target": "backend"}, {"Target": "metrics"}]
    assert [
        (port["TargetPort"], port["PublishedPort"], port["Protocol"], port["PublishMode"])
        for port in made["EndpointSpec"]["Ports"]
    ] == [(80, 0, "tcp", "host"), (53, 5353, "udp", "host")]
    assert made["EndpointSpec"]["Mode"] == "dnsrr"
    container = template["ContainerSpec"]
    assert [(mount["Type"], mount["Source"], mount["ReadOnly"]) for mount in container["Mounts"]] == [
        ("volume", "vol", False),
        ("bind", "/srv/in", True),
    ]
    assert container["Healthcheck"] == {
        "Test": ["CMD", "ok"],
        "Interval": 2 * 10**9,
        "Timeout": 10**9,
        "StartPeriod": 9 * 10**9,
        "Retries": 4,
    }
    assert container["StopGracePeriod"] == 3 * 10**9


def test_an_id_of_an_image_is_passed_on_as_it_is(launch: Make) -> None:
    image = "sha256:" + "a" * 64
    assert body(launch(image=image))["TaskTemplate"]["ContainerSpec"]["Image"] == image


def test_a_service_is_sent_nowhere_once(launch: Make) -> None:
    spec = body(launch())
    changed = nowhere(spec)
    assert changed is not None
    assert changed["TaskTemplate"]["Placement"] != spec["TaskTemplate"]["Placement"]
    assert changed["Labels"] == spec["Labels"]
    assert nowhere(changed) is None


def test_nodes_are_called_by_their_hosts_and_later_ones_of_a_name_by_their_ids_too(
    swarm_of: Callable[..., dict[str, SwarmNode]],
) -> None:
    found = swarm_of(*({"Description": {"Hostname": name}} for name in ("box", "box", "my host!", "")))
    names = Names()
    first = {id_: node for id_, node in found.items() if id_ != node_id(1)}
    assert names.name(first)[node_id(2)] == "box"
    assert dict(names.name(found)) == {
        node_id(1): "box-node1000",
        node_id(2): "box",
        node_id(3): "my-host-",
        node_id(4): "node-node4000",
    }
    assert Names().name(found)[node_id(1)] == "box"


def test_labels_of_nodes_and_of_their_engines_can_be_asked_for(
    swarm_of: Callable[..., dict[str, SwarmNode]],
) -> None:
    (found,) = swarm_of(
        {
            "Spec": {"Labels": {"zone": "a", "node.x": "no"}, "Role": "worker"},
            "Description": {"Engine": {"Labels": {"zone": "engine's", "disk": "ssd"}}},
        }
    ).values()
    node = as_node(found, "box")
    assert dict(node.labels) == {
        "zone": "a",
        "disk": "ssd",
        "swarm.id": node_id(1),
        "swarm.hostname": "host1",
        "swarm.role": "worker",
    }
    assert (node.runtime, node.platform, node.address) == ("swarm", "linux/amd64", "10.0.0.1")


def test_secrets_and_configs_of_the_swarm_are_shown_as_files(launch: Make) -> None:
    token = Mount("/run/secrets/token", kind="secret", source="token")
    settings = Mount("/etc/app.toml", kind="config", source="settings")
    data = Mount("/data", source="vol")
    made = service_body(
        launch(mounts=[token, settings, data]), DockerPolicy(), NODE, {token: "s" * 25, settings: "c" * 25}
    )
    container = made["TaskTemplate"]["ContainerSpec"]
    file = {"UID": "0", "GID": "0", "Mode": 0o444}
    assert container["Secrets"] == [
        {"SecretID": "s" * 25, "SecretName": "token", "File": {"Name": "/run/secrets/token", **file}}
    ]
    assert container["Configs"] == [
        {"ConfigID": "c" * 25, "ConfigName": "settings", "File": {"Name": "/etc/app.toml", **file}}
    ]
    assert [mount["Source"] for mount in container["Mounts"]] == ["vol"]


def test_an_engine_that_is_no_swarm_has_no_secrets(launch: Make) -> None:
    with pytest.raises(PolicyError, match="only a Docker Swarm keeps a secret"):
        create_body(
            launch(mounts=[Mount("/x", kind="secret", source="token")]),
            DockerPolicy(),
            Host(None, local=True),
        )
