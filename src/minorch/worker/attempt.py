"""One attempt as the worker has it: what is wanted of it, how far it is, what is told of it. Data only."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Literal

from minorch.contracts import RunStatus
from minorch.decisions.health import Health
from minorch.ids import RunKey
from minorch.messages import Assignment, Observed, Streak
from minorch.model import redact
from minorch.states import AttemptState, Reason

__all__ = ["LocalAttempt", "Phase"]


class Phase(enum.Enum):
    """Where an attempt stands between the worker and its runtime."""

    WAITING = "waiting"
    """For its turn to be started."""
    STARTING = "starting"
    """The runtime was asked to start it and has not answered."""
    UNKNOWN = "unknown"
    """The engine did not answer; the run may or may not have started."""
    CLEARING = "clearing"
    """It is to end, and what was made of it and never seen to run is being removed before it starts yet."""
    RUNNING = "running"
    BACKOFF = "backoff"
    """A run ended and the next one follows after a wait."""
    ADOPTED = "adopted"
    """Found at the worker's start and over, and the manager has not said yet what it wants of it."""
    OVER = "over"
    """Nothing of it runs or will run; its remains are kept until the manager releases it."""
    REMOVING = "removing"


class LocalAttempt:
    """One attempt at this worker. Changed only by :class:`~minorch.worker.supervisor.Supervisor`."""

    __slots__ = (
        "assignment",
        "attempt",
        "awaits_start",
        "begun",
        "desired",
        "exit_code",
        "finished_at",
        "grace_s",
        "handle",
        "health",
        "hung",
        "id",
        "killing",
        "last_exit_code",
        "leftovers",
        "made",
        "may_begin",
        "may_have_begun",
        "message",
        "phase",
        "ports",
        "probe_at",
        "reason",
        "restart_at",
        "restarts",
        "run",
        "seen_at",
        "started_at",
        "state",
        "status",
        "steady_at",
        "steady_timed",
        "task_id",
        "unhealthy",
        "wake_at",
    )

    def __init__(self, task_id: str, attempt: int) -> None:
        self.id = f"{task_id}/{attempt}"
        """Its key among the worker's attempts."""
        self.task_id = task_id
        self.attempt = attempt
        self.assignment: Assignment | None = None
        """None: the manager has not named it to this worker."""
        self.desired: Literal["run", "stop", "forget"] = "run"
        self.grace_s = 10.0
        self.run = 1
        """The run that is meant; earlier ones are over."""
        self.begun = 0
        """The latest run that is known to have begun."""
        self.made = False
        """Whether something of the run is there, not seen to run, whose start may be under way."""
        self.hung = False
        """Whether the runtime was asked to start its run and did not answer."""
        self.awaits_start = False
        """Whether it is to be removed as soon as its start has returned."""
        self.may_have_begun = False
        """Whether the manager is told that it may have; see :attr:`once`."""
        self.may_begin = False
        """Whether the manager has made that durable."""
        self.phase = Phase.WAITING
        self.status: RunStatus | None = None
        """For ADOPTED: how it was found."""
        self.restarts = 0
        """Restarts in a row."""
        self.restart_at: float | None = None
        """When the next one comes, while it waits for that."""
        self.last_exit_code: int | None = None
        """Of the latest run that ended."""
        self.steady_at: float | None = None
        """When its run will have lasted so long that the count of restarts begins again."""
        self.steady_timed = False
        """Whether it will be looked at for that; one look ahead is enough however often it is restarted."""
        self.seen_at = 0
        """How many listings had been asked for when this run was seen to have started, or it was not known
        whether it had."""
        self.killing = False
        """Whether it was asked to end, by the manager or by its health check, and must be killed next."""
        self.unhealthy = False
        self.health = Health()
        self.probe_at: float | None = None
        self.wake_at: float | None = None
        """When something is to be done about it that no fact brings."""
        self.leftovers: list[RunKey] = []
        """Earlier runs that are over and not removed yet."""
        self.state = AttemptState.SCHEDULED
        self.reason: Reason | None = None
        self.exit_code: int | None = None
        self.message = ""
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.ports: Mapping[str, str] = {}
        self.handle = ""

    @property
    def key(self) -> RunKey:
        """The run that is meant."""
        return RunKey(self.task_id, self.attempt, self.run)

    @property
    def once(self) -> bool:
        """Whether it must begin once at most: it is to wait for a lost node, and is never restarted.

        The manager has to know before it is started that it may have begun, and it is started by one call to
        the runtime.  If that is not answered, or the worker dies over it, it may have begun, and is over.
        """
        entry = self.assignment
        return (
            entry is not None
            and entry.task is not None
            and entry.restart is not None
            and entry.task.on_lost == "hold"
            and entry.restart.mode == "never"
        )

    def observed(self) -> Observed:
        """What is told to the manager."""
        return Observed(
            task_id=self.task_id,
            attempt=self.attempt,
            run=self.begun,
            state=self.state,
            reason=self.reason,
            exit_code=self.exit_code,
            message=self._without_secrets(self._words()),
            started_at=self.started_at,
            # of what was found and is over, nothing is decided yet: whether a restart follows is told with it
            finished_at=None if self.phase is Phase.ADOPTED else self.finished_at,
            healthy=self.health.healthy,
            ports=self.ports,
            handle=self.handle,
            streak=self._streak(),
            hung=self.hung,
            may_have_begun=self.may_have_begun,
        )

    def _streak(self) -> Streak | None:
        if not self.restarts:
            return None
        return Streak(restarts=self.restarts, exit_code=self.last_exit_code, next_at=self.restart_at)

    def _words(self) -> str:
        streak = self._streak()
        if self.state.terminal or streak is None or not streak.crash_looping:
            return self.message
        code = "" if self.last_exit_code is None else f", the last time after exit code {self.last_exit_code}"
        return f"crash looping: {self.message or f'restarted {self.restarts} times in a row{code}'}"

    def _without_secrets(self, text: str) -> str:
        if not text:
            return text
        task = self.assignment.task if self.assignment is not None else None
        secrets = task.secrets.values() if task is not None else ()
        return redact(text, tuple(secret.reveal() for secret in secrets))
