"""An index open for searching: words, meaning where it has vectors, or both joined.

    index = Index(Path("notes.index"))
    for hit in index.search("who built the bridge", 5):
        print(hit.place, hit.passage.text)

Everything is memory mapped: opening reads a few kilobytes and the lengths of the passages. An index that is written
anew stays as it was opened. Safe for many threads. What this does not do: write (`writer` does), or wait (`source`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from tandem.errors import UserError
from tandem.sources.passages import header as headers
from tandem.sources.passages.arrays import Damaged
from tandem.sources.passages.checking import examined
from tandem.sources.passages.dense import Embedder, fused, nearest, unit
from tandem.sources.passages.document import About, Passage
from tandem.sources.passages.ranking import Ranking
from tandem.sources.passages.segment import Segment, opened
from tandem.sources.passages.words import words

By: TypeAlias = Literal["words", "meaning", "both"]
DEPTH = 100
"""Passages of each ranking that are joined, at least."""


@dataclass(frozen=True)
class Hit:
    """A passage that was found."""

    passage: Passage
    """It."""
    about: About
    """Its document."""
    score: float
    """BM25, cosine, or the sum of reciprocal ranks."""

    @property
    def place(self) -> str:
        """Where it can be looked at."""
        return self.about.place(self.passage.first)


class Index:
    """An index of passages, read-only."""

    def __init__(self, folder: Path | str, embedder: Embedder | None = None) -> None:
        """Raises UserError: no index, another version, a damaged file, or vectors of another encoder."""
        self.folder = Path(folder)
        self.header, self._segments = _opened(self.folder)
        settings = self.header.settings
        if embedder is not None and (embedder.name, embedder.width) != (settings.encoder, settings.width):
            held = f"of encoder {settings.encoder!r} ({settings.width})" if settings.encoder else "without vectors"
            problem = f"the index is {held}, not of {embedder.name!r} ({embedder.width})"
            remedy = "name the encoder it was written with" if settings.encoder else "open it without an encoder"
            raise UserError(problem, where=str(folder), remedy=remedy)
        self._embedder = embedder
        with examined(self._segments):
            parts = [segment.part() for segment in self._segments]
            self._gone = [part.gone for part in parts]
            self._ranking = Ranking(parts, settings.k1, settings.b)
        self._encoding = threading.Lock()

    def __len__(self) -> int:
        return self._ranking.passages

    @property
    def identity(self) -> str:
        """Hash of what is held and how it is ranked."""
        return self.header.identity

    @property
    def by(self) -> By:
        """How it is searched unless told otherwise: by both where vectors and their encoder are there."""
        return "both" if self._embedder is not None else "words"

    @property
    def unused(self) -> bool:
        """Whether it holds vectors that no search can use, for want of their encoder."""
        return bool(self.header.settings.encoder) and self._embedder is None

    def search(self, query: str, most: int, *, by: By | None = None) -> list[Hit]:
        """The best passages for a query, best first; none that shares no word with it, when searched by words."""
        return self.search_all([query], most, by=by)[0]

    def search_all(self, queries: Sequence[str], most: int, *, by: By | None = None) -> list[list[Hit]]:
        """The same for many queries, which are encoded together."""
        by = by or self.by
        if by not in get_args(By):
            raise UserError(f"unknown ranking {by!r}", where="by", remedy="one of " + ", ".join(get_args(By)))
        if by == "words":
            with examined(self._segments):
                return [[self._hit(hit) for hit in self._words(query, most)] for query in queries]
        if self._embedder is None:
            remedy = "write it with an encoder, and open it with the same one"
            raise UserError("there is no encoder to search by meaning", where=str(self.folder), remedy=remedy)
        with self._encoding:
            vectors = unit(self._embedder, queries, query=True)
        deep = most if by == "meaning" else max(most, DEPTH)
        with examined(self._segments):
            near = nearest([segment.vectors for segment in self._segments], self._gone, vectors, deep)
            if by == "both":
                near = [fused(self._words(query, deep), ranking) for query, ranking in zip(queries, near)]
            return [[self._hit(hit) for hit in ranking[:most]] for ranking in near]

    def _words(self, query: str, most: int) -> list[tuple[float, int, int]]:
        return self._ranking.best(words(query, self.header.settings.splitting), most)

    def _hit(self, hit: tuple[float, int, int]) -> Hit:
        score, number, passage = hit
        segment = self._segments[number]
        return Hit(segment.passage(passage), segment.about(segment.owner(passage)), score)


def _opened(folder: Path) -> tuple[headers.Header, list[Segment]]:
    """The header and the segments it names; read once more where a writer replaced them in between."""
    for attempt in range(20):
        header = headers.read(folder)
        try:
            return header, opened(folder, header.settings, header.pieces)
        except Damaged as e:
            damaged = e
            if attempt and headers.read(folder) == header:
                break
    raise damaged
