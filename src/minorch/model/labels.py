"""Labels that users give to tasks, jobs and nodes: how many, how long, and which ones are not theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from minorch.errors import SpecError
from minorch.model.base import as_mapping

__all__ = ["LONGEST_TAINT", "NODE_PREFIX", "RESERVED", "check_labels"]

RESERVED: Final = "minorch."
"""No label of a user's begins with it."""
NODE_PREFIX: Final = "node."
"""No label of a node begins with it: in a constraint, it begins an attribute of the node itself."""

LONGEST_TAINT: Final = 256
"""The most characters of a taint, and of the toleration of one."""

_MOST_LABELS: Final = 64


def check_labels(labels: object, path: str, *, reserved: tuple[str, ...] = (RESERVED,)) -> Mapping[str, str]:
    """Return a copy of user labels: at most 64, of at most 4 KiB, none beginning as *reserved* says.

    Raises:
        SpecError: they are something else.
    """
    checked = as_mapping(labels, path, kind=str, most=_MOST_LABELS)
    for name, value in checked.items():
        if len(name) > 256 or len(value) > 4096:
            raise SpecError("a label has at most 256 characters and its value 4096", f"{path}.{name[:70]}")
        for beginning in reserved:
            if name.startswith(beginning):
                raise SpecError(f'labels that begin with "{beginning}" are ours', f"{path}.{name[:70]}")
    return checked
