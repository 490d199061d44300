"""The store: opened, led, read and written, closed."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from minorch.contracts import Change
from minorch.errors import StoreError, StoreFenced, StoreLocked, UsageError
from minorch.stores.postgresql.address import Address
from minorch.stores.postgresql.batch import Batch, read_row
from minorch.stores.postgresql.lead import Leader, Queue, read_leader
from minorch.stores.postgresql.schema import set_up
from minorch.stores.postgresql.session import Limits, ServerBusy, ServerLost, Session
from minorch.stores.postgresql.tenure import Tenure
from minorch.stores.postgresql.writer import Writer

__all__ = ["PostgreSQLStore"]

_log = logging.getLogger("minorch.stores")
_COMMIT_RETRY_S: Final = 5.0
_FIRST_RETRY_S: Final = 0.1
_LONGEST_RETRY_S: Final = 1.0
_JOIN_S: Final = 2.0
_MARGIN_S: Final = 5.0
"""How much longer than the server's own limit on a statement its answer may take."""


class PostgreSQLStore:
    """Keeps rows in a PostgreSQL database, for one manager at a time; others may wait to take over.

    It may be used from several threads, by one at a time, but not by a forked child.  :meth:`lead`,
    :meth:`close` and :attr:`leader` may be called at any time.

    Args:
        url: ``postgresql://user:password@host:port/database``, with libpq's parameters behind a question
            mark, and ``schema=`` beside them.
        schema: where its tables are; None: what the URL says, or ``minorch``.
        standby: whether it is only opened, and led by :meth:`lead`, which waits; otherwise it leads when
            this returns.
        lease_s: a leader that does not renew its lease for so long may be replaced. One that dies is
            replaced at once.
        wait_s: without *standby*, how long to wait for another process to let go of it.
        address: where this manager is reached, for whoever reads who leads (:attr:`leader`).
        connect_timeout_s: how long to wait for a connection; 2 s at least.
        statement_timeout_s: how long the server may take for a statement.

    Raises:
        StoreLocked: another process leads.
        StoreCorrupt: the schema holds tables of another program, or is damaged. It is left untouched.
        StoreVersionError: a newer minorch wrote it.
        StoreError: the database cannot be used; the message says what to do.
        UsageError: an argument makes no sense.
    """

    def __init__(
        self,
        url: str,
        *,
        schema: str | None = None,
        standby: bool = False,
        lease_s: float = 10.0,
        wait_s: float = 5.0,
        address: str = "",
        connect_timeout_s: float = 5.0,
        statement_timeout_s: float = 30.0,
    ) -> None:
        times = {
            "lease_s": lease_s,
            "connect_timeout_s": connect_timeout_s,
            "statement_timeout_s": statement_timeout_s,
        }
        for name, value in times.items():
            if not 0 < value < 86_400:
                raise UsageError(f"{name}={value!r}: it is a number of seconds, less than a day of them")
        self._address = Address(url, schema)
        self._lease_s = lease_s
        self._told = address
        limits = Limits(connect_timeout_s, statement_timeout_s)
        self._longest_s = statement_timeout_s + _MARGIN_S
        self._writing = Session(self._address, limits, "writer")
        self._leading = Session(self._address, limits, "leader")
        self._pid = os.getpid()
        self._closed = threading.Event()
        self._lost: StoreFenced | None = None
        self._callbacks: list[Callable[[StoreFenced], None]] = []
        self._tenure: Tenure | None = None
        self._writer: Writer | None = None
        self._door = threading.Lock()
        """Held to say that the lead is had, or lost, or that it is closed."""
        self._queueing = threading.Lock()
        """Held while it waits for the lead."""
        try:
            set_up(self._leading, self._address)
            self._warn_of_lies()
            threading.Thread(target=self._watch, name="minorch-postgresql", daemon=True).start()
            if not standby and not self.lead(wait_s):
                raise self._locked()
        except BaseException:
            self.close()
            raise

    # -- leading ----------------------------------------------------------------------------------

    def lead(self, timeout_s: float | None = None) -> bool:
        """Wait until this store leads: at once if nobody does, or when who does steps down, dies or stalls.

        One that had the lead and lost it may ask for it again, once its manager has ended.  A database that
        does not answer is waited for too.

        Args:
            timeout_s: how long to wait; None: until :meth:`close`.

        Returns:
            Whether it leads; False if *timeout_s* is over, or it was closed meanwhile.

        Raises:
            StoreVersionError: a newer minorch has led meanwhile.
            StoreError: the database refuses us; the message says what to do.
        """
        self._refuse_fork()
        give_up = None if timeout_s is None else time.monotonic() + timeout_s
        with self._queueing:
            if self._tenure is not None and self._lost is None:
                return not self._closed.is_set()
            queue = Queue(self._leading, self._address, self._lease_s, self._told)
            retry_s = _FIRST_RETRY_S
            while not self._closed.is_set():
                began = Tenure.clock()
                left_s = 3600.0 if give_up is None else give_up - time.monotonic()
                try:
                    fence = queue.step(max(0.0, left_s))
                except (ServerBusy, ServerLost) as error:
                    if self._closed.is_set():
                        return False
                    if left_s <= 0:
                        raise
                    _log.info("waiting for the lead of %s: %s", self._address, error)
                    self._closed.wait(min(retry_s, left_s))
                    retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
                    continue
                except StoreError:
                    if self._closed.is_set():
                        return False
                    raise
                retry_s = _FIRST_RETRY_S
                if fence is not None:
                    return self._begin(fence, began)
                if left_s <= 0:
                    return False
            return False

    def _begin(self, fence: int, began: float) -> bool:
        with self._door:
            if self._closed.is_set():
                return False
            self._lost = None
            self._callbacks.clear()
            self._writer = Writer(self._writing, self._address, fence, _COMMIT_RETRY_S, self._closed)
            self._tenure = Tenure(self._leading, self._address, fence, self._lease_s, self._lose, began)
        return True

    def _lose(self, error: StoreFenced) -> None:
        with self._door:
            if self._lost is not None or self._closed.is_set():
                return
            self._lost = error
            tenure = self._tenure
            callbacks, self._callbacks = self._callbacks, []
        _log.warning("%s", error)
        assert tenure is not None
        tenure.give_up(error)
        for callback in callbacks:
            callback(error)

    def confirm(self) -> None:
        """Return if this store leads for certain; the server is asked only if the lease may have run out.

        Raises:
            StoreFenced: another manager leads.
            StoreError: the database does not answer, so nobody knows.
        """
        self._led().confirm()

    def when_lost(self, callback: Callable[[StoreFenced], None]) -> None:
        """Have *callback* called, from any thread, when it is found that another manager leads.

        It is called at once if that is known already, and forgotten with the next :meth:`lead`.
        """
        with self._door:
            lost = self._lost
            if lost is None:
                self._callbacks.append(callback)
        if lost is not None:
            callback(lost)

    @property
    def leader(self) -> Leader | None:
        """Who leads, or led last, as the database says; None: nobody ever did.

        Raises:
            StoreError: the database cannot be read.
        """
        self._check_open()
        found = read_leader(self._writing, self._address)
        return found if found.fence else None

    @property
    def leads(self) -> bool:
        """Whether this store leads, as far as it knows."""
        return self._tenure is not None and self._lost is None and not self._closed.is_set()

    # -- rows -------------------------------------------------------------------------------------

    def load(self) -> list[Change]:
        """Return every row that was committed, in the order of table and key.

        Raises:
            StoreFenced: another manager leads.
            StoreError: it is closed, does not lead or cannot be read; ``StoreCorrupt`` if it is damaged.
        """
        self._led()
        found = self._writing.run(f"SELECT tbl, key, whole, value, checksum FROM {self._address.schema}.rows")
        return sorted(read_row(row, self._address) for row in found)

    def commit(self, changes: Sequence[Change]) -> None:
        """Write all of *changes* in one transaction, if this store leads, and wait until the disk has them.

        Where the connection breaks, it is made again, and what became of the commit is read: it is written
        once, or not at all.

        Raises:
            StoreFenced: another manager leads; nothing was written.
            StoreError: nothing was written, and the store is still usable. There is one exception: where the
                connection broke and could not be made again, all of *changes* may be found later. The
                message says so.
        """
        self._check_open()
        batch = Batch(changes, self._address)
        self._led()
        if not batch:
            return
        assert self._writer is not None
        try:
            self._writer.commit(batch)
        except StoreFenced as error:
            self._lose(error)
            raise
        except ServerLost as error:
            raise StoreError(str(error)) from None

    def close(self) -> None:
        """Step down, so that the next one may lead at once, and let go of the database. Twice is fine."""
        if os.getpid() != self._pid:  # a fork's copy is not its own to tidy up
            return
        with self._door:
            if self._closed.is_set():
                return
            self._closed.set()
            tenure = self._tenure
        self._writing.abort()
        if tenure is None or self._queueing.locked():
            self._leading.abort()
        else:
            tenure.stop(_JOIN_S)
            if self._lost is None:
                tenure.lay_down()
            self._leading.abort()
        self._writing.close()
        with self._queueing:  # whoever waited is gone
            self._leading.close()

    # -- what is checked --------------------------------------------------------------------------

    def _led(self) -> Tenure:
        self._check_open()
        if self._lost is not None:
            raise self._lost
        if self._tenure is None:
            raise StoreError(
                f'the store "{self._address}" does not lead yet; call lead(), which waits until it does'
            )
        return self._tenure

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise StoreError(f'the store "{self._address}" is closed')
        self._refuse_fork()

    def _refuse_fork(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError(
                f'the store "{self._address}" was opened by process {self._pid}, and this is its fork '
                f"{os.getpid()}; a connection cannot be shared across a fork: open it here"
            )

    def _locked(self) -> StoreLocked:
        leader = self.leader
        if leader is not None and leader.is_this_process:
            return StoreLocked(
                f'the store "{self._address}" is open in this process already; close it there first'
            )
        who = leader or "another process"
        return StoreLocked(
            f'{who} has the store "{self._address}" open; stop it, name another schema, or wait for it with '
            "standby=True"
        )

    def _warn_of_lies(self) -> None:
        """Say that the server does not wait for its disk, if it says so."""
        ((fsync,),) = self._leading.run("SELECT current_setting('fsync')")
        if fsync != "on":
            _log.warning(
                "%s runs with fsync=%s: what is written is lost when its machine fails", self._address, fsync
            )

    def _watch(self) -> None:
        """Cut connections on which something has hung for longer than the server may take."""
        while not self._closed.wait(1.0):
            for session in (self._writing, self._leading):
                if session.busy_s > self._longest_s:
                    session.cut()

    def __repr__(self) -> str:
        if self._closed.is_set():
            how = ", closed"
        elif self._lost is not None:
            how = ", fenced"
        else:
            how = "" if self._tenure is not None else ", standby"
        return f"PostgreSQLStore({str(self._address)!r}{how})"
