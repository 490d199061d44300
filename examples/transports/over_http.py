"""Messages over HTTP with TLS: Starlette at the manager, httpx at the workers, and a bearer token for each.

    python -m examples.transports.over_http manager STORE PORT TOKENS CERTIFICATE KEY
    TOKEN=... python -m examples.transports.over_http worker URL NAME AUTHORITY

Only the manager has to be reachable.  A worker posts its reports, and asks for its orders; it is answered as
soon as there are any, or after 20 s that there are none.  TOKENS is a JSON file, {"NAME": "TOKEN", ...};
AUTHORITY holds the certificate of who signed the manager's.  Prints answers to commands (see ends.py).
"""

import asyncio
import collections
import contextlib
import json
import os
import secrets
import ssl
import sys
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
from starlette.exceptions import HTTPException
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import minorch as mo
from examples.transports import ends
from minorch.drivers import Outbox
from minorch.drivers.aio import AsyncManagerDriver
from minorch.messages import MAX_MESSAGE_BYTES

POLL_S, AGAIN_S = 20.0, 1.0
NOTHING = Response(status_code=204)


def name_of(request: Request) -> str:
    """The worker that is spoken for, if it is the one who speaks."""
    name = str(request.path_params["name"])
    if request.user.display_name != name:
        raise HTTPException(403, f"this is not the token of worker {name}")
    return name


class Door(AuthenticationBackend):
    """Where workers come to the manager, each with its token."""

    driver: AsyncManagerDriver

    def __init__(self, tokens: str) -> None:
        self._tokens: dict[str, str] = json.loads(Path(tokens).read_text())
        self._orders = Outbox[mo.Assign]()  # one for each worker waits to be fetched, whatever that costs it
        self._bells = collections.defaultdict[str, asyncio.Event](asyncio.Event)

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
        """Say who is speaking."""
        scheme, _, given = conn.headers.get("Authorization", "").partition(" ")
        for name, token in self._tokens.items():
            if scheme.lower() == "bearer" and secrets.compare_digest(given.encode(), token.encode()):
                return AuthCredentials(["worker"]), SimpleUser(name)
        raise AuthenticationError("no worker has this token")

    def send(self, order: mo.Assign) -> None:
        """Have an order wait until its worker comes for it."""
        self._orders.put(order)
        self._bells[order.worker].set()

    async def report(self, request: Request) -> Response:
        """A worker reports, in its own name and in no other."""
        name = name_of(request)
        if int(request.headers.get("Content-Length", MAX_MESSAGE_BYTES + 1)) > MAX_MESSAGE_BYTES:
            raise HTTPException(413)
        try:
            message = mo.decode(await request.body())
        except mo.MessageError as error:
            raise HTTPException(400, str(error)) from None
        if not isinstance(message, mo.Report) or message.worker != name:
            raise HTTPException(403, f"only reports of worker {name} may come with its token")
        self.driver.receive(message)
        return NOTHING

    async def orders(self, request: Request) -> Response:
        """A worker asks for its orders."""
        name = name_of(request)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await self._bells[name].wait()
        if await request.is_disconnected():  # what waits is for who asks after this one
            return NOTHING
        self._bells[name].clear()
        order = self._orders.take(name)
        return NOTHING if order is None else Response(mo.encode(order))


async def manager(store: str, port: str, tokens: str, certificate: str, key: str) -> None:
    """Serve workers until standard input ends."""
    door = Door(tokens)

    def unknown(_: HTTPConnection, error: Exception) -> Response:
        return PlainTextResponse(str(error), 401, {"WWW-Authenticate": "Bearer"})

    routes = [
        Route("/workers/{name}/report", door.report, methods=["POST"]),
        Route("/workers/{name}/orders", door.orders),
    ]
    app = AuthenticationMiddleware(Starlette(routes=routes), backend=door, on_error=unknown)
    config = uvicorn.Config(app, port=int(port), ssl_certfile=certificate, ssl_keyfile=key, log_config=None)
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    async with ends.manager(store, door.send) as door.driver:
        serving = asyncio.create_task(server.serve())
        await ends.take_commands(door.driver)
        server.should_exit = True
        await serving


async def worker(url: str, name: str, authority: str) -> None:
    """Work until killed; a manager that is away is asked again and again."""
    async with httpx.AsyncClient(
        base_url=f"{url}/workers/{name}",
        headers={"Authorization": f"Bearer {os.environ['TOKEN']}"},
        verify=ssl.create_default_context(cafile=authority),
        timeout=httpx.Timeout(10.0, read=POLL_S + 10.0),
    ) as client:

        async def send(report: mo.Report) -> None:
            (await client.post("/report", content=mo.encode(report))).raise_for_status()

        async with ends.worker(name, send) as driver:
            while True:
                try:
                    answer = await client.get("/orders")
                    if answer.status_code in (401, 403):
                        sys.exit(f"the manager refuses worker {name}: {answer.text}")
                    order = mo.decode(answer.content) if answer.raise_for_status().content else None
                    if isinstance(order, mo.Assign):
                        driver.receive(order)
                except (httpx.HTTPError, mo.MessageError) as error:
                    print(f"no orders: {error!r}", file=sys.stderr)
                    await asyncio.sleep(AGAIN_S)


if __name__ == "__main__":
    asyncio.run(manager(*sys.argv[2:]) if sys.argv[1] == "manager" else worker(*sys.argv[2:]))
