"""One connection, and what its errors mean. Nothing of psycopg's gets out of here but rows.

Every call is bounded: the server ends a statement after a while, the system's TCP gives up a peer that is
gone, and :meth:`Session.abort` ends what neither of them would, such as a server that is frozen.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg
from psycopg import errors as pg

from minorch.errors import StoreCorrupt, StoreError
from minorch.stores.postgresql.address import Address

__all__ = ["ServerBusy", "Limits", "ServerLost", "Session", "seconds"]

_log = logging.getLogger("minorch.stores")
_SETTINGS: Final = {
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "5s",  # so that one who is stopped halfway holds up nobody
    "enable_hashjoin": "off",  # rows are found by their key, whatever is known of how many there are
    "enable_mergejoin": "off",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
_MISFITS: Final = (
    pg.UndefinedTable,
    pg.UndefinedColumn,
    pg.DatatypeMismatch,
    pg.InvalidColumnReference,
    pg.InvalidSchemaName,
    pg.NotNullViolation,
    pg.CheckViolation,
)
"""Statements of ours do not fit the tables, so they are not ours any more."""
_BUSY: Final = (pg.QueryCanceled, pg.LockNotAvailable, pg.DeadlockDetected, pg.SerializationFailure)
_UNREACHABLE: Final = (pg.AdminShutdown, pg.CrashShutdown, pg.CannotConnectNow, pg.TooManyConnections)


class ServerLost(StoreError):
    """The connection broke, or cannot be made: what was under way may be done, and it may help to wait."""


class ServerBusy(StoreError):
    """Something took longer than it may, and was called off; nothing of it was done."""


class Limits:
    """How long things may take.

    Args:
        connect_s: to connect.
        statement_s: one statement.
    """

    def __init__(self, connect_s: float, statement_s: float) -> None:
        self.connect_s = connect_s
        self.statement_s = statement_s


class Session:
    """A connection that is made when it is needed and not there.

    Args:
        address: to what.
        limits: how long things may take.
        what: what it is for, as ``pg_stat_activity`` shows it.
    """

    def __init__(self, address: Address, limits: Limits, what: str) -> None:
        self._address = address
        self._limits = limits
        self._what = what
        self._db: psycopg.Connection[tuple[Any, ...]] | None = None
        self._busy_since: float | None = None
        self._aborted = False
        self._in_transaction = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._db is not None and not self._db.closed

    @property
    def busy_s(self) -> float:
        """For how many seconds a call has been under way; 0: none is."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def open(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect, if there is no connection, and return it.

        Raises:
            ServerLost: the server is not reached, for now.
            StoreError: it refuses us.
        """
        db = self._db
        if self._aborted:
            raise self._shut()
        if db is not None and (self._in_transaction or not db.closed):
            return db  # one that broke within a transaction is not replaced there, but found to be broken
        self.close()
        with self._told(None), contextlib.ExitStack() as undo:
            db = undo.enter_context(
                contextlib.closing(psycopg.connect(**self._parameters(), autocommit=True))
            )
            self._set_up(db)
            self._db = db
            if self._aborted:  # while it was made
                raise self._shut()
            undo.pop_all()
        return db

    def _set_up(self, db: psycopg.Connection[tuple[Any, ...]]) -> None:
        settings = {**_SETTINGS, "statement_timeout": _ms(self._limits.statement_s)}
        db.execute(
            "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS new(name, value)",
            [list(settings), list(settings.values())],
        )
        # What the server does by default may be more careful than `on`, and is left then.
        db.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')"
        )

    def _shut(self) -> ServerLost:
        return ServerLost(f'the store "{self._address}" is closed')

    def _parameters(self) -> dict[str, Any]:
        ours = {
            "connect_timeout": str(max(2, round(self._limits.connect_s))),
            "keepalives_idle": "5",
            "keepalives_interval": "2",
            "keepalives_count": "3",
            "tcp_user_timeout": "10000",
            "target_session_attrs": "read-write",
            "fallback_application_name": f"minorch {self._what} {os.getpid()}",
        }
        return {**ours, **self._address.parameters, "client_encoding": "UTF8"}

    def run(self, query: str, arguments: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, a transaction of its own outside of :meth:`transaction`, and return its rows.

        Raises:
            ServerLost: the connection broke.
            StoreError: the server refuses it; nothing of it was done.
        """
        db = self.open()
        with self._told(db), db.cursor(binary=True) as cursor:
            cursor.execute(query, arguments or None)
            return cursor.fetchall() if cursor.description is not None else []

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of the statements within.

        Raises:
            ServerLost: the connection broke; if that was at its end, it may be done.
        """
        db = self.open()
        with self._told(db), db.transaction():
            self._in_transaction = True
            try:
                yield
            finally:
                self._in_transaction = False

    @contextlib.contextmanager
    def _told(self, db: psycopg.Connection[tuple[Any, ...]] | None) -> Iterator[None]:
        """Raise what goes wrong as our errors; whatever else is raised leaves no connection behind."""
        outermost = self._busy_since is None
        if outermost:
            self._busy_since = time.monotonic()
        try:
            yield
        except psycopg.Error as error:
            raise self._explain(error, db) from None
        except StoreError:
            raise
        except UnicodeError as error:
            raise StoreError(f"PostgreSQL cannot hold what was to be written: {error}") from None
        except BaseException:  # Ctrl-C, say, in the middle of a statement: nobody knows how far that got
            self.close()
            raise
        finally:
            if outermost:
                self._busy_since = None

    def _explain(self, error: psycopg.Error, db: psycopg.Connection[tuple[Any, ...]] | None) -> StoreError:
        said = error.diag.message_primary or str(error).strip() or type(error).__name__
        said = self._address.hide(" ".join(said.split())[:500])
        where = f'"{self._address}"'
        if self._aborted:
            return self._shut()
        if db is None:
            return _refused(said, where)
        if db.closed or isinstance(error, _UNREACHABLE):
            self.close()
            return ServerLost(f"the connection to {where} broke ({said}); see whether the server runs")
        if isinstance(error, _BUSY):
            return ServerBusy(f"{where} took too long ({said}); nothing was done: see what it is busy with")
        if isinstance(error, pg.DiskFull | pg.OutOfMemory):
            return StoreError(f"no room left in {where} ({said}); nothing was written: free some")
        if isinstance(error, pg.InsufficientPrivilege):
            return StoreError(
                f"the user may not write {where} ({said}); grant it that, or name another schema"
            )
        if isinstance(error, pg.ReadOnlySqlTransaction):
            return ServerLost(f"{where} can only be read ({said}); name the primary server")
        if isinstance(error, _MISFITS) or (error.sqlstate or "").startswith("XX"):
            return StoreCorrupt(
                f"the tables of {where} are damaged or not minorch's ({said}); restore a copy, or name "
                "another schema"
            )
        return StoreError(f"PostgreSQL failed on {where}: {said}")

    def abort(self) -> None:
        """End what is under way, from any thread, and refuse whatever comes after."""
        self._aborted = True
        self.cut()

    def cut(self) -> None:
        """Break the connection, from any thread; whoever waits for it is told that it is lost."""
        db = self._db
        if db is None or db.closed:
            return
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(db.fileno())) as line,
        ):
            line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connection. Closing twice is fine."""
        db = self._db
        if not self._in_transaction:
            self._db = None
        if db is not None:
            with contextlib.suppress(psycopg.Error):
                db.close()


def _refused(said: str, where: str) -> StoreError:
    """Why there is no connection."""
    text = said.lower()
    if "authentication" in text or "no password supplied" in text or "pg_hba.conf" in text:
        return StoreError(f"{where} does not let us in ({said}); see the user, password and pg_hba.conf")
    if "database" in text and "does not exist" in text:
        return StoreError(f"{where}: there is no such database ({said}); make it with createdb")
    if "role" in text and "does not exist" in text:
        return StoreError(f"{where}: there is no such user ({said}); make it with createuser")
    if "certificate" in text or "ssl" in text:
        return StoreError(f"{where} cannot be reached safely ({said}); see sslmode and sslrootcert")
    if "read-only" in text or "session is read-only" in text:
        return ServerLost(f"{where} can only be read ({said}); name the primary server")
    return ServerLost(
        f"no PostgreSQL answers at {where} ({said}); see whether it runs and the address is right"
    )


def seconds(interval_s: float) -> str:
    """An interval, as the server takes it."""
    return f"{interval_s:.6f} seconds"


def _ms(interval_s: float) -> str:
    return f"{max(1, round(interval_s * 1000))}ms"
