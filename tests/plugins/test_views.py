"""What a registry holds, as a notebook shows it."""

from __future__ import annotations

from xml.etree import ElementTree

from minorch.builtins import default_registry
from minorch.plugins import PluginInfo, PluginList, Registry


def test_a_registry_shows_what_there_is_to_choose_from_and_where_it_is_from():
    registry = default_registry()
    registry.add_scheduler("mine", lambda: lambda task, node: 0.0, summary="<b>always</b> the first")
    root = ElementTree.fromstring(registry._repr_html_())
    rows = [[("".join(cell.itertext())) for cell in row.iter("td")] for row in root.iter("tr")]
    described = registry.describe()
    assert [row[:2] for row in rows[1:]] == [[info.kind, info.name] for info in described]
    assert rows[-1][:4] == ["scheduler", "mine", "<b>always</b> the first", "scheduler:mine"]
    assert registry._repr_html_() == described._repr_html_()


def test_what_is_broken_stands_out():
    broken = PluginInfo(kind="broken", name="x", summary="no such module", provider="x", origin="entry point")
    shown = PluginList([broken])._repr_html_()
    assert "1 plugin<" in shown
    assert "<svg" in shown
    assert "no such module" in shown


def test_an_empty_registry_is_shown_too():
    assert "0 plugins" in Registry()._repr_html_()
