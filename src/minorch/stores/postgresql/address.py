"""Where a store is: the server, the database and the schema in it, without ever showing a password."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from minorch.errors import UsageError

__all__ = ["Address"]

_DEFAULT_SCHEMA: Final = "minorch"
_SCHEMA: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
_SECRET: Final = ("password", "sslpassword", "passfile", "oauth_client_secret")


class Address:
    """A database and a schema in it.

    Args:
        url: ``postgresql://user:password@host:port/database``, with libpq's parameters behind a question
            mark, and ``schema=`` beside them; or libpq's ``host=... dbname=...``.
        schema: the schema, unless the URL names one.

    Raises:
        UsageError: it is no such address, or no name of a schema.
    """

    def __init__(self, url: str, schema: str | None) -> None:
        plain, named = _split_schema(url)
        if schema is not None and named is not None and schema != named:
            raise UsageError(f'there are two schemas, "{named}" in the URL and schema="{schema}"')
        self.schema: Final = next((name for name in (named, schema) if name is not None), _DEFAULT_SCHEMA)
        if not _SCHEMA.fullmatch(self.schema):
            raise UsageError(
                f"{self.schema[:70]!r} is no name for a schema: up to 63 lower-case letters, digits and "
                'underscores, and no "pg_" at the beginning'
            )
        try:
            parsed = conninfo_to_dict(plain)
        except psycopg.Error:  # whose message may repeat what stands there, and so a password
            raise UsageError(
                "this is no address of a PostgreSQL database; write "
                "postgresql://user:password@host/database, with %xx for what is special in a user's name or "
                "a password"
            ) from None
        self.parameters: Final = {name: str(value) for name, value in parsed.items() if value is not None}
        self._secrets: Final = sorted(
            {
                form
                for name in _SECRET
                if (word := self.parameters.get(name))
                for form in (word, quote(word, safe=""), unquote(word))
            },
            key=len,
            reverse=True,
        )

    def hide(self, text: str) -> str:
        """Take out of a text what is secret, should it be in there."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def __str__(self) -> str:
        """As a URL, without the password."""
        known = self.parameters
        user = f"{quote(known['user'], safe='')}@" if "user" in known else ""
        host = known.get("host", "")
        host = quote(host, safe="") if "/" in host else host
        port = f":{known['port']}" if "port" in known else ""
        database = known.get("dbname", "")
        schema = "" if self.schema == _DEFAULT_SCHEMA else f"?schema={self.schema}"
        return self.hide(f"postgresql://{user}{host}{port}/{database}{schema}")


def _split_schema(url: str) -> tuple[str, str | None]:
    """A URL without ``schema=``, which libpq does not know, and what that said."""
    if not url.startswith(("postgresql://", "postgres://")):
        return url, None
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:  # libpq says what it thinks of it
        return url, None
    rest = [(name, value) for name, value in query if name != "schema"]
    named = [value for name, value in query if name == "schema"]
    if not named:
        return url, None
    return urlunsplit(parts._replace(query=urlencode(rest, quote_via=quote))), named[-1]
