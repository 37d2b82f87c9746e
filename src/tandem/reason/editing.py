"""What Verify-and-Edit and Chain-of-Knowledge share: when to edit, and when an edit counts.

An edit is accepted only where it may be: without evidence a step stays as it is, an empty, cut or undecided correction
changes nothing, and a chain whose new answer is no valid one leaves the old answer. Every refusal is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tandem.errors import UserError
from tandem.metrics.normalise import answer_form
from tandem.reason.agreement import Gate, Vote
from tandem.reason.asking import Exchange, draw, is_chat, prompt
from tandem.reason.chains import Asking, Chain
from tandem.reason.looking_up import QueryWriter, Target
from tandem.reason.plain import says_confident, voted
from tandem.reason.queries import Prompted
from tandem.trace import note, step
from tandem.types import LM, Answer, Finding, Question

UNDECIDED = frozenset({"unknown", "not known", "not stated", "cannot tell", "i dont know", "no information"})
"""Normal forms of corrections that decide nothing."""


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
    keep_original: bool = True
    """Whether an answer that is no valid one leaves the one before."""
    writer: QueryWriter = field(default_factory=Prompted)
    """Who writes the queries."""
    sentence_tokens: int = 70
    """Longest question or corrected step."""

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UserError(f"{self.samples} samples cannot vote", where="samples", remedy="give at least 1")
        if self.top < 1 or self.fetch < self.top:
            raise UserError(f"top {self.top} of {self.fetch}", where="top", remedy="give 1 ≤ top ≤ fetch")
        self.gate.limit(self.samples)


@dataclass(frozen=True)
class Edited:
    """A step after it was checked."""

    text: str
    """The sentence that stands now."""
    outcome: str
    """edited, confirmed, or why it stays: no-evidence, source-failed, undecided, cut."""
    findings: tuple[Finding, ...] = ()
    """What was found."""


async def doubtful(question: Question, found: Vote, lm: LM, asking: Asking, settings: Editing) -> bool:
    """Whether the gate opens for a vote."""
    with step("gate", score=settings.gate.score):
        sure = await says_confident(question, found.best, lm, asking) if settings.gate.score == "verbal" else None
        opens = settings.gate.opens(found, sure)
        note(value=settings.gate.value(found, sure), opens=opens)
        if settings.gate.score not in ("always", "never"):
            note(threshold=settings.gate.limit(found.n))
        return opens


async def sentence(
    lm: LM, asking: Asking, task: str, shots: Sequence[Exchange], given: str, cue: str, max_tokens: int
) -> tuple[str, bool]:
    """One line from the model, and whether it is whole."""
    put = prompt(lm, task, shots, given, cue, chat=asking.chat)
    stop = () if is_chat(put) else ("\n",)
    (came,) = await draw(lm, put, max_tokens=max_tokens, stop=stop, seed=asking.seed)
    line = next((line.strip() for line in came.text.splitlines() if line.strip()), "")
    return line.removeprefix(cue).strip(), came.finish == "stop" or "\n" in came.text.strip()


def decided(text: str, before: str, findings: tuple[Finding, ...], *, whole: bool) -> Edited:
    """The rule of acceptance for a corrected step."""
    if not whole:
        return Edited(before, "cut", findings)
    if not text or answer_form(text) in UNDECIDED:
        return Edited(before, "undecided", findings)
    return Edited(text, "confirmed" if answer_form(text) == answer_form(before) else "edited", findings)


def concluded(found: Vote, edits: Sequence[Edited], final: Chain | None, settings: Editing) -> Answer:
    """The answer after editing, or the one before where nothing may change; without edits `final` is None."""
    before = voted(found)
    findings = tuple(dict.fromkeys(finding for edit in edits for finding in edit.findings))
    facts = {
        **before.facts,
        "before": before.text,
        "steps_before": list(found.best.steps),
        "edits": [{"text": edit.text, "outcome": edit.outcome} for edit in edits],
    }
    if final is None:
        return replace(before, findings=findings, facts=facts | {"kept": "nothing was edited"})
    if not final.answer and settings.keep_original:
        return replace(before, findings=findings, facts=facts | {"kept": f"the new answer is {final.outcome}"})
    if final.answer_logprob is not None:
        facts["answer_logprob"] = final.answer_logprob
    return Answer(final.answer, final.rationale, before.confidence, final.outcome, findings, facts)
