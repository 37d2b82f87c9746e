"""Chains of thought: asked for, read into steps and an answer, and finished where only the answer is missing.

A chain is written as numbered lines under `Steps:`, its answer after `Answer:`. A chain without the cue is repaired
once: the model is given its own steps and the cue, and only completes the answer. What cannot be read then is a named
outcome (`unparsed`, `truncated`, `refused`), never the whole text for an answer.

`logprob` is the mean over the chain's tokens, `answer_logprob` the sum over the answer's tokens alone, without cue and
end (Zhao et al. 2023, §4.3); an answer that came from a repair has only the second.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tandem.reason import kinds
from tandem.reason.asking import Exchange, draw, is_chat, prompt
from tandem.reason.demonstrations import Demonstration
from tandem.trace import note, step
from tandem.types import LM, Completion, Prompt, Question

STEPS, ANSWER = "Steps:", "Answer:"
_NUMBERED = re.compile(r"\s*(?:\d{1,2}[.)]|[-*•])\s+(.*)")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'“(]?[A-Z0-9])")
_ANSWER = re.compile(r"(?:^|\n)[\s*_#]*(?:the\s+)?(?:final\s+)?answer(?:\s+is)?[\s*_]*:[\s*_]*", re.IGNORECASE)


@dataclass(frozen=True)
class Asking:
    """How questions are put to the model, for every method alike."""

    demonstrations: tuple[Demonstration, ...] = ()
    """Worked examples, all of the questions' kind."""
    context: bool = False
    """Whether a question's own passages are shown with it."""
    chat: bool = False
    """Ask in conversation although the model continues plain text."""
    max_tokens: int = 160
    """Longest chain."""
    answer_tokens: int = 40
    """Longest answer without a chain."""
    seed: int = 0
    """Seed of the sampling."""


@dataclass(frozen=True)
class Chain:
    """One way from the question to an answer."""

    steps: tuple[str, ...]
    """Its sentences in order; none from a direct answer."""
    answer: str
    """As its kind reads it; empty when there is none."""
    outcome: str
    """answered, unparsed, truncated, refused."""
    logprob: float | None = None
    """Mean log-probability of the tokens that were written, where the model tells."""
    answer_logprob: float | None = None
    """Sum over the answer's tokens, where the model tells."""

    @property
    def rationale(self) -> str:
        """The steps as one text."""
        return " ".join(self.steps)


async def direct(question: Question, lm: LM, asking: Asking) -> Chain:
    """An answer without a chain."""
    with step("answer directly"):
        shots = [Exchange(_shown(d.question, asking), d.answer) for d in asking.demonstrations]
        put = prompt(lm, _task(question, chain=False), shots, _shown(question, asking), ANSWER, chat=asking.chat)
        stop = () if is_chat(put) else ("\n",)
        (came,) = await draw(lm, put, max_tokens=asking.answer_tokens, stop=stop, seed=asking.seed)
        return _noted(_answered((), came, came.text, 0, question))


async def sample(question: Question, lm: LM, asking: Asking, samples: int, temperature: float) -> tuple[Chain, ...]:
    """`samples` chains, in the order of their indices; each with its own steps and answer together."""
    with step("sample chains", samples=samples, temperature=temperature):
        put = _chain_prompt(question, lm, asking)
        came = await draw(
            lm,
            put,
            max_tokens=asking.max_tokens,
            stop=() if is_chat(put) else ("\n\n",),
            samples=samples,
            temperature=temperature,
            seed=asking.seed,
        )
        begun = "1." if lm.abilities.prefill or not is_chat(put) else ""
        chains = [read(question, one, begun) for one in came]
        chains = list(await asyncio.gather(*(_repaired(question, lm, asking, chain) for chain in chains)))
        note(chains=[{"steps": list(c.steps), "answer": c.answer, "outcome": c.outcome} for c in chains])
        return tuple(chains)


async def finish(question: Question, lm: LM, asking: Asking, steps: Sequence[str]) -> Chain:
    """The answer that follows from given steps: the chain's prompt with the steps already written."""
    with step("finish", given=list(steps)):
        given = "".join(f"\n{n}. {_one_line(text)}" for n, text in enumerate(steps, 1))
        put = _chain_prompt(question, lm, asking, f"{given}\n{ANSWER}")
        stop = () if is_chat(put) else ("\n",)
        (came,) = await draw(lm, put, max_tokens=asking.answer_tokens, stop=stop, seed=asking.seed)
        text, at = _after_cue(came.text) or (came.text, 0)
        return _noted(replace(_answered(tuple(steps), came, text, at, question), logprob=None))


async def go_on(question: Question, lm: LM, asking: Asking, steps: Sequence[str]) -> Chain:
    """The rest of a chain whose first steps are decided, and its answer; the given steps stand in the result."""
    with step("go on", given=list(steps)):
        given = "".join(f"\n{n}. {_one_line(text)}" for n, text in enumerate(steps, 1))
        put = _chain_prompt(question, lm, asking, f"{given}\n{len(steps) + 1}.")
        stop = () if is_chat(put) else ("\n\n",)
        (came,) = await draw(lm, put, max_tokens=asking.max_tokens, stop=stop, seed=asking.seed)
        rest = read(question, came, f"{len(steps) + 1}." if lm.abilities.prefill or not is_chat(put) else "")
        return _noted(await _repaired(question, lm, asking, replace(rest, steps=(*steps, *rest.steps))))


def read(question: Question, came: Completion, begun: str = "") -> Chain:
    """A chain out of what was written after `begun`."""
    found = _after_cue(came.text)
    if found is None:
        steps = split_steps(f"{begun}{came.text}")
        ended = {"length": "truncated", "refusal": "refused", "filter": "refused"}.get(came.finish, "unparsed")
        return Chain(steps, "", ended, _mean(came))
    text, at = found
    steps = split_steps(f"{begun}{came.text[: _cue_start(came.text)]}")
    return _answered(steps, came, text, at, question)


def split_steps(written: str) -> tuple[str, ...]:
    """The steps of a chain: its numbered lines, or its sentences where it has none."""
    lines = [line for line in written.replace(STEPS, "").splitlines() if line.strip()]
    steps: list[str] = []
    numbered = False
    for line in lines:
        if mark := _NUMBERED.fullmatch(line):
            numbered = True
            steps.append(mark[1].strip())
        elif numbered and steps:
            steps[-1] = f"{steps[-1]} {line.strip()}".strip()
        else:
            steps += [part.strip() for part in _SENTENCE_END.split(line.strip())]
    return tuple(text for text in steps if text)


# ── Pieces ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _chain_prompt(question: Question, lm: LM, asking: Asking, begun: str = "\n1.") -> Prompt:
    shots = [Exchange(_shown(d.question, asking), _written(d)) for d in asking.demonstrations]
    instruction = _task(question, chain=True)
    return prompt(lm, instruction, shots, _shown(question, asking), STEPS, begun, chat=asking.chat)


def _written(d: Demonstration) -> str:
    steps = "".join(f"\n{n}. {_one_line(worked.text)}" for n, worked in enumerate(d.steps, 1))
    return f"{steps}\n{ANSWER} {d.answer}"


def _task(question: Question, *, chain: bool) -> str:
    """The instruction: what to write, and in which form the answer."""
    form = {
        "short": "as short as possible, without a sentence around it",
        "label": f"one of {', '.join(question.choices)}",
        "letter": "the letter of one option",
        "sentence": "in one sentence",
    }[kinds.of(question).name]
    what = "Decide about each claim" if kinds.of(question).name == "label" else "Answer each question"
    if not chain:
        return f"{what}: {form}."
    return f"{what}. First write short numbered steps, each one fact, then the answer: {form}."


def _shown(question: Question, asking: Asking) -> str:
    return kinds.shown(question, context=asking.context)


def _answered(steps: tuple[str, ...], came: Completion, text: str, at: int, question: Question) -> Chain:
    """A chain whose answer stands in `text`, which begins at character `at` of the completion."""
    answer = kinds.of(question).read(text, question)
    if not answer:
        ended = {"length": "truncated", "refusal": "refused", "filter": "refused"}.get(came.finish, "unparsed")
        return Chain(steps, "", ended, _mean(came))
    return Chain(steps, answer, "answered", _mean(came), _answer_logprob(came, text, at))


def _answer_logprob(came: Completion, text: str, at: int) -> float | None:
    """Sum over the tokens of the answer's line."""
    if came.tokens is None:
        return None
    body = text.lstrip()
    first = at + len(text) - len(body)
    line = body.splitlines()[0].rstrip() if body else ""
    start = len(came.text[:first].encode("utf-8", "replace"))
    end = start + len(line.encode("utf-8", "replace"))
    inside = [token.logprob for token in came.tokens if token.end > start and token.start < end]
    return sum(inside) if inside else None


def _mean(came: Completion) -> float | None:
    return sum(token.logprob for token in came.tokens) / len(came.tokens) if came.tokens else None


def _cue(written: str) -> re.Match[str] | None:
    found = None
    for found in _ANSWER.finditer(written):  # noqa: B007 — the last one counts: models change their minds
        pass
    return found


def _cue_start(written: str) -> int:
    found = _cue(written)
    return found.start() if found else len(written)


def _after_cue(written: str) -> tuple[str, int] | None:
    """What follows the last cue, and where it begins."""
    found = _cue(written)
    return (written[found.end() :], found.end()) if found else None


async def _repaired(question: Question, lm: LM, asking: Asking, chain: Chain) -> Chain:
    """A chain that has steps and no answer, asked once for the answer alone."""
    if chain.answer or chain.outcome == "refused" or not chain.steps:
        return chain
    with step("repair", was=chain.outcome):
        mended = await finish(question, lm, asking, chain.steps)
        return replace(mended, logprob=chain.logprob) if mended.answer else chain


def _noted(chain: Chain) -> Chain:
    note(steps=list(chain.steps), answer=chain.answer, outcome=chain.outcome)
    return chain


def _one_line(text: str) -> str:
    return " ".join(text.split())
