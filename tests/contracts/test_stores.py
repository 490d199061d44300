"""The built-in stores pass the suite that plugin authors are given."""

from __future__ import annotations

from pathlib import Path

from minorch.contracts import Store
from minorch.stores.memory import MemoryStore
from minorch.stores.sqlite import SqliteStore
from minorch.testing.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    durable = False

    def make_store(self, tmp_path: Path) -> Store:
        return MemoryStore()


class TestSqliteStore(StoreContract):
    def make_store(self, tmp_path: Path) -> Store:
        return SqliteStore(tmp_path / "rows.db")
