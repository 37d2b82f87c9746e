"""A back end of the tests' own: answers made from what it is asked, a ledger of calls, and failures on command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tandem.types import Abilities, Chat, Completion, Count, Prompt, Sampling, Score, Text, Token, Usage

ABLE = Abilities(
    context=10_000,
    chat=True,
    prefill=True,
    many=True,
    temperature=True,
    seed=True,
    logprobs=True,
    scoring=True,
    presence_penalty=True,
    ignore_end=True,
)


class Ledger:
    """Every call is written down. An answer has one word per token, as many as `words` says, and names its draw."""

    def __init__(
        self, abilities: Abilities = ABLE, *, name: str = "ledger", words: int = 5, delay: float = 0.0
    ) -> None:
        self.name = name
        self.abilities = abilities
        self.words = words
        self.delay = delay
        self.served = "ledger-1"
        self.calls: list[tuple[Prompt, Sampling, range]] = []
        self.scored: list[tuple[Prompt, tuple[str, ...], bool]] = []
        self.fails: Callable[[Prompt, range], Exception | None] = lambda prompt, samples: None
        self.gives: Callable[[range], range] = lambda samples: samples
        self.finish = "stop"
        self.notes: tuple[str, ...] = ()
        self.cancelled = 0
        self.closed = False
        self.draws = 0

    async def generate(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Completion, ...]:
        self.calls.append((prompt, sampling, samples))
        try:
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if problem := self.fails(prompt, samples):
            raise problem
        return tuple(self._answer(sampling, i) for i in self.gives(samples))

    def _answer(self, sampling: Sampling, index: int) -> Completion:
        self.draws += 1
        words = [f"w{self.draws}", *(f"x{index}" for _ in range(self.words - 1))][: sampling.max_tokens]
        text, tokens = "", []
        for word in words:
            piece = f" {word}" if text else word
            tokens.append(Token(piece, -0.5, len(text), len(text) + len(piece)))
            text += piece
        finish = self.finish if self.words <= sampling.max_tokens else "length"
        usage = Usage(7, len(words))
        return Completion(text, finish, tuple(tokens) if sampling.logprobs else None, usage, self.served, self.notes)

    async def score(
        self, context: Prompt, continuations: Sequence[str], *, cut_left: bool = False
    ) -> tuple[Score, ...]:
        self.scored.append((context, tuple(continuations), cut_left))
        await asyncio.sleep(self.delay)
        return tuple(Score(-float(len(text)), len(text.split()), len(text) < 3) for text in continuations)

    def count(self, prompt: Prompt) -> Count:
        text = prompt.text if isinstance(prompt, Text) else " ".join(m.content for m in prompt.messages)
        return Count(max(7, len(text.split())), exact=True)

    async def close(self) -> None:
        self.closed = True


def said(prompt: Prompt) -> str:
    """The words of a prompt."""
    return prompt.messages[-1].content if isinstance(prompt, Chat) else prompt.text
