"""Passages by meaning: vectors of an encoder the user names, compared by cosine, all of them (no approximation).

    tandem index notes/ --out notes.index --encoder DIR        a folder or name for sentence-transformers

and reciprocal rank fusion (Cormack, Clarke and Büttcher 2009), which joins two rankings without comparing their scores.
What this does not do: train, or fetch anything by itself (sentence-transformers fetches a model that is named and not a
folder). Vectors are stored as 16-bit floats and compared in 32 bits, a stretch of passages at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray

from tandem.errors import UserError

F32 = NDArray[np.float32]
_AT_ONCE = 1 << 15
_K = 60
"""The constant of reciprocal rank fusion, as published."""


class Embedder(Protocol):
    """Texts to vectors."""

    name: str
    """Kept in the index; a query must come from the same."""
    width: int
    """Numbers in a vector."""

    def encode(self, texts: Sequence[str], *, query: bool) -> F32:
        """A row for each text; whether they are queries or passages matters to some encoders."""
        ...


class SentenceTransformer:
    """A sentence-transformers model. Safe for many threads: one encodes at a time."""

    def __init__(self, model: str) -> None:
        """`model` is a folder, or a name on the hub. Raises UserError when it cannot be had."""
        try:
            import torch
            from sentence_transformers import SentenceTransformer as Model
        except ImportError as e:
            remedy = "pip install 'tandem-llm[dense]'"
            raise UserError("sentence-transformers is not installed", where=f"encoder {model}", remedy=remedy) from e
        try:
            self._model = Model(model)
        except (OSError, ValueError) as e:
            problem = f"cannot be loaded ({str(e).splitlines()[0]})"
            raise UserError(problem, where=f"encoder {model}", remedy="name a folder with a model") from e
        state = xxhash.xxh3_64()
        for name, weights in sorted(self._model.state_dict().items()):
            state.update(name.encode())
            state.update(weights.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        self._encoding = threading.Lock()
        self.name = f"{Path(model).name}@{state.hexdigest()}"  # not the path: another model may lie there one day
        self.width = self._encode(self._model.encode_query, ["width"]).shape[1]

    def encode(self, texts: Sequence[str], *, query: bool) -> F32:
        """Vectors, on the device that the library chooses, with the prompts that the model has for each kind."""
        return self._encode(self._model.encode_query if query else self._model.encode_document, texts)

    def _encode(self, encode: Callable[..., Any], texts: Sequence[str]) -> F32:
        with self._encoding:
            return np.asarray(encode(list(texts), convert_to_numpy=True, show_progress_bar=False), np.float32)


class Vectors:
    """Writes the vectors of a segment."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        self._folder, self._embedder = folder, embedder
        self._file = (folder / "vectors.part").open("wb")
        self._rows = 0

    def add(self, texts: Sequence[str]) -> None:
        """Vectors of the passages that come next."""
        if texts:
            self._file.write(unit(self._embedder, texts, query=False).astype(np.float16).tobytes())
            self._rows += len(texts)

    def close(self) -> None:
        """Make an array of them."""
        self._file.close()
        part = self._folder / "vectors.part"
        shape = (self._rows, self._embedder.width)
        out = np.lib.format.open_memmap(self._folder / "vectors.npy", mode="w+", dtype=np.float16, shape=shape)
        if self._rows:
            source = np.memmap(part, np.float16, mode="r", shape=shape)
            for low in range(0, self._rows, _AT_ONCE):
                out[low : low + _AT_ONCE] = source[low : low + _AT_ONCE]
        out.flush()
        part.unlink()


def unit(embedder: Embedder, texts: Sequence[str], *, query: bool) -> F32:
    """Vectors of length one. Raises UserError for an encoder that does not keep to its own description."""
    vectors = np.asarray(embedder.encode(texts, query=query), np.float32)
    if vectors.shape != (len(texts), embedder.width) or not np.isfinite(vectors).all():
        problem = f"gives {vectors.shape} or no finite numbers, not {len(texts)} × {embedder.width}"
        raise UserError(problem, where=f"encoder {embedder.name}")
    long: F32 = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12).astype(np.float32)
    return np.divide(vectors, long)


def nearest(
    vectors: Sequence[NDArray[Any] | None], gone: Sequence[NDArray[np.bool_] | None], queries: F32, most: int
) -> list[list[tuple[float, int, int]]]:
    """For each query the nearest passages: cosine, segment, passage; best first, equals in the order held."""
    found: list[list[tuple[float, int, int]]] = [[] for _ in queries]
    for number, (rows, without) in enumerate(zip(vectors, gone)):
        for low in range(0, 0 if rows is None else len(rows), _AT_ONCE):
            assert rows is not None
            likeness = queries @ rows[low : low + _AT_ONCE].astype(np.float32).T
            if without is not None:
                likeness[:, without[low : low + _AT_ONCE]] = -np.inf
            for hits, row in zip(found, likeness):
                best = row >= np.partition(row, len(row) - most)[len(row) - most] if len(row) > most else row > -np.inf
                hits += [(float(row[i]), number, low + i) for i in np.flatnonzero(best & (row > -np.inf)).tolist()]
                hits.sort(key=lambda hit: (-hit[0], hit[1], hit[2]))
                del hits[most:]
    return found


def fused(*rankings: Sequence[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
    """Reciprocal rank fusion: Σ 1 / (60 + rank) over the rankings a passage stands in, ranks from 1."""
    scores: dict[tuple[int, int], float] = {}
    for ranking in rankings:
        for rank, (_, segment, passage) in enumerate(ranking, 1):
            scores[segment, passage] = scores.get((segment, passage), 0.0) + 1 / (_K + rank)
    hits = [(score, segment, passage) for (segment, passage), score in scores.items()]
    return sorted(hits, key=lambda hit: (-hit[0], hit[1], hit[2]))
