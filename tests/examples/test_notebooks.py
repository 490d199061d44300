"""The tool that runs notebooks: what passes, what fails and how that is told, and what it holds them to."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(ROOT.glob("examples/notebooks/*.py"))
NOWHERE = "unix:///nonexistent/docker.sock"
ALONE = {"DOCKER_HOST": NOWHERE, "MINORCH_REQUIRE_DOCKER": "0", "PYTHONPATH": str(ROOT / "src")}
"""No engine answers, and none is required."""

for needed in ("ipykernel", "jupytext", "nbclient"):
    pytest.importorskip(needed)


class Ran:
    """What the tool said."""

    def __init__(self, code: int, out: str) -> None:
        self.code, self.out = code, out


def run(folder: Path, *arguments: str, **env: str) -> Ran:
    """Run the tool on the notebooks in a folder."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "notebooks.py"), "--folder", str(folder), *arguments],
        env={**os.environ, **ALONE, **env},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return Ran(done.returncode, done.stdout + done.stderr)


def write(folder: Path, name: str, *cells: str, head: str = "") -> None:
    """Write a notebook of these cells."""
    text = "".join(f"# %%\n{textwrap.dedent(cell)}\n" for cell in cells)
    (folder / f"{name}.py").write_text(f"{head}{text}")


def test_a_notebook_passes_and_the_time_that_it_took_is_told(tmp_path: Path):
    write(tmp_path, "1_good", "x = 1", "x + 1", "import asyncio\nawait asyncio.sleep(0)")
    ran = run(tmp_path, "--save", str(tmp_path / "after"))
    assert ran.code == 0, ran.out
    assert "-- 1_good.py: " in ran.out
    assert "1 notebooks passed, 0 failed, 0 skipped" in ran.out
    saved = json.loads((tmp_path / "after" / "1_good.ipynb").read_text())
    assert saved["cells"][1]["outputs"][0]["data"]["text/plain"] == ["2"]


def test_a_cell_that_raises_fails_its_notebook_and_is_told_with_its_traceback(tmp_path: Path):
    write(tmp_path, "bad", "x = 1", "# divides\nx / 0", "print('never')")
    write(tmp_path, "good", "x = 1")
    ran = run(tmp_path)
    assert ran.code == 1
    assert "FAILED bad: cell 2 (# divides) raised:" in ran.out
    assert "ZeroDivisionError: division by zero" in ran.out
    assert "x / 0" in ran.out
    assert "never" not in ran.out
    assert "1 notebooks passed, 1 failed" in ran.out


def test_a_notebook_that_takes_too_long_is_ended_and_the_cell_named(tmp_path: Path):
    write(tmp_path, "slow", "import time", "time.sleep(1000)")
    ran = run(tmp_path, "--limit-s", "8")
    assert ran.code == 1
    assert "FAILED slow: still running after 8 s, in cell 2 (time.sleep(1000))" in ran.out


def test_a_kernel_that_dies_fails_its_notebook(tmp_path: Path):
    write(tmp_path, "dead", "import os", "os._exit(3)")
    ran = run(tmp_path)
    assert ran.code == 1
    assert "FAILED dead: the kernel died in cell 2 (os._exit(3))" in ran.out


def test_there_is_no_network_but_this_machine_and_in_programs_that_it_starts_neither(tmp_path: Path):
    reach = "import urllib.request; urllib.request.urlopen('http://example.org', timeout=5)"
    write(
        tmp_path,
        "online",
        f"""
        import socket, subprocess, sys
        server = socket.create_server(("127.0.0.1", 0))
        socket.create_connection(server.getsockname()).close()
        socket.create_connection(("localhost", server.getsockname()[1])).close()
        child = subprocess.run([sys.executable, "-c", {reach!r}], capture_output=True, text=True)
        assert "run without network" in child.stderr, child.stderr
        """,
        "socket.create_connection(('192.0.2.1', 80))",
    )
    ran = run(tmp_path)
    assert "FAILED online: cell 2" in ran.out
    assert "a notebook is run without network, and asked for 192.0.2.1" in ran.out


def test_processes_that_a_notebook_leaves_fail_it_and_are_ended(tmp_path: Path):
    write(
        tmp_path,
        "messy",
        """
        import minorch as mo
        cluster = mo.Cluster(runtime="process")
        job = cluster.submit(mo.Task("left", command=["sleep", "1000"]))
        job.wait_ready(30)
        import os
        open(os.environ["NOTE"], "w").write(job.tasks["left"].attempts[-1].handle)
        """,
        "import os\nos.kill(os.getpid(), 9)",
    )
    write(tmp_path, "tidy", "import minorch as mo\nwith mo.Cluster(runtime='process'): pass")
    ran = run(tmp_path, NOTE=str(tmp_path / "note"))
    assert "FAILED messy: the kernel died in cell 2" in ran.out
    assert "runs left behind, was a cluster not closed? minorch-" in ran.out
    assert "1 notebooks passed, 1 failed" in ran.out
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int((tmp_path / "note").read_text())).wait(30)  # whoever inherited it sees to it soon


@pytest.mark.parametrize(
    "head",
    ["# needs: docker\n", "# ---\n# jupyter:\n#   minorch:\n#     needs: docker\n# ---\n\n"],
    ids=["a line", "the header"],
)
def test_without_an_engine_a_notebook_that_needs_one_is_skipped_and_says_so(tmp_path: Path, head: str):
    write(tmp_path, "boxed", "raise SystemError", head=head)
    write(tmp_path, "plain", "# needs: docker\n1")
    ran = run(tmp_path)
    assert ran.code == 0, ran.out
    assert "-- boxed.py: skipped, it needs a Docker Engine, and none answers" in ran.out
    assert "1 notebooks passed, 0 failed, 1 skipped" in ran.out
    assert run(tmp_path, MINORCH_REQUIRE_DOCKER="1").code == 1


def test_one_notebook_is_chosen_by_its_name_or_its_number(tmp_path: Path):
    write(tmp_path, "1_one", "1 / 0")
    write(tmp_path, "2_two", "2")
    assert "1 notebooks passed" in run(tmp_path, "2").out
    assert "1 failed" in run(tmp_path, "1_one").out
    refused = run(tmp_path, "3")
    assert refused.code == 2
    assert "no such notebook; there are 1_one, 2_two" in refused.out


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_notebook_begins_with_a_heading_and_no_cell_raises_on_purpose_unnoticed(path: Path):
    import jupytext

    notebook = jupytext.reads(path.read_text(), fmt="py:percent")
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert all("raises-exception" not in cell.metadata.get("tags", []) for cell in notebook.cells)


def test_containers_that_a_notebook_leaves_fail_it(tmp_path: Path, engine_url: str, busybox: str):
    from tools import engine

    write(
        tmp_path,
        "leaky",
        f"""
        import minorch as mo, os
        cluster = mo.Cluster(runtime="docker")
        task = mo.Task("left", image={busybox!r}, command=["sleep", "1000"], networks=["none"])
        cluster.submit(task).wait_ready(60)
        print(cluster.manager.cluster_id)
        open(os.environ["NOTE"], "w").write(cluster.tasks[0].attempts[-1].handle)
        """,
        "os.kill(os.getpid(), 9)",
    )
    try:
        ran = run(tmp_path, DOCKER_HOST=engine_url, NOTE=str(tmp_path / "note"))
    finally:
        handle = (tmp_path / "note").read_text()
        engine.request(engine.socket_of(engine_url), "DELETE", f"/containers/{handle}?force=1&v=1")
    assert ran.code == 1
    assert f"containers left behind, was a cluster not closed? {handle[:12]}" in ran.out
