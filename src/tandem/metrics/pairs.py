"""Predictions and what they are compared with: lists of the same length, one or several references each."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import TypeAlias

from tandem.errors import UserError

Texts: TypeAlias = str | Sequence[str]
"""A reference, or several of which any will do."""


def several(reference: Texts) -> Sequence[str]:
    """The references as a sequence. Raises UserError where there is none."""
    if isinstance(reference, str):
        return (reference,)
    if not reference:
        raise UserError("an item without a reference", remedy="give each at least one, or leave the item out")
    return reference


def check_lengths(**lists: Sized) -> int:
    """The common length of lists that belong together. Raises UserError where they differ, or are empty."""
    lengths = {name: len(each) for name, each in lists.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{n} {name}" for name, n in lengths.items())
        raise UserError(f"lists of different length: {told}", remedy="give one of each for every item, in one order")
    n = next(iter(lengths.values()))
    if not n:
        raise UserError(f"no {' and '.join(lengths)} to compare")
    return n
