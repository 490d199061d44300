"""From a container's inspect record to a :class:`~minorch.contracts.RunStatus`. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from minorch.contracts import RunStatus
from minorch.ids import RunKey
from minorch.runtimes.docker.faults import hide
from minorch.runtimes.docker.labels import key_of
from minorch.states import Reason

__all__ = [
    "ended",
    "has_started",
    "is_gone",
    "labels_in",
    "parse_time",
    "published",
    "read_status",
    "tini_complaint",
]

_LONG_FRACTION: Final = re.compile(r"(\.\d{6})\d+")
_ANYWHERE: Final = ("", "0.0.0.0", "::")
_TINI: Final = re.compile(r"\[FATAL tini \(\d+\)\] (.{1,500})")


def read_status(record: Mapping[str, Any], address: str = "127.0.0.1") -> RunStatus | None:
    """Return what an inspect record says of a run; None if the container is not ours or as good as removed.

    Args:
        record: the engine's answer.
        address: where ports are reached that are published on all addresses.
    """
    key = key_of(labels_in(record))
    if key is None or is_gone(record):
        return None
    state, handle = record["State"], record["Id"]
    if not has_started(record):
        return RunStatus(key=key, phase="created", message=_start_error(record), handle=handle)
    started_at = parse_time(state.get("StartedAt"))
    if state.get("Running") or state.get("Paused") or state.get("Restarting"):
        return RunStatus(
            key=key, phase="running", started_at=started_at, ports=_ports(record, address), handle=handle
        )
    return ended(
        key,
        state.get("ExitCode"),
        oom=bool(state.get("OOMKilled")),
        started_at=started_at,
        finished_at=parse_time(state.get("FinishedAt")),
        handle=handle,
    )


def ended(
    key: RunKey,
    exit_code: int | None,
    *,
    oom: bool = False,
    started_at: float | None,
    finished_at: float | None,
    handle: str,
) -> RunStatus:
    """Return the status of a run that ended with *exit_code*, with the reason that the code tells.

    ``oom`` with exit code 0 means that a child was killed and the run coped: an annotation, not the result.
    """
    reason, message = Reason.EXITED, ""
    if exit_code is None:
        reason, message = Reason.EXIT_UNKNOWN, "the engine does not tell how it ended"
    elif oom and exit_code:
        reason, message = Reason.OOM, "the kernel killed it for using more memory than its limit"
    elif oom:
        message = "the kernel killed one of its processes for using more memory than the limit"
    elif 128 < exit_code <= 128 + 64:
        reason, message = Reason.KILLED, f"ended by {_signal_name(exit_code - 128)}"
    if finished_at is not None and started_at is not None:
        finished_at = max(finished_at, started_at)  # the engine's own times can be the wrong way round
    return RunStatus(
        key=key,
        phase="exited",
        exit_code=exit_code,
        reason=reason,
        message=message,
        started_at=started_at,
        finished_at=finished_at,
        handle=handle,
    )


def has_started(record: Mapping[str, Any]) -> bool:
    """Whether the container ever ran; a failed start leaves it in the year 1."""
    return parse_time(record["State"].get("StartedAt")) is not None


def is_gone(record: Mapping[str, Any]) -> bool:
    """Whether the engine is about to remove it."""
    state = record["State"]
    return state.get("Status") in ("dead", "removing") or bool(state.get("Dead"))


def labels_in(record: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the labels in an inspect record."""
    return (record.get("Config") or {}).get("Labels") or {}


def tini_complaint(log: bytes) -> str:
    """Return what the init process says in *log* of a command that it could not start, or an empty string.

    With ``init``, the engine sees a start succeed and an exit code of 127 or 126 (measured).
    """
    match = _TINI.search(log.decode(errors="replace"))
    return match[1].strip() if match else ""


def parse_time(text: str | None) -> float | None:
    """Return an RFC 3339 time in seconds since 1970; None for none and for the engine's zero, the year 1.

    >>> parse_time("1970-01-01T00:00:01.500000000Z")
    1.5
    """
    if not text or text.startswith("0001-"):
        return None
    try:
        return datetime.fromisoformat(_LONG_FRACTION.sub(r"\1", text)).timestamp()
    except ValueError:
        return None


def published(record: Mapping[str, Any], address: str) -> dict[str, tuple[str, int]]:
    """Return where published ports are reached: ``{"80/tcp": ("127.0.0.1", 32768)}``."""
    ports: dict[str, tuple[str, int]] = {}
    for name, bindings in ((record.get("NetworkSettings") or {}).get("Ports") or {}).items():
        for binding in sorted(bindings or (), key=lambda one: ":" in one["HostIp"]):  # IPv4 first
            host = address if binding["HostIp"] in _ANYWHERE else binding["HostIp"]
            ports.setdefault(name, (host, int(binding["HostPort"])))
    return ports


def _ports(record: Mapping[str, Any], address: str) -> dict[str, str]:
    return {
        name: f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        for name, (host, port) in published(record, address).items()
    }


def _start_error(record: Mapping[str, Any]) -> str:
    error = str(record["State"].get("Error") or "")
    if not error:
        return ""
    pairs = ((record.get("Config") or {}).get("Env")) or ()
    values = (pair.partition("=")[2] for pair in pairs)  # which of them are secret is not recorded
    return f"its start failed: {hide(error, (value for value in values if len(value) >= 6))}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
