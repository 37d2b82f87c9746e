"""Wikipedia, or any MediaWiki: titles by its own search, pages as plain text, each with its revision and date.

    source = Wikipedia(contact="you@example.org", recorder=Recorder(store))
    result = await source.look_up("Who designed the analytical engine?", limit=5)

A look-up searches titles for the query and for every entity in it, follows redirects, replaces a disambiguation page by
those of its options that fit the query best, and gives either the first sentences of each page (the setting of
Verify-and-Edit: 5 hits, 5 sentences) or the passages of the whole pages that fit best. Text is what stands in sections;
lists of references and links do not count. Pages and searches are recorded one by one, so that questions share them.

Etiquette: a user agent with a contact, which has to be given; one request at a time; pages fetched together; `maxlag`
and Retry-After obeyed. What this does not do: read a page's tables, or follow links further. Rejected: the page's HTML
(menus get into the text) and the server's own cutting into sentences, which its authors call unreliable.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal

from tandem.errors import UserError
from tandem.http import Limits, Reader
from tandem.http.faults import Fault, asked_pause
from tandem.sources import failures, urls
from tandem.sources.passages.words import words
from tandem.sources.ranking import Ranking
from tandem.sources.recorded import Recorder
from tandem.sources.sentences import passages, sentences
from tandem.text import fingerprint
from tandem.types import Finding, Question, Result, Schema, Source

ENGLISH = "https://en.wikipedia.org/w/api.php"
POLITE = Limits(concurrency=1, start=1, tries=5, seconds_a_try=30.0, longest_pause=120.0, body_bytes=8 << 20)
MAXLAG = 5
"""Seconds its databases may lag behind before it asks to come later."""
LONGEST_QUERY = 300
"""Characters of a search; a longer query loses its end, at a word."""
PARTS = 25
"""Most continuations of one answer."""
TOGETHER = {True: 20, False: 1}
"""Pages of one request: introductions come together, whole texts alone."""
_ELSEWHERE = ("see also", "references", "external links", "further reading", "notes", "bibliography", "sources")
NAVIGATION = frozenset((*_ELSEWHERE, "citations", "footnotes", "gallery"))
"""Headings of sections that only point elsewhere."""
_HEADING = re.compile(r"^(={2,6})\s*(.*?)\s*\1\s*$")


@dataclass(frozen=True)
class Taken:
    """What a look-up takes of the pages it finds."""

    what: Literal["first-sentences", "passages"] = "first-sentences"
    """The beginning of every page, in the order of the hits; or what fits the query best in whole pages."""
    sentences: int = 5
    """How many first sentences."""
    words: int = 100
    """Longest passage."""
    hits: int = 5
    """Titles per search, of the query and of every entity."""
    options: int = 3
    """Pages that stand for a disambiguation page."""

    def __post_init__(self) -> None:
        if self.what not in ("first-sentences", "passages"):
            raise UserError(f"is {self.what!r}", where="wikipedia: what", remedy="give first-sentences or passages")
        for name in ("sentences", "words", "hits", "options"):
            if getattr(self, name) < 1:
                raise UserError(f"is {getattr(self, name)}", where=f"wikipedia: {name}", remedy="give at least 1")


def agent(contact: str, source: str) -> str:
    """The user agent of polite requests. Raises UserError without a contact."""
    contact = contact.strip()
    if not re.search(r"[^\s@]@[^\s@]+\.|https?://\S+", contact) or not (contact.isascii() and contact.isprintable()):
        problem = "asks that every program says whom to write to, and there is no contact"
        remedy = 'set contact = "you@example.org" (or a page of yours) in sources.toml, or TANDEM_CONTACT'
        raise UserError(problem, where=source, remedy=remedy)
    return f"tandem/0.1 (tandem-llm; {contact})"


class Wikipedia:
    """See the top of this module."""

    language: Literal["text", "sparql", "sql"] = "text"

    def __init__(
        self,
        *,
        contact: str,
        address: str = ENGLISH,
        taken: Taken | None = None,
        entities: Callable[[str], Iterable[str]] | None = None,
        recorder: Recorder | None = None,
        limits: Limits = POLITE,
        name: str = "wikipedia",
    ) -> None:
        """`entities` names what a query is about, to search for each; without, only the query itself is searched."""
        self.name = name
        self._address = urls.without_login(address, name)
        self._taken = taken or Taken()
        self._entities = entities
        self._recorder = recorder or Recorder(None)
        self._reader = Reader(address, {"User-Agent": agent(contact, name)}, limits=limits, judge=_judge)
        self._kept = f"{name}@{urls.shown(address)}"
        if "?" in address:
            self._kept += fingerprint(urls.meant(address))[:12]
        whose = getattr(entities, "__self__", entities)
        named = getattr(whose, "identity", "") or getattr(whose, "__qualname__", "") or type(whose).__qualname__
        self.identity = fingerprint([urls.meant(address), list(astuple(self._taken)), named if entities else ""])
        """Its address, what is taken of pages, and which names are searched for."""

    def describe(self) -> Schema:
        """What it holds."""
        where = re.sub(r"^https?://|[/?].*$", "", self._address)
        return Schema(f"An encyclopedia ({where}), searched with a name or a short question in plain words.")

    def about(self, question: Question) -> Source:
        """Itself: it is the same for all."""
        return self

    async def look_up(self, query: str, limit: int) -> Result:
        """Findings of the pages that fit a query. Raises SourceFailed."""
        sent = _cut(" ".join(query.split()))
        if not sent or limit < 1:
            return Result((), True)
        with failures.named(self.name):
            wanted = [sent, *(_cut(entity) for entity in (self._entities(query) if self._entities else ()))]
            titles: dict[str, None] = {}
            for one in dict.fromkeys(filter(None, wanted)):
                titles |= dict.fromkeys(await self._titles(one))
            pages = await self._pages(list(titles), sent)
        findings = self._first(pages) if self._taken.what == "first-sentences" else self._best(pages, sent)
        stamped = [Finding(f.text, f.title, f.score, self.name, f.place, sent, f.as_of) for f in findings[:limit]]
        return Result(tuple(stamped), True, max((f.as_of for f in stamped), default=None))

    async def close(self) -> None:
        """Close its connections."""
        await self._reader.close()

    # ── What is found ──

    def _first(self, pages: Sequence[Mapping[str, Any]]) -> list[Finding]:
        """The first sentences of every page."""
        taken = [(page, " ".join(sentences(page["text"])[: self._taken.sentences])) for page in pages]
        return [_finding(page, text) for page, text in taken if text]

    def _best(self, pages: Sequence[Mapping[str, Any]], query: str) -> list[Finding]:
        """The passages of all pages, those that share no word with the query left out."""
        cut = [(page, passage) for page in pages for passage in passages(page["text"], self._taken.words)]
        order = Ranking(f"{page['title']} {text}" for page, text in cut).best(query, len(cut))
        return [_finding(*cut[n], score=score) for n, score in order]

    # ── What is asked ──

    async def _titles(self, query: str) -> list[str]:
        async def ask() -> dict[str, Any]:
            asked = {
                "list": "search",
                "srsearch": query,
                "srlimit": str(self._taken.hits),
                "srnamespace": "0",
                "srprop": "",
            }
            query_part = (await self._get(**asked)).get("query")
            hits = self._part(query_part if isinstance(query_part, dict) else {}, "search")
            return {"titles": [str(hit["title"]) for hit in hits]}

        return list((await self._recorder.once(self._kept, {"search": query, "hits": self._taken.hits}, ask))["titles"])

    async def _pages(self, titles: list[str], query: str) -> list[Mapping[str, Any]]:
        """The pages of titles, each once, with the options of disambiguation pages in their place."""
        found: dict[str, Mapping[str, Any]] = {}
        for page in await self._fetched(titles):
            if page.get("disambiguation"):
                for option in await self._fetched(_fitting(page["options"], query, self._taken.options)):
                    if not option.get("disambiguation"):
                        found.setdefault(option["title"], option)
            else:
                found.setdefault(page["title"], page)
        return [page for page in found.values() if page.get("text")]

    async def _fetched(self, titles: list[str]) -> list[Mapping[str, Any]]:
        intro = self._taken.what == "first-sentences"
        most = TOGETHER[intro]
        pages: list[Mapping[str, Any]] = []
        for at in range(0, len(titles), most):
            group = titles[at : at + most]

            async def ask(lacking: list[int], group: list[str] = group) -> list[dict[str, Any]]:
                return await self._ask_pages([group[i] for i in lacking], intro)

            pages += await self._recorder.many(self._kept, [{"page": t, "intro": intro} for t in group], ask)
        return pages

    async def _ask_pages(self, titles: list[str], intro: bool) -> list[dict[str, Any]]:
        """One record per title; a page that does not exist is a record without text."""
        asked = {
            "titles": "|".join(titles),
            "redirects": "1",
            "prop": "extracts|info|pageprops|revisions",
            "explaintext": "1",
            "exsectionformat": "wiki",
            "exlimit": "max" if intro else "1",
            "inprop": "url",
            "ppprop": "disambiguation",
            "rvprop": "ids|timestamp",
        } | ({"exintro": "1"} if intro else {})
        pages: dict[str, dict[str, Any]] = {}
        moved: dict[str, str] = {}
        async for query in self._parts(asked):
            for step in ("normalized", "redirects"):
                moved |= {str(one["from"]): str(one["to"]) for one in query.get(step, ())}
            for page in self._part(query, "pages"):
                pages.setdefault(str(page.get("title")), {}).update(page)
        for page in pages.values():
            if "disambiguation" in page.get("pageprops", {}):
                page["options"] = await self._options(str(page["title"]))
        return [_record(pages.get(_target(title, moved), {}), title) for title in titles]

    async def _options(self, title: str) -> list[str]:
        """The pages that a disambiguation page links to."""
        asked = {"titles": title, "prop": "links", "plnamespace": "0", "pllimit": "max"}
        options: list[str] = []
        async for query in self._parts(asked):
            options += [str(link["title"]) for page in self._part(query, "pages") for link in page.get("links", ())]
        return options

    async def _parts(self, asked: Mapping[str, str]) -> AsyncIterator[Mapping[str, Any]]:
        """An answer, and its continuations."""
        more: dict[str, str] = {}
        for _ in range(PARTS):
            found = await self._get(**asked, **more)
            query = found.get("query")
            yield query if isinstance(query, dict) else {}
            more = {str(k): str(v) for k, v in found.get("continue", {}).items()}
            if not more:
                return
        raise failures.malformed(f"does not come to an end after {PARTS} parts", self.name)

    async def _get(self, **query: str) -> dict[str, Any]:
        fixed = {"action": "query", "format": "json", "formatversion": "2", "maxlag": str(MAXLAG)}
        return (await self._reader.get("", fixed | query)).json

    def _part(self, query: Mapping[str, Any], name: str) -> list[Any]:
        """A part of an answer that has to be there."""
        value = query.get(name)
        if not isinstance(value, list):
            raise failures.malformed(f"answers without {name!r}", self.name)
        return value


def _judge(status: int, headers: Mapping[str, str], raw: bytes) -> Fault | None:
    """MediaWiki says what is wrong with status 200 and a code of its own."""
    if status != 200 or b'"error"' not in raw[:4096]:
        return None
    try:
        error = json.loads(raw).get("error")
        code, said = str(error["code"]), str(error.get("info", ""))[:300]
    except (ValueError, AttributeError, KeyError, TypeError):
        return None
    if code in ("maxlag", "ratelimited"):
        pause = asked_pause(headers) or float(MAXLAG)
        return Fault("rate-limit", f"asks to come later ({code}): {said}", status, True, True, pause)
    if code == "readonly" or code.startswith("internal_api_error"):
        return Fault("server", f"answers {code}: {said}", status, True)
    return Fault("refused", f"answers {code}: {said}", status)


def _record(page: Mapping[str, Any], title: str) -> dict[str, Any]:
    """What is kept of a page."""
    if not page or page.get("missing") or page.get("invalid"):
        return {"title": title, "text": ""}
    url = str(page.get("canonicalurl") or page.get("fullurl") or "")
    latest: Mapping[str, Any] = next(iter(page.get("revisions", ())), {})
    if latest.get("revid") and url:
        url += f"{'&' if '?' in url else '?'}oldid={latest['revid']}"
    kept = {
        "title": str(page["title"]),
        "text": _body(str(page.get("extract", ""))),
        "url": url,
        "as_of": str(latest.get("timestamp", "")),
    }
    return kept | ({"disambiguation": True, "options": page["options"]} if "options" in page else {})


def _body(extract: str) -> str:
    """The text of sections, without headings and without sections that only point elsewhere."""
    kept: list[str] = []
    passed_over = 0  # level of the section that is left out
    for line in extract.split("\n"):
        heading = _HEADING.match(line)
        if heading:
            level = len(heading[1])
            if not passed_over or level <= passed_over:
                passed_over = level if heading[2].casefold() in NAVIGATION else 0
        elif not passed_over and line.strip():
            kept.append(line.strip())
    return "\n".join(kept)


def _finding(page: Mapping[str, Any], text: str, score: float | None = None) -> Finding:
    return Finding(text, page["title"], score, "", page["url"], "", page["as_of"])


def _fitting(options: Sequence[str], query: str, most: int) -> list[str]:
    """Options whose titles share most words with a query; equals in the order given."""
    wanted = set(words(query))
    return sorted(options, key=lambda title: -len(wanted & set(words(title))))[:most]


def _target(title: str, moved: Mapping[str, str]) -> str:
    """Where normalising and redirects lead."""
    for _ in range(5):
        if title not in moved:
            break
        title = moved[title]
    return title


def _cut(query: str) -> str:
    if len(query) <= LONGEST_QUERY:
        return query
    return query[: LONGEST_QUERY + 1].rpartition(" ")[0] or query[:LONGEST_QUERY]
