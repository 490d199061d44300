"""Waiting until a node that is being drained is empty."""

from __future__ import annotations

import threading
from typing import Final

from minorch.cluster.handles import countable
from minorch.drivers import ManagerDriver
from minorch.errors import UsageError
from minorch.state.pictures import TaskInfo

__all__ = ["wait_drained"]

_NAMED: Final = 5
"""How many tasks a message names at most."""


def wait_drained(manager: ManagerDriver, node: str, timeout: float | None) -> None:
    """Wait until nothing is left on a node, as :meth:`minorch.Cluster.wait_drained` says."""
    over = threading.Event()

    def check() -> None:
        if manager.closed or not manager.is_draining(node):
            over.set()

    manager.refuse_own_thread("wait for a node")
    end = manager.when_drained(node, check)
    try:
        check()
        in_time = over.wait(countable(timeout))
    finally:
        end()
    info = manager.ask(lambda core, now: core.node(node))
    if info.drained:
        return
    if not info.draining:
        raise UsageError(f'node "{node}" is not being drained; drain("{node}") begins it')
    if in_time:
        raise manager.ended(f'the cluster was closed before node "{node}" was empty')
    jobs = manager.ask(lambda core, now: core.jobs())
    left = [f"{task.job}/{task.name}" for job in jobs for task in job.tasks if _is_on(task, node)]
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    raise TimeoutError(
        f'node "{node}" is not empty after {timeout:g} s: {", ".join(left[:_NAMED])}{more}; the drain goes on'
    )


def _is_on(task: TaskInfo, node: str) -> bool:
    return task.node == node and not task.attempts[-1].state.terminal
