"""A diamond: ``clean`` and ``enrich`` after ``extract``, and ``load`` after both. It prints who ran when.

That no task began before those it comes after had ended is checked with the times that the runtime noted.
"""

import minorch as mo


def step(name: str, *after: str) -> mo.Task:
    """A task that takes a moment and comes after others."""
    return mo.Task(name, image="busybox", command=["sh", "-c", f"sleep 0.4; echo {name}"], after=after)


def main() -> None:
    """Run the diamond; then a chain whose first link breaks, of which the rest must not start."""
    extract, clean, enrich = step("extract"), step("clean", "extract"), step("enrich", "extract")
    diamond = mo.Job("diamond", [step("load", "clean", "enrich"), clean, enrich, extract])
    failing = mo.Task("first", image="busybox", command=["false"])
    broken = mo.Job("broken", [failing, step("second", "first")])

    with mo.Cluster(workers=2) as cluster:
        info = cluster.submit(diamond).result(timeout=60)
        last_job = cluster.submit(broken)
        assert last_job.wait(timeout=60) is mo.JobState.FAILED
        never = last_job.tasks["second"].info()

    runs = {task.name: task.attempts[-1] for task in info.tasks}
    times = {name: (run.started_at or 0.0, run.finished_at or 0.0) for name, run in runs.items()}
    zero = min(began for began, _ in times.values())
    for name, (began, ended) in sorted(times.items(), key=lambda item: item[1]):
        print(f"{name:8} {began - zero:5.2f} s to {ended - zero:5.2f} s on {runs[name].node}")
    for task in diamond.tasks:
        for earlier in task.after:
            assert times[earlier][1] <= times[task.name][0], f"{task.name} began before {earlier} ended"

    print(f"behind a broken link: {never.name} is {never.state} ({never.reason})")
    assert never.state is not mo.TaskState.COMPLETED
    assert not never.attempts


if __name__ == "__main__":
    main()
