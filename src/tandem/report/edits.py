"""One worked edit as parts ready to be written: votes with bars, sentences struck out and put in, passages quoted.

The new answer is marked where a quoted passage holds it, so that a reader sees at once what the edit rests on. What
this does not do: decide which edit is worth showing, or draw tags (`edit.html` does).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup

from tandem.report import strip
from tandem.results import Change, Edit, Quote

VOTES = 8
"""Answers whose votes are drawn; the rest are one line."""
LONGEST = 1_200
"""Characters of a passage that are quoted."""


@dataclass(frozen=True)
class VoteView:
    """One answer of the samples."""

    answer: str
    drawing: Markup
    share: str
    """As in `2 of 5`."""
    chosen: bool
    """Whether it is the answer that the chains gave."""


@dataclass(frozen=True)
class QuoteView:
    """A passage in pieces."""

    pieces: tuple[tuple[str, bool], ...]
    """Text, and whether it is marked."""
    title: str
    place: str


@dataclass(frozen=True)
class ChangeView:
    """A sentence of the chain."""

    before: str
    after: str
    """Empty where nothing changed."""
    outcome: str
    check: str
    found: tuple[QuoteView, ...]


@dataclass(frozen=True)
class AnswerView:
    """The answer before or after."""

    text: str
    verdict: str
    """`right`, `wrong` or empty."""


@dataclass(frozen=True)
class EditView:
    """A worked edit, ready to be written."""

    title: str
    question: str
    votes: tuple[VoteView, ...]
    rest: str
    """Votes that are not drawn, in words."""
    note: str
    steps: tuple[ChangeView, ...]
    before: AnswerView
    after: AnswerView
    expected: str


def view(edit: Edit) -> EditView:
    """The edit in parts."""
    total = sum(n for _, n in edit.votes)
    drawn = tuple(
        VoteView(answer, strip.bar(n, 0.0, total, track=True), f"{n} of {total}", answer == edit.before)
        for answer, n in edit.votes[:VOTES]
    )
    left = sum(n for _, n in edit.votes[VOTES:])
    verdicts = [*edit.correct, None, None]
    return EditView(
        edit.title,
        edit.question,
        drawn,
        f"and {left} more, each for another answer" if left else "",
        edit.note,
        tuple(_change(step, edit.after) for step in edit.steps),
        AnswerView(edit.before, _verdict(verdicts[0])),
        AnswerView(edit.after, _verdict(verdicts[1])),
        edit.expected,
    )


def _change(step: Change, answer: str) -> ChangeView:
    changed = step.after if step.outcome == "edited" else ""
    return ChangeView(step.before, changed, step.outcome, step.check, tuple(_quote(q, answer) for q in step.found))


def _quote(quote: Quote, answer: str) -> QuoteView:
    text = " ".join(quote.text.split())
    if len(text) > LONGEST:
        text = f"{text[:LONGEST].rpartition(' ')[0] or text[:LONGEST]} …"
    wanted = " ".join(answer.split())
    if not wanted:
        return QuoteView(((text, False),), quote.title, quote.place)
    parts = re.split(rf"(?<!\w)({re.escape(wanted)})(?!\w)", text, flags=re.IGNORECASE)
    pieces = tuple((part, bool(n % 2)) for n, part in enumerate(parts) if part)
    return QuoteView(pieces, quote.title, quote.place)


def _verdict(right: bool | None) -> str:
    return "" if right is None else "right" if right else "wrong"
