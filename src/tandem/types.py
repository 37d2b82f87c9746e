"""The words everyone uses: what a model takes and gives, what can be looked up, what methods and benchmarks are.

Frozen dataclasses and Protocols only. Nothing here does anything; rooms that must not know each other meet here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

Role: TypeAlias = Literal["system", "user", "assistant"]

# ── Prompts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    """Who speaks."""
    content: str
    """What is said, as plain text."""


@dataclass(frozen=True)
class Text:
    """A plain prompt that the model continues."""

    text: str
    """The text to continue, exactly as the model shall see it."""


@dataclass(frozen=True)
class Chat:
    """A conversation that the assistant continues."""

    messages: tuple[Message, ...]
    """Turns in order; the last one is not the assistant's."""
    prefill: str = ""
    """The beginning of the assistant's answer, already decided; the model continues it."""


Prompt: TypeAlias = Text | Chat

# ── Sampling and its outcome ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Sampling:
    """How to draw an answer."""

    temperature: float | None = 0.0
    """0 takes the most likely token; 1 samples from the model's own distribution; None leaves it to the back end."""
    top_p: float = 1.0
    """Nucleus: sample among the most likely tokens that together hold this probability."""
    max_tokens: int = 256
    """At most this many new tokens."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer; the answer does not contain them."""
    seed: int = 0
    """Noise is drawn by counter from (seed, request, sample, position); remote back ends that take a seed get it."""
    logprobs: bool = False
    """Whether the tokens and their log-probabilities are wanted."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of every token already in the answer."""
    ignore_end: bool = False
    """Continue past the end-of-text token; for speed measurements."""
    alternatives: int = 0
    """With `logprobs`: how many of the likeliest tokens are wanted at each place, beside the one that was written."""


@dataclass(frozen=True)
class Token:
    """One generated token."""

    text: str
    """The characters it added (may be empty inside a multi-byte character)."""
    logprob: float
    """Natural log of its probability."""
    start: int
    """First byte in the UTF-8 answer."""
    end: int
    """One past its last byte."""
    alternatives: tuple[tuple[str, float], ...] = ()
    """The likeliest tokens at its place, itself among them where it is one of them, and their log-probabilities."""


@dataclass(frozen=True)
class Usage:
    """What a call cost."""

    prompt_tokens: int
    """Tokens read."""
    completion_tokens: int
    """Tokens written, reasoning included."""
    cached_tokens: int = 0
    """Of the tokens read, those whose state was re-used."""
    reasoning_tokens: int = 0
    """Of the tokens written, those of a hidden chain of reasoning, where the back end tells."""


Finish: TypeAlias = Literal["stop", "length", "refusal", "filter", "failed"]


@dataclass(frozen=True)
class Completion:
    """One answer."""

    text: str
    """The answer without prefill and without the stop text."""
    finish: Finish
    """Why it ended: at a stop, at the token limit, refused, filtered, or failed."""
    tokens: tuple[Token, ...] | None
    """Tokens with log-probabilities, when asked for."""
    usage: Usage
    """Tokens read and written."""
    served_model: str
    """The name the back end gives itself."""
    notes: tuple[str, ...] = ()
    """What was not as asked, by name: a policy that was applied, a field the server passed over in silence."""


@dataclass(frozen=True)
class Score:
    """How likely a given continuation is."""

    logprob: float
    """Sum of the log-probabilities of the continuation's tokens (nats)."""
    tokens: int
    """Number of tokens it rests on."""
    greedy: bool
    """Whether every token was the most likely one."""


@dataclass(frozen=True)
class Count:
    """A number of tokens."""

    tokens: int
    """How many."""
    exact: bool
    """Whether counted by the model's own tokenizer, or estimated."""


@dataclass(frozen=True)
class Abilities:
    """What a model can be asked for: declared, never assumed."""

    context: int
    """Longest prompt plus answer, in tokens."""
    chat: bool = False
    """Takes conversations."""
    text: bool = True
    """Continues a plain text."""
    prefill: bool = False
    """Continues a begun answer."""
    many: bool = False
    """Draws several samples in one call."""
    temperature: bool = False
    """Obeys a temperature (and a nucleus)."""
    seed: bool = False
    """Repeats a sample from a seed."""
    logprobs: bool = False
    """Returns log-probabilities of its own tokens."""
    scoring: bool = False
    """Returns log-probabilities of given continuations."""
    stop: bool = True
    """Ends at given texts."""
    presence_penalty: bool = False
    """Obeys a presence penalty."""
    ignore_end: bool = False
    """Can be told to write past its own end mark."""
    alternatives: int = 0
    """The likeliest tokens that it lists at each place, at most."""


@runtime_checkable
class LM(Protocol):
    """Anything that continues text."""

    name: str
    """Content hash of what answers (weights, adapter, tokenizer, template, dtype), or the remote model's name."""
    abilities: Abilities
    """What may be asked of it."""

    async def generate(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Completion, ...]:
        """One completion per sample index in `samples`; an index drawn before comes back the same."""
        ...

    async def score(
        self, context: Prompt, continuations: Sequence[str], *, cut_left: bool = False
    ) -> tuple[Score, ...]:
        """Log-probability of each continuation after `context`, tokenised jointly; an empty text is a model's start.

        With `cut_left` a context that is too long loses its beginning; without, it is an error that gives both lengths.
        """
        ...

    def count(self, prompt: Prompt) -> Count:
        """Length of a prompt in tokens."""
        ...


# ── Looking things up ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Schema:
    """What a source holds, in words a model can use to write a query."""

    summary: str
    """One or two sentences."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Tables, predicates or collections, each with its description."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found."""

    text: str
    """The finding as a sentence or passage."""
    title: str = ""
    """Where it stands: a page, a table, a document."""
    score: float | None = None
    """The source's own relevance, higher is better."""
    source: str = ""
    """Name of the source that gave it."""
    place: str = ""
    """Where a person can look at it: `FILE:LINE`, `FILE#page=3`, a URL, a table's row."""
    query: str = ""
    """The query it answers, as it was sent."""
    as_of: str = ""
    """Date or version of the text, where known."""


@dataclass(frozen=True)
class Result:
    """The outcome of one look-up. Nothing found is a result; a bad query or a source that is down is an error."""

    findings: tuple[Finding, ...]
    """Best first."""
    complete: bool
    """False when the source cut its answer short."""
    as_of: str | None = None
    """Date or version of the knowledge, when known."""


@runtime_checkable
class Source(Protocol):
    """Anything that can be looked up."""

    name: str
    """Short name for traces and reports."""
    language: Literal["text", "sparql", "sql"]
    """The language its queries are written in."""

    def describe(self) -> Schema:
        """What it holds."""
        ...

    def about(self, question: Question) -> Source:
        """The part of the source that belongs to one question (a data set's own paragraphs), or itself."""
        ...

    async def look_up(self, query: str, limit: int) -> Result:
        """At most `limit` findings for a query in `language`."""
        ...


# ── Questions, answers, methods, benchmarks ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Question:
    """Something to be answered."""

    id: str
    """Unique within its set; results are sorted by it."""
    text: str
    """The question as asked."""
    answers: tuple[str, ...] = ()
    """Accepted answers, the first is canonical; empty where the gold answer is withheld."""
    choices: tuple[str, ...] = ()
    """Options of a multiple-choice question."""
    context: tuple[str, ...] = ()
    """Passages that come with it (gold and distractors, order as given)."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Anything else: task, hops, evidence, reasoning chain."""


@dataclass(frozen=True)
class Answer:
    """What a method says to a question."""

    text: str
    """The answer, extracted."""
    rationale: str = ""
    """The reasoning it rests on."""
    confidence: float | None = None
    """Between 0 and 1, when the method has one."""
    outcome: str = "answered"
    """Named outcome: answered, abstained, unparsed, truncated, refused, failed."""
    findings: tuple[Finding, ...] = ()
    """What it rests on, for a person to open."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the method tells besides, as JSON values: votes, gate score, the answer before editing."""


Method: TypeAlias = Callable[[Question, LM, Sequence[Source]], Awaitable[Answer]]
"""Settings are a frozen dataclass bound by `functools.partial`, and hashed into the run."""


@dataclass(frozen=True)
class Benchmark:
    """Items, how each is asked, and how an answer is scored."""

    name: str
    """Name for tables."""
    items: Sequence[Question]
    """What is asked."""
    prompt: Callable[[Question], Prompt]
    """The question as the model sees it."""
    score: Callable[[Question, str], float]
    """Between 0 and 1."""
    chance: float | None = None
    """Expected score of guessing."""


# ── What rooms receive from the roof ────────────────────────────────────────────────────────────────────────────────


@runtime_checkable
class Encoder(Protocol):
    """Text to token ids and back."""

    @property
    def vocabulary(self) -> int:
        """Number of rows an embedding table for it needs."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without marks at its ends."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids; invalid UTF-8 becomes replacement characters."""
        ...


class Judge(Protocol):
    """Says which of two answers is better."""

    async def prefer(self, question: Question, first: str, second: str) -> float:
        """Probability that `second` is preferred."""
        ...


class Trainer(Protocol):
    """Makes a better model out of examples."""

    async def __call__(self, examples: Sequence[Chat], *, out: Path) -> LM:
        """Tune on `examples`, keep the result in `out`, return it ready to answer."""
        ...


class Runner(Protocol):
    """Runs a program nobody trusts."""

    async def run(self, program: str, *, seconds: float) -> AsyncIterator[str]:
        """Standard output of a sandboxed program."""
        ...
