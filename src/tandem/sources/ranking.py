"""Few texts, held in memory, ranked against a question: BM25 (Robertson and Zaragoza 2009), k1 1.2, b 0.75.

For cards, a page's or a question's passages, what several sources found. Words are those of the index on disk
(`passages.words`), so that a text is found by the same words everywhere. What this does not do: live on disk
(`passages:` does).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable

from tandem.sources.passages.words import Splitting, words

K1, B = 1.2, 0.75
PLAIN = Splitting()


class Ranking:
    """An index of texts by their words."""

    def __init__(self, texts: Iterable[str], splitting: Splitting = PLAIN) -> None:
        self._splitting = splitting
        self._where: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._lengths: list[int] = []
        for n, text in enumerate(texts):
            found = words(text, splitting)
            self._lengths.append(len(found))
            for word, often in Counter(found).items():
                self._where[word].append((n, often))
        self._mean = sum(self._lengths) / len(self._lengths) if self._lengths else 1.0

    def __len__(self) -> int:
        return len(self._lengths)

    def best(self, question: str, most: int) -> list[tuple[int, float]]:
        """Numbers and scores of the texts that share a word with a question, best first; equals stay in order."""
        scores: dict[int, float] = defaultdict(float)
        for word in dict.fromkeys(words(question, self._splitting)):
            if word not in self._where:
                continue
            where = self._where[word]
            rarity = math.log(1 + (len(self) - len(where) + 0.5) / (len(where) + 0.5))
            for n, often in where:
                norm = K1 * (1 - B + B * self._lengths[n] / (self._mean or 1.0))
                scores[n] += rarity * often * (K1 + 1) / (often + norm)
        return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[: max(0, most)]
