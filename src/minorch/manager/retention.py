"""What is forgotten and when: the remains of finished tasks at their workers, and finished jobs here."""

from __future__ import annotations

import itertools

from minorch.manager.desk import Desk
from minorch.state.tables import JobEntry

__all__ = ["forget_jobs", "next_to_forget", "release_job", "release_runs"]


def release_runs(desk: Desk, now: float) -> None:
    """Have workers forget finished tasks beyond the number and the age that are kept."""
    config, runs = desk.config, desk.finished_runs
    while runs and (len(runs) > config.keep_runs or runs[0][0] + config.keep_runs_s <= now):
        _, task_id = runs.popleft()
        _release(desk, task_id)


def _release(desk: Desk, task_id: str) -> None:
    task = desk.state.tasks.get(task_id)
    if task is None or task.released:
        return
    task.released = True
    desk.state.touch(task)
    desk.release(task.attempts[-1].node, task.id, task.attempts[-1].number)


def release_job(desk: Desk, entry: JobEntry) -> None:
    """Have workers forget all finished tasks of a job now."""
    for task_id in entry.task_ids():
        task = desk.state.tasks[task_id]
        if task.state.terminal and task.attempts:
            _release(desk, task_id)


def forget_jobs(desk: Desk, now: float) -> None:
    """Forget finished jobs beyond the number of tasks and the age that are remembered, oldest first."""
    config, jobs = desk.config, desk.finished_jobs
    while jobs and (desk.finished_tasks > config.keep_tasks or jobs[0][0] + config.keep_jobs_s <= now):
        _, job_id, count = jobs.popleft()
        desk.finished_tasks -= count
        entry = desk.state.jobs[job_id]
        release_job(desk, entry)
        desk.state.remove_job(entry)
        desk.changed_jobs[job_id] = None


def next_to_forget(desk: Desk) -> float | None:
    """When the next finished task or job is old enough to be forgotten; None: there is none."""
    config = desk.config
    ages = [at + config.keep_runs_s for at, _ in itertools.islice(desk.finished_runs, 1)]
    ages += [at + config.keep_jobs_s for at, _, _ in itertools.islice(desk.finished_jobs, 1)]
    return min(ages, default=None)
