"""The labels by which a container is known to be ours, and to be which run of which task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from minorch.contracts import Launch, Owner
from minorch.errors import SpecError
from minorch.ids import RunKey, check_id

__all__ = ["is_of", "key_of", "labels_of", "owner_filter"]

_CLUSTER: Final = "minorch.cluster"
_NODE: Final = "minorch.node"
_TASK_ID: Final = "minorch.task-id"
_ATTEMPT: Final = "minorch.attempt"
_RUN: Final = "minorch.run"
_JOB: Final = "minorch.job"
_TASK: Final = "minorch.task"


def labels_of(launch: Launch) -> dict[str, str]:
    """Return the labels that minorch puts on the container of *launch*."""
    return {
        _CLUSTER: launch.owner.cluster_id,
        _NODE: launch.owner.node,
        _TASK_ID: launch.key.task_id,
        _ATTEMPT: str(launch.key.attempt),
        _RUN: str(launch.key.run),
        _JOB: launch.job,
        _TASK: launch.task_name,
    }


def key_of(labels: Mapping[str, str]) -> RunKey | None:
    """Return which run carries *labels*, or None if they are not ours."""
    try:
        task_id = check_id(labels.get(_TASK_ID), "task")
        return RunKey(task_id, int(labels.get(_ATTEMPT, "")), int(labels.get(_RUN, "")))
    except (SpecError, ValueError):
        return None


def is_of(labels: Mapping[str, str], launch: Launch) -> bool:
    """Whether every one of minorch's labels says that this container was made for *launch*."""
    return all(labels.get(name) == value for name, value in labels_of(launch).items())


def owner_filter(owner: Owner) -> list[str]:
    """Return the values of a ``label`` filter that lets only *owner*'s containers through."""
    return [f"{_CLUSTER}={owner.cluster_id}", f"{_NODE}={owner.node}"]
