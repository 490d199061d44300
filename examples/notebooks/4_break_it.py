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
# # 4. Break it: faults and recovery
#
# Programs crash, machines vanish, cables are pulled. An orchestrator is what you have so that this is not
# your problem at three in the morning. So break one: first a real one on this machine, process by
# process; then a simulated one with twenty nodes, where hours pass in a blink.
#
# What may be expected of it is written down. These are the promises this notebook puts to the test, in
# the words of *Reliability* in the documentation:
#
# - **At least once, by default.** Each task is placed until it has ended, or used up its retries, or was
#   stopped.
# - **At most one live attempt**, but for a node that was declared lost.
# - **`on_lost="hold"`: never placed twice because of a lost node.** Such a task waits for its node.
# - **A result is the truth.** `COMPLETED` means that this very run ended with exit code 0. What nobody
#   saw is not a success.
#
# It takes about a minute, and needs no Docker: tasks are plain processes. You need `pip install
# "minorch[plot]"`.

# %%
import os
import signal
import time
from collections.abc import Callable
from math import expm1

import matplotlib.pyplot as plt
import msgspec

import minorch as mo
from minorch.plot import gantt
from minorch.simulation import Faults, Simulation, poisson, uniform


def until(met: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Wait for something that will come to pass."""
    deadline = time.monotonic() + timeout_s
    while not met():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.02)


nodes = [mo.Node(name, capacity=mo.Resources(cpu=1, memory="1GiB")) for name in ("left", "right")]
cluster = mo.Cluster(nodes, runtime="process")

# %% [markdown]
# ## A task that fails, and then does not
#
# It ends with an error in its first two runs. Its **restart policy** says what follows: start it again on
# the same node, after a wait that doubles each time, so that something which cannot work does not take
# the machine with it.

# %%
flaky = mo.Task(
    "flaky",
    command=["sh", "-c", 'echo "this is run $MINORCH_RUN"; test $MINORCH_RUN -ge 3'],
    restart=mo.RestartPolicy.on_failure(5, backoff_s=0.3),
)
job = cluster.submit(flaky)
print(job.wait(timeout=60))
for event in job.tasks["flaky"].history:
    print(event)

# %% [markdown]
# The history is the truth about a task, and it is short: what happened, why, and what is done about it.
#
# ## A task that never works
#
# After three restarts in a row it is *crash looping*. Nothing is hidden behind a green light: its state
# says RUNNING, for that is what is wanted of a service, and the message says what really goes on, how
# often, and when the next try is.

# %%
broken = mo.Task(
    "broken", command=["sh", "-c", "exit 7"], restart=mo.RestartPolicy.always(backoff_s=0.1, max_backoff_s=5)
)
loop = cluster.submit(mo.Job("loop", [broken], kind="service"))
until(lambda: loop.tasks["broken"].info().crash_looping)
print(loop.tasks["broken"].message)
for event in cluster.events():
    if event.kind == "task_crash_looping":
        print(event)
loop.stop(wait=True, timeout=60)

# %% [markdown]
# ## Killed from outside
#
# Four copies of a service. We take the process of one and kill it, the way the kernel does when memory is
# short.

# %%
serve = mo.Task(
    "serve",
    command=["sleep", "1000"],
    replicas=4,
    resources=mo.Resources(cpu=0.2),
    restart=mo.RestartPolicy.always(backoff_s=0.2),
    stop_grace_s=1,
)
web = cluster.submit(mo.Job("web", [serve], kind="service"))
web.wait_ready(timeout=60)
victim = web.tasks["serve[0]"]
os.kill(int(victim.attempts[-1].handle), signal.SIGKILL)
until(lambda: victim.restarts == 1)
web.wait_ready(timeout=60)
for event in victim.history:
    print(event)

# %% [markdown]
# Nobody asked for that to be repaired. The job says *four copies*, there were three, and the difference
# is what the cluster works on. That is all there is to it: **desired state**, **observed state**, and a
# loop.
#
# ## A node that has to go
#
# Maintenance is a fault that you announce. `drain` closes the node to new work and moves what is there;
# here one copy at a time, each only when the one before runs elsewhere.

# %%
print("before:", {name: task.node for name, task in web.tasks.items()})
cluster.drain("left", at_once=1, wait=True, timeout=60)
print("after: ", {name: task.node for name, task in web.tasks.items()})
cluster.nodes

# %%
cluster.close()  # stops and removes whatever still runs

# %% [markdown]
# ## Now twenty nodes
#
# Killing a process is easy. Machines that crash, and cables, are not to be had in a notebook, and nobody
# waits a month for enough of them. In a simulation they are drawn from a seed: the manager, the workers
# and the protocol between them are the real ones.
#
# First a short story, to see what happens. Three nodes, and each crashes about every ten minutes.

# %%
again = mo.RestartPolicy.on_failure(None)
part = mo.Task("part", command=["work"], resources=mo.Resources(cpu=1), restart=again)
job = mo.Job("work", [msgspec.structs.replace(part, completions=12)])
story = Simulation(
    nodes=uniform(3, cpu=2),
    workload=[(0, job, 240)],
    faults=Faults(crash_every_s=600, repair_s=120),
    seed=2,
)
told = 0
while events := story.step():
    for event in events:
        if event.kind in ("node_lost", "node_returned", "task_rescheduled") and told < 12:
            print(f"{event.at:6.0f} s  {event}")
            told += 1

# %%
gantt(story.result())

# %% [markdown]
# Hatched is when a node was down. What ran there is gone, and a new run of it begins elsewhere: *at least
# once*.
#
# Look at the gap between a crash and the next run. The manager cannot see a crash; all it sees is
# silence. When a worker has not been heard of for its **lease**, a minute here, it is declared lost, and
# only then its tasks are placed anew. A shorter lease finds out sooner, and takes a slow network for a
# dead machine more often.
#
# A node that is back before that is not lost at all. Its worker looks at what became of its tasks, and
# tells the truth: *killed*. That is a failure like any other, so the restart policy pays for it; without
# one these tasks would be FAILED.
#
# ## How much can it take?
#
# Tasks of ten minutes arrive on twenty nodes, at a rate that keeps them 75 % busy. Then nodes crash more
# and more often. Two things are worth knowing: how long tasks wait, and how much of all work is for
# nothing, because it is lost in a crash and has to be done again. The rest is the **goodput**.

# %%
LENGTH_S = 600.0
work = poisson(0.1, tasks=600, duration_s=LENGTH_S, work=part)
every_h = [8, 4, 2, 1, 1 / 2, 1 / 3, 1 / 4]  # the mean time between two crashes of one node
summaries = [
    [
        Simulation(
            nodes=uniform(20, cpu=4),
            workload=work,
            faults=Faults(crash_every_s=3600 * hours, repair_s=120),
            seed=seed,
        )
        .run()
        .summary()
        for seed in range(4)
    ]
    for hours in every_h
]

# %%
crashes = [1 / hours for hours in every_h]
waits = [[one.wait_s.mean / 60 for one in each] for each in summaries]
goodputs = [[100 * (1 - one.wasted_s / one.busy_s) for one in each] for each in summaries]


def foreseen(per_hour: float) -> float:
    """The goodput of tasks that begin again at zero after each crash, in per cent."""
    hits = per_hour * LENGTH_S / 3600  # so many crashes fall into the time of one task
    return 100 * hits / expm1(hits)


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for axes, values, words, colour in (
    (left, waits, "mean wait until a task begins, min", "#D55E00"),
    (right, goodputs, "goodput, % of the time of all runs", "#0072B2"),
):
    axes.plot(
        crashes, [sum(each) / len(each) for each in values], "o-", color=colour, label="mean of 4 seeds"
    )
    for rate, each in zip(crashes, values, strict=True):
        axes.plot([rate] * len(each), each, ".", color=colour, alpha=0.4)
    axes.set(xlabel="crashes of each node in an hour", ylabel=words, xlim=(0, None))
left.set_ylim(0, None)
right.set_ylim(0, 105)
line = [step / 20 for step in range(1, 85)]
right.plot(
    line, [foreseen(rate) for rate in line], "--", color="#555555", label=r"$\lambda T / (e^{\lambda T} - 1)$"
)
right.legend()

for hours, wait, each in zip(every_h, waits, summaries, strict=True):
    assert all(one.outcomes.completed == one.outcomes.arrived for one in each)
    print(f"a crash every {hours:5.2f} h: tasks wait {sum(wait) / len(wait):5.2f} min, and all completed")

# %% [markdown]
# Every task completed, in each of these worlds: *each task is placed until it has ended*. What it costs
# is time. A task that is hit begins again at zero, and the longer it is, the likelier it is hit again.
#
# The dashed line is what a formula says about that: with crashes at the rate $\lambda$, a task of length
# $T$ that starts over each time runs for $(e^{\lambda T} - 1) / \lambda$ in all. It knows nothing of
# queues, leases or schedulers, and is close. The lesson is in its exponent: **where crashes are frequent,
# cut work into short tasks**, or have long ones save how far they are.
#
# The left picture is what a user sees of it: nothing, for a long time. The quarter of the cluster that
# was to spare pays for what is done twice. When that is used up, waits grow for as long as work keeps
# arriving.
#
# ## A dead machine, or a dead cable?
#
# Nobody can tell them apart from outside. When a link is cut, the node goes on working, unheard. After
# the lease its tasks are placed anew, and then there are two of each: that is the exception to *at most
# one live attempt*. For work that does no harm when it is done twice, fine. For work that must never run
# side by side there is `on_lost="hold"`: it waits for its node.


# %%
def play(on_lost: str):
    task = msgspec.structs.replace(part, on_lost=on_lost)
    cut = Faults(cut_every_s=3600, cut_s=300)
    work = poisson(0.08, tasks=500, duration_s=LENGTH_S, work=task)
    return Simulation(nodes=uniform(20, cpu=4), workload=work, faults=cut, seed=1).run()


def ran_twice_at_once(result) -> int:
    """How many tasks had two live runs at some moment."""
    last_end: dict[int, float] = {}
    twice: set[int] = set()
    for run in result.runs():  # in the order in which they began
        if run.began_s < last_end.get(run.task, 0.0):
            twice.add(run.task)
        last_end[run.task] = max(last_end.get(run.task, 0.0), run.ended_s or result.ended_s)
    return len(twice)


for on_lost in ("replace", "hold"):
    result = play(on_lost)
    summary = result.summary()
    print(
        f"{on_lost:8} {result.counts['cuts']} cuts: {summary.outcomes.retries} runs more than tasks, "
        f"{ran_twice_at_once(result)} tasks ran twice at once; "
        f"slowdown {summary.slowdown.mean:.2f}, at most {summary.slowdown.most:.2f}"
    )
assert ran_twice_at_once(result) == 0  # hold

# %% [markdown]
# Here `hold` even wins: what ran behind the cut was not lost, only unheard. With machines that crash and
# stay away it waits as long as they do. That is the trade, and it is yours to make, task by task.
#
# ## Where to go from here
#
# - **Slow machines.** `Faults(straggler_share=0.05, straggler_factor=5)` makes one run in twenty five
#   times as long. What does that do to the mean, and what to the 99th percentile?
# - **A bad scheduler in bad times.** Play the crashes under `bin-pack` and under `spread`: what is lost
#   when one node takes all of a job with it?
# - **The lease.** `manager_config=mo.ManagerConfig(lease_s=10)` with
#   `worker_config=mo.WorkerConfig(heartbeat_s=3)`: what is won in crashes, and what is lost in short
#   cuts?
# - **How this is tested.** The same simulator, in far worse weather, plays whole clusters in which
#   messages are lost, doubled and late, until an invariant breaks or millions of steps have passed:
#   *Reliability* tells.
