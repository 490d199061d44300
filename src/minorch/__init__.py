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

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    __version__: str
    from minorch.builtins import (
        default_registry as default_registry,
    )
    from minorch.cluster import (
        Cluster as Cluster,
        JobHandle as JobHandle,
        Leftover as Leftover,
        Leftovers as Leftovers,
        TaskHandle as TaskHandle,
        leftovers as leftovers,
        open_clusters as open_clusters,
    )
    from minorch.contracts import (
        Change as Change,
        FindsLeftovers as FindsLeftovers,
        Fleet as Fleet,
        Launch as Launch,
        Made as Made,
        Maker as Maker,
        Member as Member,
        Owner as Owner,
        Probe as Probe,
        RunStatus as RunStatus,
        Runtime as Runtime,
        RuntimeInfo as RuntimeInfo,
        SharedStore as SharedStore,
        Store as Store,
        Watch as Watch,
    )
    from minorch.errors import (
        ClusterClosed as ClusterClosed,
        EngineUnavailable as EngineUnavailable,
        InvariantError as InvariantError,
        JobFailed as JobFailed,
        MessageError as MessageError,
        MinorchError as MinorchError,
        NotFound as NotFound,
        PluginError as PluginError,
        PolicyError as PolicyError,
        RuntimeFault as RuntimeFault,
        SpecError as SpecError,
        StartFailed as StartFailed,
        StoreCorrupt as StoreCorrupt,
        StoreError as StoreError,
        StoreFenced as StoreFenced,
        StoreLocked as StoreLocked,
        StoreVersionError as StoreVersionError,
        TraceError as TraceError,
        UnknownPlugin as UnknownPlugin,
        UnschedulableError as UnschedulableError,
        UsageError as UsageError,
    )
    from minorch.ids import RunKey as RunKey
    from minorch.manager import (
        Manager as Manager,
        ManagerConfig as ManagerConfig,
    )
    from minorch.messages import (
        Assign as Assign,
        Message as Message,
        Report as Report,
        decode as decode,
        encode as encode,
    )
    from minorch.model import (
        Affinity as Affinity,
        HealthCheck as HealthCheck,
        Job as Job,
        Mount as Mount,
        Node as Node,
        NodeStats as NodeStats,
        Port as Port,
        RestartPolicy as RestartPolicy,
        Secret as Secret,
        SpreadOver as SpreadOver,
        Task as Task,
        TaskStats as TaskStats,
    )
    from minorch.plugins import (
        FilterPlugin as FilterPlugin,
        FleetPlugin as FleetPlugin,
        Registry as Registry,
        RuntimePlugin as RuntimePlugin,
        SchedulerPlugin as SchedulerPlugin,
        StorePlugin as StorePlugin,
        hookimpl as hookimpl,
    )
    from minorch.progress import (
        Progress as Progress,
    )
    from minorch.resources import (
        Resources as Resources,
    )
    from minorch.runtimes.docker import (
        DockerEngine as DockerEngine,
    )
    from minorch.runtimes.swarm import (
        Swarm as Swarm,
    )
    from minorch.scheduling import (
        ClusterView as ClusterView,
        CostFunction as CostFunction,
        CustomFilter as CustomFilter,
        Explanation as Explanation,
        JobPlan as JobPlan,
        NodeView as NodeView,
        Rebalance as Rebalance,
        Scheduler as Scheduler,
        TaskView as TaskView,
    )
    from minorch.state.events import (
        Event as Event,
    )
    from minorch.state.pictures import (
        AttemptInfo as AttemptInfo,
        JobInfo as JobInfo,
        NodeInfo as NodeInfo,
        TaskInfo as TaskInfo,
    )
    from minorch.states import (
        AttemptState as AttemptState,
        JobState as JobState,
        Reason as Reason,
        TaskState as TaskState,
    )
    from minorch.worker import (
        Worker as Worker,
        WorkerConfig as WorkerConfig,
    )

_HOMES: Final[dict[str, tuple[str, ...]]] = {
    "minorch.builtins": ("default_registry",),
    "minorch.cluster": (
        "Cluster",
        "JobHandle",
        "Leftover",
        "Leftovers",
        "TaskHandle",
        "leftovers",
        "open_clusters",
    ),
    "minorch.contracts": (
        "Change",
        "FindsLeftovers",
        "Fleet",
        "Launch",
        "Made",
        "Maker",
        "Member",
        "Owner",
        "Probe",
        "RunStatus",
        "Runtime",
        "RuntimeInfo",
        "SharedStore",
        "Store",
        "Watch",
    ),
    "minorch.errors": (
        "ClusterClosed",
        "EngineUnavailable",
        "InvariantError",
        "JobFailed",
        "MessageError",
        "MinorchError",
        "NotFound",
        "PluginError",
        "PolicyError",
        "RuntimeFault",
        "SpecError",
        "StartFailed",
        "StoreCorrupt",
        "StoreError",
        "StoreFenced",
        "StoreLocked",
        "StoreVersionError",
        "TraceError",
        "UnknownPlugin",
        "UnschedulableError",
        "UsageError",
    ),
    "minorch.ids": ("RunKey",),
    "minorch.manager": (
        "Manager",
        "ManagerConfig",
    ),
    "minorch.messages": (
        "Assign",
        "Message",
        "Report",
        "decode",
        "encode",
    ),
    "minorch.model": (
        "Affinity",
        "HealthCheck",
        "Job",
        "Mount",
        "Node",
        "NodeStats",
        "Port",
        "RestartPolicy",
        "Secret",
        "SpreadOver",
        "Task",
        "TaskStats",
    ),
    "minorch.plugins": (
        "FilterPlugin",
        "FleetPlugin",
        "Registry",
        "RuntimePlugin",
        "SchedulerPlugin",
        "StorePlugin",
        "hookimpl",
    ),
    "minorch.progress": ("Progress",),
    "minorch.resources": ("Resources",),
    "minorch.runtimes.docker": ("DockerEngine",),
    "minorch.runtimes.swarm": ("Swarm",),
    "minorch.scheduling": (
        "ClusterView",
        "CostFunction",
        "CustomFilter",
        "Explanation",
        "JobPlan",
        "NodeView",
        "Rebalance",
        "Scheduler",
        "TaskView",
    ),
    "minorch.state.events": ("Event",),
    "minorch.state.pictures": (
        "AttemptInfo",
        "JobInfo",
        "NodeInfo",
        "TaskInfo",
    ),
    "minorch.states": (
        "AttemptState",
        "JobState",
        "Reason",
        "TaskState",
    ),
    "minorch.worker": (
        "Worker",
        "WorkerConfig",
    ),
}
"""Where each public name lives. A module is loaded when a name of it is first used, so that ``import
minorch`` itself costs next to nothing; a test holds this table against the imports above."""

_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(
            f"module 'minorch' has no attribute {name!r}", name=name, obj=importlib.import_module(__name__)
        )
    value: object = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def _version() -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(__name__)
    except importlib.metadata.PackageNotFoundError:
        raise AttributeError("minorch is not installed here, so its version is not known") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
