"""The cluster: a manager, its workers and their drivers in one process. What most users import."""

from minorch.cluster.cluster import Cluster
from minorch.cluster.handles import JobHandle, TaskHandle

__all__ = ["Cluster", "JobHandle", "TaskHandle"]
