"""Entry points, through small packages that really are installed: a module and its dist-info on sys.path."""

from __future__ import annotations

import importlib
import logging
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minorch.plugins import Registry
from minorch.scheduling import Scheduler

GOOD = """
    from minorch.plugins import SchedulerPlugin, hookimpl
    from minorch.scheduling import Scheduler

    class Mine(Scheduler):
        "Mine."

    @hookimpl
    def minorch_schedulers():
        yield SchedulerPlugin({name!r}, Mine)
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package with one module and these entry points, as pip would leave it."""
    monkeypatch.syspath_prepend(tmp_path)
    modules: list[str] = []

    def do(package: str, source: str, **points: str) -> None:
        (tmp_path / f"{package}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8"
        )
        listed = "".join(f"{name} = {value}\n" for name, value in points.items())
        (info / "entry_points.txt").write_text(f"[minorch]\n{listed}", encoding="utf-8")
        modules.append(package)
        importlib.invalidate_caches()

    yield do
    for name in modules:
        sys.modules.pop(name, None)


def test_nothing_is_loaded_unless_asked_for(install: Install):
    install("minorch_test_good", GOOD.format(name="mine"), good="minorch_test_good")
    assert Registry().describe() == ()
    assert "minorch_test_good" not in sys.modules


def test_an_installed_plugin_is_found_and_told_by_its_package(install: Install):
    install("minorch_test_good", GOOD.format(name="mine"), good="minorch_test_good")
    registry = Registry()
    (info,) = registry.load_entry_points()
    assert (info.kind, info.name, info.summary) == ("scheduler", "mine", "Mine.")
    assert (info.provider, info.origin) == ("good", "entry point of minorch_test_good 1.0")
    assert registry.describe() == (info,)
    assert isinstance(registry.make_scheduler("mine"), Scheduler)


def test_loading_twice_finds_only_what_is_new(install: Install):
    install("minorch_test_good", GOOD.format(name="mine"), good="minorch_test_good")
    registry = Registry()
    registry.load_entry_points()
    assert registry.load_entry_points() == ()
    install("minorch_test_more", GOOD.format(name="more"), more="minorch_test_more")
    assert [info.name for info in registry.load_entry_points()] == ["more"]
    assert [info.name for info in registry.describe()] == ["mine", "more"]


def test_broken_plugins_are_skipped_logged_and_listed_and_the_others_work(
    install: Install, caplog: pytest.LogCaptureFixture
):
    install("minorch_test_bad", "import no_such_module", a_bad="minorch_test_bad")
    install("minorch_test_none", "", b_none="minorch_test_none", c_gone="minorch_test_none:gone")
    install("minorch_test_good", GOOD.format(name="mine"), d_good="minorch_test_good")
    install("minorch_test_clash", GOOD.format(name="mine"), e_clash="minorch_test_clash")
    registry = Registry()
    with caplog.at_level(logging.WARNING, logger="minorch.plugins"):
        found = registry.load_entry_points()
    assert [(info.kind, info.name) for info in found] == [
        ("scheduler", "mine"),
        ("broken", "a_bad"),
        ("broken", "b_none"),
        ("broken", "c_gone"),
        ("broken", "e_clash"),
    ]
    broken = {info.name: info for info in found if info.kind == "broken"}
    assert broken["a_bad"].summary == "ModuleNotFoundError: No module named 'no_such_module'"
    assert broken["a_bad"].provider == "minorch_test_bad"
    assert "implements no hook" in broken["b_none"].summary
    assert broken["c_gone"].summary.startswith("AttributeError: ")
    assert broken["e_clash"].summary == (
        '"e_clash" (entry point of minorch_test_clash 1.0) offers a scheduler "mine", but '
        '"d_good" (entry point of minorch_test_good 1.0) does already; replace=True replaces it'
    )
    assert registry.describe() == found
    assert "broken" in str(found)
    assert caplog.messages[0] == "plugin a_bad (entry point of minorch_test_bad 1.0) was skipped"
    assert len(caplog.messages) == 4


def test_a_plugin_that_is_mended_is_broken_no_more(install: Install, tmp_path: Path):
    install("minorch_test_mended", "import no_such_module", mended="minorch_test_mended")
    registry = Registry()
    assert [info.kind for info in registry.load_entry_points()] == ["broken"]
    source = textwrap.dedent(GOOD.format(name="mine")) + "# of another size\n"
    (tmp_path / "minorch_test_mended.py").write_text(source, encoding="utf-8")
    importlib.invalidate_caches()
    assert [info.kind for info in registry.load_entry_points()] == ["scheduler"]
    assert [info.kind for info in registry.describe()] == ["scheduler"]


def test_an_entry_point_of_no_known_package_is_loaded_all_the_same(
    install: Install, monkeypatch: pytest.MonkeyPatch
):
    from importlib import metadata

    install("minorch_test_good", GOOD.format(name="mine"))
    point = metadata.EntryPoint("bare", "minorch_test_good", "minorch")
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point])
    (info,) = Registry().load_entry_points()
    assert info.origin == "entry point of an unknown package"
