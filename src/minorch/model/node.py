"""The Node: a machine as it presents itself, and the figures measured on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from minorch.errors import SpecError
from minorch.ids import check_name
from minorch.model.base import NOTHING, Model, as_words, require_number, require_text, set_field
from minorch.model.labels import LONGEST_TAINT, NODE_PREFIX, RESERVED, check_labels
from minorch.model.task import Named
from minorch.resources import Resources

__all__ = ["Node", "NodeStats", "TaskStats"]

_MOST: Final = 2.0**63


class Node(Named, frozen=True, kw_only=True):
    """What a machine offers: the part of it that one worker may hand out.

    Raises:
        SpecError: a field is not well formed.
    """

    capacity: Resources = Resources()
    """What tasks may reserve in all."""
    runtime: str = "docker"
    """The name of the runtime its worker uses."""
    labels: Mapping[str, str] = NOTHING
    """What tasks may ask for in their constraints; none begins with ``node.``."""
    taints: Sequence[str] = ()
    """Only tasks that tolerate every one of them are placed here."""
    platform: str = ""
    """Operating system and processor, such as ``linux/amd64``."""
    address: str = "127.0.0.1"
    """Where published ports of its tasks are reached."""
    max_tasks: int = 100
    """The most tasks placed here at the same time, whatever they reserve."""

    def __post_init__(self) -> None:
        check_name(self.name, "node")
        if not isinstance(self.capacity, Resources):
            raise SpecError(f"expected Resources(...), got {type(self.capacity).__name__}", "$.capacity")
        require_text(self.runtime, "$.runtime", most=63)
        set_field(self, "labels", check_labels(self.labels, "$.labels", reserved=(RESERVED, NODE_PREFIX)))
        set_field(self, "taints", as_words(self.taints, "$.taints", most=64, longest=LONGEST_TAINT))
        require_text(self.address, "$.address", most=255)
        if self.platform:
            require_text(self.platform, "$.platform", most=255)
        require_number(self.max_tasks, "$.max_tasks", most=1_000_000, whole=True)


class NodeStats(Model, frozen=True, kw_only=True):
    """What a worker measured on its machine. The whole machine, also where several workers share it."""

    sampled_at: float
    """Seconds since 1970, by the worker's clock."""
    cpu_percent: float
    """0 to 100: the share of all cores in use since the sample before."""
    load_1m: float
    """Processes running or waiting, averaged over a minute."""
    memory_used: int
    memory_total: int
    disk_used: int
    disk_total: int
    tasks: int
    """How many of its own tasks the worker has running."""

    def __post_init__(self) -> None:
        _check_figures(self)


class TaskStats(Model, frozen=True, kw_only=True):
    """What a runtime measured of one running task."""

    sampled_at: float
    cpu_s: float
    """Processor time used since it started, in seconds."""
    memory: int
    """Bytes of memory in use."""
    pids: int
    """Processes in it."""

    def __post_init__(self) -> None:
        _check_figures(self)


def _check_figures(stats: NodeStats | TaskStats) -> None:
    """JSON knows no NaN: a report that held one would be written as null, and refused by its reader."""
    for field in stats.__struct_fields__:
        require_number(getattr(stats, field), f"$.{field}", most=_MOST)
