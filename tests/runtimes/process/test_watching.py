"""That ends are noticed and told, whatever else goes wrong; and to nobody who does not want to know."""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from minorch.errors import RuntimeFault
from minorch.runtimes.process import ProcessRuntime, processes
from minorch.runtimes.process.files import RunFiles
from minorch.testing.runtime_contract import Notes, eventually
from tests.runtimes.process.conftest import OWNER, exited, launch, shell


@pytest.mark.parametrize("polled", [False, True])
def test_an_end_without_a_free_file_descriptor_is_told_once_there_is_one(
    runtime: ProcessRuntime, monkeypatch: pytest.MonkeyPatch, polled: bool
) -> None:
    if polled:
        monkeypatch.setattr(runtime._watcher._exits, "_add_pidfd", lambda process: False)
    notes = Notes()
    runtime.watch(OWNER, notes)
    given = launch(shell("sleep 0.1; exit 7"))
    runtime.start(given)
    tries = 0

    def none_left_at_first(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal tries
            tries += 1
            if tries <= 3:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(processes, "birth", none_left_at_first(processes.birth))
    monkeypatch.setattr(RunFiles, "open_record", none_left_at_first(RunFiles.open_record))
    eventually(lambda: notes.exit_of(given.key))
    assert exited(runtime, given.key).exit_code == 7
    assert tries > 3
    _, written = runtime._find(given.key).files.read()
    assert written is not None
    assert written.code == 7


def test_a_watch_that_is_closed_as_it_begins_is_told_nothing(
    runtime: ProcessRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(deque[Any]):
        """Between taking a subscription and welcoming it there is time to close it."""

        def popleft(self) -> Any:
            subscription = super().popleft()
            subscription.close()
            taken.set()
            return subscription

    taken = threading.Event()
    monkeypatch.setattr(runtime._watcher, "_new", Slow())
    notes = Notes()
    runtime.watch(OWNER, notes)
    assert taken.wait(5)
    exited(runtime, runtime.start(launch(shell("exit 0"))).key)
    assert notes.told == []
    assert runtime._watcher._subscriptions == ()


def test_a_followed_log_ends_when_the_runtime_is_closed(runtime: ProcessRuntime) -> None:
    given = launch(shell("echo begun; sleep 0.5"))
    runtime.start(given)
    followed = runtime.logs(given.key, follow=True)
    assert next(followed) == b"begun\n"
    runtime.close()
    rest = threading.Thread(target=lambda: list(followed), daemon=True)
    rest.start()
    rest.join(5)
    assert not rest.is_alive()


def test_a_fork_cannot_use_the_runtime_and_does_it_no_harm(runtime: ProcessRuntime) -> None:
    given = launch(shell("sleep 1; exit 7"))
    runtime.start(given)
    child = os.fork()
    if child == 0:
        refused = 0
        for call in (
            lambda: runtime.start(launch(shell("true"))),
            lambda: runtime.list_runs(OWNER),
            lambda: runtime.inspect(given.key),
            lambda: runtime.kill(given.key),
            lambda: runtime.watch(OWNER, print),
        ):
            try:
                call()
            except RuntimeFault as error:
                refused += "is its fork" in str(error)
        runtime.close()
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
    assert exited(runtime, given.key).exit_code == 7
    runtime.start(launch(shell("exit 0")))  # so the parent's is still open
