"""Where a task may go with regard to other tasks: near them, apart from them, spread evenly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from minorch.errors import SpecError
from minorch.ids import check_name
from minorch.model.base import NOTHING, Model, require_flag, require_number, require_text, set_field
from minorch.model.labels import NODE_PREFIX, RESERVED, check_labels

__all__ = ["MOST_WEIGHT", "Affinity", "SpreadOver", "check_affinity", "check_spread"]

MOST_WEIGHT: Final = 1000
"""The highest weight of a preference."""
_MOST_SKEW: Final = 1_000_000


class Affinity(Model, frozen=True, kw_only=True):
    """A task's wish to be near certain other tasks, or apart from them.

    It is about the tasks of one ``job``, or one ``task`` of its own job, or all that carry certain
    ``labels``; of these three at most one is given.  With none it is about the tasks of its own job.

    >>> Affinity.near(task="cache")
    Affinity(job=None, task='cache', labels={}, topology='node', anti=False, weight=None)
    """

    job: str | None = None
    """The tasks of the jobs of this name."""
    task: str | None = None
    """The instances of this task of its own job."""
    labels: Mapping[str, str] = NOTHING
    """The tasks, of any job, that carry all of these labels."""
    topology: str = "node"
    """What counts as one place: ``"node"``, or the key of a node label, whose nodes of one value are one
    place. A node without that label is no place, and refused where this is required."""
    anti: bool = False
    """False: near them; True: apart from them."""
    weight: int | None = None
    """None: required; from 1 to 1000: preferred, the more the higher."""

    def __post_init__(self) -> None:
        if self.job is not None:
            check_name(self.job, "job", "$.job")
        if self.task is not None:
            check_name(self.task, "task", "$.task")
        set_field(self, "labels", check_labels(self.labels, "$.labels"))
        given = [field for field in ("job", "task", "labels") if getattr(self, field)]
        if len(given) > 1:
            raise SpecError(f"{given[0]} is given too; an affinity is about one of them", f"$.{given[1]}")
        _check_topology(self.topology)
        require_flag(self.anti, "$.anti")
        _check_weight(self.weight)

    @classmethod
    def near(
        cls,
        *,
        job: str | None = None,
        task: str | None = None,
        labels: Mapping[str, str] | None = None,
        topology: str = "node",
        weight: int | None = None,
    ) -> Affinity:
        """In the same place as them."""
        return cls(job=job, task=task, labels=labels or {}, topology=topology, weight=weight)

    @classmethod
    def apart(
        cls,
        *,
        job: str | None = None,
        task: str | None = None,
        labels: Mapping[str, str] | None = None,
        topology: str = "node",
        weight: int | None = None,
    ) -> Affinity:
        """In another place than each of them."""
        return cls(job=job, task=task, labels=labels or {}, topology=topology, anti=True, weight=weight)


class _Topology(Model, frozen=True):
    topology: str
    """``"node"``, or the key of the node label over whose values they are spread."""


class SpreadOver(_Topology, frozen=True, kw_only=True):
    """A task's wish that its instances be spread evenly over the values of a node label.

    >>> SpreadOver("zone", weight=10)
    SpreadOver(topology='zone', max_skew=1, weight=10)
    """

    max_skew: int = 1
    """How many more instances the fullest place may have than the emptiest."""
    weight: int | None = None
    """None: required; from 1 to 1000: preferred, the more the higher."""

    def __post_init__(self) -> None:
        _check_topology(self.topology)
        require_number(self.max_skew, "$.max_skew", least=1, most=_MOST_SKEW, whole=True)
        _check_weight(self.weight)


def _check_topology(topology: object) -> None:
    require_text(topology, "$.topology", most=256)
    assert isinstance(topology, str)
    if topology.startswith((NODE_PREFIX, RESERVED)):
        raise SpecError(
            f'no label is called "{topology[:70]}"; write "node" for the node itself', "$.topology"
        )


def _check_weight(weight: object) -> None:
    if weight is not None:
        require_number(weight, "$.weight", least=1, most=MOST_WEIGHT, whole=True)


def check_affinity(wishes: Sequence[Affinity], path: str) -> None:
    """Raise :class:`~minorch.errors.SpecError` if two that are required contradict each other."""
    for index, later in enumerate(wishes):
        for before, earlier in enumerate(wishes[:index]):
            if _contradict(earlier, later):
                raise SpecError(
                    f"it contradicts {path}[{before}]: near the same tasks and apart from them",
                    f"{path}[{index}]",
                )


def _contradict(one: Affinity, other: Affinity) -> bool:
    """Whether nothing can follow both. On one node means in one place of any kind."""
    if one.anti == other.anti or one.weight is not None or other.weight is not None:
        return False
    near, apart = (other, one) if one.anti else (one, other)
    about_same = (near.job, near.task, near.labels) == (apart.job, apart.task, apart.labels)
    return about_same and near.topology in ("node", apart.topology)


def check_spread(wishes: Sequence[SpreadOver], path: str) -> None:
    """Raise :class:`~minorch.errors.SpecError` if two of one topology are both required or preferred."""
    seen: dict[tuple[str, bool], int] = {}
    for index, wish in enumerate(wishes):
        before = seen.setdefault((wish.topology, wish.weight is None), index)
        if before != index:
            raise SpecError(
                f'"{wish.topology[:70]}" is the topology of {path}[{before}] too', f"{path}[{index}].topology"
            )
