# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2. Write your own scheduler
#
# A scheduler answers one question: *where should this task go?* In minorch the answer is a number for
# each node, and the lowest wins. This notebook begins with such a function, makes a class of ten lines
# out of it, tries that on a cluster that does not exist, compares it with what is built in, and then runs
# **the same object, unchanged**, on real containers.
#
# It takes about a minute. You need `pip install "minorch[lab,testing]"`, and for the last part a Docker
# Engine.

# %%
# needs: docker
import matplotlib.pyplot as plt
import msgspec

import minorch as mo
from minorch.plot import comparison_bars, gantt
from minorch.simulation import Model, Simulation, choice, compare, exponential, poisson, uniform
from minorch.testing import builders

# %% [markdown]
# ## The problem
#
# Each task reads a large set of data, and each node keeps one of these on its disk. A task that runs
# where its data is can begin to work at once. Anywhere else it first has to fetch it.
#
# Tasks and nodes say so in their **labels**.

# %%
SETS = ["birds", "cats", "dogs"]
nodes = [node for name in SETS for node in uniform(2, cpu=8, prefix=name, labels={"data": name})]
tasks = [
    mo.Task(f"read-{name}", command=["read"], labels={"data": name}, resources=mo.Resources(cpu=1))
    for name in SETS
]

# %% [markdown]
# ## A cost function
#
# That is all a strategy has to be: it gets a task and a node that *could* take it, and returns what that
# would cost. Nodes that are full, lost or not allowed were taken out before.
#
# Which unit a cost has is for you to say. Here it is *tasks*: to fetch data is as bad as to share the
# node with five of them.


# %%
def near_data(task: mo.TaskView, node: mo.NodeView) -> float:
    far = task.labels.get("data") != node.labels.get("data")
    return 5 * far + node.tasks


# %% [markdown]
# It is a function, so try it like one. `builders` make views of tasks and nodes in one line each:

# %%
cat_task = builders.task("t", labels={"data": "cats"})
for node in (
    builders.node("home-3-tasks", labels={"data": "cats"}, tasks=3),
    builders.node("elsewhere-idle", labels={"data": "dogs"}),
):
    print(f"{node.name:16} costs {near_data(cat_task, node)}")

# %% [markdown]
# ## On a cluster that does not exist
#
# A simulation runs the real manager, with your function in it, on nodes and work that are made up. Only
# time is pretended: minutes pass in milliseconds.
#
# One thing has to be told to it, since nobody really reads anything: that a task is slow where its data
# is not. That is a **model**. It says of every task on a node how fast it goes.


# %%
class FarIsSlow(Model):
    """Whoever has to fetch its data takes twice as long."""

    def speeds(self, node, running):
        here = node.labels.get("data")
        return [1.0 if one.task.labels.get("data") == here else 0.5 for one in running]


work = poisson(0.45, tasks=500, duration_s=exponential(60), work=choice(tasks, weights=[5, 3, 2]))
result = Simulation(nodes=nodes, workload=work, scheduler=near_data, model=FarIsSlow(), seed=1).run()
result

# %% [markdown]
# ## Ten lines
#
# A class can have **options**, and it can make a **promise**. `depends_on = "node"` says: my cost depends
# on what the task asks for and on this one node, and on nothing else. minorch then keeps costs until a
# node changes, and a decision takes no longer on ten thousand nodes than on ten. Without a promise it
# asks you about every node, every time. That is never wrong.
#
# `parts` is optional: it says what a cost is made of, and `explain` will show it.


# %%
class NearData(mo.Scheduler):
    """Nodes that have the data, until they are busier than the others by what it costs to fetch it."""

    depends_on = "node"

    def __init__(self, fetch: float = 5.0) -> None:
        self.fetch = fetch

    def parts(self, task: mo.TaskView, node: mo.NodeView) -> dict[str, float]:
        far = task.labels.get("data") != node.labels.get("data")
        return {"fetch": self.fetch * far, "tasks": float(node.tasks)}

    def cost(self, task: mo.TaskView, node: mo.NodeView) -> float:
        return sum(self.parts(task, node).values())


mine = NearData()

# %% [markdown]
# Promise no more than you keep: look at `node.job_tasks` and it is `"job"`; look at other nodes, draw
# lots or remember something, and it is `"anything"`, which is the default.
#
# ## Is it any good?
#
# One run proves little: another draw of the work may turn the result around. `compare` gives every
# strategy the same work, seed by seed, and says when a difference may be chance. And is `fetch=5` a good
# choice? Give it some others.

# %%
comparison = compare(
    {
        "round-robin": "round-robin",
        "least-loaded": "least-loaded",
        "fetch 1": NearData(1),
        "fetch 5": mine,
        "fetch 50": NearData(50),
    },
    workload=work,
    nodes=nodes,
    model=FarIsSlow(),
    seeds=range(10),
    measures=["bounded_slowdown_mean", "wait_mean_s", "makespan_s"],
    progress=False,
)
comparison

# %%
comparison_bars(comparison, "bounded_slowdown_mean")

# %% [markdown]
# A slowdown of 1 is a task that never waited and had its data at hand. Who knows nothing of data sends
# two tasks in three the wrong way, even if the load is spread as evenly as can be. Of those that do know,
# the one that fetches lightly is worst: here the nodes are never so full that leaving home would pay.
#
# To see it, let three jobs arrive at once, one for each set of data. A bar is a run, a colour is a job:

# %%
jobs = [
    (0.0, mo.Job(name, [msgspec.structs.replace(task, completions=count)]), [20.0 + n for n in range(count)])
    for name, task, count in zip(SETS, tasks, (24, 12, 8), strict=True)
]
figure, axes = plt.subplots(2, 1, figsize=(8, 6), layout="constrained")
for ax, scheduler in zip(axes, ("round-robin", mine), strict=True):
    run = Simulation(nodes=nodes, workload=jobs, scheduler=scheduler, model=FarIsSlow()).run()
    gantt(run, ax=ax)
    ax.set_xlim(0, 100)

# %% [markdown]
# ## A filter: what must not be
#
# A cost says what you would rather not have. What must *never* be is a **filter**: it returns None, or in
# words why not. Some data may not leave its node:


# %%
def stays_home(task: mo.TaskView, node: mo.NodeView) -> str | None:
    if "private" in task.labels and task.labels.get("data") != node.labels.get("data"):
        return "its data may not leave where it is"
    return None


secret = mo.Task(
    "secret",
    command=["read"],
    labels={"data": "dogs", "private": "yes"},
    resources=mo.Resources(cpu=6),
    completions=3,
)
simulation = Simulation(nodes=nodes, workload=[(0, secret, 60)], scheduler=mine, filters=[stays_home])
simulation.run(until=30)
simulation.explain("secret/secret[2]")

# %% [markdown]
# Four nodes are idle, and it waits all the same: `explain` counts the refusals by their words.
#
# ## The contract
#
# Does it do what *every* strategy must? `SchedulerContract` draws odd clusters, with nodes that are full,
# lost, or have no capacity at all, and tries to catch your object at changing a view, at giving another
# answer to the same question, at a cost that is no number, or at a promise that it does not keep. In a
# project pytest runs it; here a loop will do.

# %%
from minorch.testing.scheduler_contract import SchedulerContract  # needs pytest and hypothesis


def broken_rules(scheduler: mo.Scheduler) -> list[str]:
    suite = type("Suite", (SchedulerContract,), {"make_scheduler": lambda self: scheduler})()
    broken = []
    for name in (name for name in dir(suite) if name.startswith("test_")):
        try:
            getattr(suite, name)()
        except AssertionError:
            broken.append(name)
    return broken


assert broken_rules(mine) == []


# %% [markdown]
# A check that finds nothing should be seen to find something. This one promises too much: it looks at how
# many tasks of the same job are on a node, which is more than `"node"`.


# %%
class Liar(mo.Scheduler):
    depends_on = "node"

    def cost(self, task: mo.TaskView, node: mo.NodeView) -> float:
        return node.job_tasks.get(task.job_id, 0)


broken_rules(Liar())

# %% [markdown]
# ## The same object, on real containers
#
# `mine` is the object from above. Nothing is registered, converted or deployed: the cluster gets it where
# a simulation got it. Three nodes share this machine's Docker Engine, and twelve containers read.

# %%
here = [
    mo.Node(f"{name}-node", labels={"data": name}, capacity=mo.Resources(cpu=1, memory="256MiB"))
    for name in SETS
]
job = mo.Job(
    "reading",
    [
        mo.Task(
            f"{name}-{number}",
            image="busybox",
            command=["sh", "-c", f"echo read {name} on $(hostname); sleep 1"],
            labels={"data": name},
            resources=mo.Resources(cpu=0.1, memory="16MiB"),
        )
        for name, count in zip(SETS, (8, 3, 1), strict=True)
        for number in range(count)
    ],
)
cluster = mo.Cluster(here, runtime="docker", scheduler=mine)
running = cluster.submit(job)
print(cluster.explain("reading/birds-6"))

# %% [markdown]
# The first birds went home. Then home was busier than fetching is bad, and this one went elsewhere.
# `explain` shows what each node costs by the parts that you named; it says so of *now*, when everything
# is placed.

# %%
running.result(timeout=120)
for name, task in running.tasks.items():
    print(f"{name:8} on {task.node:11} {'' if task.node.startswith(name.split('-')[0]) else '<- far'}")

# %% [markdown]
# And what the simulation would have said: the same job, on the same nodes, with the same strategy. The
# code that decides is the same, so the answer is, too.

# %%
foreseen = Simulation(
    nodes=[info.node for info in cluster.nodes], workload=[(0, job, 1.0)], scheduler=mine
).run()
placed = {task.name: task.node for task in running.info().tasks}
assert {record.task: record.node for record in foreseen.records()} == placed

# %%
cluster.close()

# %% [markdown]
# ## Where to go from here
#
# - **Make it slow, and see.** `Simulation(..., scheduler_s=0.5)` charges half a second for every
#   placement: how slow may a strategy be before its wisdom costs more than it gains?
# - **Two of three data sets.** Give nodes a label with several sets (`"cats,dogs"`), and change one line.
# - **Cost what it really costs.** `fetch` is a guess. Give tasks a label with the size of their data, and
#   let the model and the strategy both use it.
# - **Share it.** A package with one entry point makes it a name that anybody can choose: *Write a
#   scheduler* in the documentation goes there step by step.
