"""A PostgreSQL of one's own: made in its own directory, reached by a socket in there, gone with its owner.

It waits for its disk as it does for users (``fsync=on``).  As root, which it refuses to run as, it runs as
the user ``postgres`` or ``nobody``.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg

__all__ = ["Server", "missing", "private_server"]

PATIENCE_S = 30.0
HBA = """\
local all guarded scram-sha-256
local all all trust
"""


def binaries() -> Path | None:
    """Where the newest server's programs are."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    places += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: float(place.parent.name), reverse=True
    )
    return next((place for place in places if (place / "initdb").exists()), None)


def missing() -> str | None:
    """Why there can be no server here; None: there can."""
    if binaries() is None:
        return "there is no PostgreSQL here (on Debian: apt-get install postgresql)"
    if shutil.which("setpriv") is None:
        return "there is no setpriv here (util-linux)"
    return None


def account() -> str | None:
    """The user to run it as; None: whoever we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise AssertionError("there is neither a user postgres nor nobody")


class Server:
    """One server, in *directory*, which belongs to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._bin = binaries()
        assert self._bin is not None
        self._prefix = ["setpriv", "--pdeathsig=INT"]
        user = account()
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(directory, entry.pw_uid, entry.pw_gid)
            self._prefix += [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
        self._process: subprocess.Popen[bytes] | None = None
        words = [*self._prefix, str(self._bin / "initdb"), "-D", str(directory / "data"), "-A", "trust"]
        words += ["-U", "minorch", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions"]
        subprocess.run(words, cwd=directory, check=True, stdout=subprocess.DEVNULL)
        (directory / "data" / "pg_hba.conf").write_text(HBA)

    def start(self) -> None:
        """Start it, and wait until it answers. It ends with the thread that does this."""
        assert self._bin is not None
        words = [*self._prefix, str(self._bin / "postgres"), "-D", str(self.directory / "data")]
        words += ["-k", str(self.directory), "-c", "listen_addresses=", "-c", "fsync=on"]
        words += ["-c", "log_min_messages=warning", "-c", "shared_buffers=32MB"]
        with open(self.directory / "log", "ab") as log:
            self._process = subprocess.Popen(words, cwd=self.directory, stdout=log, stderr=log)
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.run("SELECT 1")
                return
            except psycopg.OperationalError:
                told = (self.directory / "log").read_text(errors="replace")[-2000:]
                assert self._process.poll() is None, f"it ended:\n{told}"
                assert time.monotonic() < give_up, f"it does not answer:\n{told}"
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: in order but at once (SIGINT), or as if it crashed (SIGQUIT)."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE_S)
            self._process = None

    def url(self, schema: str = "minorch", user: str = "minorch", database: str = "postgres") -> str:
        """What a store of this server is called."""
        host = quote(str(self.directory), safe="")
        return f"postgresql://{user}@/{database}?host={host}&schema={schema}"

    def connect(self) -> psycopg.Connection:
        """A connection behind the store's back."""
        return psycopg.connect(
            host=str(self.directory), user="minorch", dbname="postgres", autocommit=True, connect_timeout=5
        )

    def run(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement behind the store's back."""
        with contextlib.closing(self.connect()) as db:
            cursor = db.execute(statement.encode())
            return cursor.fetchall() if cursor.description is not None else []


@contextlib.contextmanager
def private_server() -> Iterator[Server]:
    """Make a server, start it, and leave nothing of it."""
    directory = Path(tempfile.mkdtemp(prefix="minorch-pg-", dir="/tmp"))  # a socket's path is short
    try:
        server = Server(directory)
        try:
            server.start()
            yield server
        finally:
            server.stop(signal.SIGINT)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
