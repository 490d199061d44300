"""Telling soon that a run changed: one stream of events, and a guard that notices when it is dead.

Events are hints. The engine keeps 256 of them in memory, loses them when it restarts, and ends the
stream normally when it dies; so each (re)connection, and every minute, asks for a new listing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from minorch.contracts import Owner, RunStatus
from minorch.errors import RuntimeFault
from minorch.runtimes.docker.containers import Containers
from minorch.runtimes.docker.engine import Engine, filters
from minorch.runtimes.docker.images import json_lines
from minorch.runtimes.docker.labels import key_of, owner_filter
from minorch.runtimes.docker.status import ended
from minorch.runtimes.docker.streams import Stream

__all__ = ["EventWatch", "from_event"]

logger: Final = logging.getLogger("minorch.runtimes.docker")
_RELIST_S: Final = 60.0
_PING_S: Final = 5.0
_BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_EVENTS: Final = ["start", "die", "destroy"]


class EventWatch:
    """A running subscription to one owner's containers. *notify* is never called twice at the same time.

    Args:
        engine: whose events.
        containers: asked for the truth behind an event.
        owner: whose containers.
        notify: told of each change, and None when something may have been missed.
    """

    def __init__(
        self, engine: Engine, containers: Containers, owner: Owner, notify: Callable[[RunStatus | None], None]
    ) -> None:
        self._engine = engine
        self._containers = containers
        self._owner = owner
        self._notify = notify
        self._telling = threading.Lock()
        self._closed = threading.Event()
        self._stream: Stream | None = None
        self._threads = [
            threading.Thread(target=run, name=f"minorch-docker-{what}-{owner.node}", daemon=True)
            for run, what in ((self._listen, "events"), (self._guard, "guard"))
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End it and its threads. Closing twice is fine, and so is closing from within *notify*."""
        self._closed.set()
        stream = self._stream
        if stream is not None:
            stream.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=2.0)

    def _listen(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                self._subscribe()
                failures = 0
            except RuntimeFault as error:
                logger.debug("no events from %s: %s", self._engine.url, error)
                failures += 1
            except Exception:
                logger.exception("watching %s failed; trying again", self._engine.url)
                failures += 1
            self._closed.wait(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])

    def _subscribe(self) -> None:
        """Listen until the stream ends."""
        wanted = filters(type=["container"], event=_EVENTS, label=owner_filter(self._owner))
        stream = self._engine.stream("GET", "/events", {"filters": wanted})
        self._stream = stream
        try:
            if self._closed.is_set():
                return
            self._tell(None)  # only now: what happens from here on comes as an event
            for event in json_lines(stream.pieces()):
                self._hear(event)
        finally:
            self._stream = None
            stream.close()

    def _hear(self, event: dict[str, Any]) -> None:
        actor = event.get("Actor") or {}
        container_id, action = str(actor.get("ID", "")), event.get("Action")
        if self._containers.removed_here(container_id):
            return  # our own removal, which the worker knows of
        if action == "start" and self._containers.started_here(container_id):
            return  # start() tells it
        if action == "destroy":
            self._tell(None)  # somebody else's
            return
        status = self._containers.inspect_id(container_id)
        if status is None and action == "die":
            status = from_event(event)
        if status is not None:
            self._tell(status)

    def _guard(self) -> None:
        """Cut a stream whose engine no longer answers, and ask for a listing every minute."""
        waited_s = 0.0
        while not self._closed.wait(_PING_S):
            waited_s += _PING_S
            stream = self._stream
            if stream is None:
                waited_s = 0.0
            elif not self._engine.ping(_PING_S) and not self._engine.ping(_PING_S):
                stream.close()
            elif waited_s >= _RELIST_S:
                waited_s = 0.0
                self._tell(None)

    def _tell(self, status: RunStatus | None) -> None:
        with self._telling:
            if self._closed.is_set():
                return
            try:
                self._notify(status)
            except Exception:
                logger.exception("the callback of a watch failed")


def from_event(event: dict[str, Any]) -> RunStatus | None:
    """What the event itself tells of a container that was removed right after its end."""
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    key = key_of(attributes)
    if key is None:
        return None
    code = str(attributes.get("exitCode", ""))
    nanoseconds = event.get("timeNano")
    return ended(
        key,
        int(code) if code.isdigit() else None,
        started_at=None,
        finished_at=nanoseconds / 1e9 if isinstance(nanoseconds, int) else None,
        handle=str(actor.get("ID", "")),
    )
