"""Two files of items beside each other: which records are about the same item, and which were fixed or broken.

Records belong together when they have the same key; of several samples of one item the first with the first, and so
on. A record without a partner is neither fixed nor broken. No intervals and no tests here: `tandem compare` has those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tandem.view.items.index import Index, Snapshot


@dataclass(frozen=True)
class Pairs:
    """The rows of one file and their partners in the other."""

    partners: NDArray[np.int64]
    """For each row here the row there, -1 where there is none."""
    changes: dict[str, NDArray[np.bool_]]
    """Rows of each of `filter.CHANGES`."""
    only_there: int
    """Records of the other file without a partner here."""

    def count(self, change: str) -> int:
        """How many rows changed so."""
        return int(self.changes[change].sum())


def pairs(here: Index, known: Snapshot, there: Index, other: Snapshot) -> Pairs:
    """Partners and changes, kept with the index: the same two states are matched once."""
    question = ("pairs", id(there), known.n, other.n)
    if (before := here.remembered(question)) is not None and isinstance(before, Pairs):
        return before
    made = _compared(known, other)
    here.remembered(question, made)
    return made


def matched(here: NDArray[np.int64], there: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each key its place in the other array, the k-th of several with the k-th; -1 for 0 and where there is none.

    Keys are 64-bit hashes: two of 100,000 items collide once in four billion files.
    """
    mine, theirs = (np.argsort(keys, kind="stable") for keys in (here, there))
    ordered, others = here[mine], there[theirs]
    nth = np.arange(len(here)) - np.searchsorted(ordered, ordered)
    place = np.searchsorted(others, ordered) + nth
    fits = (place < np.searchsorted(others, ordered, "right")) & (ordered != 0)
    partners = np.full(len(here), -1, np.int64)
    partners[mine[fits]] = theirs[place[fits]]
    return partners


def _compared(known: Snapshot, other: Snapshot) -> Pairs:
    partners = matched(known.keys, other.keys)
    there_is = partners >= 0
    mine = known.verdicts
    their = np.full(known.n, -1, np.int8)
    their[there_is] = other.verdicts[partners[there_is]]
    both = (mine >= 0) & (their >= 0)
    changes = {
        "fixed": both & (mine > their),
        "broken": both & (mine < their),
        "right": both & (mine == 1) & (their == 1),
        "wrong": both & (mine == 0) & (their == 0),
        "differ": there_is & (mine != their),
        "only": ~there_is,
    }
    return Pairs(partners, changes, int(other.n - there_is.sum()))
