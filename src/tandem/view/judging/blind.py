"""Which items are judged, in which order, and which system stands on which side: from a seed and a name, nothing else.

Everybody judges the same items, each in an order and with sides of their own, so that neither tiredness nor a liking
for one side favours a system. For everybody half of the items have the first system on the left. No state is kept: the
same seed and name give the same again. What this does not do: hide a system whose answers give it away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tandem.text import fingerprint
from tandem.view.judging.pairs import Pair


@dataclass(frozen=True)
class Sheet:
    """What one annotator gets."""

    annotator: str
    """Who."""
    ids: tuple[str, ...]
    """Items in order; the page calls them 1, 2, …"""
    left: Mapping[str, int]
    """Item → which system stands on the left, 0 or 1."""


def chosen(pairs: Sequence[Pair], items: int | None, seed: int) -> tuple[Pair, ...]:
    """So many of the pairs, drawn by the seed; all of them where `items` is None. More items hold the fewer ones."""
    return tuple(sorted(pairs, key=lambda pair: fingerprint(["item", seed, pair.id]))[:items])


def sheet(ids: Iterable[str], annotator: str, seed: int) -> Sheet:
    """The order and the sides of an annotator."""
    every = sorted(ids)

    def shuffled(what: str) -> list[str]:
        return sorted(every, key=lambda id: fingerprint([what, seed, annotator, id]))

    odd = int(fingerprint(["odd", seed, annotator]), 16) % 2
    half = (len(every) + odd) // 2
    left = {id: 0 if place < half else 1 for place, id in enumerate(shuffled("side"))}
    return Sheet(annotator, tuple(shuffled("order")), left)
