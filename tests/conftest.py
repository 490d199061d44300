"""Fixtures for all tests. A test that needs a real Docker Engine asks for ``engine_url`` or ``busybox``.

Such a test carries the marker ``engine`` by itself. Without an engine it is skipped, with the reason; with
``MINORCH_REQUIRE_DOCKER=1`` it fails instead, so that CI cannot pass by having no Docker.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tools import engine

if TYPE_CHECKING:
    from docker import APIClient

LABEL = "minorch.cluster"
SETTLE_S = 3.0

hypothesis.settings.register_profile("minorch", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("minorch")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for an engine, through whatever fixture."""
    for item in items:
        if "engine_url" in getattr(item, "fixturenames", ()):
            item.add_marker("engine")


def unreachable(url: str) -> str | None:
    """Why no engine can be reached at a URL, or ``None`` where one answers."""
    import docker

    try:
        client = docker.APIClient(base_url=url, timeout=5)
    except docker.errors.DockerException as error:
        return f"no Docker Engine at {url}: {error}"
    try:
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        return f"no Docker Engine answers at {url}: {error}"
    finally:
        client.close()
    return None


@pytest.fixture(scope="session")
def engine_url() -> str:
    """The URL of a Docker Engine that answers: ``DOCKER_HOST``, or the usual socket."""
    url = os.environ.get("DOCKER_HOST") or f"unix://{engine.DEFAULT_SOCKET}"
    reason = unreachable(url)
    if reason is None:
        return url
    if os.environ.get("MINORCH_REQUIRE_DOCKER") == "1":
        pytest.fail(
            f"MINORCH_REQUIRE_DOCKER=1, but {reason}. As root, `nox -s engine` starts one.", pytrace=False
        )
    pytest.skip(f"{reason} (as root, `nox -s engine` starts one)")


@pytest.fixture(scope="session")
def engine_api(engine_url: str) -> Iterator[APIClient]:
    """A low-level docker-py client, for tests that look at the engine behind the library's back."""
    import docker

    client = docker.APIClient(base_url=engine_url, timeout=30)
    yield client
    client.close()


@pytest.fixture(scope="session")
def busybox(engine_url: str, engine_api: APIClient) -> str:
    """The name of a small image that the engine has."""
    import docker

    try:
        engine_api.inspect_image(engine.IMAGE)
    except docker.errors.ImageNotFound:
        engine.make_image(engine.socket_of(engine_url))
    return engine.IMAGE


def owned_containers(api: APIClient) -> dict[str, str]:
    """Every container that carries minorch's label: its id and how it is."""
    records = api.containers(all=True, filters={"label": LABEL})
    return {record["Id"]: f"{record['Names']} {record['Status']}" for record in records}


@pytest.fixture(autouse=True)
def no_container_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail an engine test that leaves a container with minorch's label behind.

    Containers that another process started meanwhile look the same; they have some seconds to go away.
    """
    if request.node.get_closest_marker("engine") is None:
        yield
        return
    api: APIClient = request.getfixturevalue("engine_api")
    before = owned_containers(api)
    yield
    deadline = time.monotonic() + SETTLE_S
    while left := {id_: text for id_, text in owned_containers(api).items() if id_ not in before}:
        if time.monotonic() > deadline:
            listed = "\n".join(f"  {id_[:12]} {text}" for id_, text in sorted(left.items()))
            pytest.fail(
                f"the test left containers behind (remove with `docker rm -f`):\n{listed}", pytrace=False
            )
        time.sleep(0.1)
