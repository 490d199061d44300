"""Names and identities: which ones are well formed, and how they are built from each other.

Ids are made elsewhere (the core owns no randomness); this module only says what they look like.
Everything that ends up in a path, a container name or a label passes one of these checks first.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from minorch.errors import SpecError, brief

__all__ = ["RunKey", "check_id", "check_name", "instance_name"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}\Z")
_ID: Final = re.compile(r"[0-9a-f]{32}\Z")


class RunKey(NamedTuple):
    """Names one start of one task: which task, which placement of it, which run on that node.

    A local restart is a new run of the same attempt, so nothing with the same key starts twice.
    """

    task_id: str
    """32 hexadecimal digits, never given twice."""
    attempt: int
    """Which placement, from 1."""
    run: int
    """Which start of that placement, from 1; a local restart is the next one."""

    @property
    def name(self) -> str:
        """The name of its container or directory, unique on any engine."""
        return f"minorch-{self.task_id}-{self.attempt}-{self.run}"


def check_name(name: object, what: str, path: str = "$.name") -> str:
    """Return *name* if it may name a job, task, node or cluster.

    Raises:
        SpecError: it is not 1 to 63 letters, digits, ``_``, ``.`` or ``-`` with a letter or digit first.
    """
    if not isinstance(name, str):
        raise SpecError(f"the name of a {what} is text, not {type(name).__name__}", path)
    if not _NAME.match(name):
        raise SpecError(
            f'"{name[:70]}" cannot name a {what}: use 1 to 63 letters, digits, "_", "." or "-", '
            "a letter or digit first",
            path,
        )
    return name


def check_id(value: object, what: str, path: str = "$") -> str:
    """Return *value* if it is 32 lower-case hexadecimal digits.

    Raises:
        SpecError: it is not.
    """
    if not isinstance(value, str) or not _ID.match(value):
        raise SpecError(f"{brief(value, 70)} is not the id of a {what} (32 hexadecimal digits)", path)
    return value


def instance_name(task: str, index: int | None) -> str:
    """The name of one instance: ``"greet"``, or ``"greet[3]"`` where a task has several."""
    return task if index is None else f"{task}[{index}]"
