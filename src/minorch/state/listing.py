"""Sequences of pictures that show themselves in a notebook; in all else they are tuples."""

from __future__ import annotations

from minorch.state.events import Event
from minorch.state.node_views import nodes_view
from minorch.state.pictures import NodeInfo, TaskInfo
from minorch.state.views import events_view, tasks_view

__all__ = ["EventList", "NodeList", "TaskList"]


class NodeList(tuple[NodeInfo, ...]):
    """Nodes; a notebook shows how much of each is taken."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return nodes_view(self)


class TaskList(tuple[TaskInfo, ...]):
    """Tasks; a notebook shows a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return tasks_view(self)


class EventList(tuple[Event, ...]):
    """Events; a notebook shows the latest."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return events_view(self)
