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
        self._rows: dict[tuple[str, str], bytes] = {}
        self._closed = False

    def load(self) -> list[Change]:
        """Return every row, in the order of table and key. A closed store is open again from then on."""
        self._closed = False
        return [Change(table, key, self._rows[table, key]) for table, key in sorted(self._rows)]

    def commit(self, changes: Sequence[Change]) -> None:
        """Write all of *changes* in their order.

        Raises:
            StoreError: it was closed, and not loaded since.
        """
        if self._closed:
            raise StoreError("the store is closed; a manager that starts again loads it first")
        for table, key, value in list(changes):  # all are read before the first is written
            if value is None:
                self._rows.pop((table, key), None)
            else:
                self._rows[table, key] = value

    def close(self) -> None:
        """Take no more changes until it is loaded again. Closing twice is fine."""
        self._closed = True

    def __repr__(self) -> str:
        return f"<MemoryStore: {len(self._rows)} rows{', closed' if self._closed else ''}>"
