"""Several segments into one, without what is gone; the order of what is held stays.

Works through memory-mapped files in stretches: memory grows with the different words, not with the passages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tandem.sources.passages import arrays, vocabulary
from tandem.sources.passages.postings import Postings, largest, narrow
from tandem.sources.passages.segment import Segment, stretches
from tandem.sources.passages.vocabulary import Vocabulary

_ROWS = 1 << 16


def merge(segments: Sequence[Segment], folder: Path) -> None:
    """Write the segments' living content as one segment into `folder`."""
    numbers = _passages(segments, folder)
    _documents(segments, folder)
    _words(segments, numbers, folder)
    if all(segment.vectors is not None for segment in segments):
        _vectors(segments, folder)


def _runs(segments: Sequence[Segment]) -> Iterator[tuple[Segment, int, int]]:
    """Living runs of origins, in order."""
    for segment in segments:
        for first, end in segment.live():
            yield segment, first, end


def _passages(segments: Sequence[Segment], folder: Path) -> list[NDArray[np.uint32]]:
    """Texts, places, headings, lengths; returns each segment's passages' new numbers (2³² − 1: gone)."""
    numbers = [np.full(len(segment), 0xFFFFFFFF, np.uint32) for segment in segments]
    of = {id(segment): number for segment, number in zip(segments, numbers)}
    headings: dict[bytes, int] = {}
    known = {}
    for segment in segments:
        texts_of = (segment.headings[i] for i in range(len(segment.headings)))
        known[id(segment)] = np.array([headings.setdefault(text, len(headings)) for text in texts_of], np.uint32)
    places, heading, lengths = [np.zeros((0, 2), np.uint32)], [np.zeros(0, np.uint32)], [np.zeros(0, np.uint32)]
    at = 0
    with arrays.TextsWriter(folder, "texts") as texts:
        for segment, first, end in _runs(segments):
            low, high = segment.passages_of(first, end)
            if high == low:
                continue
            of[id(segment)][low:high] = np.arange(at, at + high - low, dtype=np.uint32)
            at += high - low
            _copy(segment.texts, low, high, texts)
            places.append(segment.places[low:high])
            heading.append(known[id(segment)][segment.heading[low:high]])
            lengths.append(segment.postings.lengths[low:high])
    with arrays.TextsWriter(folder, "headings") as writer:
        for heading_text in headings:
            writer.add(heading_text)
    arrays.save(folder, "places", np.concatenate(places))
    arrays.save(folder, "heading", np.concatenate(heading))
    arrays.save(folder, "lengths", np.concatenate(lengths))
    return numbers


def _copy(texts: arrays.Texts, low: int, high: int, writer: arrays.TextsWriter) -> None:
    begin = texts.begin(low)
    lengths = np.diff(texts.ends[low:high].astype(np.int64), prepend=begin)
    writer.add_stretch(texts.stretch(begin, int(texts.ends[high - 1])), lengths, texts.sums[low:high])


def _documents(segments: Sequence[Segment], folder: Path) -> None:
    """Documents and origins; an origin that goes on in the next segment becomes one."""
    document_first: list[NDArray[Any]] = []
    origin_first: list[NDArray[Any]] = []
    keys: list[NDArray[Any]] = []
    passages = documents = 0
    last = b""
    with arrays.TextsWriter(folder, "documents") as document_writer, arrays.TextsWriter(folder, "origins") as origins:
        for segment, first, end in _runs(segments):
            low, high = segment.origin_first[[first, end]].tolist()
            begin = int(segment.document_first[low])
            document_first.append(segment.document_first[low:high].astype(np.int64) - begin + passages)
            passages += int(segment.document_first[high]) - begin
            starts = segment.origin_first[first:end].astype(np.int64) - low + documents
            goes_on = len(origins) > 0 and segment.origins[first] == last
            origin_first.append(starts[goes_on:])
            keys.append(segment.keys()[first + goes_on : end])
            if high > low:
                _copy(segment.documents, low, high, document_writer)
            if end > first + goes_on:
                _copy(segment.origins, first + goes_on, end, origins)
            documents += high - low
            last = segment.origins[end - 1]
    arrays.save(folder, "document-first", np.concatenate([*document_first, np.array([passages])]).astype(np.uint32))
    arrays.save(folder, "origin-first", np.concatenate([*origin_first, np.array([documents])]).astype(np.uint32))
    arrays.save(folder, "origin-keys", np.concatenate([np.zeros(0, np.uint64), *keys]))


def _words(segments: Sequence[Segment], numbers: Sequence[NDArray[np.uint32]], folder: Path) -> None:
    parts = [segment.postings for segment in segments]
    known, terms = _united(parts)
    frequency = np.zeros(len(terms), np.int64)
    for segment, places in zip(segments, known):
        held = np.diff(segment.postings.starts) if segment.frequency is None else segment.frequency
        frequency[places] += held
    kept = frequency > 0
    rank = np.cumsum(kept) - 1
    starts = np.concatenate([[0], np.cumsum(frequency[kept])])
    often_type = narrow(max((int(part.most.max(initial=0)) for part in parts), default=0))
    pairs = int(starts[-1])
    passages, often = _array(folder, "passages", np.uint32, pairs), _array(folder, "often", often_type, pairs)
    free = starts[:-1].copy()
    for part, places, number in zip(parts, known, numbers):
        for low, high in stretches(part.starts):
            begin, end = int(part.starts[low]), int(part.starts[high])
            renamed = number[part.passages[begin:end]]
            living = renamed != 0xFFFFFFFF
            sizes = np.add.reduceat(living, part.starts[low:high] - begin, dtype=np.int64)
            there = sizes > 0
            ranks, sizes = rank[places[low:high][there]], sizes[there]
            place = np.repeat(free[ranks] - np.cumsum(sizes) + sizes, sizes) + np.arange(int(sizes.sum()))
            passages[place] = renamed[living]
            often[place] = part.often[begin:end][living]
            free[ranks] += sizes
    lengths, data = vocabulary.buffers(terms.filter(vocabulary.mask(kept)))
    with arrays.TextsWriter(folder, "terms") as writer:
        writer.add_stretch(data, lengths)
    arrays.save(folder, "starts", starts)
    arrays.save(folder, "most", largest(often, starts))
    for out in (passages, often):
        if isinstance(out, np.memmap):
            out.flush()


def _united(parts: Sequence[Postings]) -> tuple[list[NDArray[np.int64]], Vocabulary]:
    """For each segment the place of each of its words among all, and all words sorted."""
    lists = []
    for part in parts:
        texts = part.terms
        assert isinstance(texts, arrays.Texts)
        lists.append(vocabulary.of_buffers(texts.ends, texts.stretch(0, int(texts.ends[-1]) if len(texts) else 0)))
    return vocabulary.united(lists)


def _array(folder: Path, name: str, kind: type[Any], length: int) -> NDArray[Any]:
    """A new array on disk."""
    if not length:  # nothing can be mapped then
        arrays.save(folder, name, np.zeros(0, kind))
        return np.zeros(0, kind)
    out: NDArray[Any] = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=(length,))
    return out


def _vectors(segments: Sequence[Segment], folder: Path) -> None:
    runs = [(s, *s.passages_of(first, end)) for s, first, end in _runs(segments)]
    width = next(segment.vectors.shape[1] for segment in segments if segment.vectors is not None)
    total = sum(high - low for _, low, high in runs)
    out = np.lib.format.open_memmap(folder / "vectors.npy", mode="w+", dtype=np.float16, shape=(total, width))
    at = 0
    for segment, low, high in runs:
        assert segment.vectors is not None
        for begin in range(low, high, _ROWS):
            rows = segment.vectors[begin : min(begin + _ROWS, high)]
            out[at : at + len(rows)] = rows
            at += len(rows)
    out.flush()


def content(segments: Sequence[Segment]) -> list[str]:
    """Content hashes of the living origins, sorted: what the index holds, whatever its segments."""
    held = set()
    for segment, first, end in _runs(segments):
        for number in range(first, end):
            origin = segment.origin(number)
            held.add((origin.content, origin.key if not origin.content else ""))
    return sorted(f"{content}{key}" for content, key in held)
