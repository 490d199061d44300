"""The hooks are documented where they are declared."""

from __future__ import annotations

import inspect
import typing

import pytest

from minorch.plugins import hookspecs

SPECS = [
    name
    for name, value in vars(hookspecs).items()
    if inspect.isfunction(value) and hasattr(value, "minorch_spec")
]


def test_there_are_five_factories_and_one_observer():
    kinds = ("schedulers", "filters", "runtimes", "fleets", "stores")
    factories = [f"minorch_{kind}" for kind in kinds]
    assert [*factories, "minorch_on_event"] == SPECS


@pytest.mark.parametrize("name", SPECS)
def test_a_hook_has_a_docstring_annotations_and_a_place_in_the_modules_docstring(name: str):
    spec = getattr(hookspecs, name)
    assert inspect.getdoc(spec)
    hints = typing.get_type_hints(spec)
    assert hints.keys() == {*inspect.signature(spec).parameters, "return"}
    assert f":func:`{name}`" in (hookspecs.__doc__ or "")
    assert name in hookspecs.__all__


@pytest.mark.parametrize("name", SPECS[:4])
def test_a_factory_hook_names_its_record_in_the_modules_docstring(name: str):
    (record,) = typing.get_args(typing.get_type_hints(getattr(hookspecs, name))["return"])
    assert f":func:`{name}` yields :class:`{record.__name__}` records" in (hookspecs.__doc__ or "")
    assert [*record.__struct_fields__] == ["name", "factory", "summary"]


def test_records_cannot_be_changed():
    record = hookspecs.SchedulerPlugin("mine", lambda: None)  # type: ignore[arg-type,return-value]
    with pytest.raises(AttributeError):
        record.name = "yours"  # type: ignore[misc]
