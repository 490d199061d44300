"""The program dies, its tasks do not: a second cluster on the same store takes them over where they are.

This program starts itself as a child, which runs five tasks and is killed (SIGKILL) while they run. Some end
while nobody watches. Then it opens a cluster on the child's store: the same containers (or processes) are
adopted, nothing is started twice, and each exit code is the true one. Prints what was found and what became
of it.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import minorch as mo

# Task n ends after 4 + 2n seconds, and with exit code n, so that no code can be guessed.
SLEEPER = mo.Task(
    "sleeper",
    image="busybox",
    command=["sh", "-c", 'echo started; sleep $((4 + 2 * MINORCH_TASK_INDEX)); exit "$MINORCH_TASK_INDEX"'],
    completions=5,
)
UNWATCHED_S = 4.5


def handles(job: mo.JobHandle) -> dict[str, str]:
    """What the runtime calls each task's run: a container's id, or a process's."""
    return {task.name: task.attempts[-1].handle for task in job.info().tasks if task.attempts}


def child(store: str) -> None:
    """Start the tasks, say who they are, and wait to be killed."""
    with mo.Cluster(workers=2, store=store) as cluster:
        job = cluster.submit(mo.Job("night", [SLEEPER]))
        while not all(handles(job).values()) or len(handles(job)) < SLEEPER.completions:
            time.sleep(0.02)
        print(json.dumps(handles(job)), flush=True)
        job.wait()


def first_life(store: str) -> dict[str, str]:
    """Run the child until all its tasks run, and kill it."""
    with subprocess.Popen(
        [sys.executable, __file__, "child", store], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()  # SIGKILL: it cannot clean up, say goodbye or write anything down
    assert line, "the child ended before its tasks ran; it says why above"
    found: dict[str, str] = json.loads(line)
    return found


def second_life(store: str, before: dict[str, str], killed_at: float) -> None:
    """Open a cluster on what the first one left, and check that nothing was lost and nothing done twice."""
    with mo.Cluster(workers=2, store=store) as cluster:
        opened_at = time.time()
        job = cluster.jobs["night"]
        print(f"second cluster, on {cluster.runtime}: {job!r}")
        state = job.wait(timeout=60)
        after = handles(job)
        logs = [task.logs() for task in job.tasks.values()]
        tasks = job.info().tasks
        print(job.table())

    missed = [task.name for task in tasks if killed_at < (task.attempts[-1].finished_at or 0) < opened_at]
    same = sum(after.get(name) == handle for name, handle in before.items())
    print(f"the same as before: {same} of {len(before)}")
    print(f"ended while nobody watched: {', '.join(missed)}")
    assert after == before
    assert logs == ["started\n"] * SLEEPER.completions
    assert [(len(task.attempts), task.restarts) for task in tasks] == [(1, 0)] * SLEEPER.completions
    assert [task.exit_code for task in tasks] == [0, 1, 2, 3, 4]
    assert missed
    assert state is mo.JobState.FAILED  # an exit code other than 0 is a failure


def main() -> None:
    """Live twice."""
    with tempfile.TemporaryDirectory() as directory:
        store = f"sqlite:{Path(directory, 'jobs.db')}"
        before = first_life(store)
        killed_at = time.time()
        print(f"killed the first cluster's process while {len(before)} tasks ran")
        time.sleep(UNWATCHED_S)
        second_life(store, before, killed_at)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2])
    else:
        main()
