"""A whole cluster of plain processes is killed with ``kill -9``: manager, workers and all, but not its tasks.

Each task writes its name, attempt and run into a ledger as it starts, so that what ran twice shows.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import minorch as mo
from minorch.runtimes.process import ProcessRuntime
from tests.survival.figures import KILLS, tell

CYCLES = max(6, KILLS // 10)

CLUSTER = """
import itertools, sys, time
from pathlib import Path
import minorch as mo
from minorch.runtimes.process import ProcessRuntime

place, first = Path(sys.argv[1]), int(sys.argv[2])
# The first run of every second instance fails; so does one whose end nobody saw, as the cluster was dead.
script = f'''
echo "$MINORCH_TASK_ID/$MINORCH_ATTEMPT/$MINORCH_RUN" >> {place}/ledger
sleep "0.$(($MINORCH_TASK_INDEX * 7 % 3))"
exit $(($MINORCH_RUN == 1 && $MINORCH_TASK_INDEX % 2))
'''
restart = mo.RestartPolicy.on_failure(50, backoff_s=0.02)
part = mo.Task("part", command=["sh", "-c", script], completions=3, restart=restart)
cluster = mo.Cluster(workers=2, runtime=ProcessRuntime(place / "runs"), store=place / "store.db")
print("up", flush=True)
for number in itertools.count(first):
    cluster.submit(mo.Job(f"job-{number}", [part], retries=50))
    print(f"job-{number}", flush=True)
    time.sleep(0.05)
"""


def killed(place: Path, first: int, after_s: float) -> list[str]:
    """Have a cluster begin and submit jobs from this number on, and kill it; what it acknowledged."""
    words = [sys.executable, "-c", CLUSTER, str(place), str(first)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        time.sleep(after_s)
        process.kill()
        rest = process.stdout.read()
    return [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]


def test_kill_9_of_a_cluster_loses_no_job_and_starts_no_run_twice(tmp_path: Path):
    chance = random.Random(12)
    acknowledged: set[str] = set()
    number = 1
    for _ in range(CYCLES):
        said = killed(tmp_path, number, chance.uniform(0, 0.4))
        acknowledged |= {line.strip() for line in said}
        number += len(said) + 1  # the one after those may have been accepted without a word
    runtime = ProcessRuntime(tmp_path / "runs")
    try:
        with mo.Cluster(workers=2, runtime=runtime, store=tmp_path / "store.db") as cluster:
            jobs = dict(cluster.jobs)
            assert acknowledged <= jobs.keys(), "a job was acknowledged and lost"
            states = {name: job.wait(timeout=60) for name, job in jobs.items()}
            assert set(states.values()) == {mo.JobState.COMPLETED}
            known = {
                f"{task.id}/{attempt.number}/{run}"
                for job in jobs.values()
                for task in job.info().tasks
                for attempt in task.attempts
                for run in range(1, attempt.run + 1)
            }
            numbers = [event.number for event in cluster.events()]
    finally:
        runtime.close()
    ledger = (tmp_path / "ledger").read_text().splitlines()
    doubled = [line for line, count in Counter(ledger).items() if count > 1]
    assert doubled == [], "a run was started twice"
    assert set(ledger) <= known, "a run that nobody knows of"
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    tell(
        f"{CYCLES} clusters killed: {len(acknowledged)} jobs acknowledged, {len(jobs)} completed, "
        f"{len(ledger)} runs, none twice, {len(numbers)} events"
    )
