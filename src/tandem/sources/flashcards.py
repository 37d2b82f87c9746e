"""Flashcards: the card whose question is nearest gives its answer, with the line it stands on.

    source = Flashcards("cards.jsonl")       # {"front": …, "back": …} or {"question": …, "answer": …} a line

Nearness is BM25 over the questions alone, so that a query may be a question or the answer one expects in other words.
What this does not do: change the cards, or keep an index on disk: a hundred thousand cards are read in seconds.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from pathlib import Path
from typing import Any, Literal

from tandem.errors import UserError
from tandem.sources.ranking import Ranking
from tandem.types import Finding, Question, Result, Schema, Source

FIELDS = (("front", "back"), ("question", "answer"), ("input", "output"))
"""Names of the fields that hold question and answer, in the order they are looked for."""


class Flashcards:
    """See the top of this module."""

    language: Literal["text", "sparql", "sql"] = "text"

    def __init__(self, path: str | Path, *, name: str = "") -> None:
        """Read a file of cards. Raises UserError that names the line of a card that is none."""
        self.path = Path(path)
        self.name = name or f"flashcards:{self.path.name}"
        data = _read(self.path)
        self.identity = hashlib.sha256(data).hexdigest()
        """Hash of the file."""
        cards = [_card(line, f"{path}:{n}") for n, line in enumerate(io.BytesIO(data), 1) if line.strip()]
        lines = [n for n, line in enumerate(io.BytesIO(data), 1) if line.strip()]
        if not cards:
            raise UserError("holds no cards", where=str(path), remedy=_REMEDY)
        self._cards = [(n, *card) for n, card in zip(lines, cards, strict=True)]
        self._ranking = Ranking(front for front, _ in cards)

    def __len__(self) -> int:
        return len(self._cards)

    def describe(self) -> Schema:
        """How many cards there are, and a few of their questions."""
        step = max(1, len(self) // 3)
        shown = {f"card {n}": front[:200] for n, front, _ in self._cards[::step][:3]}
        return Schema(f"{len(self):,} flashcards; a query is a question in plain words, like theirs.", shown)

    def about(self, question: Question) -> Source:
        """Itself: it is the same for all."""
        return self

    async def look_up(self, query: str, limit: int) -> Result:
        """The answers of the cards whose questions are nearest, none where no word is shared."""
        found = []
        for number, score in self._ranking.best(query, limit):
            line, front, back = self._cards[number]
            found.append(Finding(back, front, score, self.name, f"{self.path}:{line}", query))
        return Result(tuple(found), True)


_REMEDY = 'write a line like {"front": "What is …?", "back": "It is …"} for each card'


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as e:
        problem = getattr(e, "strerror", None) or str(e)
        raise UserError(f"cannot be read ({problem})", where=str(path), remedy="name a JSONL file of cards") from e


def _card(line: bytes, where: str) -> tuple[str, str]:
    try:
        told: Any = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as e:
        raise UserError(f"is no JSON ({e})", where=where, remedy=_REMEDY) from e
    for front, back in FIELDS:
        if isinstance(told, dict) and front in told and back in told:
            question, answer = told[front], told[back]
            if isinstance(question, str) and isinstance(answer, str) and question.strip() and answer.strip():
                return question, answer
            raise UserError(f"{front} and {back} have to be texts with something in them", where=where, remedy=_REMEDY)
    raise UserError("is no card: it has no question and answer", where=where, remedy=_REMEDY)
