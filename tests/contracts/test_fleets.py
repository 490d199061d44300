"""The fleet of Docker Engines passes the suite that plugin authors are given.

So do a Swarm, in tests/swarm/test_contract.py, and what docs/howto/fleets.md shows, in tests/docs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import minorch as mo
from minorch.contracts import Fleet
from minorch.runtimes.docker import DockerFleet, fleet as fleet_module
from minorch.runtimes.docker.runtime import About, DockerRuntime
from minorch.testing.fleet_contract import FleetContract


class TestDockerFleet(FleetContract):
    """The engine is real, and so is what it says, but for a label, which none changes while it runs."""

    @pytest.fixture(autouse=True)
    def engine(self, engine_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url, self.label = engine_url, 0
        about = DockerRuntime.about

        def relabelled(runtime: DockerRuntime) -> About:
            return about(runtime)._replace(labels=[f"change={self.label}"])

        monkeypatch.setattr(DockerRuntime, "about", relabelled)
        monkeypatch.setattr(fleet_module, "_AGAIN_S", 0.1)

    def make_fleet(self, tmp_path: Path) -> Fleet:
        # Nobody listens at the second address.
        return DockerFleet([mo.DockerEngine(self.url, name="here"), "tcp://127.0.0.1:9"])

    def change(self, fleet: Fleet, name: str) -> None:
        self.label = next(self.numbers)
