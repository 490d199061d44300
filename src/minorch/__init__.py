"""minorch: an orchestrator that you import.

Describe work as :class:`Task` and :class:`Job`, hand it to a :class:`Cluster`, and it is placed by a
scheduler of your choice, run as containers or processes, watched, restarted and explained.

>>> import minorch as mo
>>> with mo.Cluster(runtime="process") as cluster:
...     job = cluster.submit(mo.Task("greet", command=["echo", "hi"]))
...     print(job.wait(timeout=60), job.tasks["greet"].logs().strip())
COMPLETED hi
"""

from __future__ import annotations

from minorch.builtins import default_registry
from minorch.cluster import Cluster, JobHandle, TaskHandle
from minorch.contracts import Runtime, RuntimeInfo, Store
from minorch.errors import (
    ClusterClosed,
    EngineUnavailable,
    InvariantError,
    JobFailed,
    MessageError,
    MinorchError,
    NotFound,
    PluginError,
    PolicyError,
    RuntimeFault,
    SpecError,
    StartFailed,
    StoreCorrupt,
    StoreError,
    StoreLocked,
    StoreVersionError,
    UnknownPlugin,
    UnschedulableError,
    UsageError,
)
from minorch.manager import Manager, ManagerConfig
from minorch.messages import Assign, Message, Report, decode, encode
from minorch.model import (
    HealthCheck,
    Job,
    Mount,
    Node,
    NodeStats,
    Port,
    RestartPolicy,
    Secret,
    Task,
    TaskStats,
)
from minorch.plugins import Registry, RuntimePlugin, SchedulerPlugin, StorePlugin, hookimpl
from minorch.resources import Resources
from minorch.scheduling import Explanation, NodeView, Scheduler, TaskView
from minorch.state.events import Event
from minorch.state.pictures import AttemptInfo, JobInfo, NodeInfo, TaskInfo
from minorch.states import AttemptState, JobState, Reason, TaskState
from minorch.worker import Worker, WorkerConfig

__all__ = [
    "Assign",
    "AttemptInfo",
    "AttemptState",
    "Cluster",
    "ClusterClosed",
    "EngineUnavailable",
    "Event",
    "Explanation",
    "HealthCheck",
    "InvariantError",
    "Job",
    "JobFailed",
    "JobHandle",
    "JobInfo",
    "JobState",
    "Manager",
    "ManagerConfig",
    "Message",
    "MessageError",
    "MinorchError",
    "Mount",
    "Node",
    "NodeInfo",
    "NodeStats",
    "NodeView",
    "NotFound",
    "PluginError",
    "PolicyError",
    "Port",
    "Reason",
    "Registry",
    "Report",
    "Resources",
    "RestartPolicy",
    "Runtime",
    "RuntimeFault",
    "RuntimeInfo",
    "RuntimePlugin",
    "Scheduler",
    "SchedulerPlugin",
    "Secret",
    "SpecError",
    "StartFailed",
    "Store",
    "StoreCorrupt",
    "StoreError",
    "StoreLocked",
    "StorePlugin",
    "StoreVersionError",
    "Task",
    "TaskHandle",
    "TaskInfo",
    "TaskState",
    "TaskStats",
    "TaskView",
    "UnknownPlugin",
    "UnschedulableError",
    "UsageError",
    "Worker",
    "WorkerConfig",
    "decode",
    "default_registry",
    "encode",
    "hookimpl",
]
