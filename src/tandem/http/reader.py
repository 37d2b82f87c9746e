"""Asking servers that are read rather than made to work: GET with a query, POST of a form, and words of their own.

    reader = Reader("https://api.example.org/search", {"User-Agent": "…"}, judge=…)
    reply = await reader.get("", {"q": "…"})

A `Caller` besides: its pace, its repeats, its typed failures, no secret in any of them. `judge` sees every answer
before the usual rules do: some servers say "later" with status 200, or break off a body in the middle and write why.
What this does not do: put secrets into an address (give them as headers), or read anything but JSON objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import aiohttp

from tandem.http.caller import Caller, _Call, _encoded
from tandem.http.faults import Fault
from tandem.http.pace import Limits
from tandem.http.reply import Reply

Judge: TypeAlias = Callable[[int, Mapping[str, str], bytes], Fault | dict[str, Any] | None]
"""Status, headers and body of an answer; what is wrong with it, what of it can be read, or None: the usual rules."""


@dataclass
class _Asked(_Call):
    """A call that is no POST of JSON."""

    form: Mapping[str, str] | None = field(default=None, repr=False)
    """Fields to POST; None for GET."""


class Reader(Caller):
    """See the top of this module; parameters are those of `Caller`, and two more.

    judge                     sees every answer first
    again_when_slow           whether what gave no answer in time is asked again, as far as `tries` go
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        judge: Judge | None = None,
        again_when_slow: bool = True,
        limits: Limits | None = None,
        deadline: float | None = None,
        environment_proxies: bool = False,
    ) -> None:
        super().__init__(base_url, headers, limits=limits, deadline=deadline, environment_proxies=environment_proxies)
        self._headers.pop("Content-Type", None)  # a GET has no content
        self._judge = judge
        self._again_when_slow = again_when_slow

    async def get(self, path: str, query: Mapping[str, str], *, deadline: float | None = None) -> Reply:
        """GET base_url + `path` with a query. Raises CallFailed, like `post`."""
        url = (self._url(path) if path else self._base).update_query(query)
        return await self._answer(_Asked(url, {}), self.deadline if deadline is None else deadline)

    async def form(self, path: str, fields: Mapping[str, str], *, deadline: float | None = None) -> Reply:
        """POST fields as a form, for queries that no address is long enough for. Raises CallFailed, like `post`."""
        url = self._url(path) if path else self._base
        return await self._answer(_Asked(url, {}, form=fields), self.deadline if deadline is None else deadline)

    async def _send(self, session: aiohttp.ClientSession, call: _Call) -> Reply | Fault:
        result = await super()._send(session, call)
        if isinstance(result, Fault) and result.kind == "timeout" and result.status is None:
            return replace(result, again=result.again and self._again_when_slow)
        return result

    def _request(self, session: aiohttp.ClientSession, call: _Call) -> Any:
        options: dict[str, Any] = {"allow_redirects": False, "proxy": self._proxy}
        if not isinstance(call, _Asked):
            content = {"Content-Type": "application/json"}
            return session.post(call.url, data=_encoded(call.body), headers=content, **options)
        if call.form is None:
            return session.get(call.url, **options)
        return session.post(call.url, data=dict(call.form), **options)

    def _judged(self, status: int, headers: Mapping[str, str], raw: bytes, call: _Call) -> Fault:
        found = self._judge(status, headers, raw) if self._judge else None
        return found if isinstance(found, Fault) else super()._judged(status, headers, raw, call)

    def _parsed(self, raw: bytes, headers: Mapping[str, str], status: int, call: _Call) -> dict[str, Any] | Fault:
        found = self._judge(status, headers, raw) if self._judge else None
        return super()._parsed(raw, headers, status, call) if found is None else found
