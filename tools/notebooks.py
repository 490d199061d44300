#!/usr/bin/env python3
"""Run every notebook as a reader would, and see that it leaves nothing behind.

A notebook is a text file, ``examples/notebooks/*.py`` in the percent format of jupytext.  It is made an
``.ipynb`` in an empty directory and run there, cell by cell, in a kernel of its own.  It passes when no cell
raises within the time limit, and afterwards there is neither a container that it made nor a process.

There is no network for it: in the kernel, and in Python programs that it starts, only this machine's own
addresses can be reached.  What a Docker Engine does is not held up by that.

A notebook whose header says ``minorch: {needs: docker}``, or that has a line ``# needs: docker`` above its
first cell, is skipped where no engine answers, or fails with ``MINORCH_REQUIRE_DOCKER=1``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from tools.engine import EngineError
from tools.examples import SETTLE_S, engine_socket
from tools.relay import Relay, still_there

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "examples" / "notebooks"
NEEDS_DOCKER = re.compile(r"^#\s*needs:\s*docker\s*$", re.MULTILINE)
FIRST_CELL = re.compile(r"^# %%", re.MULTILINE)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
NOWHERE = "unix:///nonexistent/docker.sock"

GUARD = '''"""No connection leaves this machine."""
import ipaddress, os, socket

_connect, _connect_ex, _lookup = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo


def _check(host):
    host = host.decode() if isinstance(host, bytes) else host or "localhost"
    if host == "localhost" or host.endswith(".localhost"):
        return
    try:
        if ipaddress.ip_address(host.partition("%")[0]).is_loopback:
            return
    except ValueError:
        pass
    raise socket.gaierror(socket.EAI_NONAME, f"a notebook is run without network, and asked for {host}")


def _checked(connect):
    def checked(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _check(address[0])
        return connect(self, address)

    return checked


def _getaddrinfo(host, *more, **options):
    _check(host)
    return _lookup(host, *more, **options)


socket.socket.connect, socket.socket.connect_ex = _checked(_connect), _checked(_connect_ex)
socket.getaddrinfo = _getaddrinfo
'''
"""What each Python of a notebook runs first, as its ``sitecustomize``."""

SWEEP = "import minorch; minorch.leftovers('process').clean(durable=True, unknown=True)"


class Notebook(NamedTuple):
    """A notebook to run."""

    path: Path
    needs_docker: bool
    content: NotebookNode

    @classmethod
    def read(cls, path: Path) -> Notebook:
        """Read one in the percent format."""
        text = path.read_text(encoding="utf-8")
        content = jupytext.reads(text, fmt="py:percent")
        head = FIRST_CELL.split(text, maxsplit=1)[0]
        told = content.metadata.get("minorch", {}).get("needs") == "docker"
        return cls(path, told or bool(NEEDS_DOCKER.search(head)), content)


def run(notebook: Notebook, limit_s: float, env: Mapping[str, str], save: Path | None) -> str | None:
    """Run one in an empty directory; return what went wrong, or ``None``."""
    with tempfile.TemporaryDirectory(prefix="minorch-notebook-") as folder:
        place = Path(folder)
        for name in ("guard", "work", "state", "ipython"):
            (place / name).mkdir()
        (place / "guard" / "sitecustomize.py").write_text(GUARD)
        # A reader has the notebook in its directory, and finds the examples above it.
        paths = [str(place / "guard"), str(NOTEBOOKS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "XDG_STATE_HOME": str(place / "state"),
            "IPYTHONDIR": str(place / "ipython"),
            **env,
        }
        file = place / "work" / f"{notebook.path.stem}.ipynb"
        nbformat.write(notebook.content, file)
        content = nbformat.read(file, as_version=4)
        began = time.monotonic()
        fault = execute(content, limit_s, env, place / "work")
        print(f"-- {notebook.path.name}: {time.monotonic() - began:.1f} s", flush=True)
        if save is not None:
            save.mkdir(parents=True, exist_ok=True)
            nbformat.write(content, save / file.name)
        return both(fault, left_in(place / "state", env))


def execute(content: NotebookNode, limit_s: float, env: Mapping[str, str], folder: Path) -> str | None:
    """Run all cells in a kernel of their own; return what went wrong, or ``None``."""
    at = 0

    def begin(cell: object, cell_index: int) -> None:
        nonlocal at
        at = cell_index

    ends = time.monotonic() + limit_s
    client = NotebookClient(
        content,
        kernel_name="python3",
        timeout_func=lambda cell: max(1, round(ends - time.monotonic())),
        on_cell_start=begin,
    )
    try:
        client.execute(env=dict(env), cwd=str(folder))
    except CellTimeoutError:
        return f"still running after {limit_s:g} s, in {told(content, at)}"
    except CellExecutionError as error:
        return f"{told(content, at)} raised:\n{COLOURS.sub('', str(error)).strip()}"
    except DeadKernelError:
        return f"the kernel died in {told(content, at)}"
    return None


def told(content: NotebookNode, at: int) -> str:
    """A cell by its number, and the line that it begins with."""
    first = next(iter(content.cells[at].source.splitlines()), "")
    return f"cell {at + 1} ({first.strip()[:70]})"


def both(*faults: str | None) -> str | None:
    """Several faults as one, or ``None``."""
    return "\n".join(fault for fault in faults if fault is not None) or None


def left_in(state: Path, env: Mapping[str, str]) -> str | None:
    """What runs of its clusters are left below its state; they are ended and removed."""
    left = sorted(path.name for path in state.rglob("minorch-*"))
    if not left:
        return None
    subprocess.run([sys.executable, "-c", SWEEP], env=dict(env), check=False)
    return f"runs left behind, was a cluster not closed? {' '.join(left)}"


def run_with(notebook: Notebook, limit_s: float, socket_path: str | None, save: Path | None) -> str | None:
    """Run one, on an engine if there is one; it is also wrong to leave a container there."""
    if socket_path is None:
        return run(notebook, limit_s, {"DOCKER_HOST": NOWHERE}, save)
    with Relay(socket_path) as relay:
        fault = run(notebook, limit_s, {"DOCKER_HOST": relay.url}, save)
    left = still_there(socket_path, relay.made, SETTLE_S)
    ids = " ".join(sorted(id_[:12] for id_ in left))
    return both(fault, f"containers left behind, was a cluster not closed? {ids}" if left else None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the notebooks that are named, or all; return the exit status."""
    parser = argparse.ArgumentParser(
        description="Run every notebook without network, and see that none leaves anything behind."
    )
    parser.add_argument("names", nargs="*", help="run only these: a file's name without .py, or its number")
    parser.add_argument("--limit-s", type=float, default=300, help="seconds that one may take (default 300)")
    parser.add_argument("--folder", type=Path, default=NOTEBOOKS, help="where the notebooks are")
    parser.add_argument("--save", type=Path, help="where to put each as it looks after its run")
    options = parser.parse_args(arguments)
    every = {path.stem: path for path in sorted(options.folder.glob("*.py"))}
    chosen = {
        stem: path
        for stem, path in every.items()
        if not options.names or {stem, stem.partition("_")[0]} & set(options.names)
    }
    if not chosen:
        parser.error(f"no such notebook; there are {', '.join(every) or 'none'} in {options.folder}")
    try:
        socket_path = engine_socket()
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    faults: dict[str, str] = {}
    skipped = 0
    for name, path in chosen.items():
        notebook = Notebook.read(path)
        if notebook.needs_docker and socket_path is None:
            print(f"-- {path.name}: skipped, it needs a Docker Engine, and none answers", flush=True)
            skipped += 1
            continue
        fault = run_with(notebook, options.limit_s, socket_path, options.save)
        if fault is not None:
            faults[name] = fault
            print(f"FAILED {name}: {fault}", flush=True)
    passed = len(chosen) - len(faults) - skipped
    print(f"{passed} notebooks passed, {len(faults)} failed, {skipped} skipped", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
