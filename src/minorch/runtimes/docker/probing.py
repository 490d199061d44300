"""Asking a running container whether it still does its work: exec, tcp and http checks.

Every check ends within its time-out, whatever the container sends or does not send.  The time-out
judges the task: what the engine itself takes to begin a command does not count against it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from minorch.contracts import Probe
from minorch.errors import EngineUnavailable
from minorch.ids import RunKey
from minorch.model import HealthCheck
from minorch.runtimes.docker.containers import Containers
from minorch.runtimes.docker.engine import Engine, container_path
from minorch.runtimes.docker.faults import Refused
from minorch.runtimes.docker.logs import demultiplex
from minorch.runtimes.docker.measuring import belongs_to
from minorch.runtimes.docker.status import published

__all__ = ["probe", "try_port"]

_MOST_OUTPUT: Final = 500
"""Characters. None is cut in half, or a secret that ends there would not be recognised."""
_LONGEST_CHARACTER: Final = 4
"""In bytes."""
_PROXY_S: Final = 0.1
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] (\d{3})\b")
_EXEC_ID: Final = re.compile(r"[0-9a-f]{64}\Z")


def probe(engine: Engine, containers: Containers, key: RunKey, check: HealthCheck) -> Probe:
    """Make one check of a run.

    Raises:
        EngineUnavailable: the engine does not answer, so nothing is known of the run.
    """
    if check.kind == "exec":
        return _exec(engine, containers, key, check)
    record = containers.record(key)
    if record is None or not record["State"].get("Running"):
        return Probe(False, "it does not run")
    address = _address(engine, record, check.port)
    if address is None:
        return Probe(
            False,
            f"port {check.port} cannot be reached from here: publish it with {_publish(engine, check.port)}",
        )
    return try_port(address, check)


def try_port(address: tuple[str, int], check: HealthCheck) -> Probe:
    """Make a tcp or http check at *address*, which is where its port is reached from here."""
    deadline = time.monotonic() + check.timeout_s
    try:
        with socket.create_connection(address, timeout=check.timeout_s) as connection:
            if check.kind == "http":
                return _http(connection, address, check.path, deadline)
            return _tcp(connection, deadline)
    except TimeoutError:
        return Probe(False, f"port {check.port} did not answer within {check.timeout_s:g} s")
    except OSError as error:
        return Probe(False, f"port {check.port}: {error.strerror or error}")


def _publish(engine: Engine, port: int) -> str:
    return f"Port({port})" if engine.local else f'Port({port}, host_ip="0.0.0.0")'


def _address(engine: Engine, record: Mapping[str, Any], port: int) -> tuple[str, int] | None:
    """Where a port is reached: published, else at the container's own address if the engine is local."""
    binding = published(record, engine.address).get(f"{port}/tcp")
    if binding is not None:
        # A remote machine's loopback is not ours, where anything else may listen at that port.
        return (
            binding if engine.local or not _is_loopback(binding[0]) or _is_loopback(engine.address) else None
        )
    if not engine.local:
        return None
    settings = record.get("NetworkSettings") or {}
    networks = settings.get("Networks") or {}
    if "host" in networks:
        return "127.0.0.1", port
    found = [network.get("IPAddress") for network in networks.values()]
    return next(((ip, port) for ip in found if ip), None)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _tcp(connection: socket.socket, deadline: float) -> Probe:
    """The engine's proxy accepts where nobody listens, and hangs up at once: wait for that a little."""
    connection.settimeout(max(0.001, min(_PROXY_S, deadline - time.monotonic())))
    with contextlib.suppress(TimeoutError):
        if not connection.recv(1):
            return Probe(False, "the connection was closed at once: nothing listens")
    return Probe(True, "it accepts connections")


def _http(connection: socket.socket, address: tuple[str, int], path: str, deadline: float) -> Probe:
    """Send a GET and read no more than the line with the status; a redirect is not followed."""
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    request = (
        f"GET {quote(path, safe='/?#[]@!$&()*+,;=%:~-._')} HTTP/1.1\r\n"
        f"Host: {shown}:{address[1]}\r\nUser-Agent: minorch\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
    connection.sendall(request.encode())
    answer = b""
    while len(answer) < 4096 and b"\n" not in answer:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        piece = connection.recv(4096)
        if not piece:
            break
        answer += piece
    match = _STATUS_LINE.match(answer)
    if match is None:
        return Probe(False, "no HTTP answer")
    status = int(match[1])
    return Probe(200 <= status < 400, f"GET {path} answered {status}")


def _exec(engine: Engine, containers: Containers, key: RunKey, check: HealthCheck) -> Probe:
    known = containers.known(key)
    if known is None:
        return Probe(False, "it does not run")
    try:
        made = engine.record(
            "POST",
            container_path(known.id, "exec"),
            body={"Cmd": list(check.command), "AttachStdout": True, "AttachStderr": True, "Tty": False},
        )
        exec_id = str(made.get("Id", ""))
        if not _EXEC_ID.match(exec_id):
            return Probe(False, "the engine gave no id for the check")
        output, in_time = _run(engine, exec_id, check.timeout_s)
        result = engine.record("GET", f"/exec/{exec_id}/json")
    except Refused as refusal:  # it ended meanwhile, is paused, or has no such command
        return Probe(False, refusal.text[:_MOST_OUTPUT])
    said = f": {output}" if output else ""
    if not in_time:
        _end(engine, result, known.id)
        return Probe(False, f"no result within {check.timeout_s:g} s{said}")
    code = result.get("ExitCode")
    return Probe(code == 0, f"exit code {code}{said}")


def _run(engine: Engine, exec_id: str, timeout_s: float) -> tuple[str, bool]:
    """Run an exec to its end or its time-out; return what it wrote first, and whether it ended."""
    late = threading.Event()
    stream = engine.stream("POST", f"/exec/{exec_id}/start", body={"Detach": False, "Tty": False})

    def cut() -> None:
        late.set()
        stream.close()

    timer = threading.Timer(timeout_s, cut)
    timer.daemon = True
    timer.start()
    output = b""
    try:
        for piece in demultiplex(stream.pieces()):
            output = (output + piece)[: _LONGEST_CHARACTER * _MOST_OUTPUT]
    except EngineUnavailable:
        if not late.is_set():
            raise
    finally:
        timer.cancel()
        stream.close()
    return output.decode(errors="replace")[:_MOST_OUTPUT].strip(), not late.is_set()


def _end(engine: Engine, result: Mapping[str, Any], container_id: str) -> None:
    """Kill a check that hangs, or each one would leave a process behind. The engine has no call for it."""
    pid = int(result.get("Pid") or 0)
    if engine.local and belongs_to(pid, container_id):
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to kill
            os.kill(pid, signal.SIGKILL)
