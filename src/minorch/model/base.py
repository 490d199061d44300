"""What all model types share: frozen records that read and write JSON and say where a fault is.

A model type is an :mod:`msgspec` record.  Reading is msgspec's; this module turns its errors into
:class:`~minorch.errors.SpecError` with a path, a problem and the nearest valid word.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Final, Never, NoReturn, Self, TypeVar, get_args, get_origin

import msgspec

from minorch.errors import SpecError, brief, did_you_mean
from minorch.model.secret import Secret, encodable
from minorch.resources import Resources

__all__ = [
    "MOST_TEXT",
    "NOTHING",
    "FrozenDict",
    "Model",
    "as_mapping",
    "as_models",
    "as_words",
    "decode_hook",
    "encode_hook",
    "one_of",
    "read_model",
    "require_flag",
    "require_number",
    "require_text",
    "set_field",
]

MOST_TEXT: Final = 131_072
"""The most characters of one word of a command or the environment: Linux accepts no more."""
_M = TypeVar("_M")
_AT: Final = re.compile(r"(.*) - at (?:`key` in )?`(\$[^`]*)`\Z", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|(\[[^\]]*\])")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)

set_field = msgspec.structs.force_setattr
"""Set a field of a record that is still being made (in ``__post_init__``)."""


class Model(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of everything a user describes: compared by value, never changed, JSON in and out."""

    def to_dict(self, *, reveal: bool = False) -> dict[str, object]:
        """Return plain data, without what is at its default.

        Args:
            reveal: write secrets in the clear; otherwise they are replaced by ``"***"``.
        """
        plain = msgspec.to_builtins(self, enc_hook=encode_hook if reveal else _encode_redacted)
        assert isinstance(plain, dict)
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Self:
        """Read plain data, as JSON, YAML or TOML give it.

        Raises:
            SpecError: with the path of what is wrong, and the nearest valid word for a typo.
        """
        return read_model(cls, data)


def encode_hook(value: object) -> object:
    """Write the types that msgspec does not know, secrets in the clear: for the wire and the store."""
    if isinstance(value, Resources):
        return value.to_dict()
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(f"cannot write {type(value).__name__}")


def _encode_redacted(value: object) -> object:
    return str(value) if isinstance(value, Secret) else encode_hook(value)


def decode_hook(kind: type, value: object) -> object:
    """Read the types that msgspec does not know."""
    if kind is Resources:
        return Resources.from_dict(typing.cast("Mapping[str, float | str]", value))
    if kind is Secret:
        return Secret(typing.cast("str", value))
    raise NotImplementedError(f"cannot read {kind.__name__}")


def read_model(kind: type[_M], data: object) -> _M:
    """Read plain *data* as *kind*.

    Raises:
        SpecError: naming the path, the problem, and the nearest valid word.
    """
    try:
        return msgspec.convert(data, kind, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        raise _explain(error, kind) from None


def _explain(error: msgspec.ValidationError, root: object) -> SpecError:
    match = _AT.match(str(error))
    problem, path = match.groups() if match else (str(error), "$")
    cause = error.__cause__
    if isinstance(cause, SpecError):
        return SpecError(cause.problem, cause.path).below(path)
    unknown = _UNKNOWN.match(problem)
    if unknown:
        word = unknown.group(1)
        fields = _hints(_kind_at(root, path))
        return SpecError(f'there is no field "{word[:70]}"{did_you_mean(word, fields)}', path)
    if problem.startswith("Invalid enum value"):
        word = problem.removeprefix("Invalid enum value ").strip("'")
        return SpecError(_not_one_of(word, get_args(_kind_at(root, path))), path)
    if problem == "Expected `array`, got `str`":  # the usual slip in YAML
        return SpecError("expected a list, got text; put it in brackets", path)
    return SpecError(problem[0].lower() + problem[1:].replace("`", ""), path)


def _kind_at(root: object, path: str) -> object:
    """The annotation that msgspec read the value at *path* by, as far as it can be followed."""
    kind = root
    for field, _ in _STEP.findall(path):
        if field:
            kind = _hints(kind).get(field)
        else:  # an item of a list or a mapping
            kind = (get_args(kind) or (None,))[-1]
        inner = [arg for arg in get_args(kind) if arg is not type(None)]
        if get_origin(kind) in (typing.Union, types.UnionType) and len(inner) == 1:
            kind = inner[0]
    return kind


def _hints(kind: object) -> dict[str, object]:
    return typing.get_type_hints(kind) if isinstance(kind, type) and issubclass(kind, Model) else {}


def _not_one_of(value: object, options: Sequence[str]) -> str:
    return f"{brief(value, 70)} is none of {', '.join(options)}{did_you_mean(str(value), options)}"


def one_of(value: object, options: Sequence[str], path: str) -> None:
    """Raise :class:`SpecError` unless *value* is one of *options*."""
    if value not in options:
        raise SpecError(_not_one_of(value, options), path)


def require_text(value: object, path: str, *, most: int = 4096) -> None:
    """Raise :class:`SpecError` unless *value* is text without NUL, of 1 to *most* characters."""
    if not isinstance(value, str):
        raise SpecError(f"expected text, got {type(value).__name__}", path)
    if not value or len(value) > most:
        raise SpecError(f"expected 1 to {most} characters, got {len(value)}", path)
    _require_clean(value, path)


def _require_clean(text: str, path: str) -> None:
    if "\0" in text:
        raise SpecError("it holds a NUL character, which no operating system accepts", path)
    if not encodable(text):
        raise SpecError("it holds half a character (a lone surrogate), which cannot be sent", path)


def require_flag(value: object, path: str) -> None:
    """Raise :class:`SpecError` unless *value* is a bool: ``"no"`` would count as true."""
    if not isinstance(value, bool):
        raise SpecError(f"expected true or false, got {brief(value)}", path)


def require_number(
    value: object, path: str, *, least: float = 0, most: float = 1e9, whole: bool = False
) -> None:
    """Raise :class:`SpecError` unless *value* is a number from *least* to *most* (*whole*: an integer)."""
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        word = "a whole number" if whole else "a number"
        hint = f"; write {'int' if whole else 'float'}(...)" if isinstance(value, Real) else ""
        raise SpecError(f"expected {word}, got {brief(value)}{hint}", path)
    if not least <= value <= most:
        raise SpecError(f"{brief(value)} is not from {least:,.10g} to {most:,.10g}", path)


def as_words(
    value: object, path: str, *, most: int = 4096, longest: int = MOST_TEXT, command: bool = False
) -> tuple[str, ...]:
    """Return a list of words as a tuple; a *command* line is one too.

    Raises:
        SpecError: it is one string (which would be split into letters), a word is not text, or has more
            than *longest* characters.
    """
    if isinstance(value, str):
        listed = '["sh", "-c", "..."] for a shell line' if command else f'["{value[:40]}"]'
        raise SpecError(f'expected a list of words, got the text "{value[:40]}"; write {listed}', path)
    if not isinstance(value, Sequence):
        raise SpecError(f"expected a list of words, got {type(value).__name__}", path)
    if len(value) > most:
        raise SpecError(f"at most {most} words, got {len(value)}", path)
    for index, word in enumerate(value):
        if not isinstance(word, str):
            raise SpecError(f"expected text, got {type(word).__name__}{_as_text(word)}", f"{path}[{index}]")
        _require_clean(word, f"{path}[{index}]")
        if len(word) > longest:
            problem = (
                "it is longer than 128 KiB, which no operating system accepts"
                if longest == MOST_TEXT
                else f"it has {len(word):,} characters; at most {longest}"
            )
            raise SpecError(problem, f"{path}[{index}]")
    return tuple(value)


def _as_text(value: object) -> str:
    """What to write for a number where text is wanted: the usual slip in a command and in ``env``."""
    return f'; write "{value}"' if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


class FrozenDict(dict[str, _M]):
    """A dict that nobody changes: a description is shared by all who read it, and was checked once."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a description does not change; make another one, such as {**task.env, name: value}")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Callable[[dict[str, _M]], Mapping[str, _M]], tuple[dict[str, _M]]]:
        return (_frozen, (dict(self),))


def _frozen(value: dict[str, _M]) -> Mapping[str, _M]:
    return FrozenDict(value) if value else NOTHING


NOTHING: Final[FrozenDict[Never]] = FrozenDict()
"""The only empty one: msgspec leaves out of what it writes a value that is its field's default itself."""


def as_mapping(value: object, path: str, *, kind: type[_M], most: int) -> Mapping[str, _M]:
    """Return a copy of a mapping from text to *kind*, with at most *most* entries, that does not change.

    Raises:
        SpecError: it is something else.
    """
    if not isinstance(value, Mapping):
        raise SpecError(f"expected a mapping, got {type(value).__name__}", path)
    if len(value) > most:
        raise SpecError(f"at most {most} entries, got {len(value)}", path)
    for name, item in value.items():
        if not isinstance(name, str) or not name or "\0" in name or not encodable(name):
            raise SpecError(f"{brief(name, 70)} is not a name", path)
        if not isinstance(item, kind):
            hint = _as_text(item) if kind is str else f"; write {kind.__name__}(...)"
            raise SpecError(
                f"expected {kind.__name__}, got {type(item).__name__}{hint}", f"{path}.{name[:70]}"
            )
        if isinstance(item, str):
            _require_clean(item, f"{path}.{name[:70]}")
    return FrozenDict(value) if value else NOTHING


def as_models(value: object, path: str, *, kind: type[_M], most: int) -> tuple[_M, ...]:
    """Return a tuple of *kind*, of at most *most*.

    Raises:
        SpecError: it is something else.
    """
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise SpecError(f"expected a list of {kind.__name__}, got {type(value).__name__}", path)
    if len(value) > most:
        raise SpecError(f"at most {most}, got {len(value)}", path)
    for index, item in enumerate(value):
        if not isinstance(item, kind):
            raise SpecError(
                f"expected {kind.__name__}, got {type(item).__name__}; write {kind.__name__}(...)",
                f"{path}[{index}]",
            )
    return tuple(value)
