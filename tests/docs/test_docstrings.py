"""Every example in a docstring of the library runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import minorch

MODULES = sorted(
    ["minorch", *(module.name for module in pkgutil.walk_packages(minorch.__path__, "minorch."))]
)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str, tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and not error.name.startswith("minorch"):
            pytest.skip(f"{name} needs the optional package {error.name}")
        raise
    assert doctest.testmod(module, optionflags=OPTIONS).failed == 0
