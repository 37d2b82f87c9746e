"""Descriptions that have to be asked for: once for all who want one, without holding up an event loop.

    schema = await described(source)          # in a coroutine, of any source
    schema = finished(source.schema)          # outside of one: the caller waits

A source whose description takes time has `schema()`, a coroutine, besides `describe()`. `Once` keeps what came of it, a
failure too: what a source did not tell the first time it is not asked for again. What this does not do: write anything
down (`recorded` does), or join callers of two event loops, each of which asks for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from tandem.errors import SourceFailed
from tandem.sources.joining import Joined
from tandem.types import Schema, Source

T = TypeVar("T")


async def described(source: Source) -> Schema:
    """What a source holds. Raises SourceFailed where it cannot tell."""
    asked = getattr(source, "schema", None)
    return source.describe() if asked is None else await asked()


def finished(begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What a coroutine returns, run to its end in a thread with an event loop of its own; the caller waits.

    An interrupt of the caller (Ctrl-C) gives the coroutine up.
    """
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def run() -> T:
        task = asyncio.current_task()
        assert task is not None
        running.set_result((asyncio.get_running_loop(), task))
        return await begin()

    with ThreadPoolExecutor(1, "tandem-source") as threads:
        outcome = threads.submit(lambda: asyncio.run(run()))
        try:
            return outcome.result()
        except BaseException:
            if not outcome.done():
                loop, task = running.result()
                loop.call_soon_threadsafe(task.cancel)
            raise


class Once(Generic[T]):
    """What a coroutine gives, asked for by the first who wants it."""

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._begin = begin
        self._came: list[T] = []
        self._failed: SourceFailed | None = None
        self._under_way: Joined[T] = Joined()

    async def get(self) -> T:
        """What came, or comes. Raises what it raised, then or now; given up when nobody waits for it any more."""
        if self.known:
            return self.known_or(lambda: finished(self._begin))
        return await self._under_way.join("", self._run)

    def known_or(self, ask: Callable[[], T]) -> T:
        """What came, or what `ask` gives now, outside of an event loop; kept like what was waited for."""
        if self._failed is not None:
            raise self._failed.with_traceback(None)
        if not self._came:
            try:
                self._came.append(ask())
            except SourceFailed as e:
                self._failed = e
                raise
        return self._came[0]

    @property
    def known(self) -> bool:
        """Whether it has been asked for, and has come or failed."""
        return bool(self._came) or self._failed is not None

    async def _run(self) -> T:
        try:
            came = await self._begin()
        except SourceFailed as e:
            self._failed = e
            raise
        self._came.append(came)
        return came
