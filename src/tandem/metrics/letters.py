"""The letter of a choice in what a model wrote, and how often none could be read.

Looked for in this order; what is found first counts:

1. a letter and nothing else: `B`, `(b)`, `**B.**`
2. after a cue, the last one counts, since models change their minds: `the answer is (B)`, `Answer: B`, `\\boxed{B}`
3. at the beginning, set apart: `B) Paris`, `(B) Paris`, `B. Paris`, `B` and a line's end
4. in brackets, or alone as a capital, anywhere, if all that is found is the same letter; `A` and `I` alone are words,
   an `A` among letters (`A but not B`) is none

A letter beyond the choices there are is none. Where several are left, as in `the answer is B or C`, none is
taken. What this does not do: match the text of a choice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tandem.errors import UserError
from tandem.metrics.pairs import check_lengths

MOST = 26
"""Choices there may be."""
Reading: TypeAlias = Literal["read", "none", "several", "beyond"]
"""What became of a text: a letter was read, there is none, there are several, it is beyond the choices."""
READINGS: tuple[Reading, ...] = ("read", "none", "several", "beyond")

_ALONE = re.compile(r"[\W_]*([A-Za-z])[\W_]*")
_CUE = re.compile(
    r"(?:(?i:\banswer(?:\s+(?:is|would be|must be|should be)\b|\s*\**\s*[:=])|\b(?:option|choice)\b(?:\s+is\b)?)"
    r"[\s:=*_\-]*(?i:(?:option|choice)\s+)?|\\boxed\s*)"
    r"(?:\\text)?[({\[*_\"'`$\s]*([A-Z])(?![A-Za-z0-9'’])(?:[)\]\s*]*(?:or|and|/|,|&)[(\[\s*]*([A-Z])(?![A-Za-z0-9'’]))?"
)
_FRONT = re.compile(r"[\s*_]*(?:[(\[{]([A-Za-z])[)\]}]|([A-Z])(?:[.):\]*]|\s*(?:\n|$)|\s+[-–—]\s))")
_BRACKETS = re.compile(r"[(\[]([A-Z])[)\]]")
_LISTED_A = re.compile(
    r"(?<![A-Za-z0-9'’.\-])(?:A(?=\s*(?:[,/&]\s*(?:[B-Z]\b|or\b|and\b)|(?:or|and|but|nor)\b))"
    r"|(?:(?i:or|and|either|both|neither|nor|not)|[B-Z]\s*[,/&])\s+A(?=\W*\Z|\s*[.,;:)\]]))"
)
"""An A that is one of several letters, as in `A but not B`, `C or A`."""
_CAPITAL = re.compile(r"(?<![A-Za-z0-9'’.\-])([B-HJ-Z])(?![A-Za-z0-9'’\-])")


def read_letter(written: str, choices: int = MOST) -> tuple[str, Reading]:
    """The letter (a capital; empty where none counts) and what became of the text. Choices are A, B, …, so many."""
    if not 1 <= choices <= MOST:
        raise UserError(f"{choices} choices have no letters", remedy=f"give 1 to {MOST}")
    found = _find(written)
    if len(found) != 1:
        return "", "several" if found else "none"
    letter = found.pop()
    return (letter, "read") if ord(letter) - ord("A") < choices else ("", "beyond")


def _find(written: str) -> set[str]:
    if alone := _ALONE.fullmatch(written):
        return {alone[1].upper()}
    if cues := _CUE.findall(written):
        return {letter for letter in cues[-1] if letter}
    if front := _FRONT.match(written):
        return {(front[1] or front[2]).upper()}
    listed = {"A"} if _LISTED_A.search(written) else set[str]()
    return set(_BRACKETS.findall(written)) or listed.union(_CAPITAL.findall(written))


@dataclass(frozen=True)
class LetterScores:
    """What was read, one of each for an item."""

    letters: tuple[str, ...]
    """Letters read; empty where none counts."""
    readings: tuple[Reading, ...]
    """What became of the texts."""
    right: NDArray[np.float64]
    """1 where the letter read is the right one."""


def score_letters(predictions: Sequence[str], references: Sequence[str], choices: Sequence[int] | int) -> LetterScores:
    """Read and compare letters; where none could be read the item is wrong.

    Raises UserError on lists of different length and on a right letter beyond the choices.
    """
    n = check_lengths(predictions=predictions, references=references)
    each = [choices] * n if isinstance(choices, int) else list(choices)
    check_lengths(predictions=predictions, choices=each)
    read = [read_letter(text, most) for text, most in zip(predictions, each, strict=True)]
    for reference, most in zip(references, each, strict=True):
        if len(reference) != 1 or not 0 <= ord(reference) - ord("A") < most:
            raise UserError(f"{reference!r} is the letter of none of {most} choices", remedy="give A, B, …")
    right = [letter == reference for (letter, _), reference in zip(read, references, strict=True)]
    return LetterScores(tuple(x for x, _ in read), tuple(x for _, x in read), np.array(right, dtype=np.float64))
