"""The built-in schedulers, runtimes and stores, registered through the same door as a user's.

What a factory needs is imported when it is called, so that a program without Docker never loads
docker-py, and one without SQLite never loads sqlite3.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from minorch.contracts import Store
from minorch.errors import UsageError
from minorch.plugins import FleetPlugin, Registry, RuntimePlugin, SchedulerPlugin, StorePlugin, hookimpl
from minorch.schedulers.bin_pack import BinPack
from minorch.schedulers.epvm import EPVM
from minorch.schedulers.least_loaded import LeastLoaded
from minorch.schedulers.random_choice import RandomChoice
from minorch.schedulers.round_robin import RoundRobin
from minorch.schedulers.spread import Spread
from minorch.stores.memory import MemoryStore

if TYPE_CHECKING:
    from minorch.runtimes.docker import DockerRuntime
    from minorch.runtimes.process import ProcessRuntime
    from minorch.runtimes.swarm import Swarm
    from minorch.stores.postgresql import PostgreSQLStore

__all__ = ["default_registry"]

_T = TypeVar("_T")


def default_registry(*, installed: bool = False) -> Registry:
    """Return a new registry with the built-in schedulers, runtimes and stores, and nothing else.

    Args:
        installed: whether a name that is not registered is looked for among installed packages, as in the
            registry that a cluster makes for itself.

    >>> [info.name for info in default_registry().describe() if info.kind == "scheduler"]
    ['round-robin', 'least-loaded', 'epvm', 'bin-pack', 'spread', 'random']
    """
    registry = Registry(installed=installed)
    registry.register(sys.modules[__name__], "minorch", origin="built in")
    return registry


@hookimpl
def minorch_schedulers() -> Iterable[SchedulerPlugin]:
    """The six strategies."""
    yield SchedulerPlugin("round-robin", RoundRobin, "one node after the other")
    yield SchedulerPlugin("least-loaded", LeastLoaded, "the node whose fullest dimension is least full")
    yield SchedulerPlugin("epvm", EPVM, "the node where the task adds the least opportunity cost")
    yield SchedulerPlugin("bin-pack", BinPack, "the fullest node, so that others stay free")
    yield SchedulerPlugin("spread", Spread, "tasks of one job far apart")
    yield SchedulerPlugin("random", RandomChoice, "any node that could take the task")


@hookimpl
def minorch_runtimes() -> Iterable[RuntimePlugin]:
    """Docker and plain processes."""
    yield RuntimePlugin("docker", _Late(_docker), "containers of a Docker Engine")
    yield RuntimePlugin("process", _Late(_process), "plain processes of this machine")


@hookimpl
def minorch_fleets() -> Iterable[FleetPlugin]:
    """Docker Swarm."""
    yield FleetPlugin("swarm", _Late(_swarm), "the nodes of a Docker Swarm")


@hookimpl
def minorch_stores() -> Iterable[StorePlugin]:
    """Memory, SQLite and PostgreSQL."""
    yield StorePlugin("memory", MemoryStore, "as long as the process lives")
    yield StorePlugin("sqlite", _sqlite, "a file: sqlite:///absolute/path.db or sqlite:relative/path.db")
    yield StorePlugin(
        "postgresql", _Late(_postgresql), "a database: postgresql://user:password@host/database"
    )
    yield StorePlugin("postgres", _Late(_postgresql), "the same as postgresql")


class _Late(Generic[_T]):
    """A class as a factory, imported when it is first asked for; it tells that class's options as its own."""

    def __init__(self, find: Callable[[], Callable[..., _T]]) -> None:
        self._find = find

    def __call__(self, **options: Any) -> _T:
        return self._find()(**options)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._find())


def _docker() -> type[DockerRuntime]:
    from minorch.runtimes.docker import DockerRuntime

    return DockerRuntime


def _process() -> type[ProcessRuntime]:
    from minorch.runtimes.process import ProcessRuntime

    return ProcessRuntime


def _swarm() -> type[Swarm]:
    from minorch.runtimes.swarm import Swarm

    return Swarm


def _sqlite(path: str | None = None, *, url: str | None = None, busy_timeout_s: float = 5.0) -> Store:
    """A store in one SQLite file, named by its path or by a URL."""
    from minorch.stores.sqlite import SqliteStore

    if (path is None) == (url is None):
        raise UsageError('a sqlite store needs one file: write "sqlite:///var/lib/jobs.db" or path="jobs.db"')
    return SqliteStore(_path_of(url) if url else str(path), busy_timeout_s=busy_timeout_s)


def _postgresql() -> type[PostgreSQLStore]:
    try:
        from minorch.stores.postgresql import PostgreSQLStore
    except ImportError as error:
        raise UsageError(str(error)) from None

    return PostgreSQLStore


def _path_of(url: str) -> str:
    """The file that a URL names, as it stands there: nothing in it is decoded."""
    rest = url.partition(":")[2]
    path = rest.removeprefix("//")
    if not path or (path != rest and not path.startswith("/")):
        raise UsageError(
            f'"{url}" names no file; write sqlite:///var/lib/jobs.db for an absolute path, '
            "sqlite:jobs.db for a relative one"
        )
    return path
