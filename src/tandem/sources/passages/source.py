"""`passages:DIR`: an index of passages as a source of knowledge.

Look-ups run in threads beside the event loop; those that wait while others run are taken together, so that their
queries are encoded in one batch. What this does not do: write an index, or ask a model.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from tandem.errors import UserError
from tandem.sources.passages.dense import Embedder
from tandem.sources.passages.index import By, Hit, Index
from tandem.types import Finding, Question, Result, Schema, Source

_FOUND_BY: dict[By, str] = {
    "words": "the words they share with a query",
    "meaning": "their meaning",
    "both": "words and meaning",
}
_TOGETHER = 64
_THREADS = 2


class Passages:
    """A source over an index."""

    language: Literal["text", "sparql", "sql"] = "text"

    def __init__(
        self, folder: Path | str, *, name: str = "passages", embedder: Embedder | None = None, by: By | None = None
    ) -> None:
        """Raises UserError where there is no such index, vectors of another encoder, or none to search by meaning."""
        self.name = name
        self.index = Index(folder, embedder)
        if by in ("meaning", "both") and embedder is None:
            held = "name it" if self.index.unused else "index the documents with one: tandem index --encoder"
            raise UserError("there is no encoder to search by meaning", where=str(folder), remedy=held)
        self._by = by or self.index.by
        self.unused = by is None and self.index.unused
        """Whether it holds vectors that are not used, and nobody said that they are not to be."""
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="tandem-passages")
        self._waiting: list[tuple[str, int, asyncio.Future[list[Hit]]]] = []
        self._running = 0

    @property
    def identity(self) -> str:
        """Hash of what is held and how it is ranked."""
        return f"{self.index.identity}-{self._by}"

    def describe(self) -> Schema:
        """How many passages of how many documents there are."""
        header = self.index.header
        documents = header.total("documents")
        summary = (
            f"{header.total('passages'):,} passages of {documents:,} document{'s' * (documents != 1)}, "
            f"found by {_FOUND_BY[self._by]}."
        )
        return Schema(summary)

    def about(self, question: Question) -> Source:
        """Itself: the passages are the same for all questions."""
        return self

    async def look_up(self, query: str, limit: int) -> Result:
        """The best passages; none is a result, too. Raises UserError for a limit below one."""
        if limit < 1:
            raise UserError(f"at most {limit} findings are none", where=self.name, remedy="ask for one at least")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Hit]] = loop.create_future()
        self._waiting.append((query, limit, future))
        self._start(loop)
        hits = await future
        found = (self._finding(hit, query) for hit in hits)
        return Result(tuple(found), complete=True, as_of=None)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting and self._running < _THREADS:
            batch, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
            self._running += 1
            done = loop.run_in_executor(self._pool, self._search, [(query, limit) for query, limit, _ in batch])
            done.add_done_callback(lambda done, batch=batch: self._landed(loop, batch, done))  # type: ignore[misc]

    def _search(self, asked: list[tuple[str, int]]) -> list[list[Hit]]:
        most = max(limit for _, limit in asked)
        found = self.index.search_all([query for query, _ in asked], most, by=self._by)
        return [hits[:limit] for hits, (_, limit) in zip(found, asked)]

    def _landed(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[str, int, asyncio.Future[list[Hit]]]],
        done: asyncio.Future[list[list[Hit]]],
    ) -> None:
        self._running -= 1
        self._start(loop)
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        for number, (_, _, future) in enumerate(batch):
            if future.done():  # who asked has given up
                continue
            if error is None:
                future.set_result(done.result()[number])
            else:
                future.set_exception(error)

    def _finding(self, hit: Hit, query: str) -> Finding:
        title = hit.about.title or hit.about.id
        if hit.passage.heading:
            title = f"{title} › {hit.passage.heading}" if title != hit.passage.heading else title
        return Finding(hit.passage.text, title, hit.score, self.name, hit.place, query, hit.about.date)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
