"""What the worker asks its driver to do with the runtime. Each is answered by a fact, sooner or later."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from minorch.contracts import Launch
from minorch.ids import RunKey
from minorch.model import HealthCheck

__all__ = ["Action", "Cancel", "Kill", "ListRuns", "Probe", "Remove", "Sample", "Start", "Terminate"]


class Start(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Prepare and start a run. Answered by Seen, Refused, Cancelled or Unreachable, after Progressed ones."""

    launch: Launch

    @property
    def key(self) -> RunKey:
        """The run that is to start."""
        return self.launch.key


class Cancel(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """If the run that is being prepared has not been started yet, do not start it. Not answered by itself."""

    key: RunKey


class Terminate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Ask a run to end. Its end is Seen."""

    key: RunKey


class Kill(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Kill a run. Its end is Seen."""

    key: RunKey


class Remove(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Remove what is left of a run. Answered by Removed or Unreachable."""

    key: RunKey


class Probe(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Make one health check. Answered by Probed."""

    key: RunKey
    check: HealthCheck


class ListRuns(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """List every run of this worker. Answered by Listed or Unreachable."""

    asked: int
    """Comes back with the answer, so that it is known what was started after the question."""


class Sample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Measure the machine and the running runs. Answered by Sampled."""

    keys: Sequence[RunKey]


Action = Start | Cancel | Terminate | Kill | Remove | Probe | ListRuns | Sample
