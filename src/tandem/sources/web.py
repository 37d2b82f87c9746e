"""Web search by Brave, Serper (Google) or Tavily: answer box first, then snippets, each with its address.

    source = WebSearch("brave")               # BRAVE_API_KEY
    result = await source.look_up("who designed the analytical engine", limit=3)

Keys come from the environment and go into headers only: no error, trace or record holds one. A used-up quota is a
failure of kind rate-limit, as no waiting mends it, and never an empty result. What this does not do: fetch the pages,
rank anew, or take an answer that the engine's own language model wrote: that is no source.
"""

from __future__ import annotations

import difflib
import html
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tandem.errors import UserError
from tandem.http import Limits, Reader
from tandem.http.faults import Fault
from tandem.http.redact import excerpt
from tandem.http.reply import Reply
from tandem.sources import failures, urls
from tandem.text import fingerprint
from tandem.types import Finding, Question, Result, Schema, Source

LONGEST_QUERY = 400
"""Characters; a longer query loses its end, at a word."""
_LIMITS = Limits(concurrency=4, start=1, tries=5, seconds_a_try=30.0, longest_pause=120.0, body_bytes=8 << 20)
_TAG = re.compile(r"</?(?:strong|b|em|i|mark|br)\b[^>]*>", re.IGNORECASE)


@dataclass(frozen=True)
class Engine:
    """One interface: how it is asked and how its answers are read."""

    address: str
    """Without the path."""
    path: str
    """Behind the address."""
    key: str
    """The environment variable that holds the key."""
    headers: Callable[[str], dict[str, str]]
    """The headers that carry a key."""
    fields: Callable[[str, int], dict[str, Any]]
    """What is sent for a query and a number of results."""
    read: Callable[[Mapping[str, Any]], Iterator[Finding]]
    """The findings of an answer, answer box first; raises LookupError or TypeError on another shape."""
    most: int
    """Results it gives at most."""
    posts: bool = True
    """Whether it is asked by POST of JSON."""
    limits: Limits = _LIMITS
    """How fast it may be asked."""


def _brave(told: Mapping[str, Any]) -> Iterator[Finding]:
    if told.get("type") != "search":
        raise LookupError("type")
    for box in told.get("infobox", {}).get("results", ()):
        yield _finding(box.get("long_desc") or box.get("description"), box.get("title"), box.get("url"))
    for hit in told.get("web", {}).get("results", ()):
        text = " ".join([hit.get("description") or "", *hit.get("extra_snippets", ())])
        yield _finding(text, hit["title"], hit["url"], hit.get("page_age") or "")


def _serper(told: Mapping[str, Any]) -> Iterator[Finding]:
    if "searchParameters" not in told and "organic" not in told:
        raise LookupError("organic")
    if box := told.get("answerBox"):
        text = box.get("snippet") or box.get("answer")
        both = f"{box['answer']}. {box['snippet']}" if box.get("answer") and box.get("snippet") else text
        yield _finding(both, box.get("title"), box.get("link"), box.get("date") or "")
    if graph := told.get("knowledgeGraph"):
        told_of = [graph.get("description") or graph.get("type") or ""]
        told_of += [f"{name}: {value}" for name, value in (graph.get("attributes") or {}).items()]
        about = "; ".join(str(part).rstrip(".") for part in told_of if part)
        yield _finding(
            f"{graph.get('title') or ''}: {about}" if about else "", graph.get("title"), graph.get("descriptionLink")
        )
    for hit in told.get("organic", ()):
        yield _finding(hit.get("snippet"), hit["title"], hit["link"], hit.get("date") or "")


def _tavily(told: Mapping[str, Any]) -> Iterator[Finding]:
    for hit in told["results"]:
        yield _finding(hit.get("content"), hit["title"], hit["url"], hit.get("published_date") or "", hit.get("score"))


ENGINES = {
    "brave": Engine(
        "https://api.search.brave.com/res/v1",
        "web/search",
        "BRAVE_API_KEY",
        lambda key: {"X-Subscription-Token": key},
        lambda query, n: {"q": query, "count": str(n), "text_decorations": "false"},
        _brave,
        20,
        posts=False,
        limits=replace(_LIMITS, concurrency=1, requests_per_minute=60),
    ),
    "serper": Engine(
        "https://google.serper.dev",
        "search",
        "SERPER_API_KEY",
        lambda key: {"X-API-KEY": key},
        lambda query, n: {"q": query, "num": n},
        _serper,
        100,
    ),
    "tavily": Engine(
        "https://api.tavily.com",
        "search",
        "TAVILY_API_KEY",
        lambda key: {"Authorization": f"Bearer {key}"},
        lambda query, n: {"query": query, "max_results": n, "include_answer": False},
        _tavily,
        20,
    ),
}
"""The interfaces there are, by name."""


class WebSearch:
    """See the top of this module."""

    language: Literal["text", "sparql", "sql"] = "text"

    def __init__(
        self,
        engine: str,
        *,
        site: str = "",
        address: str | None = None,
        limits: Limits | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """With `site`, only of that site. Raises UserError for an unknown engine and for a key that is missing."""
        if engine not in ENGINES:
            near = difflib.get_close_matches(engine, ENGINES, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(ENGINES)}"
            raise UserError(f"no search engine has the name {engine!r}", where="web", remedy=remedy)
        self.name = f"web:{engine}" + (f"#{site}" if site else "")
        self._engine = ENGINES[engine]
        self._site = site
        self.identity = fingerprint([engine, site, urls.meant(address or self._engine.address)])
        """The engine, where it is asked, and the site; not the key."""
        key = (os.environ if environment is None else environment).get(self._engine.key, "").strip()
        if not key:
            raise UserError("has no key", where=self.name, remedy=f"set the environment variable {self._engine.key}")
        self._reader = Reader(
            address or self._engine.address,
            {"User-Agent": "tandem", **self._engine.headers(key)},
            limits=limits or self._engine.limits,
            judge=_judge,
        )

    def describe(self) -> Schema:
        """What it holds."""
        where = f"the site {self._site}" if self._site else "the web"
        return Schema(f"Pages of {where}, searched with a short question or key words in plain text.")

    def about(self, question: Question) -> Source:
        """Itself: it is the same for all."""
        return self

    async def look_up(self, query: str, limit: int) -> Result:
        """Answer box and snippets. Raises SourceFailed."""
        sent = _cut(" ".join(query.split()))
        if not sent or limit < 1:
            return Result((), True)
        asked = f"{sent} site:{self._site}" if self._site else sent
        wanted = min(limit, self._engine.most)
        with failures.named(self.name):
            told = (await self._ask(self._engine.fields(asked, wanted))).json
            try:
                found = [finding for finding in self._engine.read(told) if finding.text]
            except (LookupError, TypeError, AttributeError):
                raise failures.malformed("answers in another form than it is known to", self.name) from None
        stamped = tuple(replace(finding, source=self.name, query=asked) for finding in found[:limit])
        return Result(stamped, limit <= self._engine.most or len(found) < wanted)

    async def close(self) -> None:
        """Close its connections."""
        await self._reader.close()

    async def _ask(self, fields: Mapping[str, Any]) -> Reply:
        if self._engine.posts:
            return await self._reader.post(self._engine.path, fields)
        return await self._reader.get(self._engine.path, fields)


def _judge(status: int, headers: Mapping[str, str], raw: bytes) -> Fault | None:
    """What these servers say in their own way: used-up quotas, wrong keys."""
    if status == 200:
        return None
    try:
        text = json.dumps(json.loads(raw))
    except (ValueError, RecursionError):
        return None
    low = text.lower()
    quota = status in (402, 432, 433) or "not enough credits" in low or "usage limit" in low or _spent(raw)
    if quota and status < 500:
        remedy = "the account's quota is used up: raise it, or go on when it is renewed"
        return Fault("rate-limit", f"answered {status}: {excerpt(text)}", status, remedy=remedy)
    if status in (400, 422) and re.search(r"token_?invalid|invalid (?:api )?(?:key|token)|unauthori[sz]ed", low):
        return Fault("key", f"answered {status}: {excerpt(text)}", status)
    return None


def _spent(raw: bytes) -> bool:
    """Whether Brave's error tells a monthly quota that is reached."""
    try:
        told = json.loads(raw)["error"]["meta"]
        return bool(told["quota_current"] >= told["quota_limit"] > 0)
    except (KeyError, TypeError, ValueError):
        return False


def _finding(text: Any, title: Any, url: Any, date: str = "", score: Any = None) -> Finding:
    """A finding in plain text: marks of emphasis and entities are gone."""
    known = score if isinstance(score, int | float) else None
    return Finding(_plain(text), _plain(title), known, place=str(url or ""), as_of=str(date))


def _plain(text: Any) -> str:
    return " ".join(html.unescape(_TAG.sub("", str(text or ""))).split())


def _cut(query: str) -> str:
    if len(query) <= LONGEST_QUERY:
        return query
    return query[: LONGEST_QUERY + 1].rpartition(" ")[0] or query[:LONGEST_QUERY]
