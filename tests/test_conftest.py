"""The fixtures for engine tests can fail: each is run on a small test file in a pytest of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hosts import why_not
from tools import engine
from tools.relay import Relay, still_there

if TYPE_CHECKING:
    from docker import APIClient

ROOT = Path(__file__).resolve().parents[1]
NOWHERE = "unix:///nonexistent/docker.sock"

LEAVES_A_CONTAINER = """
def test_it(engine_api, busybox):
    engine_api.create_container(busybox, labels={"minorch.cluster": %r})
"""

ANOTHER_LEAVES_A_CONTAINER = """
import subprocess, sys
def test_it(engine_url, busybox):
    code = '''
import sys, docker
url, image, cluster = sys.argv[1:]
docker.APIClient(url).create_container(image, labels={"minorch.cluster": cluster})
'''
    subprocess.run([sys.executable, "-c", code, engine_url, busybox, %r], check=True)
"""


def run_pytest(tmp_path: Path, source: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    test = tmp_path / "test_it.py"
    test.write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("MINORCH_", "COV"))
    }
    return subprocess.run(
        [*command, "-c", str(tmp_path / "none.ini"), *arguments, str(test)],
        cwd=tmp_path,
        env={**inherited, "PYTHONPATH": str(ROOT), **env},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(autouse=True)
def empty_configuration(tmp_path: Path) -> None:
    (tmp_path / "none.ini").write_text("[pytest]\nmarkers = engine: needs an engine\n", encoding="utf-8")


@pytest.mark.parametrize(
    "source", ["def test_it(busybox): pass", "import pytest\n@pytest.mark.engine\ndef test_it(): pass"]
)
def test_without_an_engine_a_test_is_skipped_with_the_reason(tmp_path: Path, source: str):
    done = run_pytest(tmp_path, source, DOCKER_HOST=NOWHERE)
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout
    assert f"no Docker Engine at {NOWHERE}" in done.stdout


def test_where_an_engine_is_required_its_absence_is_a_failure(tmp_path: Path):
    done = run_pytest(
        tmp_path, "def test_it(engine_url): pass", DOCKER_HOST=NOWHERE, MINORCH_REQUIRE_DOCKER="1"
    )
    assert done.returncode == 1
    assert "MINORCH_REQUIRE_DOCKER=1, but no Docker Engine" in done.stdout


def test_a_test_that_asks_for_an_engine_is_marked(tmp_path: Path):
    source = "def test_it(busybox): pass\ndef test_other(): pass"
    done = run_pytest(tmp_path, source, "-m", "not engine", DOCKER_HOST=NOWHERE)
    assert "1 passed, 1 deselected" in done.stdout


def removed(api: APIClient, cluster_id: str) -> list[str]:
    """Remove the containers of a cluster, and return their ids."""
    found = [
        record["Id"]
        for record in api.containers(all=True, filters={"label": f"minorch.cluster={cluster_id}"})
    ]
    for id_ in found:
        api.remove_container(id_, force=True)
    return found


def test_a_test_that_leaves_a_container_fails(tmp_path: Path, engine_api: APIClient, engine_url: str):
    done = run_pytest(tmp_path, LEAVES_A_CONTAINER % tmp_path.name, DOCKER_HOST=engine_url)
    left = removed(engine_api, tmp_path.name)
    assert done.returncode == 1, done.stdout
    assert len(left) == 1
    assert f"  {left[0][:12]}" in done.stdout
    assert "left containers behind" in done.stdout


def test_what_another_program_leaves_does_not_count(tmp_path: Path, engine_api: APIClient, engine_url: str):
    done = run_pytest(tmp_path, ANOTHER_LEAVES_A_CONTAINER % tmp_path.name, DOCKER_HOST=engine_url)
    assert len(removed(engine_api, tmp_path.name)) == 1, done.stdout
    assert done.returncode == 0, done.stdout


def test_a_relay_tells_what_was_made_through_it(engine_api: APIClient, engine_url: str, busybox: str):
    import docker

    socket_path = engine.socket_of(engine_url)
    theirs = engine_api.create_container(busybox, ["true"])["Id"]
    with Relay(socket_path) as relay, contextlib.closing(docker.APIClient(base_url=relay.url)) as client:
        ours = client.create_container(busybox, ["sh", "-c", "yes | head -c 200000"])["Id"]
        try:
            client.start(ours)
            assert client.wait(ours)["StatusCode"] == 0
            assert len(client.logs(ours)) == 200_000
            assert relay.made == {ours}
            assert still_there(socket_path, relay.made, 0) == {ours}
        finally:
            for id_ in (ours, theirs):
                engine_api.remove_container(id_, force=True)
    assert still_there(socket_path, relay.made, 0) == set()


NEEDS_HOSTS = """
import os
import tests.hosts.fixtures
if os.environ["WHY"]:
    tests.hosts.fixtures.why_not = lambda ssh=False: os.environ["WHY"]
def test_marks(hosts_possible, request):
    assert request.node.get_closest_marker("hosts")
    assert request.node.get_closest_marker("xdist_group").args == ("hosts",)
def test_that(hosts, ssh_hosts, swarm):
    assert False, "there are hosts"
"""


def test_tests_that_need_hosts_are_skipped_with_a_reason_and_fail_where_that_was_asked_for(tmp_path: Path):
    done = run_pytest(tmp_path, NEEDS_HOSTS, WHY="hosts need root")
    assert done.returncode == 0, done.stdout
    assert "2 skipped" in done.stdout
    assert "hosts need root" in done.stdout
    done = run_pytest(tmp_path, NEEDS_HOSTS, WHY="hosts need root", MINORCH_REQUIRE_DOCKER="1")
    assert done.returncode == 1, done.stdout
    assert "MINORCH_REQUIRE_DOCKER=1, but hosts need root" in done.stdout


def test_tests_that_need_hosts_are_one_group(tmp_path: Path):
    if reason := why_not():
        pytest.skip(reason)
    done = run_pytest(tmp_path, NEEDS_HOSTS, "-k", "test_marks", WHY="")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
