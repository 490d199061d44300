"""Getting images from a registry on the loopback address, on a real engine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from minorch.errors import StartFailed
from minorch.states import Reason
from tests.engines.docker.conftest import Registry, Story


@pytest.fixture
def big(story: Story) -> Iterator[str]:
    """An image of two layers that nobody else uses."""
    made = story.api.create_container("busybox:latest", ["sh", "-c", f"echo {story.owner.cluster_id} >/mark"])
    story.api.start(made["Id"])
    story.api.wait(made["Id"])
    name = f"minorch-{story.owner.cluster_id}"
    story.api.commit(made["Id"], name, "1")
    story.api.remove_container(made["Id"])
    yield f"{name}:1"
    with contextlib.suppress(Exception):
        story.api.remove_image(f"{name}:1", force=True)


@pytest.fixture
def pushed(story: Story, registry: Registry, big: str) -> Iterator[str]:
    """That image, in the registry only."""
    name = registry.push(story.api, big, "team/app:1")
    story.api.remove_image(big)
    yield name
    with contextlib.suppress(Exception):
        story.api.remove_image(name, force=True)


def silent(_text: str) -> None:
    """Progress that nobody reads."""


def refused(prepare: Callable[[], None]) -> StartFailed:
    """The error of a prepare that must fail."""
    with pytest.raises(StartFailed) as caught:
        prepare()
    return caught.value


def test_an_image_is_pulled_with_progress_in_words_and_then_runs(story: Story, pushed: str):
    told: list[str] = []
    launch = story.launch("cat", "/mark", image=pushed)
    story.runtime.prepare(launch, told.append)
    assert told[0] == f"pulling {pushed}"
    story.runtime.start(launch)
    assert story.ended(launch).exit_code == 0
    told.clear()
    story.runtime.prepare(launch, told.append)
    assert told == []  # it is there: nothing is pulled
    story.clean_up()


def test_always_pulls_again_and_never_does_not_pull(story: Story, pushed: str):
    told: list[str] = []
    error = refused(
        lambda: story.runtime.prepare(story.launch("true", image=pushed, pull="never"), told.append)
    )
    assert error.reason == Reason.IMAGE_NOT_FOUND
    assert told == []
    for _ in range(2):
        told.clear()
        story.runtime.prepare(story.launch("true", image=pushed, pull="always"), told.append)
        assert told


def test_an_image_can_be_pinned_by_its_digest(story: Story, pushed: str):
    story.runtime.prepare(story.launch("true", image=pushed), silent)
    digest = story.api.inspect_image(pushed)["RepoDigests"][0]
    story.api.remove_image(pushed)
    launch = story.launch("true", image=digest)
    story.runtime.prepare(launch, silent)
    story.runtime.start(launch)
    assert story.ended(launch).exit_code == 0
    story.clean_up()
    story.api.remove_image(digest)


def test_an_image_for_another_platform_is_not_run(story: Story, busybox: str):
    own = story.runtime.describe().platform
    launch = story.launch("true", image=busybox, platform=own, pull="never")
    story.runtime.prepare(launch, silent)
    story.runtime.start(launch)
    assert story.ended(launch).exit_code == 0
    other = story.launch("true", image=busybox, platform="linux/s390x", pull="never")
    story.runtime.prepare(other, silent)
    with pytest.raises(StartFailed, match="platform") as caught:
        story.runtime.start(other)
    assert caught.value.reason == Reason.IMAGE_NOT_FOUND
    story.clean_up()


def test_an_image_that_the_registry_does_not_have_is_image_not_found(story: Story, registry: Registry):
    error = refused(
        lambda: story.runtime.prepare(story.launch("true", image=f"{registry.host}/none:1"), silent)
    )
    assert error.reason == Reason.IMAGE_NOT_FOUND
    assert registry.host in str(error)


def test_a_wrong_tag_or_digest_is_image_not_found(story: Story, pushed: str):
    repository = pushed.rpartition(":")[0]
    for name in (f"{repository}:2", f"{repository}@sha256:{'0' * 64}"):
        error = refused(partial(story.runtime.prepare, story.launch("true", image=name), silent))
        assert error.reason == Reason.IMAGE_NOT_FOUND, str(error)


def test_a_registry_that_does_not_answer_is_a_failed_start(story: Story, free_port: int):
    launch = story.launch("true", image=f"127.0.0.1:{free_port}/app:1")
    error = refused(lambda: story.runtime.prepare(launch, silent))
    assert error.reason == Reason.START_FAILED
    assert "refused" in str(error)


def test_a_damaged_layer_is_an_error_and_not_the_old_image(story: Story, registry: Registry, pushed: str):
    registry.corrupt()
    launch = story.launch("true", image=pushed, pull="always")
    assert refused(lambda: story.runtime.prepare(launch, silent)).reason != ""


def test_what_names_no_image_is_refused_before_the_engine_sees_it(story: Story):
    for name in ("../containers/x", "UPPER/case", "a//b", "x:"):
        error = refused(partial(story.runtime.prepare, story.launch("true", image=name), silent))
        assert error.reason == Reason.IMAGE_NOT_FOUND


def test_an_image_may_be_named_by_its_id_and_an_absent_id_is_not_pulled(story: Story, busybox: str):
    image_id = story.api.inspect_image(busybox)["Id"]
    launch = story.launch("true", image=image_id)
    story.runtime.prepare(launch, silent)
    story.runtime.start(launch)
    assert story.ended(launch).exit_code == 0
    error = refused(lambda: story.runtime.prepare(story.launch("true", image="0" * 64), silent))
    assert error.reason == Reason.IMAGE_NOT_FOUND
