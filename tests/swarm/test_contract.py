"""A Swarm and its runtime pass the suites of every fleet and every runtime, on a real Swarm of one node."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from minorch.contracts import Fleet, Runtime
from minorch.model import Task
from minorch.runtimes.swarm import Swarm
from minorch.testing.fleet_contract import FleetContract
from minorch.testing.runtime_contract import RuntimeContract
from tests.chaos.private_engine import PrivateEngine
from tools import engine as tool


class TestSwarmRuntime(RuntimeContract):
    patience_s = 60.0
    tells_missing_commands = False  # the init process that every container has looks for it
    has_exec_probe = False  # a check is the node's own, made from the start of the task
    has_stats = False

    @pytest.fixture(autouse=True)
    def ways(self, swarm_engine: PrivateEngine) -> Iterator[None]:
        self.url, self.swarms = swarm_engine.url, list[Swarm]()
        yield
        for swarm in self.swarms:
            swarm.close()

    def make_runtime(self, tmp_path: Path) -> Runtime:
        swarm = Swarm([self.url], poll_s=0.2)
        self.swarms.append(swarm)
        (node,) = swarm.link.poll.fresh().nodes.values()
        return swarm.runtime(node.id)

    def task(self, shell: str) -> Task:
        return Task("t", image=tool.IMAGE, command=["sh", "-c", shell], stop_grace_s=2)


class TestSwarm(FleetContract):
    @pytest.fixture(autouse=True)
    def engine(self, swarm_engine: PrivateEngine) -> Iterator[None]:
        self.url = swarm_engine.url
        yield
        self.set_label(None)

    def make_fleet(self, tmp_path: Path) -> Fleet:
        return Swarm([self.url], poll_s=0.2)

    def change(self, fleet: Fleet, name: str) -> None:
        self.set_label(str(next(self.numbers)))

    def set_label(self, value: str | None) -> None:
        with contextlib.closing(docker.DockerClient(self.url)) as client:
            (node,) = client.nodes.list()
            spec = node.attrs["Spec"]
            labels = {**spec["Labels"], "change": value}
            node.update({**spec, "Labels": {key: text for key, text in labels.items() if text is not None}})
