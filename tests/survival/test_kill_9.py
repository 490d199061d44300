"""Managers under load are killed with ``kill -9`` at random moments, one after another, on one SQLite file.

A manager is a process of its own; the clients and the workers outlive it, so that whatever it lost, doubled
or told wrongly shows.  ``MINORCH_KILLS`` says how many are killed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from minorch.stores.sqlite import SqliteStore
from tests.survival.figures import KILLS, tell
from tests.survival.mortal import Life, Mortals, Order
from tests.survival.outside import Outside, check_rows

SEED = int(os.environ.get("MINORCH_SEED", "9"))
PATIENCE_S = 30.0


@pytest.fixture
def mortals() -> Iterator[Mortals]:
    with closing(Mortals()) as server:
        yield server


def begin(mortals: Mortals, outside: Outside, path: Path) -> Life:
    pages = outside.random.choice([1000, 1000, 30, 5])
    life = mortals.begin(Order(str(path), len(outside.events), pages))
    outside.life = life
    return life


def hear_hello(outside: Outside) -> None:
    lives = len(outside.lived)
    give_up = time.time() + PATIENCE_S
    while len(outside.lived) == lives:
        assert time.time() < give_up, "no manager came"
        assert outside.go_on(time.time() + 0.01), "the manager died by itself"


def let_end(outside: Outside) -> None:
    assert outside.life is not None
    outside.life.talk.send(("end", None))
    assert not outside.go_on(time.time() + PATIENCE_S)
    assert outside.life.bury() == 0


def let_live(mortals: Mortals, outside: Outside, path: Path) -> None:
    """Have a manager begin, and end in peace."""
    begin(mortals, outside, path)
    hear_hello(outside)
    let_end(outside)


def left_behind(path: Path, to: Path) -> None:
    """Check the rows that a dead manager left, in a copy, so that the next one finds all as it was."""
    for file in (path, Path(f"{path}-wal")):
        (to / file.name).unlink(missing_ok=True)
        if file.exists():  # a manager that is about to end removes its log
            shutil.copy(file, to / file.name)
    with closing(SqliteStore(to / path.name)) as store:
        check_rows(store.load())


def test_kill_9_of_a_manager_under_load_loses_nothing_and_doubles_nothing(mortals: Mortals, tmp_path: Path):
    outside, draw = Outside(SEED), random.Random(SEED)
    path, copies = tmp_path / "store.db", tmp_path / "copies"
    copies.mkdir()
    when: Counter[str] = Counter()
    began = time.monotonic()
    let_live(mortals, outside, path)  # there is a cluster from now on
    for cycle in range(KILLS):
        life = begin(mortals, outside, path)
        lives = len(outside.lived)
        kind = draw.choices(["under load", "while it began", "while it ended"], [8, 2, 1])[0]
        if kind != "while it began":
            hear_hello(outside)
        if kind == "while it ended":
            outside.go_on(time.time() + 0.02)
            life.talk.send(("end", None))
        delay_s = draw.uniform(0, 0.03 if kind != "under load" else draw.choice([0.02, 0.1, 0.3]))
        killer = threading.Timer(delay_s, life.kill)
        killer.start()
        outside.go_on(time.time() + PATIENCE_S)
        killer.join()
        outside.hear_last_words()
        status = life.bury()
        if kind == "while it ended" and status == 0:
            kind = "too late"
        else:
            assert os.WIFSIGNALED(status), status
            assert os.WTERMSIG(status) == signal.SIGKILL
            if len(outside.lived) > lives:
                kind = kind.replace("began", "went on")
            if cycle % 10 == 0:
                left_behind(path, copies)
        when[kind] += 1
        if draw.random() < 0.1 and outside.machines:
            outside.random.choice(list(outside.machines.values())).boot()
    bring_to_an_end(mortals, outside, path)
    tell(
        f"{KILLS} managers in {time.monotonic() - began:.0f} s (seed {SEED}), killed {dict(when)}: "
        f"{len(outside.accepted):,} jobs acknowledged, {len(outside.final):,} tasks ended, "
        f"{len(outside.starts):,} runs started, {len(outside.compared):,} ends compared, "
        f"{len(outside.events):,} events without a gap, epoch {outside.lived[-1]}"
    )
    assert when["under load"] > KILLS / 3


def bring_to_an_end(mortals: Mortals, outside: Outside, path: Path) -> None:
    """Nobody asks for more, and nobody is killed: everything comes to its true end."""
    outside.busy = False
    begin(mortals, outside, path)
    hear_hello(outside)
    give_up = time.time() + PATIENCE_S
    while outside.asked or outside.accepted.keys() - outside.over:
        assert time.time() < give_up, f"{outside.accepted.keys() - outside.over} do not come to an end"
        assert outside.go_on(time.time() + 0.05)
    let_end(outside)
    let_live(mortals, outside, path)  # which compares everything once more
    with closing(SqliteStore(path)) as store:
        check_rows(store.load())
    outside.check_stops()
    assert {key.task_id for key in outside.starts} <= outside.final.keys()
    live = [key for there in outside.machines.values() for key in there.live]
    assert live == [], "runs that nobody answers for"
