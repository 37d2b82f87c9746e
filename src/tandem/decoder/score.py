"""Scoring for callers that have all their pairs: how likely a model finds given continuations of given contexts.

What this does not do: tokenise (context and continuation must be cut where the tokenizer cuts them), or normalise by
length.
"""

from __future__ import annotations

from collections.abc import Sequence

from tandem.decoder.continuations import Scored
from tandem.decoder.engine import PASS_TOKENS, Engine, run
from tandem.decoder.jobs import Scoring
from tandem.decoder.model import Decoder
from tandem.errors import UserError

__all__ = ["Scored", "score"]

TOGETHER = 64
"""Continuations of one context that are read as branches of one text; their attention mask is a square."""


def score(
    model: Decoder, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], *, pass_tokens: int = PASS_TOKENS
) -> list[Scored]:
    """Log-probability of each continuation after its context, in the order given. Equal contexts are read once.

    Raises `UserError` on an empty context or continuation, or when both together exceed the model's context.
    """
    engine = Engine(model, pass_tokens=pass_tokens)
    results: list[Scored | None] = [None] * len(pairs)
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, (context, _) in enumerate(pairs):
        alike.setdefault(tuple(context), []).append(i)
    for context, members in alike.items():
        for at in range(0, len(members), TOGETHER):
            some = members[at : at + TOGETHER]

            def keep(scores: list[Scored], some: list[int] = some) -> None:
                for i, scored in zip(some, scores, strict=True):
                    results[i] = scored

            sequences = [[*context, *pairs[i][1]] for i in some]
            try:
                engine.add(Scoring(sequences, [len(context)] * len(some), keep))
            except UserError as e:
                which = some[int((e.where or "0").rpartition(" ")[2])]
                raise UserError(e.problem, where=f"pair {which}", remedy=e.remedy) from None
    run(engine)
    assert None not in results
    return [scored for scored in results if scored is not None]
