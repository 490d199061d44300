"""Twenty tasks, eight at a time; two of them fail at their first run and are started again where they are.

Prints how many ran at the same time, and which of them were restarted.
"""

import minorch as mo

UNLUCKY = {4, 11}
WORK = """
sleep 1
case "$MINORCH_TASK_INDEX.$MINORCH_RUN" in 4.1|11.1) echo "run 1 fails"; exit 1;; esac
echo "$((MINORCH_TASK_INDEX * MINORCH_TASK_INDEX))"
"""


def most_at_once(attempts: list[mo.AttemptInfo]) -> int:
    """How many of them ran at the same time, by the runtime's own times."""
    turns = [(attempt.started_at or 0.0, 1) for attempt in attempts]
    turns += [(attempt.finished_at or 0.0, -1) for attempt in attempts]
    running = most = 0
    for _, change in sorted(turns):
        running += change
        most = max(most, running)
    return most


def main() -> None:
    """Run the batch and check who ran when, how often, and what they computed."""
    square = mo.Task(
        "square",
        image="busybox",
        command=["sh", "-c", WORK],
        completions=20,
        resources=mo.Resources(cpu=0.05, memory="16MiB"),
        restart=mo.RestartPolicy.on_failure(3, backoff_s=0.1),
    )
    with mo.Cluster(workers=4) as cluster:
        job = cluster.submit(mo.Job("squares", [square], parallelism=8))
        info = job.result(timeout=120)  # raises JobFailed, with the evidence, if one did not complete
        squares = [int(task.logs()) for task in job.tasks.values()]

    last = [task.attempts[-1] for task in info.tasks]
    restarted = {at for at, task in enumerate(info.tasks) if task.restarts}
    at_once = most_at_once(last)
    print(f"{info.name} on {cluster.runtime}: {len(squares)} tasks, sum {sum(squares)}")
    print(f"at most {at_once} ran at the same time, on {len({attempt.node for attempt in last})} nodes")
    print(f"restarted after a failure: {', '.join(info.tasks[at].name for at in sorted(restarted))}")

    assert squares == [number * number for number in range(20)]
    assert restarted == UNLUCKY
    assert all(task.restarts == 1 for task in info.tasks if task.restarts)
    assert 1 < at_once <= 8


if __name__ == "__main__":
    main()
