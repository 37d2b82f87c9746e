"""A seeded permutation of any range that needs no table: ask where index i goes, get the answer, nothing is stored.

A Feistel network over mixed radix: an index is a pair (left, right) with left < a, right < b, a ≈ b ≈ √n, and each
round adds a hash of one half to the other, modulo its size. a·b exceeds n by less than √n + 1, so walking the cycle
back into the range is rare. The binary form (halves of equal bits) was rejected: its range is up to four times n, and
every index then walks up to four times.

It does not hide anything: eight rounds of a multiply-and-shift hash shuffle well, they are not a cipher.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from typing import TypeAlias

import numpy as np
import xxhash
from numpy.typing import NDArray

_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_Permute: TypeAlias = Callable[[NDArray[np.uint64]], NDArray[np.uint64]]
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


class Order:
    """A permutation of 0 … n-1, a pure function of (n, seed, label).

    Args: `n` from 1 to 2**62; `seed` any integer; `label` keeps permutations of the same seed apart.
    """

    def __init__(self, n: int, seed: int, label: str = "", rounds: int = 8) -> None:
        assert 1 <= n <= 1 << 62, f"a range of {n}"
        self.n = n
        root = isqrt(n - 1) + 1
        self._left = np.uint64(root)
        self._right = np.uint64(-(-n // root))
        self._keys = [
            np.uint64(xxhash.xxh3_64_intdigest(f"{label}/{round}/{n}/{seed}".encode())) for round in range(rounds)
        ]

    def __call__(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where each index goes; int64 of the same shape."""
        return self._walk(index, self._forward)

    def inverse(self, place: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which index goes to each place: `inverse(order(i)) == i`."""
        return self._walk(place, self._backward)

    def _walk(self, index: NDArray[np.int64], permute: _Permute) -> NDArray[np.int64]:
        x = np.atleast_1d(np.asarray(index)).astype(np.uint64)
        assert x.size == 0 or int(x.max()) < self.n, "an index outside the range"
        y = permute(x)
        outside = np.flatnonzero(y >= self.n)
        while outside.size:
            y[outside] = permute(y[outside])
            outside = outside[y[outside] >= self.n]
        return y.astype(np.int64).reshape(np.shape(index))

    def _forward(self, x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = np.divmod(x, self._right)
        for round, key in enumerate(self._keys):
            if round % 2:
                right = (right + _hash(left, key) % self._right) % self._right
            else:
                left = (left + _hash(right, key) % self._left) % self._left
        return left * self._right + right

    def _backward(self, x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = np.divmod(x, self._right)
        for round, key in reversed(list(enumerate(self._keys))):
            if round % 2:
                right = (right + self._right - _hash(left, key) % self._right) % self._right
            else:
                left = (left + self._left - _hash(right, key) % self._left) % self._left
        return left * self._right + right


def _hash(x: NDArray[np.uint64], key: np.uint64) -> NDArray[np.uint64]:
    """64-bit finaliser (Stafford's mix 13, as in splitmix64), keyed by addition; wraps modulo 2**64."""
    x = x + key
    x = (x ^ (x >> _SHIFTS[0])) * _MULTIPLIERS[0]
    x = (x ^ (x >> _SHIFTS[1])) * _MULTIPLIERS[1]
    return x ^ (x >> _SHIFTS[2])
