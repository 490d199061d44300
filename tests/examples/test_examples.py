"""What the examples promise beyond exit 0: they run without Docker, say what they use, and leave no files.

``nox -s examples`` runs all of them with what the machine has; here are the quick ones, on plain processes.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(ROOT.glob("examples/*.py"))
NOWHERE = "unix:///nonexistent/docker.sock"


def run_on_processes(name: str, directory: Path) -> str:
    """Run an example where no engine answers; return what it printed."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py")],
        env={**os.environ, "DOCKER_HOST": NOWHERE, "XDG_STATE_HOME": str(directory)},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("hello", "COMPLETED on process: hello, world"),
        ("batch", "restarted after a failure: square[4], square[11]"),
        ("custom_scheduler", "a name: cats-1 in the north"),
        ("embedding", "lost on purpose"),
        ("service", "web[1] was killed and is back"),
    ],
)
def test_an_example_needs_no_docker_and_leaves_no_files(name: str, printed: str, tmp_path: Path):
    assert printed in run_on_processes(name, tmp_path)
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


def test_the_demo_says_that_it_uses_processes_and_why(tmp_path: Path):
    first = run_on_processes("demo", tmp_path).splitlines()[0]
    assert first.startswith(f"Tasks run on the process runtime: no Docker Engine answers at {NOWHERE}")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_begins_by_saying_what_it_shows(path: Path):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring is not None
    assert "print" in docstring.lower()
