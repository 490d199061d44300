"""Whole clusters in virtual time: the real manager, workers and strategies, and a pretended world.

:class:`Simulation` plays a workload on nodes that are made up.  Below it is the driver that it shares with
tests of faults: :class:`SimulatedCluster`, whose :class:`Conditions` say how long things take and what goes
wrong.
"""

from minorch.simulation.comparing.compare import compare
from minorch.simulation.comparing.comparison import ComparedRun, Comparison, Row
from minorch.simulation.comparing.contrasts import Difference, Verdict
from minorch.simulation.comparing.criteria import MEASURES, Measure
from minorch.simulation.comparing.determinism import check_deterministic
from minorch.simulation.driver.agenda import Agenda, Clock
from minorch.simulation.driver.cluster import ManagerProcess, SimulatedCluster, WorkerProcess
from minorch.simulation.driver.conditions import Commit, Conditions, Fate, Outcome
from minorch.simulation.driver.engine import Run, SimulatedEngine
from minorch.simulation.driver.observer import Observer
from minorch.simulation.faults import Faults
from minorch.simulation.models import CpuSharing, FixedDuration, MemoryThrash, Model, Running
from minorch.simulation.results.compaction import Compaction, cell_compaction
from minorch.simulation.results.conservation import check
from minorch.simulation.results.fragmentation import Fragmentation
from minorch.simulation.results.ledger import Ending, Ledger, RunRecord, SimulatedTask
from minorch.simulation.results.measures import Makespan, Outcomes, Percentiles
from minorch.simulation.results.result import Fault, SimulationResult
from minorch.simulation.results.summary import Summary
from minorch.simulation.results.usage import ResourceUse, Series, Timeline
from minorch.simulation.simulation import Simulation
from minorch.simulation.traces import (
    Recording,
    Trace,
    from_events,
    load_alibaba2018,
    load_azure2020,
    load_events,
    load_google2011,
    load_openb,
    load_swf,
    save_events,
)
from minorch.simulation.workloads.arrivals import Arrival, Workload
from minorch.simulation.workloads.distributions import (
    Distribution,
    between,
    bounded_pareto,
    choice,
    constant,
    demands,
    exponential,
    lognormal,
)
from minorch.simulation.workloads.generators import bursts, diurnal, poisson, services, varying
from minorch.simulation.workloads.merging import merged
from minorch.simulation.workloads.nodes import load_nodes, mixed, uniform
from minorch.simulation.workloads.resampling import resampled

__all__ = [
    "MEASURES",
    "Agenda",
    "Arrival",
    "Clock",
    "Commit",
    "Compaction",
    "ComparedRun",
    "Comparison",
    "Conditions",
    "CpuSharing",
    "Difference",
    "Distribution",
    "Ending",
    "Fate",
    "Fault",
    "Faults",
    "FixedDuration",
    "Fragmentation",
    "Ledger",
    "Makespan",
    "Measure",
    "ManagerProcess",
    "MemoryThrash",
    "Model",
    "Observer",
    "Outcome",
    "Outcomes",
    "Percentiles",
    "Recording",
    "ResourceUse",
    "Run",
    "RunRecord",
    "Row",
    "Running",
    "Series",
    "SimulatedCluster",
    "SimulatedEngine",
    "SimulatedTask",
    "Simulation",
    "SimulationResult",
    "Summary",
    "Timeline",
    "Trace",
    "Verdict",
    "WorkerProcess",
    "Workload",
    "between",
    "bounded_pareto",
    "bursts",
    "cell_compaction",
    "check",
    "check_deterministic",
    "choice",
    "compare",
    "constant",
    "demands",
    "diurnal",
    "exponential",
    "from_events",
    "load_alibaba2018",
    "load_azure2020",
    "load_events",
    "load_google2011",
    "load_nodes",
    "load_openb",
    "load_swf",
    "lognormal",
    "merged",
    "mixed",
    "poisson",
    "resampled",
    "save_events",
    "services",
    "uniform",
    "varying",
]
