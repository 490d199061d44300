"""The life of attempts at one worker: started, watched, restarted, stopped, removed. No messages here.

Everything that happens to an attempt is one of: an order (run, stop, forget), a fact from the runtime,
or its time to be looked at again.  Each is a short method, which may add actions for the driver and
notes the attempts whose report changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from minorch.contracts import Owner, Probe as ProbeAnswer, RunStatus
from minorch.decisions.health import Health, judge
from minorch.decisions.restart import decide_restart
from minorch.ids import RunKey
from minorch.messages import Assignment
from minorch.model import RestartPolicy
from minorch.state.timers import Timers
from minorch.states import AttemptState, Reason
from minorch.worker.actions import Cancel, Kill, Probe, Remove, Terminate
from minorch.worker.attempt import LocalAttempt, Phase
from minorch.worker.config import WorkerConfig
from minorch.worker.workload import Workload

if TYPE_CHECKING:
    from random import Random

__all__ = ["Supervisor"]


class Supervisor(Workload):
    """All attempts of one worker, and what is to be done about them.

    Args:
        owner: which cluster and node the runs belong to.
        config: waits and bounds.
        random: for the jitter of restarts.
        timers: where attempts ask to be looked at again, as ("attempt", id) and ("steady", id).
    """

    def __init__(self, owner: Owner, config: WorkerConfig, random: Random, timers: Timers) -> None:
        super().__init__(owner, config)
        self._random = random
        self._timers = timers
        self.asked = 0
        """How many listings of the runtime were asked for."""

    # -- orders -------------------------------------------------------------------------------

    def order(self, entry: Assignment, now: float) -> None:
        """Carry out what the manager wants of one attempt."""
        local = self.attempts.get(f"{entry.task_id}/{entry.attempt}")
        if local is None:
            local = self._take_in(entry, now)
        elif local.assignment is None:
            local.assignment = entry
            self._note(local)
            if entry.desired == "run":
                self._on_claimed(local, now)
        if entry.desired == "stop":
            self.stop(local, entry.grace_s, now)

    def _take_in(self, entry: Assignment, now: float) -> LocalAttempt:
        local = LocalAttempt(entry.task_id, entry.attempt)
        local.assignment = entry
        local.run, local.begun = max(1, entry.run), entry.run
        local.restarts = local.run - 1  # at most, as for what is adopted
        if entry.restarts is not None:
            local.restarts = entry.restarts
        local.state = AttemptState.RUNNING if entry.run else AttemptState.SCHEDULED
        local.may_have_begun = entry.may_have_begun
        self.attempts[local.id] = local
        self._note(local)
        if entry.desired == "stop":
            local.desired = "stop"
            self._finish(
                local, AttemptState.STOPPED, Reason.STOPPED, None, "there was nothing left of it", now
            )
        elif entry.run:
            self._run_over(local, None, Reason.VANISHED, "it is gone, with how it ended", now)
        elif entry.may_have_begun:
            self._in_doubt(local, now)
        else:
            self._waiting[local.id] = None
        return local

    def _on_claimed(self, local: LocalAttempt, now: float) -> None:
        """The manager has named an attempt that was found at the start."""
        status, local.status = local.status, None
        entry = local.assignment
        if entry is not None and entry.restarts is not None:
            local.restarts = entry.restarts + max(0, local.run - entry.run)
        if local.phase is Phase.ADOPTED and status is not None:
            self._on_exit(local, status, now)
        elif local.phase is Phase.RUNNING:
            self._plan_probe(local, now)
            self._plan_reset(local, now)
        elif local.phase is Phase.WAITING and entry is not None and entry.may_have_begun:
            self._in_doubt(local, now)
        elif local.phase is Phase.WAITING:
            self._waiting[local.id] = None

    def stop(self, local: LocalAttempt, grace_s: float, now: float) -> None:
        """Have an attempt end: it is asked to, and killed if it has not ended after *grace_s* seconds."""
        if local.desired != "run":
            return
        local.desired = "stop"
        local.grace_s = grace_s
        self._end_it(local, now)

    def forget(self, local: LocalAttempt, now: float) -> None:
        """Have an attempt end, and nothing of it be left."""
        if local.desired == "run":
            local.grace_s = local.assignment.grace_s if local.assignment is not None else local.grace_s
            local.desired = "forget"
            self._end_it(local, now)
        local.desired = "forget"
        if local.phase is Phase.OVER:
            self._to_remove[local.id] = None

    def _end_it(self, local: LocalAttempt, now: float) -> None:
        match local.phase:
            case Phase.WAITING if local.made:
                self._no_turn(local)
                self._clear(local)
            case Phase.WAITING | Phase.BACKOFF:
                self._no_turn(local)
                self._finish(local, AttemptState.STOPPED, Reason.STOPPED, local.exit_code, "", now)
            case Phase.ADOPTED:
                status = local.status
                code = status.exit_code if status is not None else None
                self._finish(local, AttemptState.STOPPED, Reason.STOPPED, code, "", now)
            case Phase.STARTING:
                self.actions.append(Cancel(key=local.key))
            case Phase.RUNNING:
                self._terminate(local, now)
            case _:
                pass  # UNKNOWN: when the engine answers; OVER, REMOVING: nothing runs

    def _no_turn(self, local: LocalAttempt) -> None:
        self._waiting.pop(local.id, None)
        self.announced.pop(local.id, None)

    def _clear(self, local: LocalAttempt) -> None:
        """Remove what was made of a run, or an engine that was asked long ago might start it yet."""
        local.phase = Phase.CLEARING
        self.actions.append(Remove(key=local.key))

    def _terminate(self, local: LocalAttempt, now: float) -> None:
        if not local.killing:
            local.killing = True
            self.actions.append(Terminate(key=local.key))
            self._wake(local, now + local.grace_s)

    # -- facts --------------------------------------------------------------------------------

    def saw(self, status: RunStatus, now: float) -> None:
        """A run was seen in some status: after its start, or because it changed."""
        local = self.attempts.get(f"{status.key.task_id}/{status.key.attempt}")
        if local is None or status.key.run != local.run:
            return
        match local.phase:
            case Phase.WAITING | Phase.STARTING | Phase.UNKNOWN | Phase.CLEARING:
                if status.phase != "created":
                    self._began(local, status, now)
                elif local.phase is Phase.UNKNOWN:
                    local.made = True
                    self._retry_start(local, now)
            case Phase.RUNNING:
                if status.phase == "exited":
                    self._on_exit(local, status, now)
                elif (status.ports, status.handle) != (local.ports, local.handle):
                    local.ports, local.handle = status.ports, status.handle
                    self._note(local)
            case Phase.OVER | Phase.BACKOFF if status.phase == "running":  # it was taken for gone
                self.actions.append(Kill(key=status.key))
            case Phase.OVER if local.awaits_start:
                local.awaits_start, local.wake_at = False, None
                self._to_remove[local.id] = None
            case _:
                pass

    def _began(self, local: LocalAttempt, status: RunStatus, now: float) -> None:
        self._starting.discard(local.key)
        self._no_turn(local)
        self.some_began = True
        local.phase = Phase.RUNNING
        local.state = AttemptState.RUNNING
        local.begun = local.run
        local.made = local.hung = False
        local.seen_at = self.asked
        local.started_at = status.started_at if status.started_at is not None else now
        local.finished_at = None
        local.message = ""
        local.exit_code = local.reason = None
        local.ports, local.handle = status.ports, status.handle
        local.health = Health()
        local.killing = local.unhealthy = False
        self._note(local)
        self._drop_leftovers(local)
        if status.phase == "exited":
            self._on_exit(local, status, now)
        elif local.desired != "run":
            self._terminate(local, now)
        else:
            self._plan_probe(local, now)
            self._plan_reset(local, now)

    def _on_exit(self, local: LocalAttempt, status: RunStatus, now: float) -> None:
        local.finished_at = status.finished_at if status.finished_at is not None else now
        up_s = local.finished_at - (local.started_at if local.started_at is not None else now)
        reason = status.reason or Reason.EXITED
        self._run_over(local, status.exit_code, reason, status.message, now, up_s=up_s)

    def refused(self, key: RunKey, reason: Reason, message: str, exit_code: int | None, now: float) -> None:
        """A run could not be started and left nothing behind."""
        self._starting.discard(key)
        local = self._local(key)
        if local is not None and local.phase in (Phase.STARTING, Phase.UNKNOWN):
            self._run_over(local, exit_code, reason, message, now)

    def cancelled(self, key: RunKey, now: float) -> None:
        """A run was not started because that was called off in time."""
        self._starting.discard(key)
        local = self._local(key)
        if local is None or local.phase is not Phase.STARTING:
            return
        if local.desired == "run":  # it was called off because the worker was fenced
            local.phase = Phase.WAITING
            self._waiting[local.id] = None
        elif local.made:
            self._clear(local)
        else:
            self._finish(local, AttemptState.STOPPED, Reason.STOPPED, None, "", now)

    def progressed(self, key: RunKey, words: str) -> None:
        """A start has come so far."""
        local = self._local(key)
        if local is not None and local.phase is Phase.STARTING and local.message != words:
            local.message = words
            self._note(local)

    def probed(self, key: RunKey, answer: ProbeAnswer, now: float) -> None:
        """A health check gave its answer."""
        local = self._local(key)
        if local is None or local.phase is not Phase.RUNNING or local.desired != "run" or local.unhealthy:
            return
        check = local.assignment.task.health if local.assignment and local.assignment.task else None
        if check is None:
            return
        before = local.health
        up_s = now - (local.started_at or now)
        local.health = judge(check, before, answered=answer.healthy, up_s=up_s)
        if local.health.healthy is not before.healthy:
            local.message = "" if answer.healthy else answer.detail
            self._note(local)
        if local.health.spent:
            local.unhealthy = True
            local.message = f"unhealthy: {answer.detail}"
            local.grace_s = local.assignment.grace_s if local.assignment is not None else local.grace_s
            self._terminate(local, now)
        else:
            self._plan_probe(local, now)

    def unreachable(self, key: RunKey, now: float) -> None:
        """The engine did not answer about a run that was to be started, checked or removed."""
        local = self._local(key)
        self._removing.discard(key)
        if local is None:
            return
        if local.phase is Phase.STARTING:
            self._starting.discard(key)
            local.phase = Phase.UNKNOWN
            local.seen_at = self.asked
            local.hung = True
            self._note(local)
        elif local.phase is Phase.REMOVING:
            local.phase = Phase.OVER
            self._wake(local, now + self._config.kill_every_s)
        elif local.phase is Phase.CLEARING:
            self._wake(local, now + self._config.kill_every_s)
        elif local.phase is Phase.RUNNING and not local.killing:
            self._plan_probe(local, now)

    def removed(self, key: RunKey, error: str, now: float, *, starting: bool = False) -> None:
        """Nothing of a run is left; or, with an error, it could not be removed and is tried again.

        Args:
            key: the run.
            error: why it could not.
            now: seconds since 1970.
            starting: its end was seen before its start had returned, and that is in the way.
        """
        self._removing.discard(key)
        local = self._local(key)
        if local is None or local.phase not in (Phase.REMOVING, Phase.CLEARING):
            return
        if local.phase is Phase.CLEARING:
            if error:
                self._wake(local, now + self._config.kill_every_s)
            elif local.desired == "run":
                local.made = False
                self._in_doubt(local, now)
            else:
                self._finish(local, AttemptState.STOPPED, Reason.STOPPED, None, "", now)
        elif error:
            local.phase = Phase.OVER
            local.message = error
            local.awaits_start = starting
            self._wake(local, now + self._config.kill_every_s)
        else:
            self._drop_leftovers(local)
            del self.attempts[local.id]

    def listed(self, asked: int, statuses: Iterable[RunStatus], now: float) -> None:
        """All runs that the runtime has: what is missing has vanished, what nobody wants is removed."""
        there: set[RunKey] = set()
        for status in statuses:
            local = self._local(status.key)
            if local is not None and local.phase is Phase.RUNNING and status.phase == "created":
                continue  # what ran is gone, and an old request has made this in its place
            there.add(status.key)
            if local is None:
                self._clear_away(status)
            elif status.phase != "created" or not _too_early(local, asked):
                self.saw(status, now)
        for local in list(self.attempts.values()):
            if local.key in there or _too_early(local, asked):
                continue
            if local.phase is Phase.UNKNOWN:
                self._retry_start(local, now)
            elif local.phase is Phase.RUNNING and local.seen_at < asked:
                local.finished_at = now
                self._run_over(local, None, Reason.VANISHED, "it was removed by somebody else", now)

    def _retry_start(self, local: LocalAttempt, now: float) -> None:
        if local.desired == "run" and local.once:
            self._in_doubt(local, now)
        elif local.desired == "run":
            local.phase = Phase.WAITING
            self._waiting[local.id] = None
        elif local.made:
            self._clear(local)
        else:
            self._finish(local, AttemptState.STOPPED, Reason.STOPPED, None, "", now)

    def _in_doubt(self, local: LocalAttempt, now: float) -> None:
        """It may have begun and must not begin again: it is over, once nothing of it is left to start."""
        if local.made:
            self._clear(local)
        else:
            words = "nobody knows whether it began, and it must not begin twice"
            self._run_over(local, None, Reason.EXIT_UNKNOWN, words, now)

    def _clear_away(self, status: RunStatus) -> None:
        """End and remove a run of ours that is none of an attempt's present run."""
        local = self.attempts.get(f"{status.key.task_id}/{status.key.attempt}")
        if status.phase == "running":
            self.actions.append(Kill(key=status.key))
        elif status.key not in self._removing and (local is None or status.key not in local.leftovers):
            self._removing.add(status.key)
            self.actions.append(Remove(key=status.key))

    def adopt(self, statuses: Iterable[RunStatus], now: float) -> None:
        """Take in what an earlier incarnation left; the manager will say what it wants of it."""
        latest: dict[tuple[str, int], RunStatus] = {}
        for status in sorted(statuses, key=lambda status: status.key):
            earlier = latest.get(status.key[:2])
            if earlier is not None:
                self._clear_away(earlier)
            latest[status.key[:2]] = status
        for status in latest.values():
            local = LocalAttempt(status.key.task_id, status.key.attempt)
            local.run = status.key.run
            local.restarts = local.run - 1
            self.attempts[local.id] = local
            match status.phase:
                case "running":
                    self._began(local, status, now)
                case "exited":
                    self._began(local, _as_running(status), now)
                    local.finished_at = status.finished_at
                    local.phase, local.status = Phase.ADOPTED, status
                case _:
                    local.made = True  # and never seen to run: it is started once it is claimed

    # -- ends ---------------------------------------------------------------------------------

    def _run_over(
        self,
        local: LocalAttempt,
        exit_code: int | None,
        reason: Reason,
        message: str,
        now: float,
        *,
        up_s: float = 0.0,
    ) -> None:
        """A run ended after *up_s* seconds, or could not be started: end the attempt, or try again."""
        if local.unhealthy:
            reason, message = Reason.UNHEALTHY, local.message
        if local.assignment is None and local.desired == "run":
            local.phase = Phase.ADOPTED
            local.status = RunStatus(
                key=local.key,
                phase="exited",
                exit_code=exit_code,
                reason=reason,
                message=message,
                finished_at=local.finished_at,
            )
            return
        if local.desired != "run":
            self._finish(local, AttemptState.STOPPED, Reason.STOPPED, exit_code, message, now)
            return
        failed = exit_code != 0 or reason is not Reason.EXITED
        policy = _policy(local)
        local.last_exit_code = exit_code
        local.steady_at = None
        if up_s >= policy.reset_after_s:
            local.restarts = 0
        wait_s = decide_restart(
            policy, failed=failed, reason=reason, restarts=local.restarts, random=self._random
        )
        if wait_s is None:
            state = AttemptState.FAILED if failed else AttemptState.COMPLETED
            self._finish(local, state, reason, exit_code, message, now)
            return
        local.restarts += 1
        local.phase = Phase.BACKOFF
        local.killing = local.unhealthy = False
        local.exit_code = exit_code
        code = "" if exit_code is None else f", exit code {exit_code}"
        most = "" if policy.attempts is None else f" of {policy.attempts}"
        why = f": {message}" if message else ""
        local.message = f"{reason}{code}; restart {local.restarts}{most} in {wait_s:.1f} s{why}"
        self._note(local)
        local.restart_at = now + wait_s
        self._wake(local, local.restart_at)

    def _finish(
        self,
        local: LocalAttempt,
        state: AttemptState,
        reason: Reason,
        exit_code: int | None,
        message: str,
        now: float,
    ) -> None:
        """The attempt is over for good."""
        local.phase = Phase.OVER
        local.state, local.reason, local.exit_code = state, reason, exit_code
        local.message = message
        local.finished_at = local.finished_at if local.finished_at is not None else now
        local.wake_at = local.probe_at = local.steady_at = None
        self._starting.discard(local.key)
        self._note(local)
        if local.desired == "forget":
            self._to_remove[local.id] = None

    # -- time ---------------------------------------------------------------------------------

    def wake(self, attempt_id: str, now: float) -> None:
        """Look at an attempt whose time has come, if it has."""
        local = self.attempts.get(attempt_id)
        if local is None:
            return
        if local.probe_at is not None and local.probe_at <= now:
            self._probe(local)
        if local.wake_at is None or local.wake_at > now:
            return
        local.wake_at = None
        match local.phase:
            case Phase.CLEARING:
                self._clear(local)
            case Phase.BACKOFF:
                if local.begun == local.run:  # else nothing of it is left
                    local.leftovers.append(local.key)
                local.restart_at = None
                local.run += 1
                local.made = False
                local.phase = Phase.WAITING
                self._waiting[local.id] = None
            case Phase.RUNNING if local.killing:
                self.actions.append(Kill(key=local.key))
                self._wake(local, now + self._config.kill_every_s)
            case Phase.OVER if local.desired == "forget":
                self.actions.append(Kill(key=local.key))
                self._to_remove[local.id] = None
            case Phase.WAITING | Phase.RUNNING | Phase.ADOPTED if local.assignment is None:
                self.forget(local, now)
            case _:
                pass

    def _probe(self, local: LocalAttempt) -> None:
        local.probe_at = None
        task = local.assignment.task if local.assignment is not None else None
        wanted = local.phase is Phase.RUNNING and local.desired == "run" and not local.killing
        if wanted and task is not None and task.health is not None:
            self.actions.append(Probe(key=local.key, check=task.health))

    def _plan_probe(self, local: LocalAttempt, now: float) -> None:
        task = local.assignment.task if local.assignment is not None else None
        if task is not None and task.health is not None:
            local.probe_at = now + task.health.interval_s
            self._timers.add(local.probe_at, "attempt", local.id)

    def _plan_reset(self, local: LocalAttempt, now: float) -> None:
        """Have its restarts forgotten when its run has lasted for long."""
        if local.restarts:
            begun = now if local.started_at is None else min(local.started_at, now)
            local.steady_at = begun + _policy(local).reset_after_s
            if not local.steady_timed:
                local.steady_timed = True
                self._timers.add(local.steady_at, "steady", local.id)

    def look_whether_steady(self, attempt_id: str, now: float) -> None:
        """Forget an attempt's restarts if its run has lasted for long, or look again when it will have."""
        local = self.attempts.get(attempt_id)
        if local is None:
            return
        local.steady_timed = False
        if local.steady_at is None:
            return
        if local.steady_at > now:
            local.steady_timed = True
            self._timers.add(local.steady_at, "steady", local.id)
        else:
            local.restarts, local.steady_at = 0, None
            self._note(local)

    def _wake(self, local: LocalAttempt, at: float) -> None:
        local.wake_at = at
        self._timers.add(at, "attempt", local.id)

    def abandon(self, local: LocalAttempt, at: float) -> None:
        """Forget an attempt that no manager names, unless one does until then."""
        self._wake(local, at)


def _too_early(local: LocalAttempt, asked: int) -> bool:
    """Whether a listing may tell of the time before a start that was not answered.

    What it does not show may be there by now, and an engine that was asked to may start it yet. If it were
    taken for missing, an attempt that is to stop would be told as over with nothing removed, and could begin
    beside the next one.
    """
    return local.phase is Phase.UNKNOWN and local.seen_at >= asked


def _policy(local: LocalAttempt) -> RestartPolicy:
    restart = local.assignment.restart if local.assignment is not None else None
    return restart if restart is not None else RestartPolicy.never()


def _as_running(status: RunStatus) -> RunStatus:
    return RunStatus(
        key=status.key,
        phase="running",
        started_at=status.started_at,
        ports=status.ports,
        handle=status.handle,
    )
