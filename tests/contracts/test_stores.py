"""The built-in stores pass the suite that plugin authors are given."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from minorch.contracts import Store
from minorch.stores.memory import MemoryStore
from minorch.stores.sqlite import SqliteStore
from minorch.testing.store_contract import StoreContract

if TYPE_CHECKING:
    from tests.private_postgresql import Server


class TestMemoryStore(StoreContract):
    durable = False

    def make_store(self, tmp_path: Path) -> Store:
        return MemoryStore()


class TestSqliteStore(StoreContract):
    def make_store(self, tmp_path: Path) -> Store:
        return SqliteStore(tmp_path / "rows.db")


class TestPostgreSQLStore(StoreContract):
    @pytest.fixture(autouse=True)
    def server(self, postgresql: Server) -> Iterator[None]:
        self.postgresql, self.schemas = postgresql, set[str]()
        yield
        for schema in self.schemas:
            postgresql.run(f"DROP SCHEMA IF EXISTS {schema} CASCADE")

    def make_store(self, tmp_path: Path) -> Store:
        from minorch.stores.postgresql import PostgreSQLStore

        schema = f"contract_{zlib.crc32(str(tmp_path).encode())}"
        self.schemas.add(schema)
        return PostgreSQLStore(self.postgresql.url(schema))
