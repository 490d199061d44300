"""A value that must not be shown."""

from __future__ import annotations

import hmac
from typing import Final

from minorch.errors import SpecError

__all__ = ["Secret", "encodable", "redact"]

_SHOWN: Final = "***"
_SHORTEST_PART: Final = 4


class Secret:
    """Text that no repr, event, log line, error or ``to_dict`` of minorch shows.

    It is given to the task as an environment variable.  It does travel to the worker in messages
    and lies in a durable store, because a task must be able to start again after a crash.

    Args:
        value: the text to keep, at most 128 KiB.

    >>> Secret("hunter2")
    Secret('***')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise SpecError(f"a secret is text, not {type(value).__name__}")
        if value == _SHOWN:
            raise SpecError(f"{_SHOWN} is what is shown of a secret, not one; see to_dict(reveal=True)")
        if "\0" in value or len(value) > 131_072:
            raise SpecError("a secret is at most 128 KiB of text without NUL")
        if not encodable(value):
            raise SpecError("a secret is text that can be sent, without half characters (lone surrogates)")
        self._value = value

    def reveal(self) -> str:
        """Return the text itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({_SHOWN!r})"

    def __str__(self) -> str:
        return _SHOWN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))


def encodable(text: str) -> bool:
    """Whether *text* can be written as UTF-8; lone surrogates, as in undecodable file names, cannot.

    Such text would pass for a string until the message that carries it is encoded, far from its author.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """Return *text* with every one of *secrets* replaced; for errors that an engine echoes.

    Long texts are cut somewhere: the beginning of a secret, of four characters or more, is replaced too
    where the text ends with it.
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = _without_beginning(text.replace(secret, _SHOWN), secret)
    return text


def _without_beginning(text: str, secret: str) -> str:
    at = text.find(secret[:_SHORTEST_PART], max(0, len(text) - len(secret)))
    while at >= 0 and len(text) - at >= _SHORTEST_PART:
        if secret.startswith(text[at:]):
            return text[:at] + _SHOWN
        at = text.find(secret[:_SHORTEST_PART], at + 1)
    return text
