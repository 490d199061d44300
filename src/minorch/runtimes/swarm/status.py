"""From a task of a Swarm to a :class:`~minorch.contracts.RunStatus`. Pure.

Swarm tells the exit code of a container, and nothing of what the kernel did to it: a run that was ended for
using too much memory is ``killed`` here, with 137.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from minorch.contracts import RunPhase, RunStatus
from minorch.errors import StartFailed
from minorch.runtimes.docker.faults import start_failure
from minorch.runtimes.docker.status import ended
from minorch.runtimes.swarm.snapshot import SwarmNode, SwarmTask
from minorch.states import Reason

__all__ = ["ended_by_swarm", "never_began", "phase_of", "read_status", "why_not_started"]

_SWARMS_OWN: Final = "Swarm ended it: its node was drained, or was down for a while"
_NOT_STARTED: Final = "starting container failed"
_UNHEALTHY: Final = "unhealthy container"


def phase_of(task: SwarmTask) -> RunPhase:
    """How far a run has come, without looking closely."""
    if task.state == "running":
        return "running"
    return "exited" if task.over and not never_began(task) else "created"


def never_began(task: SwarmTask) -> bool:
    """Whether it certainly never ran and never will."""
    match task.state:
        case "rejected":
            return True
        case "failed":
            return task.error.startswith(_NOT_STARTED) or not task.container_id
        case "shutdown":
            return not task.container_id
        case _:
            return False


def ended_by_swarm(task: SwarmTask) -> bool:
    """Whether Swarm ended a run that nobody had asked it to end."""
    return task.state == "shutdown" and not task.replaced and task.desired != "remove"


def why_not_started(task: SwarmTask) -> StartFailed:
    """Return the error for a task that never began, in the words and with the reason of its node."""
    text = task.error or task.message or "its node does not say why"
    return start_failure(text)


def read_status(task: SwarmTask, node: SwarmNode | None, *, began_at: float | None = None) -> RunStatus:
    """Return what is known of a run.

    Args:
        task: its record.
        node: where it is; for the address of its ports.
        began_at: when it was first seen to run, if it was.
    """
    if task.state == "running":
        return RunStatus(
            key=task.key,
            phase="running",
            started_at=task.changed_at,
            ports=_ports(task, node),
            handle=task.container_id or task.id,
        )
    if phase_of(task) == "created":
        words = task.error and f"its start failed: {task.error}" if task.over else task.error
        return RunStatus(key=task.key, phase="created", message=words, handle=task.id)
    return _ended(task, task.created_at if began_at is None else began_at)


def _ended(task: SwarmTask, began_at: float | None) -> RunStatus:
    code = None if task.state == "orphaned" else task.exit_code
    status = ended(
        task.key,
        code,
        started_at=began_at,
        finished_at=task.changed_at,
        handle=task.container_id or task.id,
    )
    if task.state == "orphaned":
        return replace(status, message="its node has been down for so long that Swarm has given it up")
    if ended_by_swarm(task):  # whatever its code: one that obeyed with 0 has not done its work
        return replace(status, reason=Reason.KILLED, message=_SWARMS_OWN)
    if _UNHEALTHY in task.error:
        return replace(status, reason=Reason.UNHEALTHY, message="its health check failed too often")
    return status


def _ports(task: SwarmTask, node: SwarmNode | None) -> dict[str, str]:
    host = node.address if node is not None else "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return {f"{target}/{protocol}": f"{shown}:{port}" for target, protocol, port in task.ports}
