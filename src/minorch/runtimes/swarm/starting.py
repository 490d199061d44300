"""Starting one run, once: make its service, and see it run, end, or fail to begin.

A Swarm takes a service at once and places it later, so a start waits for what becomes of it.  Where an
answer is lost the service may be there all the same; its name then leads to it the next time.
"""

from __future__ import annotations

import time
from typing import Final

from minorch.contracts import Launch, RunStatus
from minorch.errors import EngineUnavailable, RuntimeFault, StartFailed
from minorch.runtimes.docker.faults import hide
from minorch.runtimes.docker.policy import DockerPolicy
from minorch.runtimes.swarm.members import answering
from minorch.runtimes.swarm.polling import Poll
from minorch.runtimes.swarm.services import Services
from minorch.runtimes.swarm.snapshot import SwarmNode, SwarmTask
from minorch.runtimes.swarm.status import never_began, phase_of, read_status, why_not_started
from minorch.runtimes.swarm.translation import service_body
from minorch.states import Reason

__all__ = ["start"]

_NO_ROOM_S: Final = 30.0
"""For so long a Swarm may find no room on a node that is ready: what was removed is not gone at once.  A new
leader places nothing on a node of which it has not heard, and takes half a minute to call that down."""
_NO_PORT_S: Final = 5.0
"""The same for a port."""
_TAKEN: Final = "host-mode port already in use"
_NO_TASK_S: Final = 15.0
_MOST_S: Final = 3600.0
"""For so long an image may be pulled."""


def start(poll: Poll, services: Services, policy: DockerPolicy, node_id: str, launch: Launch) -> RunStatus:
    """Start *launch*, or return the status of its run if it was started before; no error shows a secret.

    Raises:
        StartFailed: it certainly did not run, and nothing of it is left.
        EngineUnavailable: it may have been started or not.
    """
    secrets = [secret.reveal() for secret in launch.task.secrets.values()]
    node = answering(poll.latest(), node_id)
    body = service_body(launch, policy, node, services.kept(launch.task.mounts))
    try:
        services.create(launch, body)
        return _await(poll, services, node_id, launch)
    except StartFailed as error:
        text = hide(str(error), secrets)
        raise StartFailed(text, reason=error.reason, exit_code=error.exit_code) from None
    except RuntimeFault as error:  # also a refusal to tell of it: nobody may take that for "it did not run"
        raise EngineUnavailable(hide(str(error), secrets)) from None


def _await(poll: Poll, services: Services, node_id: str, launch: Launch) -> RunStatus:
    """Look until it is known what became of the service."""
    began = ready_since = time.monotonic()
    with poll.eagerly():
        snapshot = poll.fresh()
        number = -1
        while True:
            node = answering(snapshot, node_id)
            task = snapshot.tasks.get(launch.key)
            now = time.monotonic()
            waited_s = now - began
            if node.state != "ready":
                ready_since = now
            if task is not None and never_began(task):
                raise _failed(services, task)
            if task is not None and phase_of(task) != "created":
                return read_status(task, node, began_at=poll.first_seen_running(launch.key))
            if task is None and waited_s > _NO_TASK_S:
                raise EngineUnavailable(f"the Swarm makes no task of the service {launch.key.name}")
            if task is not None and not task.node_id:
                _check_place(services, task, node, now - ready_since)
            if waited_s > _MOST_S:
                raise EngineUnavailable(f"the Swarm takes more than {_MOST_S / 60:g} minutes to start it")
            number, latest, error = poll.wait_round(number, 1.0)
            if error is not None or latest is None:
                raise EngineUnavailable(str(error))
            snapshot = latest


def _check_place(services: Services, task: SwarmTask, node: SwarmNode, ready_s: float) -> None:
    """Take back a service for which there is no place, now or after its node was ready for a while.

    No node knows of it yet.
    """
    if node.availability != "active":
        services.remove(task.key)
        raise EngineUnavailable(
            f"the Swarm places nothing on {node.hostname}: its node is on {node.availability}"
        )
    taken = _TAKEN in task.error
    if ready_s > (_NO_PORT_S if taken else _NO_ROOM_S):
        services.remove(task.key)
        words = f"the Swarm does not place it on {node.hostname}: {task.error or 'it says nothing more'}"
        raise StartFailed(words, reason=(Reason.PORT_TAKEN if taken else Reason.START_FAILED).value)


def _failed(services: Services, task: SwarmTask) -> RuntimeFault:
    """Remove what did not begin, and return why."""
    services.remove(task.key)
    if task.state != "shutdown":
        return why_not_started(task)
    if task.replaced:
        return StartFailed("it was ended before it began")
    return EngineUnavailable("the Swarm withdrew it before it began: its node was drained, or was down")
