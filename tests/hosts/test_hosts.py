"""Hosts are machines of their own, can be hurt in every way, and nothing of them is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import docker
import psutil
import pytest
import requests

from tests.chaos.private_engine import control_groups
from tests.hosts import Host, Hosts, Shape, sweep
from tests.hosts.network import names_in_use
from tools import engine

ROOT = Path(__file__).resolve().parents[2]
SHORT_S = 2


def ping(host: Host, timeout_s: int = SHORT_S) -> bool:
    """Whether a host's engine answers over the network."""
    with contextlib.closing(host.client(timeout_s=timeout_s)) as client:
        return bool(client.ping())


def listens(host: Host, address: str, port: str) -> bool:
    """Whether a host reaches a port."""
    done = host.run(["busybox", "nc", "-z", "-w", "1", address, port])
    if done.returncode == 127:
        code = f"import socket; socket.create_connection(({address!r}, {port}), 1)"
        done = host.run([sys.executable, "-c", code])
    return done.returncode == 0


def left_of(folder: str, pid: int) -> list[str]:
    """What can be found of a process's network."""
    name = Path(folder).name
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    found = [
        *names_in_use(name),
        *map(str, control_groups(name)),
        *([folder] if Path(folder).exists() else []),
        *([links] if f"mhosts{name.rpartition('-')[2]}@" in links else []),
        *(["mounts"] if f"{folder}/" in Path("/proc/mounts").read_text() else []),
    ]
    claim = Path(folder, "claim")
    others = claim.exists() and claim.read_text() != str(pid)  # another has taken the number
    return [] if others else found


def test_each_host_is_an_engine_of_its_own_and_runs_containers(hosts: Hosts):
    seen = set()
    for host in hosts:
        with contextlib.closing(host.client()) as client:
            info = client.info()
            seen.add((info["ID"], info["Name"]))
            said = client.containers.run(engine.IMAGE, ["hostname", "-i"], remove=True)
            assert said.startswith(b"172.17.")
            assert client.containers.list(all=True) == []
    assert len({id_ for id_, _name in seen}) == len(hosts) == 3
    assert {name for _id, name in seen} == {host.name for host in hosts}


def test_an_image_has_the_same_id_on_each_host(hosts: Hosts):
    assert len({host.image_id() for host in hosts}) == 1


def test_where_no_engine_has_the_image_the_first_host_makes_it_for_all(
    hosts_possible: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine, "DEFAULT_SOCKET", "/nonexistent/docker.sock")
    with Hosts(2) as hosts:
        (id_,) = {host.image_id() for host in hosts}
        hosts[1].power_off()
        assert hosts.import_busybox() == id_  # and what is off is left out


def test_hosts_reach_each_other_and_what_listens_here(hosts: Hosts):
    first, second, third = hosts
    assert listens(first, second.address, "2376")
    assert listens(second, third.address, "2376")
    assert not listens(first, second.address, "9")


def test_a_certificate_of_another_authority_is_refused(hosts: Hosts):
    wrong, right, host = hosts.wrong_certificates, hosts[0].certificates, hosts[0]
    assert wrong is not None
    assert right is not None
    for client, trusted in ((wrong, right), (right, wrong)):
        pair = (str(client / "cert.pem"), str(client / "key.pem"))
        tls = docker.tls.TLSConfig(pair, str(trusted / "ca.pem"), verify=True)
        with contextlib.closing(docker.APIClient(host.url, version="1.41", tls=tls, timeout=5)) as api:
            api.trust_env = False
            with pytest.raises(requests.exceptions.SSLError):
                api.ping()
    assert ping(host)


def test_a_host_that_is_cut_off_is_silent_and_the_others_answer(hosts: Hosts):
    first, second, third = hosts
    second.cut()
    try:
        for _again in range(3):  # refusals would come when a neighbour is given up, after some seconds
            before_s = time.monotonic()
            with pytest.raises(requests.exceptions.Timeout):
                ping(second)
            assert time.monotonic() - before_s >= SHORT_S
        assert ping(first)
        assert ping(third)
        assert not listens(first, second.address, "2376")
        assert engine.answers(second.socket)  # which needs no network
    finally:
        second.mend()
    assert ping(second, 10)
    assert listens(first, second.address, "2376")


def test_a_host_can_be_cut_off_from_one_other_alone_or_from_here(hosts: Hosts):
    first, second, third = hosts
    first.cut(second, hosts.here)
    try:
        assert not listens(first, second.address, "2376")
        assert not listens(second, first.address, "2376")
        assert listens(third, first.address, "2376")
        with pytest.raises(requests.exceptions.Timeout):
            ping(first)
        assert ping(second)
    finally:
        first.mend()
    assert ping(first, 10)
    assert listens(second, first.address, "2376")


def test_a_cut_from_another_ends_with_the_power_of_either(hosts: Hosts):
    first, second, third = hosts
    first.cut(second, third)
    second.power_off()
    second.power_on()
    first.mend()  # the second has forgotten its part
    assert listens(second, first.address, "2376")
    first.cut(second)
    first.power_off()
    first.power_on()
    for one, other in ((first, second), (second, first), (first, third), (third, first)):
        assert listens(one, other.address, "2376")


def test_what_a_slow_host_says_comes_late(hosts: Hosts):
    host = hosts[0]
    with contextlib.closing(host.client()) as client:

        def asked_s() -> float:
            before_s = time.monotonic()
            for _again in range(4):
                client.info()  # some 3 KiB
            return time.monotonic() - before_s

        client.ping()
        fast_s = asked_s()
        host.slow(64)
        try:
            slow_s = asked_s()
        finally:
            host.mend()
        again_s = asked_s()
    assert slow_s > 0.5
    assert slow_s > 2 * max(fast_s, again_s)


def test_a_frozen_engine_takes_connections_and_answers_later(hosts: Hosts):
    host = hosts[1]
    host.freeze()
    try:
        with pytest.raises(requests.exceptions.Timeout):
            ping(host, 1)
    finally:
        host.thaw()
    assert ping(host, 10)


def test_power_comes_back_with_images_and_the_same_id_and_containers_are_dead(hosts: Hosts):
    first, host, _third = hosts
    with contextlib.closing(host.client()) as client:
        before = client.info()["ID"]
        container = client.containers.run(engine.IMAGE, ["sleep", "300"], detach=True, init=True)
        paused = client.containers.run(engine.IMAGE, ["sleep", "300"], detach=True, init=True)
        paused.pause()  # what is paused is hard to kill
    image_id = host.image_id()
    host.power_off()
    assert not host.is_on
    assert not engine.answers(host.socket)
    with pytest.raises(requests.exceptions.Timeout):
        ping(host)
    with pytest.raises(RuntimeError, match="switched off"):
        host.run(["true"])
    assert ping(first)
    host.power_on()
    assert host.image_id() == image_id
    with contextlib.closing(host.client()) as client:
        assert client.info()["ID"] == before
        for name in (container.id, paused.id):
            found = client.containers.get(str(name))
            assert (found.status, found.attrs["State"]["ExitCode"]) == ("exited", 255)
            found.remove()


@pytest.mark.parametrize("live_restore", [True, False])
def test_what_becomes_of_containers_when_an_engine_is_killed(hosts_possible: None, live_restore: bool):
    with Hosts(1, live_restore=live_restore) as hosts:
        host = hosts[0]
        assert host.url.endswith(":2375")
        with contextlib.closing(host.client()) as client:
            container = client.containers.run(engine.IMAGE, ["sleep", "300"], detach=True, init=True)
        host.kill_daemon()
        with contextlib.closing(host.client()) as client, pytest.raises(requests.exceptions.ConnectionError):
            client.ping()
        assert "sleep 300" in host.run(["ps", "ax"]).stdout
        with pytest.raises(LookupError, match="no dockerd"):
            host.daemon()
        host.start_daemon()
        with contextlib.closing(host.client()) as client:
            status = client.containers.get(str(container.id)).status
        assert status == ("running" if live_restore else "exited")


def test_hosts_are_as_large_as_they_are_said_to_be_and_several_networks_live_at_once(hosts_possible: None):
    shapes = [Shape(cpus=1, memory_mib=512), Shape(memory_mib=2048, generic={"gpu": 2})]
    with Hosts(shapes, busybox=False) as uneven, Hosts(1, busybox=False) as other:
        assert uneven.here != other.here
        infos = []
        for host in (*uneven, *other):
            with contextlib.closing(host.client()) as client:
                infos.append(client.info())
        assert [info["NCPU"] for info in infos[:2]] == [1, len(os.sched_getaffinity(0))]
        assert [info["MemTotal"] for info in infos[:2]] == [512 << 20, 2048 << 20]
        assert infos[1]["GenericResources"] == [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}}]
        assert not infos[2]["GenericResources"]
        assert not listens(uneven[0], other[0].address, "2375")  # networks have no way to each other


def test_a_swarm_forms_and_runs_a_service_on_another_host(swarm: Hosts):
    first, *_rest, last = swarm
    with contextlib.closing(first.client()) as client:
        nodes = {node.attrs["Description"]["Hostname"]: node for node in client.nodes.list()}
        assert set(nodes) == {host.name for host in swarm}
        service = client.services.create(  # type: ignore[no-untyped-call]
            first.image_id(),
            command=["sleep", "300"],
            init=True,
            constraints=[f"node.id=={nodes[last.name].id}"],
            restart_policy=docker.types.RestartPolicy("none"),
        )
        wait_for(lambda: [task["Status"]["State"] for task in service.tasks()] == ["running"])
        with contextlib.closing(last.client()) as there:
            assert len(there.api.containers()) == 1
            service.remove()
            wait_for(lambda: not there.api.containers(all=True), 30)


def test_a_swarm_notices_a_host_that_is_cut_off_and_one_that_is_back(swarm: Hosts):
    first, second, *_rest = swarm
    with contextlib.closing(first.client()) as client:

        def state() -> str:
            (node,) = (n for n in client.nodes.list() if n.attrs["Description"]["Hostname"] == second.name)
            return str(node.attrs["Status"]["State"])

        second.cut()
        try:
            wait_for(lambda: state() == "down", 30)
        finally:
            second.mend()
        wait_for(lambda: state() == "ready", 30)


def test_three_managers_survive_the_loss_of_one(hosts_possible: None):
    with Hosts(3, busybox=False) as hosts:
        hosts.make_swarm(managers=3)
        hosts[0].power_off()

        def led() -> bool:
            with contextlib.closing(hosts[1].client(timeout_s=5)) as client:
                try:
                    nodes = client.api.nodes()
                except (docker.errors.APIError, OSError):
                    return False
            leads = [node["Description"]["Hostname"] for node in nodes if node["ManagerStatus"].get("Leader")]
            return leads in (["host1"], ["host2"])

        wait_for(led, 60)


def test_ssh_leads_in(ssh_hosts: Hosts):
    environment = {**os.environ, **ssh_hosts.ssh_environment}
    for host in ssh_hosts:
        command = ["ssh", f"root@{host.address}", "hostname; docker version --format '{{.Server.Version}}'"]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=30
        )
        name, version = done.stdout.split() or pytest.fail(done.stderr)
        assert name == host.name
        with contextlib.closing(host.client()) as client:
            assert version == client.version()["Version"]


_ASKS = """
import sys, docker
client = docker.DockerClient(sys.argv[1], version="1.41", use_ssh_client=sys.argv[2] == "ssh")
print(client.info()["Name"])
"""


@pytest.mark.parametrize("by", ["ssh", "paramiko"])
def test_docker_py_comes_in_by_ssh(ssh_hosts: Hosts, by: str):
    pytest.importorskip("paramiko", reason="docker-py wants it even where it calls ssh")
    host = ssh_hosts[1]
    done = subprocess.run(  # in a process of its own, for docker-py leaves its ssh to whoever is there
        [sys.executable, "-c", _ASKS, f"ssh://root@{host.address}", by],
        env={**os.environ, **ssh_hosts.ssh_environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == host.name, done.stderr


_STARTS = """
import os, sys, time
from tests.hosts import Hosts
with Hosts(2) as hosts:
    client = hosts[1].client()
    for _ in range(2):
        container = client.containers.run("busybox", ["sleep", "300"], detach=True, init=True)
    container.pause()
    print(hosts[0].folder.parent, *(host._init.pid for host in hosts), flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_of_hosts_whose_program_ended(hosts_possible: None, by: signal.Signals):
    with subprocess.Popen(
        [sys.executable, "-c", _STARTS], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        line = program.stdout.readline().split()
        assert line, program.communicate()
        folder, *pids = line
        inside = [psutil.Process(int(pid)) for pid in pids]
        inside += [child for process in inside for child in process.children(recursive=True)]
        assert left_of(folder, program.pid)
        program.send_signal(by)
        program.communicate()
    if by == signal.SIGINT:
        assert left_of(folder, program.pid) == []  # an interrupted program cleans up by itself
    sweep()
    assert left_of(folder, program.pid) == []
    _gone, alive = psutil.wait_procs(inside, timeout=10)
    assert alive == []


def test_hosts_that_cannot_boot_say_why_and_leave_nothing(
    hosts_possible: None, monkeypatch: pytest.MonkeyPatch
):
    folders: list[str] = []

    def broken(self: Host) -> None:
        folders.append(str(self.folder.parent))
        configuration = json.loads((self.folder / "daemon.json").read_text())
        (self.folder / "daemon.json").write_text(json.dumps({**configuration, "no-such-option": 1}))
        write(self)

    write = Host.switch_on
    monkeypatch.setattr(Host, "switch_on", broken)
    monkeypatch.setattr("tests.hosts.host.UP_S", 2.0)
    with pytest.raises(TimeoutError, match="no-such-option"), Hosts(1):
        pytest.fail("it booted")
    assert left_of(folders[0], os.getpid()) == []


def wait_for(true: Callable[[], bool], patience_s: float = 20) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, "too late"
        time.sleep(0.1)
