"""What the driver tells the worker of its runtime, in the past tense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from minorch import contracts
from minorch.ids import RunKey
from minorch.model import NodeStats, TaskStats
from minorch.states import Reason

__all__ = [
    "Cancelled",
    "Fact",
    "Listed",
    "Missed",
    "Probed",
    "Progressed",
    "Refused",
    "Removed",
    "Sampled",
    "Seen",
    "Unreachable",
]


class Seen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A run was seen in this status: after its start, or because it changed."""

    status: contracts.RunStatus


class Progressed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A start has come so far: in words."""

    key: RunKey
    words: str


class Refused(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A run could not be started, certainly did not run, and left nothing behind."""

    key: RunKey
    reason: Reason
    message: str
    exit_code: int | None = None


class Cancelled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A run was not started because it was cancelled in time."""

    key: RunKey


class Removed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Nothing of a run is left; or, with an *error*, it could not be removed."""

    key: RunKey
    error: str = ""
    starting: bool = False
    """Whether that is so because its start has not returned."""


class Probed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A health check gave this answer."""

    key: RunKey
    probe: contracts.Probe


class Listed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """These are all runs of this worker."""

    asked: int
    statuses: Sequence[contracts.RunStatus]


class Missed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Changes may have been missed: the runs must be listed."""


class Unreachable(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The engine did not answer. What was asked about *key* may or may not have happened."""

    message: str
    key: RunKey | None = None
    preparing: bool = False
    """Of a start: whether nothing was asked to start yet, for an image could not be had, or the like."""


class Sampled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """These figures were measured."""

    node: NodeStats | None
    tasks: Mapping[RunKey, TaskStats] = {}


Fact = Seen | Progressed | Refused | Cancelled | Removed | Probed | Listed | Missed | Unreachable | Sampled
