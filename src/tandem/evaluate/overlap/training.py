"""Training text looked through once for test items: files as the corpus reads them, and tokenised corpora.

    PATH     a file, a folder, a glob: text, lines, code, JSONL, Parquet; plain, .gz or .zst
    DIR      what `tandem corpus build` or a run has written: its tokens are decoded, but not those held out

Reads as the corpus does; text that is split for its length is looked through as if it were not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xxhash

from tandem.corpus.ledger import Ledger
from tandem.corpus.read import Form, SourceSpec, read
from tandem.corpus.shards import Shards
from tandem.errors import UserError
from tandem.evaluate.overlap.items import Items, Looked
from tandem.evaluate.overlap.words import WORDS, Text, prepared

BATCH = 1 << 18
"""Bytes looked through together: what they become fits into a processor's cache."""
_TAIL = 1 << 11
"""Bytes of a part that are looked through again with the next one: more than a run of words has."""
_PART = re.compile(r":part \d+$")
_RECORD = re.compile(r":(document |row )?\d+$")
_BREAK = re.compile(rb"[\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]")


class Decoder(Protocol):
    """What is needed of a tokenizer."""

    @property
    def fingerprint(self) -> str:
        """Content hash."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids."""
        ...


@dataclass(frozen=True)
class Training:
    """What was looked through, and what was found."""

    looked: Mapping[str, Looked]
    """By task."""
    names: tuple[str, ...]
    """The paths, without folders."""
    documents: int
    """Documents read."""
    text_bytes: int
    """Bytes of their text, as it is compared."""
    digest: str
    """Hash of that text."""
    left_out: tuple[str, ...]
    """What was not read and why, a line each."""

    def facts(self) -> dict[str, Any]:
        """For a run's settings."""
        return {
            "training": list(self.names),
            "training_hash": self.digest,
            "training_documents": self.documents,
            "training_bytes": self.text_bytes,
        }


def look(
    paths: Sequence[str | Path],
    tasks: Mapping[str, Mapping[str, str]],
    *,
    form: Form = "auto",
    field: str = "text",
    tokenizer: Decoder | None = None,
    find_tokenizer: Callable[[Path], Decoder | None] = lambda folder: None,
    n: int = WORDS,
    progress: Callable[[int], None] = lambda n_bytes: None,
) -> Training:
    """Look for the items of tasks (task → id → text) in training text.

    A tokenised corpus needs its tokenizer: given, or found by `find_tokenizer` from a folder of tokens. Raises
    UserError as reading does, and for tokens without a tokenizer.
    """
    items = Items(tasks, n)
    ledger = Ledger()
    batch = _Batch(items, progress)
    for path in map(str, paths):
        shards = _shards(Path(path).expanduser())
        for folder in shards:
            batch.add_all(_decoded(folder, tokenizer or find_tokenizer(folder)))
        if not shards:
            documents = read(SourceSpec(path, form=form, field=field, longest=BATCH), ledger)
            batch.add_all((document.name, document.text) for document in documents)
    batch.flush()
    left = [f"{name}: {n:,} {why}" for name, step in ledger.steps.items() for why, n in step.removed.items()]
    names = tuple(Path(path).name or str(path) for path in map(str, paths))
    return Training(items.looked(), names, batch.documents, batch.total, batch.digest.hexdigest(), tuple(left))


class _Batch:
    """Documents put together until there is enough to look through."""

    def __init__(self, items: Items, progress: Callable[[int], None]) -> None:
        self._items, self._progress = items, progress
        self.documents = self.total = 0
        self.digest = xxhash.xxh3_128()
        self._parts: list[bytes] = []
        self._names: list[tuple[str, int]] = []  # of each part, and the lines before it
        self._held = 0
        self._last = ("", b"", 0)  # the document before: its name, its bytes, the lines before them

    def add_all(self, documents: Iterator[tuple[str, str]]) -> None:
        """Take documents in, each with its place."""
        for name, text in documents:
            data = prepared(text)
            self.digest.update(data)
            self.total += len(data)
            base = _PART.sub("", name)
            lines = 0
            before, bytes_before, lines_before = self._last
            whole = data
            if base != name and base == before:
                tail = bytes_before[-_TAIL:]
                cut = _BREAK.search(tail) if len(bytes_before) > _TAIL else None
                tail = tail[cut.end() :] if cut else tail if len(bytes_before) <= _TAIL else b""
                lines = lines_before + bytes_before.count(b"\n") - tail.count(b"\n")
                whole = tail + data
                lines_of_data = lines_before + bytes_before.count(b"\n")
            else:
                self.documents += 1
                lines_of_data = 0
            self._last = (base, data, lines_of_data)
            self._parts.append(whole)
            self._names.append((base, lines))
            self._held += len(whole)
            if self._held >= BATCH:
                self.flush()

    def flush(self) -> None:
        """Look through what is held."""
        if not self._parts:
            return
        parts, names = self._parts, self._names
        begins = np.cumsum([0, *(len(part) + 1 for part in parts[:-1])])

        def place(byte: int) -> str:
            number = int(np.searchsorted(begins, byte, side="right")) - 1
            base, lines = names[number]
            if _RECORD.search(base):
                return base
            line = lines + parts[number].count(b"\n", 0, byte - int(begins[number])) + 1
            return f"{base}:{line}"

        self._items.look(Text(b"\n".join(parts)), begins, place)
        self._progress(self._held)
        self._parts, self._names, self._held = [], [], 0


def _shards(path: Path) -> list[Path]:
    """Folders of tokens at or below a path, without those held out."""
    if not path.is_dir():
        return []
    return sorted(file.parent for file in path.rglob("shards.json") if file.parent.name != "validation")


def _decoded(folder: Path, tokenizer: Decoder | None) -> Iterator[tuple[str, str]]:
    """The documents of a folder of tokens as text."""
    shards = Shards(folder)
    if tokenizer is None or tokenizer.fingerprint != shards.tokenizer:
        problem = f"these tokens need their tokenizer ({shards.tokenizer})"
        raise UserError(problem, where=str(folder), remedy="give it with --training-tokenizer DIR")
    for number in range(shards.documents):
        yield f"{folder}:document {number}", tokenizer.decode(shards.document(number).tolist())
