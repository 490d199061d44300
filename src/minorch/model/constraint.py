"""What a task may ask of its node's labels: ``"disk == ssd"``, ``"zone != b"``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from minorch.errors import SpecError

__all__ = ["Constraint", "parse_constraint"]

_FORM: Final = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9_.\-/]{0,62})\s*(==|!=)(?!=)\s*(\S(?:.*\S)?)\s*\Z")


class Constraint(NamedTuple):
    """One comparison of a node's label with a value."""

    label: str
    operator: str
    value: str

    def allows(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these *labels* satisfies it; a missing label only satisfies ``!=``."""
        return (labels.get(self.label) == self.value) == (self.operator == "==")

    def __str__(self) -> str:
        return f"{self.label} {self.operator} {self.value}"


def parse_constraint(text: str, path: str = "$") -> Constraint:
    """Read one constraint.

    Raises:
        SpecError: it is not of the form ``label == value`` or ``label != value``.
    """
    match = _FORM.match(text)
    if match is None:
        raise SpecError(f'"{text[:60]}" is not a constraint; write e.g. "disk == ssd" or "zone != b"', path)
    return Constraint(*match.groups())
