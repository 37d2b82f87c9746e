"""Many questions with one method: concurrent, traced, every outcome counted, and one record for each.

A question whose call fails for good is an outcome of its own (`failed`), counted neither right nor wrong, and holds
nobody up; a spent budget leaves the rest unasked, and while it lasts no more questions begin than it covers
(`admission`). What was asked is in the stores of the model and the sources, so the same run goes on where it stopped:
nothing recorded is asked again. What this does not do: score (`figures` does), or know a method by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tandem.errors import BudgetSpent, CallFailed, Unsupported
from tandem.metrics.answers import token_f1
from tandem.reason import kinds
from tandem.reason.admission import Admission
from tandem.reason.watched import Watched
from tandem.together import each
from tandem.trace import Step, note, tracing
from tandem.types import LM, Answer, Finding, Method, Question, Source

CONCURRENT = 64
"""Questions under way at once."""
LACKING = frozenset({"failed", "not-asked"})
"""Outcomes of questions that count neither as right nor as wrong."""
ANSWERED = frozenset({"found", "nothing", "query-invalid", "no-query"})
"""Outcomes of look-ups that are not the source's failure."""
SET_UP = frozenset({"key", "not-found", "connection"})
"""Failures that every other question would meet, too: they end a run that has no answer yet."""


@dataclass(frozen=True)
class Record:
    """What became of a question."""

    question: Question
    """As it was asked."""
    answer: Answer
    """What the method said; outcome `failed` or `not-asked` where it could not."""
    trace: Step
    """Everything that was done."""

    @property
    def right(self) -> float | None:
        """0 to 1 against the accepted answers; None where they are not known, and of what could not be asked."""
        if not self.question.answers or self.answer.outcome in LACKING:
            return None
        return kinds.of(self.question).right(self.answer.text, self.question)

    @property
    def f1(self) -> float | None:
        """Token F1 of a short answer; None of others."""
        if self.right is None or kinds.of(self.question).name != "short":
            return None
        return token_f1(self.answer.text, self.question.answers) if self.answer.text else 0.0

    @property
    def before(self) -> float | None:
        """The same of the answer before editing; None where nothing was looked at again."""
        first = self.answer.facts.get("before")
        if self.right is None or first is None:
            return None
        return kinds.of(self.question).right(str(first), self.question)

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens read and written for it, recorded answers included."""
        return sum(c.get("tokens_read", 0) for c in self._calls), sum(c.get("tokens_written", 0) for c in self._calls)

    @property
    def money(self) -> float | None:
        """The price of its calls, recorded answers included; None where there is none to pay."""
        told = [call["money"] for call in self._calls if "money" in call]
        return sum(told) if told else None

    @property
    def _calls(self) -> list[dict[str, Any]]:
        return [each.facts for each in self.trace.walk() if each.name in ("generate", "score")]

    @property
    def source_outcomes(self) -> Counter[str]:
        """How often a source was asked, by outcome."""
        asked = (each for each in self.trace.walk() if each.name == "ask source")
        return Counter(
            "found" if a.facts.get("found") else "nothing" if a.outcome == "done" else a.outcome for a in asked
        )

    def to_json(self) -> dict[str, Any]:
        """A line for people and programs."""
        q, a, gold = self.question, self.answer, kinds.gold(self.question)
        told: dict[str, Any] = {
            "id": q.id,
            "question": q.text,
            "choices": list(q.choices),
            "gold": gold[0] if gold else None,
            "accepted": list(gold[1:]),
            "answer": a.text,
            "right": self.right,
            "f1": self.f1,
            "outcome": a.outcome,
            "confidence": a.confidence,
            "rationale": a.rationale,
            "findings": [_found(each) for each in a.findings],
            "facts": dict(a.facts),
            "tokens": list(self.tokens),
            "money": self.money,
            "trace": self.trace.to_json(),
        }
        return {key: value for key, value in told.items() if value not in (None, "", [], {}) or key == "answer"}


@dataclass
class Progress:
    """How far a run has come."""

    done: int = 0
    """Questions that have their record."""
    right: float = 0.0
    """Sum of the scores so far."""
    scored: int = 0
    """Questions with known answers so far."""
    failures: int = 0
    """Questions whose call failed."""
    look_ups_failed: int = 0
    """Look-ups that a source did not answer; what it does not have is an answer."""
    not_asked: int = 0
    """Questions that a spent budget left out."""
    spent: BudgetSpent | None = field(default=None)
    """The budget that ended the run."""


async def answer_all(
    questions: Sequence[Question],
    method: Method,
    lm: LM,
    sources: Sequence[Source],
    *,
    name: str = "method",
    progress: Progress | None = None,
    came: Callable[[Record], None] | None = None,
    concurrent: int = CONCURRENT,
) -> list[Record]:
    """A record for every question, in their order; `came` hears of each as it comes.

    Raises Unsupported (the model lacks what the method needs), CallFailed when the set-up cannot work, and whatever is
    no failure of a call.
    """
    progress = progress if progress is not None else Progress()
    admission = Admission(getattr(lm, "budget", None))

    async def asked(question: Question) -> Record:
        async with admission.admitted() as begun:
            record = await one(question, method, lm, sources, name=name)
            begun.finished = record.answer.outcome not in LACKING
        error = record.answer.facts.get("kind")
        if error in SET_UP and progress.done == progress.failures:
            told = record.answer.facts
            raise CallFailed(told["error"], kind=told["kind"], where=told.get("where"), remedy=told.get("remedy"))
        _count(progress, record)
        if came is not None:
            came(record)
        return record

    return await each(questions, asked, concurrent)


async def one(question: Question, method: Method, lm: LM, sources: Sequence[Source], *, name: str = "method") -> Record:
    """One question, traced; a failed call is its outcome. The method never sees what answer is accepted."""
    with tracing(name, question=question.text) as root:
        try:
            answer = await method(without_gold(question), Watched(lm), sources)
        except BudgetSpent as e:
            answer = Answer("", outcome="not-asked", facts={"error": e.problem})
        except Unsupported:
            raise
        except CallFailed as e:
            facts = {"error": e.problem, "kind": e.kind, "where": e.where, "remedy": e.remedy}
            answer = Answer("", outcome="failed", facts={key: value for key, value in facts.items() if value})
        note(answer=answer.text, outcome=answer.outcome)
    return Record(question, answer, root)


def _count(progress: Progress, record: Record) -> None:
    outcome = record.answer.outcome
    if outcome == "not-asked":
        progress.not_asked += 1
        return
    progress.done += 1
    progress.failures += outcome == "failed"
    progress.look_ups_failed += sum(n for how, n in record.source_outcomes.items() if how not in ANSWERED)
    if record.right is not None:
        progress.scored += 1
        progress.right += record.right


def _found(finding: Finding) -> dict[str, Any]:
    told = {"text": finding.text, "title": finding.title, "source": finding.source, "place": finding.place}
    told |= {"query": finding.query, "as_of": finding.as_of}
    return {key: value for key, value in told.items() if value}


def without_gold(question: Question) -> Question:
    """The question as a method may see it: no accepted answer; of `meta` the kind of answer, and titles of passages."""
    return replace(question, answers=(), meta={k: v for k, v in question.meta.items() if k in ("answer", "titles")})
