"""The two ends that every transport here joins: a worker, and a manager that takes commands on its input.

A command is a line of JSON: {"submit": {...a job...}}, {"job": NAME}, {"stop": NAME}, {"release": NAME} or
{"nodes": true}.  The manager prints an answer to each, and ends with its input.  Its jobs are in a SQLite
file: one that was killed and is started again on the same file goes on.

MINORCH_LOSE=0.1 in the environment of either end loses a tenth of what it sends, to show that this costs time
and nothing else.
"""

import asyncio
import contextlib
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import minorch as mo
from minorch.drivers import RuntimeHands
from minorch.drivers.aio import AsyncManagerDriver, AsyncWorkerDriver
from minorch.runtimes.process import ProcessRuntime

CLUSTER_ID = "7472616e73706f7274732d6578616d70"  # both ends are told: any 32 hexadecimal digits of your own
LOSE = float(os.environ.get("MINORCH_LOSE", "0"))
M = TypeVar("M", mo.Assign, mo.Report)


def losing(send: Callable[[M], Awaitable[None] | None]) -> Callable[[M], Awaitable[None] | None]:
    """Lose a share of what is sent."""
    return lambda message: None if random.random() < LOSE else send(message)


@contextlib.asynccontextmanager
async def manager(
    store: str, send: Callable[[mo.Assign], Awaitable[None] | None]
) -> AsyncIterator[AsyncManagerDriver]:
    """A manager on a SQLite file."""
    registry = mo.default_registry()
    rows = registry.make_store(f"sqlite:{store}")
    scheduler = registry.make_scheduler("spread")
    try:
        async with AsyncManagerDriver(scheduler, rows, send=losing(send), cluster_id=CLUSTER_ID) as driver:
            yield driver
    finally:
        rows.close()


@contextlib.asynccontextmanager
async def worker(
    name: str, send: Callable[[mo.Report], Awaitable[None] | None]
) -> AsyncIterator[AsyncWorkerDriver]:
    """A worker of this machine: of its Docker Engine with MINORCH_RUNTIME=docker, else of plain processes."""
    runtime: mo.Runtime
    if os.environ.get("MINORCH_RUNTIME") == "docker":
        runtime = mo.default_registry().make_runtime("docker")
    else:
        runtime = ProcessRuntime(
            record_exits=True
        )  # how a run ended is known although its worker died before
    hands = RuntimeHands(runtime)
    node = mo.Node(name, capacity=runtime.describe().capacity, runtime=runtime.name)
    try:
        async with AsyncWorkerDriver(node, hands, cluster_id=CLUSTER_ID, send=losing(send)) as driver:
            yield driver
    finally:
        hands.close()
        runtime.close()


async def take_commands(driver: AsyncManagerDriver) -> None:
    """Carry out what standard input says, line by line, until it ends."""
    lines = asyncio.StreamReader(limit=2**20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        answer: dict[str, Any]
        try:
            answer = await carry_out(driver, json.loads(line))
        except (mo.MinorchError, ValueError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


async def carry_out(driver: AsyncManagerDriver, command: object) -> dict[str, Any]:
    """What changes something goes through ``call``, and is durable then; the rest through ``ask``."""
    match command:
        case {"submit": dict(document)}:
            job = mo.Job.from_dict(document)
            return {"id": await driver.call(lambda core, now: core.submit(job, now))}
        case {"stop": str(name)}:
            job_id = (await driver.ask(lambda core, now: core.job(name))).id
            await driver.call(lambda core, now: core.stop(job_id, now))
            return {}
        case {"release": str(name)}:  # what is over: its containers and logs may go
            job_id = (await driver.ask(lambda core, now: core.job(name))).id
            await driver.call(lambda core, now: core.release(job_id, now))
            return {}
        case {"job": str(name)}:
            info = await driver.ask(lambda core, now: core.job(name))
            tasks = {task.id: describe(task) for task in info.tasks}
            return {"state": info.state, "tasks": tasks}
        case {"nodes": _}:
            nodes = await driver.ask(lambda core, now: core.nodes())
            return {node.name: "ready" if node.ready else "not ready" for node in nodes}
    raise ValueError(
        'say {"submit": {...}}, {"job": NAME}, {"stop": NAME}, {"release": NAME} or {"nodes": true}'
    )


def describe(task: mo.TaskInfo) -> dict[str, Any]:
    """Where a task stands, and how each of its attempts ended."""
    attempts = [{"run": one.run, "reason": one.reason} for one in task.attempts]
    return {"name": task.name, "state": task.state, "attempts": attempts}
