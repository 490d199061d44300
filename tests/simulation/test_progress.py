"""Bars while one waits: when they are drawn, what they show, and that they change nothing else."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import types

import pytest

import minorch as mo
from minorch import progress as module
from minorch.errors import UsageError
from minorch.progress import Bar, Progress, show_progress
from tests.cluster.fakes import FakeRuntime

Told = list[tuple[int, int, str]]


class Noting(Progress):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: Told = []
        self.closed = 0

    def update(self, done: int, total: int, words: str = "") -> None:
        self.told.append((done, total, words))

    def close(self) -> None:
        self.closed += 1


class FakeBar:
    """What is used of tqdm's bars."""

    def __init__(self, total: int) -> None:
        self.n, self.total, self.start_t = 0.0, float(total), 1000.0
        self.words = ""
        self.drawn: list[tuple[float, float | None, str]] = []
        self.closed = 0

    def set_postfix_str(self, s: str, refresh: bool) -> None:
        self.words = s

    def refresh(self) -> None:
        self.drawn.append((self.n, self.total, self.words))

    def close(self) -> None:
        self.closed += 1


class Time:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


# -- a bar ----------------------------------------------------------------------------------------


def test_a_bar_is_made_only_when_it_takes_long():
    made: list[FakeBar] = []
    clock = Time()

    def make(total: int) -> FakeBar:
        made.append(FakeBar(total))
        return made[-1]

    with Bar(make, 1.0, clock) as bar:
        bar.update(1, 10)
        clock.now_s += 0.9
        bar.update(2, 10)
        assert not made
        clock.now_s += 0.2
        bar.update(3, 11, "three")
    (drawn,) = made
    assert drawn.drawn == [(3, 11, "three")]
    assert drawn.start_t == pytest.approx(1000.0 - 1.1), "it has taken as long already"
    assert drawn.closed == 1


def test_a_bar_is_not_drawn_more_often_than_anybody_sees():
    drawn, clock = FakeBar(0), Time()
    bar = Bar(lambda total: drawn, 0.0, clock)
    for step in range(1000):
        bar.update(step, 1000)
        clock.now_s += 0.001
    assert len(drawn.drawn) == 10


def test_a_closed_bar_is_closed_once_and_draws_nothing_more():
    drawn, clock = FakeBar(0), Time()
    bar = Bar(lambda total: drawn, 0.0, clock)
    bar.update(1, 2)
    bar.close()
    bar.close()
    clock.now_s += 10
    bar.update(2, 2)
    assert (drawn.closed, len(drawn.drawn)) == (1, 1)


def test_nothing_is_shown_if_it_is_not_wanted():
    silent = show_progress(False, "what", "tasks")
    assert type(silent) is Progress
    assert not silent.shown
    silent.update(1, 2)
    silent.close()


def test_nothing_is_shown_if_nobody_watches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert not show_progress(None, "what", "tasks").shown


def test_what_is_written_to_a_closed_file_is_watched_by_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path):
    with open(tmp_path / "err", "w", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stderr", file)
    assert not show_progress(None, "what", "tasks").shown


def test_a_notebook_is_watched(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("tqdm")
    ipython = types.ModuleType("IPython")
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setattr(ipython, "get_ipython", lambda: shell, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert isinstance(show_progress(None, "what", "tasks"), Bar)
    shell.config = {}
    assert not show_progress(None, "what", "tasks").shown, "a terminal with IPython is no notebook"


def test_a_bar_that_was_asked_for_names_the_extra_that_draws_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(UsageError, match=r'pip install "minorch\[progress\]"'):
        show_progress(True, "what", "tasks")


def test_a_bar_that_nobody_asked_for_is_not_missed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(module, "_watched", lambda: True)
    assert not show_progress(None, "what", "tasks").shown


def test_one_of_your_own_is_used():
    mine = Noting()
    assert show_progress(mine, "what", "tasks") is mine


@pytest.mark.parametrize("wanted", ["yes", 1, 0])
def test_anything_else_is_refused(wanted: object):
    with pytest.raises(UsageError, match="True, False, None, or an object"):
        show_progress(wanted, "what", "tasks")  # type: ignore[arg-type]


SCRIPT = """
import sys, threading
from minorch.progress import show_progress
with show_progress({wanted}, "job", "tasks") as progress:
    progress.update(3, 8, "2 running")
    print(threading.active_count(), flush=True)
    print("multiprocessing.resource_tracker" in sys.modules and
          sys.modules["multiprocessing.resource_tracker"]._resource_tracker._fd is not None, flush=True)
"""


def on_a_terminal(script: str) -> tuple[str, str]:
    """What a script writes to standard output, and to a terminal of 80 columns that is its standard error."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=theirs) as child:
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            seen += piece
        out, _ = child.communicate(timeout=60)
    os.close(ours)
    return out.decode(), seen.decode()


def test_on_a_terminal_there_is_a_bar_and_it_starts_no_thread_and_no_process():
    pytest.importorskip("tqdm")
    out, seen = on_a_terminal(SCRIPT.format(wanted=True))
    assert out == "1\nFalse\n"
    assert "job:" in seen
    assert "3/8" in seen
    assert "2 running" in seen
    assert seen.rstrip("\r").endswith(" "), "it is taken away in the end"


def test_on_a_terminal_what_is_soon_over_has_none():
    assert on_a_terminal(SCRIPT.format(wanted=None)) == ("1\nFalse\n", "")


# -- waiting for a job ----------------------------------------------------------------------------


def test_wait_tells_how_many_tasks_are_over():
    noting = Noting()
    with mo.Cluster(1, runtime=FakeRuntime()) as cluster:
        job = cluster.submit(
            mo.Job(
                "job",
                [mo.Task("quick", command=["exit", "0"], completions=3), mo.Task("slow", command=["sleep"])],
            )
        )
        told = threading.Event()

        def look(done: int, total: int, words: str = "") -> None:
            Noting.update(noting, done, total, words)
            if done == 3 and not told.is_set():
                told.set()
                job.stop()

        noting.update = look  # type: ignore[method-assign]
        assert job.wait(60, progress=noting) is mo.JobState.STOPPED
    assert (3, 4, "1 running") in noting.told
    assert noting.closed == 1


def test_wait_tells_nothing_where_nobody_watches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mo.JobHandle, "_watch", None)  # would fail if it was called
    with mo.Cluster(1, runtime=FakeRuntime()) as cluster:
        job = cluster.submit(mo.Task("quick", command=["exit", "0"]))
        assert job.wait(60, progress=False) is mo.JobState.COMPLETED


def test_a_wait_that_is_watched_is_over_in_time():
    noting = Noting()
    with mo.Cluster(1, runtime=FakeRuntime()) as cluster:
        job = cluster.submit(mo.Task("slow", command=["sleep"]))
        with pytest.raises(TimeoutError, match=r"after 0\.01 s"):
            job.wait(0.01, progress=noting)
        with pytest.raises(TimeoutError, match="after 0 s"):
            job.wait(0, progress=noting)
        assert not job.state.terminal
    assert noting.closed == 2


def test_an_interrupt_ends_a_watched_wait_and_not_the_job():
    class Interrupting(Noting):
        def update(self, done: int, total: int, words: str = "") -> None:
            raise KeyboardInterrupt

    noting = Interrupting()
    with mo.Cluster(1, runtime=FakeRuntime()) as cluster:
        job = cluster.submit(mo.Task("slow", command=["sleep"]))
        with pytest.raises(KeyboardInterrupt):
            job.wait(60, progress=noting)
        assert noting.closed == 1
        assert not job.state.terminal
        assert cluster.submit(mo.Task("next", command=["exit", "0"])).wait(60) is mo.JobState.COMPLETED


def test_a_watched_wait_ends_with_the_cluster():
    class Closing(Noting):
        def update(self, done: int, total: int, words: str = "") -> None:
            threading.Thread(target=cluster.close).start()

    cluster = mo.Cluster(1, runtime=FakeRuntime())
    job = cluster.submit(mo.Task("slow", command=["sleep"]))
    state: object = None
    try:
        state = job.wait(60, progress=Closing())
    except mo.ClusterClosed as error:
        state = error
    assert isinstance(state, mo.ClusterClosed) or state is mo.JobState.STOPPED
    cluster.close()


# -- a simulation ---------------------------------------------------------------------------------


def test_a_simulation_tells_how_many_tasks_are_over():
    from minorch.model import Node
    from minorch.simulation.simulation import Simulation

    node = Node("n", capacity=mo.Resources(cpu=4))
    work = [
        (float(at), mo.Task(f"t{at}", command=["x"], resources=mo.Resources(cpu=1)), 2.0) for at in range(5)
    ]
    noting = Noting()
    Simulation(nodes=[node], workload=work).run(progress=noting)
    assert noting.told[-1] == (5, 5, "")
