"""Whatever a task asks for, its container gets no more than its worker's policy allows."""

from __future__ import annotations

from hypothesis import given, settings

from minorch.contracts import Launch, Owner
from minorch.errors import PolicyError, StartFailed
from minorch.ids import RunKey
from minorch.model import Task
from minorch.runtimes.docker.policy import DockerPolicy
from minorch.runtimes.docker.translation import Host, create_body
from tests.core.strategies import tasks

BODY = {
    *("Image", "Env", "Labels", "ExposedPorts", "Tty", "Healthcheck", "HostConfig"),
    *("Cmd", "Entrypoint", "User", "WorkingDir", "NetworkingConfig"),
}
HOST_CONFIG = {
    *("Init", "RestartPolicy", "LogConfig", "Privileged", "SecurityOpt", "CapDrop", "ReadonlyRootfs"),
    *("IpcMode", "PidsLimit", "NetworkMode", "Mounts", "PortBindings", "NanoCpus", "Memory", "MemorySwap"),
}
"""Nothing else is ever said: no capability added, no device, no namespace of the host's, no runtime."""


@settings(max_examples=150, deadline=None)
@given(tasks())
def test_no_field_of_a_task_widens_what_the_policy_allows(task: Task):
    launch = Launch(
        key=RunKey("a" * 32, 1, 1), owner=Owner("c" * 32, "n"), job="j", task_name="t", index=0, task=task
    )
    try:
        body = create_body(launch, DockerPolicy(binds=("/data",)), Host(None, False))
    except (PolicyError, StartFailed):
        return
    config = body["HostConfig"]
    assert set(body) <= BODY
    assert set(config) <= HOST_CONFIG
    assert config["Privileged"] is False
    assert config["SecurityOpt"] == ["no-new-privileges"]
    assert config["IpcMode"] == "private"
    assert config["RestartPolicy"] == {"Name": "no"}
    assert {"NET_RAW", "MKNOD"} <= set(config["CapDrop"]) or config["CapDrop"] == ["ALL"]
    assert config["NetworkMode"] != "host"
    assert not config["NetworkMode"].startswith("container:")
    assert config["PidsLimit"] >= 1
    for mount in config["Mounts"]:
        assert mount["Type"] in ("volume", "tmpfs", "bind")
        if mount["Type"] == "bind":
            assert mount["Source"] == "/data" or mount["Source"].startswith("/data/")
            assert mount["BindOptions"] == {"Propagation": "rprivate"}
        else:
            assert "BindOptions" not in mount
