"""Bugs of the protocol, put in on purpose: a simulator that does not find them proves nothing.

    python -m tests.sim.mutants [NAME ...] [--seeds 600] [--per-seed 4000]

Each is a patch of the code under test, made for as long as a world lasts.  It is played on one seed after the
other until something breaks.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple
from unittest import mock

import msgspec

from minorch.manager import Manager, lifecycle, reports
from minorch.manager.sessions import Session
from minorch.messages import Observed
from minorch.simulation import ManagerProcess
from minorch.state.records import AttemptRecord
from minorch.state.tables import ClusterState
from minorch.states import AttemptState, Reason
from minorch.worker.attempt import LocalAttempt, Phase
from minorch.worker.lease import Lease
from minorch.worker.supervisor import Supervisor
from minorch.worker.unheard import Unheard
from minorch.worker.worker import Worker
from minorch.worker.workload import Workload
from tests.sim.scenario import draw
from tests.sim.world import run

__all__ = ["MUTANTS", "Hunt", "hunt"]

Patches = Callable[[], Iterator[Any]]

MUTANTS: Final[dict[str, Patches]] = {}
"""By name: what gives the patches."""


def mutant(patches: Patches) -> Patches:
    """Register one; its name is the function's, its description the function's first line."""
    MUTANTS[patches.__name__] = patches
    return patches


def method(owner: object, name: str, change: Callable[[Any], Callable[..., Any]]) -> Any:
    """A patch of a function: *change* gets the real one and returns the one in its place."""
    return mock.patch.object(owner, name, change(getattr(owner, name)))


# -- the manager ------------------------------------------------------------------------------


@mutant
def no_attempt_check() -> Iterator[Any]:
    """A report about an earlier attempt is taken for one about the present one."""
    yield method(
        reports, "_is_stale", lambda real: lambda task, seen, worker: task.attempts[-1].node != worker
    )


@mutant
def no_progress_check() -> Iterator[Any]:
    """A late report takes an attempt back to where it was."""

    def merge(real: Any) -> Any:
        def merged(desk: Any, task: Any, seen: Any, now: float, **rest: Any) -> None:
            attempt = task.attempts[-1]
            if not attempt.state.terminal and not seen.state.terminal:
                attempt.run = min(attempt.run, seen.run)
            real(desk, task, seen, now, **rest)

        return merged

    yield method(reports, "_merge", merge)
    yield mock.patch.object(AttemptRecord, "progress", property(lambda self: (-1, -1)))


@mutant
def epoch_not_raised() -> Iterator[Any]:
    """A manager that starts takes the epoch of the one before."""

    def resume(real: Any) -> Any:
        def resumed(desk: Any, now: float) -> None:
            desk.state.meta.epoch = max(1, desk.state.meta.epoch - 1)
            real(desk, now)

        return resumed

    yield method(lifecycle, "resume", resume)


@mutant
def sent_before_commit() -> Iterator[Any]:
    """Orders leave before what they follow from is durable."""

    def write(real: Any) -> Any:
        def written(self: Any) -> None:
            for message in self._step.messages:
                self.cluster.send(message)
            self._step = msgspec.structs.replace(self._step, messages=())
            real(self)

        return written

    yield method(ManagerProcess, "_begin_to_write", write)


@mutant
def failed_commit_taken_for_good() -> Iterator[Any]:
    """A transaction that failed is forgotten, and its orders are sent."""

    def failed(real: Any) -> Any:
        def goes_on(self: Any) -> None:
            step, self._step = self._step, None
            self.writing = False
            self._go_on(step)

        return goes_on

    yield method(ManagerProcess, "_could_not_write", failed)


@mutant
def stop_not_stored() -> Iterator[Any]:
    """That a task is to stop is only remembered."""

    def stop(real: Any) -> Any:
        def stopped(desk: Any, task: Any, reason: Any, now: float) -> None:
            with mock.patch.object(type(desk.state), "touch", return_value=None):
                real(desk, task, reason, now)

        return stopped

    yield method(lifecycle, "stop_task", stop)


@mutant
def retries_not_stored() -> Iterator[Any]:
    """That a retry was used is only remembered."""

    def after(real: Any) -> Any:
        def failure(desk: Any, task: Any, attempt: Any, now: float) -> None:
            touch = type(desk.state).touch

            def only_tasks(self: Any, record: Any) -> None:
                if not hasattr(record, "retries_used"):
                    touch(self, record)

            with mock.patch.object(type(desk.state), "touch", only_tasks):
                real(desk, task, attempt, now)

        return failure

    yield method(lifecycle, "_after_failure", after)


@mutant
def event_numbers_not_stored() -> Iterator[Any]:
    """The next number of an event is only remembered."""

    def write(real: Any) -> Any:
        def written(self: Any, **how: Any) -> Any:
            changes, events = real(self, **how)
            return [change for change in changes if change.table != "meta" or len(changes) > 6], events

        return written

    yield method(ClusterState, "write", write)


@mutant
def stop_of_a_lost_task_forgotten() -> Iterator[Any]:
    """A task that was asked to stop is placed anew when its node is lost."""

    def lose(real: Any) -> Any:
        def lost(desk: Any, task: Any, words: str, now: float) -> None:
            task.ending = None
            real(desk, task, words, now)

        return lost

    yield method(lifecycle, "lose_attempt", lose)


@mutant
def hold_taken_for_replace() -> Iterator[Any]:
    """A task that must never run twice is placed anew when its node is lost."""

    def check(real: Any) -> Any:
        def checked(self: Any, entry: Any, now: float) -> None:
            was = entry.record.lost
            real(self, entry, now)
            if entry.record.lost and not was:
                for task_id in list(entry.live):
                    lifecycle.lose_attempt(self._desk, self._desk.state.tasks[task_id], "lost", now)

        return checked

    yield method(Manager, "_check_lease", check)


@mutant
def stale_attempts_not_released() -> Iterator[Any]:
    """A worker that returns is not told to give up what was placed elsewhere."""

    def message(real: Any) -> Any:
        def next_message(self: Any, *args: Any, **rest: Any) -> Any:
            self.released.clear()
            found = real(self, *args, **rest)
            return found if found is None or found.base is not None else None

        return next_message

    yield method(Session, "next_message", message)


@mutant
def orders_ignore_stops() -> Iterator[Any]:
    """A worker that is told everything is told to run what is to stop."""

    def assignment(real: Any) -> Any:
        def assigned(self: Any, task_id: str, attempt: int) -> Any:
            task = self._desk.state.tasks[task_id]
            ending, task.ending = task.ending, None
            try:
                return real(self, task_id, attempt)
            finally:
                task.ending = ending

        return assigned

    yield method(Manager, "_assignment", assignment)


@mutant
def doubt_not_kept() -> Iterator[Any]:
    """A worker that starts anew is not told what may have begun before."""
    yield method(
        Manager,
        "_assignment",
        lambda real: lambda *about: msgspec.structs.replace(real(*about), may_have_begun=False),
    )


@mutant
def room_given_back_too_early() -> Iterator[Any]:
    """A task's room is free as soon as it is asked to stop."""

    def move(real: Any) -> Any:
        def moved(desk: Any, task: Any, now: float, **rest: Any) -> None:
            real(desk, task, now, **rest)
            if task.moving and task.live is not None:
                desk.state.nodes[task.live.node].reserved -= desk.state.spec(task).resources

        return moved

    yield method(lifecycle, "move_away", move)


@mutant
def lost_count_forgotten() -> Iterator[Any]:
    """How often a task was lost with its node is counted anew each time."""

    def lose(real: Any) -> Any:
        def lost(desk: Any, task: Any, words: str, now: float) -> None:
            task.lost = -1
            real(desk, task, words, now)

        return lost

    yield method(lifecycle, "lose_attempt", lose)


@mutant
def end_without_attempt_end() -> Iterator[Any]:
    """A task that is asked to stop is over at once, while it still runs."""

    def stop(real: Any) -> Any:
        def stopped(desk: Any, task: Any, reason: Any, now: float) -> None:
            real(desk, task, reason, now)
            if task.live is not None and task.ending is not None:
                attempt = task.attempts[-1]
                attempt.reason = Reason.STOPPED
                desk.state.move_attempt(task, AttemptState.STOPPED, now)
                lifecycle._end_as_asked(desk, task, now)

        return stopped

    yield method(lifecycle, "stop_task", stop)


# -- the worker -------------------------------------------------------------------------------


def _take(worker: Any, assign: Any, now: float, *, old: bool, gaps: bool) -> None:
    """What the worker does with an order, without one of its checks."""
    if not old and (assign.epoch, assign.revision) <= (worker._epoch, worker._revision):
        return
    worker._lease.renew(assign.heard, assign.lease_s)
    worker._unheard.heard(assign.heard)
    if assign.base is None:
        worker._full_due = worker._full_due or assign.epoch != worker._epoch
        worker._take_full(assign, now)
    elif not gaps and (assign.epoch != worker._epoch or assign.base != worker._revision):
        worker._report_due = True
        return
    for entry in assign.entries:
        worker._attempts.order(entry, now)
    for task_id, attempt in assign.released:
        worker._release(f"{task_id}/{attempt}", now)
    worker._epoch, worker._revision = assign.epoch, assign.revision
    worker._report_due = True


@mutant
def old_orders_taken() -> Iterator[Any]:
    """A worker takes orders that are older than the last one."""
    yield mock.patch.object(Worker, "_take", partial_method(old=True, gaps=False))


@mutant
def gaps_not_seen() -> Iterator[Any]:
    """A worker takes a change to what it was never told."""
    yield mock.patch.object(Worker, "_take", partial_method(old=False, gaps=True))


def partial_method(**how: bool) -> Callable[..., None]:
    """A method that takes orders, with some checks left out."""

    def take(self: Any, assign: Any, now: float) -> None:
        _take(self, assign, now, **how)

    return take


@mutant
def orders_of_an_earlier_life_taken() -> Iterator[Any]:
    """A worker takes orders that were meant for the one before it."""

    def receive(real: Any) -> Any:
        def received(self: Any, assign: Any, now: float) -> None:
            real(self, msgspec.structs.replace(assign, incarnation=self._incarnation), now)

        return received

    yield method(Worker, "receive", receive)


@mutant
def absence_means_nothing() -> Iterator[Any]:
    """What an order in full does not name goes on."""
    yield mock.patch.object(Worker, "_take_full", return_value=None)


@mutant
def kept_taken_for_absent() -> Iterator[Any]:
    """A worker gives up what a full message has no room for."""

    def take(real: Any) -> Any:
        return lambda self, assign, now: real(self, msgspec.structs.replace(assign, kept=()), now)

    yield method(Worker, "_take_full", take)


@mutant
def rest_not_told() -> Iterator[Any]:
    """What a full message has no room for is not told later."""

    def message(real: Any) -> Any:
        def next_message(self: Any, *args: Any, **rest: Any) -> Any:
            found = real(self, *args, **rest)
            if found is not None and found.kept:
                self.changed.clear()
            return found

        return next_message

    yield method(Session, "next_message", message)


@mutant
def rest_of_a_report_taken_for_told() -> Iterator[Any]:
    """What a report has no room for counts as told in it."""

    def tell(real: Any) -> Any:
        def tells(self: Any, sequence: int, attempts: Any) -> Any:
            found = real(self, sequence, attempts)
            self._told = {key: told or sequence for key, told in self._told.items()}
            return found

        return tells

    yield method(Unheard, "tell", tell)


@mutant
def tombstones_forgotten() -> Iterator[Any]:
    """A worker forgets a finished attempt as soon as it has reported it."""

    def report(real: Any) -> Any:
        def reported(self: Any, now: float) -> Any:
            found = real(self, now)
            for local in list(self._attempts.attempts.values()):
                if local.phase is Phase.OVER:
                    self._attempts.forget(local, now)
            return found

        return reported

    yield method(Worker, "_report", report)


@mutant
def lease_from_receipt() -> Iterator[Any]:
    """A worker counts its lease from when it was told, not from when it sent what was heard."""

    def take(real: Any) -> Any:
        def taken(self: Any, assign: Any, now: float) -> None:
            real(self, assign, now)
            if not math.isinf(self._lease.ends_at):
                self._lease.ends_at = max(self._lease.ends_at, now + assign.lease_s * 0.95)

        return taken

    yield method(Worker, "_take", take)


@mutant
def not_fenced() -> Iterator[Any]:
    """A worker that is cut off begins what it was told before."""
    yield mock.patch.object(Lease, "over", return_value=False)


@mutant
def once_started_like_the_rest() -> Iterator[Any]:
    """What must begin once at most is started again when it is not known whether it began."""
    yield mock.patch.object(LocalAttempt, "once", new=False)


@mutant
def once_begun_before_it_is_durable() -> Iterator[Any]:
    """A worker begins what must begin once at most when it has told so, and not when the manager knows."""
    yield method(Workload, "know", lambda real: lambda self, untold: real(self, ()))


@mutant
def stop_overtaken_by_restart() -> Iterator[Any]:
    """A stop that comes while a task waits to be restarted is forgotten."""

    def end(real: Any) -> Any:
        def ended(self: Any, local: Any, now: float) -> None:
            if local.phase is Phase.BACKOFF:
                local.desired = "run"
            else:
                real(self, local, now)

        return ended

    yield method(Supervisor, "_end_it", end)


@mutant
def stopped_before_it_ended() -> Iterator[Any]:
    """A worker tells that a run has stopped as soon as it has asked it to."""

    def terminate(real: Any) -> Any:
        def terminated(self: Any, local: Any, now: float) -> None:
            real(self, local, now)
            if local.desired == "stop":
                self._finish(local, AttemptState.STOPPED, Reason.STOPPED, None, "", now)

        return terminated

    yield method(Supervisor, "_terminate", terminate)


@mutant
def silence_taken_for_death() -> Iterator[Any]:
    """Runs of an engine that does not answer are told as vanished."""

    def unreachable(real: Any) -> Any:
        def told(self: Any, fact: Any, now: float) -> None:
            real(self, fact, now)
            for local in list(self._attempts.attempts.values()):
                if local.phase is Phase.RUNNING:
                    self._attempts._run_over(local, None, Reason.VANISHED, "the engine is gone", now)

        return told

    yield method(Worker, "_on_unreachable", unreachable)


@mutant
def unknown_start_made_again() -> Iterator[Any]:
    """After a start of which nothing is known another run is started at once."""

    def unreachable(real: Any) -> Any:
        def told(self: Any, key: Any, now: float) -> None:
            real(self, key, now)
            local = self._local(key)
            if local is not None and local.phase is Phase.UNKNOWN:
                local.run += 1
                local.phase = Phase.WAITING
                self._waiting[local.id] = None

        return told

    yield method(Supervisor, "unreachable", unreachable)


@mutant
def old_listing_believed() -> Iterator[Any]:
    """What a listing does not show is gone, even if it began after the question."""

    def listed(real: Any) -> Any:
        def told(self: Any, asked: int, statuses: Any, now: float) -> None:
            real(self, 2**60, statuses, now)

        return told

    yield method(Supervisor, "listed", listed)


@mutant
def restarts_counted_anew() -> Iterator[Any]:
    """A worker that adopts a run takes no account of how often it was restarted."""

    def order(real: Any) -> Any:
        def ordered(self: Any, entry: Any, now: float) -> None:
            real(self, msgspec.structs.replace(entry, restarts=0), now)

        return ordered

    yield method(Supervisor, "order", order)


@mutant
def nothing_adopted() -> Iterator[Any]:
    """A worker that starts does not look at what there is."""
    yield method(Supervisor, "adopt", lambda real: lambda self, statuses, now: real(self, (), now))


@mutant
def unknown_taken_for_success() -> Iterator[Any]:
    """A run that ended unobserved is told as completed."""

    def over(real: Any) -> Any:
        def told(self: Any, local: Any, code: Any, reason: Any, words: str, now: float, **rest: Any) -> None:
            if code is None and reason is Reason.EXIT_UNKNOWN:
                code, reason = 0, Reason.EXITED
            real(self, local, code, reason, words, now, **rest)

        return told

    yield method(Supervisor, "_run_over", over)


@mutant
def stale_fact_believed() -> Iterator[Any]:
    """What is seen of an earlier run is taken for news of the present one."""

    def saw(real: Any) -> Any:
        def seen(self: Any, status: Any, now: float) -> None:
            local = self.attempts.get(f"{status.key.task_id}/{status.key.attempt}")
            if local is not None:
                status = msgspec.structs.replace(status, key=local.key)
            real(self, status, now)

        return seen

    yield method(Supervisor, "saw", saw)


@mutant
def wrong_run_told() -> Iterator[Any]:
    """A worker tells the end of a run with the number of the one before."""

    def observed(real: Any) -> Any:
        def told(self: Any) -> Observed:
            found: Observed = real(self)
            if found.state.terminal and found.run > 1:
                found = msgspec.structs.replace(found, run=found.run - 1)
            return found

        return told

    from minorch.worker.attempt import LocalAttempt

    yield method(LocalAttempt, "observed", observed)


# -- the hunt ---------------------------------------------------------------------------------


class Hunt(NamedTuple):
    """How one mutant was hunted."""

    name: str
    seeds: int
    """How many seeds were played."""
    steps: int
    broken: str
    """What broke; empty: nothing did."""
    took_s: float


def hunt(name: str, *, seeds: int, per_seed: int) -> Hunt:
    """Play one seed after the other with a mutant until something breaks."""
    began, steps = time.perf_counter(), 0
    for seed in range(seeds):
        with contextlib.ExitStack() as patched:
            for patch in MUTANTS[name]():
                patched.enter_context(patch)
            ended = run(draw(seed, per_seed))
        steps += ended.steps
        if ended.broken:
            if run(draw(seed, per_seed)).broken:  # it was not the mutant
                raise AssertionError(f"seed {seed} breaks without any mutant: {ended.broken}")
            return Hunt(name, seed + 1, steps, ended.broken, time.perf_counter() - began)
    return Hunt(name, seeds, steps, "", time.perf_counter() - began)


def main(arguments: list[str] | None = None) -> int:
    """Hunt all mutants, or those that are named; 1: one was not found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="all if none is given")
    parser.add_argument("--seeds", type=int, default=600, help="so many are played at most")
    parser.add_argument("--per-seed", type=int, default=4000)
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in MUTANTS:
            parser.error(f"{name} is none of {', '.join(MUTANTS)}")
    missed = 0
    names = options.names or list(MUTANTS)
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        play = partial(hunt, seeds=options.seeds, per_seed=options.per_seed)
        for found in pool.imap(play, names):
            about = (MUTANTS[found.name].__doc__ or "").partition("\n")[0]
            words = found.broken.replace("\n", " ")[:70] or "NOT FOUND"
            missed += not found.broken
            print(
                f"{found.name:34} {found.seeds:4} seeds {found.steps:9,} steps {found.took_s:6.1f} s  {words}"
            )
            print(f"{'':34} {about}", flush=True)
    print(f"{len(names) - missed} of {len(names)} mutants found")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
