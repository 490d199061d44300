"""The cluster: a manager, its workers and their drivers in one process. What most users import."""

from minorch.cluster.cluster import Cluster
from minorch.cluster.handles import JobHandle, TaskHandle
from minorch.cluster.left_over import Leftover, Leftovers, leftovers
from minorch.cluster.opened import open_clusters

__all__ = ["Cluster", "JobHandle", "Leftover", "Leftovers", "TaskHandle", "leftovers", "open_clusters"]
