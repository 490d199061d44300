"""What only the store in memory does; the rest is in ``tests/contracts/test_stores.py``."""

from __future__ import annotations

from minorch.contracts import Change
from minorch.stores.memory import MemoryStore


def test_its_rows_outlive_closing_and_loading_opens_it_again():
    store = MemoryStore()
    store.commit([Change("t", "a", b"1")])
    store.close()
    assert store.load() == [Change("t", "a", b"1")]
    store.commit([Change("t", "b", b"2")])
    assert len(store.load()) == 2


def test_two_stores_share_nothing():
    one, other = MemoryStore(), MemoryStore()
    one.commit([Change("t", "a", b"1")])
    assert other.load() == []


def test_what_was_loaded_is_a_copy():
    store = MemoryStore()
    store.commit([Change("t", "a", b"1")])
    loaded = store.load()
    loaded.clear()
    assert store.load() == [Change("t", "a", b"1")]


def test_its_repr_says_how_much_it_holds_and_whether_it_is_closed():
    store = MemoryStore()
    store.commit([Change("t", "a", b"1")])
    assert repr(store) == "<MemoryStore: 1 rows>"
    store.close()
    assert repr(store) == "<MemoryStore: 1 rows, closed>"
