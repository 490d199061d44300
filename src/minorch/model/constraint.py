"""What a task may ask of its node: ``"disk == ssd"``, ``"zone in a, b"``, ``"node.name matches gpu-.*"``."""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from minorch.errors import SpecError, did_you_mean
from minorch.model.labels import NODE_PREFIX
from minorch.model.pattern import parse_pattern
from minorch.model.version import parse_version

if TYPE_CHECKING:
    from minorch.model.node import Node

__all__ = ["Constraint", "check_constraints", "parse_constraint"]

_MOST: Final = 5000
_MOST_LISTED: Final = 256
_MOST_COMPARED: Final = 16
_FORM: Final = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9_.\-/]{0,62})"
    r"(?:\s*(==|!=|<=|>=|<|>)(?!=)|\s+(not\s+in|in|matches)(?=\s)|\s+(version)(?=\s|[=!<>]))"
    r"\s*(\S(?:.*\S)?)\s*\Z"
)
_WORD: Final = re.compile(r"\s*\S+\s+(\w+)\s")
_WORDS: Final = ("in", "not in", "version", "matches")
_COMPARED: Final = re.compile(r"(==|!=|<=|>=|<|>)(?!=)\s*(\S+)\Z")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(\.[0-9]*)?|(\.[0-9]+))([eE][+-]?[0-9]{1,3})?\Z")

_Key = tuple[Any, ...]
"""What is put in order: a number, or a version."""
_Test = Callable[[str], bool]
_Compare = Callable[[_Key, _Key], bool]

_COMPARE: Final[Mapping[str, _Compare]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ORDERINGS: Final = ("<", "<=", ">", ">=")
_ATTRIBUTES: Final[Mapping[str, Callable[[Node], str]]] = {
    "node.name": lambda node: node.name,
    "node.runtime": lambda node: node.runtime,
    "node.platform": lambda node: node.platform,
    "node.address": lambda node: node.address,
}
_OF_ONE_NODE: Final = ("node.name", "node.address")


class Constraint(NamedTuple):
    """One thing that a node must say of itself. :func:`parse_constraint` makes and checks it.

    ============================  ==============================================================
    ``==``, ``!=``                the same text, or another
    ``in``, ``not in``            one of several texts, or none of them
    ``<``, ``<=``, ``>``, ``>=``  a number below or above
    ``version``                   a version that all of the comparisons hold for: ``>=5.10, <7``
    ``matches``                   a regular expression for the whole value, of 256 characters at most
    ============================  ==============================================================

    A label that is missing only satisfies ``!=`` and ``not in``.  One that is no number satisfies no
    ordering, and one that is no version no ``version``.
    """

    label: str
    """The key of a label; or ``node.name``, ``node.runtime``, ``node.platform`` or ``node.address``."""
    operator: str
    value: str

    def admits(self, node: Node) -> bool:
        """Whether *node* satisfies it."""
        read = _ATTRIBUTES.get(self.label)
        if read is None:
            return self._holds(node.labels.get(self.label))
        return self._holds(read(node) or None)

    def allows(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these *labels* satisfies it, of whose attributes nothing is known."""
        return self._holds(labels.get(self.label))

    @property
    def about_name(self) -> bool:
        """Whether it looks at what is one node's alone: ``node.name`` or ``node.address``."""
        return self.label in _OF_ONE_NODE

    def _holds(self, value: str | None) -> bool:
        if self.operator == "==":
            return value == self.value
        if self.operator == "!=":
            return value != self.value
        if value is None:
            return self.operator == "not in"
        return _test(self.operator, self.value)(value)

    def __str__(self) -> str:
        return f"{self.label} {self.operator} {self.value}"


def parse_constraint(text: str, path: str = "$") -> Constraint:
    """Read one constraint.

    Raises:
        SpecError: it is not of the form ``label operator value``, or the value does not suit the operator.

    >>> parse_constraint("kernel version >=5.10,<7")
    Constraint(label='kernel', operator='version', value='>=5.10, <7')
    """
    try:
        return _parse(text)
    except SpecError as error:
        raise error.below(path) from None


def check_constraints(texts: Sequence[str], path: str) -> None:
    """Raise :class:`SpecError` if a constraint is not well formed, or two of them contradict each other."""
    read = [parse_constraint(text, f"{path}[{index}]") for index, text in enumerate(texts)]
    for index, later in enumerate(read):
        for before, earlier in enumerate(read[:index]):
            if earlier.label == later.label and _contradict(earlier, later):
                raise SpecError(
                    f'"{str(later)[:60]}" contradicts {path}[{before}], "{str(earlier)[:60]}"',
                    f"{path}[{index}]",
                )


@functools.lru_cache(maxsize=2048)
def _parse(text: str) -> Constraint:
    if len(text) > _MOST:
        raise SpecError(f"a constraint has at most {_MOST:,} characters, this one has {len(text):,}")
    match = _FORM.match(text)
    if match is None:
        wrong = _WORD.match(text)
        hint = did_you_mean(wrong[1], _WORDS) if wrong else ""
        raise SpecError(
            f'"{text[:60]}" is not a constraint; write e.g. "disk == ssd", "zone != b", "zone in a, b", '
            f'"cores >= 16", "kernel version >=5.10, <7" or "name matches gpu-.*"{hint}'
        )
    label, sign, listed, version, value = match.groups()
    if label.startswith(NODE_PREFIX) and label not in _ATTRIBUTES:
        known = ", ".join(_ATTRIBUTES)
        raise SpecError(f'"{label}" is none of {known}{did_you_mean(label, _ATTRIBUTES)}')
    word = sign or version or " ".join(listed.split())
    value = _plain(word, value)
    if word not in ("==", "!="):
        _test(word, value)
    return Constraint(label, word, value)


def _plain(word: str, value: str) -> str:
    """The one way in which a value is written."""
    if word in ("in", "not in"):
        return ", ".join(_listed(value))
    if word == "version":
        return ", ".join(f"{sign}{text}" for sign, text in _comparisons(value))
    return value


@functools.lru_cache(maxsize=2048)
def _test(word: str, value: str) -> _Test:
    """How a label's value is tested.

    Raises:
        SpecError: *value* does not suit the operator.
    """
    if word in ("in", "not in"):
        listed, wanted = frozenset(_listed(value)), word == "in"
        return lambda text: (text in listed) == wanted
    if word == "matches":
        return parse_pattern(value).matches
    limits, read = _limits(word, value), _READ[word]
    low, high = _range(limits)
    if low is not None and high is not None and low > high:
        raise SpecError(f'no version can be "{value[:60]}"')
    tests = [(_COMPARE[sign], key) for sign, key in limits]

    def within(text: str) -> bool:
        key = read(text)
        return key is not None and all(holds(key, limit) for holds, limit in tests)

    return within


def _limits(word: str, value: str) -> list[tuple[str, _Key]]:
    """What a value is compared with: one number, or some versions."""
    if word == "version":
        return [(sign, _version(text)) for sign, text in _comparisons(value)]
    number = _number(value)
    if number is None:
        raise SpecError(
            f'"{word}" compares numbers, and "{value[:60]}" is none; for versions write "version"'
        )
    return [(word, number)]


def _listed(value: str) -> list[str]:
    items = [item.strip() for item in value.split(",")]
    if not all(items):
        raise SpecError(f'"{value[:60]}" has nothing between two commas; write e.g. "zone in a, b"')
    if len(items) > _MOST_LISTED:
        raise SpecError(f"at most {_MOST_LISTED} values, got {len(items)}")
    return list(dict.fromkeys(items))


def _comparisons(value: str) -> list[tuple[str, str]]:
    found = [_COMPARED.match(item.strip()) for item in value.split(",", _MOST_COMPARED)]
    if len(found) > _MOST_COMPARED:
        raise SpecError(f"at most {_MOST_COMPARED} comparisons of a version")
    pairs = [(match[1], match[2]) for match in found if match is not None]
    if len(pairs) != len(found):
        raise SpecError(f'"{value[:60]}" compares no version; write e.g. "kernel version >=5.10, <7"')
    return pairs


def _version(text: str) -> _Key:
    key = parse_version(text)
    if key is None:
        raise SpecError(f'"{text[:60]}" is no version; write numbers with dots, as in ">=5.10, <7"')
    return key


def _number(text: str) -> _Key | None:
    """The number that *text* is, whole ones exactly; None: it is none, or not a finite one."""
    match = _NUMBER.match(text) if len(text) <= 64 else None
    if match is None:
        return None
    if not any(match.groups()):
        return (int(text),)
    number = float(text)
    return (number,) if math.isfinite(number) else None


_READ: Final[Mapping[str, Callable[[str], _Key | None]]] = {
    "version": parse_version,
    **dict.fromkeys(_ORDERINGS, _number),
}


def _range(limits: Sequence[tuple[str, _Key]]) -> tuple[_Key | None, _Key | None]:
    """The lowest and the highest that all *limits* leave; the last part says whether it is just beside."""
    lows = [(key, int(sign == ">")) for sign, key in limits if sign in (">", ">=", "==")]
    highs = [(key, -int(sign == "<")) for sign, key in limits if sign in ("<", "<=", "==")]
    return max(lows, default=None), min(highs, default=None)


def _contradict(one: Constraint, other: Constraint) -> bool:
    """Whether no value satisfies both, as far as that is quick to tell."""
    for listing, judge in ((one, other), (other, one)):
        if listing.operator in ("==", "in"):
            texts = [listing.value] if listing.operator == "==" else _listed(listing.value)
            return not any(judge.allows({judge.label: text}) for text in texts)
    both = (one.operator, other.operator)
    if both != ("version", "version") and not set(both) <= set(_ORDERINGS):
        return False
    low, high = _range([*_limits(one.operator, one.value), *_limits(other.operator, other.value)])
    return low is not None and high is not None and low > high
