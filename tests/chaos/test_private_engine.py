"""A private engine can be hurt in every way, and nothing of it is left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.chaos.private_engine import PrivateEngine, control_groups, sweep
from tools import engine


def run(own: PrivateEngine, *command: str) -> tuple[str, int]:
    """Make a container and start it; its id, and the status of the start."""
    body = {"Image": engine.IMAGE, "Cmd": command, "HostConfig": {"NetworkMode": "none"}}
    connection = engine.UnixConnection(own.socket, 30)
    try:
        words = json.dumps(body)
        connection.request("POST", "/containers/create", words, {"Content-Type": "application/json"})
        made = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return made.get("Id", ""), own.do("POST", made["Id"], "/start") if "Id" in made else 500


def test_containers_outlive_a_killed_engine_with_live_restore_and_nothing_outlives_its_close(
    own: PrivateEngine,
):
    container_id, status = run(own, "sleep", "300")
    assert status == 204
    paused_id, status = run(own, "sleep", "300")
    assert (status, own.do("POST", paused_id, "/pause")) == (204, 204)  # what is paused is hard to kill
    inside = psutil.Process(own._init.pid).children(recursive=True)
    assert any(process.name() == "sleep" for process in inside)
    own.kill()
    assert not engine.answers(own.socket)
    own.start()
    states = {entry["Id"]: entry["State"] for entry in own.containers()}
    assert states == {container_id: "running", paused_id: "paused"}
    own.freeze()
    assert not engine.answers(own.socket, timeout_s=0.3)
    own.thaw()
    own.wait()
    own.close()
    _gone, alive = psutil.wait_procs(inside, timeout=5)
    assert alive == []
    assert control_groups(own.folder.name) == []
    assert not own.folder.exists()
    assert str(own.folder) not in Path("/proc/mounts").read_text()


def test_a_full_disk_refuses_containers_until_there_is_room_again(own: PrivateEngine):
    own.fill()
    assert run(own, "true")[1] >= 500
    own.unfill()
    container_id, status = run(own, "true")
    assert status == 204
    deadline = time.monotonic() + 10
    while (state := next(iter(own.containers(id=[container_id])))["State"]) != "exited":
        assert time.monotonic() < deadline, state
        time.sleep(0.02)


def test_no_containerd_of_before_is_met_by_the_next_dockerd(own: PrivateEngine):
    for end in [own.kill] * 8 + [own.terminate]:
        containerds = [child for child in own.process().children() if child.name() == "containerd"]
        assert len(containerds) == 1
        end()
        assert not any(psutil.pid_exists(child.pid) for child in containerds)
        own.start()


_DIES = """
import os, signal, sys
from tests.chaos.private_engine import PrivateEngine
own = PrivateEngine(live_restore=True, data_mib=16)
own.start()
print(own.folder, own._init.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_program_leaves_ends_by_itself_or_is_swept_up_by_the_next(image: bytes):
    root = Path(__file__).resolve().parents[2]
    died = subprocess.run(
        [sys.executable, "-c", _DIES], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    folder, pid = died.stdout.split()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(int(pid)) and psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert Path(folder).exists()
    sweep()
    assert not Path(folder).exists()
    assert control_groups(Path(folder).name) == []
