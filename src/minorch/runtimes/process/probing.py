"""Health checks of a process: a command beside it, a connection, an HTTP request; all within a time-out."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from typing import Final

from minorch.contracts import Probe
from minorch.model import HealthCheck
from minorch.runtimes.process.processes import birth, signal_group

__all__ = ["probe_command", "probe_port"]

_KEPT: Final = 4096


def probe_command(check: HealthCheck, environment: Mapping[str, str], workdir: str) -> Probe:
    """Run the check's command as the task itself would run; healthy if it exits with 0."""
    deadline = time.monotonic() + check.timeout_s
    try:
        process = subprocess.Popen(
            list(check.command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=workdir,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        problem = os.strerror(error.errno or 0) if isinstance(error, OSError) else "unusable text"
        return Probe(False, f'the check "{check.command[0]:.120}" could not be started: {problem}')
    born = birth(process.pid) or ""
    with process:
        try:
            said = _read_until(process, deadline)
            code = process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return Probe(False, f"the check did not end within {check.timeout_s:g} s")
        finally:
            signal_group(process.pid, born, signal.SIGKILL)
    last = said.decode(errors="replace").strip()
    return Probe(code == 0, f"exit code {code}{f': {last:.200}' if last else ''}")


def _read_until(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Read its output to the end; returns the beginning of its last line that says something.

    Not the end: what is cut in front may begin within a secret, which nobody would recognise.
    """
    if process.stdout is None:
        return b""
    pipe = process.stdout.fileno()
    poll = select.poll()  # unlike select() it takes descriptors above 1023
    poll.register(pipe, select.POLLIN)
    last = line = b""
    while (left_s := deadline - time.monotonic()) > 0:
        if process.poll() is not None:
            left_s = 0.0  # a child of the check may hold the pipe for ever
        if not poll.poll(1000 * min(left_s, 0.05)):
            if process.returncode is not None:
                break
            continue
        piece = os.read(pipe, 65536)
        if not piece:
            break
        *ended, rest = piece.split(b"\n")
        for part in ended:
            last, line = (line + part)[:_KEPT].strip() or last, b""
        line = (line + rest)[:_KEPT]
    return line.strip() or last


def probe_port(check: HealthCheck, host: str, port: int) -> Probe:
    """Connect, and for ``http`` ask for the path; healthy if it answers 200 to 399."""
    deadline = time.monotonic() + check.timeout_s
    try:
        with socket.create_connection((host, port), timeout=check.timeout_s) as connection:
            if check.kind == "tcp":
                return Probe(True, f"{host}:{port} accepts connections")
            request = f"GET {check.path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            return _judge(_status_line(connection, deadline))
    except TimeoutError:
        return Probe(False, f"{host}:{port} did not answer within {check.timeout_s:g} s")
    except OSError as error:
        return Probe(False, f"{host}:{port}: {error.strerror or error}")


def _status_line(connection: socket.socket, deadline: float) -> bytes:
    # Not http.client: its time-out begins anew with every byte that a slow server sends.
    answer = b""
    while b"\n" not in answer and len(answer) < _KEPT:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        piece = connection.recv(_KEPT)
        if not piece:
            break
        answer += piece
    return answer.partition(b"\n")[0]


def _judge(line: bytes) -> Probe:
    words = line.decode("latin-1").split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():
        return Probe(False, "what it answered is not HTTP")
    return Probe(200 <= int(words[1]) < 400, f"HTTP {words[1]:.3}")
