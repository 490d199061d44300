"""Messages over plain pipes: the manager starts each worker, and speaks with its standard input and output.

    python -m examples.transports.over_pipe manager STORE a="COMMAND" b="COMMAND" ...

where COMMAND starts a worker: here "python -m examples.transports.over_pipe worker a"; on another machine the
same after "ssh HOST", which brings encryption and authentication with it.  A message is its length in four
bytes, then itself.  A worker that died is started again; one whose pipe is closed ends, and what it ran goes
on.  Prints answers to commands (see ends.py).
"""

import asyncio
import contextlib
import logging
import os
import shlex
import sys
from collections.abc import AsyncIterator

import minorch as mo
from examples.transports import ends
from minorch.drivers.aio import AsyncManagerDriver
from minorch.messages import MAX_MESSAGE_BYTES

AGAIN_S, END_S = 1.0, 15.0
log = logging.getLogger("over_pipe")


async def write(line: asyncio.StreamWriter, message: mo.Message) -> None:
    """Send a message, or lose it where the other end has read nothing for long."""
    if line.transport.get_write_buffer_size() > MAX_MESSAGE_BYTES:
        raise ConnectionError("the other end does not read")
    data = mo.encode(message)
    line.write(len(data).to_bytes(4, "big") + data)
    await line.drain()


async def read(line: asyncio.StreamReader) -> AsyncIterator[mo.Message]:
    """What the other end sends, until it hangs up. Raises MessageError where that is no message."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            size = int.from_bytes(await line.readexactly(4), "big")
            if size > MAX_MESSAGE_BYTES:
                raise mo.MessageError(f"a message of {size:,} bytes")
            yield mo.decode(await line.readexactly(size))


class Lines:
    """The manager's lines to its workers."""

    driver: AsyncManagerDriver

    def __init__(self) -> None:
        self._lines: dict[str, asyncio.StreamWriter] = {}

    async def send(self, order: mo.Assign) -> None:
        """Send an order; where no line is, it is lost."""
        if order.worker in self._lines:
            await write(self._lines[order.worker], order)

    async def keep(self, name: str, command: str) -> None:
        """Keep a worker running and listen to it. Who is at the other end is known: it was started here."""
        while True:
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(*shlex.split(command), stdin=pipe, stdout=pipe)
            assert process.stdin is not None
            assert process.stdout is not None
            self._lines[name] = process.stdin
            try:
                async for message in read(process.stdout):
                    if not isinstance(message, mo.Report) or message.worker != name:
                        raise mo.MessageError("it speaks in the name of another")
                    self.driver.receive(message)
            except mo.MessageError as error:
                log.warning("worker %s is cut off: %s", name, error)
            finally:
                del self._lines[name]
                process.stdin.close()  # which has it end
                try:
                    await asyncio.wait_for(process.wait(), END_S)
                except TimeoutError:
                    process.kill()
                    await process.wait()
            await asyncio.sleep(AGAIN_S)


async def manager(store: str, *workers: str) -> None:
    """Start the workers, and take commands until standard input ends."""
    lines = Lines()
    async with ends.manager(store, lines.send) as lines.driver:
        commands = (worker.partition("=") for worker in workers)
        kept = [asyncio.create_task(lines.keep(name, command)) for name, _, command in commands]
        await ends.take_commands(lines.driver)
        for task in kept:
            task.cancel()
        await asyncio.wait(kept)


async def worker(name: str) -> None:
    """Work until the manager hangs up."""
    loop = asyncio.get_running_loop()
    down = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(down), sys.stdin)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whoever prints something does not print into the messages
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), out
    )
    up = asyncio.StreamWriter(transport, protocol, None, loop)
    async with ends.worker(name, lambda report: write(up, report)) as driver:
        async for message in read(down):
            assert isinstance(message, mo.Assign)
            driver.receive(message)


if __name__ == "__main__":
    asyncio.run(manager(*sys.argv[2:]) if sys.argv[1] == "manager" else worker(*sys.argv[2:]))
