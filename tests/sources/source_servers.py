"""Servers on this machine that are shaped like those of sources, and the faults every one of them may show.

    async with serving(answer) as server:
        … server.url …, server.requests

`answer` gets the request with its fields (query, form or JSON body) and returns a JSON value or a `web.Response`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tandem.http import Limits

QUICK = Limits(
    concurrency=1, start=1, tries=3, first_wait=0.001, first_pause=0.001, seconds_a_try=0.2, body_bytes=1 << 16
)
KEY = "sk-test-0123456789abcdefSECRET"
HTML = "<!DOCTYPE html><html><body><h1>It works!</h1></body></html>"


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    fields: dict[str, Any]
    headers: dict[str, str]


@dataclass
class Server:
    """A running server, and what it was asked."""

    url: str = ""
    requests: list[Asked] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0


Answer = Callable[[Asked], Any]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Server]:
    server = Server()

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.content_type == "application/json" and request.can_read_body:
            fields = await request.json()
        else:
            fields = dict(request.query) | {k: str(v) for k, v in (await request.post()).items()}
        asked = Asked(request.method, request.path, fields, {k.lower(): v for k, v in request.headers.items()})
        server.requests.append(asked)
        server.in_flight += 1
        server.most_in_flight = max(server.most_in_flight, server.in_flight)
        try:
            given = answer(asked)
            if isinstance(given, Awaitable):
                given = await given
        finally:
            server.in_flight -= 1
        return given if isinstance(given, web.StreamResponse) else web.json_response(given)

    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


async def _slow(_: Asked) -> web.Response:
    await asyncio.sleep(0.5)
    return web.json_response({})


def _raw(body: bytes | str, kind: str = "application/json", status: int = 200, **headers: str) -> Answer:
    data = body.encode() if isinstance(body, str) else body
    return lambda _: web.Response(body=data, content_type=kind, status=status, headers=headers)


FAULTS: dict[str, tuple[Answer, str]] = {
    "slow": (_slow, "timeout"),
    "429": (_raw('{"message": "too many"}', status=429, **{"Retry-After": "0.002"}), "rate-limit"),
    "429 for an hour": (_raw('{"message": "too many"}', status=429, **{"Retry-After": "3600"}), "rate-limit"),
    "503": (_raw("{}", status=503), "server"),
    "403": (_raw("{}", status=403), "key"),
    "404": (_raw("{}", status=404), "refused"),
    "empty": (_raw(""), "malformed"),
    "html": (_raw(HTML, "text/html"), "malformed"),
    "half a JSON": (_raw('{"query": {"search": [{"ti'), "malformed"),
    "another encoding": (_raw('{"query": "é"}'.encode("latin-1")), "malformed"),
    "huge": (_raw(b" " * (1 << 17) + b"{}"), "malformed"),
    "a list": (_raw("[]"), "malformed"),
    "another shape": (_raw('{"unexpected": true}'), "malformed"),
}
"""Faults by name, each with the kind of failure that it is."""
