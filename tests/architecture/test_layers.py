"""The layers hold: each module imports only what lies below it, the core does no I/O, and importing is cheap.

The layers themselves are a table in ``imports.py``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.imports import (
    LAYERS,
    Import,
    imports_of,
    io_faults,
    layer_faults,
    modules_in,
)

ROOT = Path(__file__).resolve().parents[2] / "src" / "minorch"
MODULES = modules_in(ROOT)
HEAVY = ["asyncio", "docker", "psutil", "psycopg", "requests", "sqlite3"]


def imports_in_tree(module: str) -> list[Import]:
    path = MODULES[module]
    name = f"minorch.{module}".rstrip(".")
    return imports_of(path.read_text(encoding="utf-8"), name, is_package=path.name == "__init__.py")


def test_each_module_imports_only_what_lies_below_it():
    faults = [
        fault for module in MODULES for fault in layer_faults(module, imports_in_tree(module), MODULES.keys())
    ]
    assert not faults, "\n".join(faults)


def test_the_core_imports_no_clock_no_randomness_and_no_io():
    faults = [fault for module in MODULES for fault in io_faults(module, imports_in_tree(module))]
    assert not faults, "\n".join(faults)


def test_importing_minorch_imports_nothing_heavy():
    code = f"import sys, minorch; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], "import these where they are used, not with `import minorch`"


# -- the checker itself --------------------------------------------------------------------------------------

KNOWN = {
    *("", "cluster", "drivers", "drivers.threads", "testing"),
    *("manager", "manager.core", "worker"),
    *("runtimes", "runtimes.docker", "runtimes.process", "schedulers", "schedulers.epvm"),
    *("errors", "ids", "messages", "model", "model.task", "plugins", "state"),
}


def faults_of(module: str, source: str, *, is_package: bool = False) -> list[str]:
    imports = imports_of(source, f"minorch.{module}", is_package=is_package)
    return layer_faults(module, imports, KNOWN) + io_faults(module, imports)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("manager.core", "from minorch.state import tables\nfrom minorch.messages import Assign"),
        ("manager.core", "import minorch.model.task"),
        ("manager.core", "from minorch.manager import absorb"),
        (
            "manager.core",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from random import Random",
        ),
        ("cluster", "from minorch.drivers.threads import ThreadDriver\nimport threading"),
        ("testing", "from minorch.runtimes.docker import DockerRuntime"),
        ("runtimes.docker", "import time\nfrom minorch.plugins import hookimpl"),
        ("schedulers.random", "from minorch.model import Task"),
    ],
)
def test_an_import_from_below_is_fine(module: str, source: str):
    assert faults_of(module, source) == []


@pytest.mark.parametrize(
    ("module", "source", "words"),
    [
        ("ids", "from minorch.model import Task", "above"),
        ("model.task", "import minorch.cluster", "above"),
        ("state", "def late():\n    from minorch.manager.core import Manager", "above"),
        ("state", "if TYPE_CHECKING:\n    from minorch.manager import Manager", "above"),
        ("model.task", "from ..manager.core import Manager", "above"),
        ("model.task", "from .. import cluster", "above"),
        ("manager", "from minorch import worker", "beside"),
        ("worker", "from minorch.runtimes.process import ProcessRuntime", "beside"),
        ("runtimes.docker", "from minorch.runtimes.process import limits", "beside"),
        ("runtimes.docker", "from .process import limits", "beside"),
        ("errors", "from minorch.ids import TaskId", "above"),
        ("drivers.threads", "from minorch.cluster import Cluster", "beside"),
        ("manager.core", "from minorch import Task", "minorch itself"),
        ("manager.core", "import minorch", "minorch itself"),
        ("helpers", "", "say which layer"),
        ("helpers.more", "import sys", "say which layer"),
    ],
)
def test_an_import_from_above_or_beside_is_found(module: str, source: str, words: str):
    (fault,) = faults_of(module, source)
    assert words in fault


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import random",
        "def late():\n    import uuid",
        "from threading import Lock",
        "import asyncio.events",
        "import os.path",
        "from pathlib import Path",
        "if TYPE_CHECKING:\n    import docker",
        "if not TYPE_CHECKING:\n    import random",
        "if TYPE_CHECKING:\n    pass\nelse:\n    import random",
    ],
)
@pytest.mark.parametrize("module", ["ids", "state", "manager.core", "worker", "schedulers.epvm", "plugins"])
def test_io_in_the_core_is_found(module: str, source: str):
    (fault,) = faults_of(module, source)
    assert "is given" in fault


def test_a_package_may_list_its_own_modules_only():
    assert faults_of("schedulers", "from minorch.schedulers.epvm import Epvm", is_package=True) == []
    (fault,) = faults_of("schedulers", "from minorch.runtimes.docker import DockerRuntime", is_package=True)
    assert "beside" in fault


def test_the_top_package_may_import_everything():
    assert layer_faults("", imports_of("from minorch.cluster import Cluster", "minorch"), KNOWN) == []


def test_no_unit_is_in_two_layers():
    units = [unit for layer in LAYERS for unit in layer]
    assert len(units) == len(set(units))


def test_the_tree_is_really_read():
    assert {"errors", "ids"} <= MODULES.keys()
    assert "minorch.errors" in {found.name.rsplit(".", 1)[0] for m in MODULES for found in imports_in_tree(m)}
