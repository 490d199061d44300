"""Three stages on which the same scenarios are played: threads, an event loop, and virtual time.

Each has a manager, workers with a pretended runtime each, a store that can be made to fail, and a network
that does to messages what the scenario says.  The first word of a task's command says what it does:
``exit N`` or ``sleep``.
"""

from __future__ import annotations

import abc
import asyncio
import heapq
import itertools
import random
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest

import minorch as mo
from minorch.contracts import Launch
from minorch.drivers import ManagerDriver, RuntimeHands, WorkerDriver
from minorch.drivers.aio import AsyncManagerDriver, AsyncWorkerDriver
from minorch.manager import Manager
from minorch.schedulers import Spread
from minorch.simulation.driver.cluster import SimulatedCluster
from minorch.simulation.driver.conditions import Commit, Conditions, Outcome
from minorch.simulation.driver.engine import Run, SimulatedEngine
from minorch.simulation.driver.observer import Observer
from tests.cluster.fakes import FULL, FakeRuntime, FlakyStore

__all__ = ["STAGES", "Arrivals", "Stage"]

T = TypeVar("T")
Change = Callable[[Manager, float], T]
Arrivals = Callable[[random.Random], Sequence[float]]
"""After how many seconds copies of a message arrive; none: it is lost."""

MANAGER_CONFIG = mo.ManagerConfig(lease_s=3.0, resend_s=0.1, full_every_s=1.0, keep_runs_s=0.0)
WORKER_CONFIG = mo.WorkerConfig(heartbeat_s=0.05, sample_s=1.0, orphan_grace_s=0.5, retry_s=0.05)
PATIENCE_S = 30.0


def node(name: str) -> mo.Node:
    return mo.Node(name, capacity=mo.Resources(cpu=100, memory="64GiB"), runtime="pretended")


class Stage(abc.ABC):
    """What a scenario may do."""

    def __init__(self) -> None:
        self.arrivals: Arrivals = lambda dice: (0.0,)
        self.dice = random.Random(7)
        self.cut: set[str] = set()
        """Workers that nothing reaches, and that reach nobody."""

    def arrivals_of(self, message: mo.Message) -> Sequence[float]:
        return () if message.worker in self.cut else self.arrivals(self.dice)

    @abc.abstractmethod
    def start_manager(self) -> None:
        """Start a manager on what is in the store."""

    @abc.abstractmethod
    def end_manager(self) -> None:
        """Have the manager be gone."""

    @abc.abstractmethod
    def start_worker(self, name: str) -> None:
        """Start a worker on a machine, which keeps what it ran before."""

    @abc.abstractmethod
    def end_worker(self, name: str) -> None:
        """Have a worker be gone; what it ran goes on."""

    @abc.abstractmethod
    def begin(self, change: Change[T]) -> Future[T]:
        """Hand a change over."""

    @abc.abstractmethod
    def ask(self, question: Change[T]) -> T:
        """Ask the manager."""

    @abc.abstractmethod
    def pause(self) -> None:
        """Let a little time pass."""

    @abc.abstractmethod
    def now(self) -> float:
        """How much time has passed."""

    @abc.abstractmethod
    def break_store(self, *, broken: bool) -> None:
        """Have the store fail from now on, or no more."""

    @property
    @abc.abstractmethod
    def faulty(self) -> bool:
        """Whether the manager knows that its store fails."""

    @property
    @abc.abstractmethod
    def starts(self) -> Sequence[tuple[str, mo.RunKey]]:
        """Every run that ever began, with its machine."""

    @abc.abstractmethod
    def live(self, name: str) -> list[mo.RunKey]:
        """What runs on a machine."""

    @abc.abstractmethod
    def end(self, name: str, key: mo.RunKey, code: int) -> None:
        """Have a run end."""

    @abc.abstractmethod
    def close(self) -> None:
        """End everything."""

    # -- what scenarios say -------------------------------------------------------------------

    def call(self, change: Change[T]) -> T:
        """Have a change made, and wait for it."""
        future = self.begin(change)
        self.until("the change is made", future.done)
        return future.result(0)

    def until(self, what: str, true: Callable[[], object]) -> None:
        began = self.now()
        while not true():
            if self.now() - began > PATIENCE_S:
                pytest.fail(f"still not true after {PATIENCE_S:g} s: {what}")
            self.pause()

    def join(self, *names: str) -> None:
        """Have workers join, and wait for them."""
        for name in names:
            self.start_worker(name)
        self.until("they are there", lambda: set(names) <= {one.name for one in self.nodes() if one.ready})

    def nodes(self) -> Sequence[mo.NodeInfo]:
        return self.ask(lambda core, now: core.nodes())

    def submit(self, *command: str, name: str = "job", count: int = 1, **fields: Any) -> str:
        job = mo.Job(name, [mo.Task("t", command=command, completions=count)], **fields)
        return self.call(lambda core, now: core.submit(job, now))

    def job(self, name: str = "job") -> mo.JobInfo:
        return self.ask(lambda core, now: core.job(name))

    def until_over(self, name: str = "job") -> mo.JobInfo:
        self.until(f"{name} is over", lambda: self.job(name).state.terminal)
        return self.job(name)

    def until_running(self, name: str = "job") -> mo.JobInfo:
        def run() -> bool:
            return all(task.state is mo.TaskState.RUNNING for task in self.job(name).tasks)

        self.until(f"{name} runs", run)
        return self.job(name)


# -- in real time --------------------------------------------------------------------------------------------


class Post:
    """Carries messages in a thread of its own."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._news = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def carry(self, delays_s: Sequence[float], deliver: Callable[[], None]) -> None:
        with self._news:
            for delay_s in delays_s:
                heapq.heappush(self._due, (time.monotonic() + delay_s, next(self._count), deliver))
            self._news.notify()

    def _work(self) -> None:
        while True:
            with self._news:
                while not self._closed and not (self._due and self._due[0][0] <= time.monotonic()):
                    self._news.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._closed:
                    return
                _, _, deliver = heapq.heappop(self._due)
            deliver()

    def close(self) -> None:
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join(10)


class RealTime(Stage):
    """What threads and event loops have in common: runtimes, the store, and the post."""

    def __init__(self) -> None:
        super().__init__()
        self.store = FlakyStore()
        self.post = Post()
        self.machines: dict[str, tuple[FakeRuntime, RuntimeHands]] = {}
        self.manager: Any = None
        self.workers: dict[str, Any] = {}
        self.cluster_id = ""

    def hands(self, name: str) -> RuntimeHands:
        if name not in self.machines:
            runtime = FakeRuntime()
            self.machines[name] = runtime, RuntimeHands(runtime)
        return self.machines[name][1]

    def down(self, message: mo.Assign) -> None:
        def deliver() -> None:
            worker = self.workers.get(message.worker)
            if worker is not None:
                worker.receive(mo.decode(mo.encode(message)))

        self.post.carry(self.arrivals_of(message), deliver)

    def up(self, message: mo.Report) -> None:
        def deliver() -> None:
            if self.manager is not None:
                self.manager.receive(mo.decode(mo.encode(message)))

        self.post.carry(self.arrivals_of(message), deliver)

    def pause(self) -> None:
        time.sleep(0.005)

    def now(self) -> float:
        return time.monotonic()

    def break_store(self, *, broken: bool) -> None:
        self.store.error = FULL if broken else None

    @property
    def starts(self) -> Sequence[tuple[str, mo.RunKey]]:
        return [(name, key) for name, (runtime, _) in self.machines.items() for key in runtime.starts]

    def live(self, name: str) -> list[mo.RunKey]:
        runs = dict(self.machines[name][0].runs)
        return [key for key, (_, status) in runs.items() if status.phase == "running"]

    def end(self, name: str, key: mo.RunKey, code: int) -> None:
        self.machines[name][0].end(key, code)

    def close(self) -> None:
        for name in list(self.workers):
            self.end_worker(name)
        if self.manager is not None:
            self.end_manager()
        for _, hands in self.machines.values():
            hands.close()
        self.post.close()


class Threads(RealTime):
    """The drivers in threads."""

    def start_manager(self) -> None:
        self.manager = ManagerDriver(Spread(), self.store, send=self.down, config=MANAGER_CONFIG)
        self.cluster_id = self.manager.cluster_id
        self.manager.start()

    def end_manager(self) -> None:
        manager, self.manager = self.manager, None
        manager.close()

    def start_worker(self, name: str) -> None:
        worker = WorkerDriver(
            node(name), self.hands(name), cluster_id=self.cluster_id, send=self.up, config=WORKER_CONFIG
        )
        self.workers[name] = worker
        worker.start()

    def end_worker(self, name: str) -> None:
        self.workers.pop(name).close()

    def begin(self, change: Change[T]) -> Future[T]:
        future: Future[T] = self.manager.hand_over(change)
        return future

    def ask(self, question: Change[T]) -> T:
        answer: T = self.manager.ask(question)
        return answer

    @property
    def faulty(self) -> bool:
        return self.manager._fault is not None


class EventLoop(RealTime):
    """The drivers beside an event loop, with coroutine functions to send by."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.loop.set_debug(True)
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def on_loop(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    async def send_down(self, message: mo.Assign) -> None:
        await asyncio.sleep(0)
        self.down(message)

    async def send_up(self, message: mo.Report) -> None:
        await asyncio.sleep(0)
        self.up(message)

    def start_manager(self) -> None:
        self.manager = AsyncManagerDriver(Spread(), self.store, send=self.send_down, config=MANAGER_CONFIG)
        self.cluster_id = self.manager.cluster_id
        self.on_loop(self.manager.start()).result(PATIENCE_S)

    def end_manager(self) -> None:
        manager, self.manager = self.manager, None
        self.on_loop(manager.close()).result(PATIENCE_S)

    def start_worker(self, name: str) -> None:
        worker = AsyncWorkerDriver(
            node(name), self.hands(name), cluster_id=self.cluster_id, send=self.send_up, config=WORKER_CONFIG
        )
        self.workers[name] = worker
        self.on_loop(worker.start()).result(PATIENCE_S)

    def end_worker(self, name: str) -> None:
        self.on_loop(self.workers.pop(name).close()).result(PATIENCE_S)

    def begin(self, change: Change[T]) -> Future[T]:
        return self.on_loop(self.manager.call(change))

    def ask(self, question: Change[T]) -> T:
        return self.on_loop(self.manager.ask(question)).result(PATIENCE_S)

    @property
    def faulty(self) -> bool:
        return self.manager._driver._fault is not None

    def close(self) -> None:
        super().close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        assert not asyncio.all_tasks(self.loop), "something is left on the loop"
        self.loop.close()


# -- in virtual time -----------------------------------------------------------------------------------------


class VirtualTime(Stage, Conditions, Observer):
    """The driver that simulations use."""

    def __init__(self) -> None:
        super().__init__()
        self._broken = False
        self._starts: list[tuple[str, mo.RunKey]] = []
        self._cluster: SimulatedCluster | None = None

    @property
    def cluster(self) -> SimulatedCluster:
        assert self._cluster is not None
        return self._cluster

    def start_manager(self) -> None:
        if self._cluster is not None:
            self.cluster.manager.start()
            return
        self._cluster = SimulatedCluster(
            make_scheduler=Spread,
            conditions=self,
            observer=self,
            manager_config=MANAGER_CONFIG,
            worker_config=WORKER_CONFIG,
            wire=True,
        )

    def end_manager(self) -> None:
        self.cluster.manager.crash()

    def start_worker(self, name: str) -> None:
        if name in self.cluster.workers:
            self.cluster.workers[name].start()
        else:
            self.cluster.add(node(name))

    def end_worker(self, name: str) -> None:
        self.cluster.workers[name].crash()

    def begin(self, change: Change[T]) -> Future[T]:
        future: Future[Any] = Future()

        def answered(result: object) -> None:
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.cluster.manager.call(change, answered)
        return future

    def ask(self, question: Change[T]) -> T:
        manager = self.cluster.manager
        assert manager.manager is not None
        return question(manager.manager, manager.clock())

    def pause(self) -> None:
        self.cluster.run_for(0.05)

    def now(self) -> float:
        return self.cluster.now

    def break_store(self, *, broken: bool) -> None:
        self._broken = broken

    @property
    def faulty(self) -> bool:
        return self.cluster.manager.faulty

    @property
    def starts(self) -> Sequence[tuple[str, mo.RunKey]]:
        return self._starts

    def live(self, name: str) -> list[mo.RunKey]:
        return self.cluster.workers[name].engine.live

    def end(self, name: str, key: mo.RunKey, code: int) -> None:
        self.cluster.workers[name].engine.end(key, code)

    def close(self) -> None:
        """There is nothing to end."""

    # -- its conditions, and what it is told --------------------------------------------------

    def arrivals_s(self, message: mo.Message) -> Sequence[float]:
        return self.arrivals_of(message)

    def commit(self) -> Commit:
        return Commit(0.001, fails=self._broken)

    def outcome(self, node: str, launch: Launch) -> Outcome:
        word, *rest = launch.task.command
        return Outcome(0.0, int(rest[0])) if word == "exit" else Outcome(None)

    def run_began(self, engine: SimulatedEngine, run: Run) -> None:
        self._starts.append((engine.node, run.launch.key))


STAGES: tuple[type[Stage], ...] = (Threads, EventLoop, VirtualTime)
