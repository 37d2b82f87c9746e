"""`dataset`: the paragraphs that come with a question, gold and distractors alike, as a source of their own.

    source = Dataset()
    await source.about(question).look_up("When was the bridge built?", 3)

The upper bound of looking things up, or a reading task; not a way to be told the answer. What would tell the gold ones
from the others is hidden: their kind is never read; their order is shuffled by seed and question; their places are
numbers in that shuffled order. A title is shown, and counts when ranking, only if titles tell nothing: every paragraph
of the question has one, they are all different, and none is a placeholder that questions of the set share (a title
that stands for a paragraph of `Dataset`'s `placeholders`, such as "added").

Paragraphs are `question.context`; titles, where there are any, `meta["titles"]`, in the same order. What this does not
do: find out which are gold, or look beyond the question.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import xxhash

from tandem.errors import UserError
from tandem.sources.passages.words import Splitting
from tandem.sources.ranking import Ranking
from tandem.text import fingerprint
from tandem.types import Finding, Question, Result, Schema, Source

PLACEHOLDERS = frozenset(
    {"added", "distractor", "distractors", "negative", "none", "unknown", "title", "untitled", "n/a"}
)
"""Titles that stand for none, lower case: data sets mark added paragraphs with them."""


@dataclass(eq=False)
class Dataset:
    """The paragraphs of any question; has to be asked about one."""

    name: str = "dataset"
    """For traces and reports."""
    seed: int = 0
    """Of the order of the paragraphs."""
    splitting: Splitting = field(default_factory=lambda: Splitting(stem="english"))
    """How words are told apart when ranking."""
    placeholders: Collection[str] = PLACEHOLDERS
    """Titles that stand for none, lower case."""
    language: Literal["text", "sparql", "sql"] = "text"
    """Questions are plain text."""

    @property
    def identity(self) -> str:
        """How paragraphs are ordered and ranked; what they hold is their own (`Paragraphs.identity`)."""
        return fingerprint([self.seed, repr(self.splitting), sorted(self.placeholders)])

    def describe(self) -> Schema:
        """What it holds."""
        return Schema("The paragraphs that were given with a question: some hold what is asked for, others do not.")

    def about(self, question: Question) -> Source:
        """The paragraphs of one question. Raises UserError where it has none."""
        return Paragraphs(self, question)

    async def look_up(self, query: str, limit: int) -> Result:
        """Raises UserError: paragraphs belong to a question."""
        raise UserError("has paragraphs of questions only", where=self.name, remedy="ask about(question) first")


class Paragraphs:
    """The paragraphs of one question, ranked by BM25 among themselves; those that share no word come last."""

    language: Literal["text", "sparql", "sql"] = "text"

    def __init__(self, dataset: Dataset, question: Question) -> None:
        self.name = dataset.name
        if not question.context:
            remedy = "give it paragraphs (context), or ask another source"
            raise UserError("the question has no paragraphs", where=f"{self.name}: {question.id}", remedy=remedy)
        titles = _titles(question.meta, len(question.context), dataset)
        texts = [*zip(titles, question.context)]
        first = {text: i for i, text in reversed([*enumerate(texts)])}  # a paragraph given twice counts once
        texts = [texts[i] for i in sorted(first.values())]
        # By content, not by place: the order in the file does not shine through.
        self._held = sorted(texts, key=lambda text: _draw(dataset.seed, question, text))
        self._where = f"{self.name}:{question.id}"
        self._ranking = Ranking(("\n".join(filter(None, text)) for text in self._held), dataset.splitting)
        self.identity = fingerprint([dataset.seed, repr(dataset.splitting), [list(text) for text in self._held]])

    def describe(self) -> Schema:
        """How many there are, and their titles where these are shown."""
        titles = {title: "a paragraph" for title, _ in self._held if title}
        return Schema(f"{len(self._held)} paragraphs; not all of them bear on the question.", titles)

    def about(self, question: Question) -> Source:
        """Itself."""
        return self

    async def look_up(self, query: str, limit: int) -> Result:
        """The best paragraphs; all are among them if `limit` allows, since a model may want to read on."""
        if limit < 1:
            raise UserError(f"at most {limit} findings are none", where=self.name, remedy="ask for one at least")
        scores = dict(self._ranking.best(query, limit))
        numbers = [*scores, *(n for n in range(len(self._held)) if n not in scores)][:limit]
        found = (
            Finding(self._held[n][1], self._held[n][0], scores.get(n, 0.0), self.name, f"{self._where}#{n + 1}", query)
            for n in numbers
        )
        return Result(tuple(found), complete=True)


def _titles(meta: Mapping[str, Any], n: int, dataset: Dataset) -> list[str]:
    """The paragraphs' titles, or nothing for any of them where titles would tell them apart."""
    given = meta.get("titles")
    if not isinstance(given, list | tuple) or len(given) != n:
        return [""] * n
    titles = [" ".join(str(title).split()) for title in given]
    plain = [title.casefold() for title in titles]
    telling = len(set(plain)) < n or not all(plain) or any(title in dataset.placeholders for title in plain)
    return [""] * n if telling else titles


def _draw(seed: int, question: Question, text: tuple[str, str]) -> int:
    return xxhash.xxh3_64_intdigest("\0".join([str(seed), question.id, *text]).encode("utf-8", "surrogatepass"))
