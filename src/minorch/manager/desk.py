"""What the manager's parts share while they work: the tables, the queue, the timers, what is due next."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from minorch.manager.config import ManagerConfig
from minorch.manager.sessions import Session
from minorch.state.queue import WaitingQueue
from minorch.state.records import TaskRecord
from minorch.state.tables import ClusterState
from minorch.state.timers import Timers

__all__ = ["Desk", "Ended"]


class Ended(NamedTuple):
    """A task that is over and whose job has not heard of it yet."""

    job_id: str
    position: int
    completed: bool
    failed: bool


class Desk:
    """The manager's working memory. What of it must survive is in ``state``; the rest follows from that."""

    def __init__(self, state: ClusterState, config: ManagerConfig) -> None:
        self.state = state
        self.config = config
        self.queue = WaitingQueue()
        self.timers = Timers()
        self.sessions: dict[str, Session] = {}
        """By node name: the conversation with its worker."""
        self.talkative: dict[str, None] = {}
        """Nodes whose worker must be told something."""
        self.ended: deque[Ended] = deque()
        self.finished_runs: deque[tuple[float, str]] = deque()
        """(when, task id) of finished tasks whose remains a worker still keeps, oldest first."""
        self.finished_jobs: deque[tuple[float, str, int]] = deque()
        """(when, job id, tasks) of finished jobs that are remembered, oldest first."""
        self.finished_tasks = 0
        """How many tasks those jobs have in all."""
        self.delayed: set[str] = set()
        """Ids of tasks that wait before they are tried again. Never iterated."""
        self.draining: dict[str, None] = {}
        """Nodes that are being emptied."""
        self.drained: dict[str, None] = {}
        """Nodes of which that ended in this turn: they are empty, or were opened for tasks again."""
        self.plan_due = True
        """Whether something changed that may let a waiting task be placed."""
        self.able: dict[str, None] = {}
        """Nodes that could hold what was submitted lately, the latest last."""
        self.changed_jobs: dict[str, None] = {}
        """Jobs of which something changed in this turn: a task began, ended, or changed its health."""

    def session(self, node: str) -> Session:
        """The conversation with a node's worker, begun if there was none."""
        session = self.sessions.get(node)
        if session is None:
            session = self.sessions[node] = Session(node)
        return session

    def tell(self, node: str, task: TaskRecord) -> None:
        """Have a node's worker told of the task's latest attempt."""
        session = self.session(node)
        session.held[task.id] = task.attempt
        session.changed[task.id] = None
        self.talkative[node] = None

    def release(self, node: str, task_id: str, attempt: int) -> None:
        """Have a node's worker told that it may forget an attempt."""
        session = self.session(node)
        if session.held.get(task_id) == attempt:
            del session.held[task_id]
            session.changed.pop(task_id, None)
        session.released[task_id, attempt] = None
        self.talkative[node] = None
