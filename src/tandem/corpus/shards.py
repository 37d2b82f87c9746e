"""Tokens on disk: documents in shuffled order, each followed by the end mark, memory-mapped, with an index.

    tokens.bin      all tokens, little-endian uint16 (uint32 when the vocabulary has more than 65,536 rows)
    documents.bin   uint64 start of every document, and the total last
    shards.json     the header, written last: sizes, tokenizer, end mark, hashes

Documents lie in the order of a seeded hash of their tokens: a shuffle that needs no table and does not depend on the
order in which they were read. Writing holds `buffer` bytes: documents go to one of 64 bucket files by the leading bits
of that hash, then each bucket is sorted. Rejected: a permutation of document numbers, which needs every document's
place before the first can be written; and many token files, because windows would have to cross their borders.

What this does not do: read text, or decide which documents to keep.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray

from tandem.errors import UserError
from tandem.runs import atomic_folder, disk_failure
from tandem.text import fingerprint

FORMAT = 1
_BUCKETS = 64
_REMEDY = "build the corpus again: tandem corpus build; of a run, remove the stage's folder and run the recipe again"
_HASHED_ON_OPENING = 64 << 20


class TokenEncoder(Protocol):
    """What the corpus needs of a tokenizer."""

    @property
    def vocabulary(self) -> int:
        """Rows an embedding table for it needs."""
        ...

    @property
    def end(self) -> int:
        """Id of the end-of-text mark."""
        ...

    @property
    def fingerprint(self) -> str:
        """Content hash."""
        ...

    def encode_arrays(self, texts: Sequence[str]) -> Sequence[NDArray[np.integer[Any]]]:
        """Token ids of each text, without marks at its ends; arrays, for lists of numbers cost more than encoding."""
        ...


class Shards:
    """A folder of tokens, open for reading.

    Opening checks the header, both files' sizes and the index's hash (for an index up to 64 MiB); `verify` reads all.
    Raises UserError when the folder is not one, is half-written or altered, or holds another tokenizer's tokens.
    """

    tokens: int
    """Tokens stored, end marks included."""
    documents: int
    """Documents stored."""
    end: int
    """Id of the mark behind every document."""
    vocabulary: int
    """Rows of the embedding table the tokens were made for."""
    tokenizer: str
    """Fingerprint of the tokenizer that made the tokens."""
    fingerprint: str
    """Hash of the content: equal for equal tokens in equal order from the same tokenizer."""
    text_bytes: int
    """UTF-8 bytes of text behind the tokens; 0 when unknown."""

    def __init__(self, folder: Path | str, tokenizer: TokenEncoder | None = None) -> None:
        self.folder = Path(folder)
        header = _read_header(self.folder)
        self.tokens = header["tokens"]
        self.documents = header["documents"]
        self.end = header["end"]
        self.vocabulary = header["vocabulary"]
        self.tokenizer = header["tokenizer"]
        self.fingerprint = header["fingerprint"]
        self.text_bytes = header["text_bytes"]
        self._header = header
        if tokenizer is not None and tokenizer.fingerprint != self.tokenizer:
            raise UserError(
                f"these tokens were made by another tokenizer ({self.tokenizer}, not {tokenizer.fingerprint})",
                where=str(self.folder),
                remedy="build the corpus again with this tokenizer, or give the tokenizer it was built with",
            )
        dtype = np.dtype(header["dtype"])
        self._map = _map(self.folder / "tokens.bin", dtype, self.tokens)
        self.starts = _map(self.folder / "documents.bin", np.dtype("<u8"), self.documents + 1)
        """First token of each document, and the total last; uint64[documents + 1]."""
        if self.starts.nbytes <= _HASHED_ON_OPENING:
            self._check_index()

    def read(self, start: int, n: int) -> NDArray[np.unsignedinteger[Any]]:
        """`n` tokens from `start`, the stream repeated without end; uint16 or uint32 [n], read-only when it can be."""
        start %= self.tokens
        if start + n <= self.tokens:
            return self._map[start : start + n]
        return self._map.take(np.arange(start, start + n), mode="wrap")

    def document(self, number: int) -> NDArray[np.unsignedinteger[Any]]:
        """Tokens of one document without its end mark."""
        if not 0 <= number < self.documents:
            raise IndexError(f"document {number} of {self.documents}")
        return self._map[int(self.starts[number]) : int(self.starts[number + 1]) - 1]

    def verify(self) -> None:
        """Read everything and compare with the stored hashes. Raises UserError where a byte has changed."""
        self._check_index()
        digest = xxhash.xxh3_128()
        for start in range(0, self.tokens, 1 << 24):
            digest.update(np.ascontiguousarray(self._map[start : start + (1 << 24)]).data)
        if digest.hexdigest() != self._header["tokens_hash"]:
            raise UserError("the tokens have been altered", where=str(self.folder / "tokens.bin"), remedy=_REMEDY)

    def _check_index(self) -> None:
        if xxhash.xxh3_128_hexdigest(self.starts.data) != self._header["documents_hash"]:
            raise UserError("the index has been altered", where=str(self.folder / "documents.bin"), remedy=_REMEDY)

    @property
    def stored_bytes(self) -> int:
        """Bytes on disk of tokens and index."""
        return int(self._map.nbytes + self.starts.nbytes)

    def __reduce__(self) -> tuple[type[Shards], tuple[Path]]:
        # A pickled memory map would carry all tokens to every worker: send the folder, open it there.
        return Shards, (self.folder,)


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / "shards.json"
    if not folder.is_dir():
        raise UserError("no such folder of tokens", where=str(folder), remedy="check the path, or " + _REMEDY)
    if not path.exists():
        below = [name for name in ("train", "validation") if (folder / name / "shards.json").exists()]
        if below:
            raise UserError("tokens lie one folder deeper", where=str(folder), remedy=f"open {folder / below[0]}")
        raise UserError("half-written, or not a folder of tokens (no shards.json)", where=str(folder), remedy=_REMEDY)
    try:
        header = dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as e:
        raise UserError("not a header of tokens", where=str(path), remedy=_REMEDY) from e
    if header.get("format") != FORMAT:
        found = f"format {header.get('format')}, this version reads {FORMAT}"
        raise UserError(found, where=str(path), remedy=_REMEDY)
    if header.pop("header_hash", None) != fingerprint(header):
        raise UserError("the header has been altered", where=str(path), remedy=_REMEDY)
    return header


def _map(path: Path, dtype: np.dtype[Any], n: int) -> NDArray[Any]:
    size = path.stat().st_size if path.exists() else 0
    if size != n * dtype.itemsize:
        raise UserError(
            f"half-written: {size:,} bytes where the header says {n * dtype.itemsize:,}",
            where=str(path),
            remedy=_REMEDY,
        )
    return np.memmap(path, dtype=dtype, mode="r", shape=(n,)).view(np.ndarray)


class ShardWriter:
    """Takes documents in any order, writes a folder that `Shards` opens. Memory stays near `buffer` bytes.

    `folder` must exist and be empty; use it inside `runs.atomic_folder`, or call `write_shards`. Raises UserError for
    ids outside the vocabulary, and Failure when the disk is full.
    """

    def __init__(self, folder: Path, tokenizer: TokenEncoder, seed: int, buffer: int = 64 << 20) -> None:
        self.folder = folder
        self.documents = 0
        self.tokens = 0
        self.text_bytes = 0
        self._tokenizer = tokenizer
        self._seed = seed
        self._dtype = np.dtype("<u2" if tokenizer.vocabulary <= 1 << 16 else "<u4")
        self._limit = buffer
        self._held = 0
        self._buckets: list[list[tuple[int, NDArray[Any]]]] = [[] for _ in range(_BUCKETS)]
        self._spool = folder / "buckets"

    def add(self, ids: Sequence[int] | NDArray[Any], text_bytes: int = 0) -> None:
        """Add one document; the end mark is appended here, and must not be in `ids`."""
        wide = np.asarray(ids, dtype=np.int64)
        if wide.size and (int(wide.min()) < 0 or int(wide.max()) >= self._tokenizer.vocabulary):
            raise UserError(
                f"token ids {int(wide.min())} … {int(wide.max())} with a vocabulary of {self._tokenizer.vocabulary:,}",
                remedy="the tokenizer reports too small a vocabulary: check it with `tandem tokenizer check`",
            )
        assert not (wide == self._tokenizer.end).any(), "an end mark inside a document"
        document = np.append(wide, self._tokenizer.end).astype(self._dtype)
        key = xxhash.xxh3_64_intdigest(document.data, seed=self._seed & 0xFFFFFFFFFFFFFFFF)
        self._buckets[key * _BUCKETS >> 64].append((key, document))
        self._held += document.nbytes + 200  # an array object weighs about 200 bytes
        self.documents += 1
        self.tokens += document.size
        self.text_bytes += text_bytes
        if self._held > self._limit:
            self._flush()

    def _flush(self) -> None:
        try:
            self._spool.mkdir(exist_ok=True)
            for number, bucket in enumerate(self._buckets):
                if bucket:
                    with (self._spool / f"{number}.tokens").open("ab") as f:
                        f.write(np.concatenate([document for _, document in bucket]).data)
                    with (self._spool / f"{number}.keys").open("ab") as f:
                        f.write(np.array([(key, document.size) for key, document in bucket], dtype="<u8").data)
                    bucket.clear()
        except OSError as e:
            raise disk_failure(e, self.folder) from e
        self._held = 0

    def finish(self) -> None:
        """Sort every bucket, write the three files. Raises UserError when no document was added."""
        if not self.documents:
            raise UserError("no documents to write", where=str(self.folder))
        self._flush()
        tokens_hash, documents_hash = xxhash.xxh3_128(), xxhash.xxh3_128()
        written = 0
        try:
            with (self.folder / "tokens.bin").open("wb") as tokens, (self.folder / "documents.bin").open("wb") as index:
                for number in range(_BUCKETS):
                    if not (self._spool / f"{number}.keys").exists():
                        continue
                    keys, lengths = np.fromfile(self._spool / f"{number}.keys", dtype="<u8").reshape(-1, 2).T
                    stored = np.memmap(self._spool / f"{number}.tokens", dtype=self._dtype, mode="r").view(np.ndarray)
                    begins = np.cumsum(lengths) - lengths
                    order = np.argsort(keys, kind="stable")
                    sorted_starts = written + np.cumsum(lengths[order]) - lengths[order]
                    index.write(sorted_starts.astype("<u8").data)
                    documents_hash.update(sorted_starts.astype("<u8").data)
                    for some in np.array_split(order, 1 + int(lengths.sum()) // (1 << 22)):
                        if some.size:
                            part = np.concatenate([stored[begins[d] : begins[d] + lengths[d]] for d in some])
                            tokens.write(part.data)
                            tokens_hash.update(part.data)
                    written += int(lengths.sum())
                    del stored
                    (self._spool / f"{number}.tokens").unlink()
                last = np.array([written], dtype="<u8")
                index.write(last.data)
                documents_hash.update(last.data)
            assert written == self.tokens
            shutil.rmtree(self._spool)
            header = {
                "format": FORMAT,
                "dtype": self._dtype.str,
                "tokens": self.tokens,
                "documents": self.documents,
                "text_bytes": self.text_bytes,
                "end": self._tokenizer.end,
                "vocabulary": self._tokenizer.vocabulary,
                "tokenizer": self._tokenizer.fingerprint,
                "seed": self._seed,
                "tokens_hash": tokens_hash.hexdigest(),
                "documents_hash": documents_hash.hexdigest(),
            }
            content = json.dumps([header["tokens_hash"], header["documents_hash"], header["tokenizer"], header["end"]])
            header["fingerprint"] = xxhash.xxh3_128_hexdigest(content.encode())
            header["header_hash"] = fingerprint(header)
            (self.folder / "shards.json").write_text(json.dumps(header, indent=1) + "\n")
        except OSError as e:
            raise disk_failure(e, self.folder) from e


def write_shards(
    folder: Path,
    documents: Iterable[Sequence[int] | NDArray[Any]],
    tokenizer: TokenEncoder,
    *,
    seed: int = 0,
    buffer: int = 64 << 20,
) -> Shards:
    """Write token ids of documents (without end marks) as a new folder, whole or not at all, and open it."""
    with atomic_folder(folder) as part:
        writer = ShardWriter(part, tokenizer, seed, buffer)
        for ids in documents:
            writer.add(ids)
        writer.finish()
    return Shards(folder)
