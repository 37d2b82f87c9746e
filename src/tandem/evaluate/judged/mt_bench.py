"""MT-bench's files: eighty conversations of two questions each, and a model's answers to them.

    questions      question_id, category, turns; gpt4_reference_answer and reference may be there
    answers        question_id and answers, or the usual tool's choices with turns

Temperatures go by category, as published; math, reasoning and coding are judged with a reference where there is one.
What this does not do: ask anything (`mt_asking`) or read grades (`mt_grades`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tandem.errors import UserError
from tandem.evaluate.judged import files
from tandem.evaluate.judged.asking import Lost
from tandem.evaluate.row import Row
from tandem.runs import file_hash

QUESTIONS = "mt_bench_questions"
"""Usual name of the file of questions."""
FORM = (
    "a row has the fields question_id, category and turns (two questions); gpt4_reference_answer or reference (two "
    "answers, or null) may be there"
)
ANSWERS = "a row has the fields question_id and answers (two texts), or choices with turns; model_id may be there"
TEMPERATURES: Mapping[str, float] = {
    "writing": 0.7,
    "roleplay": 0.7,
    "stem": 0.1,
    "humanities": 0.1,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "extraction": 0.0,
}
"""How the model answers, by category."""
OTHER = 0.7
"""The temperature of a category of the user's own."""
REFERENCED = ("math", "reasoning", "coding")
"""Categories that are judged with a reference."""
TURNS = 2


@dataclass(frozen=True)
class Conversation:
    """Two questions in a row."""

    id: str
    """Unique."""
    category: str
    """What they are about."""
    turns: tuple[str, ...]
    """The questions."""
    references: tuple[str, ...]
    """Reference answers to both; none where there are none."""

    def shown(self, turn: int) -> tuple[str, ...]:
        """The references a judge sees for a turn (from 1)."""
        return self.references[:turn] if self.category in REFERENCED else ()


@dataclass(frozen=True)
class Bench:
    """The questions."""

    questions: tuple[Conversation, ...]
    """In the file's order."""
    file: str
    """Its name, for people; no path."""
    sha256: str
    """Of its bytes."""


@dataclass(frozen=True)
class Answers:
    """What one model answers."""

    model: str
    """Who."""
    texts: Mapping[str, tuple[str, ...]]
    """Question → its answers, as many as there are."""
    lost: Mapping[str, Lost]
    """Question → why an answer is missing."""
    finishes: Mapping[str, tuple[str, ...]]
    """Question → how its answers ended, where the model was asked."""
    file: str = ""
    """Where they were read; empty where the model was asked."""
    sha256: str = ""
    """Of the file's bytes."""


def load(data: Sequence[Path], *, limit: int | None = None) -> Bench:
    """The questions out of a folder of data. Raises UserError on a row that does not fit, on an id that comes twice."""
    if limit is not None and limit < 1:
        raise UserError(f"is {limit}", where="--limit", remedy="give at least 1")
    file = files.find(data, "mt_bench", QUESTIONS, FORM)
    found: dict[str, Conversation] = {}
    for row in files.read(file, FORM):
        one = Conversation(identity(row), row.text("category"), _two(row, "turns"), _references(row))
        if one.id in found:
            raise row.error(f"the question {one.id} stands there already")
        found[one.id] = one
    return Bench(tuple(found.values())[:limit], file.name, file_hash(file))


def answers(file: Path, bench: Bench) -> Answers:
    """A model's answers out of a file. Raises UserError on a question that is unknown, twice there, or missing."""
    known = {one.id for one in bench.questions}
    rows = [*files.read(file, ANSWERS)]
    texts: dict[str, tuple[str, ...]] = {}
    for row in rows:
        if (id := identity(row)) in texts:
            raise row.error(f"the question {id} stands there already")
        if row.has("choices") and not row.has("answers"):
            _, choices = row.field("choices")
            first = choices[0] if isinstance(choices, list) and choices else None
            if not isinstance(first, dict):
                raise row.error(f"choices is {choices!r:.60}, not a list of objects with turns")
            row = Row(row.where, row.number, {"question_id": id, "answers": first.get("turns")}, row.form)
        texts[id] = _two(row, "answers")
    if lacking := [one for one in bench.questions if one.id not in texts]:
        problem = f"has no answer to question {lacking[0].id} ({len(lacking)} of {len(known)} are missing)"
        raise UserError(problem, where=str(file), remedy="give two answers to each question, or a --limit")
    name = files.same(rows, "model_id") or file.name.partition(".")[0]
    return Answers(name, {id: texts[id] for id in texts if id in known}, {}, {}, file.name, file_hash(file))


def identity(row: Row) -> str:
    """The question's id, a number or a name."""
    _, value = row.field("question_id")
    if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).strip():
        raise row.error(f"question_id is {value!r:.60}, not a number or a name")
    return str(value)


def _two(row: Row, name: str) -> tuple[str, ...]:
    """A field with one text for each turn."""
    _, value = row.field(name)
    if not isinstance(value, list) or len(value) != TURNS or not all(isinstance(one, str) for one in value):
        raise row.error(f"{name} is {value!r:.60}, not a list of two texts")
    return tuple(value)


def _references(row: Row) -> tuple[str, ...]:
    """The reference answers: GPT-4's, else short ones; none where neither is there for both turns."""
    for name in ("gpt4_reference_answer", "reference"):
        value = row.fields.get(name)
        if isinstance(value, list) and len(value) == TURNS and all(isinstance(one, str) and one for one in value):
            return tuple(value)
    return ()
