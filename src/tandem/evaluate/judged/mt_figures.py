"""MT-bench's figures: the table that people paste, a chapter with categories and turns, a line for each turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tandem.evaluate.judged import prompts
from tandem.evaluate.judged.files import GRADED
from tandem.evaluate.judged.mt_bench import REFERENCED, TURNS, Answers
from tandem.evaluate.judged.mt_grades import Compared, Grade, Graded, Verdict
from tandem.evaluate.perplexity import figure, ratio
from tandem.evaluate.rows import columns, row
from tandem.results import Cell, Example, Figure, Section, Table
from tandem.runs import write_lines
from tandem.stats import Interval, proportion

POINTS = {"model": 1.0, "tie": 0.5, "other": 0.0}
EXAMPLES = 4
GIVEN = "given"
"""Version of grades on record: what the judge was asked is not known."""
CLUSTERED = "95 % intervals: bootstrap over questions, whose turns are drawn together; Wilson's for agreement."


@dataclass(frozen=True)
class Shown:
    """Figures, ready to be shown."""

    headline: tuple[Figure, ...]
    """The few numbers a reader wants first."""
    section: Section
    """The chapter."""
    notes: tuple[str, ...]
    """What a reader has to know beside the figures."""
    rows: tuple[dict[str, Any], ...]
    """A line for each turn."""
    name: str
    """Of the file of lines."""
    metric: str
    """The first figure, also where there is none."""
    version: str = prompts.VERSION
    """Of the judge's prompts."""

    def table(self, judge: str) -> Table:
        """The figures to paste; `judge` is its name for people."""
        figures: list[Figure | None] = [*self.headline] or [None]
        rows = tuple(
            row(
                "mt_bench",
                self.version,
                judge,
                metric=one.name.removeprefix("mt_bench ") if one else self.metric,
                figure=one,
            )
            for one in figures
        )
        return Table("MT-bench", columns("judge"), rows, note=CLUSTERED)

    def write(self, out: Path) -> Path:
        """The lines, as a file; its path."""
        path = out / self.name
        write_lines(path, self.rows)
        return path


def score(grades: Sequence[Grade]) -> Interval | None:
    """The mean of all grades that there are; None where there is none."""
    return _clustered([(grade.question.id, grade.score) for grade in grades if grade.score is not None])


def adjusted(verdicts: Sequence[Verdict]) -> Interval | None:
    """Wins and half the ties over all verdicts; None where there is none."""
    return _clustered([(one.question.id, POINTS[one.winner]) for one in verdicts if one.winner])


def agreeing(verdicts: Sequence[Verdict]) -> Interval | None:
    """The share of verdicts on which both orders agree; None where there is none."""
    there = [one for one in verdicts if one.winner]
    return proportion(sum(one.winners[0] == one.winners[1] for one in there), len(there)) if there else None


def _clustered(values: Sequence[tuple[str, float]]) -> Interval | None:
    """The mean of (question, value) pairs; its interval draws questions."""
    if not values:
        return None
    by: dict[str, list[float]] = {}
    for id, value in values:
        by.setdefault(id, []).append(value)
    sums, sizes = (np.array([f(one) for one in by.values()], dtype=np.float64) for f in (sum, len))
    interval = ratio(sums, sizes)
    return Interval(interval.value, interval.low, interval.high, len(values))


def single(graded: Graded) -> Shown:
    """Grades: the mean over both turns, each turn's, each category's."""
    grades = graded.grades
    parts: list[tuple[str, Sequence[Grade]]] = [("score", grades)]
    parts += [(f"score, turn {turn}", [g for g in grades if g.turn == turn]) for turn in range(1, 1 + TURNS)]
    headline = tuple(figure(f"mt_bench {name}", found) for name, some in parts if (found := score(some)))
    unread = _unread([(g.outcome, g.text) for g in grades])
    notes = [*_notes(graded.answers), *_references([g.question.category for g in grades if not g.question.references])]
    if unread:
        notes.append(f"NOT COUNTED: {unread[0]} of {len(grades)} grades ({unread[1]}){unread[2]}")
    version = GIVEN if graded.file else prompts.VERSION
    lead = f"{graded.model}, graded from 1 to 10 by {graded.judge}. " + _sentences(notes)
    table = _by_category("Grades", grades, score, lambda g: g.score is None)
    section = Section("mt_bench", "mt_bench", lead, (table, *_grade_examples(grades)))
    rows = [
        {
            "question_id": g.question.id,
            "category": g.question.category,
            "turn": g.turn,
            "question": "\n\n".join(g.question.turns[: g.turn]),
            "score": g.score,
            "outcome": GRADED if g.outcome == "preferred" else g.outcome,
            "judgment": g.text,
            "answer": g.answer,
            "length": len(g.answer),
            "referenced": bool(g.question.shown(g.turn)),
            "model": graded.model,
            "judge_name": graded.judge,
        }
        for g in grades
    ]
    return Shown(headline, section, tuple(notes), tuple(rows), "mt_bench-items.jsonl", "score", version)


def pair(compared: Compared) -> Shown:
    """Verdicts: the adjusted win rate, how far both orders agree, each category's and turn's."""
    verdicts = compared.verdicts
    parts = [("adjusted win rate", adjusted(verdicts), 0.5), ("agreement of both orders", agreeing(verdicts), None)]
    headline = tuple(
        figure(f"mt_bench {name}", found, "%", chance, f"against {compared.other}")
        for name, found, chance in parts
        if found
    )
    counted = Counter(one.winner for one in verdicts if one.winner)
    split = sum(one.winner is not None and one.winners[0] != one.winners[1] for one in verdicts)
    notes = [
        f"{counted['model']} wins, {counted['tie']} ties ({split} where the orders differ), {counted['other']} losses"
    ]
    notes += _references([one.question.category for one in verdicts if not one.question.references])
    said = [both for one in verdicts for both in zip(one.outcomes, one.texts, strict=True)]
    if unread := _unread(said):
        lost = sum(one.winner is None for one in verdicts)
        notes.append(f"NOT COUNTED: {lost} of {len(verdicts)} verdicts ({unread[1]}){unread[2]}")
    lead = f"{compared.model} against {compared.other}, judged in both orders by {compared.judge}. " + _sentences(notes)
    table = _by_category("Adjusted win rate", verdicts, adjusted, lambda one: one.winner is None, "%")
    section = Section("mt_bench", "mt_bench", lead, (table, *_verdict_examples(compared)))
    lines = [
        {
            "question_id": one.question.id,
            "category": one.question.category,
            "turn": one.turn,
            "question": "\n\n".join(one.question.turns[: one.turn]),
            "winner": one.winner,
            "shown_first": one.winners[0],
            "shown_second": one.winners[1],
            "outcomes": list(one.outcomes),
            "judgments": list(one.texts),
            "answers": list(one.answers),
            "lengths": [len(text) for text in one.answers],
            "model": compared.model,
            "other": compared.other,
            "judge_name": compared.judge,
        }
        for one in verdicts
    ]
    return Shown(headline, section, tuple(notes), tuple(lines), "mt_bench-pairs.jsonl", "adjusted win rate")


def _by_category(
    what: str,
    items: Sequence[Any],
    of: Callable[[Sequence[Any]], Interval | None],
    lost: Callable[[Any], bool],
    unit: str = "",
) -> Table:
    """A row for each category, and one for all; what is not counted has a column where there is such."""
    names = list(dict.fromkeys(one.question.category for one in items))
    some = any(map(lost, items))
    rows: list[tuple[Cell, ...]] = []
    for name in [*names, *(["all"] if len(names) > 1 else [])]:
        mine = [one for one in items if name in ("all", one.question.category)]
        parts = [[one for one in mine if one.turn == turn] for turn in range(1, 1 + TURNS)]
        cells: list[Cell] = [figure("", found, unit) if (found := of(part)) else None for part in (*parts, mine)]
        unread = sum(map(lost, mine))
        rows.append((name, *cells, len(mine) - unread, *((unread,) if some else ())))
    columns = ("category", "turn 1", "turn 2", "both", "counted", *(("not counted",) if some else ()))
    return Table(f"{what} by category", columns, tuple(rows), note=CLUSTERED)


def _unread(said: Sequence[tuple[str, str]]) -> tuple[int, str, str] | None:
    """How many have no reading, by outcome, and what the first with words says."""
    lost = [(outcome, " ".join(text.split())) for outcome, text in said if outcome != "preferred"]
    if not lost:
        return None
    first = next((text for _, text in lost if text), "")
    kinds = ", ".join(f"{n} {outcome}" for outcome, n in sorted(Counter(outcome for outcome, _ in lost).items()))
    return len(lost), kinds, f"; the first: {first:.100}" if first else ""


def _references(categories: Sequence[str]) -> list[str]:
    """What is judged without the reference it should have."""
    counted = Counter(category for category in categories if category in REFERENCED)
    what = ", ".join(f"{n} of {category}" for category, n in sorted(counted.items()))
    return [f"judged without a reference, for lack of one: {what}"] if counted else []


def _notes(answers: Answers | None) -> list[str]:
    """What is odd about the answers."""
    ends = Counter(end for each in (answers.finishes.values() if answers else ()) for end in each)
    texts = [text for each in (answers.texts.values() if answers else ()) for text in each]
    told = [f"{ends['length']} of {len(texts)} answers were cut at the token limit"] if ends["length"] else []
    empty = sum(not text.strip() for text in texts)
    return told + ([f"{empty} of {len(texts)} answers are empty"] if empty else [])


def _sentences(notes: Sequence[str]) -> str:
    return " ".join(f"{note[0].upper()}{note[1:]}." for note in notes)


def _grade_examples(grades: Sequence[Grade]) -> list[Example]:
    """The best and the worst, then what could not be read."""
    read = sorted((g for g in grades if g.score is not None), key=lambda g: g.score or 0.0)
    chosen = dict.fromkeys((*read[::-1][: EXAMPLES // 2], *read[: EXAMPLES // 2]))
    chosen |= dict.fromkeys([g for g in grades if g.outcome == "unparsed"][:1])
    return [
        Example(
            f"{g.question.category}, question {g.question.id}, turn {g.turn}: "
            + ("no grade" if g.score is None else f"{g.score:g}"),
            "\n\n".join(g.question.turns[: g.turn]),
            (("the model", g.answer), ("the judge", g.text)),
        )
        for g in chosen
    ]


def _verdict_examples(compared: Compared) -> list[Example]:
    """A win, a loss, a tie, and one where the orders differ, as far as there are such."""
    chosen: dict[Verdict, None] = {}
    for wanted in ("model", "other", "tie"):
        chosen |= dict.fromkeys([one for one in compared.verdicts if one.winner == wanted][:1])
    chosen |= dict.fromkeys([one for one in compared.verdicts if one.winner and len(set(one.winners)) > 1][:1])
    return [
        Example(
            f"{one.question.category}, question {one.question.id}, turn {one.turn}: {one.winner}",
            "\n\n".join(one.question.turns[: one.turn]),
            (
                (compared.model, one.answers[0]),
                (compared.other, one.answers[1]),
                ("the judge, the model first", one.texts[0]),
                ("the judge, the model second", one.texts[1]),
            ),
        )
        for one in chosen
    ]
