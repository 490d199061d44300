"""A scheduling strategy of one's own, in three forms: a function, a class, and a plugin chosen by name.

Each task names the data that it reads, each node what it keeps, and a task belongs where its data is.
Prints where each of the three placed the tasks of the same job.
"""

import sys
from collections.abc import Iterable

import minorch as mo

NODES = [mo.Node("north", labels={"data": "cats"}), mo.Node("south", labels={"data": "dogs"})]
JOB = mo.Job(
    "training",
    [
        mo.Task(f"{data}-{number}", image="busybox", command=["true"], labels={"data": data})
        for data in ("cats", "dogs")
        for number in (1, 2)
    ],
)


def near_data(task: mo.TaskView, node: mo.NodeView) -> float:
    """What *task* would cost on *node*; the lowest wins. To fetch data costs as much as five tasks."""
    far = task.labels.get("data") != node.labels.get("data")
    return 5.0 * far + node.tasks


class NearData(mo.Scheduler):
    """The same with an option. What ``depends_on`` promises lets minorch keep costs between decisions."""

    depends_on = "node"

    def __init__(self, fetch_cost: float = 5.0) -> None:
        self.fetch_cost = fetch_cost

    def cost(self, task: mo.TaskView, node: mo.NodeView) -> float:
        far = task.labels.get("data") != node.labels.get("data")
        return self.fetch_cost * far + node.tasks


@mo.hookimpl
def minorch_schedulers() -> Iterable[mo.SchedulerPlugin]:
    """Make this module a plugin. An installed package names it in the entry-point group ``minorch``."""
    yield mo.SchedulerPlugin("near-data", NearData, "where the task's data is")


def place(form: str, scheduler: str | mo.Scheduler | mo.CostFunction) -> dict[str, str | None]:
    """Run the job with a scheduler; where did each task go?"""
    with mo.Cluster(NODES, scheduler=scheduler, plugins=[sys.modules[__name__]]) as cluster:
        tasks = cluster.submit(JOB).result(timeout=60).tasks
        nodes = {task.name: task.node for task in tasks}
    print(f"{form}: {', '.join(f'{name} in the {node}' for name, node in nodes.items())}")
    return nodes


def main() -> None:
    """Place the same job with each form."""
    expected = {"cats-1": "north", "cats-2": "north", "dogs-1": "south", "dogs-2": "south"}
    assert place("a function", near_data) == expected
    assert place("a class", NearData(fetch_cost=100)) == expected
    assert place("a name", "near-data") == expected


if __name__ == "__main__":
    main()
