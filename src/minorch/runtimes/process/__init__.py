"""Plain processes as a runtime: for machines without Docker, for tests and for quick starts.

``runtime`` answers the calls of the contract; each of its neighbours holds one subject.  In the order
of a run's life: ``refusals`` and ``ports`` (what a process cannot honour, where it listens),
``files`` (what lies on disk), ``spawning`` (the one place that starts a process), ``exits`` and
``watcher`` (how the end is noticed), ``processes`` (identity, signals, measuring), ``output`` (the
bounded log) and ``probing`` (health checks).
"""

from minorch.runtimes.process.runtime import ProcessRuntime

__all__ = ["ProcessRuntime"]
