"""How many n-grams two sides of many segments have in common, for whole corpora at a time.

Tokens are numbers. An n-gram's number within its segment comes from that of the (n-1)-gram in front and its last
token, so every order costs one sort. Counting in dictionaries, a segment at a time, was rejected: several times slower.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 1 << 20
"""Tokens of one piece of the work."""


def in_common(left: Sequence[NDArray[np.int64]], right: Sequence[NDArray[np.int64]], orders: int) -> NDArray[np.int64]:
    """For each pair of segments and each order up to `orders`: n-grams on the left, on the right, in common.

    Shape (segments, orders, 3). An n-gram is in common as often as on the side that has it less often.
    """
    assert len(left) == len(right), f"{len(left)} segments on the left, {len(right)} on the right"
    sizes = np.array([len(a) + len(b) for a, b in zip(left, right, strict=True)], dtype=np.int64)
    found = [np.empty((0, orders, 3), dtype=np.int64)]
    begun, tokens = 0, 0
    for i, size in enumerate(sizes):
        if tokens and tokens + size > AT_ONCE:
            found.append(_piece(left[begun:i], right[begun:i], orders))
            begun, tokens = i, 0
        tokens += int(size)
    found.append(_piece(left[begun:], right[begun:], orders))
    return np.concatenate(found)


def _piece(left: Sequence[NDArray[np.int64]], right: Sequence[NDArray[np.int64]], orders: int) -> NDArray[np.int64]:
    segments = len(left)
    counts = np.zeros((segments, orders, 3), dtype=np.int64)
    lengths = np.array([len(each) for each in (*left, *right)], dtype=np.int64)
    if not lengths.any():
        return counts
    tokens = _dense(np.concatenate([*left, *right]))
    owner = np.repeat(np.arange(2 * segments), lengths)
    kinds = int(tokens.max()) + 1
    gram = owner % segments  # an n-gram counts within its segment, so the "0-gram" in front is the segment's number
    for order in range(1, orders + 1):
        counts[:, order - 1, :2] = np.maximum(lengths - order + 1, 0).reshape(2, segments).T
        inside = owner[: len(owner) - order + 1] == owner[order - 1 :]
        starts = np.flatnonzero(inside)
        if not starts.size:
            break
        numbers = _dense(gram[starts] * kinds + tokens[starts + order - 1])
        owners = owner[starts]
        on_left = owners < segments
        seen = int(numbers.max()) + 1
        least = np.minimum(
            np.bincount(numbers[on_left], minlength=seen), np.bincount(numbers[~on_left], minlength=seen)
        )
        segment = np.empty(seen, dtype=np.int64)
        segment[numbers] = owners % segments
        counts[:, order - 1, 2] = np.bincount(segment, weights=least, minlength=segments)
        gram = np.zeros(len(owner), dtype=np.int64)
        gram[starts] = numbers
    return counts


def _dense(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same values numbered from 0."""
    numbers: NDArray[np.int64] = np.unique(values, return_inverse=True)[1]
    return numbers.reshape(-1)
