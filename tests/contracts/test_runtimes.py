"""Every built-in runtime passes the suite that plugin authors are given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minorch.contracts import Runtime
from minorch.model import Task
from minorch.runtimes.docker import DockerRuntime
from minorch.runtimes.process import ProcessRuntime
from minorch.testing.runtime_contract import RuntimeContract


class TestProcessRuntime(RuntimeContract):
    def make_runtime(self, tmp_path: Path) -> Runtime:
        return ProcessRuntime(tmp_path)

    def task(self, shell: str) -> Task:
        return Task("t", command=["sh", "-c", shell])


class TestProcessRuntimeThatRecordsExits(TestProcessRuntime):
    def make_runtime(self, tmp_path: Path) -> Runtime:
        return ProcessRuntime(tmp_path, record_exits=True)


class TestProcessRuntimeWithoutPidfd(TestProcessRuntime):
    """As on macOS, or when there are no file descriptors left."""

    @pytest.fixture(autouse=True)
    def no_pidfd(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "pidfd_open", raising=False)


class TestDockerRuntime(RuntimeContract):
    patience_s = 60.0
    tells_missing_commands = False  # the init process that every container has looks for it

    @pytest.fixture(autouse=True)
    def engine(self, engine_url: str, busybox: str) -> None:
        self.url, self.image = engine_url, busybox

    def make_runtime(self, tmp_path: Path) -> Runtime:
        return DockerRuntime(self.url)

    def task(self, shell: str) -> Task:
        # Without a network a container starts in 210 ms instead of 300.
        return Task("t", image=self.image, command=["sh", "-c", shell], networks=["none"])
