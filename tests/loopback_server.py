"""A server on this machine that answers POSTs as a test says, faults included, and counts what it did.

    async with LoopbackServer(lambda request: Act(body={"n": 1})) as server:
        … server.url …
    server.acts["ok"]     # how often each act was played

The test's function sees every request (path, headers, body, how often this body came before) and returns an `Act`.
`seeded` makes such a function that plays faults at given rates: what happens to a request depends on the seed, its body
and how often it came, not on the order of arrival. A plain asyncio protocol, since a web framework would not let a body
end in its middle.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Request:
    """What came in."""

    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Any
    """The JSON body."""
    before: int
    """How often the same body came before."""


@dataclass(frozen=True)
class Act:
    """What the server does with one request."""

    name: str = "ok"
    """For counting."""
    status: int = 200
    body: Any = None
    """Bytes as they are, anything else as JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before anything is sent."""
    drop: bool = False
    """Close the connection instead of answering."""
    reset: bool = False
    """The same with a reset instead of an orderly end."""
    cut: int | None = None
    """Promise the whole body, send so many bytes of it, close."""
    drip: float | None = None
    """Send the body byte by byte, this many seconds apart."""
    endless: int = 0
    """Send the body so many times over, in chunks, without telling a length."""


Answer = Callable[[Request], Act]

HTML = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>"
JSON_BODY = {"id": "x", "choices": [{"text": "a fine answer"}]}
ERROR_BODY = {"error": {"message": "no, not now", "type": "some_error"}}

FAULTS: dict[str, Act] = {
    "429": Act(status=429, body=ERROR_BODY),
    "429-after": Act(status=429, body=ERROR_BODY, headers={"Retry-After": "0.02"}),
    "500": Act(status=500, body=ERROR_BODY),
    "503": Act(status=503, body=b"", headers={"Content-Type": "text/plain"}),
    "drop": Act(drop=True),
    "reset": Act(reset=True),
    "half": Act(body=json.dumps(JSON_BODY).encode()[:20]),
    "cut": Act(body=JSON_BODY, cut=11),
    "drip": Act(body=JSON_BODY, drip=0.2),
    "html": Act(body=HTML, headers={"Content-Type": "text/html; charset=utf-8"}),
    "text": Act(body=b'{"looks": "like JSON"}', headers={"Content-Type": "text/plain"}),
    "empty": Act(body=b""),
    "redirect": Act(status=307, body=b"", headers={"Location": "http://127.0.0.1:9/elsewhere"}),
    "huge": Act(body=b" " * 65536, endless=4096),
    "400": Act(status=400, body=ERROR_BODY),
}
FAULTS = {name: replace(act, name=name) for name, act in FAULTS.items()}


def seeded(seed: int, rates: Mapping[str, float], answer: Callable[[Request], Any]) -> Answer:
    """An answer function that plays each fault of `FAULTS` at its rate, else answers with JSON."""
    names, weights = ["ok", *rates], [1 - sum(rates.values()), *rates.values()]
    assert weights[0] >= 0

    def act(request: Request) -> Act:
        drawn = random.Random(f"{seed} {json.dumps(request.body, sort_keys=True)} {request.before}")
        name = drawn.choices(names, weights)[0]
        return Act(body=answer(request)) if name == "ok" else FAULTS[name]

    return act


class LoopbackServer:
    """See the top of this module. Stops at the end of its `async with`, with every connection."""

    def __init__(self, answer: Answer, *, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.acts: Counter[str] = Counter()
        """Acts begun, by name."""
        self.requests: Counter[str] = Counter()
        """Requests by body (canonical JSON)."""
        self.in_flight = 0
        self.most_in_flight = 0
        self.connections: set[_Connection] = set()
        self.accepted = 0
        """Connections ever made."""
        self._tls = tls

    async def __aenter__(self) -> LoopbackServer:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, ssl=self._tls, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' * bool(self._tls)}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in list(self.connections):
            connection.end()
        await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    """One connection: requests one after the other."""

    def __init__(self, server: LoopbackServer) -> None:
        self.server = server
        self.data = b""
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.server.connections.add(self)
        self.server.accepted += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connections.discard(self)
        if self.task:
            self.task.cancel()

    def end(self) -> None:
        if self.task:
            self.task.cancel()
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self.data += data
        if not self.data.startswith(b"POST "[: len(self.data)]):
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            self.transport.close()
            return
        head, found, rest = self.data.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self.data = rest[length:]
        server = self.server
        body = json.loads(rest[:length] or b"null")
        key = json.dumps(body, sort_keys=True)
        act = server.answer(Request(first.split()[1], headers, body, server.requests[key]))
        server.requests[key] += 1
        server.acts[act.name] += 1
        server.in_flight += 1
        server.most_in_flight = max(server.most_in_flight, server.in_flight)
        self.task = asyncio.get_running_loop().create_task(self._play(act))

    async def _play(self, act: Act) -> None:
        try:
            if act.delay:
                await asyncio.sleep(act.delay)
            if act.drop or act.reset:
                self._drop(act.reset)
                return
            body = act.body if isinstance(act.body, bytes) else json.dumps(act.body).encode()
            length = "Transfer-Encoding: chunked" if act.endless else f"Content-Length: {len(body)}"
            headers = {"Content-Type": "application/json", **act.headers}
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            self.transport.write(f"HTTP/1.1 {act.status} Act\r\n{lines}{length}\r\n\r\n".encode("latin-1"))
            await self._write_body(act, body)
        finally:
            self.server.in_flight -= 1

    async def _write_body(self, act: Act, body: bytes) -> None:
        if act.endless:
            for _ in range(act.endless):
                self.transport.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
                while self.transport.get_write_buffer_size() > 1 << 20:
                    await asyncio.sleep(0.001)
            self.transport.write(b"0\r\n\r\n")
        elif act.drip is not None:
            for i in range(len(body)):
                self.transport.write(body[i : i + 1])
                await asyncio.sleep(act.drip)
        elif act.cut is not None:
            self.transport.write(body[: act.cut])
            await asyncio.sleep(0.01)
            self._drop(False)
        else:
            self.transport.write(body)

    def _drop(self, reset: bool) -> None:
        if reset:
            raw = self.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()
