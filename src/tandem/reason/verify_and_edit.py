"""Verify-and-Edit (Zhao et al., ACL 2023): where sampled chains disagree, check each step and predict again.

    chains ← n samples; if they agree: the majority's answer
    for each step of its likeliest chain:
        question ← what would one ask to check this step?
        findings ← look the question up, keep the top 3
        step     ← the question's answer from the findings, as a sentence
    answer ← the prompt with the edited chain already written

No call edits: the answer *replaces* the step. What stays here as published is the order and the prompts' parts; what
differs is told in `editing` (when an edit counts) and `agreement` (which gate has which unit).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tandem.reason.asking import Exchange
from tandem.reason.chains import Asking, finish
from tandem.reason.editing import Edited, Editing, concluded, decided, doubtful, sentence
from tandem.reason.kinds import shown
from tandem.reason.looking_up import look_up, passages
from tandem.reason.plain import self_consistency, voted
from tandem.trace import note, step
from tandem.types import LM, Answer, Question, Source

ASK = "Write one question that checks the step."
TELL = "Answer the question in one sentence from the passages. Where they do not say it, write: unknown."


async def verify_and_edit(
    question: Question, lm: LM, sources: Sequence[Source], *, asking: Asking, settings: Editing
) -> Answer:
    """The majority's answer, or one that rests on checked steps. The sources are used where the gate opens."""
    _, found = await self_consistency(question, lm, asking, settings.samples, settings.temperature)
    if not await doubtful(question, found, lm, asking, settings):
        return voted(found)
    own = [source.about(question) for source in sources]
    edits = await asyncio.gather(*(verify(question, text, lm, own, asking, settings) for text in found.best.steps))
    if all(edit.outcome != "edited" for edit in edits):
        return concluded(found, edits, None, settings)
    final = await finish(question, lm, asking, [edit.text for edit in edits])
    return concluded(found, edits, final, settings)


async def verify(
    question: Question, text: str, lm: LM, sources: Sequence[Source], asking: Asking, settings: Editing
) -> Edited:
    """One step: the question that checks it, what is found, and the sentence that answers it."""
    with step("verify", sentence=text):
        worked = [(d, w) for d in asking.demonstrations for w in d.steps]
        asked = [Exchange(_step(d.question, w.text), w.question) for d, w in worked if w.question][:3]
        check, _ = await sentence(lm, asking, ASK, asked, _step(question, text), "Check:", settings.sentence_tokens)
        check = check or text
        target = {"question": check, "sentence": text, "source": None}[settings.target]
        found = await look_up(
            check, sources, lm, settings.writer, target=target, top=settings.top, fetch=settings.fetch
        )
        note(question=check)
        if not found.findings:
            edit = Edited(text, "source-failed" if found.failed else "no-evidence")
        else:
            told = [
                Exchange(f"Passage 1: {w.passage}\nQuestion: {w.question}", w.checked) for _, w in worked if w.passage
            ][:3]
            given = f"{passages(found.findings)}\nQuestion: {check}"
            new, whole = await sentence(lm, asking, TELL, told, given, "Finding:", settings.sentence_tokens)
            edit = decided(new, text, found.findings, whole=whole)
        note(edit=edit.text, edited=edit.outcome)
        return edit


def _step(question: Question, text: str) -> str:
    return f"{shown(question)}\nStep: {' '.join(text.split())}"
