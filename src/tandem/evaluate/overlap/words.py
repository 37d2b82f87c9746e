"""Words as texts are compared by: lower case, letters and digits only; and runs of them, hashed as arrays.

`words` says what a word is. `Text` does the same to bytes at memory's speed: punctuation becomes 0, a word's hash is a
polynomial over its bytes, a run's hash a polynomial over its words' (Karp and Rabin 1987), both modulo 2^64 with odd
factors, mixed in between. Equal runs have equal hashes; unequal ones by chance of 1 in 10^18 a pair, and `run` gives
the words themselves to make sure.

Rejected: splitting by a regular expression and hashing strings, a quarter of the speed.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

WORDS = 13
"""Words in a row that count as a find (Brown et al. 2020, appendix C)."""
COMMON = 10
"""Items that may share words in a row; beyond, they are an instruction that items share, and do not count."""

_WORD = re.compile(r"[^\W_]+")
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_WORD_BYTES = "abcdefghijklmnopqrstuvwxyz0123456789"
_PLAIN = bytes(b if b >= 0x80 else ord(c) if (c := chr(b).lower()) in _WORD_BYTES else 0 for b in range(256))
"""Every byte of a prepared text: itself within a word, 0 between words."""
_OF_BYTES, _OF_WORDS = 0x9E3779B97F4A7C15, 0xD1342543DE82EF95
_MIX = np.uint64(0xFF51AFD7ED558CCD)

Hashes = NDArray[np.uint64]


def words(text: str) -> list[str]:
    """The words of a text, as they are compared."""
    return _WORD.findall(text.casefold())


def prepared(text: str) -> bytes:
    """A text as bytes whose words are those of `words`: line ends stay, other letters' punctuation becomes blank."""
    if text.isascii():
        return text.encode()
    return _FOREIGN.sub(lambda run: _letters(run.group()), text.casefold()).encode("utf-8", "surrogatepass")


@cache
def _letter(character: str) -> str:
    return character if _WORD.match(character) else " "


def _letters(run: str) -> str:
    """Characters beyond ASCII without those that are in no word."""
    return "".join(map(_letter, run))


class Text:
    """Prepared bytes, cut into words."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        plain = np.frombuffer(data.translate(_PLAIN), dtype=np.uint8)
        inside = plain != 0
        begins = inside.copy()
        begins[1:] &= ~inside[:-1]
        self._plain = plain
        self.starts = np.flatnonzero(begins)
        """First byte of each word."""

    def hashes(self) -> Hashes:
        """Each word's hash."""
        if not len(self.starts):
            return np.empty(0, dtype=np.uint64)
        powers, inverse = _powers(_OF_BYTES, _size(len(self._plain)))
        # What lies between words is 0 and adds nothing, so a word's sum may run on to the next one.
        sums = np.add.reduceat(self._plain * powers[: len(self._plain)], self.starts)
        return _mixed(sums * inverse[self.starts])

    def runs(self, n: int) -> Hashes:
        """The hash of every n words in a row, by the number of its first word."""
        return runs(self.hashes(), n)

    def words(self, first: int, n: int) -> tuple[bytes, ...]:
        """Some words themselves."""
        if not n:
            return ()
        last = int(self.starts[first + n]) if first + n < len(self.starts) else len(self._plain)
        found = self._plain[int(self.starts[first]) : last].tobytes().split(b"\0")
        return tuple(word for word in found if word)


def runs(hashes: Hashes, n: int) -> Hashes:
    """The hash of every n hashes in a row."""
    if len(hashes) < n:
        return np.empty(0, dtype=np.uint64)
    powers, inverse = _powers(_OF_WORDS, _size(len(hashes)))
    sums = np.zeros(len(hashes) + 1, dtype=np.uint64)
    np.cumsum(hashes * powers[: len(hashes)], out=sums[1:])
    return _mixed((sums[n:] - sums[:-n]) * inverse[: len(hashes) - n + 1])


def _mixed(x: Hashes) -> Hashes:
    """Every bit of the result depends on every bit of x."""
    x ^= x >> np.uint64(32)
    x *= _MIX
    x ^= x >> np.uint64(29)
    return x


def _size(n: int) -> int:
    """The power of two that holds n."""
    return 1 << max(16, (n - 1).bit_length())


@cache
def _powers(factor: int, n: int) -> tuple[Hashes, Hashes]:
    """The first n powers of a factor and of its inverse, modulo 2^64."""
    made = []
    for each in (factor, pow(factor, -1, 1 << 64)):
        row = np.full(n, each, dtype=np.uint64)
        row[0] = 1
        made.append(np.multiply.accumulate(row))
    return made[0], made[1]
