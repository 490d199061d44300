"""Asking a run whether it still does its work, from outside its node.

A command in the container is its node's to run: Swarm does so from the start (see ``translation``), keeps a
task in ``starting`` until its check has succeeded once, and ends one whose check failed too often.  So an
``exec`` check is answered here by what became of the task.  Ports are tried at the node's address.
"""

from __future__ import annotations

from minorch.contracts import Probe
from minorch.model import HealthCheck
from minorch.runtimes.docker.probing import try_port
from minorch.runtimes.swarm.snapshot import SwarmNode, SwarmTask

__all__ = ["probe"]


def probe(task: SwarmTask | None, node: SwarmNode, check: HealthCheck) -> Probe:
    """Make one check of a run."""
    if task is None or task.state != "running":
        return Probe(False, "it does not run")
    if check.kind == "exec":
        return Probe(True, "its node makes the check, and has not ended it")
    port = next((host for target, kind, host in task.ports if (target, kind) == (check.port, "tcp")), None)
    if port is None:
        return Probe(
            False,
            f"port {check.port} cannot be reached from here: publish it with "
            f'Port({check.port}, host_ip="0.0.0.0")',
        )
    return try_port((node.address, port), check)
