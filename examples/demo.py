"""The tour: a job with a dependency and a task that fails once, on three workers of this machine.

Runs as containers where a Docker Engine answers, otherwise as plain processes.  Prints which of the two and
why; why a task waits, and why another is refused; tasks and nodes as tables; what happened to the one that
failed; and what the last task wrote.
"""

import minorch as mo

CRUNCH = """
echo "part $MINORCH_TASK_INDEX on $MINORCH_NODE, run $MINORCH_RUN"
sleep 1
if [ "$MINORCH_TASK_INDEX.$MINORCH_RUN" = 3.1 ]; then echo "this one fails once"; exit 1; fi
"""
REPORT = 'echo "all parts are in; this report was written on $MINORCH_NODE"'


def demo_job() -> mo.Job:
    """Six parts, one of which fails once and is started again; then a report that needs all of them."""
    crunch = mo.Task(
        "crunch",
        image="busybox",
        command=["sh", "-c", CRUNCH],
        completions=6,
        resources=mo.Resources(cpu=0.1, memory="32MiB"),
        restart=mo.RestartPolicy.on_failure(2, backoff_s=0.2),
    )
    report = mo.Task("report", image="busybox", command=["sh", "-c", REPORT], after=["crunch"])
    return mo.Job("demo", [crunch, report])


def refusal(cluster: mo.Cluster) -> str:
    """What the cluster says to a task that no node could hold even when empty."""
    try:
        cluster.submit(mo.Task("huge", command=["true"], resources=mo.Resources(cpu=10_000)))
    except mo.UnschedulableError as error:
        return str(error)
    raise AssertionError("a task of 10,000 cores was accepted")


def main() -> None:
    """Run the job and show what there is to see."""
    with mo.Cluster(workers=3, runtime="auto") as cluster:
        print(f"Tasks run on the {cluster.runtime} runtime: {cluster.why}.\n")
        job = cluster.submit(demo_job())
        print(f"Why the last task waits:\n{cluster.explain('demo/report')}\n")
        print(f"What could never run is refused at once:\n{refusal(cluster)}\n")

        state = job.wait(timeout=120)
        print(f"Job {job.name} is {state}:\n{job.table()}\n")
        print(f"The nodes:\n{cluster.table()}\n")
        print("What happened to the one that failed once:")
        for event in job.tasks["crunch[3]"].history:
            print(f"  {event}")
        report = job.tasks["report"].logs()
        print(f"\nWhat the last task wrote:\n  {report.strip()}")

        assert state is mo.JobState.COMPLETED
        assert job.tasks["crunch[3]"].restarts == 1
        assert report.startswith("all parts are in")


if __name__ == "__main__":
    main()
