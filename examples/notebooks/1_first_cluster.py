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
# # 1. A first cluster in ten minutes
#
# An orchestrator gets a description of work, finds a machine for it, starts it there, watches it, starts it
# again when it falls over, and tells you about it. This notebook builds that up piece by piece, with real
# containers or processes of this machine.
#
# If you know Tim Boring's *Build an Orchestrator in Go*, you know the pieces: the headings name its
# chapters. There you write them; here you import them, look inside, and take them apart.

# %%
import tempfile
import time
from pathlib import Path

import minorch as mo

# %% [markdown]
# ## A task (chapters 1 to 3)
#
# The smallest unit of work is a **task**: what to run, and what it needs. It is a description and never
# changes. Mistakes are told at once, with the field and with what to write instead.

# %%
greet = mo.Task(
    "greet",
    image="busybox",
    command=["sh", "-c", "echo hello from $MINORCH_NODE"],
    resources=mo.Resources(cpu=0.1, memory="32MiB"),
)
greet

# %%
try:
    mo.Task("greet", image="busybox", resources=mo.Resources(memory="32 miles"))
except mo.SpecError as error:
    print(error)

# %% [markdown]
# A task has a **state**, and only some moves between states are legal. The book draws that as a picture and
# checks it with `ValidStateTransition`. Here it is one table, and this is all of it:

# %%
from minorch.states import TASK_MOVES

for state, next_ones in TASK_MOVES.items():
    print(f"{state:<10} -> {', '.join(sorted(next_ones)) or 'the end'}")

# %% [markdown]
# ## Workers and a manager (chapters 4 to 8)
#
# A **worker** starts tasks on its node and watches them. The **manager** is the brain: it takes jobs, asks
# the scheduler where a task should go, tells a worker, and hears what became of it. In the book, they talk
# over HTTP; in a `Cluster` they are wired together in one process, which works in threads of its own from
# now on.
#
# Where a Docker Engine answers, tasks run as containers; otherwise as plain processes, and the image is not
# used.

# %%
cluster = mo.Cluster(workers=3, worker_config=mo.WorkerConfig(sample_s=0.5, heartbeat_s=1.0))
print(f"Tasks run on the runtime {cluster.runtime}: {cluster.why}")
cluster

# %% [markdown]
# You **submit** a task, or a job of several. `submit` returns at once, with a handle to ask. In a notebook
# you may `await` it; `job.wait()` does the same and blocks. Interrupting either stops the waiting, not the
# job.

# %%
job = cluster.submit(greet)
await job

# %%
print(job.tasks["greet"].logs())
job

# %% [markdown]
# Everything that happened is an **event**, with a number. This is what the book's manager prints to its
# terminal.

# %%
for event in job.tasks["greet"].history:
    print(event)

# %% [markdown]
# A **job** is a group of tasks, some of which may wait for others. Here six parts are worked on side by
# side, each knowing its number, and a report is made when all are done.

# %%
part = mo.Task(
    "part",
    image="busybox",
    command=[
        "sh",
        "-c",
        "sleep 0.$((2 + MINORCH_TASK_INDEX)); echo $((MINORCH_TASK_INDEX * MINORCH_TASK_INDEX))",
    ],
    completions=6,
    resources=mo.Resources(cpu=0.1, memory="32MiB"),
)
report = mo.Task("report", image="busybox", command=["echo", "all parts are in"], after=["part"])

squares = cluster.submit(mo.Job("squares", [part, report]))
print(cluster.explain("squares/report"))

# %%
await squares
print([int(squares.tasks[f"part[{n}]"].logs()) for n in range(6)])
squares

# %% [markdown]
# ## Where does it go? The scheduler (chapter 10)
#
# Scheduling has three phases, in the book's words: the **candidates** are the nodes that could run the
# task, each gets a **score**, and one is **picked**. A plan goes through all three and stops there: what
# would go where at which cost, and why something would not.

# %%
big = mo.Task("big", image="busybox", command=["true"], resources=mo.Resources(cpu=10_000))
cluster.plan(mo.Job("wishes", [part, big]))

# %% [markdown]
# The same code places tasks, and says why one waits. Of four that take most of a node, on three nodes, one
# has to:

# %%
most = 0.9 * cluster.nodes[0].node.capacity.cpu
hungry = mo.Task(
    "hungry", image="busybox", command=["sleep", "1"], completions=4, resources=mo.Resources(cpu=most)
)
crowd = cluster.submit(mo.Job("crowd", [hungry]))
print(cluster.explain("crowd/hungry[3]"))
await crowd

# %% [markdown]
# What no node could ever hold is refused, rather than left waiting for ever.

# %%
try:
    cluster.submit(big)
except mo.UnschedulableError as error:
    print(error)

# %% [markdown]
# The strategies to choose from are the book's two and four more, and those of plugins:

# %%
cluster.registry

# %% [markdown]
# One of your own can be a function. The next notebook writes a real one.


# %%
def last_letter(task: mo.TaskView, node: mo.NodeView) -> float:
    """Rather the node whose name comes last."""
    return -ord(node.name[-1])


with mo.Cluster(workers=3, scheduler=last_letter) as trial:
    where = trial.submit(greet)
    where.result(timeout=60)
    print("placed on", where.tasks["greet"].node)

# %% [markdown]
# ## What is it doing? Metrics (chapter 6)
#
# Workers measure their machine and their tasks. The book reads `/proc`; so does this.

# %%
busy = cluster.submit(
    mo.Task("busy", image="busybox", command=["sh", "-c", "while :; do :; done"], stop_grace_s=1)
)
busy.wait_ready(timeout=60)
while (stats := busy.tasks["busy"].stats()) is None or not stats.cpu_s:
    time.sleep(0.1)
print(f"{stats.cpu_s:.2f} s of processor time, {stats.memory / 2**20:.1f} MiB, {stats.pids} processes")
cluster.nodes

# %% [markdown]
# ## What could possibly go wrong? (chapter 9)
#
# **A task fails.** Its restart policy says how often it is started again on the same node, and after how
# long. This one fails twice and then makes it. `MINORCH_RUN` counts its starts.

# %%
flaky = mo.Task(
    "flaky",
    image="busybox",
    command=["sh", "-c", 'echo "try $MINORCH_RUN"; [ "$MINORCH_RUN" -ge 3 ]'],
    restart=mo.RestartPolicy.on_failure(5, backoff_s=0.2),
)
tries = cluster.submit(flaky)
print(await tries, "after", tries.tasks["flaky"].restarts, "restarts")
for event in tries.tasks["flaky"].history:
    print(event)

# %% [markdown]
# **A task runs, and does not work any more.** Nobody notices but a **health check**: a command, a
# connection or an HTTP request, made again and again by the worker. A service is kept running however it
# ends. This one is well for a second, and then only seems to run. The check sees it, and it is started
# again.

# %%
service = mo.Task(
    "web",
    image="busybox",
    command=["sh", "-c", "touch well; sleep 1; rm well; sleep 1000"],
    health=mo.HealthCheck.exec(["test", "-e", "well"], interval_s=0.2, threshold=2, start_period_s=0.5),
    restart=mo.RestartPolicy.always(backoff_s=0.2),
    stop_grace_s=1,
)
shop = cluster.submit(mo.Job("shop", [service], kind="service"))
while shop.tasks["web"].restarts == 0:
    time.sleep(0.1)
for event in shop.tasks["web"].history:
    print(event)

# %% [markdown]
# **Somebody kills it** behind the cluster's back. The worker sees it within milliseconds.

# %%
web = shop.tasks["web"]
shop.wait_ready(timeout=60)
before = web.restarts
cluster.runtime_of(web.node).kill(web.info().run_key)
while web.restarts == before:
    time.sleep(0.05)
print(web, "started again:", web.restarts, "times")

# %% [markdown]
# **A node has to go.** To drain it means: nothing new goes there, and what is there is stopped and placed
# elsewhere.

# %%
old = web.node
cluster.drain(old, wait=True, timeout=60)
shop.wait_ready(timeout=60)
print(f"{old} is empty; web went on to {web.node}")
cluster.uncordon(old)
shop

# %% [markdown]
# ## Stop
#
# To stop a task is to ask it to end, and to kill it after its grace. The state is STOPPED: somebody asked
# for it, so it is neither success nor failure.

# %%
busy.stop(wait=True, timeout=60)
shop.stop(wait=True, timeout=60)
cluster.jobs

# %% [markdown]
# ## What survives? The store (chapter 11)
#
# So far all state was in memory. With a **store** it is on disk before anything is started: whoever opens a
# cluster on the same store goes on where the last one stopped, even if that was killed. Here the first
# cluster leaves its task running on purpose.

# %%
folder = tempfile.TemporaryDirectory()
store = Path(folder.name, "jobs.db")

with mo.Cluster(runtime=cluster.runtime, store=store, detach=True) as first:
    night = first.submit(
        mo.Task("night", image="busybox", command=["sh", "-c", "echo begun; sleep 1000"], stop_grace_s=1)
    )
    night.wait_ready(timeout=60)
    handle = night.tasks["night"].attempts[-1].handle
print("the first cluster is gone, its task runs on:", handle[:12])

# %%
with mo.Cluster(runtime=cluster.runtime, store=store) as second:
    found = second.jobs["night"]
    found.wait_ready(timeout=60)
    assert found.tasks["night"].attempts[-1].handle == handle
    print(
        "the second one found it:", found.tasks["night"], "which wrote:", found.tasks["night"].logs().strip()
    )
    found.stop(wait=True, timeout=60)
folder.cleanup()

# %% [markdown]
# ## The end (chapter 12)
#
# The book ends with a command line; here you had a notebook. What is left to ask, a cluster answers at any
# time:

# %%
print(cluster.table())
cluster.tasks

# %% [markdown]
# A cluster that you close stops what it runs and removes it. If you forget, or the kernel dies, the next
# cluster tells you what was left, and offers to clean up. So there should be nothing now:

# %%
cluster.close()
mo.leftovers(cluster.runtime)

# %% [markdown]
# ## Yours to try
#
# 1. Give `flaky` one restart fewer than it needs, and look at `tries.tasks["flaky"].reason` and at what
#    `tries.result()` says.
# 2. Let `part` need `after=["report"]`. What does `mo.Job(...)` say to that?
# 3. Give the workers names and labels, `workers=[mo.Node("a", labels={"disk": "ssd"}), ...]`, and a task the
#    constraint `"disk == ssd"`. What does `cluster.explain` say of the others?
#
# Next: write your own scheduler, in ten lines.
