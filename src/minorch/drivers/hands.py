"""Carrying out a worker's actions with its runtime, in threads, and answering with facts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar, assert_never

import msgspec

from minorch.contracts import Maker, Owner, Probe as Answered, RunStatus, Runtime
from minorch.drivers.makers import this_process
from minorch.drivers.measure import Gauge
from minorch.drivers.pool import DaemonPool
from minorch.errors import EngineUnavailable, MinorchError, StartFailed
from minorch.ids import RunKey
from minorch.states import Reason
from minorch.worker import (
    Action,
    Cancel,
    Cancelled,
    Fact,
    Kill,
    Listed,
    ListRuns,
    Probe,
    Probed,
    Progressed,
    Refused,
    Remove,
    Removed,
    Sample,
    Sampled,
    Seen,
    Start,
    Terminate,
    Unreachable,
)

__all__ = ["Answer", "RuntimeHands"]

Answer = Callable[[Fact], None]
_T = TypeVar("_T")
_log = logging.getLogger("minorch.drivers")


class RuntimeHands:
    """The threads that call one runtime. Workers that share a runtime share them.

    Starts and removals, which are slow and many, wait for each other; to stop, to look and to check
    have threads of their own, so that a stop never waits behind a hundred starts.

    Args:
        runtime: what is called.
        maker: what each run says of who had it started; None: this process, on behalf of a cluster that
            another process may go on with.
        here: whether what it runs is on this machine, so that this machine's figures are its own.
    """

    def __init__(self, runtime: Runtime, maker: Maker | None = None, *, here: bool = True) -> None:
        self.runtime = runtime
        self._maker = this_process(durable=True) if maker is None else maker
        self._work = DaemonPool(max(1, runtime.concurrency), f"minorch-{runtime.name}-work")
        self._control = DaemonPool(4, f"minorch-{runtime.name}-control")
        self._checks = DaemonPool(4, f"minorch-{runtime.name}-checks")
        self._gauge = Gauge() if here else None
        self._cancelled: set[RunKey] = set()
        self._starting: set[RunKey] = set()
        self._asked: set[tuple[type[Action], RunKey | Owner]] = set()
        """Signals and measurements that wait or are under way: the same once more would wait behind it."""
        self._lock = threading.RLock()  # whoever is answered may ask for the next thing at once

    def do(self, action: Action, owner: Owner, answer: Answer) -> None:
        """Carry out *action* for the worker *owner*; *answer* gets what came of it, in another thread."""
        match action:
            case Start():
                with self._lock:
                    self._starting.add(action.key)
                self._work.submit(lambda: answer(self._start(action, answer)))
            case Cancel():
                with self._lock:
                    if action.key in self._starting:
                        self._cancelled.add(action.key)
            case Remove():
                self._work.submit(lambda: self._remove(action.key, answer))
            case Terminate():
                call = partial(self._signal, self.runtime.terminate, action.key, answer)
                self._submit_once(self._control, (Terminate, action.key), call)
            case Kill():
                call = partial(self._signal, self.runtime.kill, action.key, answer)
                self._submit_once(self._control, (Kill, action.key), call)
            case ListRuns():
                self._control.submit(lambda: answer(self._list(action, owner)))
            case Probe():
                self._checks.submit(lambda: answer(self._probe(action)))
            case Sample():
                self._submit_once(self._checks, (Sample, owner), lambda: answer(self._sample(action)))
            case _:
                assert_never(action)

    def _submit_once(
        self, pool: DaemonPool, what: tuple[type[Action], RunKey | Owner], call: Callable[[], None]
    ) -> None:
        """Have something done that the worker asks for again and again, unless it still waits for that."""
        with self._lock:
            if what in self._asked:
                return
            self._asked.add(what)

        def do() -> None:
            try:
                call()
            finally:
                with self._lock:
                    self._asked.discard(what)

        pool.submit(do)

    def _start(self, action: Start, answer: Answer) -> Fact:
        launch, key, preparing = msgspec.structs.replace(action.launch, maker=self._maker), action.key, True
        try:
            if not self._is_cancelled(key):
                self.runtime.prepare(launch, lambda words: answer(Progressed(key=key, words=words)))
            with self._lock:
                if key in self._cancelled:
                    return Cancelled(key=key)
            preparing = False
            return Seen(status=read_status(self.runtime.start(launch)))
        except StartFailed as error:
            return Refused(
                key=key, reason=_reason(error.reason), message=str(error), exit_code=error.exit_code
            )
        except EngineUnavailable as error:
            return Unreachable(message=str(error), key=key, preparing=preparing)
        except MinorchError as error:
            return Refused(key=key, reason=Reason.START_FAILED, message=str(error))
        except BaseException as error:  # noqa: BLE001  a runtime may be anybody's
            _log.exception("runtime %s failed to start %s", self.runtime.name, key.name)
            words = f"runtime {self.runtime.name} raised {type(error).__name__}"
            return Refused(key=key, reason=Reason.START_FAILED, message=words)
        finally:
            with self._lock:
                self._starting.discard(key)
                self._cancelled.discard(key)

    def _is_cancelled(self, key: RunKey) -> bool:
        with self._lock:
            return key in self._cancelled

    def _remove(self, key: RunKey, answer: Answer) -> None:
        with self._lock:
            if key in self._starting:  # or it would be there again afterwards, and run once more
                self._cancelled.add(key)
                # Told before the lock is let go, so that what comes of the start is told after it.
                answer(Removed(key=key, error="its start is still under way", starting=True))
                return
        try:
            self.runtime.remove(key)
        except EngineUnavailable as error:
            answer(Unreachable(message=str(error), key=key))
        except BaseException as error:  # noqa: BLE001  a runtime may be anybody's; it is tried again
            answer(Removed(key=key, error=f"cannot be removed: {error}"[:500]))
        else:
            answer(Removed(key=key))

    def _signal(self, signal: Callable[[RunKey], None], key: RunKey, answer: Answer) -> None:
        """Send a signal; if that fails the worker's own timer comes back to it."""
        try:
            signal(key)
        except EngineUnavailable as error:
            answer(Unreachable(message=str(error)))
        except BaseException as error:  # noqa: BLE001  a runtime may be anybody's
            _log.warning("runtime %s could not signal %s: %s", self.runtime.name, key.name, error)

    def _list(self, action: ListRuns, owner: Owner) -> Fact:
        try:
            runs = tuple(read_status(status) for status in self.runtime.list_runs(owner))
            return Listed(asked=action.asked, statuses=runs)
        except MinorchError as error:
            return Unreachable(message=str(error))
        except BaseException as error:  # noqa: BLE001  a runtime may be anybody's
            _log.exception("runtime %s failed to list its runs", self.runtime.name)
            return Unreachable(message=f"runtime {self.runtime.name} raised {type(error).__name__}")

    def _probe(self, action: Probe) -> Fact:
        try:
            return Probed(
                key=action.key, probe=_checked(self.runtime.probe(action.key, action.check), Answered)
            )
        except MinorchError as error:
            return Unreachable(message=str(error), key=action.key)
        except BaseException as error:  # noqa: BLE001  a runtime may be anybody's
            _log.exception("runtime %s failed to check %s", self.runtime.name, action.key.name)
            return Unreachable(
                message=f"runtime {self.runtime.name} raised {type(error).__name__}", key=action.key
            )

    def _sample(self, action: Sample) -> Fact:
        try:
            tasks = dict(self.runtime.stats(action.keys)) if action.keys else {}
        except BaseException as error:  # noqa: BLE001  figures are not worth an outage
            _log.warning("runtime %s could not measure its runs: %s", self.runtime.name, error)
            tasks = {}
        node = None if self._gauge is None else self._gauge.measure(tasks=len(action.keys))
        return Sampled(node=node, tasks=tasks)

    def close(self, timeout_s: float = 5.0) -> None:
        """Let running calls end, for at most about *timeout_s* seconds; then leave them to their fate."""
        for pool in (self._work, self._control, self._checks):
            if not pool.close(timeout_s):
                _log.warning("a call to runtime %s still hangs; it is left behind", self.runtime.name)


def _reason(text: str) -> Reason:
    return Reason(text) if text in set(Reason) else Reason.START_FAILED


def read_status(answer: object) -> RunStatus:
    """What a runtime says of a run, if it says it as the contract has it; a reason may be plain text.

    Raises:
        TypeError: it is no status, or says what no status can.
    """
    status = _checked(answer, RunStatus)
    code: object = status.exit_code
    if code is not None and type(code) is not int:
        raise TypeError(f"expected an int or None for exit_code, got {type(code).__name__}")
    reason: object = status.reason
    if reason is None or type(reason) is Reason:
        return status
    if not isinstance(reason, str) or reason not in set(Reason):
        raise TypeError(f"{reason!r:.60} is no Reason")
    return msgspec.structs.replace(status, reason=Reason(reason))


def _checked(answer: object, kind: type[_T]) -> _T:
    """What a runtime answered, if it is of the kind that the contract says; a runtime may be anybody's."""
    if not isinstance(answer, kind):
        raise TypeError(f"expected a {kind.__name__}, got {type(answer).__name__}")
    return answer
