"""What a run wrote, through its Swarm: a manager asks the agent of the node, and passes on what comes.

Three things are not as with an engine.  The log of a node that is cut off hangs for ever, followed or not,
so every wait has an end here.  A log that is followed does not end with its run, so the run is watched
beside it.  And what comes last may be missing then, so it is read once more and what was passed on is left
out, by the time that stands before each line.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable, Iterator
from typing import Final

from minorch.errors import EngineUnavailable, RuntimeFault
from minorch.runtimes.docker.engine import Engine
from minorch.runtimes.docker.faults import Refused
from minorch.runtimes.docker.streams import Stream
from minorch.runtimes.swarm.managers import Managers
from minorch.runtimes.swarm.members import answering
from minorch.runtimes.swarm.polling import Closed, Poll
from minorch.runtimes.swarm.snapshot import SwarmTask
from minorch.runtimes.swarm.status import phase_of

__all__ = ["frames", "last_words", "read_log"]

_FRAME: Final = struct.Struct(">BxxxL")
_SILENCE_S: Final = 10.0
_LAST_WORDS_S: Final = 3.0
_TICK_S: Final = 1.0
_MOST_FRAME: Final = 1024 * 1024


def read_log(
    managers: Managers, poll: Poll, task: SwarmTask, *, follow: bool, tail: int | None, since: float | None
) -> Iterator[bytes]:
    """Open the log of a run at once, and return an iterator over its bytes; stdout and stderr are merged.

    Raises:
        EngineUnavailable: its node does not answer, also while reading.
    """
    if not task.container_id:
        return iter(())
    answering(poll.fresh(), task.node_id)
    query = {"stdout": "1", "stderr": "1"}
    if tail is not None:
        if tail <= 0 and not follow:
            return iter(())
        query["tail"] = str(max(0, tail))
    if since is not None:
        query["since"] = f"{max(0.0, since):.9f}"
    if follow and not task.over:
        return _follow(managers, poll, task, query)
    return _read(_open(managers, task, query))


def last_words(managers: Managers, task: SwarmTask) -> bytes:
    """Return the last line that a run wrote to stderr; nothing where it cannot be had soon."""
    try:
        stream = _open(managers, task, {"stderr": "1", "tail": "1"}, silence_s=_LAST_WORDS_S)
        return b"".join(frames(stream.pieces()))
    except RuntimeFault:
        return b""


def _open(
    managers: Managers, task: SwarmTask, query: dict[str, str], *, silence_s: float | None = _SILENCE_S
) -> Stream:
    path = f"/tasks/{task.id}/logs"

    def open_stream(engine: Engine) -> Stream:
        return engine.stream("GET", path, query, silence_s=silence_s)

    try:
        return managers.ask(open_stream)
    except Refused as refusal:
        if refusal.status == 404:
            raise RuntimeFault(f"the run {task.key.name} is gone, and its logs with it") from None
        raise


def _read(stream: Stream) -> Iterator[bytes]:
    try:
        yield from frames(stream.pieces())
    finally:
        stream.close()


def _follow(managers: Managers, poll: Poll, task: SwarmTask, query: dict[str, str]) -> Iterator[bytes]:
    timed = {**query, "timestamps": "1"}
    stream = _open(managers, task, {**timed, "follow": "1"}, silence_s=None)
    done, ended = threading.Event(), threading.Event()
    threading.Thread(
        target=_guard, args=(poll, task, stream, done, ended), name="minorch-swarm-logs-guard", daemon=True
    ).start()
    last, count = b"", 0
    try:
        for frame in frames(stream.pieces()):
            at, _blank, line = frame.partition(b" ")
            count = count + 1 if at == last else 1
            last = at
            yield line
    finally:
        done.set()
        stream.close()
    if not ended.is_set():
        if managers.closed:
            return
        raise EngineUnavailable(f"the log of {task.key.name} broke off: its node or a manager went away")
    yield from _rest(managers, task, timed, last, count)


def _rest(
    managers: Managers, task: SwarmTask, query: dict[str, str], last: bytes, count: int
) -> Iterator[bytes]:
    """What was written after the line of time *last*, of which *count* lines were passed on."""
    whole = {name: value for name, value in query.items() if name != "tail" or not last}
    passed = 0
    for frame in _read(_open(managers, task, whole)):
        at, _blank, line = frame.partition(b" ")
        if at < last:
            continue
        if at == last and passed < count:
            passed += 1
            continue
        yield line


def _guard(
    poll: Poll, task: SwarmTask, stream: Stream, done: threading.Event, ended: threading.Event
) -> None:
    """End a stream whose run has ended, or whose node does not answer any more."""
    number = -1
    poll.watched()
    try:
        while not done.is_set():
            try:
                number, snapshot, _error = poll.wait_round(number, _TICK_S)
            except Closed:
                stream.close()
                return
            if snapshot is None:
                continue
            now = snapshot.tasks.get(task.key)
            node = snapshot.nodes.get(task.node_id)
            over = now is None or phase_of(now) == "exited"
            if not over and node is not None and node.answers:
                continue
            if over:
                ended.set()
            stream.close()
            return
    finally:
        poll.unwatched()


def frames(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the payload of each frame (stream number, length, bytes), whole.

    >>> list(frames([b"\\x01\\0\\0\\0\\0\\0\\0\\x02h", b"i"]))
    [b'hi']
    """
    left = b""
    for piece in pieces:
        left += piece
        while len(left) >= _FRAME.size:
            size = _FRAME.unpack_from(left)[1]
            if size > _MOST_FRAME:
                raise RuntimeFault("what the Swarm sends is no log")
            if len(left) < _FRAME.size + size:
                break
            yield left[_FRAME.size : _FRAME.size + size]
            left = left[_FRAME.size + size :]
