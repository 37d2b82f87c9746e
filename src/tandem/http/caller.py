"""Asking a remote model: POST a JSON body, get a JSON object back, or one typed error. Never a key in sight.

    caller = Caller("https://api.example.com/v1", {"Authorization": "Bearer …"}, model="m")
    reply = await caller.post("/chat/completions", body)

A `Caller` sends as fast as its `Pace` lets it, repeats only what is safe to repeat, with full jitter (Brooker 2015,
"Exponential backoff and jitter"), and ends by its deadline, which covers waiting for a turn, repeats and reading.
Whatever goes wrong is a `CallFailed`: the kind, host and path, the server's own words in one printable line, what to
do. Errors are not chained to those of aiohttp, which carry the request's headers. Connections belong to the event loop.

What this does not do: know a wire format, count money, record answers, follow redirects, read netrc or, unless asked,
proxies from the environment. Rejected: httpx and the clients of the providers, whose pools look at every connection for
every request (a tenth of the requests a second at 512 at once), and aiohttp's own retries and deadlines.
"""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from tandem.errors import CallFailed, UserError
from tandem.http import collector
from tandem.http.connection import address, checked, credentials, environment_proxy, joined, open_session, place
from tandem.http.events import ACCEPT, Streamed, together
from tandem.http.faults import KINDS, Fault, broken, cut_off, judged, parsed
from tandem.http.pace import Limits, LongPause, Outcome, Pace
from tandem.http.redact import Secrets
from tandem.http.reply import Reply, Stats
from tandem.text import duration, size

LONGEST_WAIT = 30.0
"""Seconds before a repeat are drawn between 0 and at most this."""
ERROR_BYTES = 1 << 16
ERROR_SECONDS = 5.0
"""Of the body of a refusal, so much is read, and for so long."""
LARGE_BODY = 1 << 20
"""Longer requests are given to aiohttp as a file, which it sends in parts."""
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass
class _Call:
    """One call of `post` on its way."""

    url: URL = field(repr=False)
    body: Mapping[str, Any] = field(repr=False)
    tokens: int = 0
    safe: bool = True
    began: float = 0.0
    end: float | None = None
    doing: str = "waiting for a turn"
    tries: int = 0
    read: int = 0
    last: Fault | None = None
    streamed: Callable[[], Streamed] | None = None
    answer: Streamed | None = None

    @property
    def begun(self) -> bool:
        """Whether part of the answer was given out."""
        return self.answer is not None and self.answer.begun


@dataclass(frozen=True)
class _Line:
    """What belongs to one event loop."""

    session: aiohttp.ClientSession
    pace: Pace


_paces: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], Pace]] = WeakKeyDictionary()


class Caller:
    """Calls one remote model. Of use from several event loops; close it in each, or when all have ended.

    base_url                  "https://host[:port][/path]"; http too; paths of `post` are appended to it
    headers                   sent with every request; none of their values ever shows in an error, a reply or a `repr`
    model                     callers of one event loop with the same base_url and model share one pace
    limits                    see `tandem.http.pace.Limits`
    deadline                  seconds for one whole call, None for no end
    environment_proxies       whether HTTP_PROXY, HTTPS_PROXY and NO_PROXY are obeyed
    Raises UserError for an address or a header that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        model: str = "",
        limits: Limits | None = None,
        deadline: float | None = None,
        environment_proxies: bool = False,
    ) -> None:
        self.limits = limits or Limits()
        self.deadline = deadline
        self.stats = Stats()
        self._base = address(base_url)
        self._headers = checked(headers)
        self._model = model
        self._proxy = environment_proxy(self._base) if environment_proxies else None
        self._secrets = Secrets.of_headers(headers, *self._base.query.values(), *credentials(self._proxy))
        self._urls: dict[str, URL] = {}
        self._lines: dict[asyncio.AbstractEventLoop, _Line] = {}
        self._pace = Pace(self.limits)

    def __repr__(self) -> str:
        return f"Caller({self._secrets.remove(place(self._base))!r}, model={self._model!r})"

    @property
    def pace(self) -> Pace:
        """Concurrency, pauses and cuts in the running event loop; outside of one, in the last."""
        return self._pace

    @property
    def counts_tokens(self) -> bool:
        """Whether anyone who calls this model from the running event loop has a limit of tokens a minute."""
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        pace = line.pace if line else _paces.get(loop, {}).get((str(self._base), self._model), self._pace)
        return self.limits.tokens_per_minute is not None or pace.limits.tokens_per_minute is not None

    async def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        tokens: int = 0,
        safe_to_repeat: bool = True,
        deadline: float | None = None,
        streamed: Callable[[], Streamed] | None = None,
    ) -> Reply:
        """Send `body` as JSON to base_url + `path` and return the JSON object that comes back.

        `tokens` is what it will use at most, for limits per minute; `deadline` in seconds overrides the caller's own.
        Unless `safe_to_repeat`, it is sent again only when it was certainly not done. An answer that comes as events is
        put together by what `streamed` makes, and not asked for again once part of it was given out.
        Raises CallFailed, whose kind is rate-limit, server, timeout, connection, malformed, refused, key or not-found.
        """
        call = _Call(self._url(path), body, tokens, safe_to_repeat, streamed=streamed)
        return await self._answer(call, self.deadline if deadline is None else deadline)

    async def _answer(self, call: _Call, seconds: float | None) -> Reply:
        """What comes of a call by its deadline."""
        loop = asyncio.get_running_loop()
        call.began = loop.time()
        call.end = None if seconds is None else call.began + seconds
        self.stats.calls += 1
        try:
            line = self._lines.get(loop) or await self._open(loop)
            if call.end is None:
                result = await self._until_answered(line, call)
            else:
                async with asyncio.timeout_at(call.end):
                    result = await self._until_answered(line, call)
        except TimeoutError:
            result = _late(call, seconds or 0.0)
        except asyncio.CancelledError as e:
            self.stats.cancelled += 1
            e.__traceback__ = e.__context__ = None  # frames of aiohttp, which hold the headers
            raise
        except Exception:
            self.stats.failed["unexpected"] += 1
            raise
        if isinstance(result, Reply):
            self.stats.answered += 1
            return result
        self.stats.failed[result.kind] += 1
        times = f" (sent {call.tries} times)" if call.tries > 1 else ""
        # raised out here, so that no exception of aiohttp, which knows the headers, is chained to it
        raise CallFailed(
            result.problem + times,
            kind=result.kind,
            where=self._secrets.remove(place(call.url)),
            remedy=result.remedy or KINDS[result.kind],
            status=result.status,
            begun=result.begun or call.begun,
        )

    async def close(self) -> None:
        """Close the connections of this event loop and of those that have ended."""
        here = asyncio.get_running_loop()
        await self._drop([loop for loop in self._lines if loop is here or loop.is_closed()])

    async def _drop(self, loops: list[asyncio.AbstractEventLoop]) -> None:
        for loop in loops:
            collector.restore()
            await self._lines.pop(loop).session.close()

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = joined(self._base, path)
        return url

    async def _open(self, loop: asyncio.AbstractEventLoop) -> _Line:
        """Make this event loop's session and find its pace; give up what belongs to loops that have ended."""
        shared = _paces.setdefault(loop, {})
        pace = shared.setdefault((str(self._base), self._model), Pace(self.limits))
        pace.tighten(self.limits)
        session = open_session(
            self._base, self._headers, connections=self.limits.concurrency, seconds=self.limits.seconds_a_try
        )
        line = self._lines[loop] = _Line(session, pace)
        self._pace = pace
        collector.relax()
        await self._drop([ended for ended in self._lines if ended.is_closed()])
        return line

    async def _until_answered(self, line: _Line, call: _Call) -> Reply | Fault:
        while True:
            result = await self._once(line, call)
            if isinstance(result, Reply) or not result.again or call.tries >= self.limits.tries:
                return result
            pause = result.pause or 0.0
            if call.end is not None and asyncio.get_running_loop().time() + pause >= call.end:
                return replace(result, problem=f"{result.problem}; the pause it asks for outlasts the deadline")
            if pause > self.limits.longest_pause:
                return result
            call.last, call.doing = result, "waiting to send it again"
            jitter = random.uniform(0, min(LONGEST_WAIT, self.limits.first_wait * 2.0 ** min(call.tries - 1, 60)))
            # after a rate limit the pace pauses, for all
            await asyncio.sleep(jitter if result.limited else jitter + pause)

    async def _once(self, line: _Line, call: _Call) -> Reply | Fault:
        call.doing = "waiting for a turn"
        try:
            ticket = await line.pace.enter(call.tokens, first=call.tries > 0)
        except LongPause as e:
            return Fault("rate-limit", f"the server asks not to be called for another {duration(e.seconds)}")
        call.tries += 1
        self.stats.sent += 1
        if call.last:
            self.stats.repeated[call.last.kind] += 1
        outcome: Outcome = "other"
        pause = None
        try:
            result = await self._send(line.session, call)
            if isinstance(result, Reply):
                outcome = "clean"
            else:
                if result.limited:
                    outcome, pause = "limited", result.pause
                result = replace(result, problem=self._secrets.remove(result.problem))
            return result
        finally:
            line.pace.leave(ticket, outcome, pause)

    async def _send(self, session: aiohttp.ClientSession, call: _Call) -> Reply | Fault:
        call.doing, call.read, call.answer = "waiting for an answer", 0, None
        try:
            async with self._request(session, call) as response:
                call.doing = "reading the answer"
                headers: Mapping[str, str] = response.headers
                if self._secrets.within(b"\n".join([value for _, value in response.raw_headers])):
                    headers = CIMultiDict((name, self._secrets.remove(value)) for name, value in headers.items())
                if not 200 <= response.status < 300:
                    return self._judged(response.status, headers, await self._error_body(response, call), call)
                raw, value = b"", None
                if call.streamed and response.content_type == "text/event-stream":
                    call.answer = call.streamed()
                    value = await self._events(response, headers, call, call.answer)
                else:
                    raw = await _read(response, self.limits.body_bytes, call)
        except aiohttp.ClientError as e:
            return broken(e, safe=call.safe, read=call.read if call.doing == "reading the answer" else None)
        except TimeoutError:
            limit = duration(self.limits.seconds_a_try or 0)
            return Fault("timeout", f"no whole answer within {limit}", again=call.safe and not call.begun)
        except OSError as e:
            again = call.safe and not call.begun
            return Fault("connection", f"no connection ({e.strerror or type(e).__name__})", again=again)
        if call.read > self.limits.body_bytes:
            return Fault("malformed", f"its answer is longer than {size(self.limits.body_bytes)}", begun=call.begun)
        if value is None:
            value = self._parsed(self._secrets.remove_bytes(raw), headers, response.status, call)
        if isinstance(value, Fault):
            return value
        seconds = asyncio.get_running_loop().time() - call.began
        return Reply(response.status, value, headers, seconds, call.tries)

    def _request(self, session: aiohttp.ClientSession, call: _Call) -> Any:
        """The request, to be entered."""
        data = _encoded(call.body)  # now, since a thousand waiting requests would hold a thousand copies
        body = data if len(data) < LARGE_BODY else io.BytesIO(data)
        accept = ACCEPT if call.streamed else None
        return session.post(call.url, data=body, headers=accept, allow_redirects=False, proxy=self._proxy)

    def _judged(self, status: int, headers: Mapping[str, str], raw: bytes, call: _Call) -> Fault:
        """What a refusal means."""
        return judged(status, headers, raw, safe=call.safe)

    def _parsed(self, raw: bytes, headers: Mapping[str, str], status: int, call: _Call) -> dict[str, Any] | Fault:
        """What an answer holds."""
        return parsed(raw, headers, status, safe=call.safe)

    async def _events(
        self, response: aiohttp.ClientResponse, headers: Mapping[str, str], call: _Call, answer: Streamed
    ) -> dict[str, Any] | Fault:
        """The whole of an answer that comes as events."""

        def read(data: bytes) -> dict[str, Any] | Fault:
            return parsed(self._secrets.remove_bytes(data), headers, response.status, safe=call.safe, event=True)

        whole = await together(_parts(response, self.limits.body_bytes, call), answer, read) or cut_off(call.read)
        if isinstance(whole, dict) and self._secrets.within(raw := json.dumps(whole).encode()):  # it came in pieces
            whole = json.loads(self._secrets.remove_bytes(raw))
        return whole

    async def _error_body(self, response: aiohttp.ClientResponse, call: _Call) -> bytes:
        """The beginning of a refusal's body; nothing, when it does not come: the status says enough."""
        try:
            async with asyncio.timeout(ERROR_SECONDS):
                return (await _read(response, ERROR_BYTES, call))[:ERROR_BYTES]
        except (aiohttp.ClientError, TimeoutError):
            return b""


async def _read(response: aiohttp.ClientResponse, most: int, call: _Call) -> bytes:
    """The body, or its beginning, longer than `most`."""
    parts: list[bytes] = []
    while part := await response.content.readany():
        parts.append(part)
        call.read += len(part)
        if call.read > most:
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _parts(response: aiohttp.ClientResponse, most: int, call: _Call) -> AsyncIterator[bytes]:
    """The body as it comes, until it is longer than `most`."""
    while part := await response.content.readany():
        call.read += len(part)
        yield part
        if call.read > most:
            break


def _late(call: _Call, seconds: float) -> Fault:
    doing = f"{call.doing} ({call.read:,} bytes)" if call.doing == "reading the answer" else call.doing
    before = f"; before: {call.last.problem}" if call.last else ""
    return Fault("timeout", f"the deadline of {duration(seconds)} passed while {doing}{before}")


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return _JSON.encode(body).encode()
    except (TypeError, ValueError) as e:
        raise UserError(f"the request cannot be written as JSON ({type(e).__name__})", remedy="mend its text") from e
