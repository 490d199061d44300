"""What one commit holds, as the server takes it; and rows as they come back, held against their checksums.

Names are kept as bytes: text may not hold every character there, nor is its order that of code points.  One
that is too long for an index is kept as its beginning and a digest, and stands in ``whole`` beside that.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

from minorch.contracts import Change
from minorch.errors import StoreCorrupt, StoreError
from minorch.stores.postgresql.address import Address

__all__ = ["Batch", "Put", "read_row"]

_LONGEST_NAME_BYTES: Final = 1024
_PIECE_BYTES: Final = 16 * 1024 * 1024
_PIECE_ROWS: Final = 20_000
_LARGEST_VALUE_BYTES: Final = 256 * 1024 * 1024

Put = tuple[bytes, bytes, "bytes | None", bytes, int]


class Batch:
    """The last word of a commit on each row that it touches, so that their order matters no more.

    Args:
        changes: what is to be written, in its order.
        address: where to, for errors.

    Raises:
        StoreError: something cannot be held by any table.
    """

    def __init__(self, changes: Sequence[Change], address: Address) -> None:
        last = {(table, key): value for table, key, value in list(changes)}
        self._puts: list[Put] = []
        self._deletes: list[tuple[bytes, bytes]] = []
        for (table, key), value in last.items():
            try:
                names = str.encode(table), str.encode(key)
            except TypeError:
                raise StoreError(
                    f"a row's table and key are text, not {table!r:.40} and {key!r:.40}"
                ) from None
            except UnicodeEncodeError as error:  # a lone surrogate
                raise StoreError(f'"{address}" cannot hold what was to be written: {error}') from None
            short = _shortened(names[0]), _shortened(names[1])
            if value is None:
                self._deletes.append(short)
                continue
            kind: object = type(value)  # whatever the annotation says
            if kind is not bytes:
                raise StoreError(f"a row's value is bytes, not {type(value).__name__}")
            if len(value) > _LARGEST_VALUE_BYTES:
                raise StoreError(f'"{address}" takes no value of {len(value):,} bytes')
            whole = None if short == names else len(names[0]).to_bytes(8, "big") + names[0] + names[1]
            self._puts.append((*short, whole, value, _checksum(*names, value)))

    def __bool__(self) -> bool:
        return bool(self._puts or self._deletes)

    def pieces(self) -> Iterator[tuple[list[Put], list[tuple[bytes, bytes]]]]:
        """The rows to write and those to delete, in pieces that a statement can take; mostly there is one."""
        puts: list[Put] = []
        size = 0
        deletes = self._deletes
        for put in self._puts:
            if puts and (size + len(put[3]) > _PIECE_BYTES or len(puts) >= _PIECE_ROWS):
                yield puts, []
                puts, size = [], 0
            puts.append(put)
            size += len(put[3])
        for at in range(0, max(1, len(deletes)), _PIECE_ROWS):
            yield puts, deletes[at : at + _PIECE_ROWS]
            puts = []


def read_row(row: tuple[Any, ...], address: Address) -> Change:
    """A row as it was committed, from the columns of the table.

    Raises:
        StoreCorrupt: it is not.
    """
    tbl, key, whole, value, checksum = row
    if whole is not None:
        split = 8 + int.from_bytes(whole[:8], "big")
        tbl, key = whole[8:split], whole[split:]
    if checksum != _checksum(tbl, key, value):
        raise StoreCorrupt(
            f"row {key[:70].decode(errors='replace')!r} of table {tbl[:40].decode(errors='replace')!r} in "
            f'"{address}" is not as it was written; restore a copy, or name another schema'
        )
    return Change(tbl.decode(), key.decode(), value)


def _checksum(table: bytes, key: bytes, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(table + b"\0" + key))


def _shortened(name: bytes) -> bytes:
    """A name as it stands in the index. No other has the same: those that are shortened are the longest."""
    if len(name) <= _LONGEST_NAME_BYTES:
        return name
    return name[:_LONGEST_NAME_BYTES] + hashlib.sha256(name).digest()
