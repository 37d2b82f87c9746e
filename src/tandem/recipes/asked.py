"""What the stage of answers asks, and what it shows: questions of the world, demonstrations about others, documents.

All of it comes from the files of the world's stage. Asked are questions whose facts the documents mention, in wordings
that documents use. Demonstrations are worked from the world's facts, on entities that no asked question is about. A
document of a few sentences is one passage, and its line in `passages.jsonl` is its place.

What this does not do: ask. Rejected: one passage a sentence; who is meant is often told by the sentence before, and of
350 questions 59 % instead of 86 % had their answer in the first passage found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.reason.demonstrations import Demonstration, Worked
from tandem.sources.passages import About, Document, Origin, Passage, Settings, Splitting, Writer
from tandem.text import fingerprint
from tandem.types import Question
from tandem.world.templates import WORDINGS, sentence

Line = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Written:
    """The files of a world's stage, read."""

    facts: Mapping[str, Line]
    """By id."""
    names: Mapping[str, str]
    """Of entities, by id."""
    documents: Sequence[Line]
    """In the order of the file."""
    questions: Sequence[Line]
    """All of the file."""

    @staticmethod
    def of(
        facts: Iterable[Line], entities: Iterable[Line], documents: Sequence[Line], questions: Sequence[Line]
    ) -> Written:
        """From the lines of the four files."""
        return Written({f["id"]: f for f in facts}, {e["id"]: e["name"] for e in entities}, documents, questions)

    @cached_property
    def _by_id(self) -> Mapping[str, Line]:
        return {document["id"]: document for document in self.documents}

    @cached_property
    def _objects(self) -> Mapping[str, Counter[str]]:
        """How often each relation has each object, among the facts that hold."""
        counted: dict[str, Counter[str]] = {}
        for fact in self.facts.values():
            if fact["status"] == "current":
                counted.setdefault(fact["relation"], Counter())[fact["object"]] += 1
        return counted

    def asked(self, n: int, hops: Sequence[int], seed: int) -> list[Question]:
        """`n` questions, shared evenly among the numbers of hops. Raises UserError where the world has too few."""
        found: list[Question] = []
        for place, count in enumerate(hops):
            wanted = n // len(hops) + (place < n % len(hops))
            pool = [q for q in self.questions if q["meta"]["hops"] == count and _answerable(q)]
            if len(pool) < wanted:
                problem = f"the world has {len(pool)} such questions of {count} hops, and {wanted} are to be asked"
                raise UserError(problem, where="answers.questions", remedy="ask fewer, or raise world.facts")
            found += [_question(q) for q in _shuffled(pool, seed)[:wanted]]
        return found

    def demonstrations(self, asked: Sequence[Question], shots: int, seed: int) -> tuple[Demonstration, ...]:
        """Worked examples, relations and numbers of hops in turn, on no entity of an asked question.

        Raises UserError where the world has too few.
        """
        taken = {entity for question in asked for entity in self._entities(question.meta)}
        hops = sorted({int(question.meta["hops"]) for question in asked})
        pool = _shuffled([q for q in self.questions if _answerable(q) and not q["meta"]["contested"]], seed + 1)
        shown: list[Line] = []
        used: Counter[str] = Counter()
        while len(shown) < shots:
            due = hops[len(shown) % len(hops)]
            free = [q for q in pool if q["meta"]["hops"] == due and taken.isdisjoint(self._entities(q["meta"]))]
            if not free:
                break
            shown.append(min(free, key=lambda q: used[q["meta"]["relations"][-1]]))
            used[shown[-1]["meta"]["relations"][-1]] += 1
            taken |= self._entities(shown[-1]["meta"])
        if len(shown) < shots:
            problem = f"{shots} demonstrations about entities that no question is about; the world has {len(shown)}"
            raise UserError(problem, where="answers.shots", remedy="give fewer, ask fewer, or raise world.facts")
        return tuple(self._worked(q) for q in shown)

    def chance(self, question: Question) -> float:
        """How often an object drawn from the asked relation's facts is the answer."""
        fact = self.facts[question.meta["facts"][-1]]
        objects = self._objects[fact["relation"]]
        return objects[fact["object"]] / objects.total()

    def index(self, folder: Path, file: str) -> int:
        """Write an index of the documents; `file` is what their places name. Returns the passages."""
        documents = [
            Document(
                About(document["id"], document["title"], file),
                [Passage(document["text"], line, line)],
            )
            for line, document in enumerate(self.documents, 1)
        ]
        with Writer(folder, Settings(splitting=Splitting(stem="english"))) as writer:
            return writer.add(Origin(file, "world"), documents)

    # ── Pieces ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _entities(self, meta: Line) -> set[str]:
        facts = [self.facts[fact] for fact in meta["facts"]]
        return {entity for fact in facts for entity in (fact["subject"], fact["object"]) if entity in self.names}

    def _worked(self, q: Line) -> Demonstration:
        question = Question(q["id"], q["text"], (q["answers"][0],))
        return Demonstration(question, tuple(self._step(evidence) for evidence in q["meta"]["evidence"]))

    def _step(self, evidence: Line) -> Worked:
        fact = self.facts[evidence["fact"]]
        subject, wording = self.names[fact["subject"]], WORDINGS[fact["relation"]]
        head = re.fullmatch(r"The (.*\{s\}) (is|was) \{o\}\.", wording.plain)
        template = f"What {head[2]} the {head[1]}?" if head else wording.questions[-1]
        document = self._by_id[evidence["passages"][0]]
        passage = f"{document['title']}: {document['text']}"
        return Worked(evidence["text"], sentence(template, s=subject), passage, evidence["text"])


def _answerable(q: Line) -> bool:
    """Whether the documents mention all its facts, and it is worded as they are."""
    return not q["meta"]["template_held_out"] and min(q["meta"]["mentions"]) > 0


def _shuffled(questions: Sequence[Line], seed: int) -> list[Line]:
    return sorted(questions, key=lambda q: (fingerprint([seed, q["id"]]), q["id"]))


def _question(q: Line) -> Question:
    evidence = tuple(each["text"] for each in q["meta"]["evidence"])
    return Question(q["id"], q["text"], tuple(q["answers"]), context=evidence, meta=q["meta"])
