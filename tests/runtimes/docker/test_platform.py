"""The platform that a task's image is for reaches the engine, without an engine."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from minorch.contracts import Launch, Owner
from minorch.errors import StartFailed
from minorch.ids import RunKey
from minorch.model import Task
from minorch.runtimes.docker import images, starting
from minorch.runtimes.docker.containers import Containers
from minorch.runtimes.docker.engine import Engine
from minorch.runtimes.docker.faults import Refused
from minorch.runtimes.docker.policy import DockerPolicy
from minorch.runtimes.docker.translation import Host

AMD = {"Os": "linux", "Architecture": "amd64"}
ARM = {"Os": "linux", "Architecture": "arm", "Variant": "v7"}


class Pull:
    """The answer to a pull."""

    def pieces(self):
        yield msgspec.json.encode({"status": "Pull complete", "id": "a"}) + b"\n"

    def close(self):
        """There is nothing to close."""


class Scripted(Engine):
    """An engine with one image, or none, that writes down what it is asked for."""

    def __init__(self, image: dict[str, Any] | None) -> None:
        super().__init__("unix:///absent.sock", timeout_s=1, connections=1)
        self.image = image
        self.asked: list[tuple[str, dict[str, str]]] = []

    def record(self, method, path, query=None, *, body=None, timeout_s=None):
        if path == "/containers/create":
            self.asked.append((path, query))
            raise Refused(500, "enough", method)
        if self.image is None:
            raise Refused(404, "no such image", method)
        return self.image

    def stream(self, method, path, query=None, *, body=None, headers=None, silence_s=None):
        self.asked.append((path, query))
        self.image = {"RepoDigests": []}
        return Pull()

    def registry_header(self, repository):
        return {}


def launch(**fields: Any) -> Launch:
    task = Task("t", image="busybox", **fields)
    return Launch(
        key=RunKey("a" * 32, 1, 1),
        owner=Owner("c" * 32, "node-1"),
        job="job",
        task_name="t",
        index=0,
        task=task,
    )


def pulled(image: dict[str, Any] | None, **fields: Any) -> list[dict[str, str]]:
    engine = Scripted(image)
    images.prepare(engine, launch(**fields), lambda text: None)
    return [query for _, query in engine.asked]


@pytest.mark.parametrize(
    ("image", "platform"),
    [
        (AMD, None),
        (AMD, "linux/amd64"),
        (ARM, "linux/arm"),
        (ARM, "linux/arm/v7"),
        ({**ARM, "Variant": ""}, "linux/arm/v7"),
    ],
)
def test_an_image_that_is_there_for_the_platform_is_not_pulled(image: dict[str, Any], platform: str | None):
    assert pulled(image, platform=platform) == []


@pytest.mark.parametrize(
    ("image", "platform"),
    [(None, "linux/arm64"), (AMD, "linux/arm64"), (AMD, "windows/amd64"), (ARM, "linux/arm/v6")],
)
def test_an_image_for_another_platform_is_pulled_for_this_one(image: dict[str, Any] | None, platform: str):
    assert pulled(image, platform=platform) == [
        {"fromImage": "busybox", "tag": "latest", "platform": platform}
    ]


def test_a_pull_for_any_platform_names_none():
    assert pulled(None) == [{"fromImage": "busybox", "tag": "latest"}]


def test_where_nothing_may_be_pulled_the_engine_judges_what_is_there():
    assert pulled(AMD, platform="linux/arm64", pull="never") == []
    with pytest.raises(StartFailed, match="not on this node"):
        pulled(None, platform="linux/arm64", pull="never")


@pytest.mark.parametrize("fields", [{}, {"platform": "linux/arm64"}])
def test_a_container_is_made_for_the_platform(fields: dict[str, str]):
    engine = Scripted(AMD)
    with pytest.raises(StartFailed, match="enough"):
        starting.start(engine, Containers(engine), DockerPolicy(), Host(None, True), launch(**fields))
    assert engine.asked == [("/containers/create", {"name": launch().key.name, **fields})]
