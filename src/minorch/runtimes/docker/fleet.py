"""Many Docker Engines as a fleet: each machine a node, each engine with threads and time-outs of its own."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from minorch.contracts import Member, RuntimeInfo, Watch
from minorch.errors import EngineUnavailable, RuntimeFault, SpecError, UsageError
from minorch.model import Node
from minorch.resources import Resources
from minorch.runtimes.docker.contexts import Endpoint, find_context
from minorch.runtimes.docker.policy import DockerPolicy
from minorch.runtimes.docker.runtime import DockerRuntime

__all__ = ["DockerEngine", "DockerFleet"]

_log: Final = logging.getLogger("minorch.runtimes.docker")
_MOST_ENGINES: Final = 10_000
_LOOK_S: Final = 5.0
"""How long a start waits for engines that do not answer; their machines join when they do."""
_BACKOFF_S: Final = (1.0, 2.0, 5.0, 10.0)
_AGAIN_S: Final = 60.0
"""How often an engine that answers is asked whether its machine has changed."""
_TICK_S: Final = 0.2
_MOST_AT_ONCE: Final = 128
_LOST_S: Final = 30.0


class DockerEngine(msgspec.Struct, frozen=True):
    """One Docker Engine of many, and what its node is like where the engine does not say so itself."""

    url: str
    """``ssh://user@host``, ``tcp://host:2376``, ``unix:///path``, or ``context:name``."""
    name: str = ""
    """The node's. Empty: the host or the context in *url*, or ``local`` for a socket of this machine."""
    capacity: Resources | None = None
    """What tasks may reserve. None: all that the engine says its machine has."""
    labels: Mapping[str, str] = {}
    """Beside the engine's own, and before them."""
    taints: Sequence[str] = ()
    max_tasks: int = 100
    certificates: str | Path | None = None
    """A directory with ``ca.pem``, ``cert.pem`` and ``key.pem``, for TLS; None: the context's, if any."""
    policy: DockerPolicy | None = None
    """What tasks may do to the machine; None: nothing that reaches out of their containers."""
    address: str = ""
    """Where published ports are reached. Empty: the host in *url*."""

    @property
    def called(self) -> str:
        """The name of its node."""
        return self.name or _name_of(self.url)


def _name_of(url: str) -> str:
    if url.startswith("context:"):
        host = url.removeprefix("context:")
    else:
        parts = urlsplit(url)
        host = "local" if parts.scheme in ("unix", "npipe") else parts.hostname or ""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", host).strip("-.") or "engine"


class DockerFleet:
    """The machines of some Docker Engines.

    An engine that does not answer costs the others nothing: each has connections, threads and time-outs of
    its own.  Its machine is a node without a capacity until it answers.

    Args:
        engines: the addresses, or :class:`DockerEngine` where there is more to say.
        timeout_s: how long one call to an engine may take.
        engine_lost_s: after so long without an answer of its engine a machine counts as lost, and its tasks
            are placed on others; None: never.

    Raises:
        UsageError: an address is none, there are none, or two nodes would have the same name.
    """

    def __init__(
        self,
        engines: Sequence[str | DockerEngine],
        *,
        timeout_s: float = 10.0,
        engine_lost_s: float | None = _LOST_S,
    ) -> None:
        if not 0 < len(engines) <= _MOST_ENGINES:
            raise UsageError(f"a fleet has 1 to {_MOST_ENGINES:,} engines, not {len(engines):,}")
        self._lost_s = engine_lost_s
        given = [_as_engine(engine) for engine in engines]
        _refuse_doubles(given)
        self._machines = [_Machine(engine, timeout_s) for engine in given]
        self._owners: dict[str, _Machine] = {}
        """By the identity of an engine, which machine has it: two workers would each hand out all of it."""
        self._pool = ThreadPoolExecutor(min(_MOST_AT_ONCE, len(given)), "minorch-engines")

    @property
    def name(self) -> str:
        """``docker``."""
        return "docker"

    @property
    def engine_lost_s(self) -> float | None:
        """After so long without an answer of its engine, a machine counts as lost; None: never."""
        return self._lost_s

    def members(self) -> Sequence[Member]:
        """Ask every engine what it has, all at a time; raises as the contract says.

        Raises:
            UsageError: two addresses lead to one engine.
        """
        asked = {self._pool.submit(machine.ask): machine for machine in self._machines}
        wait(asked, _LOOK_S)
        silent = [machine for machine in self._machines if machine.info is None]
        for machine in silent:
            _log.warning("machine %s cannot be used yet: %s", machine.engine.called, machine.why)
        if len(silent) == len(self._machines):
            raise EngineUnavailable(
                "; ".join(f"{machine.engine.called}: {machine.why}" for machine in silent)[:4000]
            )
        members = []
        for machine in self._machines:
            owner = _owner(machine, self._owners)
            if owner is not machine:
                raise UsageError(_same(owner, machine))
            machine.told = machine.member()
            members.append(machine.told)
        return members

    def watch(self, notify: Callable[[Member], None]) -> Watch:
        """Tell of machines whose engine answers at last, and of those that offer something else since."""
        return _Watch(self._machines, self._owners, self._pool, notify)

    def close(self) -> None:
        """Let go of all engines. Runs go on."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for machine in self._machines:
            machine.runtime.close()

    def __repr__(self) -> str:
        return f"<DockerFleet {', '.join(machine.engine.called for machine in self._machines)[:200]}>"


class _Machine:
    """One engine, and what is known of it."""

    def __init__(self, engine: DockerEngine, timeout_s: float) -> None:
        where = _endpoint(engine)
        self.engine = engine
        self.runtime = DockerRuntime(
            where.url,
            policy=engine.policy,
            timeout_s=timeout_s,
            certificates=engine.certificates or where.certificates,
        )
        self.info: RuntimeInfo | None = None
        """None: it has never answered."""
        self.identity = ""
        """The engine's own."""
        self.labels: Mapping[str, str] = {}
        self._told_labels: Sequence[str] = ()
        self.why = "it has not answered yet"
        self.told: Member | None = None
        """What the cluster was last told of it."""
        self._asking = threading.Lock()

    def ask(self) -> bool:
        """Ask the engine what it has; what comes of it is in :attr:`info` or :attr:`why`."""
        with self._asking:
            try:
                about = self.runtime.about()
            except RuntimeFault as error:
                self._not_usable(str(error))
                return False
            except Exception as error:  # noqa: BLE001  or nobody would ever ask it again
                _log.exception("asking the engine of machine %s failed", self.engine.called)
                self._not_usable(f"{type(error).__name__}: {error}")
                return False
            self.identity = about.identity
            if self.info is None or about.labels != self._told_labels:
                self.labels = _good_labels(about.labels, self.engine.called)
            self._told_labels = about.labels
            self.info = about.info
            return True

    def _not_usable(self, why: str) -> None:
        if self.info is None and self.told is not None and why != self.why:
            _log.warning("machine %s cannot be used yet: %s", self.engine.called, why)
        self.why = why

    def member(self) -> Member:
        """Its node as it is known now; nothing can be placed there before its engine has answered."""
        engine, info = self.engine, self.info
        capacity = Resources() if info is None else engine.capacity or info.capacity
        return Member(
            runtime=self.runtime,
            node=Node(
                engine.called,
                capacity=capacity,
                runtime=self.runtime.name,
                labels={**self.labels, **engine.labels},
                taints=engine.taints,
                platform=info.platform if info is not None else "",
                address=engine.address or (info.address if info is not None else "127.0.0.1"),
                max_tasks=engine.max_tasks,
            ),
        )


class _Watch:
    """Asks engines again: those that have not answered soon, the others now and then."""

    def __init__(
        self,
        machines: Sequence[_Machine],
        owners: dict[str, _Machine],
        pool: ThreadPoolExecutor,
        notify: Callable[[Member], None],
    ) -> None:
        self._machines = machines
        self._owners = owners
        self._pool = pool
        self._notify = notify
        self._closed = threading.Event()
        self._telling = threading.Lock()
        """Held to tell, and to find out that two addresses lead to one engine."""
        self._due_at = dict.fromkeys(range(len(machines)), 0.0)
        """By machine, when it is asked again; one that is being asked is not among them."""
        self._tries: dict[int, int] = {}
        self._thread = threading.Thread(target=self._run, name="minorch-engines-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        now = time.monotonic()
        for number, machine in enumerate(self._machines):  # some may have answered since they were listed
            self._tell(machine)
            self._due_at[number] = now + (_AGAIN_S if machine.info is not None else _BACKOFF_S[0])
        while not self._closed.wait(_TICK_S):
            now = time.monotonic()
            for number in [number for number, at in list(self._due_at.items()) if at <= now]:
                del self._due_at[number]
                try:
                    self._pool.submit(self._ask, number)
                except RuntimeError:  # the fleet was closed
                    return

    def _ask(self, number: int) -> None:
        machine = self._machines[number]
        if self._closed.is_set():
            return
        if machine.ask():
            self._tries.pop(number, None)
            wait_s = _AGAIN_S
            self._tell(machine)
        else:
            tries = self._tries[number] = self._tries.get(number, 0) + 1
            wait_s = _BACKOFF_S[min(tries, len(_BACKOFF_S) - 1)]
        self._due_at[number] = time.monotonic() + wait_s

    def _tell(self, machine: _Machine) -> None:
        """Tell of a machine that is not as it was told; of one whose engine another has, that it is gone."""
        with self._telling:
            if machine.info is None or self._closed.is_set():
                return
            owner = _owner(machine, self._owners)
            member = machine.member()
            if owner is not machine:
                member = msgspec.structs.replace(member, gone=True)
            if member == machine.told:
                return
            if member.gone:
                _log.error("machine %s is left out: %s", machine.engine.called, _same(owner, machine))
            machine.told = member
            try:
                self._notify(member)
            except Exception:  # noqa: BLE001  the callback is the cluster's
                _log.exception("the callback of a watch failed")

    def close(self) -> None:
        """End it; what waits for an engine ends when that call does."""
        self._closed.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=2.0)


def _as_engine(engine: str | DockerEngine) -> DockerEngine:
    if isinstance(engine, str):
        engine = DockerEngine(engine)
    if not isinstance(engine, DockerEngine):
        raise UsageError(f"an engine is an address or a DockerEngine, not a {type(engine).__name__}")
    return engine


def _endpoint(engine: DockerEngine) -> Endpoint:
    if engine.url.startswith("context:"):
        return find_context(engine.url.removeprefix("context:"))
    return Endpoint(engine.url)


def _refuse_doubles(engines: Sequence[DockerEngine]) -> None:
    seen: dict[str, DockerEngine] = {}
    for engine in engines:
        other = seen.setdefault(engine.called, engine)
        if other is not engine:
            raise UsageError(
                f'{other.url} and {engine.url} would both be node "{engine.called}": give one another name, '
                f'with DockerEngine("{engine.url}", name=...)'
            )


def _owner(machine: _Machine, owners: dict[str, _Machine]) -> _Machine:
    """The machine that has this one's engine: the first one of it; itself, if it does not say which it is."""
    if not machine.identity:
        return machine
    owner = owners.setdefault(machine.identity, machine)
    if owner.identity != machine.identity:  # it has another engine since
        owner = owners[machine.identity] = machine
    return owner


def _same(one: _Machine, other: _Machine) -> str:
    words = f"{one.engine.url} and {other.engine.url} lead to the same Docker Engine"
    return f"{words} ({one.identity[:100]}): leave one out"


def _good_labels(labels: Sequence[str], name: str) -> dict[str, str]:
    """An engine's labels, ``key=value``; those that a node cannot have are told and left out."""
    good: dict[str, str] = {}
    for label in labels:
        key, _, value = label.partition("=")
        try:
            Node("n", labels={key: value})
        except SpecError as error:
            _log.warning("machine %s: the engine's label %.60r is left out: %s", name, label, error)
        else:
            good[key] = value
    return good
