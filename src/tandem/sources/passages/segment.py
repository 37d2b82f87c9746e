"""One segment of an index on disk: passages, the documents and origins they belong to, their words, their vectors.

    texts.bin …        text of each passage                heading.npy   number of its heading, into headings.bin
    places.npy         first and last line of each         lengths.npy, terms.bin, … its words (see `postings`)
    documents.bin      a JSON object each                  document-first.npy   first passage of each, and the end
    origins.bin        a JSON object each: key, content    origin-first.npy     first document of each, and the end
    vectors.npy        with an encoder: a row a passage     …-sums.npy   a checksum of each text

Passages of a document and documents of an origin stand together; a large origin may go on in the next segment. A
segment never changes; what is gone from it is said beside it: `gone-N.npy` (origins), `frequency-N.npy` (how many
passages hold each word without those).
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from tandem.sources.passages import arrays
from tandem.sources.passages.checking import check
from tandem.sources.passages.counting import count
from tandem.sources.passages.dense import Embedder, Vectors
from tandem.sources.passages.document import About, Document, Origin, Passage, searched
from tandem.sources.passages.header import Piece, Settings
from tandem.sources.passages.postings import Builder, Postings
from tandem.sources.passages.ranking import Part
from tandem.sources.passages.words import Splitting

BATCH = 4096
"""Passages counted at a time."""
BATCH_CHARACTERS = 1 << 22
FULL = 1 << 24
"""Pairs of a word and a passage after which a segment is written: about 250 MB of memory."""


T = TypeVar("T")


def key_hash(key: str) -> int:
    """A number that stands for an origin's key."""
    return xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogatepass"))


class Segment:
    """A segment, open for reading."""

    def __init__(self, folder: Path, gone: int = 0) -> None:
        """`gone` is the number of the list of what is gone; 0 where nothing is. Raises Damaged, naming the file."""
        self.folder = folder
        self.postings = Postings.open(folder)
        self.texts = arrays.Texts(folder, "texts")
        self.headings = arrays.Texts(folder, "headings")
        self.heading = arrays.load(folder, "heading")
        self.places = arrays.load(folder, "places")
        self.documents = arrays.Texts(folder, "documents")
        self.document_first = arrays.load(folder, "document-first")
        self.origins = arrays.Texts(folder, "origins")
        self.origin_first = arrays.load(folder, "origin-first")
        self.gone = arrays.load(folder, f"gone-{gone}") if gone else np.zeros(0, np.uint32)
        self.frequency = arrays.load(folder, f"frequency-{gone}") if gone else None
        self.vectors = arrays.load(folder, "vectors") if (folder / "vectors.npy").exists() else None
        check(self, gone)

    def __len__(self) -> int:
        return len(self.texts)

    def keys(self) -> NDArray[np.uint64]:
        """What stands for the keys of its origins, those that are gone included."""
        return arrays.load(self.folder, "origin-keys")

    def origin(self, number: int) -> Origin:
        """An origin."""
        return _read(self.origins, number, lambda data: Origin(**json.loads(data)))

    def bare(self) -> NDArray[np.bool_]:
        """Which origins have no documents, those that are gone included."""
        without: NDArray[np.bool_] = self.origin_first[1:] == self.origin_first[:-1]
        return without

    def about(self, number: int) -> About:
        """What is known of a document; its file with the whole path, also where an older version kept a part of it."""
        about = _read(self.documents, number, About.from_json)
        if not about.file or about.file.startswith("/"):
            return about
        key = self.origin(int(self.origin_first.searchsorted(np.uint32(number), "right")) - 1).key
        named = key.startswith("/") and Path(key).name == Path(about.file).name
        return replace(about, file=key) if named else about

    def owner(self, passage: int) -> int:
        """The document a passage belongs to."""
        return int(self.document_first.searchsorted(np.uint32(passage), "right")) - 1  # of its type: a copy else

    def passage(self, number: int) -> Passage:
        """A passage."""
        first, last = self.places[number].tolist()
        heading = _read(self.headings, int(self.heading[number]), bytes.decode)
        return Passage(_read(self.texts, number, bytes.decode), first, last, heading)

    def live(self) -> list[tuple[int, int]]:
        """Runs of origins that are not gone: first, and one past the last."""
        borders = np.concatenate([[-1], self.gone.astype(np.int64), [len(self.origins)]])
        return [(a + 1, b) for a, b in zip(borders[:-1].tolist(), borders[1:].tolist()) if b > a + 1]

    def passages_of(self, first: int, end: int) -> tuple[int, int]:
        """The passages of a run of origins: first, and one past the last."""
        documents = self.origin_first[[first, end]]
        low, high = self.document_first[documents].tolist()
        return low, high

    def gone_passages(self) -> NDArray[np.bool_] | None:
        """Which passages are gone; None where none is."""
        if not len(self.gone):
            return None
        gone = np.ones(len(self), bool)
        for first, end in self.live():
            low, high = self.passages_of(first, end)
            gone[low:high] = False
        return gone

    def part(self) -> Part:
        """As it is searched."""
        return Part(self.postings, self.frequency, self.gone_passages())

    def forget(self, origins: Iterable[int], number: int) -> None:
        """Write list `number` of what is gone: what is so already, and these origins."""
        gone = np.union1d(self.gone, np.array(sorted(origins), np.uint32)).astype(np.uint32)
        arrays.save(self.folder, f"gone-{number}", gone)
        self.gone = gone
        without = self.gone_passages()
        assert without is not None
        starts, frequency = self.postings.starts, np.zeros(len(self.postings.terms), np.int64)
        for low, high in stretches(starts):
            held = ~without[self.postings.passages[starts[low] : starts[high]]]
            frequency[low:high] = np.add.reduceat(held, starts[low:high] - starts[low], dtype=np.int64)
        arrays.save(self.folder, f"frequency-{number}", frequency)


def opened(folder: Path, settings: Settings, pieces: Iterable[Piece]) -> list[Segment]:
    """Segments of an index. Raises Damaged, naming the file."""
    segments = [Segment(folder / piece.name, piece.gone) for piece in pieces]
    for segment in segments:
        if settings.width and (segment.vectors is None or segment.vectors.shape[1] != settings.width):
            problem = "is missing" if segment.vectors is None else f"is damaged (not {settings.width} numbers a vector)"
            raise arrays.Damaged(segment.folder / "vectors.npy", problem)
    return segments


def _read(texts: arrays.Texts, number: int, made: Callable[[bytes], T]) -> T:
    try:
        return made(texts[number])
    except (ValueError, TypeError, IndexError, AttributeError) as e:
        if isinstance(e, arrays.Damaged):
            raise
        raise arrays.Damaged(texts.path, f"is damaged (text {number})") from e


def stretches(starts: NDArray[np.int64], pairs: int = 1 << 22) -> Iterable[tuple[int, int]]:
    """Runs of words with about so many pairs together."""
    low, end = 0, len(starts) - 1
    while low < end:
        high = int(np.searchsorted(starts, int(starts[low]) + pairs, side="right")) - 1
        high = min(max(high, low + 1), end)
        yield low, high
        low = high


class SegmentWriter:
    """Writes a segment into a folder; texts go to disk at once, the words when it is closed."""

    def __init__(self, folder: Path, splitting: Splitting, embedder: Embedder | None) -> None:
        self.folder, self._splitting = folder, splitting
        self._builder = Builder()
        self._texts = arrays.TextsWriter(folder, "texts")
        self._documents = arrays.TextsWriter(folder, "documents")
        self._origins = arrays.TextsWriter(folder, "origins")
        self._vectors = None if embedder is None else Vectors(folder, embedder)
        self._headings: dict[str, int] = {}
        self._heading, self._places = array("I"), array("I")
        self._document_first, self._origin_first = array("I"), array("I")
        self._keys: list[int] = []
        self._waiting: list[str] = []
        self._characters = 0

    @property
    def full(self) -> bool:
        """Whether another segment should be begun."""
        return self._builder.pairs >= FULL

    def __len__(self) -> int:
        return len(self._texts)

    def begin(self, origin: Origin) -> None:
        """The documents that follow are of this origin."""
        self._origin_first.append(len(self._documents))
        self._origins.add(json.dumps({"key": origin.key, "content": origin.content}).encode())
        self._keys.append(key_hash(origin.key))

    def add(self, document: Document) -> None:
        """The document that comes next."""
        self._document_first.append(len(self._texts))
        self._documents.add(document.about.to_json())
        for passage in document.passages:
            self._texts.add(passage.text.encode("utf-8", "replace"))
            self._heading.append(self._headings.setdefault(passage.heading, len(self._headings)))
            self._places.extend((passage.first, passage.last))
            self._waiting.append(searched(document.about, passage))
            self._characters += len(self._waiting[-1])
            if len(self._waiting) >= BATCH or self._characters >= BATCH_CHARACTERS:
                self._count()

    def _count(self) -> None:
        self._builder.add(count(self._waiting, self._splitting))
        if self._vectors is not None:
            self._vectors.add(self._waiting)
        self._waiting, self._characters = [], 0

    def close(self) -> None:
        """Write what is left, and the words."""
        self._count()
        self._document_first.append(len(self._texts))
        self._origin_first.append(len(self._documents))
        with self._texts, self._documents, self._origins:
            pass
        with arrays.TextsWriter(self.folder, "headings") as writer:
            for heading in self._headings:
                writer.add(heading.encode("utf-8", "replace"))
        for name, values in (("document-first", self._document_first), ("origin-first", self._origin_first)):
            arrays.save(self.folder, name, np.frombuffer(values, np.uint32))
        arrays.save(self.folder, "heading", _numbers(self._heading))
        arrays.save(self.folder, "places", _numbers(self._places).reshape(-1, 2))
        arrays.save(self.folder, "origin-keys", np.array(self._keys, np.uint64))
        self._builder.build().save(self.folder)
        if self._vectors is not None:
            self._vectors.close()

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None) -> None:
        if kind is None:
            self.close()
        for writer in (self._texts, self._documents, self._origins):
            writer.abandon()


def _numbers(values: array[int]) -> NDArray[Any]:
    return np.frombuffer(values, np.uint32) if values else np.zeros(0, np.uint32)
