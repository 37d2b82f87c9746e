"""Writes an index: one writer at a time, and readers never see a part of what it does.

    with Writer(Path("notes.index")) as writer:
        writer.add(Origin("a.md", "1f3c…"), documents)      # replaces what stood under the key
        writer.remove("b.md")
                                                            # leaving the block commits; an exception commits nothing

New documents go into new segments; a commit replaces the header, then merges the last segments where they have become
many (so that their number grows with the logarithm of what is held). Killed at any moment, the old index stands.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from tandem.errors import UserError
from tandem.runs import atomic_folder, disk_failure
from tandem.sources.passages import header as headers
from tandem.sources.passages.checking import examine, examined
from tandem.sources.passages.dense import Embedder
from tandem.sources.passages.document import Document, Origin
from tandem.sources.passages.header import Header, Piece, Settings
from tandem.sources.passages.merging import content, merge
from tandem.sources.passages.segment import Segment, SegmentWriter, key_hash, opened
from tandem.text import fingerprint

_ALIKE = 2
"""The last segments are merged with one before them that is less than this many times as large as they are together."""


class Writer:
    """An index open for writing."""

    def __init__(
        self,
        folder: Path,
        settings: Settings | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        """Open an index, or begin one. `settings` None takes those of the index, and the default for a new one.

        Raises UserError: another process writes, another version, other settings, a damaged file, or a folder that
        holds other things.
        """
        self.folder = folder
        if folder.is_dir() and not (folder / headers.NAME).exists():
            strange = sorted(p.name for p in folder.iterdir() if p.name != ".lock" and not _ours(p.name))
            if strange:
                problem = f"the folder is not empty and holds no index ({', '.join(strange[:3])} …)"
                raise UserError(problem, where=str(folder), remedy="name an empty or new folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock: IO[str] = (folder / ".lock").open("a")
        except OSError as e:
            raise disk_failure(e, folder) from e
        try:
            self._begin(settings, embedder)
        except BaseException:
            self._lock.close()
            raise

    def _begin(self, settings: Settings | None, embedder: Embedder | None) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            remedy = "wait until it has ended"
            raise UserError("another process is writing this index", where=str(self.folder), remedy=remedy) from e
        name, width = ("", 0) if embedder is None else (embedder.name, embedder.width)
        if (self.folder / headers.NAME).exists():
            self.header = headers.read(self.folder)
            wanted = self.header.settings if settings is None else settings
            headers.agree(self.header.settings, replace(wanted, encoder=name, width=width), self.folder)
        else:
            self.header = Header(replace(settings or Settings(), encoder=name, width=width))
        self._embedder = embedder
        self._segments = opened(self.folder, self.header.settings, self.header.pieces)
        self._clear()
        self._where = _Where(self._segments)
        self._gone: dict[int, set[int]] = {}
        self._fresh: dict[str, str] = {}
        self._new: list[str] = []
        self._stack: contextlib.ExitStack | None = None
        self._open: SegmentWriter | None = None

    def _clear(self) -> None:
        """Remove what no header names."""
        named = {piece.name for piece in self.header.pieces}
        for path in self.folder.iterdir():
            if _ours(path.name) and path.name not in named:
                shutil.rmtree(path, ignore_errors=True)

    # ── What stands ─────────────────────────────────────────────────────────────────────────────────────────────────

    def content(self, key: str) -> str | None:
        """The content hash of an origin that is held; None where it is not."""
        if key in self._fresh:
            return self._fresh[key]
        found = self._find(key)
        return self._segments[found[0][0]].origin(found[0][1]).content if found else None

    def origins(self) -> Iterable[Origin]:
        """All origins that are held, those of this writer's additions aside."""
        for segment, number in self._held():
            yield segment.origin(number)

    def bare(self) -> Iterable[Origin]:
        """Of these, the origins without documents."""
        without = {id(segment): segment.bare() for segment in self._segments}
        for segment, number in self._held():
            if without[id(segment)][number]:
                yield segment.origin(number)

    def _held(self) -> Iterable[tuple[Segment, int]]:
        for number, segment in enumerate(self._segments):
            gone = self._gone.get(number, set())
            for first, end in segment.live():
                yield from ((segment, i) for i in range(first, end) if i not in gone)

    def _find(self, key: str) -> list[tuple[int, int]]:
        return [
            (number, origin)
            for number, origin in self._where.find(key)
            if origin not in self._gone.get(number, ()) and self._segments[number].origin(origin).key == key
        ]

    # ── What changes ────────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, origin: Origin, documents: Iterable[Document]) -> int:
        """Take documents in, instead of what stood under the origin's key; returns how many passages they have.

        Raises UserError for a key that was added since the writer was opened.
        """
        if origin.key in self._fresh:
            raise UserError("is added twice", where=origin.key, remedy="give all documents of a key in one call")
        self.remove(origin.key)
        self._fresh[origin.key] = origin.content
        before, passages = -1, 0
        for document in documents:
            writer = self._writer()
            if len(self._new) != before:
                writer.begin(origin)
                before = len(self._new)
            writer.add(document)
            passages += len(document.passages)
            if writer.full:
                self._finish()
        if before < 0:
            self._writer().begin(origin)
        return passages

    def remove(self, key: str) -> bool:
        """Forget an origin; whether it was there."""
        found = self._find(key)
        for number, origin in found:
            self._gone.setdefault(number, set()).add(origin)
        return bool(found)

    def _writer(self) -> SegmentWriter:
        if self._open is None:
            self.header = replace(self.header, serial=self.header.serial + 1)
            name = f"segment-{self.header.serial:06d}"
            self._stack = contextlib.ExitStack()
            folder = self._stack.enter_context(atomic_folder(self.folder / name))
            splitting = self.header.settings.splitting
            self._open = self._stack.enter_context(SegmentWriter(folder, splitting, self._embedder))
            self._new.append(name)
        return self._open

    def _finish(self) -> None:
        if self._stack is not None:
            stack, self._stack, self._open = self._stack, None, None
            stack.close()

    # ── Committing ──────────────────────────────────────────────────────────────────────────────────────────────────

    def commit(self) -> Header:
        """Make what was added and removed visible, all of it at once; returns the new header."""
        self._finish()
        if self._new or self._gone:
            pieces = list(self.header.pieces)
            for number, origins in self._gone.items():
                self.header = replace(self.header, serial=self.header.serial + 1)
                segment, serial = self._segments[number], self.header.serial
                with examined([segment]):
                    segment.forget(origins, serial)
                _sync(segment.folder)
                pieces[number] = _piece(Segment(segment.folder, serial), serial)
            pieces += [_piece(Segment(self.folder / name), 0) for name in self._new]
            self._replace([piece for piece in pieces if piece.origins])
        else:
            self._replace(self.header.pieces)
        self.merge()
        return self.header

    def merge(self, *, everything: bool = False) -> None:
        """Merge the last segments where they have become many; or all of them into one."""
        pieces = self.header.pieces
        first = 0 if everything else len(pieces) - 1
        size = pieces[-1].pairs if pieces else 0
        while first > 0 and pieces[first - 1].pairs < _ALIKE * max(1, size):
            first -= 1
            size += pieces[first].pairs
        chosen = pieces[first:]
        if len(chosen) < 2 and not (everything and any(piece.gone for piece in chosen)):
            return
        self.header = replace(self.header, serial=self.header.serial + 1)
        name = f"segment-{self.header.serial:06d}"
        with atomic_folder(self.folder / name) as folder:
            segments = opened(self.folder, self.header.settings, chosen)
            with examined(segments):
                for segment in segments:  # all of it is read anyway, and damage must not go into what is written
                    examine(segment)
                merge(segments, folder)
        self._replace([*pieces[:first], _piece(Segment(self.folder / name), 0)], self.header.identity)

    def _replace(self, pieces: Sequence[Piece], identity: str = "") -> None:
        segments = opened(self.folder, self.header.settings, pieces)
        identity = identity or fingerprint([repr(self.header.settings), *content(segments)])
        self.header = replace(self.header, pieces=tuple(pieces), identity=identity)
        self.header.write(self.folder)
        self._segments, self._where = segments, _Where(segments)
        self._gone, self._new, self._fresh = {}, [], {}
        self._clear()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None) -> None:
        try:
            if kind is None:
                self.commit()
            elif self._stack is not None:
                self._stack.__exit__(kind, e, where)
        finally:
            self._lock.close()


class _Where:
    """Where origins stand, by the hashes of their keys."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        keys = [segment.keys() for segment in segments]
        hashes = np.concatenate([np.zeros(0, np.uint64), *keys])
        segment = np.repeat(np.arange(len(keys)), [len(k) for k in keys])
        number = np.concatenate([np.zeros(0, np.int64), *(np.arange(len(k)) for k in keys)])
        living = np.ones(len(hashes), bool)
        for i, one in enumerate(segments):
            living[(segment == i) & np.isin(number, one.gone)] = False
        order = np.flatnonzero(living)[np.argsort(hashes[living], kind="stable")]
        self._hashes, self._segment, self._number = hashes[order], segment[order], number[order]

    def find(self, key: str) -> list[tuple[int, int]]:
        """Segments and origins that may be it."""
        wanted = np.uint64(key_hash(key))
        low, high = (int(np.searchsorted(self._hashes, wanted, side=side)) for side in ("left", "right"))
        return [(int(self._segment[i]), int(self._number[i])) for i in range(low, high)]


def _piece(segment: Segment, gone: int) -> Piece:
    runs = segment.live()
    passages = sum(high - low for low, high in (segment.passages_of(*run) for run in runs))
    documents = sum(int(segment.origin_first[end]) - int(segment.origin_first[first]) for first, end in runs)
    origins = sum(end - first for first, end in runs)
    frequency = segment.frequency
    pairs = len(segment.postings.passages) if frequency is None else int(frequency.sum())
    return Piece(segment.folder.name, passages, documents, origins, pairs, gone)


def _ours(name: str) -> bool:
    return name.startswith("segment-")


def _sync(folder: Path) -> None:
    """The lists of what is gone, and their names, on disk."""
    for path in (*folder.glob("gone-*.npy"), *folder.glob("frequency-*.npy"), folder):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
