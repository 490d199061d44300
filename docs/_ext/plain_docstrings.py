"""Corrections to how docstrings are read, without which the build would warn of what is well written."""

from __future__ import annotations

import importlib.util
import random
import sys
from unittest.mock import MagicMock

from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring

from minorch.scheduling import view


def _whole(self: GoogleDocstring) -> list[str]:
    return list(self._consume_to_end())


def _returns(self: GoogleDocstring, preprocess_types: bool = False) -> list[tuple[str, str, list[str]]]:
    lines = self._dedent(self._consume_to_next_section())
    return [("", "", lines)] if any(lines) else []


def _without_idle_signature(
    app: Sphinx,
    what: str,
    name: str,
    item: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """A protocol is not made by anybody, so what its metaclass would take says nothing."""
    return ("", returns) if what == "class" and getattr(item, "_is_protocol", False) else None


def setup(app: Sphinx) -> dict[str, object]:
    # Napoleon takes "In words: why it ended" below an attribute for a type and its description.
    GoogleDocstring._parse_attribute_docstring = _whole
    # The contract suites import these, and so need not the building of the pages.
    for name in ("hypothesis", "pytest"):
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = MagicMock()
    # The same of "Returns": the signature tells the type.
    GoogleDocstring._consume_returns_section = _returns
    # A record's signature is read when the pages are built; this name is imported for type checkers alone.
    view.Random = random.Random
    app.connect("autodoc-process-signature", _without_idle_signature)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
