"""A command that serves pages, as a process of its own, and somebody who visits it.

    with served("judge", "a.jsonl", "b.jsonl") as server:
        visitor = Visitor(server.address)
        visitor.get("/").text

`python served.py` itself serves three small pages, for the tests of the guard.
"""

from __future__ import annotations

import contextlib
import html
import http.client
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit


@dataclass
class Server:
    """A running command."""

    address: str
    """What it printed, with the key."""
    process: subprocess.Popen[str]
    """It."""

    def end(self, how: int = signal.SIGINT) -> str:
        """End it and return what it still said."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        out, _ = self.process.communicate(timeout=20)
        return out


@contextlib.contextmanager
def served(*command: str, cwd: Path | None = None, script: str | None = None) -> Iterator[Server]:
    """`tandem …`, or a script, until the end of the block."""
    start = [sys.executable, script] if script else [sys.executable, "-m", "tandem.cli.main"]
    process = subprocess.Popen([*start, *command], cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("http://"):
                break
        else:
            raise AssertionError("no address: " + "".join(said))
        yield Server(line.strip(), process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@dataclass
class Reply:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def words(self) -> str:
        """The text with entities resolved."""
        return html.unescape(self.text)


class Visitor:
    """A browser's manners without the browser: a cookie, forms of our own pages, same-origin headers."""

    def __init__(self, address: str, *, enter: bool = True) -> None:
        parts = urlsplit(address)
        assert parts.hostname and parts.port
        self.host, self.port = parts.hostname, parts.port
        self.cookie = self.token = ""
        if enter:
            reply = self.get(f"{parts.path}?{parts.query}")
            assert reply.status == 200, reply.text
            self.cookie = reply.headers["set-cookie"].partition(";")[0]

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Any request; a header given as empty is left out."""
        usual = {"Host": f"{self.host}:{self.port}"} | ({"Cookie": self.cookie} if self.cookie else {})
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            sent = usual | dict(headers or {})
            if body is not None and "Content-Length" not in sent and "Transfer-Encoding" not in sent:
                sent["Content-Length"] = str(len(body))
            for name, value in sent.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders(body, encode_chunked="Transfer-Encoding" in sent)
            came = connection.getresponse()
            return Reply(came.status, {k.lower(): v for k, v in came.getheaders()}, came.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """A page; its forms' token is kept for posting."""
        reply = self.ask("GET", path, headers=headers)
        if found := re.search(rb'name="token" value="([^"]+)"', reply.body):
            self.token = found.group(1).decode()
        return reply

    def post(self, path: str, headers: Mapping[str, str] | None = None, **fields: str) -> Reply:
        """A form of our own pages."""
        usual = {
            "Origin": f"http://{self.host}:{self.port}",
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        given = {"token": self.token} | fields
        return self.ask("POST", path, urlencode(given).encode(), usual | dict(headers or {}))


if __name__ == "__main__":
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    from tandem.view.guard import fields
    from tandem.view.pages import Pages, Told
    from tandem.view.serving import application, open_door, serve

    door = open_door()
    pages = Pages(door.keys.form)

    async def home(request: Request) -> Response:
        form = '{% extends "frame.html" %}{% block main %}<input name="token" value="{{ token }}">{% endblock %}'
        return Response(pages._environment.from_string(form).render(), media_type="text/html")

    async def echo(request: Request) -> Response:
        return JSONResponse({"fields": dict(fields(request)), "size": len(await request.body())})

    async def cannot(request: Request) -> Response:
        raise Told(409, "That <b>cannot</b> be", "do something else")

    routes = [Route("/", home), Route("/echo", echo, methods=["POST"]), Route("/told", cannot)]
    serve(application(routes, door, pages), door)
    print("ended")
