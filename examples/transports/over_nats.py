"""Messages over a NATS broker, with nats-py: a subject for each worker, and a user for each.

    MANAGER_PASSWORD=... A_PASSWORD=... B_PASSWORD=... nats-server -c examples/transports/nats-server.conf
    PASSWORD=... python -m examples.transports.over_nats manager STORE URL
    PASSWORD=... python -m examples.transports.over_nats worker URL NAME

Plain publishing is enough: what is lost while the broker is away is said again, so nothing need be stored
there.  Prints answers to commands (see ends.py).
"""

import asyncio
import logging
import os
import sys

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

import minorch as mo
from examples.transports import ends

ORDERS, REPORTS = "minorch.orders.", "minorch.reports."
log = logging.getLogger("over_nats")


async def connect(url: str, user: str) -> Client:
    """Connect now, or as soon as the broker is there, and again whenever it was away."""

    async def tell(error: Exception) -> None:
        log.warning("%s at the broker: %s", user, str(error) or type(error).__name__)
        if "authorization violation" in str(error).lower():
            os._exit(1)  # it will not be right the next time

    return await nats.connect(
        url,
        user=user,
        password=os.environ["PASSWORD"],
        error_cb=tell,
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        pending_size=-1,  # while the broker is away messages are lost, not kept: newer ones will be better
    )


async def manager(store: str, url: str) -> None:
    """Hear reports, and take commands until standard input ends."""
    client = await connect(url, "manager")

    async def send(order: mo.Assign) -> None:
        await client.publish(ORDERS + order.worker, mo.encode(order))

    async with ends.manager(store, send) as driver:

        async def hear(message: Msg) -> None:
            name = message.subject.removeprefix(REPORTS)  # the broker lets only this worker publish there
            try:
                report = mo.decode(message.data)
            except mo.MessageError as error:
                log.warning("worker %s sent something else: %s", name, error)
                return
            if isinstance(report, mo.Report) and report.worker == name:
                driver.receive(report)
            else:
                log.warning("worker %s spoke in the name of another; that was not heard", name)

        await client.subscribe(REPORTS + ">", cb=hear)
        await ends.take_commands(driver)
    await client.close()


async def worker(url: str, name: str) -> None:
    """Work until killed."""
    client = await connect(url, name)

    async def send(report: mo.Report) -> None:
        await client.publish(REPORTS + name, mo.encode(report))

    async with ends.worker(name, send) as driver:

        async def hear(message: Msg) -> None:
            try:
                order = mo.decode(message.data)
            except mo.MessageError as error:
                log.warning("the manager sent something else: %s", error)
                return
            if isinstance(order, mo.Assign):
                driver.receive(order)

        await client.subscribe(ORDERS + name, cb=hear)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(manager(*sys.argv[2:]) if sys.argv[1] == "manager" else worker(*sys.argv[2:]))
