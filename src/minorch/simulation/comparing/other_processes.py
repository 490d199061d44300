"""Work in other processes, by loky: what is sent there may be defined in a notebook or in a script.

Each process gets the work once, as bytes, and makes it anew from them for each call, so that no call finds
anything that another has left.  Whatever happens, no process is left behind.
"""

from __future__ import annotations

import pickle
import signal
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from typing import Final, TypeVar

from minorch.errors import UsageError

__all__ = ["CannotTravel", "WorkerDied", "in_processes", "loky_is_installed", "packed", "usable_cores"]

_IDLE_S: Final = 60.0
"""After so long without work a process ends, also if whoever began it was killed."""
_ENVIRONMENT: Final = {"LOKY_MAX_MEMORY_LEAK_SIZE": "1e18"}
"""loky takes a process that has grown for one that leaks; here, runs are just of different sizes."""

_Made = TypeVar("_Made")
_work = b""
"""In a process of our own: what it is to do."""


class CannotTravel(Exception):
    """The work cannot be sent to another process, or not be read there; the message says why."""


class WorkerDied(Exception):
    """A process is gone, and nobody knows what became of the calls that it may have had.

    Attributes:
        keys: of the calls that were under way, one of which is to blame.
    """

    def __init__(self, keys: Sequence[int], words: str) -> None:
        super().__init__(words)
        self.keys = tuple(keys)


def loky_is_installed() -> bool:
    """Whether there can be other processes."""
    return find_spec("loky") is not None


def usable_cores() -> int:
    """How many cores this process may use, as far as its container and its affinity allow; needs loky."""
    import loky

    return int(loky.cpu_count())


def packed(work: Callable[[int], object]) -> bytes:
    """The work as bytes that another process can read.

    Raises:
        CannotTravel: it cannot be written.
        UsageError: loky is not installed.
    """
    if not loky_is_installed():
        raise UsageError('other processes need loky: pip install "minorch[compare]"')
    import cloudpickle  # which comes with loky

    try:
        data: bytes = cloudpickle.dumps(work)
    except Exception as error:  # a pickle runs code of whoever wrote what is in it
        raise CannotTravel(f"{type(error).__name__}: {error}"[:500]) from error
    return data


def in_processes(
    work: bytes, keys: Sequence[int], processes: int, environment: Mapping[str, str] | None = None
) -> Generator[tuple[int, object], None, None]:
    """Call the work with each key, each in one of some processes, and give what comes back as it comes.

    If this is left before the end, by an interrupt too, the processes are killed.

    Args:
        work: from :func:`packed`. It should raise nothing: what it raises is raised here.
        keys: what it is called with.
        processes: how many there are.
        environment: what is otherwise in theirs.

    Raises:
        CannotTravel: the work could not be read there.
        WorkerDied: a process died.
    """
    from loky import ProcessPoolExecutor

    executor = ProcessPoolExecutor(
        max_workers=processes,
        timeout=_IDLE_S,
        initializer=_begin,
        initargs=(work,),
        env={**_ENVIRONMENT, **(environment or {})},
    )
    waiting = deque(keys)
    under_way: dict[Future[object], int] = {}
    try:
        while waiting or under_way:
            while waiting and len(under_way) < processes:
                under_way[_submit(executor.submit, waiting[0])] = waiting[0]
                waiting.popleft()
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                if not isinstance(future.exception(), BrokenProcessPool):
                    yield under_way.pop(future), future.result()
            broken = [future.exception() for future in done if future in under_way]
            if broken:
                raise WorkerDied(list(under_way.values()), _in_short(broken[0]))
    finally:
        executor.shutdown(wait=True, kill_workers=True)


def _submit(submit: Callable[..., Future[object]], key: int) -> Future[object]:
    try:
        return submit(_call, key)
    except BrokenProcessPool as error:  # it broke just now: as if it had done so a moment later
        failed: Future[object] = Future()
        failed.set_exception(error)
        return failed


def _in_short(error: BaseException | None) -> str:
    """What loky says of a process that died, without what it thinks of it."""
    codes = [line for line in str(error).splitlines() if "exit codes" in line]
    return codes[0].strip() if codes else f"{type(error).__name__}: {error}"[:300]


# -- in the other process -----------------------------------------------------------------------


def _begin(work: bytes) -> None:
    global _work
    _work = work
    # An interrupt from the keyboard goes to all processes; the one that began this one sees to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _call(key: int) -> object:
    try:
        work: Callable[[int], object] = pickle.loads(_work)
    except Exception as error:
        raise CannotTravel(f"{type(error).__name__}: {error}"[:500]) from error
    return work(key)
