"""One question to a model, and what became of it: an answer, or a named reason why there is none.

Whatever the model lacks is raised before anything is sent. What this does not do: decide what an outcome means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tandem.errors import BudgetSpent, CallFailed, Unsupported, UserError
from tandem.evaluate.judged.pair import Outcome
from tandem.lm.model import Model
from tandem.lm.policies import check_scoring
from tandem.types import Chat, Completion, Sampling, Score


@dataclass(frozen=True)
class Lost:
    """A question without an answer."""

    outcome: Outcome
    """too long, failed, not asked."""
    why: str
    """In words."""


async def ask(model: Model, prompt: Chat, sampling: Sampling) -> Completion | Lost:
    """The model's answer; a refusal is one, too. Raises Unsupported where the model lacks what is asked for."""
    try:
        model.check(prompt, sampling)
    except Unsupported:
        raise
    except UserError as e:
        return Lost("too long", e.problem)
    (came,) = await model.outcomes(prompt, sampling)
    return came if isinstance(came, Completion) else lost(came)


async def score(model: Model, prompt: Chat, continuations: Sequence[str]) -> tuple[Score, ...] | Lost:
    """How likely the model finds each continuation. Raises Unsupported where it cannot say."""
    check_scoring(prompt, model.abilities, name=model.name)
    cut = "cut-left" in model.allowed
    length = model.count(prompt)
    if not cut and length.exact and length.tokens >= model.abilities.context:
        return Lost("too long", f"a prompt of {length.tokens:,} tokens, a context of {model.abilities.context:,}")
    try:
        return await model.score(prompt, continuations, cut_left=cut)
    except (CallFailed, BudgetSpent) as e:
        return lost(e)


def lost(e: CallFailed | BudgetSpent) -> Lost:
    """What a failed call means."""
    kind = f"{e.kind}: " if isinstance(e, CallFailed) else ""
    return Lost("failed" if isinstance(e, CallFailed) else "not asked", kind + e.problem)


def check_chat(model: Model, who: str) -> None:
    """Raise Unsupported where a model takes no conversation."""
    if not model.abilities.chat:
        problem = f"{who} takes no conversation, and is asked in one"
        raise Unsupported(problem, where=model.name, remedy="use a model with a chat template")
