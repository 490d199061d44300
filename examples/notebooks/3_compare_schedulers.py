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
# # 3. Compare schedulers on a real trace
#
# You have an idea where tasks should go. Is it better than what there is? On which work, by how much, and
# could it be chance? Here is the whole way from a trace of a real cluster to an answer: ten lines of
# scheduler, a comparison over several seeds with intervals, and a picture. Nothing runs but this notebook:
# `pip install "minorch[lab]"`.
#
# The trace is Alibaba's "openb" of 2023: the pods of a cluster with 6,200 GPUs, as published with Weng et
# al., *Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent*,
# USENIX ATC 2023. Get `data/csv/` of
# [hkust-adsl/kubernetes-scheduler-simulator](https://github.com/hkust-adsl/kubernetes-scheduler-simulator)
# and say in the environment where it is: `OPENB=...`. Without it, this notebook makes up a small one of the
# same form.

# %%
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import minorch as mo
from minorch import plot
from minorch.simulation import Arrival, Simulation, cell_compaction, compare, load_openb, resampled

PODS, NODES = "openb_pod_list_default.csv", "openb_node_list_all_node.csv"


HEADING = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time"


def made_up(folder: Path) -> Path:
    """A trace of the same form: a third of the nodes has no GPU, and most pods want a part of one, or one."""
    dice, at_s = random.Random(1), 0
    nodes, pods = ["sn,cpu_milli,memory_mib,gpu,model"], [f"{HEADING},scheduled_time"]
    for number in range(300):
        gpus = dice.choice([0, 2, 8])
        size = "96000,393216" if gpus else "32000,131072"
        nodes.append(f"node-{number},{size},{gpus},{'V100' if gpus else ''}")
    for number in range(3000):
        at_s += int(dice.expovariate(1 / 3000))
        gpus = dice.choices([0, 1, 2, 4, 8], [15, 70, 5, 5, 5])[0]
        share = dice.choice([300, 460, 500, 810, 1000]) if gpus == 1 else 1000 if gpus else 0
        size = f"{6000 * max(1, gpus)},{16384 * max(1, gpus)},{gpus},{share}"
        ends_s = at_s + int(dice.lognormvariate(8, 1.7))
        pods.append(f"pod-{number},{size},,LS,Running,{at_s},{ends_s},{at_s}")
    (folder / NODES).write_text("\n".join(nodes))
    (folder / PODS).write_text("\n".join(pods))
    return folder


def openb() -> Path:
    """The directory of the trace."""
    places = [Path(os.environ["OPENB"])] if "OPENB" in os.environ else []
    places += [parent / "shared" / "data" for parent in Path.cwd().parents]
    found = next((place for place in places if (place / PODS).is_file()), None)
    return found or made_up(Path(tempfile.mkdtemp()))


data = openb()
trace = load_openb(data / PODS, data / NODES)
print(data.name, "has", len(trace.nodes), "nodes; the first pods:")
for arrival in trace.first(3):
    (task,) = arrival.job.tasks
    print(f"  {arrival.at_s:>10,.0f} s  {arrival.job.name}: {task.resources} for {arrival.duration_s:,.0f} s")

# %% [markdown]
# ## A scheduler in ten lines
#
# `cost` is asked what it would cost to place a task on a node. The lowest wins. You only see nodes that
# could take the task. This one keeps whole GPUs whole: a task without a GPU goes where there are none, and
# among the rest the node wins on which the least is left over.


# %%
class KeepWhole(mo.Scheduler):
    """Leave as little as possible of a node's GPUs behind, and nothing of them to those who want none."""

    depends_on = "node"  # a promise: the cost is that of this node alone, so an index may keep it

    def cost(self, task: mo.TaskView, node: mo.NodeView) -> float:
        free, wanted = node.free.custom.get("gpu", 0.0), task.resources.custom.get("gpu", 0.0)
        if not wanted:
            return 100 * free + node.free.cpu / 1000
        return (free - wanted) + node.free.cpu / 1000


# %% [markdown]
# Before you compare, look at one run. A simulation is the real manager with real workers and your real
# scheduler, in virtual time.
#
# A trace is one sample of what could have happened. `resampled` draws others from it, one for each seed:
# pods with replacement, and the gaps between their arrivals. The cluster of the trace is far larger than
# what these pods need at any one time, and where there is room for all, every scheduler is as good as any.
# So we take every eightieth of its nodes, let pods arrive thirty times as fast, and have none stay for more
# than half a day.

# %%
nodes = trace.nodes[::80]
sample = resampled(trace, tasks=1500, times="gaps")


def hurried(seed: int) -> Iterator[Arrival]:
    """A sample of the trace in a thirtieth of the time."""
    for arrival in sample(seed):
        yield Arrival(arrival.at_s / 30, arrival.job, min(arrival.duration_s, 43_200.0))


result = Simulation(nodes=nodes, workload=hurried, scheduler=KeepWhole(), seed=0).run()
result

# %% [markdown]
# ## Against all the others
#
# Each scheduler gets the same samples, so they are compared seed by seed; that is what makes small
# differences visible.

# %%
others = ["round-robin", "least-loaded", "epvm", "bin-pack", "spread", "random"]
comparison = compare(
    {"keep-whole": KeepWhole(), **{name: name for name in others}},
    workload=hurried,
    nodes=nodes,
    seeds=range(8),
    baseline="bin-pack",
)
comparison

# %% [markdown]
# Read the differences, and the words beside them: where it says that a difference is not significant, it
# may be chance, however large it looks. That is a result, too, and the commonest one: on work like this the
# choice of strategy matters less than how full the cluster is. More seeds make smaller differences visible.
# The intervals are for the differences between pairs, so two bars of the picture may overlap and the
# difference be certain all the same.

# %%
plot.comparison_bars(comparison, measure="bounded_slowdown_mean")

# %% [markdown]
# Where does the difference come from? Look at how long tasks waited, scheduler by scheduler, for one of the
# samples.

# %%
results = [
    Simulation(nodes=nodes, workload=hurried, scheduler=scheduler, seed=0).run()
    for scheduler in (KeepWhole(), "bin-pack", "least-loaded")
]
plot.wait_cdf(results)

# %%
plot.utilisation_heatmap(results[0], resource="gpu")

# %% [markdown]
# ## How few machines would do?
#
# Waits depend on how full you run the cluster. Borg's authors asked a question that does not: how many
# machines can you take away until the work no longer fits? That is *cell compaction*. Lower is better.

# %%
for scheduler in (KeepWhole(), "bin-pack", "least-loaded"):
    print(cell_compaction(results[0], nodes, scheduler, seeds=range(5)))

# %% [markdown]
# ## And now for real
#
# `KeepWhole()` is what a `Cluster` takes, too: `mo.Cluster(nodes, runtime="docker",
# scheduler=KeepWhole())`. Notebook 2 does that. Its contract suite is one line in a test file; see "Write a
# scheduler" in the documentation.

# %%
workers = [mo.Node("gpus", capacity=mo.Resources(cpu=0.5, memory="256MiB", gpu=2)), mo.Node("plain")]
with mo.Cluster(workers, runtime="process", scheduler=KeepWhole()) as cluster:
    job = cluster.submit(mo.Task("no-gpu", command=["true"], resources=mo.Resources(cpu=0.1)))
    job.result(timeout=60)
    print(job.tasks["no-gpu"].node)  # plain
