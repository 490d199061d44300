"""A store that lives as long as its object: for tests, notebooks and jobs that need not outlive a process."""

from __future__ import annotations

from collections.abc import Sequence

from minorch.contracts import Change
from minorch.errors import StoreError

__all__ = ["MemoryStore"]


class MemoryStore:
    """Keeps rows in memory, until nobody refers to it any more.

    Closing it keeps the rows: a later manager of the same process may load them from the same object.

    >>> store = MemoryStore()
    >>> store.commit([Change("job", "a", b"1"), Change("job", "b", b"2"), Change("job", "a", None)])
    >>> store.load()
    [Change(table='job', key='b', value=b'2')]
    """

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, bytes]] = {}
        self._closed = False

    def load(self) -> list[Change]:
        """Return every row, in the order of table and key. A closed store is open again from then on."""
        self._closed = False
        return [
            Change(table, key, value)
            for table, rows in sorted(self._tables.items())
            for key, value in sorted(rows.items())
        ]

    def commit(self, changes: Sequence[Change]) -> None:
        """Write all of *changes* in their order.

        Raises:
            StoreError: it was closed, and not loaded since.
        """
        if self._closed:
            raise StoreError("the store is closed; a manager that starts again loads it first")
        for table, key, value in list(changes):  # all are read before the first is written
            if value is not None:
                self._tables.setdefault(table, {})[key] = value
            elif table in self._tables:
                self._tables[table].pop(key, None)

    def close(self) -> None:
        """Take no more changes until it is loaded again. Closing twice is fine."""
        self._closed = True

    def __repr__(self) -> str:
        rows = sum(len(table) for table in self._tables.values())
        return f"<MemoryStore: {rows} rows{', closed' if self._closed else ''}>"
