"""Reading control groups of both versions, from files that look like the kernel's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minorch.ids import RunKey
from minorch.runtimes.docker import measuring
from minorch.runtimes.docker.containers import Containers, Known
from minorch.runtimes.docker.engine import Engine


def test_version_2_leaves_out_what_the_kernel_may_drop(tmp_path: Path):
    group = tmp_path / "docker/x"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("5000\n")
    (group / "memory.stat").write_text("anon 1000\ninactive_file 2000\n")
    (group / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (group / "pids.current").write_text("3\n")
    stats = measuring._from_groups({"": "/docker/x"}, {"": str(tmp_path)})
    assert stats is not None
    assert (stats.memory, stats.cpu_s, stats.pids) == (3000, 1.5, 3)


def test_version_1_reads_each_hierarchy(tmp_path: Path):
    files = {
        "memory": {"memory.usage_in_bytes": "5000", "memory.stat": "total_inactive_file 1000"},
        "cpuacct": {"cpuacct.usage": "2500000000"},
        "pids": {"pids.current": "4"},
    }
    for controller, contents in files.items():
        (tmp_path / controller / "x").mkdir(parents=True)
        for name, text in contents.items():
            (tmp_path / controller / "x" / name).write_text(text)
    mounts = {controller: str(tmp_path / controller) for controller in files}
    stats = measuring._from_groups(dict.fromkeys(files, "/x"), mounts)
    assert stats is not None
    assert (stats.memory, stats.cpu_s, stats.pids) == (4000, 2.5, 4)


def test_groups_that_cannot_be_read_are_none_and_processes_are_added_up_instead(tmp_path: Path):
    assert measuring._from_groups({"": "/absent"}, {"": str(tmp_path)}) is None
    stats = measuring._from_processes(Known("f" * 64, os.getpid(), ""))
    assert stats is not None
    assert stats.memory > 0
    assert stats.pids >= 1
    assert measuring._from_processes(Known("f" * 64, 2**22 + 1, "")) is None


def test_a_process_that_is_not_the_containers_is_not_measured():
    assert not measuring.belongs_to(os.getpid(), "f" * 64)
    assert not measuring.belongs_to(0, "f" * 64)
    assert not measuring.belongs_to(2**22 + 1, "f" * 64)


def test_where_there_is_no_proc_nothing_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measuring, "_PROC", tmp_path)
    containers = Containers(Engine("unix:///absent.sock", timeout_s=1, connections=1))
    assert measuring.measure(containers, [RunKey("a" * 32, 1, 1)]) == {}
