"""Raw text to tokens in one pass: read → clean → duplicates → split → encode → shards, every document accounted for.

    OUT/train/, OUT/validation/    tokens (shards.py); no validation folder when nothing falls into it
    OUT/report.json                what came in, went out, was removed and why, per step

A document goes to validation when the hash of its text is small. Duplicates are gone by then, and equal texts have
equal hashes: no text can be in both parts. Memory does not grow with the corpus: one batch of texts, a set of hashes
with a limit, and the writers' buffers.

Rejected: a file of cleaned text between the steps. Reading again costs more than cleaning again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import xxhash

from tandem.corpus.clean import clean
from tandem.corpus.dedup import Seen
from tandem.corpus.document import Document
from tandem.corpus.ledger import Ledger, Step
from tandem.corpus.read import SourceSpec, read
from tandem.corpus.shards import ShardWriter, TokenEncoder
from tandem.errors import UserError
from tandem.results import Table
from tandem.runs import atomic_folder, write_whole

_BATCH_CHARACTERS = 4 << 20
_BATCH_DOCUMENTS = 1024


@dataclass(frozen=True)
class Portion:
    """One written part of a corpus."""

    documents: int
    """Documents in it."""
    tokens: int
    """Tokens in it, end marks included."""
    text_bytes: int
    """UTF-8 bytes of its cleaned text."""


@dataclass(frozen=True)
class BuildReport:
    """What a build did."""

    train: Portion
    """The part to train on."""
    validation: Portion
    """The part held out; zeros when nothing was."""
    ledger: Ledger
    """In, out, removed and why, per step."""

    @property
    def bytes_per_token(self) -> float:
        """UTF-8 bytes of cleaned text per token, both parts, end marks counted as tokens."""
        return (self.train.text_bytes + self.validation.text_bytes) / (self.train.tokens + self.validation.tokens)

    @property
    def bytes_read(self) -> int:
        """UTF-8 bytes of text before cleaning."""
        return self.ledger.step("clean").bytes

    def to_json(self) -> dict[str, Any]:
        """Plain values, as report.json holds them."""
        return {
            "train": asdict(self.train),
            "validation": asdict(self.validation),
            "bytes_read": self.bytes_read,
            "bytes_per_token": round(self.bytes_per_token, 4),
            "steps": self.ledger.to_json(),
        }

    def table(self) -> Table:
        """The steps as a table for the report."""
        return self.ledger.table()


Progress = Callable[[int, int], None]
"""Called after each batch with documents and UTF-8 bytes read so far."""


def documents(
    source: SourceSpec | Iterable[Document],
    ledger: Ledger,
    *,
    deduplicate: bool = True,
    memory: int = 256 << 20,
    folder: Path | None = None,
) -> Iterator[Document]:
    """Cleaned documents without empty ones and duplicates, counted in `ledger`: what `build` encodes.

    For whoever needs texts, not tokens: training a tokenizer. `memory` bounds the set of hashes; `folder` is where it
    may write when that is full. `deduplicate=False` keeps documents that are equal after cleaning.
    """
    for name in ("files", "documents") if isinstance(source, SourceSpec) else ():
        ledger.step(name)  # in the order of the work
    came: Iterable[Document] = read(source, ledger) if isinstance(source, SourceSpec) else source
    cleaning, deduplicating = ledger.step("clean"), ledger.step("duplicates")
    with Seen(memory, folder) as seen:
        for document in came:
            cleaning.came += 1
            cleaning.bytes += len(document.text.encode("utf-8", "surrogatepass"))
            text, reasons = clean(document.text, document.kind)
            for reason in reasons:
                cleaning.change(reason, document.name)
            if not text:
                cleaning.remove("empty", document.name)
                continue
            cleaning.left += 1
            deduplicating.came += 1
            if deduplicate and not seen.add(text):
                deduplicating.remove("seen before", document.name)
                continue
            deduplicating.left += 1
            yield Document(text, document.name, document.kind, document.repaired)


def build(
    source: SourceSpec | Iterable[Document],
    tokenizer: TokenEncoder,
    out: Path,
    *,
    seed: int = 0,
    validation: float = 0.01,
    deduplicate: bool = True,
    memory: int = 256 << 20,
    progress: Progress | None = None,
) -> BuildReport:
    """Build a corpus in the new folder `out`, whole or not at all.

    `validation` is the share of documents held out (0 for none; otherwise at least one when there are two,
    and of two the smaller).
    `deduplicate=False` keeps equal documents; all copies fall to the same part.
    `memory` bounds, in bytes, the set of hashes seen; each of two writers holds at most an eighth of it.

    Raises UserError when nothing is left to write or the input cannot be read, Failure when the disk is full.
    """
    if not 0 <= validation < 1:
        raise UserError(f"a validation share of {validation}", where="validation", remedy="from 0 to below 1")
    ledger = Ledger()
    with atomic_folder(out) as part:
        writers = {}
        for name in ("train", "validation"):
            (part / name).mkdir()
            writers[name] = ShardWriter(part / name, tokenizer, seed, max(1 << 20, memory // 8))
        texts = _Split(documents(source, ledger, deduplicate=deduplicate, memory=memory, folder=part), validation)
        for batch in _batches(texts):
            _encode(batch, writers, tokenizer, ledger.step("encode"))
            if progress is not None:
                progress(ledger.step("clean").came, ledger.step("clean").bytes)
        if not writers["train"].documents:
            raise UserError(
                "no documents left to train on:\n" + "\n".join(f"  {line}" for line in ledger.lines()),
                where=source.path if isinstance(source, SourceSpec) else None,
                remedy="check the path, the form and the field",
            )
        for name, writer in writers.items():
            if writer.documents:
                writer.finish()
            else:
                (part / name).rmdir()
        report = BuildReport(_portion(writers["train"]), _portion(writers["validation"]), ledger)
        write_whole(part / "report.json", json.dumps(report.to_json(), indent=1) + "\n")
    return report


class _Split:
    """Documents with the part they belong to, by the hash of their text.

    When none falls to validation, the one that came nearest goes there; of two documents in all always the smaller.
    """

    _SEED = 0x7A4D
    """Always the same, so that equal texts of two sources fall to the same part."""

    def __init__(self, texts: Iterable[Document], share: float) -> None:
        self.texts = texts
        self.limit = int(share * 2**64)

    def __iter__(self) -> Iterator[tuple[str, Document]]:
        drawn = (
            (xxhash.xxh3_64_intdigest(document.text.encode(), seed=self._SEED), document) for document in self.texts
        )
        begin: dict[int, tuple[Document, int]] = {}  # the first two different texts, and how many copies of each
        third = None
        for draw, document in drawn:
            if draw not in begin and len(begin) == 2:
                third = (draw, document)
                break
            begin[draw] = (document, begin.get(draw, (document, 0))[1] + 1)
        if third is None and len(begin) == 2 and self.limit:
            by_size = sorted(begin, key=lambda draw: (len(begin[draw][0].text.encode()), draw))
            for part, draw in zip(("validation", "train"), by_size):
                document, copies = begin[draw]
                yield from repeat((part, document), copies)
            return
        first = (repeat((draw, document), copies) for draw, (document, copies) in begin.items())
        yield from self._by_hash(chain(*first, [third] if third else [], drawn))

    def _by_hash(self, drawn: Iterable[tuple[int, Document]]) -> Iterator[tuple[str, Document]]:
        nearest: tuple[int, Document] | None = None
        copies = 0  # of the nearest, where duplicates are kept: they stay together
        trained = held_out = False
        for draw, document in drawn:
            if draw < self.limit:
                held_out = True
                yield "validation", document
            elif self.limit and not held_out and (nearest is None or draw < nearest[0]):
                if nearest is not None:
                    trained = True
                    yield from [("train", nearest[1])] * copies
                nearest, copies = (draw, document), 1
            elif nearest is not None and draw == nearest[0]:
                copies += 1
            else:
                trained = True
                yield "train", document
        if nearest is not None:
            part = "validation" if trained and not held_out else "train"
            yield from [(part, nearest[1])] * copies


def _batches(texts: Iterable[tuple[str, Document]]) -> Iterator[list[tuple[str, Document]]]:
    batch: list[tuple[str, Document]] = []
    size = 0
    for part, document in texts:
        batch.append((part, document))
        size += len(document.text)
        if size >= _BATCH_CHARACTERS or len(batch) >= _BATCH_DOCUMENTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encode(
    batch: list[tuple[str, Document]], writers: dict[str, ShardWriter], tokenizer: TokenEncoder, books: Step
) -> None:
    for (part, document), ids in zip(batch, tokenizer.encode_arrays([document.text for _, document in batch])):
        books.came += 1
        if (ids == tokenizer.end).any():
            # A text that spells the end mark must not end the document.
            books.change("end marks spelt in the text removed", document.name)
            ids = ids[ids != tokenizer.end]
        if not len(ids):
            books.remove("no tokens", document.name)
            continue
        books.left += 1
        writers[part].add(ids, len(document.text.encode()))


def _portion(writer: ShardWriter) -> Portion:
    return Portion(writer.documents, writer.tokens, writer.text_bytes)
