"""Who may ask a server on this machine: the person who started it, in a browser, and no other page in that browser.

    Host             must be the loopback name and port that is served: another name that leads here is a rebound one
    key              the printed address holds one; a visit with it sets a cookie (HttpOnly, SameSite=Strict)
    POST             comes from a page of this server (Origin, Sec-Fetch-Site) and brings the page's own token
    body             has a limit, and is read whole before anybody sees it
    every answer     forbids scripts and styles that are no files of ours, framing, guessing of types, and caching

Cookies are shared by all ports of a host, and SameSite knows no ports: that is why a cookie alone opens nothing that
writes, and why Origin is compared with its port. What this does not do: tell users apart, or encrypt.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LIMIT = 64 * 1024
"""Bytes a body may have."""
FIELDS = 1000
"""Fields a form may have."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
    "referrer-policy": "same-origin",  # with no-referrer a form's Origin would be null
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""What every answer says to the browser."""
ENTRY = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,"><meta http-equiv="refresh" content="0; url={path}"><title>Tandem</title>
<a href="{path}">Go on</a></html>"""
"""A page and not a redirect: after a click on another site a redirect would not carry the new, strict cookie."""


@dataclass(frozen=True)
class Keys:
    """The secrets of one server."""

    address: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """Stands in the printed address."""
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """What a visit with it leaves in the browser."""
    form: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """Stands in every form; a page of another origin cannot read it."""
    tickets: set[str] = field(default_factory=set)
    """Keys that open once: for an address that others may see, as on a browser's command line."""

    def ticket(self) -> str:
        """A new key that opens once."""
        made = secrets.token_urlsafe(24)
        self.tickets.add(made)
        return made

    def opens(self, given: str) -> bool:
        """Whether a key in an address opens; a ticket is used up."""
        if given in self.tickets:
            self.tickets.discard(given)
            return True
        return _same(given, self.address)


class Guard:
    """An application behind the rules above."""

    def __init__(self, app: ASGIApp, keys: Keys, hosts: frozenset[str], *, limit: int = LIMIT) -> None:
        """`hosts` are the names with port that this server answers to, such as `127.0.0.1:8080`."""
        self._app, self._keys, self._hosts, self._limit = app, keys, hosts, limit
        self.cookie = "tandem-" + next(iter(sorted(hosts))).rpartition(":")[2]
        """Its name: one for each port, since the ports of a host share their cookies."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send) if scope["type"] == "lifespan" else None
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                kept = [(name, value) for name, value in message["headers"] if name.lower().decode() not in HEADERS]
                message = {**message, "headers": kept + ours}
            await send(message)

        headers = _headers(scope)
        refused = self._refused(scope["method"], headers)
        query: dict[str, str] = {}
        if not refused:
            try:
                query = dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=FIELDS))
            except ValueError:
                refused = 400, f"The address has more than {FIELDS:,} parameters."
        if refused:
            await _answer(guarded, *refused)
        elif scope["method"] == "GET" and self._keys.opens(query.get("key", "")):
            path = "/" + quote(scope["path"].lstrip("/\\"))
            cookie = f"{self.cookie}={self._keys.cookie}; Path=/; HttpOnly; SameSite=Strict"
            await _answer(guarded, 200, ENTRY.format(path=path), "text/html", {"set-cookie": cookie})
        elif not _same(_cookies(headers).get(self.cookie, ""), self._keys.cookie):
            await _answer(guarded, 403, "Open the address that the command has printed: it holds the key.")
        elif scope["method"] == "POST":
            await self._post(scope, headers, receive, guarded)
        else:
            await self._app(scope, receive, guarded)

    def _refused(self, method: str, headers: Mapping[str, list[str]]) -> tuple[int, str] | None:
        """Status and reason, before any key is looked at."""
        host = headers.get("host", [])
        if len(host) != 1 or host[0].lower() not in self._hosts:
            return 421, f"This server answers to {' or '.join(sorted(self._hosts))} only."
        if method not in ("GET", "HEAD", "POST"):
            return 405, "Only GET, HEAD and POST."
        site, dest = _one(headers, "sec-fetch-site"), _one(headers, "sec-fetch-dest")
        if method != "POST" and site in ("cross-site", "same-site") and dest != "document":
            return 403, "Another page has asked for this."
        return None

    async def _post(self, scope: Scope, headers: Mapping[str, list[str]], receive: Receive, send: Send) -> None:
        """Let a POST of our own pages through, its body read."""
        origin, site = _one(headers, "origin"), _one(headers, "sec-fetch-site")
        own = origin in {f"http://{host}" for host in self._hosts} if origin else site == "same-origin"
        if not own or site not in ("", "same-origin"):
            await _answer(send, 403, "A page of another origin has sent this.")
            return
        body = await self._body(headers, receive)
        if body is None:
            await _answer(send, 413, f"The body is longer than {self._limit:,} bytes.", headers={"connection": "close"})
            return
        try:
            fields = _fields(headers, body)
        except ValueError:
            await _answer(send, 400, "The form cannot be read.")
            return
        token = _one(headers, "x-tandem-token") or fields.pop("token", "")
        if not _same(token, self._keys.form):
            await _answer(send, 403, "The page is an old one, of another server: load it again.")
            return

        async def replay() -> Message:
            nonlocal body
            if body is not None:
                whole, body = body, None
                return {"type": "http.request", "body": whole, "more_body": False}
            return await receive()

        await self._app({**scope, "tandem.fields": fields}, replay, send)

    async def _body(self, headers: Mapping[str, list[str]], receive: Receive) -> bytes | None:
        """The whole body; None where it is too long."""
        length = _one(headers, "content-length")
        if length and (not length.isdigit() or int(length) > self._limit):
            return None
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self._limit:
                return None
            if message["type"] != "http.request" or not message.get("more_body"):
                return bytes(body)


def fields(request: Request) -> Mapping[str, str]:
    """The fields of a form that a POST brought, its token left out; line ends are plain newlines."""
    found: Mapping[str, str] = request.scope.get("tandem.fields", {})
    return found


def _fields(headers: Mapping[str, list[str]], body: bytes) -> dict[str, str]:
    if not _one(headers, "content-type").startswith("application/x-www-form-urlencoded"):
        return {}
    pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS)
    return {name: value.replace("\r\n", "\n").replace("\r", "\n") for name, value in pairs}


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
    return found


def _one(headers: Mapping[str, list[str]], name: str) -> str:
    """A header that may be there once; several become one text that fits nothing."""
    return ",".join(headers.get(name, []))


def _cookies(headers: Mapping[str, list[str]]) -> dict[str, str]:
    pairs = (part.strip().partition("=") for line in headers.get("cookie", []) for part in line.split(";"))
    return {name: value for name, _, value in pairs}


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


async def _answer(
    send: Send, status: int, text: str, kind: str = "text/plain", headers: Mapping[str, str] | None = None
) -> None:
    body = text.encode()
    told: dict[str, Any] = {"content-type": f"{kind}; charset=utf-8", "content-length": str(len(body))}
    pairs = [(name.encode(), value.encode()) for name, value in (told | dict(headers or {})).items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
