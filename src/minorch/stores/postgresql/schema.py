"""The tables: made when there are none, brought to the newest version by whoever leads, all or nothing.

They are in a schema of their own, so that they can live in a database that is used for other things.  A
version is raised only by a manager that takes the lead: until then an older minorch may still be writing.

``rows`` holds the manager's rows, ``fence`` what each commit is checked against, ``leader`` who leads and
until when, and ``meta`` whose tables these are, in which version, and which minorch led last.
"""

from __future__ import annotations

import zlib
from importlib import metadata
from typing import Final

from minorch.errors import StoreCorrupt, StoreVersionError
from minorch.stores.postgresql.address import Address
from minorch.stores.postgresql.session import Session

__all__ = ["MIGRATIONS", "migrate", "set_up"]

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE {schema}.rows (
            tbl bytea NOT NULL,
            key bytea NOT NULL,
            whole bytea,
            value bytea NOT NULL,
            checksum bigint NOT NULL,
            PRIMARY KEY (tbl, key)
        )""",
        """CREATE TABLE {schema}.fence (
            only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
            fence bigint NOT NULL DEFAULT 0,
            serial bigint NOT NULL DEFAULT 0,
            batch bytea NOT NULL DEFAULT ''
        ) WITH (fillfactor = 20)""",
        "INSERT INTO {schema}.fence DEFAULT VALUES",
        """CREATE TABLE {schema}.leader (
            only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
            fence bigint NOT NULL DEFAULT 0,
            lock integer,
            host text NOT NULL DEFAULT '',
            pid bigint NOT NULL DEFAULT 0,
            address text NOT NULL DEFAULT '',
            since timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL DEFAULT now()
        ) WITH (fillfactor = 20)""",
        "INSERT INTO {schema}.leader DEFAULT VALUES",
    ),
)
"""The n-th entry leads from version n to n + 1. Append, never edit; waiting managers read ``leader``."""

_MARK: Final = "minorch store"


def set_up(session: Session, address: Address) -> None:
    """Make the tables if there are none, and see that what is there can be used.

    Raises:
        StoreCorrupt: the schema is another program's, or damaged. It is left as it is.
        StoreVersionError: a newer minorch wrote it.
        StoreError: they cannot be made.
    """
    schema = address.schema
    if _is_there(session, address):
        _check_version(session, address)
        return
    with session.transaction():
        # Whoever else makes them waits here, and finds them then.
        session.run("SELECT pg_advisory_xact_lock(%s)", [zlib.crc32(f"minorch {schema}".encode())])
        if _is_there(session, address):
            return
        if not session.run("SELECT FROM pg_namespace WHERE nspname = %s", [schema]):
            session.run(f"CREATE SCHEMA {schema}")
        session.run(f"CREATE TABLE {schema}.meta (name text PRIMARY KEY, value text NOT NULL)")
        session.run(f"INSERT INTO {schema}.meta VALUES ('what', %s), ('version', '0')", [_MARK])
        _run_all(session, address, 0)
        _sign(session, address)


def migrate(session: Session, address: Address) -> None:
    """Bring the tables to the newest version, within the caller's transaction.

    Raises:
        StoreVersionError: a newer minorch wrote them.
    """
    version = _check_version(session, address)
    _run_all(session, address, version)
    _sign(session, address)


def _is_there(session: Session, address: Address) -> bool:
    """Whether there are tables of ours; raises for anybody else's."""
    schema = address.schema
    found = session.run(
        "SELECT relname::text FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE nspname = %s AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY relname",
        [schema],
    )
    names = {name for (name,) in found}
    if not names:
        return False
    if "meta" in names:
        columns = session.run(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
            "AND NOT attisdropped ORDER BY attnum",
            [f"{schema}.meta"],
        )
        if [name for (name,) in columns] == ["name", "value"] and session.run(
            f"SELECT FROM {schema}.meta WHERE name = 'what' AND value = %s", [_MARK]
        ):
            return True
    raise StoreCorrupt(
        f'the schema "{schema}" of "{address}" holds tables of another program; name another schema, as in '
        f'"postgresql://.../database?schema=minorch_jobs"'
    )


def _check_version(session: Session, address: Address) -> int:
    known = dict(session.run(f"SELECT name, value FROM {address.schema}.meta"))
    written = known.get("version", "")
    if not written.isascii() or not written.isdecimal():
        raise StoreCorrupt(f'"{address}" does not say which version it has; restore a copy')
    version = int(written)
    if version > len(MIGRATIONS):
        raise StoreVersionError(
            f'"{address}" was written by minorch {known.get("minorch", "?")} (store version {version}); '
            f"this is minorch {_minorch_version()}, which knows versions up to {len(MIGRATIONS)}: use a "
            "newer minorch"
        )
    return version


def _run_all(session: Session, address: Address, version: int) -> None:
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            session.run(statement.replace("{schema}", address.schema))


def _sign(session: Session, address: Address) -> None:
    for name, value in (("version", str(len(MIGRATIONS))), ("minorch", _minorch_version())):
        session.run(
            f"INSERT INTO {address.schema}.meta VALUES (%s, %s) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [name, value],
        )


def _minorch_version() -> str:
    try:
        return metadata.version("minorch")
    except metadata.PackageNotFoundError:  # run from a source tree
        return "unknown"
