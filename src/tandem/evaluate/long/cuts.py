"""A text cut to what fits, by a named policy, a word at a time.

    lead        its beginning stays
    tail        its end stays
    middle-out  half of what fits of each; a mark stands where the middle was

What this does not do: choose what matters. Nothing is cut unasked, and whoever cuts tells how much.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable
from dataclasses import dataclass

POLICIES = ("lead", "tail", "middle-out")
MARK = "\n[…]\n"
_WORD = re.compile(r"\s*\S+")


@dataclass(frozen=True)
class Cut:
    """A text as it is shown."""

    text: str
    """What stays."""
    kept: int
    """Its words."""
    words: int
    """Words of the whole."""

    @property
    def short(self) -> bool:
        """Whether something was cut."""
        return self.kept < self.words

    @property
    def share(self) -> float:
        """Of the words that stay."""
        return self.kept / self.words if self.words else 1.0


def cut(text: str, policy: str, fits: Callable[[str], bool]) -> Cut | None:
    """As much of a text as fits; None where not even one word does."""
    assert policy in POLICIES, policy
    words = _WORD.findall(text)
    if fits(text):
        return Cut(text, len(words), len(words))
    # The largest number of words that fits: one less than the first that does not.
    kept = bisect.bisect_left(range(1, len(words)), True, key=lambda n: not fits(part(words, n, policy)))
    return Cut(part(words, kept, policy), kept, len(words)) if kept else None


def part(words: list[str], n: int, policy: str) -> str:
    """`n` of the words; all of them are the text."""
    if n >= len(words):
        return "".join(words)
    if policy == "lead":
        return "".join(words[:n])
    if policy == "tail":
        return "".join(words[len(words) - n :]).lstrip()
    head = (n + 1) // 2
    return "".join(words[:head]) + MARK + "".join(words[len(words) - (n - head) :]).lstrip()
