"""Chains of thought: asked for, read into steps and an answer, and finished where only the answer is missing.

A chain is written as numbered lines under `Steps:`, its answer after `Answer:`. A chain without the cue, or with an
answer that was cut, is repaired once: the model is given its own steps and the cue, and only completes the answer. What
cannot be read then is a named outcome (`unparsed`, `truncated`, `refused`), never the whole text for an answer.

`logprob` is the mean over the chain's tokens, `answer_logprob` the sum over the answer's tokens alone, without cue and
end (Zhao et al. 2023, §4.3); an answer that came from a repair has only the second.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tandem.metrics.normalise import answer_form
from tandem.reason import kinds
from tandem.reason.asking import Exchange, draw, is_chat, one_line, prompt
from tandem.reason.demonstrations import Demonstration
from tandem.together import together
from tandem.trace import note, step
from tandem.types import LM, Completion, Prompt, Question

STEPS, ANSWER = "Steps:", "Answer:"
SENTENCE = 3
"""How much longer an answer may be that is a sentence."""
_NUMBERED = re.compile(r"\s*(?:\d{1,2}\)|(?:\d{1,2}\.|[-*•])(?=\s|\Z))\s*(.*)")
_NUMBER = re.compile(r"\s*(\d{1,2})[.)]\s")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'“(]?[A-Z0-9])")
_ANSWER = re.compile(r"(?:^|\n)[\s*_#]*(?:the\s+)?(?:final\s+)?answer(?:\s+is)?[\s*_]*:[\s*_]*", re.IGNORECASE)

_HEADING = re.compile(r"^[\s*_#]*steps[\s*_]*:[*_]*", re.IGNORECASE | re.MULTILINE)
_REFUSED = ("refusal", "filter")


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
    """Longest answer without a chain; of a sentence `SENTENCE` times as many."""
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
    """answered, abstained (it says that it does not know), unparsed, truncated, refused."""
    logprob: float | None = None
    """Mean log-probability of the tokens that were written, where the model tells."""
    answer_logprob: float | None = None
    """Sum over the answer's tokens, where the model tells."""

    @property
    def rationale(self) -> str:
        """The steps as one text."""
        return " ".join(self.steps)


async def direct(question: Question, lm: LM, asking: Asking) -> Chain:
    """An answer without a chain; of what holds none, the model is asked once for the answer alone."""
    with step("answer directly"):
        shots = [Exchange(_shown(d.question, asking), d.answer) for d in asking.demonstrations]
        put = prompt(lm, _task(question, chain=False), shots, _shown(question, asking), ANSWER, chat=asking.chat)
        chain, said = await _completed(question, lm, asking, put, ())
        if chain.outcome == "unparsed" and one_line(said):
            mended = await _repaired(question, lm, asking, replace(chain, steps=(one_line(said),)))
            chain = replace(mended, steps=())
        return _noted(chain)


async def sample(question: Question, lm: LM, asking: Asking, samples: int, temperature: float) -> tuple[Chain, ...]:
    """`samples` chains, in the order of their indices; each with its own steps and answer together."""
    with step("sample chains", samples=samples, temperature=temperature):
        put = _chain_prompt(question, lm, asking)
        came = await draw(
            lm,
            put,
            max_tokens=asking.max_tokens,
            stop=_stops(put, question, "\n\n"),
            samples=samples,
            temperature=temperature,
            seed=asking.seed,
        )
        chains = [read(question, one, _begun(lm, put, 1)) for one in came]
        chains = await together(_repaired(question, lm, asking, chain) for chain in chains)
        note(chains=[{"steps": list(c.steps), "answer": c.answer, "outcome": c.outcome} for c in chains])
        return tuple(chains)


async def finish(question: Question, lm: LM, asking: Asking, steps: Sequence[str]) -> Chain:
    """The answer that follows from given steps: the chain's prompt with the steps already written."""
    with step("finish", given=list(steps)):
        put = _chain_prompt(question, lm, asking, f"{_numbered(steps)}\n{ANSWER}")
        chain, _ = await _completed(question, lm, asking, put, tuple(steps))
        return _noted(replace(chain, logprob=None))


async def go_on(question: Question, lm: LM, asking: Asking, steps: Sequence[str]) -> tuple[str, ...]:
    """The steps that follow a chain's first ones, which are decided; none where the model goes on to the answer."""
    with step("go on", given=list(steps)):
        put = _chain_prompt(question, lm, asking, f"{_numbered(steps)}\n{len(steps) + 1}.")
        stop = _stops(put, question, "\n\n")
        (came,) = await draw(lm, put, max_tokens=asking.max_tokens, stop=stop, seed=asking.seed)
        rest = read(question, came, _begun(lm, put, len(steps) + 1)).steps
        told = 0  # who cannot be prefilled may repeat what is decided
        while told < min(len(steps), len(rest)) and answer_form(rest[told]) == answer_form(steps[told]):
            told += 1
        note(steps=list(rest[told:]))
        return rest[told:]


def read(question: Question, came: Completion, begun: str = "") -> Chain:
    """A chain out of what was written after `begun`."""
    if came.finish in _REFUSED:
        return Chain((), "", "refused", _mean(came))
    cue = _cue(came.text)
    if cue is not None:
        before = _ANSWER.split(came.text, 1)[0]  # up to the first cue, where it changed its mind
        steps = split_steps(f"{begun} {before}")
        return _answered(steps, came, came.text[cue.end() :], cue.end(), question)
    steps = split_steps(f"{begun} {came.text}")
    if came.finish == "length" and len(steps) > 1 and not steps[-1].endswith((".", "!", "?")):
        steps = steps[:-1]  # what was cut in its middle is no fact
    return Chain(steps, "", _ending(came), _mean(came))


def split_steps(written: str) -> tuple[str, ...]:
    """The steps of a chain, each once: its numbered lines, or its sentences where it has none."""
    steps: list[str] = []
    numbered = False
    for line in (part for whole in _HEADING.sub("", written).splitlines() for part in _unrolled(whole)):
        if mark := _NUMBERED.fullmatch(line):
            if not numbered and _begins(line, steps):
                steps.clear()  # what stands in front of the list is its announcement
            numbered = True
            steps.append(mark[1].strip())
        elif numbered and line.strip():
            steps[-1] = f"{steps[-1]} {line.strip()}".strip()
        else:
            steps += [part.strip() for part in _SENTENCE_END.split(line.strip())]
    return tuple(dict.fromkeys(text for text in steps if text))  # small models go round in circles


def _begins(line: str, before: Sequence[str]) -> bool:
    """Whether a list begins with this line, rather than going on after a first step whose number was given."""
    number = _NUMBER.match(line)
    return int(number[1]) == 1 if number else bool(before) and before[-1].endswith(":")


def _unrolled(line: str) -> list[str]:
    """A line in which the numbers go on, `1. A. 2. B.`, as one for each."""
    parts = []
    while (mark := _NUMBER.match(line)) and (following := re.search(rf"\s+(?={int(mark[1]) + 1}[.)]\s)", line)):
        parts.append(line[: following.start()])
        line = line[following.end() :]
    return [*parts, line]


# ── Pieces ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _chain_prompt(question: Question, lm: LM, asking: Asking, begun: str = "\n1.") -> Prompt:
    shots = [Exchange(_shown(d.question, asking), _written(d)) for d in asking.demonstrations]
    instruction = _task(question, chain=True)
    return prompt(lm, instruction, shots, _shown(question, asking), STEPS, begun, chat=asking.chat)


def _written(d: Demonstration) -> str:
    # The checked steps: what a model might have written may be false, and then the answer does not follow from it.
    return f"{_numbered([worked.checked or worked.text for worked in d.steps])}\n{ANSWER} {d.answer}"


def _numbered(steps: Sequence[str]) -> str:
    return "".join(f"\n{n}. {one_line(text)}" for n, text in enumerate(steps, 1))


def _begun(lm: LM, put: Prompt, n: int) -> str:
    """The number that the model goes on after, where it does not have to write it itself."""
    return f"{n}." if lm.abilities.prefill or not is_chat(put) else ""


def _stops(put: Prompt, question: Question, end: str) -> tuple[str, ...]:
    """Where a model that continues plain text is through; none goes on with a case of its own making."""
    following = f"\n{kinds.of(question).asks}:"
    return (following,) if is_chat(put) else (end,) if end == "\n" else (end, following)


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


async def _completed(
    question: Question, lm: LM, asking: Asking, put: Prompt, steps: tuple[str, ...]
) -> tuple[Chain, str]:
    """The answer alone, after the cue, and all that was written."""
    most = asking.answer_tokens * (SENTENCE if kinds.of(question).name == "sentence" else 1)
    repeats = is_chat(put) and not lm.abilities.prefill and bool(steps)  # such a model may write its steps again
    most += asking.max_tokens if repeats else 0
    (came,) = await draw(lm, put, max_tokens=most, stop=_stops(put, question, "\n"), seed=asking.seed)
    if came.finish in _REFUSED:
        return Chain(steps, "", "refused", _mean(came)), ""
    at = cue.end() if (cue := _cue(came.text)) else 0  # who cannot be prefilled writes the cue again
    if repeats and cue is None and (again := split_steps(came.text)) and _same_steps(again[0], steps[0]):
        return Chain(steps, "", _ending(came), _mean(came)), came.text  # the steps again, and no answer behind them
    return _answered(steps, came, came.text[at:], at, question), came.text


def _same_steps(one: str, other: str) -> bool:
    """Whether a step is another one, or as much of it as was written."""
    first, second = answer_form(one), answer_form(other)
    return first == second or (bool(first) and len(first) > 10 and second.startswith(first))


def _answered(steps: tuple[str, ...], came: Completion, text: str, at: int, question: Question) -> Chain:
    """A chain whose answer stands in `text`, which begins at character `at` of the completion."""
    kind = kinds.of(question)
    answer = kind.read(text, question)
    cut = came.finish == "length" and kind.name in ("short", "sentence") and "\n" not in text.strip()
    if cut or not answer:
        return Chain(steps, "", _ending(came), _mean(came))
    if kinds.abstains(question, answer):
        return Chain(steps, "", "abstained", _mean(came))
    return Chain(steps, answer, "answered", _mean(came), _answer_logprob(came, text, at))


def _ending(came: Completion) -> str:
    return "truncated" if came.finish == "length" else "unparsed"


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
    """The last cue: models change their minds."""
    return max(_ANSWER.finditer(written), key=lambda found: found.start(), default=None)


async def _repaired(question: Question, lm: LM, asking: Asking, chain: Chain) -> Chain:
    """A chain that has steps and no answer, asked once for the answer alone."""
    if chain.answer or not chain.steps or chain.outcome == "abstained":
        return chain
    with step("repair", was=chain.outcome):
        mended = await finish(question, lm, asking, chain.steps)
        return replace(mended, logprob=chain.logprob) if mended.answer else chain


def _noted(chain: Chain) -> Chain:
    note(steps=list(chain.steps), answer=chain.answer, outcome=chain.outcome)
    return chain
