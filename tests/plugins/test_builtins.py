"""The built-in plugins come through the same door, and load nothing that is not used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from minorch.builtins import default_registry
from minorch.errors import UsageError
from minorch.plugins import Registry
from minorch.scheduling import Scheduler
from minorch.stores.memory import MemoryStore
from minorch.stores.sqlite import SqliteStore


@pytest.fixture
def registry() -> Registry:
    return default_registry()


def test_it_has_everything_that_is_built_in(registry: Registry):
    names = {(info.kind, info.name) for info in registry.describe()}
    assert names == {
        *(
            ("scheduler", name)
            for name in ("round-robin", "least-loaded", "epvm", "bin-pack", "spread", "random")
        ),
        *(("runtime", name) for name in ("docker", "process")),
        *(("store", name) for name in ("memory", "sqlite", "postgresql", "postgres")),
    }
    assert all(info.summary and info.origin == "built in" for info in registry.describe())


def test_each_registry_is_a_new_one():
    one, other = default_registry(), default_registry()
    one.unregister("minorch")
    assert one.describe() == ()
    assert other.describe()


@pytest.mark.parametrize("name", ["round-robin", "least-loaded", "epvm", "bin-pack", "spread", "random"])
def test_each_scheduler_is_made_anew(registry: Registry, name: str):
    one, other = registry.make_scheduler(name), registry.make_scheduler(name)
    assert isinstance(one, Scheduler)
    assert one is not other


def test_options_reach_the_scheduler(registry: Registry):
    assert repr(registry.make_scheduler("epvm", terms="paper")) == "EPVM(terms='paper')"


def test_a_builtin_is_replaced_on_purpose_only(registry: Registry):
    with pytest.raises(UsageError, match=r'but "minorch" \(built in\) does already'):
        registry.add_scheduler("epvm", Scheduler)
    registry.add_scheduler("epvm", Scheduler, replace=True)
    assert type(registry.make_scheduler("epvm")) is Scheduler


def test_a_process_runtime_is_made(registry: Registry, tmp_path: Path):
    tmp_path.chmod(0o700)
    runtime = registry.make_runtime("process", root=tmp_path)
    assert runtime.name == "process"
    runtime.close()


def test_a_docker_runtime_is_made_without_an_engine(registry: Registry):
    runtime = registry.make_runtime("docker", url="tcp://10.0.0.7:2376")
    assert runtime.name == "docker"
    runtime.close()


def test_an_unknown_option_of_a_late_factory_is_told_with_the_nearest(registry: Registry):
    with pytest.raises(UsageError, match='did you mean "url"'):
        registry.make_runtime("docker", urll="unix:///var/run/docker.sock")


def test_a_memory_store_is_made(registry: Registry):
    assert isinstance(registry.make_store("memory"), MemoryStore)


def test_a_sqlite_store_is_named_by_path_or_url(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    stores: list[tuple[str, dict[str, object]]] = [
        ("sqlite", {"path": "0.db"}),
        ("sqlite", {"path": tmp_path / "1.db", "busy_timeout_s": 1.0}),
        ("sqlite:2.db", {}),
        (f"sqlite://{tmp_path}/3.db", {}),
        (f"sqlite:{tmp_path}/4 %20?.db", {}),
    ]
    for at, (name, options) in enumerate(stores):
        store = registry.make_store(name, **options)
        assert isinstance(store, SqliteStore)
        store.close()
        assert [path for path in tmp_path.iterdir() if path.suffix == ".db" and path.name.startswith(str(at))]
    assert (tmp_path / "4 %20?.db").exists()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("sqlite", {}, 'needs one file: write "sqlite:///var/lib/jobs.db" or path="jobs.db"'),
        ("sqlite:a.db", {"path": "b.db"}, "needs one file"),
        ("sqlite:", {}, '"sqlite:" names no file'),
        ("sqlite://", {}, '"sqlite://" names no file'),
        ("sqlite://jobs.db", {}, "sqlite:jobs.db for a relative one"),
    ],
)
def test_a_sqlite_store_without_one_file_says_what_to_write(
    registry: Registry, name: str, options: dict[str, object], words: str
):
    with pytest.raises(UsageError) as caught:
        registry.make_store(name, **options)
    assert words in str(caught.value)


def test_what_is_not_made_is_not_imported():
    code = (
        "import sys; from minorch.builtins import default_registry; str(default_registry().describe());"
        "print(*{'docker', 'sqlite3', 'psutil', 'minorch.runtimes'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
