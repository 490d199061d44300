"""The labels by which a container is known to be ours, and to be which run of which task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from minorch.contracts import Launch, Maker, Owner
from minorch.errors import SpecError
from minorch.ids import RunKey, check_id, check_name

__all__ = ["ANY_RUN", "is_of", "key_of", "labels_of", "maker_of", "names_in", "owner_filter", "owner_of"]

_CLUSTER: Final = "minorch.cluster"
_NODE: Final = "minorch.node"
_TASK_ID: Final = "minorch.task-id"
_ATTEMPT: Final = "minorch.attempt"
_RUN: Final = "minorch.run"
_JOB: Final = "minorch.job"
_TASK: Final = "minorch.task"
_MAKER: Final = "minorch.maker"

ANY_RUN: Final = [_TASK_ID]
"""The values of a ``label`` filter that lets every run through, whoever made it."""


def labels_of(launch: Launch) -> dict[str, str]:
    """Return the labels that minorch puts on the container of *launch*."""
    maker = {} if launch.maker is None else {_MAKER: launch.maker.encode()}
    return {**_identity(launch), **maker}


def _identity(launch: Launch) -> dict[str, str]:
    """Those that say which run it is; who has it started may be another process the second time."""
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
    """Whether minorch's labels say that this container was made for *launch*, by whomever."""
    return all(labels.get(name) == value for name, value in _identity(launch).items())


def owner_of(labels: Mapping[str, str]) -> Owner | None:
    """Return whose run carries *labels*, or None if they are not ours."""
    try:
        return Owner(check_id(labels.get(_CLUSTER), "cluster"), check_name(labels.get(_NODE), "node"))
    except SpecError:
        return None


def maker_of(labels: Mapping[str, str]) -> Maker | None:
    """Return who had the run started that carries *labels*; None: they do not say."""
    return Maker.decode(labels.get(_MAKER, ""))


def names_in(labels: Mapping[str, str]) -> tuple[str, str]:
    """Return the names of job and task."""
    return labels.get(_JOB, ""), labels.get(_TASK, "")


def owner_filter(owner: Owner) -> list[str]:
    """Return the values of a ``label`` filter that lets only *owner*'s containers through."""
    return [f"{_CLUSTER}={owner.cluster_id}", f"{_NODE}={owner.node}"]
