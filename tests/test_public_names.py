"""The public names: the lazy table, the imports that type checkers see, and what is really there, agree."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.metadata
import inspect
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import minorch

SOURCE = Path(minorch.__file__).read_text()


def seen_by_type_checkers() -> dict[str, str]:
    """Name to module, from the imports under ``if TYPE_CHECKING``."""
    block = next(node for node in ast.parse(SOURCE).body if isinstance(node, ast.If))
    return {
        alias.name: node.module or ""
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_see_what_there_is():
    assert seen_by_type_checkers() == minorch._HOME_OF


@pytest.mark.parametrize("name", minorch.__all__)
def test_each_public_name_is_there(name):
    assert getattr(minorch, name) is not None
    assert name in dir(minorch)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Clster'"):
        _ = minorch.Clster  # type: ignore[attr-defined]


def test_the_package_alone_loads_nothing_else():
    code = (
        "import minorch, sys; print([m for m in sys.modules if m.startswith('minorch.') or m == 'msgspec'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PACKAGES = ("scheduling", "simulation", "testing", "drivers", "runtimes", "stores")


@pytest.mark.parametrize("name", [*minorch.__all__, *PACKAGES])
def test_help_has_something_to_say(name):
    thing = importlib.import_module(f"minorch.{name}") if name in PACKAGES else getattr(minorch, name)
    assert len(pydoc.render_doc(thing)) > 100
    if isinstance(thing, type) and not issubclass(thing, BaseException):
        with contextlib.suppress(ValueError):  # an enumeration has none
            inspect.signature(thing)


def test_it_says_which_version_it_is():
    assert minorch.__version__ == importlib.metadata.version("minorch")
