"""From a launch to the body of ``POST /containers/create``. Pure; what cannot be said is refused here."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from minorch.contracts import Launch
from minorch.errors import StartFailed
from minorch.model import Mount, Port, Task
from minorch.resources import Resources, format_size
from minorch.runtimes.docker.labels import labels_of
from minorch.runtimes.docker.policy import DockerPolicy, bind_source, check_policy

__all__ = [
    "LOG",
    "NOBODY",
    "TMP_SIZE",
    "Host",
    "check_amounts",
    "create_body",
    "least_cpu_nanos",
    "network_mode",
]

_LEAST_MEMORY: Final = 6 * 1024 * 1024
_LEAST_CPU_MILLIS: Final = 10
TMP_SIZE: Final = 64 * 1024 * 1024
_NETWORK: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*\Z")
NOBODY: Final = "65534:65534"
LOG: Final = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}


class Host(NamedTuple):
    """What the translation must know of the machine."""

    capacity: Resources | None
    """None: not known, so amounts are left to the engine to judge."""
    local: bool
    socket_path: str | None = None


def create_body(launch: Launch, policy: DockerPolicy, host: Host) -> dict[str, Any]:
    """Return what to send to make the container of *launch*.

    Raises:
        PolicyError: *policy* forbids it.
        StartFailed: it cannot run on this machine, or is no Docker task.
    """
    task = launch.task
    if task.image is None:
        raise StartFailed(f'task "{launch.task_name}" has no image; a Docker runtime needs one')
    check_policy(task, policy, local=host.local, engine_socket=host.socket_path)
    check_amounts(task.resources, host.capacity)
    network = network_mode(task)
    body: dict[str, Any] = {
        "Image": task.image,
        "Env": [f"{name}={value}" for name, value in launch.environment().items()],
        "Labels": {**task.labels, **labels_of(launch)},
        "ExposedPorts": {_port(port): {} for port in task.ports},
        "Tty": False,
        "Healthcheck": {"Test": ["NONE"]},  # health is the worker's; two masters fight
        "HostConfig": _host_config(task, policy, host, network),
    }
    if task.command:
        body["Cmd"] = list(task.command)
    if task.entrypoint is not None:
        body["Entrypoint"] = list(task.entrypoint) or [""]  # [""] clears the image's, [] may not
    if task.user is not None or task.security == "restricted":
        body["User"] = task.user or NOBODY
    if task.workdir is not None:
        body["WorkingDir"] = task.workdir
    if network not in ("default", "none", "host"):
        body["NetworkingConfig"] = {"EndpointsConfig": {network: {}}}
    return body


def network_mode(task: Task) -> str:
    """Return the network that the container is made with; the others are joined before the start.

    Raises:
        StartFailed: a name is no network's, or ``none`` or ``host`` stands beside another.
    """
    for name in task.networks:
        if not _NETWORK.match(name):
            raise StartFailed(f'"{name[:80]}" is not the name of a network')  # "container:x" above all
        if name in ("none", "host") and len(task.networks) > 1:
            raise StartFailed(f'the network "{name}" cannot be combined with others')
    return task.networks[0] if task.networks else "default"


def _host_config(task: Task, policy: DockerPolicy, host: Host, network: str) -> dict[str, Any]:
    restricted = task.security == "restricted"
    mounts = [_mount(mount, policy, host) for mount in task.mounts]
    if restricted and all(mount.target != "/tmp" for mount in task.mounts):
        mounts.append(
            {"Type": "tmpfs", "Target": "/tmp", "TmpfsOptions": {"SizeBytes": TMP_SIZE, "Mode": 0o1777}}
        )
    config: dict[str, Any] = {
        "Init": True,  # as pid 1 most programs ignore SIGTERM
        "RestartPolicy": {"Name": "no"},  # restarts are the worker's
        "LogConfig": LOG,
        "Privileged": False,
        "SecurityOpt": ["no-new-privileges"],
        "CapDrop": ["ALL"] if restricted else ["NET_RAW", "MKNOD"],
        "ReadonlyRootfs": restricted,
        "IpcMode": "private",
        "PidsLimit": task.pids,
        "NetworkMode": network,
        "Mounts": mounts,
        "PortBindings": {_port(port): [_binding(port)] for port in task.ports},
    }
    if task.resources.cpu_millis:
        config["NanoCpus"] = least_cpu_nanos(task.resources)
    if task.resources.memory:
        config["Memory"] = config["MemorySwap"] = task.resources.memory  # equal: no swap
    return config


def least_cpu_nanos(asked: Resources) -> int:
    """Return a limit of CPU as engines write it, and take it."""
    return max(asked.cpu_millis, _LEAST_CPU_MILLIS) * 1_000_000


def check_amounts(asked: Resources, capacity: Resources | None) -> None:
    """Refuse limits that no engine takes, or that this machine cannot have.

    Raises:
        StartFailed: as said.
    """
    if asked.memory and asked.memory < _LEAST_MEMORY:
        raise StartFailed(
            f"memory {format_size(asked.memory)} is too little: Docker needs at least "
            f"{format_size(_LEAST_MEMORY)}"
        )
    if capacity is None:
        return
    if capacity.memory and asked.memory > capacity.memory:  # the engine takes 10**15 bytes without a word
        raise StartFailed(
            f"memory {format_size(asked.memory)} is more than this machine's {format_size(capacity.memory)}"
        )
    if capacity.cpu_millis and asked.cpu_millis > capacity.cpu_millis:
        raise StartFailed(f"cpu {asked.cpu:g} is more than this machine's {capacity.cpu:g} cores")


def _mount(mount: Mount, policy: DockerPolicy, host: Host) -> dict[str, Any]:
    record: dict[str, Any] = {
        "Type": mount.kind,
        "Target": mount.target,
        "Source": mount.source,
        "ReadOnly": mount.read_only,
    }
    if mount.kind == "bind":
        # A link changed after the check does not count. A directory made a link does: see DockerPolicy.binds.
        record["Source"] = bind_source(mount, policy, local=host.local, engine_socket=host.socket_path)
        record["BindOptions"] = {"Propagation": "rprivate"}
    elif mount.kind == "tmpfs":
        del record["Source"]
        if mount.size:
            record["TmpfsOptions"] = {"SizeBytes": int(mount.size)}
    return record


def _port(port: Port) -> str:
    return f"{port.container}/{port.protocol}"


def _binding(port: Port) -> dict[str, str]:
    return {"HostIp": port.host_ip, "HostPort": "" if port.host is None else str(port.host)}
