"""Commits under a fence: each is checked against it in its own transaction, and taken once, or not at all.

A commit is one statement, so it cannot be stopped halfway with something locked.  It names the serial number
of the commit before it, and leaves its own together with a random token.  So when the connection breaks and
nobody knows what became of a commit, that can be read later; and one that is still under way somewhere, in
a server process that was cut off, can no longer do anything once another was taken.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from minorch.errors import StoreCorrupt, StoreError
from minorch.stores.postgresql.address import Address
from minorch.stores.postgresql.batch import Batch, Put
from minorch.stores.postgresql.session import ServerLost, Session
from minorch.stores.postgresql.tenure import fenced

__all__ = ["Writer"]

_FIRST_RETRY_S: Final = 0.05
_LONGEST_RETRY_S: Final = 1.0

_FENCE: Final = """UPDATE {schema}.fence SET serial = serial + 1, batch = %b
    WHERE fence = %b AND serial = %b RETURNING serial"""
_PUT: Final = """INSERT INTO {schema}.rows (tbl, key, whole, value, checksum)
    SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::bytea[], %b::bytea[], %b::bigint[]) {only}
    ON CONFLICT (tbl, key) DO UPDATE
    SET whole = excluded.whole, value = excluded.value, checksum = excluded.checksum"""
_DELETE: Final = """DELETE FROM {schema}.rows USING unnest(%b::bytea[], %b::bytea[]) AS gone(tbl, key)
    WHERE rows.tbl = gone.tbl AND rows.key = gone.key {and_only}"""


class Writer:
    """Writes for one leadership.

    Args:
        session: a connection of its own, that is not the one which holds the lead.
        address: where to.
        fence: that of the leadership.
        retry_s: for how long a commit is tried again where the connection breaks.
        ended: set when that is to be given up.
    """

    def __init__(
        self, session: Session, address: Address, fence: int, retry_s: float, ended: threading.Event
    ) -> None:
        self._session = session
        self._address = address
        self._fence = fence
        self._retry_s = retry_s
        self._ended = ended
        self._serial: int | None = None
        """Of the latest commit, as far as is known; None: it has to be read."""
        fill = {"schema": address.schema, "only": "WHERE EXISTS (SELECT FROM led)"}
        self._fence_only = _FENCE.format(**fill)
        self._put = _PUT.format(schema=address.schema, only="")
        self._delete = _DELETE.format(schema=address.schema, and_only="")
        put, delete = _PUT.format(**fill), _DELETE.format(**fill, and_only="AND EXISTS (SELECT FROM led)")
        led = f"WITH led AS ({self._fence_only})"
        self._put_alone = f"{led}, put AS ({put}) SELECT serial FROM led"
        self._both = f"{led}, put AS ({put}), gone AS ({delete}) SELECT serial FROM led"

    def commit(self, batch: Batch) -> None:
        """Write a batch.

        Raises:
            StoreFenced: another manager leads.
            StoreError: it was not written; if it says that this is in doubt, all of it may be found later.
        """
        token = secrets.token_bytes(16)
        give_up = time.monotonic() + self._retry_s
        doubt = False
        wait_s = _FIRST_RETRY_S
        while True:
            try:
                if self._serial is None and self._settle(token, doubt):
                    return
                if self._try(batch, token):
                    return
            except ServerLost as error:
                doubt = doubt or self._serial is not None  # else it was not sent yet
                self._serial = None
                if time.monotonic() + wait_s > give_up or self._ended.wait(wait_s):
                    known = "whether the change was written is in doubt" if doubt else "nothing was written"
                    raise StoreError(f"{error}; {known}") from None
                wait_s = min(2 * wait_s, _LONGEST_RETRY_S)
            except BaseException:
                self._serial = None  # such as Ctrl-C while the server was at it
                raise

    def _try(self, batch: Batch, token: bytes) -> bool:
        """Write it; False: the serial number is not as it was thought to be."""
        assert self._serial is not None
        fence = [token, self._fence, self._serial]
        pieces = list(batch.pieces())
        if len(pieces) == 1:
            taken = self._write_at_once(*pieces[0], fence)
        else:
            with self._session.transaction():
                taken = self._session.run(self._fence_only, fence)
                if taken:
                    for puts, deletes in pieces:
                        self._write_piece(puts, deletes)
        if not taken:
            self._serial = None
            return False
        ((self._serial,),) = taken
        return True

    def _write_at_once(
        self, puts: list[Put], deletes: list[tuple[bytes, bytes]], fence: list[object]
    ) -> list[tuple[Any, ...]]:
        if deletes:
            return self._session.run(self._both, [*fence, *_columns(puts, 5), *_columns(deletes, 2)])
        return self._session.run(self._put_alone, [*fence, *_columns(puts, 5)])

    def _write_piece(self, puts: list[Put], deletes: list[tuple[bytes, bytes]]) -> None:
        if puts:
            self._session.run(self._put, _columns(puts, 5))
        if deletes:
            self._session.run(self._delete, _columns(deletes, 2))

    def _settle(self, token: bytes, doubt: bool) -> bool:
        """Read what became of the latest commit; whether that is this one, and was taken.

        Raises:
            StoreFenced: another manager leads.
        """
        found = self._session.run(f"SELECT fence, serial, batch FROM {self._address.schema}.fence")
        if not found:
            raise StoreCorrupt(
                f'"{self._address}" has lost the row that commits are checked against; restore a copy'
            )
        ((fence, serial, batch),) = found
        if batch == token:
            self._serial = serial
            return True
        if fence != self._fence:
            raise fenced(
                self._session,
                self._address,
                ", and whether its last change was written is in doubt" if doubt else "",
            )
        self._serial = serial
        return False


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows as one list for each column."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
