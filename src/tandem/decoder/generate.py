"""Generating for callers that have all their prompts: ids in, ids out, on an engine of their own.

Requests that come one by one, texts and stop texts are for `lm`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from tandem.decoder.engine import PASS_TOKENS, Engine, run
from tandem.decoder.jobs import Writing, Written
from tandem.decoder.model import Decoder
from tandem.decoder.sampling import Rule
from tandem.errors import UserError


def generate(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    stop_ids: Collection[int] = frozenset(),
    seed: int = 0,
    pass_tokens: int = PASS_TOKENS,
) -> list[list[int]]:
    """Continue each prompt by at most `max_tokens` tokens; an answer ends before a stop id or at the context's end.

    `temperature` 0 is greedy; otherwise a draw from the most likely tokens that together hold `top_p`, with noise from
    (seed, prompt, its index, position in the answer). In float32 the result of a prompt does not depend on the others,
    up to rounding; bfloat16 ties may fall either way.
    Raises `UserError` on an empty prompt, one that leaves no room in the context, or ids outside the vocabulary.
    """
    rule = _rule(temperature, top_p)
    engine = Engine(model, pass_tokens=pass_tokens)
    answers: list[list[int]] = [[] for _ in prompts]

    def keep(written: Written) -> None:
        answers[written.sample] = written.tokens

    for i, prompt in enumerate(prompts):
        job = Writing(prompt, max_tokens, keep, samples=(i,), rule=rule, seed=seed, stop_ids=frozenset(stop_ids))
        _add(engine, job, f"prompt {i}")
    run(engine)
    return answers


def _add(engine: Engine, job: Writing, where: str) -> None:
    try:
        engine.add(job)
    except UserError as e:
        raise UserError(e.problem, where=where, remedy=e.remedy) from None


def _rule(temperature: float, top_p: float) -> Rule:
    if not 0 <= temperature < math.inf:
        raise UserError(
            f"is {temperature:g}", where="temperature", remedy="0 is greedy, 1 the model's own distribution"
        )
    if not 0 < top_p <= 1:
        raise UserError(f"is {top_p:g}", where="top_p", remedy="give a share above 0, at most 1")
    return Rule(temperature, top_p)
