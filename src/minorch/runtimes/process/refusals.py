"""What a plain process cannot honour. It is refused in words, never ignored.

Not refused, and not enforced either, since it only bounds what a well-behaved task does: ``pids``
(the operating system counts them per user) and the ``cpu`` and ``disk`` of ``resources``, which are
reserved on the node all the same.
"""

from __future__ import annotations

import os
import pwd

from minorch.errors import PolicyError, StartFailed
from minorch.model import Task

__all__ = ["refuse_unless_possible"]


def refuse_unless_possible(task: Task) -> None:
    """Raise unless a plain process can do what the task asks for.

    Raises:
        StartFailed: with what is in the way, and what to do.
    """
    if not task.entrypoint and not task.command:
        raise StartFailed(
            f"the image {task.image} cannot run as a plain process: "
            "give the task a command, or run it on Docker"
        )
    if task.mounts:
        raise StartFailed(
            "a plain process sees the machine's own files, so nothing can be mounted at "
            f"{task.mounts[0].target}; run it on Docker"
        )
    if set(task.networks) - {"host"}:
        raise StartFailed(
            f"a plain process uses the machine's own network, it cannot be put in {list(task.networks)}; "
            'leave networks empty, write ["host"], or run it on Docker'
        )
    if task.security == "restricted":
        raise PolicyError("a plain process cannot be confined; run a restricted task on Docker")
    if task.user is not None and not _is_ours(task.user):
        raise StartFailed(f'a plain process runs as the user who started minorch, not as "{task.user:.60}"')
    if task.workdir is not None and not os.path.isdir(task.workdir):
        raise StartFailed(f"its workdir {task.workdir} is not a directory of this machine")


def _is_ours(user: str) -> bool:
    name, _, group = user.partition(":")
    uid = os.getuid()
    try:
        names = {str(uid), pwd.getpwuid(uid).pw_name}
    except KeyError:  # a container's user may have no entry
        names = {str(uid)}
    return name in names and group in ("", str(os.getgid()))
