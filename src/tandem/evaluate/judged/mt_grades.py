"""What judges say of MT-bench's answers: a grade for each, or a verdict against another model's in both orders.

A win needs both orders to agree; whatever else they say is a tie. What cannot be read has no grade and no winner; it is
counted, and in no figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from tandem.evaluate.judged import files, reading
from tandem.evaluate.judged.mt_bench import TURNS, Answers, Bench, Conversation, identity
from tandem.evaluate.judged.pair import MISSING, Outcome
from tandem.runs import file_hash

GRADES = "a row has the fields question_id, turn (1 or 2) and score; judgment, model and judge_name may be there"
Winner: TypeAlias = Literal["model", "other", "tie"]


@dataclass(frozen=True)
class Grade:
    """One answer's grade."""

    question: Conversation
    """What was asked."""
    turn: int
    """1 or 2."""
    score: float | None
    """From 1 to 10; None where there is none."""
    outcome: Outcome
    """What became of it; `preferred` is a grade that was read."""
    text: str
    """What the judge wrote, or why there is nothing."""
    answer: str = ""
    """What was graded."""


@dataclass(frozen=True)
class Verdict:
    """One answer against another's, in both orders."""

    question: Conversation
    """What was asked."""
    turn: int
    """1 or 2."""
    winners: tuple[Winner | None, Winner | None]
    """With the model shown first, and second; None where there is no verdict."""
    outcomes: tuple[Outcome, Outcome]
    """What became of both."""
    texts: tuple[str, str]
    """What the judge wrote, or why there is nothing."""
    answers: tuple[str, str]
    """The model's and the other's."""

    @property
    def winner(self) -> Winner | None:
        """Who wins: both orders have to agree, else it is a tie; None where one of them has no verdict."""
        first, second = self.winners
        return None if first is None or second is None else first if first == second else "tie"


@dataclass(frozen=True)
class Graded:
    """All grades of a model."""

    model: str
    """Who was measured."""
    judge: str
    """Who judged."""
    grades: tuple[Grade, ...]
    """By question and turn."""
    answers: Answers | None = None
    """What was graded, where it is there."""
    file: str = ""
    """Where they were read; empty where a judge was asked."""
    sha256: str = ""
    """Of the file's bytes."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left that another run could mend."""
        return not any(grade.outcome in MISSING for grade in self.grades)


@dataclass(frozen=True)
class Compared:
    """All verdicts on a model."""

    model: str
    """Who was measured."""
    other: str
    """Against whom."""
    judge: str
    """Who judged."""
    verdicts: tuple[Verdict, ...]
    """By question and turn."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left that another run could mend."""
        return not any(outcome in MISSING for verdict in self.verdicts for outcome in verdict.outcomes)


def on_record(file: Path, bench: Bench) -> Graded:
    """Grades on record, one for each turn. Raises UserError on several models in a file, and on a score off the scale.

    A score of −1 or null is one that could not be read. Turns without a row are missing.
    """
    rows = [*files.read(file, GRADES)]
    found: dict[tuple[str, int], Grade] = {}
    known = {one.id: one for one in bench.questions}
    for row in rows:
        id, turn, (_, score) = identity(row), 1 + row.index(TURNS, "turn", first=1), row.field("score")
        if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
            raise row.error(f"score is {score!r:.60}, not a number")
        if score is not None and score != -1 and not reading.LEAST <= score <= reading.MOST:
            raise row.error(f"score is {score:g}, which is not on the scale of 1 to 10")
        if (id, turn) in found:
            raise row.error(f"turn {turn} of question {id} stands there already")
        if id in known:
            value = None if score in (None, -1) else float(score)
            outcome = files.outcome_of(row, value)
            text, answer = files.optional(row, "judgment"), files.optional(row, "answer")
            found[id, turn] = Grade(known[id], turn, value, outcome, text, answer)
    grades = [
        found.get((one.id, turn)) or Grade(one, turn, None, "failed", "no grade on record")
        for one in bench.questions
        for turn in range(1, 1 + TURNS)
    ]
    model, judge = (files.same(rows, name) for name in ("model", "judge_name"))
    return Graded(model or "model", judge or "on record", tuple(grades), None, file.name, file_hash(file))
