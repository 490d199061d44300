"""From a launch to the body of ``POST /services/create``. Pure; what a Swarm cannot do is refused here.

A run is a service of one replica that Swarm never restarts and never moves: restart condition ``none``, and
a constraint that names the one node that was chosen.  Jobs of Swarm's own (``replicated-job``) would leave
containers running behind when they are removed.

To end a run and still learn how it ended, the service is changed, once, so that its task would have to be on
a node that there is not: Swarm sends the container its stop signal, kills it after its grace, keeps the task
with the exit code, and finds no place for another.  A service that is scaled to none, or removed, takes the
exit code with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from minorch.contracts import Launch
from minorch.errors import PolicyError, StartFailed
from minorch.model import HealthCheck, Mount, Port, Task
from minorch.resources import Resources
from minorch.runtimes.docker.labels import labels_of
from minorch.runtimes.docker.policy import DockerPolicy, bind_source, check_policy
from minorch.runtimes.docker.references import parse_reference
from minorch.runtimes.docker.translation import (
    LOG,
    NOBODY,
    TMP_SIZE,
    check_amounts,
    least_cpu_nanos,
    network_mode,
)
from minorch.runtimes.swarm.snapshot import SwarmNode

__all__ = ["nowhere", "pinned_to", "service_body"]

_NOWHERE: Final = "node.id==minorch-ended-this"
_ANYWHERE: Final = ("0.0.0.0", "::")
_LONGEST_GRACE_S: Final = 24 * 3600.0


def service_body(
    launch: Launch, policy: DockerPolicy, node: SwarmNode, ids: Mapping[Mount, str] | None = None
) -> dict[str, Any]:
    """Return what to send to have *launch* run on *node*.

    Args:
        launch: what is to run.
        policy: what it may do.
        node: where.
        ids: of the secrets and configs that its mounts name.

    Raises:
        PolicyError: *policy* forbids it, or a Swarm has nothing of the kind.
        StartFailed: it cannot run on this node, or is no Docker task.
    """
    task = launch.task
    if task.image is None:
        raise StartFailed(f'task "{launch.task_name}" has no image; a Swarm needs one')
    reference = parse_reference(task.image)
    check_policy(task, policy, local=False, engine_socket=None, swarm=True)
    check_amounts(task.resources, node.capacity)
    labels = labels_of(launch)
    template: dict[str, Any] = {
        "ContainerSpec": _container(launch, policy, reference.text, labels, ids or {}),
        "Resources": _resources(task, node),
        "RestartPolicy": {"Condition": "none"},
        "Placement": {"Constraints": [f"node.id=={node.id}"]},
        "LogDriver": {"Name": LOG["Type"], "Options": LOG["Config"]},
    }
    networks = _networks(task)
    if networks:
        template["Networks"] = [{"Target": name} for name in networks]
    return {
        "Name": launch.key.name,
        "Labels": labels,
        "TaskTemplate": template,
        "Mode": {"Replicated": {"Replicas": 1}},
        # A virtual address for one container is of no use, and not every kernel can have them (IPVS).
        "EndpointSpec": {"Mode": "dnsrr", "Ports": [_port(port) for port in task.ports]},
    }


def nowhere(spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a service's *spec* changed so that its run ends; None if it was changed so before."""
    template = dict(spec.get("TaskTemplate") or {})
    if (template.get("Placement") or {}).get("Constraints") == [_NOWHERE]:
        return None
    template["Placement"] = {"Constraints": [_NOWHERE]}
    update = {"Parallelism": 1, "Order": "stop-first", "FailureAction": "continue"}
    return {**spec, "TaskTemplate": template, "UpdateConfig": update}


def pinned_to(spec: Mapping[str, Any]) -> str:
    """Return the id of the node that a service's *spec* names."""
    placement = (spec.get("TaskTemplate") or {}).get("Placement") or {}
    return "".join(placement.get("Constraints") or ()).removeprefix("node.id==")


def _container(
    launch: Launch,
    policy: DockerPolicy,
    image: str,
    labels: Mapping[str, str],
    ids: Mapping[Mount, str],
) -> dict[str, Any]:
    task = launch.task
    restricted = task.security == "restricted"
    kept = ("secret", "config")
    mounts = [_mount(mount, policy) for mount in task.mounts if mount.kind not in kept]
    if restricted and all(mount.target != "/tmp" for mount in task.mounts):
        mounts.append(
            {"Type": "tmpfs", "Target": "/tmp", "TmpfsOptions": {"SizeBytes": TMP_SIZE, "Mode": 0o1777}}
        )
    spec: dict[str, Any] = {
        "Image": image,
        "Env": [f"{name}={value}" for name, value in launch.environment().items()],
        "Labels": {**task.labels, **labels},
        "Init": True,  # as pid 1 most programs ignore SIGTERM
        "TTY": False,
        "Privileges": {"NoNewPrivileges": True},  # Engines before 25 do not know it, and pass over it
        "CapabilityDrop": ["ALL"] if restricted else ["CAP_NET_RAW", "CAP_MKNOD"],
        "ReadOnly": restricted,
        "Mounts": mounts,
        "StopGracePeriod": round(min(task.stop_grace_s, _LONGEST_GRACE_S) * 1e9),
        "Healthcheck": _health(task.health),
    }
    for kind, field in (("secret", "Secrets"), ("config", "Configs")):
        shown = [_shown(mount, ids) for mount in task.mounts if mount.kind == kind]
        if shown:
            spec[field] = shown
    if task.entrypoint is not None:
        spec["Command"] = list(task.entrypoint) or [""]
    if task.command:
        spec["Args"] = list(task.command)
    if task.user is not None or restricted:
        spec["User"] = task.user or NOBODY
    if task.workdir is not None:
        spec["Dir"] = task.workdir
    return spec


def _health(check: HealthCheck | None) -> dict[str, Any]:
    """Nobody can run a command in a container of another machine but that machine's own engine."""
    if check is None or check.kind != "exec":
        return {"Test": ["NONE"]}
    return {
        "Test": ["CMD", *check.command],
        "Interval": _nanoseconds(check.interval_s),
        "Timeout": _nanoseconds(check.timeout_s),
        "StartPeriod": _nanoseconds(check.start_period_s),
        "Retries": check.threshold,
    }


def _nanoseconds(seconds: float) -> int:
    """An engine takes no time that is shorter than a millisecond, and 0 for one of its own."""
    return 0 if not seconds else max(1_000_000, round(seconds * 1e9))


def _resources(task: Task, node: SwarmNode) -> dict[str, Any]:
    asked = task.resources
    limits: dict[str, Any] = {"Pids": task.pids}
    reserved: dict[str, Any] = {}
    if asked.cpu_millis:
        limits["NanoCPUs"] = least_cpu_nanos(asked)
        reserved["NanoCPUs"] = asked.cpu_millis * 1_000_000
    if asked.memory:
        limits["MemoryBytes"] = reserved["MemoryBytes"] = asked.memory
    generic = _generic(asked, node)
    if generic:
        reserved["GenericResources"] = generic
    return {"Limits": limits, "Reservations": reserved}


def _generic(asked: Resources, node: SwarmNode) -> list[dict[str, Any]]:
    """Those of the task's own resources that Swarm counts too; of a part of one it knows nothing."""
    return [
        {"DiscreteResourceSpec": {"Kind": node.kinds[name], "Value": math.ceil(amount)}}
        for name, amount in asked.custom.items()
        if name in node.kinds
    ]


def _networks(task: Task) -> tuple[str, ...]:
    network_mode(task)  # refuses what is no name
    if "none" in task.networks:
        raise PolicyError(
            'a Swarm has no network "none": make one that leads nowhere, with docker network create '
            "--driver overlay --internal NAME"
        )
    if "default" in task.networks:
        raise PolicyError('a Swarm has no network "default": leave networks empty, or name an overlay')
    return tuple(task.networks)


def _mount(mount: Mount, policy: DockerPolicy) -> dict[str, Any]:
    record: dict[str, Any] = {"Type": mount.kind, "Target": mount.target, "ReadOnly": mount.read_only}
    if mount.kind == "bind":
        record["Source"] = bind_source(mount, policy, local=False, engine_socket=None)
        record["BindOptions"] = {"Propagation": "rprivate"}
    elif mount.kind == "volume":
        record["Source"] = mount.source
    elif mount.size:
        record["TmpfsOptions"] = {"SizeBytes": int(mount.size)}
    return record


def _shown(mount: Mount, ids: Mapping[Mount, str]) -> dict[str, Any]:
    """A secret or a config as a file that everybody in the container may read, and nobody write."""
    what = mount.kind.capitalize()
    return {
        f"{what}ID": ids.get(mount, ""),
        f"{what}Name": mount.source,
        "File": {"Name": mount.target, "UID": "0", "GID": "0", "Mode": 0o444},
    }


def _port(port: Port) -> dict[str, Any]:
    if port.host_ip not in _ANYWHERE:
        raise PolicyError(
            f"a Swarm publishes ports on every address of a node, not on {port.host_ip} alone: write "
            f'Port({port.container}, host_ip="0.0.0.0") if everybody may reach it'
        )
    return {
        "Protocol": port.protocol,
        "TargetPort": port.container,
        "PublishedPort": port.host or 0,
        "PublishMode": "host",
    }
