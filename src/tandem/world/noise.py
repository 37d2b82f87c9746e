"""Noise by counter: the n-th draw of a named stream is a pure function of (seed, stream, n).

Integer arithmetic only (the SplitMix64 finaliser: Steele, Lea and Flood 2014), so the draws are the same on every
platform and in every version of numpy. `numpy.random` was rejected: its streams may change between versions (NEP 19).
This is not a cryptographic generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

U64: TypeAlias = NDArray[np.uint64]
I64: TypeAlias = NDArray[np.int64]
T = TypeVar("T")

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def mix(x: int) -> int:
    """SplitMix64's finaliser on one 64-bit number: a bijection that spreads every input bit."""
    x = ((x ^ (x >> 30)) * _FIRST) & _MASK
    x = ((x ^ (x >> 27)) * _SECOND) & _MASK
    return x ^ (x >> 31)


def stream_key(seed: int, stream: str) -> int:
    """The 64-bit key of a named stream under a seed."""
    key = mix((seed + _GOLDEN) & _MASK)
    for byte in stream.encode():
        key = mix((key ^ byte) + _GOLDEN & _MASK)
    return key


def draw(seed: int, stream: str, counters: NDArray[np.integer]) -> U64:
    """64 random bits for each counter of a stream, same shape as `counters`."""
    with np.errstate(over="ignore"):
        x = (counters.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN) + np.uint64(stream_key(seed, stream))
        x = (x ^ (x >> np.uint64(30))) * np.uint64(_FIRST)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(_SECOND)
        return x ^ (x >> np.uint64(31))


def below(bits: U64, limit: int | NDArray[np.integer]) -> I64:
    """Random bits to integers in [0, limit); `limit` is positive and below 2³², one for all or one for each."""
    high = bits >> np.uint64(32)
    return ((high * np.asarray(limit).astype(np.uint64)) >> np.uint64(32)).astype(np.int64)


def uniform(seed: int, stream: str, n: int, limit: int | NDArray[np.integer]) -> I64:
    """`n` integers in [0, limit) from a stream."""
    return below(draw(seed, stream, np.arange(n)), limit)


def permutation(seed: int, stream: str, n: int) -> I64:
    """A random order of 0 … n − 1."""
    return np.argsort(draw(seed, stream, np.arange(n)), kind="stable").astype(np.int64)


class Draws:
    """A stream read one draw at a time, for views that are built item by item."""

    def __init__(self, seed: int, stream: str) -> None:
        self._key = stream_key(seed, stream)
        self._counter = 0

    def bits(self) -> int:
        """The next 64 random bits."""
        self._counter += 1
        return mix((self._counter * _GOLDEN + self._key) & _MASK)

    def below(self, limit: int) -> int:
        """The next integer in [0, limit)."""
        assert 0 < limit < 1 << 32, limit
        return ((self.bits() >> 32) * limit) >> 32

    def choose(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order (Fisher and Yates)."""
        order = list(items)
        for i in range(len(order) - 1, 0, -1):
            j = self.below(i + 1)
            order[i], order[j] = order[j], order[i]
        return order
