"""A cluster that is to be hurt: two engines, a socket that can fail before each, two workers and a manager.

Every part is a process of its own, and the harness carries their messages, so that each can be killed while
the others go on.  Where a part does not take its messages, they are dropped: a line may lose.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import minorch as mo
from minorch.ids import RunKey
from minorch.state.events import Event
from minorch.state.pictures import JobInfo
from tests.chaos.hole import Hole
from tests.chaos.ledger import TARGET, Ledger, Loss, machine_time
from tests.chaos.private_engine import PrivateEngine

__all__ = ["NODES", "Member", "Rig", "Silent"]

NODES = ("kept", "ended")
"""The nodes, called after what becomes of containers whose engine dies: one has live-restore, one has not."""
_ROOT = Path(__file__).resolve().parents[2]
_ANSWER_S = 20.0
_MOST_WAITING = 1000


class Silent(Exception):
    """A part died, or said nothing for too long, before it answered."""


class Member:
    """One process, and the line to it."""

    def __init__(self, words: Sequence[str], hear: Callable[..., None], log: Path) -> None:
        ours, theirs = socket.socketpair()
        part, *rest = words
        with log.open("ab") as file, theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.member", part, str(theirs.fileno()), *rest],
                pass_fds=[theirs.fileno()],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._socket = ours
        self._connection = Connection(os.dup(ours.fileno()))
        self._hear = hear
        self._out: queue.Queue[tuple[object, ...] | None] = queue.Queue(_MOST_WAITING)
        for run in (self._listen, self._speak):
            threading.Thread(target=run, daemon=True).start()

    def say(self, *words: object) -> None:
        """Say something, or drop it if too much waits."""
        with contextlib.suppress(queue.Full):
            self._out.put_nowait(words)

    def _speak(self) -> None:
        with contextlib.suppress(OSError):
            while (words := self._out.get()) is not None:
                self._connection.send(words)

    def _listen(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                self._hear(self, *self._connection.recv())
        self._socket.close()
        self._hear(self, "gone", "", b"")

    def kill(self) -> None:
        """Kill it without any farewell, and wait until it is gone."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(queue.Full):
            self._out.put_nowait(None)
        with contextlib.suppress(OSError):  # ends the listener too, which closes it
            self._socket.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Have it stand still."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)


class Rig:
    """Everything, from the engines up; a context that leaves nothing behind.

    Args:
        image: of busybox, for the engines.
        data_mib: how large the engines' file systems are.
    """

    def __init__(self, image: bytes, *, data_mib: int = 128) -> None:
        self._stack = contextlib.ExitStack()
        self.cluster_id = ""
        self._answers: dict[int, queue.SimpleQueue[object]] = {}
        self._number = 0
        self._hello = threading.Event()
        self.manager: Member | None = None
        self.workers: dict[str, Member] = {}
        self.engines: dict[str, PrivateEngine] = {}
        self.holes: dict[str, Hole] = {}
        with self._stack:
            self.folder = Path(
                self._stack.enter_context(tempfile.TemporaryDirectory(prefix="minorch-rig-", dir="/tmp"))
            )
            shared = self.folder / "ledger"
            shared.mkdir(mode=0o777)
            self.ledger = Ledger(shared)
            for node in NODES:
                engine = PrivateEngine(live_restore=node == "kept", data_mib=data_mib)
                self._stack.callback(engine.close)
                self.engines[node] = engine
                engine.start()
                engine.load(image)
                self.holes[node] = Hole(engine.socket)
                self._stack.callback(self.holes[node].close)
            self._stack.callback(self._kill_members)
            self.start_manager()
            for node in NODES:
                self.start_worker(node)
            self._until(lambda: self.ready_nodes() == set(NODES), "both nodes are ready")
            self._kept = self._stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept.__exit__(kind, error, trace)

    def _kill_members(self) -> None:
        for member in (*self.workers.values(), self.manager):
            if member is not None:
                member.kill()

    # -- its parts -------------------------------------------------------------------------------------------

    @property
    def mount(self) -> mo.Mount:
        """The ledger, as a container gets it."""
        return mo.Mount(TARGET, kind="bind", source=str(self.ledger.folder))

    def start_manager(self) -> None:
        """Start the manager, on the file of the one before."""
        self._hello.clear()
        self.manager = Member(
            ["manager", str(self.folder / "store.db")], self._from_manager, self.folder / "manager.log"
        )
        if not self._hello.wait(_ANSWER_S):
            raise Silent(f"the manager does not come up:\n{self.log_end('manager')}")

    def start_worker(self, node: str) -> None:
        """Start a worker, with an incarnation of its own."""
        words = ["worker", node, self.cluster_id, self.holes[node].url, str(self.ledger.folder)]
        self.workers[node] = Member(words, self._from_worker, self.folder / f"{node}.log")

    def log_end(self, name: str) -> str:
        """The end of what a part wrote to stderr."""
        return "\n".join((self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-15:])

    def _from_manager(self, member: Member, kind: str, *words: Any) -> None:
        if member is not self.manager and self.manager is not None and kind == "message":
            return
        match kind:
            case "message":
                name, data = words
                if name in self.workers:
                    self.workers[name].say("message", data)
            case "hello":
                (self.cluster_id,) = words
                self._hello.set()
            case "gone" if member is self.manager:
                for waiting in list(self._answers.values()):
                    waiting.put(Silent("the manager died before it answered"))
            case "answer":
                number, answer = words
                if number in self._answers:
                    self._answers[number].put(answer)

    def _from_worker(self, member: Member, kind: str, _name: str, data: bytes) -> None:
        if kind == "message" and self.manager is not None and member in self.workers.values():
            self.manager.say("message", data)

    # -- asking the manager ----------------------------------------------------------------------------------

    def ask(self, name: str, *arguments: object) -> Any:
        """Call a method of the manager's. Raises what it raises; :class:`Silent`: it may be done or not."""
        assert self.manager is not None
        self._number += 1
        number = self._number
        waiting: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._answers[number] = waiting
        if self.manager.process.poll() is not None:
            waiting.put(Silent("there is no manager"))
        self.manager.say("ask", number, name, *arguments)
        try:
            answer = waiting.get(timeout=_ANSWER_S)
        except queue.Empty:
            raise Silent(f"no answer to {name} in {_ANSWER_S:g} s:\n{self.log_end('manager')}") from None
        finally:
            self._answers.pop(number, None)
        if isinstance(answer, mo.MinorchError | Silent):
            raise answer
        return answer

    def submit(self, job: mo.Job) -> str:
        """Submit a job; returns its id once it is accepted."""
        return str(self.ask("submit", job))

    def job(self, name: str) -> JobInfo:
        """What the manager says of a job."""
        info = self.ask("job", name)
        assert isinstance(info, JobInfo)
        return info

    def ready_nodes(self) -> set[str]:
        """The nodes that are ready."""
        return {node.name for node in self.ask("nodes") if node.ready}

    def losses(self) -> list[Loss]:
        """When nodes were given up."""
        offset = time.time() - machine_time()
        events: Sequence[Event] = self.ask("events")
        return [Loss(event.node, event.at - offset) for event in events if event.kind == "node_lost"]

    def _until(self, true: Callable[[], bool], what: str, patience_s: float = 30.0) -> None:
        deadline = time.monotonic() + patience_s
        while not true():
            if time.monotonic() > deadline:
                raise Silent(f"not within {patience_s:g} s: {what}")
            time.sleep(0.05)

    def forgotten(self) -> set[RunKey]:
        """The runs that engines began and know nothing of."""
        return set().union(*(engine.forgotten for engine in self.engines.values()))

    # -- what is left ----------------------------------------------------------------------------------------

    def left_behind(self, patience_s: float = 30.0) -> list[str]:
        """The containers that are on the engines after everything was stopped and released, and some time."""
        deadline = time.monotonic() + patience_s
        while True:
            left = [
                f"{entry['Names'][0]} at {node}: {entry['Status']}"
                for node, engine in self.engines.items()
                for entry in engine.containers()
            ]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.1)
