"""The example of a package: installed into a new environment, found by name, and passing its own tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import minorch
from tests.docs.pages import python_blocks
from tests.fresh_venv import FreshVenv

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "scheduler_package"
NOWHERE = "unix:///nonexistent/docker.sock"

pytestmark = pytest.mark.xdist_group("scheduler-package")  # so that one environment serves all


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, so that nothing is left in the repository."""
    copy = tmp_path_factory.mktemp("example") / "scheduler_package"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    return copy


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> FreshVenv:
    """A new environment with the example installed: not for editing, so that what is left out is missed."""
    venv = FreshVenv(tmp_path_factory.mktemp("venv") / "venv")
    done = venv.run(folder, "python", "-m", "pip", "install", "--no-deps", ".")
    assert done.returncode == 0, done.stdout
    return venv


def test_it_runs_with_the_minorch_under_test(venv: FreshVenv, folder: Path):
    done = venv.run(folder, "python", "-c", "import minorch; print(minorch.__file__)")
    assert done.stdout.strip() == minorch.__file__


def test_it_is_listed_by_name(venv: FreshVenv, folder: Path):
    done = venv.run(
        folder, "python", "-c", "import minorch; print(minorch.default_registry().load_entry_points())"
    )
    (line,) = done.stdout.splitlines()[1:]
    assert line.split() == [
        *("scheduler", "cheapest", "the", "cheapest", "node", "first,", "by", "its", "price", "label"),
        *("cheapest", "entry", "point", "of", "minorch-cheapest", "0.1.0"),
    ]


def test_it_passes_its_own_tests(venv: FreshVenv, folder: Path):
    done = venv.run(folder, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_the_programs_in_its_readme_run_jobs_with_it(venv: FreshVenv, folder: Path):
    blocks = python_blocks((folder / "README.md").read_text(encoding="utf-8"))
    program = "\n".join(block.code for block in blocks)
    done = venv.run(folder, "python", "-c", program, DOCKER_HOST=NOWHERE)
    assert (done.returncode, done.stdout) == (0, "spot\nown\n")
