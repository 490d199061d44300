"""Taking the lead, and waiting for it.

Who leads is what the table ``leader`` says, by the database's clock: a *fence*, one higher with each leader,
and a lease, which the leader renews.  It may be taken when the lease has run out.  That covers leaders that
are stopped, cut off or hang.

A leader that dies is noticed at once: it holds a lock that its connection's end sets free, and whoever waits
stands in line for that lock.  The lock's number is in the table and is new with each connection, so it is
never another one's.  One who waits and lost its own connection cannot tell a leader's death from a server
that was restarted; then the lease alone counts, until the lock was seen to be held.

A change of leaders is told with NOTIFY, on a channel called like the schema.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from typing import Final, NamedTuple

from minorch.errors import StoreCorrupt, StoreError
from minorch.stores.postgresql.address import Address
from minorch.stores.postgresql.schema import migrate
from minorch.stores.postgresql.session import ServerBusy, ServerLost, Session, seconds

__all__ = ["CLASS", "Leader", "Queue", "new_lock", "read_leader"]

CLASS: Final = 0x6D_69_6E_6F  # "mino"
"""The first of the two numbers of our locks."""
_SLICE_S: Final = 1.0
"""A wait for the lock is made of such pieces: each holds back the server's cleaning while it lasts."""
_RETRY_S: Final = 0.2


class Leader(NamedTuple):
    """Who leads, or led last."""

    fence: int
    """One higher with each leader; 0: nobody ever led."""
    host: str
    pid: int
    address: str
    """What it said of where it is reached; empty: nothing."""
    since: float
    """Seconds since 1970, by the database's clock."""
    left_s: float
    """How long its lease lasts; negative: it has run out."""
    lock: int | None
    """The number of the lock that it holds; None: it stepped down."""

    @property
    def is_this_process(self) -> bool:
        """Whether it is, or was, in this process."""
        return (self.host, self.pid) == (socket.gethostname(), os.getpid())

    def __str__(self) -> str:
        where = f" ({self.address})" if self.address else ""
        return f"process {self.pid} on {self.host}{where}"


def read_leader(session: Session, address: Address) -> Leader:
    """Read who leads."""
    found = session.run(
        "SELECT fence, host, pid, address, extract(epoch FROM since)::float8, "
        "extract(epoch FROM expires_at - clock_timestamp())::float8, lock "
        f"FROM {address.schema}.leader"
    )
    if not found:
        raise StoreCorrupt(f'"{address}" has lost the row that says who leads; restore a copy')
    return Leader(*found[0])


def new_lock(session: Session) -> int:
    """Take a lock that nobody knows of yet, for as long as the connection lives; returns its number."""
    for _ in range(100):
        number = secrets.randbelow(1 << 31)
        if try_lock(session, number):
            return number
    raise StoreError("no lock was free among a hundred; see pg_locks")


def try_lock(session: Session, number: int) -> bool:
    """Take a lock if it is free."""
    ((taken,),) = session.run("SELECT pg_try_advisory_lock(%s, %s)", [CLASS, number])
    return bool(taken)


def unlock(session: Session, number: int) -> None:
    """Let go of a lock."""
    session.run("SELECT pg_advisory_unlock(%s, %s)", [CLASS, number])


class Queue:
    """One who waits for the lead.

    Args:
        session: holds the lock that was taken, from then on.
        address: whose lead.
        lease_s: for how long the lead is taken.
        told: where this one is reached, for others to read.
    """

    def __init__(self, session: Session, address: Address, lease_s: float, told: str) -> None:
        self._session = session
        self._address = address
        self._lease_s = lease_s
        self._told = told
        self._blind = False
        """Whether the connection was lost since the lock was seen to be held."""

    def step(self, wait_s: float) -> int | None:
        """Take the lead if it is free, or becomes so within *wait_s* seconds or one; None: it did not.

        Returns the fence.

        Raises:
            StoreError: the database cannot be used.
        """
        try:
            return self._step(wait_s)
        except ServerLost:
            self._blind = True
            raise

    def _step(self, wait_s: float) -> int | None:
        leader = read_leader(self._session, self._address)
        if leader.lock is None or leader.left_s <= 0:
            return self._take(leader)
        if try_lock(self._session, leader.lock):  # it is dead, or has lost its connection
            if not self._blind:
                return self._take(leader, leader.lock)
            unlock(self._session, leader.lock)
            time.sleep(max(0.0, min(_RETRY_S, wait_s, leader.left_s)))
            return None
        self._blind = False
        wait_s = min(wait_s, _SLICE_S, leader.left_s)
        if wait_s > 0 and self._wait(leader.lock, wait_s):
            return self._take(leader, leader.lock)
        return None

    def _wait(self, lock: int, wait_s: float) -> bool:
        """Stand in line for a lock, for a while; whether it was got."""
        limit = f"{max(1, round(wait_s * 1000))}ms"
        self._session.run("SELECT set_config('lock_timeout', %s, false)", [limit])
        try:
            self._session.run("SELECT pg_advisory_lock(%s, %s)", [CLASS, lock])
        except ServerBusy:
            return False
        finally:
            if self._session.is_open:
                self._session.run("SELECT set_config('lock_timeout', '0', false)")
        return True

    def _take(self, seen: Leader, held: int | None = None) -> int | None:
        """Begin the next fence, unless somebody else did meanwhile; a lock of the last leader's is let go."""
        try:
            with self._session.transaction():
                fence = self._begin(seen, held)
        except BaseException:
            self._session.close()  # and with that every lock that was taken
            raise
        if held is not None:
            unlock(self._session, held)
        return fence

    def _begin(self, seen: Leader, held: int | None) -> int | None:
        run, schema = self._session.run, self._address.schema
        run("SET LOCAL lock_timeout = '5s'")
        # A commit that is under way is waited for; whatever comes after this finds the new fence.
        run(f"SELECT FROM {schema}.fence FOR UPDATE")
        run(f"SELECT FROM {schema}.leader FOR UPDATE")
        now = read_leader(self._session, self._address)
        over = now.lock is None or now.left_s <= 0
        if (now.fence, now.lock) != (seen.fence, seen.lock) or not (over or held is not None):
            return None
        migrate(self._session, self._address)
        fence = now.fence + 1
        run(f"UPDATE {schema}.fence SET fence = %s", [fence])
        run(
            f"UPDATE {schema}.leader SET fence = %s, lock = %s, host = %s, pid = %s, address = %s, "
            "since = clock_timestamp(), expires_at = clock_timestamp() + %s::interval",
            [
                *(fence, new_lock(self._session), socket.gethostname(), os.getpid(), self._told),
                seconds(self._lease_s),
            ],
        )
        run("SELECT pg_notify(%s, %s)", [schema, f"leads {fence}"])
        return fence
