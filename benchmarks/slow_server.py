"""A server in a process of its own that answers every request after a while; only as much of HTTP as that needs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

Reply = Callable[[bytes], bytes]
"""The body of an answer to the body of a request, JSON both."""


class Slow(asyncio.Protocol):
    def __init__(self, wait: float, reply: Reply) -> None:
        self.wait, self.reply = wait, reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.data = transport, b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, found, rest = self.data.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().index(b"content-length:") + 15
        length = int(head[at : at + 12].split(b"\r")[0])
        if len(rest) >= length:
            self.data = rest[length:]
            asyncio.get_running_loop().call_later(self.wait, self.answer, rest[:length])

    def answer(self, body: bytes) -> None:
        if not self.transport.is_closing():
            told = self.reply(body)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(told)}\r\n\r\n"
            self.transport.write(head.encode() + told)


async def serve(wait: float, reply: Reply) -> None:
    """Print the port, answer until standard input closes: with the process that started it."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Slow(wait, reply), "127.0.0.1", 0, backlog=8192)
    print(server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
