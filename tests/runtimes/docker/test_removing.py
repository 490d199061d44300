"""Answers to a removal that a real engine gives too rarely to wait for."""

from __future__ import annotations

import pytest

from minorch.errors import RuntimeFault
from minorch.runtimes.docker import containers as module
from minorch.runtimes.docker.containers import Containers
from minorch.runtimes.docker.engine import Engine
from minorch.runtimes.docker.faults import Refused

ID = "f" * 64


class Busy(Engine):
    """An engine where somebody else's removal is under way for a number of looks."""

    def __init__(self, looks: int) -> None:
        super().__init__("unix:///absent.sock", timeout_s=1, connections=1)
        self.looks = looks

    def record(self, method, path, query=None, *, body=None, timeout_s=None):
        if method == "DELETE":
            raise Refused(409, f"removal of container {ID} is already in progress", "DELETE")
        self.looks -= 1
        if self.looks < 0:
            raise Refused(404, "No such container", "GET")
        return {"Id": ID}


def test_a_removal_under_way_is_waited_for():
    engine = Busy(looks=2)
    Containers(engine).remove_id(ID, force=False)
    assert engine.looks < 0


def test_a_removal_that_takes_for_ever_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_REMOVAL_S", 0.05)
    with pytest.raises(RuntimeFault, match="still being removed"):
        Containers(Busy(looks=10_000)).remove_id(ID, force=False)
