"""Lists of different words as Arrow arrays of their UTF-8 bytes: joined and sorted without a Python object for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vocabulary: TypeAlias = Any
"""A `pyarrow.LargeBinaryArray`."""


def of_words(words: Sequence[bytes]) -> Vocabulary:
    """From Python."""
    import pyarrow as pa

    return pa.array(words, pa.large_binary())


def of_buffers(ends: NDArray[Any], data: Any) -> Vocabulary:
    """From words one behind the other and where each ends; nothing is copied of `data`."""
    import pyarrow as pa

    offsets = np.concatenate([np.zeros(1, np.int64), ends.astype(np.int64)])
    return pa.Array.from_buffers(pa.large_binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def numbered(words: Vocabulary) -> tuple[NDArray[np.int64], Vocabulary]:
    """Each word's number, and the different words, in order of appearance."""
    encoded = words.dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary


def united(lists: Sequence[Vocabulary]) -> tuple[list[NDArray[np.int64]], Vocabulary]:
    """For each list the number of each of its words among all, and all different words, sorted by their bytes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not lists:
        return [], of_words([])
    code, words = numbered(pa.concat_arrays(list(lists)))
    order = pc.array_sort_indices(words)
    rank = np.empty(len(words), np.int64)
    rank[order.to_numpy()] = np.arange(len(words))
    borders = np.cumsum([len(one) for one in lists])[:-1]
    return np.split(rank[code], borders), words.take(order)


def buffers(words: Vocabulary) -> tuple[NDArray[np.int64], Any]:
    """Lengths of the words, and their bytes one behind the other."""
    if not len(words):
        return np.zeros(0, np.int64), b""
    offsets = np.frombuffer(words.buffers()[1], np.int64)[words.offset : words.offset + len(words) + 1]
    data = memoryview(words.buffers()[2] or b"")[int(offsets[0]) : int(offsets[-1])]
    return np.diff(offsets), data


def mask(kept: NDArray[np.bool_]) -> Any:
    """Which words to keep, for `filter`."""
    import pyarrow as pa

    return pa.array(kept)
