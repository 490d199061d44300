"""What a developer and CI run; ``nox -l`` lists it.

Sessions only install and call. Logic of more than a few lines lives in ``tools/``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests", "docs", "examples"]
# A laptop with one Python tests that one; CI asks for all of them.
nox.options.error_on_missing_interpreters = os.environ.get("MINORCH_REQUIRE_PYTHONS") == "1"

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = ["3.11", "3.12", "3.13"]


WORKERS = ["-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadgroup"]
"""Tests run side by side, except for those of the engine, which wait for it and for each other."""


ELSEWHERE = ["-m", "not hosts"]
"""What several machines do to each other takes minutes and is the same under each Python: one is enough."""


def usable(python: str) -> bool:
    """Whether a Python is there and runs (pyenv's shims are there for versions that do not)."""
    found = shutil.which(f"python{python}")
    return found is not None and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0


GATE_PYTHON = next((python for python in PYTHONS if usable(python)), PYTHONS[0])
"""The session that measures coverage: branches are the same under each Python, and tracing is slow."""

CORE = [
    "errors.py",
    "ids.py",
    "markup/*",
    "states.py",
    "resources.py",
    "messages.py",
    "model/*",
    "state/*",
    "scheduling/*",
    "decisions/*",
    "manager/*",
    "worker/*",
    "schedulers/*",
]
"""The code without I/O, of which the tests take every branch."""


def install(session: nox.Session, *groups: str, package: bool = True) -> None:
    """Install dependency groups, and the package itself unless told otherwise."""
    requirements = list(nox.project.dependency_groups(PROJECT, *groups)) if groups else []
    session.install(*requirements, *(["-e", "."] if package else []), silent=True)


@nox.session(download_python="never")
def demo(session: nox.Session) -> None:
    """Install the package as a user would, and run the demo: Docker if an engine answers, else processes."""
    session.install(".", silent=True)
    session.run("python", "examples/demo.py", *session.posargs)


@nox.session(python=PYTHONS, download_python="never")
def tests(session: nox.Session) -> None:
    """Run the tests; on one Python, without arguments, hold the core to full branch coverage."""
    install(session, "test")
    if session.posargs or session.python != GATE_PYTHON:
        session.run("pytest", *(session.posargs or [*WORKERS, *ELSEWHERE]))
        return
    env = {"COVERAGE_FILE": str(Path(session.virtualenv.location, "coverage").resolve())}
    session.run("pytest", *WORKERS, "--cov", "--cov-report=", env=env)
    session.log("coverage of everything, to read:")
    session.run("coverage", "report", env=env)
    session.log("coverage of the core, which must be complete:")
    include = ",".join(f"src/minorch/{name}" for name in CORE)
    session.run("coverage", "report", f"--include={include}", "--fail-under=100", "--precision=2", env=env)


@nox.session(download_python="never")
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    install(session, "lint", package=False)
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session(download_python="never")
def types(session: nox.Session) -> None:
    """Check types, strictly: the package, the examples, the typing tests and the tools."""
    install(session, "types")
    session.run("mypy", *session.posargs)


@nox.session(download_python="never")
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error, and nothing is fetched."""
    install(session, "docs")
    session.run("sphinx-build", "-W", "-n", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html")
    session.log("built docs/_build/html/index.html")


@nox.session(download_python="never")
def examples(session: nox.Session) -> None:
    """Run every example, and see that none leaves a container behind."""
    session.install("-e", ".[compare]", silent=True)
    session.run("python", "tools/examples.py", *session.posargs)


@nox.session(download_python="never")
def notebooks(session: nox.Session) -> None:
    """Run every notebook, without network, and see that none leaves anything behind."""
    install(session, "notebooks")
    trace = Path("..", "shared", "data").resolve()
    session.run("python", "tools/notebooks.py", *session.posargs, env={"OPENB": str(trace)})


@nox.session(download_python="never")
def pictures(session: nox.Session) -> None:
    """Make pictures of what notebooks and plots show: ``pictures -- DIRECTORY``; needs Chromium."""
    install(session, "pictures")
    session.run("python", "tools/pictures.py", *(session.posargs or ["docs/_build/pictures"]))


@nox.session(download_python="never")
def bench(session: nox.Session) -> None:
    """Run one benchmark: ``nox -s bench -- NAME [ARGUMENTS]``."""
    names = sorted(path.stem for path in Path("benchmarks").glob("*.py") if not path.stem.startswith("_"))
    if not session.posargs or session.posargs[0] not in names:
        known = ", ".join(names) or "(none yet)"
        session.error(f"say which benchmark: nox -s bench -- NAME, where NAME is one of {known}")
    name, *rest = session.posargs
    install(session)
    if name == "process":
        for group in ("bench", "bench-hyperqueue"):
            try:
                install(session, group, package=False)
            except nox.command.CommandFailed:
                session.warn(f"the group {group!r} cannot be installed here: that rival is left out")
    session.run("python", "-m", f"benchmarks.{name}", *rest)


@nox.session(download_python="never")
def sim(session: nox.Session) -> None:
    """Play hostile worlds: ``nox -s sim -- --steps 100000000`` for a night, ``--replay SEED`` for one."""
    install(session)
    session.run("python", "-m", "tests.sim", *session.posargs)


@nox.session(download_python="never")
def mutants(session: nox.Session) -> None:
    """Put bugs into the protocol on purpose, and see that hostile worlds find each of them."""
    install(session)
    session.run("python", "-m", "tests.sim.mutants", *session.posargs)


@nox.session(download_python="never")
def kills(session: nox.Session) -> None:
    """Kill 500 managers, or so many as are said, and tear logs at every byte: ``kills -- 500 [PATH ...]``."""
    install(session, "test")
    number, *paths = session.posargs or ["500"]
    paths = paths or ["tests/survival", "tests/stores"]
    session.run("pytest", "-n", "0", "-s", "-q", *paths, env={"MINORCH_KILLS": number})


@nox.session(download_python="never")
def takeover(session: nox.Session) -> None:
    """Kill and stop the leader of two managers on a PostgreSQL: ``takeover -- --times 50 --seed 1``."""
    install(session, "test")
    session.run("python", "-m", "tests.takeover", *session.posargs)


@nox.session(download_python="never")
def chaos(session: nox.Session) -> None:
    """As root: break a cluster on two private engines: ``nox -s chaos -- --cycles 50 --seed 1``."""
    install(session)
    session.run("python", "-m", "tests.chaos", *session.posargs)


@nox.session(download_python="never")
def soak(session: nox.Session) -> None:
    """Run 1,000 containers and 200,000 played tasks, and see that nothing piles up."""
    install(session)
    session.run("python", "-m", "tests.chaos.soak", *session.posargs)


@nox.session(venv_backend="none")
def engine(session: nox.Session) -> None:
    """As root on Debian: install and start a Docker Engine, and make its busybox image. Safe to repeat."""
    session.run("python", "tools/engine.py", *(session.posargs or ["up"]), external=True)
