"""Verify-and-Edit (Zhao et al., ACL 2023): where sampled chains disagree, check each step and predict again.

    chains ← n samples; if they agree: the majority's answer
    for each step of its likeliest chain:
        question ← what would one ask to check this step?
        findings ← look the question up, keep the top 3
        step     ← the question's answer from the findings, as a sentence
    answer ← the prompt with the edited chain already written

No call edits: the answer *replaces* the step (`style="correct"` has the model correct it instead, as Chain-of-Knowledge
does). What stays here as published is the order and the prompts' parts; what differs is told in `editing` (when an edit
counts) and `agreement` (which gate has which unit).
"""

from __future__ import annotations

from collections.abc import Sequence

from tandem.reason.asking import Exchange, one_line
from tandem.reason.chains import Asking, finish
from tandem.reason.editing import Edited, Editing, concluded, corrected, decided, doubtful, evidence, require, sentence
from tandem.reason.kinds import options, shown
from tandem.reason.looking_up import passages
from tandem.reason.plain import self_consistency, voted
from tandem.together import together
from tandem.trace import note, step
from tandem.types import LM, Answer, Question, Source

ASK = "Write one question that checks the step."
TELL = "Answer the check in one sentence from the passages. Where they do not say it, write: unknown."


async def verify_and_edit(
    question: Question, lm: LM, sources: Sequence[Source], *, asking: Asking, settings: Editing
) -> Answer:
    """The majority's answer, or one that rests on checked steps. The sources are used where the gate opens."""
    require(lm, settings)
    found = await self_consistency(question, lm, asking, settings.samples, settings.temperature)
    if not await doubtful(question, found, lm, asking, settings):
        return voted(found)
    own = [source.about(question) for source in sources]
    edits = await together(verify(question, text, lm, own, asking, settings) for text in found.best.steps)
    if all(edit.outcome != "edited" for edit in edits):
        return concluded(question, found, edits, None, settings)
    final = await finish(question, lm, asking, [edit.text for edit in edits])
    return concluded(question, found, edits, final, settings)


async def verify(
    question: Question, text: str, lm: LM, sources: Sequence[Source], asking: Asking, settings: Editing
) -> Edited:
    """One step: the question that checks it, what is found, and the sentence that answers it."""
    with step("verify", sentence=text):
        worked = [(d.question, w) for d in asking.demonstrations for w in d.steps]
        shots = [Exchange(_step(asked, w.text), w.question) for asked, w in worked if w.question][: settings.shots]
        written = await sentence(lm, asking, ASK, shots, _step(question, text), "Check:", settings.sentence_tokens)
        check = written.text or text
        note(question=check)
        found = await evidence(check, question, lm, sources, settings, check=check, sentence=text)
        if found.lacking:
            edit = Edited(text, found.lacking)
        elif settings.style == "correct":
            edit = await corrected(question, text, found.findings, lm, asking, settings)
        else:
            shots = [
                Exchange(_check(asked, f"Passage 1: {w.passage}", w.question), w.checked)
                for asked, w in worked
                if w.passage and w.checked
            ][: settings.shots]
            given = _check(question, passages(found.findings), check)
            edit = decided(
                await sentence(lm, asking, TELL, shots, given, "Finding:", settings.sentence_tokens),
                text,
                found.findings,
            )
        note(edit=edit.text, edited=edit.outcome)
        return edit


def _step(question: Question, text: str) -> str:
    return f"{shown(question)}\nStep: {one_line(text)}"


def _check(question: Question, found: str, check: str) -> str:
    return f"{found}\n{options(question)}Check: {one_line(check)}"
