"""What a plain process cannot honour. It is refused in words, never ignored.

Not refused, and not enforced either, since it only bounds what a well-behaved task does: ``pids``
(the operating system counts them per user) and the ``cpu`` and ``disk`` of ``resources``, which are
reserved on the node all the same.
"""

from __future__ import annotations

import os
import pwd
from typing import Final

from minorch.errors import PolicyError, StartFailed
from minorch.model import Task
from minorch.resources import format_size

__all__ = ["refuse_unless_possible"]

_LEAST_MEMORY: Final = 1024 * 1024
"""With less than that even ``true`` is killed while it is loaded, by a signal that explains nothing."""


def refuse_unless_possible(task: Task) -> None:
    """Raise unless a plain process can do what the task asks for.

    Raises:
        PolicyError: it never can on this runtime; with what is in the way, and what to do.
        StartFailed: it cannot now.
    """
    if not task.entrypoint and not task.command:
        raise PolicyError(
            f"the image {task.image} cannot run as a plain process: "
            "give the task a command, or run it on Docker"
        )
    if task.mounts:
        raise PolicyError(
            "a plain process sees the machine's own files, so nothing can be mounted at "
            f"{task.mounts[0].target}; run it on Docker"
        )
    if set(task.networks) - {"host"}:
        raise PolicyError(
            f"a plain process uses the machine's own network, it cannot be put in {list(task.networks)}; "
            'leave networks empty, write ["host"], or run it on Docker'
        )
    if 0 < task.resources.memory < _LEAST_MEMORY:
        raise PolicyError(
            f"no program starts in {format_size(task.resources.memory)} of memory; "
            f"give it {format_size(_LEAST_MEMORY)} or more"
        )
    if task.security == "restricted":
        raise PolicyError("a plain process cannot be confined; run a restricted task on Docker")
    if task.user is not None and not _is_ours(task.user):
        raise PolicyError(f'a plain process runs as the user who started minorch, not as "{task.user:.60}"')
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
