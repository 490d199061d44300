"""Which container is which run, what the engine says of it, and the calls that end it.

Containers are found by the id that the engine gave for a run's name, and count as ours only if their
labels say the same run.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from minorch.contracts import Made, Owner, RunPhase, RunStatus
from minorch.errors import EngineUnavailable, RuntimeFault, SpecError
from minorch.ids import RunKey, check_id
from minorch.runtimes.docker.engine import Engine, container_path, filters
from minorch.runtimes.docker.faults import Refused
from minorch.runtimes.docker.labels import ANY_RUN, key_of, maker_of, names_in, owner_filter, owner_of
from minorch.runtimes.docker.status import labels_in, read_status, tini_complaint
from minorch.states import Reason

__all__ = ["Containers", "Known"]

_MOST_KNOWN: Final = 10_000
_REMOVAL_S: Final = 10.0
_NOT_STARTED: Final = (126, 127)
_HEADER: Final = 8
_PHASES: Final[Mapping[str, RunPhase]] = {
    "created": "created",
    "running": "running",
    "paused": "running",
    "restarting": "running",
}


class Known(NamedTuple):
    """What is remembered of a container, to save inspects."""

    id: str
    pid: int
    """On the engine's machine; 0: it was not running when last seen."""
    stop_signal: str


class Containers:
    """The containers of one engine, by the runs that they are. Any thread may use it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._known: OrderedDict[RunKey, Known] = OrderedDict()
        self._removed: OrderedDict[str, None] = OrderedDict()
        self._started: OrderedDict[str, None] = OrderedDict()

    # -- looking ---------------------------------------------------------------------------------------------

    def known(self, key: RunKey) -> Known | None:
        """Return what is remembered of a run's container, after looking for it where nothing is."""
        with self._lock:
            known = self._known.get(key)
        if known is None and self.record(key) is not None:
            with self._lock:
                known = self._known.get(key)
        return known

    def record(self, key: RunKey) -> dict[str, Any] | None:
        """Return the inspect record of a run's container; None if there is none with its labels."""
        record = self.named(key)
        if record is None or key_of(labels_in(record)) != key:
            self._forget(key)
            return None
        self._remember(key, record)
        return record

    def named(self, key: RunKey) -> dict[str, Any] | None:
        """Return the inspect record of the container that has a run's name, whoever made it."""
        try:
            return self._engine.record("GET", f"/containers/{_name(key)}/json")
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise

    def inspect(self, key: RunKey) -> RunStatus | None:
        """Return what is known of a run; None if there is no trace of it."""
        record = self.record(key)
        return None if record is None else self.status(record)

    def inspect_id(self, container_id: str) -> RunStatus | None:
        """Return what is known of the run in a container; None if it is gone."""
        try:
            record = self._engine.record("GET", container_path(container_id, "json"))
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise
        key = key_of(labels_in(record))
        if key is not None:
            self._remember(key, record)
        return self.status(record)

    def list_runs(self, owner: Owner) -> Sequence[RunStatus]:
        """Return the status of every container of *owner*."""
        listed = self._engine.records(
            "/containers/json", {"all": "1", "filters": filters(label=owner_filter(owner))}
        )
        statuses = []
        for entry in listed:
            # The state in the list may be old, and stay so: an engine whose disk is full cannot write down
            # that a container started or ended, and goes on to list it as it was. An inspect is right.
            ours = key_of(entry.get("Labels") or {}) is not None
            if ours and (status := self.inspect_id(entry["Id"])) is not None:
                statuses.append(status)
        return statuses

    def list_made(self) -> Sequence[Made]:
        """Return what one list tells of every container that is a run, of whatever owner."""
        listed = self._engine.records(
            "/containers/json", {"all": "1", "filters": filters(label=list(ANY_RUN))}
        )
        return [made for entry in listed if (made := _made(entry)) is not None]

    def status(self, record: Mapping[str, Any]) -> RunStatus | None:
        """Return the status in an inspect record, with what the init process wrote of a missing command."""
        status = read_status(record, self._engine.address)
        if status is None or status.exit_code not in _NOT_STARTED:
            return status
        if not (record.get("HostConfig") or {}).get("Init"):
            return status
        complaint = tini_complaint(self._last_words(status.handle))
        if not complaint:
            return status
        reason = Reason.COMMAND_NOT_FOUND if status.exit_code == 127 else status.reason
        return msgspec.structs.replace(
            status, reason=reason, message=f"its command could not be run: {complaint}"
        )

    def _last_words(self, container_id: str) -> bytes:
        try:
            stream = self._engine.stream(
                "GET", container_path(container_id, "logs"), {"stderr": "1", "tail": "1"}, silence_s=5.0
            )
        except RuntimeFault:
            return b""
        words = b""
        try:
            for piece in stream.pieces():
                words += piece
                if len(words) > 4096:
                    break
        except EngineUnavailable:
            return b""
        finally:
            stream.close()
        return words[_HEADER:]

    # -- ending ----------------------------------------------------------------------------------------------

    def terminate(self, key: RunKey) -> None:
        """Send a run the stop signal of its image, or SIGTERM."""
        known = self.known(key)
        if known is None:
            return
        try:
            self._signal(known.id, known.stop_signal or "SIGTERM")
        except Refused:
            if not known.stop_signal:
                raise
            self._signal(known.id, "SIGTERM")  # the image names a signal that there is not

    def kill(self, key: RunKey) -> None:
        """Kill a run. Everything in its container goes with its first process."""
        known = self.known(key)
        if known is not None:
            self._signal(known.id, "SIGKILL")

    def _signal(self, container_id: str, signal: str) -> None:
        for _attempt in range(2):
            try:
                self._engine.record("POST", container_path(container_id, "kill"), {"signal": signal})
                return
            except Refused as refusal:
                if "paused" in refusal.text and refusal.status in (409, 500):
                    self._unpause(container_id)  # somebody paused it; then no signal gets through
                    continue
                if refusal.status not in (404, 409):  # gone, or ended already
                    raise
                return

    def _unpause(self, container_id: str) -> None:
        try:
            self._engine.record("POST", container_path(container_id, "unpause"))
        except Refused as refusal:
            if refusal.status not in (404, 409, 500):
                raise

    def remove(self, key: RunKey) -> None:
        """Remove a run that has ended, with its anonymous volumes.

        Raises:
            RuntimeFault: it still runs.
        """
        known = self.known(key)
        if known is not None:
            self.remove_id(known.id, force=False)
        self._forget(key)

    def remove_id(self, container_id: str, *, force: bool) -> None:
        """Remove a container and return when it is gone, after some seconds at most."""
        with self._lock:
            _bounded(self._removed, container_id, None)
        try:
            self._engine.record(
                "DELETE", container_path(container_id), {"v": "1", "force": "1" if force else "0"}
            )
        except Refused as refusal:
            if refusal.status == 404:
                return
            if refusal.status != 409 or "in progress" not in refusal.text:
                with self._lock:
                    self._removed.pop(container_id, None)
                raise
            self._await_removal(container_id)

    def _await_removal(self, container_id: str) -> None:
        deadline = time.monotonic() + _REMOVAL_S
        while time.monotonic() < deadline:
            try:
                self._engine.record("GET", container_path(container_id, "json"))
            except Refused as refusal:
                if refusal.status == 404:
                    return
                raise
            time.sleep(0.02)
        raise RuntimeFault(f"container {container_id[:12]} is still being removed after {_REMOVAL_S:g} s")

    def start_id(self, container_id: str) -> None:
        """Start a container.

        Raises:
            Refused: it did not start.
            EngineUnavailable: it may have started.
        """
        with self._lock:
            _bounded(self._started, container_id, None)
        try:
            self._engine.record("POST", container_path(container_id, "start"))
        except RuntimeFault:
            with self._lock:
                self._started.pop(container_id, None)
            raise

    def started_here(self, container_id: str) -> bool:
        """Whether :meth:`start_id` started the container, and its caller tells of it."""
        with self._lock:
            return container_id in self._started

    def removed_here(self, container_id: str) -> bool:
        """Whether :meth:`remove` took the container away, rather than somebody else."""
        with self._lock:
            return container_id in self._removed

    # -- memory ----------------------------------------------------------------------------------------------

    def _remember(self, key: RunKey, record: Mapping[str, Any]) -> None:
        known = Known(
            record["Id"],
            int(record["State"].get("Pid") or 0),
            str((record.get("Config") or {}).get("StopSignal") or ""),
        )
        with self._lock:
            _bounded(self._known, key, known)

    def _forget(self, key: RunKey) -> None:
        with self._lock:
            self._known.pop(key, None)


def _made(entry: Mapping[str, Any]) -> Made | None:
    """What an entry of the engine's list says of a run; None if it is none, whatever its labels say."""
    labels = entry.get("Labels") or {}
    key, owner = key_of(labels), owner_of(labels)
    if key is None or owner is None or f"/{key.name}" not in (entry.get("Names") or ()):
        return None  # an image may carry our labels, and hands them on to what is made of it
    job, task = names_in(labels)
    return Made(
        owner=owner,
        key=key,
        phase=_PHASES.get(str(entry.get("State")), "exited"),
        handle=str(entry["Id"]),
        job=job,
        task=task,
        maker=maker_of(labels),
    )


def _bounded(table: OrderedDict[Any, Any], key: object, value: object) -> None:
    table[key] = value
    table.move_to_end(key)
    while len(table) > _MOST_KNOWN:
        table.popitem(last=False)


def _name(key: RunKey) -> str:
    """The name of a run's container, checked: it becomes part of a path."""
    try:
        return RunKey(check_id(key.task_id, "task"), int(key.attempt), int(key.run)).name
    except SpecError as error:
        raise RuntimeFault(f"not the key of a run: {error}") from None
