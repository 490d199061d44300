"""Entry points, through small packages that really are installed: a module and its dist-info on sys.path."""

from __future__ import annotations

import importlib
import logging
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minorch.builtins import default_registry
from minorch.cluster import Cluster
from minorch.errors import UnknownPlugin, UsageError
from minorch.model import Task
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


# -- a name that nobody registered ---------------------------------------------------------------------------

WATCHES = """
    from minorch.plugins import StorePlugin, hookimpl
    from minorch.stores.memory import MemoryStore

    EVENTS = []

    @hookimpl
    def minorch_stores():
        yield StorePlugin("watching", lambda url=None: MemoryStore())

    @hookimpl
    def minorch_on_event(event):
        EVENTS.append(event.kind)
"""


def test_a_cluster_finds_an_installed_plugin_by_name(install: Install):
    install("minorch_test_good", GOOD.format(name="mine"), good="minorch_test_good")
    with Cluster(runtime="process", scheduler="mine") as cluster:
        cluster.submit(Task("t", command=["true"])).result(timeout=60)
        (found,) = (info for info in cluster.registry.describe() if info.name == "mine")
    assert found.origin == "entry point of minorch_test_good 1.0"


def test_a_cluster_finds_an_installed_store_by_its_url(install: Install):
    install("minorch_test_watches", WATCHES, watches="minorch_test_watches")
    with Cluster(runtime="process", store="watching://somewhere") as cluster:
        cluster.submit(Task("t", command=["true"])).result(timeout=60)
    assert "job_completed" in sys.modules["minorch_test_watches"].EVENTS


def test_no_package_is_loaded_for_a_name_that_is_registered(install: Install):
    install("minorch_test_good", GOOD.format(name="mine"), good="minorch_test_good")
    with Cluster(runtime="process", scheduler="spread"):
        pass
    assert "minorch_test_good" not in sys.modules


def test_the_package_that_is_called_so_is_asked_first_and_then_no_other(install: Install):
    install("minorch_test_a", GOOD.format(name="mine"), a="minorch_test_a")
    install("minorch_test_mine", GOOD.format(name="mine"), mine="minorch_test_mine")
    registry = default_registry(installed=True)
    assert type(registry.make_scheduler("mine")).__module__ == "minorch_test_mine"
    assert "minorch_test_a" not in sys.modules


def test_only_the_plugin_that_offers_the_name_is_registered(install: Install):
    install("minorch_test_good", GOOD.format(name="mine"), z_good="minorch_test_good")
    install("minorch_test_watches", WATCHES, a_watches="minorch_test_watches")
    registry = Registry(installed=True)
    registry.make_scheduler("mine")
    assert [info.name for info in registry.describe()] == ["mine"]  # nobody watches


def test_two_packages_that_offer_one_name_are_both_named(install: Install):
    install("minorch_test_a", GOOD.format(name="mine"), a="minorch_test_a")
    install("minorch_test_b", GOOD.format(name="mine"), b="minorch_test_b")
    with pytest.raises(UsageError) as caught:
        Registry(installed=True).make_scheduler("mine")
    assert str(caught.value) == (
        '"a" (entry point of minorch_test_a 1.0) and "b" (entry point of minorch_test_b 1.0) offer a '
        'scheduler "mine"; register the one that you want'
    )


def test_a_name_that_no_package_offers_tells_the_nearest_and_what_is_broken(
    install: Install, caplog: pytest.LogCaptureFixture
):
    install("minorch_test_bad", "import no_such_module", bad="minorch_test_bad")
    install("minorch_test_good", GOOD.format(name="mine"), good="minorch_test_good")
    registry = Registry(installed=True)
    with pytest.raises(UnknownPlugin) as caught:
        registry.make_scheduler("mime")
    assert str(caught.value) == (
        'no scheduler is called "mime"; did you mean "mine"? Known: mine. Register yours with '
        "registry.add_scheduler(), or install a package that offers it. Installed, but broken: bad (entry "
        "point of minorch_test_bad 1.0): ModuleNotFoundError: No module named 'no_such_module'"
    )
    assert caplog.messages == ["plugin bad (entry point of minorch_test_bad 1.0) was skipped"]
    assert [(info.kind, info.name) for info in registry.describe()] == [("broken", "bad")]


def test_a_broken_package_does_not_hide_another(install: Install):
    install("minorch_test_bad", "import no_such_module", bad="minorch_test_bad")
    install("minorch_test_good", GOOD.format(name="mine"), good="minorch_test_good")
    registry = Registry(installed=True)
    registry.make_scheduler("mine")
    assert [info.kind for info in registry.describe()] == ["scheduler", "broken"]


def test_a_registry_that_was_not_told_to_look_says_what_is_installed_and_imports_nothing(install: Install):
    install("minorch_test_good", GOOD.format(name="mine"), good="minorch_test_good")
    registry = default_registry()
    with pytest.raises(UnknownPlugin) as caught:
        Cluster(runtime="process", scheduler="mine", registry=registry)
    assert str(caught.value).endswith(
        "or install a package that offers it and call registry.load_entry_points(). "
        "Installed, but not loaded: good (entry point of minorch_test_good 1.0)"
    )
    assert "minorch_test_good" not in sys.modules
    registry.load_entry_points()
    with Cluster(runtime="process", scheduler="mine", registry=registry):
        pass
