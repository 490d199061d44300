"""Whole clusters in virtual time: the real manager, workers and strategies, and a pretended world.

:class:`Simulation` plays a workload on nodes that are made up.  Below it is the driver that it shares with
tests of faults: :class:`SimulatedCluster`, whose :class:`Conditions` say how long things take and what goes
wrong.
"""

from minorch.simulation.agenda import Agenda, Clock
from minorch.simulation.arrivals import Arrival, Workload
from minorch.simulation.cluster import ManagerProcess, SimulatedCluster, WorkerProcess
from minorch.simulation.conditions import Commit, Conditions, Fate, Outcome
from minorch.simulation.engine import Run, SimulatedEngine
from minorch.simulation.faults import Faults
from minorch.simulation.ledger import Ending, Ledger, RunRecord, SimulatedTask
from minorch.simulation.models import CpuSharing, FixedDuration, MemoryThrash, Model, Running
from minorch.simulation.observer import Observer
from minorch.simulation.result import Fault, SimulationResult
from minorch.simulation.simulation import Simulation

__all__ = [
    "Agenda",
    "Arrival",
    "Clock",
    "Commit",
    "Conditions",
    "CpuSharing",
    "Ending",
    "Fate",
    "Fault",
    "Faults",
    "FixedDuration",
    "Ledger",
    "ManagerProcess",
    "MemoryThrash",
    "Model",
    "Observer",
    "Outcome",
    "Run",
    "RunRecord",
    "Running",
    "SimulatedCluster",
    "SimulatedEngine",
    "SimulatedTask",
    "Simulation",
    "SimulationResult",
    "WorkerProcess",
    "Workload",
]
