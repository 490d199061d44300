"""What a run wrote: the engine's log stream, with its frames taken apart."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable, Iterator
from typing import Final

from minorch.errors import EngineUnavailable, RuntimeFault
from minorch.ids import RunKey
from minorch.runtimes.docker.containers import Containers
from minorch.runtimes.docker.engine import Engine, container_path
from minorch.runtimes.docker.faults import Refused
from minorch.runtimes.docker.streams import Stream

__all__ = ["demultiplex", "read_logs"]

_FRAME: Final = struct.Struct(">BxxxL")
_PING_S: Final = 5.0


def read_logs(
    engine: Engine,
    containers: Containers,
    key: RunKey,
    *,
    follow: bool,
    tail: int | None,
    since: float | None,
) -> Iterator[bytes]:
    """Open the log of a run at once, and return an iterator over its bytes; stdout and stderr are merged.

    Raises:
        RuntimeFault: there is no such run.
        EngineUnavailable: also while reading, when the engine went away before the run ended.
    """
    known = containers.known(key)
    if known is None:
        raise RuntimeFault(f"there is no run {key.name}, so it has no logs")
    query = {"stdout": "1", "stderr": "1", "follow": "1" if follow else "0"}
    if tail is not None:
        query["tail"] = str(max(0, tail))
    if since is not None:
        query["since"] = f"{max(0.0, since):.9f}"
    try:
        stream = engine.stream(
            "GET", container_path(known.id, "logs"), query, silence_s=None if follow else engine.timeout_s
        )
    except Refused as refusal:
        if refusal.status == 404:
            raise RuntimeFault(f"the run {key.name} is gone, and its logs with it") from None
        raise
    return _follow(engine, containers, key, stream) if follow else _read(stream)


def _read(stream: Stream) -> Iterator[bytes]:
    try:
        yield from demultiplex(stream.pieces())
    finally:
        stream.close()


def _follow(engine: Engine, containers: Containers, key: RunKey, stream: Stream) -> Iterator[bytes]:
    done, cut = threading.Event(), threading.Event()
    threading.Thread(
        target=_guard, args=(engine, stream, done, cut), name="minorch-docker-logs-guard", daemon=True
    ).start()
    try:
        yield from demultiplex(stream.pieces())
    finally:
        done.set()
        stream.close()
    if not engine.closed:  # the stream ends normally too when the engine dies
        status = containers.inspect(key)
        if cut.is_set() or (status is not None and status.phase == "running"):
            raise EngineUnavailable(f"the log of {key.name} broke off: the Docker Engine went away meanwhile")


def _guard(engine: Engine, stream: Stream, done: threading.Event, cut: threading.Event) -> None:
    """End a stream that would be silent for ever, because its engine no longer answers."""
    while not done.wait(_PING_S):
        if not engine.ping(_PING_S) and not engine.ping(_PING_S):
            cut.set()
            stream.close()
            return


def demultiplex(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the payload of the engine's frames (stream number, length, bytes), as soon as it is there.

    >>> b"".join(demultiplex([b"\\x01\\0\\0\\0\\0\\0\\0\\x02h", b"i"]))
    b'hi'
    """
    header, left = b"", 0
    for piece in pieces:
        at = 0
        while at < len(piece):
            if left:
                payload = piece[at : at + left]
                left -= len(payload)
                at += len(payload)
                yield payload
                continue
            taken = piece[at : at + _FRAME.size - len(header)]
            header += taken
            at += len(taken)
            if len(header) == _FRAME.size:
                left = _FRAME.unpack(header)[1]
                header = b""
