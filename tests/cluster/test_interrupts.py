"""Ctrl-C, or a notebook's stop button, at any moment of any call: what it interrupts is the call alone."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from types import FrameType

import pytest

import minorch as mo
from tests.cluster.support import task

STORM_S = 2.0


class Storm:
    """Interrupts the main thread again and again at random moments, while it is armed."""

    def __init__(self, seed: int) -> None:
        self.armed = False
        self._chance = random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._rage, name="storm")

    def __enter__(self) -> Storm:
        self._before = signal.signal(signal.SIGINT, self._strike)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.armed = False
        self._over.set()
        self._thread.join()
        signal.signal(signal.SIGINT, self._before)

    def _rage(self) -> None:
        while not self._over.wait(self._chance.uniform(0, 0.004)):
            os.kill(os.getpid(), signal.SIGINT)

    def _strike(self, number: int, frame: FrameType | None) -> None:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt


# One that strikes while Python tidies up is swallowed by Python itself.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_storm_of_interrupts_leaves_the_cluster_usable(make):
    cluster = make(2)
    interrupted = 0
    deadline = time.monotonic() + STORM_S
    with Storm(seed=5) as storm:
        for number in range(100_000):
            if time.monotonic() > deadline:
                break
            try:
                storm.armed = True
                job = cluster.submit(task("exit", "0", name=f"t{number}"))
                job.wait(10)
                cluster.explain(job.tasks[f"t{number}"])
                job.result(10)
                assert cluster.nodes
                assert cluster.tasks
                assert cluster.events()
                storm.armed = False
            except KeyboardInterrupt:
                interrupted += 1
    assert interrupted > 20
    assert cluster.submit(task("exit", "0", name="last")).wait(10) is mo.JobState.COMPLETED
    assert all(job.wait(10) is mo.JobState.COMPLETED for job in cluster.jobs.values()), (
        "none was lost half-way"
    )
