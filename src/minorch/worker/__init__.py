"""The worker: the state machine that makes one runtime on one node do what the manager asks."""

from minorch.worker.actions import (
    Action,
    Cancel,
    Kill,
    ListRuns,
    Probe,
    Remove,
    Sample,
    Start,
    Terminate,
)
from minorch.worker.config import WorkerConfig
from minorch.worker.facts import (
    Cancelled,
    Fact,
    Listed,
    Missed,
    Probed,
    Progressed,
    Refused,
    Removed,
    Sampled,
    Seen,
    Unreachable,
)
from minorch.worker.worker import NOT_ASKED, Worker, WorkerStep

__all__ = [
    "NOT_ASKED",
    "Action",
    "Cancel",
    "Cancelled",
    "Fact",
    "Kill",
    "ListRuns",
    "Listed",
    "Missed",
    "Probe",
    "Probed",
    "Progressed",
    "Refused",
    "Remove",
    "Removed",
    "Sample",
    "Sampled",
    "Seen",
    "Start",
    "Terminate",
    "Unreachable",
    "Worker",
    "WorkerConfig",
    "WorkerStep",
]
