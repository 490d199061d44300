"""Whole clusters in virtual time: the real manager, workers and strategies, and a pretended world."""

from minorch.simulation.agenda import Agenda, Clock
from minorch.simulation.cluster import ManagerProcess, SimulatedCluster, WorkerProcess
from minorch.simulation.conditions import Commit, Conditions, Fate, Outcome
from minorch.simulation.engine import Run, SimulatedEngine
from minorch.simulation.observer import Observer

__all__ = [
    "Agenda",
    "Clock",
    "Commit",
    "Conditions",
    "Fate",
    "ManagerProcess",
    "Observer",
    "Outcome",
    "Run",
    "SimulatedCluster",
    "SimulatedEngine",
    "WorkerProcess",
]
