"""Starting one run, once: make the container, join networks, start it, or leave nothing behind.

Each step may have happened before (a retry after a crash or a time-out), and each answer may be
lost.  What the engine then says of the container decides; a container that ever ran is never
started again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from msgspec.structs import replace

from minorch.contracts import Launch, RunStatus
from minorch.errors import EngineUnavailable, RuntimeFault, StartFailed
from minorch.ids import RunKey
from minorch.runtimes.docker.containers import Containers
from minorch.runtimes.docker.engine import Engine
from minorch.runtimes.docker.faults import Refused, hide, start_failure
from minorch.runtimes.docker.labels import is_of, key_of
from minorch.runtimes.docker.policy import DockerPolicy
from minorch.runtimes.docker.status import ended, has_started, is_gone, labels_in
from minorch.runtimes.docker.translation import Host, create_body
from minorch.states import Reason

__all__ = ["start"]

_CREATION_S: Final = 5.0
_ALREADY_JOINED: Final = re.compile(r"already exists in network|already attached to network")
_LOST_TRACK: Final = "id already in use"
"""In the words of an engine that died in the middle of a start, when it is asked to start it again: it takes
the container for one that never ran, and containerd still has it."""


def start(
    engine: Engine, containers: Containers, policy: DockerPolicy, host: Host, launch: Launch
) -> RunStatus:
    """Start *launch*, or return the status of its run if it was started before; no error shows a secret.

    Raises:
        StartFailed: it certainly did not run, and nothing of it is left.
        EngineUnavailable: it may have been started or not.
    """
    secrets = [secret.reveal() for secret in launch.task.secrets.values()]
    body = create_body(launch, policy, host)
    try:
        return _start(engine, containers, launch, body)
    except StartFailed as error:
        text = hide(str(error), secrets)
        raise StartFailed(text, reason=error.reason, exit_code=error.exit_code) from None
    except RuntimeFault as error:  # also a refusal to tell of it: nobody may take that for "it did not run"
        raise EngineUnavailable(hide(str(error), secrets)) from None


def _start(engine: Engine, containers: Containers, launch: Launch, body: Mapping[str, Any]) -> RunStatus:
    container_id, before = _create(engine, containers, launch, body)
    if before is not None and has_started(before):
        return _status(containers, before)
    try:
        for network in launch.task.networks[1:]:
            _join(engine, network, container_id)
        containers.start_id(container_id)
    except Refused as refusal:
        _clean_up(containers, container_id)
        if _LOST_TRACK in refusal.text:
            return _out_of_reach(launch.key, container_id)
        raise start_failure(refusal.text) from None
    except EngineUnavailable:
        record = containers.record(launch.key)  # raises EngineUnavailable again if that is how it is
        if record is None or not has_started(record):
            raise  # the engine may still be about to start it
        return _status(containers, record)
    record = containers.record(launch.key)
    if record is None:
        return _lost(launch.key, container_id)
    return _status(containers, record)


def _create(
    engine: Engine, containers: Containers, launch: Launch, body: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any] | None]:
    """Return the container's id, and its record if it was there before."""
    query = {"name": launch.key.name}
    if launch.task.platform is not None:
        query["platform"] = launch.task.platform  # engines before 20.10 do not look at it
    try:
        made = engine.record("POST", "/containers/create", query, body=body)
        return str(made["Id"]), None
    except Refused as refusal:
        if refusal.status == 409:
            return _adopt(containers, launch)
        missing = refusal.status == 404 and "image" in refusal.text.lower()
        raise start_failure(
            refusal.text, default=Reason.IMAGE_NOT_FOUND if missing else Reason.START_FAILED
        ) from None
    except EngineUnavailable:
        if containers.record(launch.key) is None:
            raise  # the engine may still be making it; a later call will find it or make it
        return _adopt(containers, launch)


def _adopt(containers: Containers, launch: Launch) -> tuple[str, Mapping[str, Any]]:
    """Return the container that has the run's name, if every label says that it was made for this launch."""
    deadline = time.monotonic() + _CREATION_S
    while (record := containers.named(launch.key)) is None:  # the engine takes the name before it is done
        if time.monotonic() > deadline:
            raise EngineUnavailable(f"the engine says that {launch.key.name} is there, and that it is not")
        time.sleep(0.02)
    if not is_of(labels_in(record), launch):
        raise StartFailed(
            f"a container that is not this run's has its name, {launch.key.name}: remove it (docker rm -f)"
        )
    if is_gone(record) and not has_started(record):
        raise EngineUnavailable(f"the container {launch.key.name} is just being removed")
    return str(record["Id"]), record


def _join(engine: Engine, network: str, container_id: str) -> None:
    try:
        engine.record(
            "POST", f"/networks/{quote(network, safe='')}/connect", body={"Container": container_id}
        )
    except Refused as refusal:
        if not _ALREADY_JOINED.search(refusal.text):
            raise


def _clean_up(containers: Containers, container_id: str) -> None:
    """Remove a container that did not start; where even that fails, its worker finds it as ``created``."""
    try:
        containers.remove_id(container_id, force=True)
    except RuntimeFault:
        return


def _status(containers: Containers, record: Mapping[str, Any]) -> RunStatus:
    status = containers.status(record)
    if status is not None:
        return status
    key = key_of(labels_in(record))
    if key is None or not has_started(record):
        raise EngineUnavailable("the container is just being removed")
    return _lost(key, str(record["Id"]))


def _lost(key: RunKey, container_id: str) -> RunStatus:
    """Of a run that was started and that somebody removed. Said to be unknown, it would be started again."""
    return ended(key, None, started_at=None, finished_at=None, handle=container_id)


def _out_of_reach(key: RunKey, container_id: str) -> RunStatus:
    """Of a run that began and that its engine cannot find, end or tell of; containerd may still run it."""
    words = (
        "its engine died while it started it, and lost it: its process may still run there, where Docker "
        f"cannot end it; ctr --namespace moby task kill --signal SIGKILL {container_id} does"
    )
    return replace(_lost(key, container_id), message=words)
