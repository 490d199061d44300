"""Merging what a worker reports into what the manager knows. Duplicates and late reports change nothing."""

from __future__ import annotations

from minorch.manager.desk import Desk
from minorch.manager.lifecycle import attempt_began, end_attempt
from minorch.messages import Observed, Report
from minorch.state.records import AttemptRecord, TaskRecord
from minorch.state.tables import NodeEntry
from minorch.states import AttemptState

__all__ = ["absorb_report"]


def absorb_report(desk: Desk, report: Report, now: float) -> None:
    """Take in one report: the worker lives, its node is as it says, its attempts are as far as it says."""
    known = desk.state.nodes.get(report.worker)
    session = desk.session(report.worker)
    config = desk.config
    if not session.hear(
        report,
        epoch=desk.state.meta.epoch,
        now=now,
        resend_s=config.resend_s,
        full_every_s=config.full_every_s,
    ):
        return
    desk.talkative[report.worker] = None
    node = _absorb_node(desk, known, report, now)
    whole = True
    for observed in report.observed:
        task = desk.state.tasks.get(observed.task_id)
        if task is None:
            session.repeat_all()  # the worker gives up what that does not name: after a grace, if it found it
        elif not session.certain:
            whole = False  # a worker that lives says it again; of one that is gone it may be true no more
        elif _is_stale(task, observed, report.worker):
            desk.release(report.worker, observed.task_id, observed.attempt)
        else:
            _merge(desk, task, observed, now)
    if whole:
        session.merged(report)
    for task_id, stats in report.task_stats:
        if task_id in node.live:
            desk.state.task_stats[task_id] = stats


def _absorb_node(desk: Desk, known: NodeEntry | None, report: Report, now: float) -> NodeEntry:
    if known is None:
        node = desk.state.add_node(report.node, now)
        desk.state.log("node_joined", now, node=report.worker, detail=str(report.node.capacity))
        desk.timers.add(now + desk.config.lease_s, "lease", report.worker)
        desk.plan_due = True
    else:
        node = known
    record = node.record
    node.heard_at = now
    if record.lost:
        record.lost = False
        desk.state.touch_node(node)
        desk.state.log("node_returned", now, node=report.worker)
        desk.timers.add(now + desk.config.lease_s, "lease", report.worker)
        desk.plan_due = True
    if record.node != report.node:
        record.node = report.node
        desk.state.touch_node(node)
        desk.state.log("node_changed", now, node=report.worker, detail=str(report.node.capacity))
        desk.plan_due = True
    if node.engine_ok != report.engine_ok:
        desk.plan_due = True  # also when it fails: rooms that are kept there are given up
        kind = "engine_answered" if report.engine_ok else "engine_unavailable"
        desk.state.log(kind, now, node=report.worker, detail=report.engine_message)
        desk.state.changed_nodes[report.worker] = None
    node.engine_ok, node.engine_message = report.engine_ok, report.engine_message
    if report.engine_ok:
        node.engine_failed_at = None
    elif node.engine_failed_at is None:
        node.engine_failed_at = now
        desk.timers.add(now + desk.config.engine_patience_s, "engine", report.worker)
    if report.stats is not None and report.stats != node.stats:
        node.stats = report.stats
        desk.state.changed_nodes[report.worker] = None
    return node


def _is_stale(task: TaskRecord, observed: Observed, worker: str) -> bool:
    """Whether nobody waits for this attempt any more: the worker may stop and forget it."""
    if task.released or task.attempt != observed.attempt:
        return True
    return task.attempts[-1].node != worker


def _contradicts_itself(observed: Observed) -> bool:
    """Whether no worker of ours says such a thing: it is not believed, above all not as a success."""
    match observed.state:
        case AttemptState.COMPLETED:
            return observed.reason is None or observed.exit_code != 0 or not observed.run
        case AttemptState.FAILED | AttemptState.STOPPED:
            return observed.reason is None
        case AttemptState.RUNNING:
            return not observed.run
        case _:
            return False


def _merge(desk: Desk, task: TaskRecord, observed: Observed, now: float) -> None:
    """Move an attempt on to where it was observed, if that is further than is known.

    Its worker was told what it should have, and so how often its runs were restarted.
    """
    attempt = task.attempts[-1]
    if attempt.state.terminal or _contradicts_itself(observed):
        return
    if observed.may_have_begun and not attempt.may_have_begun:
        attempt.may_have_begun = True
        desk.state.touch(task)
    if observed.progress < attempt.progress:
        return
    if observed.hung is not (attempt.hung_since is not None):
        attempt.hung_since = now if observed.hung else None
        if observed.hung:
            desk.timers.add(now + desk.config.engine_patience_s, "engine", attempt.node)
    restarted = attempt.run and observed.run > attempt.run
    _merge_streak(desk, task, attempt, observed, now)
    if observed.run > attempt.run:
        attempt.running_since = now
    before = attempt.message  # where a run failed, it says how, and when the next one follows
    attempt.run = max(attempt.run, observed.run)
    attempt.message = observed.message
    attempt.started_at = observed.started_at
    if (attempt.finished_at is None) is not (observed.finished_at is None):
        desk.changed_jobs[task.job_id] = None  # a run ended or began: whether the job is ready may change
    attempt.finished_at = observed.finished_at
    attempt.ports = observed.ports
    attempt.handle = observed.handle
    desk.state.touch(task)
    if restarted:
        desk.state.log("task_restarted", now, task=task, node=attempt.node, detail=before)
    if observed.healthy is not attempt.healthy:
        attempt.healthy = observed.healthy
        desk.changed_jobs[task.job_id] = None
        if observed.healthy is not None:
            kind = "task_healthy" if observed.healthy else "task_unhealthy"
            desk.state.log(kind, now, task=task, node=attempt.node, detail=observed.message)
    if observed.state.terminal:
        attempt.reason, attempt.exit_code = observed.reason, observed.exit_code
        if observed.state is not AttemptState.STOPPED and observed.run:
            attempt_began(desk, task, now)
        end_attempt(desk, task, observed.state, now)
    elif observed.state.rank > attempt.state.rank:
        desk.state.move_attempt(task, observed.state, now)
        if observed.state is AttemptState.RUNNING:
            attempt_began(desk, task, now)


def _merge_streak(
    desk: Desk, task: TaskRecord, attempt: AttemptRecord, observed: Observed, now: float
) -> None:
    """Take over how often it was restarted in a row, and tell when that becomes many, or none."""
    before = task.streak
    attempt.streak = observed.streak
    if observed.run and observed.streak is None:
        task.failed = 0
    was_looping = before is not None and before.crash_looping
    is_looping = observed.streak is not None and observed.streak.crash_looping
    if is_looping and not was_looping:
        desk.state.log("task_crash_looping", now, task=task, node=attempt.node, detail=observed.message)
    elif was_looping and not is_looping and not observed.state.terminal:
        desk.state.log("task_steady", now, task=task, node=attempt.node)
