"""Sources on record: every look-up is committed before it is given out, and never sent twice.

    recorder = Recorder(store)
    source = Recorded(Wikipedia(…), recorder)       # asks, and records
    source = Replayed.read("answers.db#wikipedia")  # answers from the record only; what is missing is an error

A look-up is keyed by the source's name and `identity` (what it holds or where it is asked, and the settings that shape
what it says), its language, the query and the limit; a question's own part of a source by the question's text and
paragraphs besides. Failures and refused queries are outcomes: recorded, given again, asked again only with
`retry_failed`. A description that failed is not recorded: it is given again to the end of the run. Identical look-ups
under way in one event loop are one. What this does not do: pace, rank, or know what a query means. Rejected:
a smaller limit out of a larger answer (sources rank by what they are asked for), and joining across event loops: who
comes second there asks again, and gets what was committed first.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from tandem.errors import SourceFailed, UserError
from tandem.sandbox.rows import QueryError
from tandem.sources import as_json
from tandem.sources.blocking import Once, described
from tandem.sources.joining import Joined
from tandem.store import Lookup, Request, Store
from tandem.text import fingerprint
from tandem.types import Question, Result, Schema, Source

NOT_RECORDED = frozenset({"key", "not-recorded"})
"""Kinds of failure that lie in the set-up: recorded, they would outlive their cause."""
AGAIN = "recorded earlier, not asked again; retry_failed (--retry-failed) asks again"


class Recorder:
    """What named sources were asked: off the record, out of a look-up under way, or asked now and committed."""

    def __init__(self, store: Store | None, *, retry_failed: bool = False) -> None:
        """Without a store nothing is kept, and identical look-ups under way are still one."""
        self.store = store
        self.retry_failed = retry_failed
        self._under_way: Joined[Lookup] = Joined()

    async def once(
        self,
        name: str,
        body: Mapping[str, Any],
        ask: Callable[[], Awaitable[Mapping[str, Any]]],
        *,
        failures: bool = True,
    ) -> Mapping[str, Any]:
        """The outcome of asking a source: what `ask` returns, or returned earlier. Raises what it raised, then or now.

        `ask` may raise SourceFailed or QueryError, which are outcomes, recorded if `failures` are to be; anything else
        is raised and leaves no record.
        """
        request = Request.of(name, body)
        if (found := self._recorded(request)) is not None:
            return _given(found, AGAIN)
        outcome = await self._under_way.join(request.key, lambda: self._ask(request, ask, failures))
        return _given(outcome, "")

    async def many(
        self,
        name: str,
        bodies: Sequence[Mapping[str, Any]],
        ask: Callable[[list[int]], Awaitable[Sequence[Mapping[str, Any]]]],
    ) -> list[Mapping[str, Any]]:
        """Outcomes of several questions that a source can be asked together; `ask` gets the positions of what lacks."""
        requests = [Request.of(name, body) for body in bodies]
        lacking = [
            i for i, one in enumerate(requests) if one.key not in self._under_way and self._recorded(one) is None
        ]
        together = asyncio.ensure_future(ask(lacking)) if lacking else None

        async def picked(i: int) -> Mapping[str, Any]:
            if together is None or i not in lacking:  # it was under way, and was given up
                return (await ask([i]))[0]
            return (await asyncio.shield(together))[lacking.index(i)]

        return await asyncio.gather(*(self.once(name, body, partial(picked, i)) for i, body in enumerate(bodies)))

    def once_now(self, name: str, body: Mapping[str, Any], ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """The same outside of an event loop; failures are raised and not recorded."""
        request = Request.of(name, body)
        if (found := self._recorded(request)) is not None:
            return _given(found, AGAIN)
        lookup = Lookup(request, ask(), None, time.time())
        return _given(lookup if self.store is None else self.store.put_lookup_now(lookup), "")

    def _recorded(self, request: Request) -> Lookup | None:
        return None if self.store is None else self.store.find_lookup(request, retry_failed=self.retry_failed)

    async def _ask(self, request: Request, ask: Callable[[], Awaitable[Mapping[str, Any]]], failures: bool) -> Lookup:
        try:
            lookup = Lookup(request, await ask(), None, time.time())
        except (SourceFailed, QueryError) as e:
            lookup = Lookup(request, None, as_json.of_error(e), time.time())
            if not failures or (isinstance(e, SourceFailed) and e.kind in NOT_RECORDED):
                return lookup
        if self.store is None:
            return lookup
        try:
            return await self.store.put_lookup(lookup)
        except asyncio.CancelledError:
            with contextlib.suppress(UserError):  # closed: then it is committed
                await asyncio.wait([self.store.caught_up()])
            raise


class Recorded:
    """A source whose look-ups are recorded."""

    def __init__(self, source: Source, recorder: Recorder, *, part: str = "") -> None:
        """`part` tells a question's own part of a source from the others."""
        self.name = source.name
        self.language: Literal["text", "sparql", "sql"] = source.language
        self.source = source
        """The one that is asked."""
        self._recorder = recorder
        self._part = part
        self._key = recorded_name(source)
        self._description = Once(self._described)

    @property
    def identity(self) -> str:
        """The source's own."""
        return identity_of(self.source)

    def describe(self) -> Schema:
        """What it holds; recorded, too, since queries are written by it. For callers outside of an event loop."""

        def ask() -> dict[str, Any]:
            return as_json.of_schema(self.source.describe())

        body = schema_body(self.language, self._part)
        return self._description.known_or(lambda: as_json.to_schema(self._recorder.once_now(self._key, body, ask)))

    async def schema(self) -> Schema:
        """The same in an event loop, which goes on meanwhile; asked for once, and a failure of it stays for the run."""
        return await self._description.get()

    async def _described(self) -> Schema:
        async def ask() -> dict[str, Any]:
            return as_json.of_schema(await described(self.source))

        body = schema_body(self.language, self._part)
        return as_json.to_schema(await self._recorder.once(self._key, body, ask, failures=False))

    def about(self, question: Question) -> Source:
        """The recorded part that belongs to one question, or itself."""
        part = self.source.about(question)
        return self if part is self.source else Recorded(part, self._recorder, part=part_of(question))

    async def look_up(self, query: str, limit: int) -> Result:
        """At most `limit` findings, asked for once and for all."""

        async def ask() -> dict[str, Any]:
            return as_json.of_result(await self.source.look_up(query, limit))

        body = lookup_body(self.language, self._part, query, limit)
        return as_json.to_result(await self._recorder.once(self._key, body, ask))

    async def close(self) -> None:
        """Close the source, where it holds something open."""
        closing = self.source.close() if hasattr(self.source, "close") else None
        if inspect.isawaitable(closing):
            await closing


def behind(source: Source) -> Source:
    """The source that is asked where this one is recorded; else itself."""
    return source.source if isinstance(source, Recorded) else source


def identity_of(source: Source) -> str:
    """What tells a source from others of its name: what it holds or where it is asked, and what shapes its answers.

    Where the source does not say it (`identity`), its name. No key or password is in it.
    """
    return str(getattr(source, "identity", "") or source.name)


def recorded_name(source: Source) -> str:
    """The name a source is recorded under: its own, and the beginning of the hash of its identity where it has one."""
    held = identity_of(source)
    return source.name if held == source.name else f"{source.name}@{fingerprint(held)[:12]}"


def part_of(question: Question) -> str:
    """What stands for a question's own part of a source."""
    return fingerprint([question.id, question.text, list(question.context)])


def lookup_body(language: str, part: str, query: str, limit: int) -> dict[str, Any]:
    """The request of a look-up as it is keyed."""
    return {"language": language, "query": query, "limit": limit} | ({"part": part} if part else {})


def schema_body(language: str, part: str) -> dict[str, Any]:
    """The request of a description as it is keyed."""
    return {"language": language, "describe": True} | ({"part": part} if part else {})


def _given(lookup: Lookup, remedy: str) -> Mapping[str, Any]:
    if lookup.result is not None:
        return lookup.result
    assert lookup.error is not None, "a look-up has a result or an error"
    raise as_json.to_error(lookup.error, remedy=remedy)
