"""A transport of one's own: the manager in this process, a worker in another, a socket pair between them.

The transport loses every fifth message in each direction on purpose, and the job completes all the same.
Prints what was carried, what was lost, and the job's tasks.

What a transport must do: deliver messages whole, only between those who belong together, and keep them
confidential, for secrets are in them. Authentication and encryption are yours.
What it need not do: deliver every message, or in order, or once, or soon. The manager and the worker repeat
themselves until they agree; so where a line is full, drop a message rather than wait.
"""

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import minorch as mo
from minorch.drivers import ManagerDriver, RuntimeHands, WorkerDriver

LOSE_EVERY = 5
COUNT = mo.Task("count", image="busybox", command=["sleep", "0.2"], completions=6)
# On a line that loses so much they repeat themselves sooner than by default, which is after 2 s and 3 s.
MANAGER_CONFIG = mo.ManagerConfig(resend_s=0.3)
WORKER_CONFIG = mo.WorkerConfig(heartbeat_s=0.3)


class Link:
    """Messages over a stream: each is its length in four bytes, then itself."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self.sent = self.lost = 0
        self.revision = 0
        """Of the last order that was sent, or lost."""

    def send(self, message: mo.Message) -> None:
        """Send a message, or lose it."""
        self.revision = message.revision
        self.sent += 1
        if self.sent % LOSE_EVERY == 0:
            self.lost += 1
            return
        data = mo.encode(message)
        self._stream.sendall(struct.pack("!I", len(data)) + data)

    def messages(self) -> Iterator[mo.Message]:
        """What the other side sends, until it hangs up. What is no message raises MessageError."""
        with self._stream.makefile("rb") as file:
            while len(head := file.read(4)) == 4:
                yield mo.decode(file.read(struct.unpack("!I", head)[0]))

    def hang_up(self) -> None:
        """Have the other side's messages end."""
        self._stream.shutdown(socket.SHUT_WR)


def best_runtime() -> mo.Runtime:
    """Containers where an engine answers, else plain processes."""
    registry = mo.default_registry()
    docker = registry.make_runtime("docker")
    try:
        docker.describe()
    except mo.EngineUnavailable:
        docker.close()
        return registry.make_runtime("process")
    return docker


def worker(descriptor: int, cluster_id: str) -> None:
    """The other process: it has the runtime, and knows of the manager only what comes down the link."""
    link = Link(socket.socket(fileno=descriptor))
    runtime = best_runtime()
    node = mo.Node("far", capacity=runtime.describe().capacity, runtime=runtime.name)
    hands = RuntimeHands(runtime)  # the threads that call the runtime
    driver = WorkerDriver(node, hands, cluster_id=cluster_id, send=link.send, config=WORKER_CONFIG)
    driver.start()
    for message in link.messages():
        assert isinstance(message, mo.Assign)
        driver.receive(message)
    driver.wait_idle(30)  # until what it was told to forget is removed
    driver.close()
    hands.close()
    runtime.close()


def until(what: str, true: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for something that will be true soon."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still not true after {timeout_s:g} s: {what}")
        time.sleep(0.02)


def run(manager: ManagerDriver, link: Link) -> mo.JobInfo:
    """Use the manager as ``Cluster`` does: ``call`` changes something, ``ask`` does not."""
    heard: list[mo.Report] = []

    def listen() -> None:
        for message in link.messages():
            assert isinstance(message, mo.Report)
            manager.receive(message)
            heard.append(message)

    threading.Thread(target=listen, daemon=True).start()
    until("the worker is ready", lambda: any(node.ready for node in manager.ask(lambda m, now: m.nodes())))
    job_id = manager.call(lambda m, now: m.submit(mo.Job("far", [COUNT], parallelism=2), now))
    until("the job is over", lambda: manager.job_is_over(job_id))
    info = manager.ask(lambda m, now: m.job(job_id))
    manager.call(lambda m, now: m.release(job_id, now))  # its containers and logs may go
    # The level in "level-triggered": once it reports the last revision, it knows all that it was ever told.
    until("the worker knows", lambda: heard[-1].revision == link.revision)
    print(f"reports: {len(heard)} came; orders: {link.sent} sent, {link.lost} of them lost on purpose")
    return info


def main() -> None:
    """This process: it has the manager, its store and the strategy, and no runtime."""
    registry = mo.default_registry()
    ours, theirs = socket.socketpair()
    link = Link(ours)
    scheduler, store = registry.make_scheduler("least-loaded"), registry.make_store("memory")
    manager = ManagerDriver(scheduler, store, send=link.send, config=MANAGER_CONFIG)
    manager.start()
    command = [sys.executable, __file__, "worker", str(theirs.fileno()), manager.cluster_id]
    with theirs:
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    try:
        info = run(manager, link)
    finally:
        link.hang_up()
        process.wait(60)
        manager.close()

    for task in info.tasks:
        print(f"  {task.name} {task.state} on {task.node}, attempts: {len(task.attempts)}")
    assert process.returncode == 0
    assert link.lost > 0
    assert info.state is mo.JobState.COMPLETED
    assert [len(task.attempts) for task in info.tasks] == [1] * 6  # lost, repeated, and yet started once


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(int(sys.argv[2]), sys.argv[3])
    else:
        main()
