"""Starting the process itself: the one place that does.

Never with ``preexec_fn`` or another user: those make Python ``fork`` instead of ``vfork``, which takes
30 ms from a process of 1 GiB.  What must happen between fork and exec is done by ``/bin/sh`` instead:

- a memory limit, as RLIMIT_DATA: it counts the private memory that a process may write.  RLIMIT_AS
  would count address space, of which a JVM or a Go program reserves far more than it uses.  Setting it
  from outside (``prlimit``) comes too late for what the process does first.
- the supervisor, which waits for the command and writes its exit code down, so that it is known even
  if the embedding process was not there to see it.

Core dumps are turned off from outside, where the operating system can; a moment's delay hurts nobody.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from minorch.errors import StartFailed
from minorch.runtimes.process.files import RunFiles

__all__ = ["base_environment", "can_be_supervised", "spawn"]

_INHERITED: Final = ("PATH", "HOME", "LANG", "TMPDIR", "TZ")
_SHELL: Final = "/bin/sh"
_SHELL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# A trap that does something is reset in what the shell starts, one that ignores ('') would be inherited.
# The shell acts on it only after the command has ended: a signal to the group reaches the command alone.
_SUPERVISE: Final = (
    "run=$1 record=$2; shift 2; trap : TERM INT HUP QUIT USR1 USR2 ALRM; "
    '"$@"; code=$?; printf "\\n%s\\n" "$run $code" >>"$record"; exit "$code"'
)

_LONGEST_SHOWN: Final = 120
"""Names of programs that are longer are not quoted."""


def base_environment() -> dict[str, str]:
    """The few variables that every run inherits: the embedding process may have secrets in the rest."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("LC_")}
    kept.setdefault("PATH", os.defpath)
    return kept


def can_be_supervised(environment: Mapping[str, str]) -> bool:
    """Whether a shell hands all of it on: it drops variables whose names it could not write itself."""
    return all(map(_SHELL_NAME.match, environment))


def spawn(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    workdir: str,
    log: int,
    memory: int = 0,
    record: RunFiles | None = None,
) -> int:
    """Start *command* in a session of its own and return its pid.

    Args:
        command: program and arguments; a program without ``/`` is looked for in the PATH of *environment*.
        environment: all of its variables.
        workdir: where it starts.
        log: file descriptor for its output and errors.
        memory: limit in bytes; 0: none.
        record: the run whose exit code a supervisor writes down; None: without supervisor.

    Raises:
        StartFailed: it was not started.
    """
    argv = list(command)
    if memory or record is not None:
        if not can_be_supervised(environment):
            raise StartFailed(
                "a memory limit needs environment variables with names of letters, digits and _ only"
            )
        argv = _through_shell(argv, environment, workdir, memory, record)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=workdir,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _start_failed(command[0], workdir, error) from None
    # Popen must neither wait for it, which would turn an unknown exit into 0 (see subprocess on ECHILD),
    # nor warn that nobody did: the watcher waits.
    process.returncode = 0
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
    return process.pid


def _through_shell(
    argv: list[str], environment: Mapping[str, str], workdir: str, memory: int, record: RunFiles | None
) -> list[str]:
    program = _find(argv[0], environment["PATH"], workdir)
    # Refused is better than not limited: without `||` a shell that cannot set a limit goes on.
    script = f"ulimit -d {max(1, memory // 1024)} || exit 126; " if memory else ""
    if record is None:
        return [_SHELL, "-c", f'{script}exec "$@"', "sh", program, *argv[1:]]
    return [_SHELL, "-c", script + _SUPERVISE, "sh", record.name, record.record, program, *argv[1:]]


def _find(program: str, path: str, workdir: str) -> str:
    """Find it as exec would; with its directory, so that the shell does not take it for its own word."""
    denied = False
    places = [""] if "/" in program else path.split(os.pathsep)
    for place in places:
        # The shell starts in workdir, and a relative name must keep its "/".
        full = os.path.join(workdir, place, program)
        if os.access(full, os.X_OK) and not os.path.isdir(full):
            return full if places != [""] else program
        denied = denied or os.path.exists(full)
    raise _start_failed(program, workdir, OSError(errno.EACCES if denied else errno.ENOENT, "", program))


def _start_failed(program: str, workdir: str, error: OSError | ValueError) -> StartFailed:
    # In full or not at all: of a name that is cut, what is left of a secret in it would not be recognised.
    shown = f'"{program}"' if len(program) <= _LONGEST_SHOWN else f"of {len(program):,} characters"
    if not isinstance(error, OSError):  # says which argument, but might quote it
        return StartFailed("its command or environment holds text that no operating system accepts")
    if error.filename == workdir and not os.path.isdir(workdir):
        return StartFailed(f"its workdir {workdir} is not there any more")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return StartFailed(
            f"there is no command {shown} on this machine", reason="command_not_found", exit_code=127
        )
    if error.errno == errno.EACCES:
        return StartFailed(f"the command {shown} may not be executed", exit_code=126)
    return StartFailed(f"the command {shown} could not be started: {os.strerror(error.errno or 0)}")
