"""Whoever wants to know what really happens in a simulated cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minorch.contracts import Change
from minorch.ids import RunKey
from minorch.messages import Assign, Report
from minorch.state.events import Event
from minorch.worker import Action

if TYPE_CHECKING:
    from minorch.manager import Step
    from minorch.simulation.driver.cluster import ManagerProcess, SimulatedCluster, WorkerProcess
    from minorch.simulation.driver.engine import Run, SimulatedEngine

__all__ = ["Observer"]


class Observer:
    """Is told of everything as it happens, and by default does nothing about it."""

    def begins(self, cluster: SimulatedCluster) -> None:
        """This cluster is the one; nothing of it has happened yet."""

    def manager_started(self, process: ManagerProcess) -> None:
        """A manager has read what was committed."""

    def manager_settled(self, process: ManagerProcess, step: Step) -> None:
        """A manager has settled; nothing of it is written yet."""

    def committed(self, process: ManagerProcess, changes: Sequence[Change], events: Sequence[Event]) -> None:
        """These changes were written, of which these events tell."""

    def sent(self, message: Assign | Report) -> None:
        """A message leaves; it may be lost."""

    def delivered(self, message: Assign | Report) -> None:
        """A copy of a message has arrived."""

    def worker_started(self, process: WorkerProcess) -> None:
        """A worker has started, knowing nothing."""

    def worker_settled(self, process: WorkerProcess, actions: Sequence[Action]) -> None:
        """A worker has settled, and asks for these."""

    def run_began(self, engine: SimulatedEngine, run: Run) -> None:
        """A run really began."""

    def run_ended(self, engine: SimulatedEngine, run: Run) -> None:
        """A run really ended, or was removed."""

    def remainder_removed(self, engine: SimulatedEngine, key: RunKey) -> None:
        """Somebody removed a container that was made for a run and had not begun."""
