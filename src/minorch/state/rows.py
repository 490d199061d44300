"""Pictures as rows of words, the first row a heading: for tables of text and of HTML alike."""

from __future__ import annotations

from collections.abc import Sequence

from minorch.state.pictures import AttemptInfo, NodeInfo, TaskInfo

__all__ = ["ran_s", "readiness", "task_rows"]


def ran_s(attempt: AttemptInfo | None) -> float | None:
    """For how long an attempt ran, in seconds; None: it never did, or is not over."""
    if attempt is None or attempt.started_at is None or attempt.finished_at is None:
        return None
    return max(0.0, attempt.finished_at - attempt.started_at)


def readiness(node: NodeInfo) -> str:
    """Whether a node takes tasks, and if not, why, in one word."""
    flags = ("lost", "drained", "draining", "cordoned")
    return next((flag for flag in flags if getattr(node, flag)), "yes" if node.ready else "no")


def task_rows(tasks: Sequence[TaskInfo]) -> list[list[str]]:
    """One row a task: what became of it, and where."""
    rows = [["task", "state", "reason", "exit", "node", "attempts", "restarts", "ran"]]
    for task in tasks:
        last = task.attempts[-1] if task.attempts else None
        ran = ran_s(last)
        rows.append(
            [
                task.name,
                str(task.state),
                str(task.reason or ""),
                "" if task.exit_code is None else str(task.exit_code),
                task.node or "",
                str(last.number if last is not None else 0),
                f"{task.restarts}{' (crash looping)' if task.crash_looping else ''}",
                "" if ran is None else f"{ran:.2f} s",
            ]
        )
    return rows
