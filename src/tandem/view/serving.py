"""A server for one person on this machine: bound to loopback, guarded, ended by Ctrl-C.

    door = open_door(port=0)                         # bound and listening; the address is known
    serve(application(routes, door), door)           # prints the address, returns when it is interrupted

A socket is opened before anything is printed, so the address is right and a browser that is quicker than the server
waits. What this does not do: listen on any other address. For another machine there is `ssh -L`, which brings a lock.
"""

from __future__ import annotations

import errno
import ipaddress
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tandem.errors import UserError
from tandem.view.guard import Guard, Keys
from tandem.view.pages import Pages

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Door:
    """A listening socket with its keys."""

    socket: socket.socket
    """Bound and listening."""
    host: str
    """The address it is bound to, as it stands in a URL: `127.0.0.1`, `[::1]`."""
    port: int
    """The port it got."""
    keys: Keys = field(default_factory=Keys)
    """What opens it."""

    @property
    def hosts(self) -> frozenset[str]:
        """The names with port it answers to."""
        return frozenset(f"{name}:{self.port}" for name in (self.host, "localhost"))

    def address(self, key: str | None = None) -> str:
        """What to open in a browser."""
        return f"http://{self.host}:{self.port}/?key={key or self.keys.address}"


def open_door(port: int = 0, host: str = HOST) -> Door:
    """Listen on a loopback address; port 0 takes a free one.

    Raises UserError on any other address, and on a port that is taken or not allowed.
    """
    address = _loopback(host)
    if not 0 <= port < 1 << 16:
        raise UserError(f"is {port}", where="--port", remedy="give a number below 65536; 0 takes a free one")
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((str(address), port))
        made.listen(128)
    except OSError as e:
        made.close()
        problem = "is taken" if e.errno == errno.EADDRINUSE else f"cannot be had ({e.strerror})"
        remedy = "name another port, or leave --port out: a free one is taken"
        raise UserError(f"{problem}", where=f"port {port}", remedy=remedy) from e
    name = f"[{address}]" if address.version == 6 else str(address)
    return Door(made, name, made.getsockname()[1])


def _loopback(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    remedy = "these pages are for this machine: from another one, use ssh -L PORT:127.0.0.1:PORT with the same port"
    try:
        address = ipaddress.ip_address({"localhost": HOST}.get(host, host))
    except ValueError:
        raise UserError(f"{host!r} is no loopback address", where="--host", remedy=remedy) from None
    if not address.is_loopback:
        raise UserError(f"{host} is no loopback address", where="--host", remedy=remedy)
    return address


def application(
    routes: Sequence[BaseRoute], door: Door, pages: Pages | None = None, *, limit: int | None = None
) -> ASGIApp:
    """Routes, the files of ours that pages load, and plain error pages, behind the guard."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException

    from tandem.view import guard
    from tandem.view import pages as rendering

    pages = pages or Pages(door.keys.form)
    handlers = {HTTPException: pages.failed, rendering.Told: pages.told}
    app = Starlette(routes=[*routes, pages.files()], exception_handlers=handlers)
    return Guard(app, door.keys, door.hosts, limit=limit or guard.LIMIT)


def serve(
    app: ASGIApp, door: Door, *, open: bool = False, say: Callable[[str], None] = lambda line: print(line, flush=True)
) -> None:
    """Print the address and answer until Ctrl-C or SIGTERM; a request under way is answered first.

    With `open` a browser is shown the page, by an address that opens once.
    """
    import uvicorn

    say(door.address())
    say("Ctrl-C ends it.")
    # Its own log would write down the key, and the server prints nothing a person needs.
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        ws="none",
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if open:
            import webbrowser

            if not webbrowser.open(door.address(door.keys.ticket())):
                say("no browser found here: open the address by hand")
        uvicorn.Server(config).run(sockets=[door.socket])
    except KeyboardInterrupt:
        pass
    finally:
        door.socket.close()
        signal.signal(signal.SIGTERM, before)
