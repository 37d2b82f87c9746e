"""What a judge's answer says: a preference out of log-probabilities, a letter, a ranked list; a grade; a verdict.

What this does not do: guess. An answer that is off its form is None, and whoever asked counts it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

Winner: TypeAlias = Literal["A", "B", "tie"]

_LETTER = re.compile(r"[\W_]*([mM])\b")
_LIST = re.compile(r"\[.*?\]", re.DOTALL)
_NUMBER = r"\s*(\d+(?:\.\d+)?)\s*"
_DOUBLE = re.compile(rf"\[\[{_NUMBER}\]\]")
_SINGLE = re.compile(rf"\[{_NUMBER}\]")
_VERDICT = re.compile(r"\[\[\s*(A|B|C|tie)\s*\]\]", re.IGNORECASE)
LEAST, MOST = 1.0, 10.0
"""The ends of the scale of grades."""


def from_logprobs(first: float | None, second: float | None) -> float | None:
    """The preference out of the log-probabilities of both names: 2 − p(first); a name that is missing counts 0."""
    a, b = (-math.inf if lp is None else lp for lp in (first, second))
    if (top := max(a, b)) == -math.inf:
        return None
    p, q = math.exp(a - top), math.exp(b - top)
    return 2 - p / (p + q)


def from_letter(text: str) -> float | None:
    """1 for an answer that begins with m, 2 for one that begins with M, as a word of its own."""
    found = _LETTER.match(text)
    return None if found is None else 1.0 if found[1] == "m" else 2.0


def from_ranks(text: str, names: Sequence[str]) -> float | None:
    """1 or 2 out of a JSON list of {model, rank}, with whatever around it; None unless it ranks both, and apart."""
    for found in _LIST.finditer(text):
        try:
            rows = json.loads(found[0])
        except (ValueError, RecursionError):
            continue
        ranks = {row.get("model"): row.get("rank") for row in rows if isinstance(row, dict)}
        first, second = (ranks.get(name) for name in names)
        if len(rows) == 2 and {first, second} == {1, 2}:
            return 1.0 if first == 1 else 2.0
    return None


def grade(text: str) -> float | None:
    """The first number in double brackets, else the first in single ones; None where it is not on the scale."""
    found = _DOUBLE.search(text) or _SINGLE.search(text)
    value = float(found[1]) if found else math.nan
    return value if LEAST <= value <= MOST else None


def verdict(text: str) -> Winner | None:
    """A, B or tie in double brackets (C is a tie); None where there is none, or two that differ."""
    named = {found.upper() for found in _VERDICT.findall(text)}
    settled: set[Winner] = {"A" if one == "A" else "B" if one == "B" else "tie" for one in named}
    return settled.pop() if len(settled) == 1 else None


def recorded_logprobs(completion: Any) -> tuple[float | None, float | None] | None:
    """Log-probabilities of m and M among the likeliest first tokens of a recorded chat completion; None without them.

    Of the same token twice the likelier counts.
    """
    try:
        (first, *_) = completion["logprobs"]["content"]
        pairs = [(str(one["token"]), float(one["logprob"])) for one in first["top_logprobs"]]
    except (KeyError, TypeError, ValueError):
        return None
    best: Mapping[str, float] = {token: max(lp for t, lp in pairs if t == token) for token, _ in pairs}
    return best.get("m"), best.get("M")
