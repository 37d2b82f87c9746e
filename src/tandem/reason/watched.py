"""A model whose calls stand in the trace of the question that they are made for, with their tokens and their price.

Every model that is asked on behalf of a question is asked through this one: the model that answers, and those that
write its queries. A recorded answer stands there with what it cost when it was asked for, so that a run that reads its
record tells the same. A prompt counts once a call, however many samples are drawn of it: a server reports it so, an
engine of this machine reports it with every sample, as re-used.

What this does not do: keep to limits (budgets do) or keep answers (the store does).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tandem.errors import CallFailed
from tandem.text import fingerprint
from tandem.trace import note, step
from tandem.types import LM, Completion, Count, Prompt, Sampling, Score, Text, Usage

TOO_LONG = "too-long"
"""Kind of failure of a prompt that leaves a model no room."""
PROMPT_END = 600
"""Characters of a prompt that a trace keeps; its fingerprint tells the rest."""


class Watched:
    """A model whose calls stand in the trace: the end of the prompt, what was written, tokens, and money if priced."""

    def __init__(self, lm: LM) -> None:
        self._lm = lm
        self.name, self.abilities = lm.name, lm.abilities
        self._prices = getattr(lm, "prices", None)

    async def generate(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Completion, ...]:
        """As the model's own. A prompt that leaves no room is a failure of its question, not of the run."""
        with step("generate", **_asked(prompt), samples=len(samples), temperature=sampling.temperature):
            self._fits(prompt)
            came = await self._lm.generate(prompt, sampling, samples)
            note(
                written=[one.text for one in came],
                tokens_read=max((one.usage.prompt_tokens for one in came), default=0),
                tokens_written=sum(one.usage.completion_tokens for one in came),
                **self._money(one.usage for one in came),
            )
            if ends := [one.finish for one in came if one.finish != "stop"]:
                note(finish=ends)
            return came

    async def score(
        self, context: Prompt, continuations: Sequence[str], *, cut_left: bool = False
    ) -> tuple[Score, ...]:
        """As the model's own."""
        with step("score", **_asked(context), continuations=list(continuations)):
            came = await self._lm.score(context, continuations, cut_left=cut_left)
            read = sum(one.tokens for one in came)
            note(logprobs=[one.logprob for one in came], tokens_read=read, **self._money([Usage(read, 0)]))
            return came

    def count(self, prompt: Prompt) -> Count:
        """As the model's own."""
        return self._lm.count(prompt)

    def _money(self, usages: Iterable[Usage]) -> dict[str, float]:
        money = sum(self._prices.money(usage) for usage in usages) if self._prices else 0.0
        return {"money": money} if money else {}

    def _fits(self, prompt: Prompt) -> None:
        length, most = self._lm.count(prompt), self.abilities.context
        if length.exact and length.tokens >= most and "cut-left" not in getattr(self._lm, "allowed", ()):
            problem = f"a prompt of {length.tokens:,} tokens leaves no room in a context of {most:,}"
            remedy = "give fewer examples (--shots) or findings (--top), or allow cut-left"
            raise CallFailed(problem, kind=TOO_LONG, where=self.name, remedy=remedy)


def _asked(prompt: Prompt) -> dict[str, Any]:
    text = prompt.text if isinstance(prompt, Text) else "\n".join(_turns(prompt))
    end = text[-PROMPT_END:]
    return {"prompt": end if end == text else f"… {end}", "fingerprint": fingerprint(text)}


def _turns(prompt: Any) -> Iterator[str]:
    for message in prompt.messages:
        yield f"{message.role}: {message.content}"
    if prompt.prefill:
        yield f"assistant: {prompt.prefill}"
