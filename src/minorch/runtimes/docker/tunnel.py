"""An engine behind SSH: one connection of the system's ``ssh``, which carries its socket to one of ours.

The user's own ``ssh`` knows the user's keys, agents, jump hosts, aliases, and whom to trust; none of that is
decided here.  It is never asked anything: what would need an answer fails, in ``ssh``'s own words.

The remote end of the session reads from a pipe that only this process holds, so ``ssh`` ends with us, however
that comes about.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from minorch.errors import EngineUnavailable, UsageError

__all__ = ["Tunnel"]

_PREFIX: Final = "minorch-ssh-"
_REMOTE: Final = "/var/run/docker.sock"
_CONNECT_S: Final = 15.0
_LOOK_S: Final = 0.02
_LOOKS: Final = 10
_PAUSE_S: Final = 2.0
"""After it failed nobody tries again for so long, however many ask."""
_MOST_WORDS: Final = 600
_MOST_LOG: Final = 64 * 1024
_OPTIONS: Final = (
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ExitOnForwardFailure=yes",
    "ServerAliveInterval=3",  # a machine that is cut off is noticed within nine seconds
    "ServerAliveCountMax=2",
    "StreamLocalBindMask=0177",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ControlMaster=no",  # one of the user's own would go on when this one is to end
    "ControlPath=none",
    "LogLevel=INFO",  # or it does not say why a connection that it carries came to nothing
)
_REFUSED: Final = re.compile(r"open failed|administratively prohibited", re.IGNORECASE)
_ADVICE: Final = (
    (r"host key verification failed", "connect once by hand and compare its fingerprint: ssh {target}"),
    (r"remote host identification has changed", "it may be another machine: see ssh-keygen -R"),
    (r"permission denied", "give it a key that needs no password, and try: ssh -o BatchMode=yes {target}"),
    (r"could not resolve hostname", "is the name right?"),
    (r"connection refused|timed out|no route to host", "is the machine up, and its SSH server?"),
)


class Tunnel:
    """Carries connections to an engine on another machine, and is made again when it breaks.

    Args:
        url: ``ssh://user@host:port``, and behind it the path of the engine's socket if it is not the usual.

    Raises:
        UsageError: it names no host.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host or host.startswith("-") or (parts.username or "").startswith("-"):
            raise UsageError(f"{url!r:.100} names no host; write ssh://user@host")
        self._url = url
        self._target = f"{unquote(parts.username)}@{host}" if parts.username else host
        self._port = parts.port
        self._remote = unquote(parts.path).rstrip("/") or _REMOTE
        if ":" in self._remote:
            raise UsageError(f"{url!r:.100}: the path of a socket has no colon")
        self._lock = threading.Lock()
        self._ssh: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._closed = False
        self._failure = ""
        """Why it could not be made when that was last tried."""
        self._failed_at = 0.0

    def socket(self) -> str:
        """The path of our end, always the same; what connects there reaches the engine.

        Raises:
            EngineUnavailable: the machine cannot be reached, or does not let us in; the message says why.
        """
        with self._lock:
            if self._closed:
                raise EngineUnavailable(f"the connection to {self._url} was closed")
            if self._ssh is None or self._ssh.poll() is not None:
                if self._failure and time.monotonic() < self._failed_at + _PAUSE_S:
                    raise EngineUnavailable(self._failure)
                self._end()
                try:
                    self._begin()
                except EngineUnavailable as error:
                    self._failure, self._failed_at = str(error), time.monotonic()
                    raise
                self._failure = ""
            return self._path("socket")

    def explain(self) -> str | None:
        """Why connections come to nothing although the tunnel stands; None: it does not say."""
        for _ in range(_LOOKS):  # ssh may be a moment behind
            words = self._said()
            if _REFUSED.search(words):
                self._forget_said()  # it explains no later one
                return (
                    f"{self._target} can be reached, and no Docker Engine answers there at {self._remote}: "
                    f"is it installed and running, and may this user use it? ({_short(words)})"
                )
            time.sleep(_LOOK_S)
        return None

    def _begin(self) -> None:
        ssh = shutil.which("ssh")
        if ssh is None:
            raise EngineUnavailable(f"{self._url} needs the program ssh: install openssh-client")
        if self._folder is None:
            _sweep()
            prefix = f"{_PREFIX}{os.getpid()}-"
            self._folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path("socket"))
        command = [ssh, "-T", *(word for option in _OPTIONS for word in ("-o", option))]
        command += ["-L", f"{self._path('socket')}:{self._remote}"]
        command += ["-p", str(self._port)] if self._port else []
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path("said"))
        with open(self._path("said"), "ab") as said:  # so that it can be emptied
            self._ssh = subprocess.Popen(
                [*command, "--", self._target, "cat >/dev/null"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,  # an interrupt is for the program, not for its connection
            )
        deadline = time.monotonic() + _CONNECT_S
        while time.monotonic() < deadline:
            if self._ssh.poll() is not None:
                raise self._failed(self._said())
            if self._connects():
                return
            time.sleep(_LOOK_S)
        self._end()
        raise EngineUnavailable(f"no SSH to {self._target} within {_CONNECT_S:g} s: is the machine up?")

    def _connects(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(self._path("socket"))
            except OSError:
                return False
        return True

    def _failed(self, words: str) -> EngineUnavailable:
        self._end()
        advice = next((hint for pattern, hint in _ADVICE if re.search(pattern, words, re.IGNORECASE)), "")
        hint = f"; {advice.format(target=self._target)}" if advice else ""
        return EngineUnavailable(f"no SSH to {self._target}: {_short(words) or 'it ended at once'}{hint}")

    def _path(self, name: str) -> str:
        assert self._folder is not None
        return str(Path(self._folder.name) / name)

    def _said(self) -> str:
        """The end of what ssh told."""
        if self._folder is None:
            return ""
        try:
            with open(self._path("said"), "rb") as said:
                said.seek(0, os.SEEK_END)
                said.seek(max(0, said.tell() - _MOST_LOG))
                return said.read().decode(errors="replace")
        except OSError:
            return ""

    def _forget_said(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._folder is not None:
                os.truncate(self._path("said"), 0)

    def _end(self) -> None:
        if self._ssh is not None:
            if self._ssh.stdin is not None:
                with contextlib.suppress(OSError):
                    self._ssh.stdin.close()
            self._ssh.terminate()
            try:
                self._ssh.wait(2.0)
            except subprocess.TimeoutExpired:
                self._ssh.kill()
                self._ssh.wait()
            self._ssh = None

    def close(self) -> None:
        """End it. Closing twice is fine."""
        with self._lock:
            self._closed = True
            self._end()
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's, or no number of a process at all
        return True
    return True


def _sweep() -> None:
    """Remove what programs of this user left that were killed; each folder's name says whose it was."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if owner.isdigit() and not _lives(int(owner)) and folder.stat().st_uid == os.getuid():
                shutil.rmtree(folder, ignore_errors=True)


def _short(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip() and set(line.strip()) != {"@"}]
    return " / ".join(dict.fromkeys(lines[-4:]))[:_MOST_WORDS]
