"""What users describe and read: tasks, jobs, nodes and the small records inside them."""

from minorch.model.affinity import Affinity, SpreadOver
from minorch.model.constraint import Constraint, parse_constraint
from minorch.model.job import Instance, Job, JobKind, OnFailure
from minorch.model.node import Node, NodeStats, TaskStats
from minorch.model.policy import HealthCheck, Mount, Port, RestartMode, RestartPolicy
from minorch.model.secret import Secret, redact
from minorch.model.task import OnLost, PullPolicy, SecurityProfile, Task

__all__ = [
    "Affinity",
    "Constraint",
    "HealthCheck",
    "Instance",
    "Job",
    "JobKind",
    "Mount",
    "Node",
    "NodeStats",
    "OnFailure",
    "OnLost",
    "Port",
    "PullPolicy",
    "RestartMode",
    "RestartPolicy",
    "Secret",
    "SecurityProfile",
    "SpreadOver",
    "Task",
    "TaskStats",
    "parse_constraint",
    "redact",
]
