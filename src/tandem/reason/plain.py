"""Answering from what the model knows: directly, by a chain of thought, by the majority of several chains.

`standard` (Brown et al. 2020), `cot` (Wei et al. 2022), `cot_sc` (Wang et al. 2023), and the question how sure the
model says it is. Sources are not used; they stand in the signature because every method has the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from tandem.errors import UserError
from tandem.reason.agreement import Vote, vote
from tandem.reason.asking import draw, is_chat, prompt
from tandem.reason.chains import Asking, Chain, direct, sample
from tandem.reason.kinds import shown
from tandem.trace import note, step
from tandem.types import LM, Answer, Question, Source

_SHARE = re.compile(r"(?<![\w.,])(\d+(?:\.\d+)?)(?:\s*(?:/|out of)\s*(\d+))?(?!\w|\.\d)")


async def standard(question: Question, lm: LM, sources: Sequence[Source] = (), *, asking: Asking) -> Answer:
    """The answer at once."""
    return answer(await direct(question, lm, asking))


async def cot(question: Question, lm: LM, sources: Sequence[Source] = (), *, asking: Asking) -> Answer:
    """The answer at the end of the likeliest chain."""
    (chain,) = await sample(question, lm, asking, 1, 0.0)
    return answer(chain)


async def cot_sc(
    question: Question,
    lm: LM,
    sources: Sequence[Source] = (),
    *,
    asking: Asking,
    samples: int = 5,
    temperature: float = 0.7,
) -> Answer:
    """The answer most chains give; its confidence is their share."""
    found = await self_consistency(question, lm, asking, samples, temperature)
    return voted(found)


async def verbal(
    question: Question,
    lm: LM,
    sources: Sequence[Source] = (),
    *,
    asking: Asking,
    samples: int = 5,
    temperature: float = 0.7,
) -> Answer:
    """The answer most chains give; its confidence is what the model says of it when asked."""
    found = await self_consistency(question, lm, asking, samples, temperature)
    sure = await says_confident(question, found.best, lm, asking) if found.majority else None
    made = voted(found)
    facts = {key: value for key, value in made.facts.items() if key != "answer_logprob"}
    return replace(made, confidence=sure, facts=facts)


async def self_consistency(question: Question, lm: LM, asking: Asking, samples: int, temperature: float) -> Vote:
    """Chains and their vote. Raises UserError where the chains could not differ."""
    if samples > 1 and temperature == 0:
        problem = f"{samples} chains at temperature 0 are one and the same: they agree always"
        raise UserError(problem, where="temperature", remedy="give one above 0, or 1 sample")
    chains = await sample(question, lm, asking, samples, temperature)
    found = vote(question, chains)
    with step("vote"):
        note(count=found.count, n=found.n, mass=found.mass, answer=found.best.answer)
    return found


def answer(chain: Chain, confidence: float | None = None) -> Answer:
    """A chain as an answer."""
    facts = {"answer_logprob": chain.answer_logprob} if chain.answer_logprob is not None else {}
    return Answer(chain.answer, chain.rationale, confidence, chain.outcome, facts=facts)


def voted(found: Vote) -> Answer:
    """A vote as an answer."""
    made = answer(found.best, found.share)
    facts = {**made.facts, "count": found.count, "n": found.n, "mass": found.mass}
    return Answer(made.text, made.rationale, made.confidence, made.outcome, facts=facts)


async def says_confident(question: Question, chain: Chain, lm: LM, asking: Asking) -> float | None:
    """How sure the model says it is of a chain's answer, 0 to 1; None where it says no number, or there is no answer.

    The baseline of asking directly: models say that they are sure whether they are right or not.
    """
    if not chain.answer:
        return None
    with step("ask how sure"):
        given = f"{shown(question, context=asking.context)}\nProposed answer: {chain.answer}"
        task = "How sure are you that the proposed answer is right? Give a number from 0 (no) to 100 (certain)."
        put = prompt(lm, task, (), given, "Sure:", chat=asking.chat)
        (came,) = await draw(lm, put, max_tokens=8, stop=() if is_chat(put) else ("\n",), seed=asking.seed)
        sure = share_said(came.text)
        note(written=came.text, sure=sure)
        return sure


def share_said(text: str) -> float | None:
    """A share, 0 to 1, out of `90`, `90%`, `0.9`, `9/10`, `8 out of 10`; None where no number says one.

    A bare number is of 100, as was asked; one with a point that is at most 1 is a share already.
    """
    number = _SHARE.search(text.strip().removesuffix("."))
    if number is None:
        return None
    value, of = float(number[1]), float(number[2] or 100)
    if number[2] is None and "." in number[1] and value <= 1 and "%" not in text:
        of = 1.0
    return value / of if of > 0 and value <= of else None
