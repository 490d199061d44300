"""Fixtures for all tests. A test that needs a real Docker Engine asks for ``engine_url`` or ``busybox``.

Such a test carries the marker ``engine`` by itself. Without an engine it is skipped, with the reason; with
``MINORCH_REQUIRE_DOCKER=1`` it fails instead, so that CI cannot pass by having no Docker.  One that needs a
real PostgreSQL asks for ``postgresql`` or ``postgresql_url``, with ``MINORCH_REQUIRE_POSTGRES=1``.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tools import engine
from tools.relay import still_there

if TYPE_CHECKING:
    from docker import APIClient

    from tests.private_postgresql import Server

API = "1.41"
CREATE = re.compile(r"/containers/create(\?|$)")
SETTLE_S = 3.0
"""A container that is being removed may take so long to be gone."""

hypothesis.settings.register_profile("minorch", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("minorch")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for an engine, through whatever fixture; with xdist they run one by one."""
    for item in items:
        if "engine_url" in getattr(item, "fixturenames", ()):
            item.add_marker("engine")
        if item.get_closest_marker("engine") is not None:
            item.add_marker(pytest.mark.xdist_group("engine"))


def unreachable(url: str) -> str | None:
    """Why no engine can be reached at a URL, or ``None`` where one answers."""
    import docker

    if url.startswith(
        "unix://"
    ):  # a client whose socket cannot connect leaves it open, to be warned of later
        try:
            engine.request(engine.socket_of(url), "GET", "/_ping", timeout_s=5)
        except OSError as error:
            return f"no Docker Engine at {url}: {error}"
        return None
    try:
        with contextlib.closing(docker.APIClient(base_url=url, version=API, timeout=5)) as client:
            client.ping()
    except (docker.errors.DockerException, OSError) as error:
        return f"no Docker Engine answers at {url}: {error}"
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


@pytest.fixture(scope="session")
def made() -> Iterator[set[str]]:
    """The ids of the containers that this process made; others use the same engine."""
    import requests

    made: set[str] = set()
    send = requests.Session.send

    def noting(
        self: requests.Session, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        response = send(self, request, **options)
        if request.method == "POST" and CREATE.search(request.url or "") and response.status_code == 201:
            made.add(response.json()["Id"])
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Session, "send", noting)
        yield made


@pytest.fixture(autouse=True)
def no_container_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail an engine test that leaves a container behind which this process made, or which it was told of."""
    if request.node.get_closest_marker("engine") is None:
        yield
        return
    url: str = request.getfixturevalue("engine_url")
    made: set[str] = request.getfixturevalue("made")
    made.clear()
    yield
    if url.startswith("unix://") and (left := still_there(engine.socket_of(url), made, SETTLE_S)):
        listed = "\n".join(f"  {id_[:12]}" for id_ in sorted(left))
        pytest.fail(f"the test left containers behind (remove with `docker rm -f`):\n{listed}", pytrace=False)


_schemas = itertools.count(1)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL of this process's own, which a test may stop but has to start again."""
    try:
        from tests.private_postgresql import missing, private_server

        reason = missing()
    except ImportError as error:
        reason = f'psycopg cannot be imported ({error}); pip install "minorch[postgres]"'
    if reason is not None:
        if os.environ.get("MINORCH_REQUIRE_POSTGRES") == "1":
            pytest.fail(f"MINORCH_REQUIRE_POSTGRES=1, but {reason}", pytrace=False)
        pytest.skip(reason)
    with private_server() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql: Server) -> Iterator[str]:
    """The URL of a store that was never used, in a schema of its own."""
    schema = f"test_{next(_schemas)}"
    yield postgresql.url(schema)
    postgresql.run(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
