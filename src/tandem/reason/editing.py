"""What Verify-and-Edit and Chain-of-Knowledge share: when to edit, and when an edit counts.

An edit is accepted only where it may be: without evidence a step stays as it is, an empty, cut or undecided correction
changes nothing, and a chain whose new answer is no valid one leaves the old answer. Every refusal is named.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

from tandem.errors import Unsupported, UserError
from tandem.metrics.normalise import answer_form
from tandem.reason import kinds
from tandem.reason.agreement import Gate, Vote
from tandem.reason.asking import Exchange, draw, is_chat, one_line, prompt
from tandem.reason.chains import Asking, Chain
from tandem.reason.declining import declines
from tandem.reason.looking_up import Evidence, QueryWriter, Target, look_up, passages
from tandem.reason.plain import says_confident, voted
from tandem.reason.queries import Prompted
from tandem.trace import note, step
from tandem.types import LM, Answer, Finding, Question, Source

Style: TypeAlias = Literal["replace", "correct"]
CORRECT = "Correct the step by the passages. Where they do not bear on it, write it again as it is."
_WORD = re.compile(r"[^\W_]+")
_QUERY = re.compile(r"\bselect\b.*(?:\bfrom\b|\{)", re.IGNORECASE | re.DOTALL)
_NO_SENTENCE = frozenset({"", "yes", "no", "none", "nothing"})
"""Replies, in normal form, that cannot take a sentence's place."""
CONFIRMED = "every step was confirmed"
"""Why an answer stays that what was found bears out."""
CHECKED = ("edited", "confirmed")
"""Outcomes of a step that rests on what was found."""


@dataclass(frozen=True)
class Editing:
    """How a chain is checked; the names are the papers'."""

    samples: int = 5
    """Chains that vote."""
    temperature: float = 0.7
    """Of the chains."""
    gate: Gate = field(default_factory=Gate)
    """When to look things up."""
    top: int = 3
    """Findings kept for a step."""
    fetch: int = 10
    """Findings asked of each source."""
    target: Target = "question"
    """What findings are ranked against."""
    style: Style = "replace"
    """How Verify-and-Edit edits a step: `replace` it by what answers its check, as published, or `correct` it."""
    keep_original: bool = True
    """Whether an answer that is no valid one leaves the one before."""
    writer: QueryWriter = field(default_factory=Prompted)
    """Who writes the queries."""
    sentence_tokens: int = 70
    """Longest question or corrected step."""
    shots: int = 3
    """Worked cases in front of a question about a step, and in front of its correction."""

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UserError(f"{self.samples} samples cannot vote", where="samples", remedy="give at least 1")
        if self.temperature < 0:
            raise UserError(f"cannot be {self.temperature:g}", where="temperature", remedy="give 0 or more")
        if self.top < 1 or self.fetch < self.top:
            raise UserError(f"top {self.top} of {self.fetch}", where="top", remedy="give 1 ≤ top ≤ fetch")
        if self.style not in get_args(Style):
            raise UserError(f"no edit style is called {self.style!r}", where="style", remedy="known: replace, correct")
        self.gate.limit(self.samples)


@dataclass(frozen=True)
class Edited:
    """A step after it was checked."""

    text: str
    """The sentence that stands now."""
    outcome: str
    """edited, confirmed, or why it stays.

    no-evidence, source-failed, query-invalid, not-asked (no source); undecided, cut, refused; not-checked.
    """
    findings: tuple[Finding, ...] = ()
    """What was found."""
    before: str = ""
    """The sentence that it took the place of; empty where none was replaced."""


@dataclass(frozen=True)
class Line:
    """One line of a model's."""

    text: str
    """Without the cue; nothing of a refusal."""
    ending: Literal["whole", "cut", "refused"]
    """Whether it is all there."""


def require(lm: LM, settings: Editing) -> None:
    """Raise Unsupported where the gate needs what the model does not tell: it would open for every question."""
    if settings.gate.score == "mass" and not lm.abilities.logprobs:
        remedy = "take another gate: count, share, verbal"
        raise Unsupported("tells no log-probabilities, which the gate `mass` is made of", where=lm.name, remedy=remedy)


async def doubtful(question: Question, found: Vote, lm: LM, asking: Asking, settings: Editing) -> bool:
    """Whether the gate opens for a vote."""
    with step("gate", score=settings.gate.score):
        sure = await says_confident(question, found.best, lm, asking) if settings.gate.score == "verbal" else None
        opens = settings.gate.opens(found, sure)
        note(value=settings.gate.value(found, sure), opens=opens)
        if settings.gate.score not in ("always", "never"):
            note(threshold=settings.gate.limit(found.n))
        return opens


async def evidence(
    need: str, question: Question, lm: LM, sources: Sequence[Source], settings: Editing, *, check: str, sentence: str
) -> Evidence:
    """What the sources say to a need; ranked against the `check`ing question or the `sentence`, as it is settled."""
    return await look_up(
        need,
        sources,
        lm,
        settings.writer,
        target={"question": check, "sentence": sentence, "source": None}[settings.target],
        top=settings.top,
        fetch=settings.fetch,
        options=kinds.listed(question),
    )


async def sentence(
    lm: LM, asking: Asking, task: str, shots: Sequence[Exchange], given: str, cue: str, max_tokens: int
) -> Line:
    """One line from the model."""
    put = prompt(lm, task, shots, given, cue, chat=asking.chat)
    stop = () if is_chat(put) else ("\n",)
    (came,) = await draw(lm, put, max_tokens=max_tokens, stop=stop, seed=asking.seed)
    if came.finish in ("refusal", "filter"):
        return Line("", "refused")
    text = came.text.strip()
    line = text.splitlines()[0] if text else ""
    return Line(line.removeprefix(cue).strip(), "cut" if came.finish == "length" and line == text else "whole")


async def corrected(
    question: Question, text: str, found: tuple[Finding, ...], lm: LM, asking: Asking, settings: Editing
) -> Edited:
    """The step as the model corrects it with findings before it."""
    shots = [
        Exchange(_step(d.question, f"Passage 1: {w.passage}", w.text), w.checked)
        for d in asking.demonstrations
        for w in d.steps
        if w.passage and w.checked
    ][: settings.shots]
    given = _step(question, passages(found), text)
    written = await sentence(lm, asking, CORRECT, shots, given, "Corrected:", settings.sentence_tokens)
    return decided(written, text, found)


def _step(question: Question, found: str, text: str) -> str:
    return f"{found}\n{kinds.shown(question)}\nStep: {one_line(text)}"


def decided(written: Line, before: str, findings: tuple[Finding, ...]) -> Edited:
    """The rule of acceptance for a corrected step."""
    if written.ending != "whole":
        return Edited(before, written.ending, findings)
    if not written.text or declines(written.text) or answer_form(written.text) in _NO_SENTENCE:
        return Edited(before, "undecided", findings)
    if answer_form(written.text) == answer_form(before):
        return Edited(written.text, "confirmed", findings)
    return Edited(written.text, "edited", findings, before)


def concluded(
    question: Question, found: Vote, edits: Sequence[Edited], final: Chain | None, settings: Editing
) -> Answer:
    """The answer after editing, or the one before where nothing may change; without edits `final` is None.

    Its confidence is the share of the sampled chains that agree with it.
    """
    before = voted(found)
    cited: dict[tuple[str, str, str], Finding] = {}  # one place is cited once, whatever it was found with
    for finding in (finding for edit in edits for finding in edit.findings):
        cited.setdefault(_cited(finding), finding)
    findings, places = tuple(cited.values()), list(cited)
    facts: dict[str, Any] = {
        **before.facts,
        "before": before.text,
        "steps_before": list(found.best.steps),
        "edits": [
            {
                "text": e.text,
                "outcome": e.outcome,
                "findings": list(dict.fromkeys(places.index(_cited(each)) for each in e.findings)),
                "cites": list(
                    dict.fromkeys(places.index(_cited(each)) for each in e.findings if bears_on(each, e.text, e.before))
                )
                if e.outcome in CHECKED
                else [],
                **({"before": e.before} if e.before else {}),
            }
            for e in edits
        ],
    }
    kept = (
        "the chain has no steps to check"
        if not edits
        else CONFIRMED
        if final is None and all(e.outcome == "confirmed" for e in edits)
        else "no step was edited"
        if final is None
        else f"the new answer is {final.outcome}"
        if not final.answer and settings.keep_original
        else ""
    )
    if kept or final is None:
        return replace(before, findings=findings, facts=facts | {"kept": kept})
    facts.pop("answer_logprob", None)
    if final.answer_logprob is not None:
        facts["answer_logprob"] = final.answer_logprob
    same = kinds.of(question).same
    agreeing = sum(bool(chain.answer) and same(chain.answer, final.answer) for chain in found.chains)
    return Answer(final.answer, final.rationale, agreeing / found.n, final.outcome, findings, facts)


def bears_on(finding: Finding, text: str, before: str = "") -> bool:
    """Whether a finding may be cited for a sentence, by the words that tell something.

    Those are names, numbers and words of four letters or more; a search may find a passage by `the` and `of` alone. For
    a sentence that took the place of one `before`, a finding holds a third of them, and one of those that are new; for
    one that was confirmed, half of them. A row holds what its query asks for, too. Words do not tell that a finding
    says the opposite.
    """
    query = finding.query if _QUERY.search(finding.query) else ""
    found = {word.lower() for word in _WORD.findall(f"{finding.title} {finding.text} {query}")}
    telling = _telling(text)
    new = telling - {word.lower() for word in _WORD.findall(before)} if before else telling
    held = {word.lower() for word in _WORD.findall(f"{finding.title} {finding.text}")} & new if before else telling
    return len(telling & found) * (3 if before else 2) >= len(telling) > 0 and bool(held or not new)


def _telling(text: str) -> set[str]:
    words = _WORD.findall(text)
    return {word.lower() for n, word in enumerate(words) if _tells(word, first=n == 0)} or {w.lower() for w in words}


def _tells(word: str, *, first: bool) -> bool:
    return len(word) > 3 or not word.isascii() or any(c.isdigit() for c in word) or (word[0].isupper() and not first)


def _cited(finding: Finding) -> tuple[str, str, str]:
    return finding.source, finding.place, finding.text
