"""What a worker has, and what of it is in the runtime's hands: whose turn it is to be started and removed."""

from __future__ import annotations

from collections.abc import Container

from minorch.contracts import Launch, Owner
from minorch.ids import RunKey
from minorch.states import AttemptState
from minorch.worker.actions import Action, Cancel, Remove, Start
from minorch.worker.attempt import LocalAttempt, Phase
from minorch.worker.config import WorkerConfig

__all__ = ["Workload"]


class Workload:
    """All attempts of one worker, and how many of them the runtime works at. What comes of them is not here.

    Args:
        owner: which cluster and node the runs belong to.
        config: waits and bounds.
    """

    def __init__(self, owner: Owner, config: WorkerConfig) -> None:
        self._owner = owner
        self._config = config
        self.attempts: dict[str, LocalAttempt] = {}
        self.actions: list[Action] = []
        """For the driver, in order; the worker takes them at the end of a turn."""
        self.changed: dict[str, None] = {}
        """Ids of attempts of which there is news."""
        self._waiting: dict[str, None] = {}
        self.announced: dict[str, None] = {}
        """Ids of attempts that wait until the manager knows that they may have begun."""
        self._starting: set[RunKey] = set()
        self.some_began = False
        """Whether a run was seen that was not known to have begun; whoever asked for it puts it back."""
        self._to_remove: dict[str, None] = {}
        self._removing: set[RunKey] = set()

    def is_starting(self, key: RunKey) -> bool:
        """Whether the runtime was asked to start a run and has not answered."""
        return key in self._starting

    @property
    def has_untried(self) -> bool:
        """Whether any start waits or is under way that the runtime has not been seen to hang over."""
        starts = (Phase.WAITING, Phase.STARTING)
        return any(local.phase in starts and not local.hung for local in self.attempts.values())

    # -- the lease ----------------------------------------------------------------------------

    @property
    def unbegun(self) -> bool:
        """Whether anything waits to be started or is being started."""
        return bool(self._waiting or self.announced or self._starting)

    def call_off(self) -> None:
        """Have nothing start that never ran; it waits again once that is answered."""
        for local in self.attempts.values():
            if local.phase is Phase.STARTING and not local.begun and local.desired == "run":
                self.actions.append(Cancel(key=local.key))

    # -- the end of every turn ----------------------------------------------------------------

    def work_off(self, *, engine_ok: bool, most_starting: int, fenced: bool = False) -> None:
        """Start and remove as many as may be in the runtime's hands at once.

        Args:
            engine_ok: whether the runtime answers; if not, nothing is done.
            most_starting: how many may be being started at the same time.
            fenced: start only what has run before.
        """
        while engine_ok and len(self._starting) < most_starting:
            local = self._next(fenced=fenced)
            if local is None:
                break
            del self._waiting[local.id]
            if local.once and not local.may_begin:
                local.may_have_begun = True
                self.announced[local.id] = None
                self._note(local)
            else:
                self._start(local)
        while engine_ok and self._to_remove and len(self._removing) < self._config.max_removing:
            local = self.attempts[next(iter(self._to_remove))]
            del self._to_remove[local.id]
            self._remove(local)

    def know(self, untold: Container[str]) -> None:
        """Take note that the manager has made durable what it was told of all attempts but those."""
        for attempt_id in [key for key in self.announced if key not in untold and key not in self.changed]:
            del self.announced[attempt_id]
            self.attempts[attempt_id].may_begin = True
            self._waiting[attempt_id] = None

    def _next(self, *, fenced: bool) -> LocalAttempt | None:
        """Whose turn to be started it is; None: nobody's."""
        for attempt_id in self._waiting:
            local = self.attempts[attempt_id]
            if local.begun or not fenced:
                return local
        return None

    def _start(self, local: LocalAttempt) -> None:
        entry = local.assignment
        assert entry is not None
        assert entry.task is not None
        local.phase = Phase.STARTING
        if local.state is AttemptState.SCHEDULED:
            local.state = AttemptState.PREPARING
            self._note(local)
        self._starting.add(local.key)
        launch = Launch(
            key=local.key,
            owner=self._owner,
            job=entry.job,
            task_name=entry.task_name,
            index=entry.index,
            task=entry.task,
        )
        self.actions.append(Start(launch=launch))

    def _remove(self, local: LocalAttempt) -> None:
        local.phase = Phase.REMOVING
        self._removing.add(local.key)
        self.actions.append(Remove(key=local.key))

    def _drop_leftovers(self, local: LocalAttempt) -> None:
        self.actions += [Remove(key=key) for key in local.leftovers]
        local.leftovers.clear()

    def _note(self, local: LocalAttempt) -> None:
        self.changed[local.id] = None

    def _local(self, key: RunKey) -> LocalAttempt | None:
        local = self.attempts.get(f"{key.task_id}/{key.attempt}")
        return local if local is not None and local.run == key.run else None
