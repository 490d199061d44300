#!/usr/bin/env python3
"""Run every example as a user would, and see that it leaves nothing behind.

An example passes when it exits 0 within its time limit. Where a Docker Engine answers, no container that it
made may be left. What others make on the same engine does not count: each example reaches it by a socket of
its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.engine import DEFAULT_SOCKET, EngineError, answers, socket_of
from tools.relay import Relay, still_there

ROOT = Path(__file__).resolve().parents[1]
SETTLE_S = 3.0
"""A container that a worker is removing may take so long to be gone."""


def engine_socket() -> str | None:
    """The socket of an engine that answers, or ``None``. Raises where one is required and none answers."""
    try:
        path = socket_of(os.environ.get("DOCKER_HOST") or f"unix://{DEFAULT_SOCKET}")
    except EngineError:
        return None
    if answers(path):
        return path
    if os.environ.get("MINORCH_REQUIRE_DOCKER") == "1":
        raise EngineError(
            f"MINORCH_REQUIRE_DOCKER=1, but nothing answers at {path}: run `nox -s engine` first."
        )
    return None


def run_example(path: Path, limit_s: float, **env: str) -> str | None:
    """Run one example in an empty directory; return what went wrong, or ``None``."""
    began = time.monotonic()
    command = [sys.executable, str(path)]
    with tempfile.TemporaryDirectory() as directory:
        try:
            done = subprocess.run(
                command, cwd=directory, env={**os.environ, **env}, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            return f"still running after {limit_s:g} s"
    print(f"-- {path.name}: exit {done.returncode} after {time.monotonic() - began:.1f} s", flush=True)
    return f"exit {done.returncode}" if done.returncode else None


def run_on_engine(path: Path, limit_s: float, socket_path: str) -> str | None:
    """Run one example on an engine; it is also wrong to leave a container there."""
    with Relay(socket_path) as relay:
        fault = run_example(path, limit_s, DOCKER_HOST=relay.url)
    left = still_there(socket_path, relay.made, SETTLE_S)
    if left and fault is None:
        return f"containers left behind: {' '.join(sorted(id_[:12] for id_ in left))}"
    return fault


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the examples that are named, or all; return the exit status."""
    parser = argparse.ArgumentParser(
        description="Run every example, and see that none leaves a container behind."
    )
    parser.add_argument("names", nargs="*", help="run only these, such as demo")
    parser.add_argument(
        "--limit-s", type=float, default=120, help="seconds that one example may take (default 120)"
    )
    options = parser.parse_args(arguments)
    every = {path.stem: path for path in sorted(ROOT.glob("examples/*.py")) if not path.stem.startswith("_")}
    names = options.names or list(every)
    if unknown := [name for name in names if name not in every]:
        parser.error(f"no such example: {', '.join(unknown)}; there are {', '.join(every)}")
    if not names:
        parser.error("there is no example in examples/")
    try:
        socket_path = engine_socket()
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    failures = {}
    for name in names:
        print(f"-- {name}.py", flush=True)
        if socket_path is None:
            fault = run_example(every[name], options.limit_s)
        else:
            fault = run_on_engine(every[name], options.limit_s, socket_path)
        if fault is not None:
            failures[name] = fault
    for name, fault in failures.items():
        print(f"FAILED {name}: {fault}", flush=True)
    print(f"{len(names) - len(failures)} examples passed, {len(failures)} failed", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
