"""Random histories of every built-in store, held against a dict; far more of them in ``nox -s kills``."""

from __future__ import annotations

import itertools
import sqlite3
from collections import Counter
from pathlib import Path

import hypothesis
import pytest
from hypothesis import stateful, strategies as st

from minorch.contracts import Change, Store
from minorch.errors import StoreError
from minorch.stores.memory import MemoryStore
from minorch.stores.sqlite import SqliteStore
from minorch.testing.store_contract import LikeADict
from tests.survival.figures import THOROUGH, memory_directory, tell

EXAMPLES = 1500 if THOROUGH else 60
MOST_BYTES = 100_000


def history(kind: str, directory: Path, counts: Counter[str]) -> type[LikeADict]:
    """A machine that makes stores of one kind, and counts what it does."""
    numbers = itertools.count()

    class History(LikeADict):
        durable = kind == "sqlite"

        def __init__(self) -> None:
            self.path = directory / f"{next(numbers)}.db"
            counts["histories"] += 1
            super().__init__(self.make(), self.again)

        def make(self) -> Store:
            if kind == "memory":
                return MemoryStore()
            store = SqliteStore(self.path)
            assert store._db is not None
            store._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
            store._db.execute("PRAGMA wal_autocheckpoint = 20")
            return store

        def again(self, store: Store) -> Store:
            store.close()
            counts["reopened"] += 1
            return store if kind == "memory" else self.make()

        @stateful.rule(changes=st.lists(st.sampled_from([Change("t", "a", b"1"), Change("t", "a", None)])))
        def commit_what_is_too_large(self, changes: list[Change]) -> None:
            """A batch with a value that the database cannot hold leaves nothing."""
            if kind == "sqlite":
                counts["too large"] += 1
                with pytest.raises(StoreError, match="too big"):
                    self.store.commit([*changes, Change("t", "b", bytes(2 * MOST_BYTES)), *changes])

        @stateful.invariant()
        def counted(self) -> None:
            counts["compared"] += 1
            counts["rows"] += len(self.expected)

        def teardown(self) -> None:
            super().teardown()
            for left in directory.glob(f"{self.path.name}*"):
                left.unlink()

    return History


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_store_has_what_a_dict_has_through_any_history(kind: str):
    counts: Counter[str] = Counter()
    settings = hypothesis.settings(
        max_examples=EXAMPLES,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    with memory_directory() as directory:
        stateful.run_state_machine_as_test(history(kind, directory, counts), settings=settings)
    assert counts["histories"] >= EXAMPLES / 2
    assert counts["reopened"] > EXAMPLES
    tell(f"{kind}: {dict(counts)}")
