"""What a padded batch is made of: prompts with the samples drawn after them, contexts with the texts scored after them.

What this does not do: run (`padded` does).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeAlias

from tandem.decoder.sampling import Rule
from tandem.decoder.score import Scored
from tandem.lm.growing import Growing
from tandem.types import Finish


@dataclass(eq=False)
class Row:
    """One sample on its way."""

    index: int
    """Its sample index."""
    rule: Rule
    """How its tokens are chosen."""
    stream: int
    """Seed of its prompt's noise, of which the sample index picks its own."""
    start: Callable[[], Growing]
    """Makes the answer it writes; called again when a batch has to begin anew."""
    logprobs: bool = False
    """Whether log-probabilities are wanted."""
    finish: Finish | None = None
    """Why it ended."""
    tokens: list[int] = field(default_factory=list)
    """What was drawn, an end mark included."""

    def begin(self) -> None:
        """Back to an empty answer."""
        self.answer = self.start()
        self.tokens, self.finish = [], None


@dataclass(eq=False)
class Generation:
    """A prompt and its samples."""

    ids: list[int]
    """The prompt, not empty."""
    rows: list[Row]
    """One per sample."""
    limit: int
    """Most new tokens per row."""
    ends: frozenset[int]
    """Ids that end a row."""
    future: Future[list[Row]] = field(default_factory=Future)
    """Resolves with the rows when all have ended."""

    @property
    def columns(self) -> int:
        """Columns of cache one row needs."""
        return len(self.ids) + self.limit


@dataclass(eq=False)
class Scoring:
    """A context and its continuations."""

    ids: list[int]
    """The context, not empty."""
    continuations: list[list[int]]
    """None of them empty."""
    future: Future[list[Scored]] = field(default_factory=Future)
    """Resolves with one result per continuation."""

    @property
    def rows(self) -> list[list[int]]:
        """What shares the context."""
        return self.continuations

    @property
    def columns(self) -> int:
        """Columns of cache one row needs."""
        return len(self.ids) + self.longest

    @property
    def longest(self) -> int:
        """Tokens of the longest continuation."""
        return max(map(len, self.continuations))


Job: TypeAlias = Generation | Scoring
