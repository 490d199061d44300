"""One leadership: kept by renewing its lease in a thread, until it is laid down or found to be lost."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from minorch.errors import StoreError, StoreFenced
from minorch.stores.postgresql.address import Address
from minorch.stores.postgresql.lead import new_lock, read_leader
from minorch.stores.postgresql.session import Session, seconds

__all__ = ["Tenure", "fenced"]

_log = logging.getLogger("minorch.stores")
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps."""
_SHARE: Final = 3
"""The lease is renewed when this part of it is over, and tried again as often when that fails."""


class Tenure:
    """Keeps the lead.

    Args:
        session: holds the lock of this leadership.
        address: whose lead.
        fence: that of this leadership.
        lease_s: for how long it is renewed.
        on_lost: called once, in whichever thread finds out that another manager leads.
    """

    def __init__(
        self,
        session: Session,
        address: Address,
        fence: int,
        lease_s: float,
        on_lost: Callable[[StoreFenced], None],
        began: float,
    ) -> None:
        self.fence: Final = fence
        self._session = session
        self._address = address
        self._lease_s = lease_s
        self._on_lost = on_lost
        self._renewed_at = began
        """Before the latest renewal was sent: until a lease after that, nobody else can find it run out."""
        self._lost: StoreFenced | None = None
        self._renewing = threading.Lock()
        """Held while the session is used."""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="minorch-lease", daemon=True)
        self._thread.start()

    @staticmethod
    def clock() -> float:
        """Seconds of the clock by which a lease is counted here."""
        return time.clock_gettime(_CLOCK)

    @property
    def is_fresh(self) -> bool:
        """Whether the lease has certainly not run out."""
        return self.clock() < self._renewed_at + self._lease_s

    def confirm(self) -> None:
        """Be sure that this one leads; that asks the server only where the lease may have run out.

        Raises:
            StoreFenced: another manager leads.
            StoreError: the database cannot tell.
        """
        if not self.is_fresh:
            self.renew()

    def renew(self) -> None:
        """Make the lease last longer from now on.

        Raises:
            StoreFenced: another manager leads.
            StoreError: the database cannot be used.
        """
        with self._renewing:
            if self._lost is not None:
                raise self._lost
            began = self.clock()
            lock = None if self._session.is_open else self._lock_again()
            renewed = self._session.run(
                f"UPDATE {self._address.schema}.leader SET lock = coalesce(%s, lock), "
                "expires_at = clock_timestamp() + %s::interval WHERE fence = %s RETURNING fence",
                [lock, seconds(self._lease_s), self.fence],
            )
            if renewed:
                self._renewed_at = began
                return
            error = self._lost = fenced(self._session, self._address)
            self._session.close()
        self._on_lost(error)
        raise error

    def give_up(self, error: StoreFenced) -> None:
        """Renew no more, since another manager leads."""
        self.stop(0.0)
        with self._renewing:
            self._lost = error
            self._session.close()

    def _lock_again(self) -> int:
        """Take another lock for a new connection: the old one's may be held by what is left of that."""
        self._session.open()
        return new_lock(self._session)

    def _keep(self) -> None:
        failing = False
        while not self._end.wait(self._lease_s / _SHARE):
            try:
                self.renew()
            except StoreFenced:
                return
            except StoreError as error:
                if not failing and not self._end.is_set():
                    _log.warning("the lease cannot be renewed; it is tried again: %s", error)
                failing = True
            else:
                failing = False

    def stop(self, timeout_s: float) -> None:
        """End the thread."""
        self._end.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def lay_down(self) -> None:
        """Let the next one lead at once."""
        with contextlib.suppress(StoreError):  # then it finds the connection gone, or the lease run out
            self._session.run(
                "WITH down AS ("
                f"UPDATE {self._address.schema}.leader SET lock = NULL WHERE fence = %s RETURNING fence"
                ") SELECT pg_notify(%s, 'released ' || fence) FROM down",
                [self.fence, self._address.schema],
            )


def fenced(session: Session, address: Address, doubt: str = "") -> StoreFenced:
    """What to raise where the fence is another's."""
    leader = read_leader(session, address)
    since = datetime.fromtimestamp(leader.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return StoreFenced(
        f'another manager leads "{address}" since {since}: {leader}. This one writes nothing any more'
        f"{doubt}; end it, or have it wait for the lead again"
    )
