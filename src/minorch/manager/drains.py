"""Draining nodes: which of their tasks go when, so that not too many are on the move at a time.

What a drain has to do follows from its record and the tables, so it is looked at again in every turn, and
after a restart of the manager it goes on.
"""

from __future__ import annotations

from minorch.manager.desk import Desk
from minorch.manager.lifecycle import is_ready, move_away
from minorch.model.base import require_number
from minorch.state.records import DrainRecord, TaskRecord
from minorch.state.tables import NodeEntry

__all__ = ["begin_drain", "check_terms", "end_drain", "go_on_draining", "resume_drains"]


def check_terms(*, deadline_s: float | None, at_once: int | None) -> None:
    """Check what a drain is asked for.

    Raises:
        SpecError: a number makes no sense.
    """
    if deadline_s is not None:
        require_number(deadline_s, "deadline_s", most=1e12)
    if at_once is not None:
        require_number(at_once, "at_once", least=1, whole=True)


def begin_drain(
    desk: Desk, entry: NodeEntry, now: float, *, deadline_s: float | None, at_once: int | None
) -> None:
    """Have a node emptied, or go on emptying it in another way than before."""
    before = entry.record.drain
    entry.record.drain = DrainRecord(
        deadline=None if deadline_s is None else now + deadline_s,
        at_once=at_once,
        moving={} if before is None else before.moving,
    )
    desk.state.touch(entry.record)
    terms = [
        f"{len(entry.live)} tasks",
        *([] if at_once is None else [f"at most {at_once} at a time"]),
        *([] if deadline_s is None else [f"those of batch jobs may complete for {deadline_s:g} s"]),
    ]
    desk.state.log("node_draining", now, node=entry.record.node.name, detail="; ".join(terms))
    _watch(desk, entry.record.node.name, entry.record.drain)


def end_drain(desk: Desk, entry: NodeEntry) -> None:
    """Leave on a node what is still there."""
    entry.record.drain = None
    desk.draining.pop(entry.record.node.name, None)
    desk.drained[entry.record.node.name] = None


def resume_drains(desk: Desk) -> None:
    """Go on with the drains that were under way when the tables were written."""
    for name, entry in desk.state.nodes.items():
        drain = entry.record.drain
        if drain is not None and not drain.done:
            _watch(desk, name, drain)
            for left_at in drain.moving.values():
                if left_at is not None:
                    desk.timers.add(left_at + desk.config.drain_wait_s, "drain", name)


def _watch(desk: Desk, name: str, drain: DrainRecord) -> None:
    desk.draining[name] = None
    if drain.deadline is not None:
        desk.timers.add(drain.deadline, "drain", name)


def go_on_draining(desk: Desk, now: float) -> None:
    """Move what may go from every node that is being drained, and tell which of them are empty."""
    for name in list(desk.draining):
        entry = desk.state.nodes[name]
        drain = entry.record.drain
        assert drain is not None  # or it would not be there
        _go_on(desk, entry, drain, now)


def _go_on(desk: Desk, entry: NodeEntry, drain: DrainRecord, now: float) -> None:
    state, name = desk.state, entry.record.node.name
    before = dict(drain.moving)
    _count_out(desk, name, drain, now)
    late = drain.deadline is not None and now >= drain.deadline
    for task in [state.tasks[task_id] for task_id in entry.live]:
        if task.moving:  # perhaps for another reason, but it is on the move as well
            drain.moving.setdefault(task.id)
        elif task.ending is None and (late or _may_go(desk, drain, task)):
            move_away(desk, task, now)
            drain.moving[task.id] = None
    if not entry.live:
        drain.done = True
        drain.moving.clear()
        del desk.draining[name]
        desk.drained[name] = None
        state.log("node_drained", now, node=name)
    if drain.done or drain.moving != before:
        state.touch(entry.record)


def _may_go(desk: Desk, drain: DrainRecord, task: TaskRecord) -> bool:
    """Whether a task is moved before the drain's deadline."""
    if drain.deadline is not None and desk.state.jobs[task.job_id].job.kind == "batch":
        return False
    return drain.at_once is None or len(drain.moving) < drain.at_once


def _count_out(desk: Desk, name: str, drain: DrainRecord, now: float) -> None:
    """Forget those on the move that run again elsewhere, are over, or have had their time for it.

    A task that finds no room holds up the others, for there would be none for them either; but not for ever:
    it may wait for just what they leave behind, or never be healthy again.
    """
    wait_s = desk.config.drain_wait_s
    for task_id, left_at in list(drain.moving.items()):
        task = desk.state.tasks[task_id]  # jobs are forgotten later in a turn, so it is there
        if task.live is not None and task.live.node == name:
            pass  # it takes its time to end
        elif is_ready(task, desk.state.jobs[task.job_id]) or (
            left_at is not None and now >= left_at + wait_s
        ):
            del drain.moving[task_id]
        elif left_at is None:
            drain.moving[task_id] = now
            desk.timers.add(now + wait_s, "drain", name)
