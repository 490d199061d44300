"""From what a user gives as schedulers to compare, to what makes each of them anew, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias, cast

import msgspec

from minorch.errors import UsageError, brief
from minorch.plugins import Registry
from minorch.scheduling import CostFunction, Scheduler

__all__ = ["Contestant", "ContestantLike", "choose_contestants"]

ContestantLike: TypeAlias = (
    str | Scheduler | type[Scheduler] | CostFunction | Callable[[], Scheduler | CostFunction]
)
"""A name, a strategy, a class or another factory of strategies, or a function ``cost(task, node)``."""

_MOST: Final = 100


class Contestant(msgspec.Struct, frozen=True):
    """A scheduler to compare."""

    name: str
    given: object
    """The strategy or the function itself, or what makes it."""
    made: bool
    """Whether it is to be called to make it."""

    def make(self) -> Scheduler | CostFunction:
        """The strategy for one run; a simulation takes a copy of it."""
        made = cast("Callable[[], object]", self.given)() if self.made else self.given
        return cast("Scheduler | CostFunction", made)  # a simulation refuses what is neither


def choose_contestants(
    schedulers: Sequence[ContestantLike] | Mapping[str, ContestantLike], registry: Registry
) -> tuple[Contestant, ...]:
    """What is to be compared, in order, each with a name of its own.

    Raises:
        UnknownPlugin: nothing of a given name is registered.
        UsageError: there are none, one is none, or two have the same name.
    """
    if isinstance(schedulers, Mapping):
        named = [(str(name), one) for name, one in schedulers.items()]
    elif isinstance(schedulers, str | Scheduler | type) or callable(schedulers):
        raise UsageError("schedulers= takes a list of them; write it in brackets")
    else:
        named = [(_name_of(one), one) for one in schedulers]
    if not 1 <= len(named) <= _MOST:
        raise UsageError(f"{len(named)} schedulers: there is something to compare with 1 to {_MOST} of them")
    chosen: dict[str, Contestant] = {}
    for name, one in named:
        if name in chosen:
            raise UsageError(
                f'two schedulers are called "{name[:70]}"; give them names: {{"mine": ..., "other": ...}}'
            )
        chosen[name] = _contestant(name, one, registry)
    return tuple(chosen.values())


def _name_of(given: object) -> str:
    if isinstance(given, str):
        return given
    if isinstance(given, Scheduler):
        return repr(given)
    if isinstance(given, partial):
        return _name_of(given.func)
    return str(getattr(given, "__name__", None) or type(given).__name__)


def _contestant(name: str, given: object, registry: Registry) -> Contestant:
    if isinstance(given, str):
        return Contestant(name, registry.make_scheduler(given), False)
    if isinstance(given, Scheduler):
        return Contestant(name, given, False)
    if not callable(given):
        raise UsageError(
            "schedulers= takes names, Scheduler objects or classes, and functions cost(task, node), not "
            f"{brief(given, 60)}"
        )
    return Contestant(name, given, _is_factory(given))


def _is_factory(given: Callable[..., object]) -> bool:
    """Whether it makes a strategy, and is none itself: a class, or what takes no argument and not two."""
    try:
        signature = inspect.signature(given)
    except (TypeError, ValueError):  # something built in, that does not say what it takes
        return isinstance(given, type)
    is_class = isinstance(given.func if isinstance(given, partial) else given, type)
    if not is_class and _takes(signature, 2):
        return False
    if _takes(signature, 0):
        return True
    what = getattr(given, "__name__", None) or repr(given)
    raise UsageError(
        f"{what[:70]} cannot be made without arguments; give an object, or partial({what[:70]}, ...)"
        if is_class
        else f"{what[:70]} is no function cost(task, node), nor one without arguments that makes a scheduler"
    )


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True
