"""What a Docker runtime does before it ever talks to an engine."""

from __future__ import annotations

import subprocess
import sys

import pytest

from minorch.contracts import Runtime
from minorch.errors import UsageError
from minorch.runtimes.docker import DockerRuntime


def test_importing_the_package_and_making_a_runtime_import_no_docker():
    script = (
        "import sys, minorch.runtimes.docker as d; d.DockerRuntime('tcp://10.0.0.7:1');"
        "sys.exit(any(name in sys.modules for name in ('docker', 'requests', 'urllib3', 'psutil')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_runtime_keeps_the_contract_and_says_where_it_is():
    runtime = DockerRuntime("tcp://10.0.0.7:2375", concurrency=3)
    assert isinstance(runtime, Runtime)
    assert (runtime.name, runtime.concurrency, runtime.url) == ("docker", 3, "tcp://10.0.0.7:2375")
    assert repr(runtime) == "DockerRuntime('tcp://10.0.0.7:2375')"
    assert DockerRuntime("tcp://10.0.0.7:2375").concurrency >= 2


def test_numbers_must_be_positive():
    for options in ({"timeout_s": 0.0}, {"timeout_s": float("nan")}, {"concurrency": 0}):
        with pytest.raises(UsageError, match="positive"):
            DockerRuntime("tcp://10.0.0.7:1", **options)
