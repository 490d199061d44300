"""What every store must do, as tests: subclass :class:`StoreContract` and give it your store.

::

    class TestMyStore(StoreContract):
        def make_store(self, tmp_path):
            return MyStore(tmp_path / "rows")

Needs pytest and hypothesis.  The built-in stores pass the same tests.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import hypothesis
import pytest
from hypothesis import stateful, strategies as st

from minorch.contracts import Change, Store
from minorch.errors import StoreError

__all__ = ["LikeADict", "StoreContract"]

ODD_KEYS = (
    "",
    " ",
    "a",
    "A",
    "a'b",
    'a"b',
    "a\\b",
    "a/../b",
    "%",
    "_",
    "?",
    "--",
    "a\nb",
    "a\0b",
    "é",
    "e\u0301",
    "日本",
    "\uffff",
    "🐳",
    "k" * 4096,
)


class StoreContract:
    """The tests; pytest finds them in your subclass, if its name begins with ``Test``."""

    durable: ClassVar[bool] = True
    """Whether a store made anew in the same directory finds what an earlier one wrote there."""

    def make_store(self, tmp_path: Path) -> Store:
        """Return an open store that keeps its rows under *tmp_path*, or wherever that path leads you."""
        raise NotImplementedError

    def reopen(self, store: Store, tmp_path: Path) -> Store:
        """Return a store with the rows of *store*, which is closed first."""
        store.close()
        return self.make_store(tmp_path) if self.durable else store

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """An open, empty store."""
        with contextlib.closing(self.make_store(tmp_path)) as store:
            yield store

    def test_it_follows_the_protocol(self, store: Store) -> None:
        """It has the methods of a store."""
        assert isinstance(store, Store)

    def test_a_new_store_is_empty(self, store: Store) -> None:
        """Nothing is loaded that was not committed."""
        assert list(store.load()) == []

    def test_what_is_committed_is_loaded_in_the_order_of_table_and_key(self, store: Store) -> None:
        """The order of the commits does not show."""
        store.commit([Change("b", "1", b"x"), Change("a", "2", b"y")])
        store.commit([Change("a", "10", b"z"), Change("", "", b"")])
        assert list(store.load()) == [
            Change("", "", b""),
            Change("a", "10", b"z"),
            Change("a", "2", b"y"),
            Change("b", "1", b"x"),
        ]

    def test_loading_twice_gives_the_same(self, store: Store) -> None:
        """Loading takes nothing away."""
        store.commit([Change("t", "a", b"1")])
        assert list(store.load()) == list(store.load()) == [Change("t", "a", b"1")]

    def test_a_loaded_value_is_bytes(self, store: Store) -> None:
        """Not a buffer of the database driver's."""
        store.commit([Change("t", "a", b"\0\xff")])
        (row,) = store.load()
        assert type(row.value) is bytes
        assert row == Change("t", "a", b"\0\xff")

    def test_a_later_value_replaces_an_earlier_one(self, store: Store) -> None:
        """In another commit or the same one."""
        store.commit([Change("t", "a", b"1")])
        store.commit([Change("t", "a", b"2"), Change("t", "a", b"3")])
        assert list(store.load()) == [Change("t", "a", b"3")]

    def test_a_value_of_none_deletes(self, store: Store) -> None:
        """Only the row that it names."""
        store.commit([Change("t", "a", b"1"), Change("t", "b", b"2"), Change("u", "a", b"3")])
        store.commit([Change("t", "a", None)])
        assert list(store.load()) == [Change("t", "b", b"2"), Change("u", "a", b"3")]

    def test_deleting_what_is_not_there_is_fine(self, store: Store) -> None:
        """A delete may be repeated."""
        store.commit([Change("t", "a", None)])
        store.commit([Change("t", "a", None), Change("t", "a", None)])
        assert list(store.load()) == []

    def test_changes_to_one_key_take_effect_in_their_order(self, store: Store) -> None:
        """The last one of a batch wins, whichever kind it is."""
        put, delete = Change("t", "a", b"1"), Change("t", "a", None)
        for batch, left in (
            ([put, delete], []),
            ([delete, put], [put]),
            ([put, delete, put], [put]),
            ([put, Change("t", "b", b"2"), delete, Change("t", "b", None)], []),
        ):
            store.commit(batch)
            assert list(store.load()) == left, batch

    def test_a_commit_of_nothing_is_fine(self, store: Store) -> None:
        """It changes nothing."""
        store.commit([])
        assert list(store.load()) == []

    @pytest.mark.parametrize("size", [0, 1, 65_537, 1024 * 1024])
    def test_a_value_may_have_any_size(self, store: Store, size: int) -> None:
        """From empty to a MiB."""
        value = bytes(range(256)) * (size // 256) + bytes(size % 256)
        store.commit([Change("t", "a", value)])
        assert list(store.load()) == [Change("t", "a", value)]

    def test_a_key_may_be_any_text(self, store: Store) -> None:
        """Keys are compared exactly: case, accents, quotes and NUL count; order is by code point."""
        store.commit([Change(key, key, key.encode()) for key in ODD_KEYS])
        assert list(store.load()) == [Change(key, key, key.encode()) for key in sorted(ODD_KEYS)]
        store.commit([Change(key, key, None) for key in ODD_KEYS[1:]])
        assert list(store.load()) == [Change(ODD_KEYS[0], ODD_KEYS[0], b"")]

    def test_many_rows_of_many_tables_are_kept(self, store: Store) -> None:
        """And replaced, in one batch of ten thousand."""
        first = [Change(f"t{row % 100:02}", f"{row:05}", b"%d" % row) for row in range(10_000)]
        store.commit(first)
        assert list(store.load()) == sorted(first)
        store.commit([change._replace(value=b"new") for change in first])
        assert {change.value for change in store.load()} == {b"new"}

    def test_a_batch_that_cannot_be_read_to_its_end_writes_nothing(self, store: Store) -> None:
        """Whatever is raised while it is being written."""
        store.commit([Change("t", "1", b"old")])
        with pytest.raises(RuntimeError, match="torn"):
            store.commit(_Torn([Change("t", "0", b"1"), Change("t", "1", None)]))
        assert list(store.load()) == [Change("t", "1", b"old")]
        store.commit([Change("t", "2", b"new")])
        assert list(store.load()) == [Change("t", "1", b"old"), Change("t", "2", b"new")]

    def test_closing_twice_is_fine(self, store: Store) -> None:
        """Three times too."""
        store.close()
        store.close()

    def test_a_closed_store_takes_no_changes(self, store: Store) -> None:
        """Not even none."""
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.commit([Change("t", "a", b"1")])
        with pytest.raises(StoreError, match="closed"):
            store.commit([])

    def test_a_closed_store_is_not_loaded(self, store: Store) -> None:
        """Unless it lives in memory: then that opens it again."""
        store.close()
        if self.durable:
            with pytest.raises(StoreError, match="closed"):
                store.load()
        else:
            assert list(store.load()) == []
            store.commit([Change("t", "a", b"1")])

    def test_a_reopened_store_has_every_row(self, store: Store, tmp_path: Path) -> None:
        """And takes more."""
        store.commit([Change("t", "a", b"1"), Change("t", "b", b"2")])
        store.commit([Change("t", "a", None)])
        again = self.reopen(store, tmp_path)
        with contextlib.closing(again):
            assert list(again.load()) == [Change("t", "b", b"2")]
            again.commit([Change("t", "c", b"3")])
            assert list(again.load()) == [Change("t", "b", b"2"), Change("t", "c", b"3")]

    def test_it_behaves_like_a_dict(self, tmp_path: Path) -> None:
        """Over random commits, refusals, loads and reopenings, found and shrunk by Hypothesis."""
        suite, numbers = self, itertools.count()

        class Machine(LikeADict):
            durable = suite.durable

            def __init__(self) -> None:
                directory = tmp_path / f"example-{next(numbers)}"
                directory.mkdir()
                super().__init__(suite.make_store(directory), lambda store: suite.reopen(store, directory))

        settings = hypothesis.settings(max_examples=30, stateful_step_count=20, deadline=None)
        stateful.run_state_machine_as_test(Machine, settings=settings)


class _Torn(Sequence[Change]):
    """A batch that raises where its last change should be."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = changes

    def __len__(self) -> int:
        return len(self._changes) + 1

    def __getitem__(self, index: int) -> Change:  # type: ignore[override]  # no slices here
        if index >= len(self._changes):
            raise RuntimeError("torn")
        return self._changes[index]


_CHANGES = st.lists(
    st.builds(
        Change,
        st.sampled_from(["", "job", "task"]),
        st.sampled_from(["a", "b", *ODD_KEYS[-8:]]),
        st.none() | st.binary(max_size=8) | st.sampled_from([5_000, 70_000]).map(bytes),
    ),
    max_size=8,
)


class LikeADict(stateful.RuleBasedStateMachine):
    """A store beside a dict that is told the same; after each step both hold the same rows.

    Args:
        store: an open, empty store.
        reopen: closes a store and returns one that has its rows.
    """

    durable: ClassVar[bool] = True
    """As in :class:`StoreContract`."""

    def __init__(self, store: Store, reopen: Callable[[Store], Store]) -> None:
        super().__init__()
        self.store = store
        self.reopen = reopen
        self.expected: dict[tuple[str, str], bytes] = {}

    @stateful.rule(changes=_CHANGES)
    def commit(self, changes: list[Change]) -> None:
        """Write some, delete some, the same key perhaps twice; or nothing at all."""
        self.store.commit(changes)
        for table, key, value in changes:
            if value is None:
                self.expected.pop((table, key), None)
            else:
                self.expected[table, key] = value

    @stateful.rule(changes=_CHANGES)
    def commit_torn(self, changes: list[Change]) -> None:
        """A batch that raises at its end leaves nothing."""
        with pytest.raises(RuntimeError, match="torn"):
            self.store.commit(_Torn(changes))

    @stateful.rule()
    def close_and_open(self) -> None:
        """Every row is there again."""
        self.store = self.reopen(self.store)

    @stateful.rule(changes=_CHANGES)
    def commit_when_closed(self, changes: list[Change]) -> None:
        """A closed store takes nothing, and tells nothing if it is durable."""
        self.store.close()
        with pytest.raises(StoreError, match="closed"):
            self.store.commit(changes)
        if self.durable:
            with pytest.raises(StoreError, match="closed"):
                self.store.load()
        self.store = self.reopen(self.store)

    @stateful.invariant()
    def has_what_the_dict_has(self) -> None:
        """In the order of table and key."""
        assert list(self.store.load()) == [Change(*at, self.expected[at]) for at in sorted(self.expected)]

    def teardown(self) -> None:
        """Close it."""
        self.store.close()
