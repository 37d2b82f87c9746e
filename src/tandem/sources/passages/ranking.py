"""BM25 (Robertson and Zaragoza 2009) over several segments as over one: statistics are those of all that is held.

    score = Σ over the query's different words   idf · (k1 + 1) · tf / (tf + k1 · (1 − b + b · length / mean length))
    idf   = ln(1 + (N − n + ½) / (n + ½))        never negative

Words are taken from the rarest on. Once no passage that lacks all words so far can still come among the best (the sum
of the other words' highest scores is below the lowest of the best), the others are looked up only for passages that
can (MaxScore, Turtle and Flood 1995): the long lists are not read. The result is exact, and the sums have one order, so
that scores do not depend on how passages lie in segments. Rejected: scores computed when indexing, as bm25s has
them: every addition would change all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tandem.sources.passages.postings import Postings

F32 = NDArray[np.float32]
_WORTH = 4
"""A list this many times as long as the passages found so far is worth computing what must be beaten."""
_ROUNDED = 0.99999
"""Sums are rounded: what comes this near to the lowest of the best is computed to its end."""


@dataclass
class Part:
    """One segment as it is searched."""

    postings: Postings
    """Its words."""
    frequency: NDArray[Any] | None = None
    """Passages that hold each word, without those that are gone; None where none is."""
    gone: NDArray[np.bool_] | None = None
    """Which passages are gone."""
    norm: F32 | None = None
    """k1 · (1 − b + b · length / mean length) of each passage; infinite where it is gone."""

    def holding(self, place: int) -> int:
        """Passages that hold a word."""
        if self.frequency is not None:
            return int(self.frequency[place])
        starts = self.postings.starts
        return int(starts[place + 1]) - int(starts[place])


class Ranking:
    """Searches segments; safe for many threads at a time."""

    def __init__(self, parts: Sequence[Part], k1: float, b: float) -> None:
        self.parts, self.k1 = parts, k1
        n = total = 0
        shortest = 1 << 32
        for part in parts:
            lengths = part.postings.lengths if part.gone is None else part.postings.lengths[~part.gone]
            n += len(lengths)
            total += int(lengths.sum(dtype=np.int64))
            shortest = min(shortest, int(lengths.min())) if len(lengths) else shortest
        self.passages = n
        """How many there are."""
        self.mean = total / n if n and total else 1.0
        """Mean number of words."""
        for part in parts:
            norm = (k1 * (1 - b + b * (part.postings.lengths / self.mean))).astype(np.float32)
            if part.gone is not None:
                norm[part.gone] = np.inf
            part.norm = norm
        self._least = k1 * (1 - b + b * shortest / self.mean)
        self._spare: list[dict[int, F32]] = []

    def best(self, query: Sequence[str], most: int) -> list[tuple[float, int, int]]:
        """The best passages for a query's words: score, segment, passage; best first, equals in the order held."""
        plan = self._plan(query)
        if not plan or most < 1:
            return []
        scratch = self._spare.pop() if self._spare else {}
        found: list[tuple[float, int, int]] = []
        for number in range(len(self.parts)):
            beaten = found[most - 1][0] if len(found) >= most else 0.0
            numbers, scores = self._part(number, plan, most, beaten, scratch)
            found += [(score, number, passage) for score, passage in zip(scores.tolist(), numbers.tolist())]
            found.sort(key=lambda hit: (-hit[0], hit[1], hit[2]))
            del found[most:]
        self._spare.append(scratch)
        return found

    def _plan(self, query: Sequence[str]) -> list[tuple[float, float, list[int]]]:
        """Per word of the query, rarest first: idf · (k1 + 1), highest score, place in each segment."""
        plan = []
        for word in dict.fromkeys(query):
            places = [part.postings.place(word) for part in self.parts]
            held = sum(part.holding(place) for part, place in zip(self.parts, places) if place >= 0)
            if held:
                weight = math.log(1 + (self.passages - held + 0.5) / (held + 0.5)) * (self.k1 + 1)
                often = max(int(p.postings.most[place]) for p, place in zip(self.parts, places) if place >= 0)
                plan.append((held, word, weight, weight * often / (often + self._least), places))
        plan.sort(key=lambda entry: entry[:2])
        return [entry[2:] for entry in plan]

    def _part(
        self, number: int, plan: list[tuple[float, float, list[int]]], most: int, beaten: float, scratch: dict[int, F32]
    ) -> tuple[NDArray[np.uint32], F32]:
        """Passages of a segment that can be among the best, with their scores; some others, too."""
        part = self.parts[number]
        norm, postings = part.norm, part.postings
        assert norm is not None
        if number not in scratch:
            scratch[number] = np.zeros(len(norm), np.float32)
        sums = scratch[number]
        # What the words from each on can add at most.
        rest = np.cumsum([entry[1] for entry in reversed(plan)])[::-1]
        touched: list[NDArray[np.uint32]] = []
        reached = 0
        step = 0
        for step, (weight, _, places) in enumerate(plan):
            if places[number] < 0:
                continue
            passages, often = postings.pairs(places[number])
            if reached >= most and len(passages) > _WORTH * reached:
                beaten = max(beaten, _nth(sums[np.concatenate(touched)], most))
            if rest[step] < beaten * _ROUNDED:
                break
            before = sums[passages]
            new = passages[before == 0]
            sums[passages] = before + _scores(weight, often, norm[passages])
            touched.append(new)
            reached += len(new)
        else:
            step += 1
        numbers = np.concatenate(touched) if touched else np.zeros(0, np.uint32)
        scores = sums[numbers]
        sums[numbers] = 0
        for later in range(step, len(plan)):
            weight, _, places = plan[later]
            fit = scores + np.float32(rest[later]) >= beaten * _ROUNDED
            numbers, scores = numbers[fit], scores[fit]
            if places[number] < 0 or not len(numbers):
                continue
            passages, often = postings.pairs(places[number])
            at = np.minimum(np.searchsorted(passages, numbers), len(passages) - 1)
            hit = passages[at] == numbers
            scores[hit] += _scores(weight, often[at[hit]], norm[numbers[hit]])
            if len(scores) >= most:
                beaten = max(beaten, _nth(scores, most))
        if len(scores) > most:
            fit = scores >= _nth(scores, most)
            numbers, scores = numbers[fit], scores[fit]
        real = scores > 0
        return numbers[real], scores[real]


def _scores(weight: float, often: NDArray[Any], norm: F32) -> F32:
    times = often.astype(np.float32)
    return np.float32(weight) * times / (times + norm)


def _nth(scores: F32, n: int) -> float:
    """The n-th largest."""
    return float(np.partition(scores, len(scores) - n)[len(scores) - n])
