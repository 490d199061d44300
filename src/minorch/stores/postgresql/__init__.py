"""A store in a PostgreSQL database, which several managers share and one of them leads. It needs psycopg 3.

:mod:`~minorch.stores.postgresql.store` is what users see; :mod:`~minorch.stores.postgresql.lead` waits for
the lead and takes it, :mod:`~minorch.stores.postgresql.tenure` keeps it, and
:mod:`~minorch.stores.postgresql.writer` writes under it.
"""

from __future__ import annotations

try:
    import psycopg  # noqa: F401
except ImportError as error:
    raise ImportError(
        f'the store "postgresql" needs psycopg 3 ({error}): pip install "minorch[postgres]"', name="psycopg"
    ) from error

from minorch.stores.postgresql.lead import Leader
from minorch.stores.postgresql.store import PostgreSQLStore

__all__ = ["Leader", "PostgreSQLStore"]
