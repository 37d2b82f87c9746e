"""What the store holds: samples of requests, scores of continuations; and when a recorded sample serves a new question.

A request is compared by its canonical JSON and the model's name. `max_tokens` and `logprobs` are no part of it: they
say how much of an answer was wanted, and `fits` decides whether what is recorded is enough. What this does not do: know
what stands in a request's JSON (`lm.keys` does).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tandem.errors import CallFailed
from tandem.text import canonical
from tandem.types import Completion, Score, Token

_EXACT = 2**53


@dataclass(frozen=True)
class Request:
    """What was asked of which model. Equal requests have equal keys, and only they."""

    name: str
    """The model: a content hash, or a remote model's name."""
    body: str
    """What was asked: JSON with sorted keys, without spaces, whole numbers without a point."""
    key: str = field(init=False)
    """32 hex digits of the SHA-256 of name and body."""

    def __post_init__(self) -> None:
        digest = hashlib.sha256(self.name.encode("utf-8", "surrogatepass") + b"\n" + self.body.encode())
        object.__setattr__(self, "key", digest.hexdigest()[:32])

    @classmethod
    def of(cls, name: str, body: Mapping[str, Any]) -> Request:
        """The request of a JSON object. Raises ValueError on a number that is not finite."""
        return cls(name, canonical(normalised(body)).decode())


@dataclass(frozen=True)
class Sample:
    """What came back for one sample of a request."""

    request: Request
    """What was asked."""
    index: int
    """Which sample."""
    max_tokens: int
    """How many tokens it was allowed."""
    logprobs: bool
    """Whether log-probabilities were asked for."""
    outcome: Completion | CallFailed
    """The answer, refusal or filtered text; or the failure."""
    at: float
    """When it came, seconds since the epoch."""

    @property
    def finish(self) -> str:
        """stop, length, refusal, filter or failed."""
        return "failed" if isinstance(self.outcome, CallFailed) else self.outcome.finish

    @property
    def answered(self) -> bool:
        """Whether it is an answer, whole or truncated, and not one of the other outcomes."""
        return self.finish in ("stop", "length")


@dataclass(frozen=True)
class Scored:
    """How likely one continuation of a context is."""

    request: Request
    """The context and how it is read."""
    continuation: str
    """The continuation."""
    score: Score
    """Its score."""
    at: float
    """When it came, seconds since the epoch."""


Record: TypeAlias = Sample | Scored


def fits(
    finish: str,
    *,
    asked: int,
    written: int,
    asked_logprobs: bool,
    has_tokens: bool,
    max_tokens: int,
    logprobs: bool,
) -> bool:
    """Whether a sample recorded under `asked` tokens serves one that may have `max_tokens`, with `logprobs` or without.

    A finished answer does when its `written` tokens fit, or when it finished under a limit no wider than the new one;
    a truncated answer and a failure only under the same limit. Where log-probabilities are wanted the answer has them,
    or was itself asked for them in vain: asking again would pay for the same twice.
    """
    if finish == "failed":
        return asked == max_tokens and asked_logprobs == logprobs
    if logprobs and not has_tokens and not asked_logprobs:
        return False
    if finish == "length":
        return asked == max_tokens
    return min(written or asked, asked) <= max_tokens


def digest(continuation: str) -> str:
    """32 hex digits that stand for a continuation in an index."""
    return hashlib.sha256(continuation.encode("utf-8", "surrogatepass")).hexdigest()[:32]


# ── Values SQLite and JSON have no word for ─────────────────────────────────────────────────────────────────────────


def number(x: float) -> float | str:
    """A number for JSON: one that is not finite becomes its name."""
    return float(x) if math.isfinite(x) else repr(float(x))


def text_cell(text: str) -> str | bytes:
    """Text for a cell: with a lone surrogate, which UTF-8 cannot hold, it becomes bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def cell_text(cell: str | bytes) -> str:
    """The inverse of `text_cell`."""
    return cell if isinstance(cell, str) else cell.decode("utf-8", "surrogatepass")


def token_list(tokens: tuple[Token, ...]) -> list[list[Any]]:
    """Tokens as [text, log-probability, start, end] for JSON; [text, log-probability] of each alternative behind."""
    return [[t.text, number(t.logprob), t.start, t.end, *_alternatives(t)] for t in tokens]


def _alternatives(token: Token) -> list[list[list[Any]]]:
    return [[[text, number(logprob)] for text, logprob in token.alternatives]] if token.alternatives else []


def tokens_of(listed: list[list[Any]]) -> tuple[Token, ...]:
    """The inverse of `token_list`."""
    return tuple(
        Token(text, float(lp), start, end, tuple((other, float(its)) for others in more for other, its in others))
        for text, lp, start, end, *more in listed
    )


def normalised(value: Any) -> Any:
    """A value as it is keyed: whole numbers as integers, so that 1 and 1.0 are the same; tuples as lists."""
    if isinstance(value, str):  # nearly everything, and most of the time
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value
    if isinstance(value, Mapping):
        return {key: normalised(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [normalised(v) for v in value]
    return value
