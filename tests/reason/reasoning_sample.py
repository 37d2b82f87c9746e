"""A question with hand-worked chains, models that say known things, and shelves that hold known findings."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from tandem.errors import SourceFailed
from tandem.lm.excerpt import readable
from tandem.lm.scripted import ABLE, Rule, Said, Scripted
from tandem.reason.chains import Asking
from tandem.reason.running import Record, one
from tandem.sandbox.rows import QueryError
from tandem.types import Finding, Question, Result, Schema

LAMP = Question("lamp", "In which town was the author of The Lamp of Orn born?", ("Karo", "Karo on Zell"))
WROTE, BRELL, KARO = (
    "The Lamp of Orn was written by Mira Tal.",
    "Mira Tal was born in Brell.",
    "Mira Tal was born in Karo.",
)
CLAIM = Question(
    "claim",
    "Mira Tal was born in Brell.",
    ("REFUTES",),
    ("SUPPORTS", "REFUTES", "NOT ENOUGH INFO"),
    (),
    {"answer": "label"},
)
CHOICE = Question("choice", "Where was Mira Tal born?", ("B",), ("In Brell", "In Karo", "In Tolk"))


def chain(*steps: str, answer: str | None = None) -> str:
    """What a model writes after `Steps:\\n1.`"""
    written = " " + "\n".join(f"{n}. {text}" for n, text in enumerate(steps, 1)).removeprefix("1. ")
    return written if answer is None else f"{written}\nAnswer: {answer}"


def ends(end: str, *answers: str | Said, **how) -> Rule:
    """What to say to prompts with this end."""
    return Rule(answers, matches=re.escape(end) + r"\Z", **how)


def holds(*parts: str, said: str | Said | Sequence[str | Said], **how) -> Rule:
    """What to say to prompts that hold all of these texts."""
    return Rule((said,) if isinstance(said, str | Said) else tuple(said), contains=parts, **how)


def sampled(*chains: str | Said, **how) -> Rule:
    """The chains of a question, by sample."""
    return ends("\nSteps:\n1.", *chains, **how)


def model(*rules: Rule, **lacking) -> Scripted:
    """A model that follows these rules; `lacking` changes its abilities."""
    from dataclasses import replace

    return Scripted(rules, abilities=replace(ABLE, **lacking))


class Shelf:
    """A source that holds findings by what a query contains, fails where it is told to, and keeps what it was asked."""

    def __init__(self, holds=None, *, name="shelf", language="text", fails="", refuses=()):
        self.name, self.language = name, language
        self._holds, self._fails, self._refuses = holds or {}, fails, refuses
        self.asked: list[str] = []

    def describe(self):
        return Schema("People and towns.", {"born": "person, town"})

    def about(self, question):
        return self

    async def look_up(self, query, limit):
        self.asked.append(query)
        if self._fails:
            raise SourceFailed("is down", kind=self._fails, where=self.name)
        if query in self._refuses:
            raise QueryError("no such column: town", where=self.name)
        found = [
            Finding(text, title="", place=f"shelf.txt:{n}")
            for n, (part, text) in enumerate(self._holds.items(), 1)
            if part.lower() in query.lower()
        ]
        return Result(tuple(found[:limit]), True)


def answered(method, question: Question, lm, sources=(), **settings) -> Record:
    """One question answered by one method, traced."""
    from functools import partial

    settings.setdefault("asking", Asking())
    return asyncio.run(one(question, partial(method, **settings), lm, sources))


def prompts(lm: Scripted) -> list[str]:
    """What a model was asked, in order."""
    return [readable(prompt) for prompt, _, _ in lm.calls]


def named(record: Record, name: str) -> list:
    """The facts of all steps with a name."""
    return [step.facts for step in record.trace.walk() if step.name == name]
