"""Runs tasks as containers of one Docker Engine, over docker-py's low-level client.

The contract is :class:`minorch.contracts.Runtime`.  Importing this package does not import
``docker`` (109 ms): that happens at the first call to an engine.  From the bottom up:

- ``faults``: what a refusal or a broken connection means, in our errors;
- ``engine``, ``streams``: one engine, its calls and its long answers; nothing above them knows docker-py;
- ``labels``, ``references``, ``status``, ``policy``, ``translation``: pure functions from our words to the
  engine's and back;
- ``containers``, ``starting``, ``images``, ``logs``, ``watching``, ``probing``, ``measuring``: one duty of
  the contract each;
- ``runtime``: the class that puts them together;
- ``fleet``, ``contexts``, ``tunnel``: many engines, and where they are.
"""

from minorch.runtimes.docker.fleet import DockerEngine, DockerFleet
from minorch.runtimes.docker.policy import DockerPolicy
from minorch.runtimes.docker.runtime import DockerRuntime

__all__ = ["DockerEngine", "DockerFleet", "DockerPolicy", "DockerRuntime"]
