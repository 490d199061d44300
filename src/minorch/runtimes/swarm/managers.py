"""The managers of one Swarm: which of them is asked, and which of them is not believed.

A follower hands every question on to the leader that it knows, so one that answers is enough.  What must
not be believed is a leader that was cut off from the others: for some 12 s it answers as if nothing had
happened, then it hangs, then it refuses.  Every node's record carries a version that only grows; so whoever
tells of an older version than another manager told is behind, and is asked last.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from minorch.errors import EngineUnavailable, RuntimeFault, UsageError
from minorch.runtimes.docker.engine import Engine
from minorch.runtimes.docker.faults import NotReady, Refused

__all__ = ["OUT_OF_SEQUENCE", "Behind", "Managers", "Standing", "complaint", "node_versions"]

logger: Final = logging.getLogger("minorch.runtimes.swarm")
_MOST: Final = 16
_FORGIVEN_S: Final = 60.0
"""For so long versions may go back everywhere before a Swarm is taken to have been restored from a backup."""
_CROSS_S: Final = 2.0
_AT_ONCE: Final = 16
OUT_OF_SEQUENCE: Final = "out of sequence"
"""In the words of a manager that refuses a change (with 500) because there was another one meanwhile."""
_LEADERLESS: Final = re.compile(
    r"leader|deadline|quorum|raft|code = (?:Unavailable|Canceled|Aborted)|connection|transport|EOF",
    re.IGNORECASE,
)
"""How a manager that cannot do anything now says so, with 500; but so it answers much else, a wrong network
above all."""
_T = TypeVar("_T")


class Behind(EngineUnavailable):
    """A manager told of an earlier time than another one did."""


class Standing(NamedTuple):
    """What an engine says of its part in a Swarm."""

    state: str
    """``active``, ``inactive`` (in no Swarm), ``pending``, ``locked`` or ``error``."""
    manager: bool
    node_id: str
    managers: tuple[str, ...]
    """Addresses of the Swarm's managers among each other (2377), as a worker knows them."""
    error: str


class Managers:
    """Asks whichever manager answers and is not behind. Any thread may use it.

    Args:
        urls: where the managers' engines are; empty: ``DOCKER_HOST``, or the usual socket.
        timeout_s: how long one call to one of them may take.
        certificates: as for an engine.

    Raises:
        UsageError: a url is none, or there are too many.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeout_s: float,
        certificates: str | Path | None = None,
    ) -> None:
        if isinstance(urls, str) or len(urls) > _MOST:
            raise UsageError(f"managers is a list of at most {_MOST} addresses of Swarm managers")
        if len(set(urls)) != len(urls):
            raise UsageError("a manager is named twice")
        self.engines = tuple(
            Engine(url, timeout_s=timeout_s, connections=_AT_ONCE + 2, certificates=certificates)
            for url in (urls or (None,))
        )
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._lock = threading.Lock()
        self._order = list(self.engines)
        """The one that is asked first, then those that have not failed for longest."""
        self._told: dict[str, int] = {}
        """The newest version of each node that any manager told of."""
        self._behind_since: float | None = None
        self._believed: Engine | None = None
        """Who told what is known."""
        self._crossing: set[Engine] = set()
        self._crossed_at = 0.0

    @property
    def urls(self) -> tuple[str, ...]:
        """Where they are."""
        return tuple(engine.url for engine in self.engines)

    @property
    def present(self) -> Engine:
        """The one that is asked first."""
        with self._lock:
            return self._order[0]

    # -- asking ----------------------------------------------------------------------------------------------

    def ask(self, work: Callable[[Engine], _T], *, at_once: bool = False) -> _T:
        """Have a manager do *work*; where it cannot, the next one. So *work* must be safe to do twice.

        Args:
            work: what is to be done. Only so many things are done at the same time, however many nodes there
                are.
            at_once: do not wait for others.

        Raises:
            Refused: a manager answered, and said no.
            EngineUnavailable: none of them can; the message has a line for each.
        """
        if at_once:
            return self._ask(work)
        with self._turns:
            return self._ask(work)

    def _ask(self, work: Callable[[Engine], _T]) -> _T:
        problems = []
        with self._lock:
            order = list(self._order)
        for engine in order:
            try:
                return work(engine)
            except NotReady as error:
                problems.append(complaint(engine, error))
            except EngineUnavailable as error:
                problems.append(str(error))
            except Refused as refusal:
                if refusal.status < 500 or not _LEADERLESS.search(refusal.text):
                    raise
                problems.append(f"{engine.url} has no leader to ask: {refusal.text}"[:300])
            self.doubt(engine)
        raise EngineUnavailable("; ".join(problems))

    def doubt(self, engine: Engine) -> None:
        """Ask the others first from now on."""
        with self._lock:
            self._order.remove(engine)
            self._order.append(engine)

    # -- who is behind ---------------------------------------------------------------------------------------

    def check(self, engine: Engine, versions: Mapping[str, int]) -> None:
        """Take note of what *engine* told, or refuse it.

        Args:
            engine: who told it.
            versions: of each node's record, by node id.

        Raises:
            Behind: another manager has told of a later time.
        """
        with self._lock:
            behind = any(version < self._told.get(node, 0) for node, version in versions.items())
            if behind:
                now = time.monotonic()
                self._behind_since = self._behind_since or now
                if now - self._behind_since < _FORGIVEN_S:
                    raise Behind(
                        f"the Swarm manager at {engine.url} tells of an earlier time than another did: it is "
                        "cut off from the others, and not believed"
                    )
                self._told = {}
            self._behind_since = None
            before, self._believed = self._believed, engine
            self._told = {node: max(version, self._told.get(node, 0)) for node, version in versions.items()}

        if before is not None and before is not engine:
            logger.warning("the Swarm manager at %s is asked instead of %s", engine.url, before.url)

    def cross_check(self) -> None:
        """Have those that are not asked tell of the nodes too, now and then, each in a thread of its own."""
        now = time.monotonic()
        with self._lock:
            if len(self._order) == 1 or now - self._crossed_at < _CROSS_S:
                return
            self._crossed_at = now
            others = [engine for engine in self._order[1:] if engine not in self._crossing]
            self._crossing.update(others)
        for engine in others:
            threading.Thread(
                target=self._cross, args=(engine,), name="minorch-swarm-cross-check", daemon=True
            ).start()

    def _cross(self, engine: Engine) -> None:
        try:
            versions = node_versions(engine.records("/nodes", {}))
        except RuntimeFault:
            return  # it is not the one that is asked
        finally:
            with self._lock:
                self._crossing.discard(engine)
        with self._lock:
            for node, version in versions.items():
                if node in self._told:
                    self._told[node] = max(version, self._told[node])

    # -- what they are ---------------------------------------------------------------------------------------

    def check_addresses(self) -> None:
        """See that at least one address is a manager's, and tell of each that is none.

        Raises:
            EngineUnavailable: none is; the message says of each what it is, and what to do.
        """
        problems = []
        for engine in self.engines:
            try:
                problem = _wrong_address(engine, standing(engine))
            except RuntimeFault as error:
                problem = str(error)
            if problem:
                problems.append(problem)
                self.doubt(engine)
        if len(problems) == len(self.engines):
            raise EngineUnavailable("; ".join(problems))
        for problem in problems:
            logger.warning("%s; the other managers are asked", problem)

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self.engines[0].closed

    def close(self) -> None:
        """Let go of every connection."""
        for engine in self.engines:
            engine.close()


def node_versions(nodes: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the version of each node's record, by node id."""
    return {str(node["ID"]): int(node["Version"]["Index"]) for node in nodes}


def standing(engine: Engine) -> Standing:
    """Ask an engine for its part in a Swarm."""
    swarm = engine.record("GET", "/info").get("Swarm") or {}
    return Standing(
        state=str(swarm.get("LocalNodeState") or "inactive"),
        manager=bool(swarm.get("ControlAvailable")),
        node_id=str(swarm.get("NodeID") or ""),
        managers=tuple(str(peer.get("Addr", "")) for peer in swarm.get("RemoteManagers") or ()),
        error=str(swarm.get("Error") or ""),
    )


def _wrong_address(engine: Engine, part: Standing) -> str:
    """Why an engine cannot be asked for the Swarm; empty: it can."""
    match part.state:
        case "active" if part.manager:
            return ""
        case "active":
            hosts = ", ".join(sorted(peer.rpartition(":")[0] for peer in part.managers)) or "elsewhere"
            return f"{engine.url} is a worker of its Swarm, not a manager: the managers are at {hosts}"
        case "locked":
            return f"{engine.url} is a manager that is locked: docker swarm unlock"
        case "inactive":
            return f"{engine.url} is in no Swarm: docker swarm init, or docker swarm join"
        case _:
            return f"{engine.url} is not ready as a part of its Swarm ({part.state}): {part.error}"[:300]


def complaint(engine: Engine, error: NotReady) -> str:
    """Return in words why an engine that answers cannot be asked for the Swarm."""
    if "swarm" not in error.text.lower():
        return str(error)
    try:
        return _wrong_address(engine, standing(engine)) or str(error)
    except RuntimeFault:
        return str(error)
