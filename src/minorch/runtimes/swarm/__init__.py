"""Runs tasks as services of a Docker Swarm, on the nodes that minorch's scheduler chooses.

The contract is :class:`minorch.contracts.Runtime`, once for each node; one :class:`Swarm` serves them all.
It builds on the Docker runtime: its connections, its words for what goes wrong, its policy and its labels.
From the bottom up:

- ``snapshot``, ``status``, ``members``, ``translation``: pure functions from the
  Swarm's words to ours and back;
- ``managers``: which manager is asked, and which is not believed;
- ``polling``: one look at all tasks and nodes at a time, shared by all;
- ``services``, ``starting``, ``watching``, ``logs``, ``probing``: one duty of the contract each;
- ``runtime``: the class that puts them together for one node;
- ``fleet``, ``swarm``: the nodes as they come and go, and what they share.
"""

from minorch.runtimes.swarm.runtime import SwarmRuntime
from minorch.runtimes.swarm.swarm import Swarm

__all__ = ["Swarm", "SwarmRuntime"]
