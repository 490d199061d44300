"""Regular expressions that cannot take long: a small language, and the matching of it.

Python's own ``re`` tries one way after the other, and a pattern of ten characters can keep it busy for
years.  Here all ways are followed at the same time: the places in the value that a part of the pattern
may have reached are the bits of one number.  So the time is bounded by the length of the pattern
times that of the value.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from minorch.errors import SpecError

__all__ = ["MOST_PATTERN", "MOST_VALUE", "Pattern", "parse_pattern"]

MOST_PATTERN: Final = 200
"""The most characters of a pattern."""
MOST_VALUE: Final = 256
"""A value of more characters never matches."""

_MOST_UNBOUNDED: Final = 3
_MOST_STEPS: Final = 10_000
_QUANTIFIER: Final = re.compile(r"(?:([*+?])|\{(?=,?[0-9])([0-9]{0,4})(?:(,)([0-9]{0,4}))?\})\??")
_ENDS: Final[Mapping[str, tuple[int, int | None]]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_CLASSES: Final = "dDwWsS"

_Fits = Callable[[str], object]


class _Value:
    """A value to match, by the places of its characters: bit n is set for place n."""

    __slots__ = ("_found", "places")

    def __init__(self, text: str) -> None:
        self.places: dict[str, int] = {}
        for index, char in enumerate(text):
            self.places[char] = self.places.get(char, 0) | 1 << index
        self._found: dict[_Fits, int] = {}

    def fitting(self, fits: _Fits) -> int:
        """The places of all characters that *fits* is true of."""
        found = self._found.get(fits)
        if found is None:
            found = sum(where for char, where in self.places.items() if fits(char))
            self._found[fits] = found
        return found


_Step = Callable[[int, _Value], int]
"""From the places where a part may begin to those where it may end."""


class _Part(NamedTuple):
    step: _Step
    steps: int
    """The most character steps that it takes."""
    repeatable: bool = True
    """Whether it may be repeated: it holds no ``|`` and no repeat without end."""


class Pattern:
    """A regular expression that was read, see :func:`parse_pattern`."""

    __slots__ = ("_step",)

    def __init__(self, step: _Step) -> None:
        self._step = step

    def matches(self, value: str) -> bool:
        """Whether the whole *value* matches; one of more than 256 characters never does."""
        if len(value) > MOST_VALUE:
            return False
        return bool(self._step(1, _Value(value)) >> len(value))


@functools.lru_cache(maxsize=512)
def parse_pattern(text: str) -> Pattern:
    r"""Read a regular expression as Python writes them, in so far as its time is bounded.

    There are characters, ``.``, classes such as ``[a-z]`` and ``\d``, groups, ``|`` and repeats.

    Raises:
        SpecError: it is too long, not well formed, holds something else (a look-around, a reference to
            a group), or repeats in too many ways.

    >>> parse_pattern("gpu-[0-9]+").matches("gpu-17")
    True
    """
    if not 1 <= len(text) <= MOST_PATTERN:
        raise SpecError(f"a pattern has 1 to {MOST_PATTERN} characters, this one has {len(text)}")
    part = _Reader(text).read()
    if part.steps > _MOST_STEPS:
        raise SpecError(f'the pattern "{text[:60]}" repeats too much: make its repeats smaller')
    return Pattern(part.step)


class _Reader:
    """Reads one pattern from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._unbounded = 0
        self._end = len(text)
        if text.endswith("$") and (len(text) - len(text[:-1].rstrip("\\"))) % 2:
            self._end -= 1  # a value matches as a whole anyway

    def read(self) -> _Part:
        """Read all of it."""
        self._at = self._peek() == "^"
        part = self._alternatives()
        if self._at < self._end:
            raise self._fault("a ) without its (")
        return part

    def _peek(self) -> str:
        return self._text[self._at] if self._at < self._end else ""

    def _fault(self, problem: str) -> SpecError:
        return SpecError(f'the pattern "{self._text[:60]}" has {problem} (character {self._at + 1})')

    def _alternatives(self) -> _Part:
        ways = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            ways.append(self._sequence())
        return ways[0] if len(ways) == 1 else _any_of(ways)

    def _sequence(self) -> _Part:
        parts: list[_Part] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return _in_turn(parts)

    def _atom(self) -> _Part:
        char = self._peek()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escape()
        if char in "*+?{":
            raise self._fault(f"a {char} with nothing to repeat; write \\{char} for the character")
        if char in "^$":
            raise self._fault(
                f"a {char}; the whole value has to match anyway, write \\{char} for the character"
            )
        self._at += 1
        return _character(re.compile(".").match) if char == "." else _literal(char)

    def _group(self) -> _Part:
        if self._text.startswith("(?", self._at) and not self._text.startswith("(?:", self._at):
            raise self._fault(
                "a (? that is not (?:; look-arounds, flags, names and references to groups are not offered"
            )
        begun = self._at
        self._at += 3 if self._text.startswith("(?:", self._at) else 1
        part = self._alternatives()
        if self._peek() != ")":
            self._at = begun
            raise self._fault("a ( without its )")
        self._at += 1
        return part

    def _escape(self) -> _Part:
        escaped = self._escaped()
        return _character(re.compile(escaped).match) if escaped[1] in _CLASSES else _literal(escaped[1])

    def _escaped(self) -> str:
        escaped = self._text[self._at : self._at + 2]
        if len(escaped) < 2:
            raise self._fault("a \\ with nothing after it")
        if escaped[1].isdigit():
            raise self._fault(f"{escaped}; references to groups are not offered")
        if escaped[1].isalnum() and escaped[1] not in _CLASSES:
            raise self._fault(f"{escaped}; of letters only \\d, \\w, \\s and \\D, \\W, \\S may be escaped")
        self._at += 2
        return escaped

    def _class(self) -> _Part:
        begun = self._at
        self._at += 2 if self._text.startswith("[^", begun) else 1
        first = True
        while first or self._peek() != "]":
            char = self._peek()
            if not char:
                self._at = begun
                raise self._fault("a [ without its ]")
            if char == "[" or self._text[self._at : self._at + 2] in ("--", "&&", "||", "~~"):
                raise self._fault(f"a bare {char} in a class; write \\{char}")
            if char == "\\":
                self._escaped()
            else:
                self._at += 1
            first = False
        self._at += 1
        try:
            return _character(re.compile(self._text[begun : self._at]).match)
        except re.error as error:
            self._at = begun
            raise self._fault(f"a class that is none: {error.msg}") from None

    def _repeated(self, part: _Part) -> _Part:
        if self._peek() not in ("*", "+", "?", "{"):
            return part
        match = _QUANTIFIER.match(self._text, self._at, self._end)
        if match is None:
            raise self._fault(
                "a { that is no repeat; write {2}, {2,}, {,3} or {2,3}, or \\{ for the character"
            )
        least, most = _ends(match)
        if least > MOST_VALUE or (most is not None and not least <= most <= MOST_VALUE):
            raise self._fault(f"a repeat that is not from 0 to {MOST_VALUE} times")
        if most != 1 and not part.repeatable:
            raise self._fault("a repeat of a group that itself holds a | or a repeat without end")
        if most is None:
            self._unbounded += 1
            if self._unbounded > _MOST_UNBOUNDED:
                raise self._fault(f"more than {_MOST_UNBOUNDED} repeats without end")
        self._at = match.end()
        if self._peek() in ("*", "+", "?", "{"):
            raise self._fault("a repeat of a repeat")
        return _times(part, least, most)


def _ends(match: re.Match[str]) -> tuple[int, int | None]:
    """How often at least, and at most (None: without end)."""
    sign, least, comma, most = match.groups()
    if sign:
        return _ENDS[sign]
    if not comma:
        return int(least), int(least)
    return int(least or 0), int(most) if most else None


def _literal(char: str) -> _Part:
    return _Part(lambda begins, value: (begins & value.places.get(char, 0)) << 1, 1)


def _character(fits: _Fits) -> _Part:
    return _Part(lambda begins, value: (begins & value.fitting(fits)) << 1, 1)


def _in_turn(parts: Sequence[_Part]) -> _Part:
    if len(parts) == 1:
        return parts[0]
    turns = [part.step for part in parts]

    def step(begins: int, value: _Value) -> int:
        for turn in turns:
            begins = turn(begins, value)
        return begins

    return _Part(step, 1 + sum(part.steps for part in parts), all(part.repeatable for part in parts))


def _any_of(parts: Sequence[_Part]) -> _Part:
    ways = [part.step for part in parts]

    def step(begins: int, value: _Value) -> int:
        ends = 0
        for way in ways:
            ends |= way(begins, value)
        return ends

    return _Part(step, sum(part.steps for part in parts), repeatable=False)


def _times(part: _Part, least: int, most: int | None) -> _Part:
    once = part.step
    more = MOST_VALUE + 1 if most is None else most - least

    def step(begins: int, value: _Value) -> int:
        for _ in range(least):
            if not begins:
                break
            begins = once(begins, value)
        ends = begins
        for _ in range(more):
            begins = once(begins, value) & ~ends
            if not begins:
                break
            ends |= begins
        return ends

    return _Part(step, part.steps * (least + more), part.repeatable and most is not None)
