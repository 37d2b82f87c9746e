"""Many prompts asked of a model at once, in an order that lets an engine share what they have in common.

Prompts that begin alike come next to each other when they are sorted, so a back end that keeps what it has read reads
every common beginning once. Answers come by id, whatever the order. What this does not do: shorten a prompt; one that
does not fit is an error before anything is sent, since what would be cut may be what is asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias

from tandem.errors import BudgetSpent, CallFailed, UserError
from tandem.text import count
from tandem.together import together
from tandem.types import LM, Chat, Completion, Message, Prompt, Sampling, Text

Outcome: TypeAlias = Literal["answered", "truncated", "empty", "refused"]
OUTCOMES: tuple[Outcome, ...] = ("answered", "truncated", "empty", "refused")


class Asked(LM, Protocol):
    """A model as far as it is needed here."""

    def check(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> None:
        """Raise what asking would raise before anything is sent."""
        ...

    async def outcomes(
        self, prompt: Prompt, sampling: Sampling, samples: range = range(1)
    ) -> tuple[Completion | CallFailed | BudgetSpent, ...]:
        """What became of each sample."""
        ...


@dataclass(frozen=True)
class Asking:
    """How a task asks."""

    sampling: Sampling = field(default_factory=Sampling)
    """How answers are drawn; a task lowers `max_tokens` to what its answers need, and adds its stop texts."""
    chat: bool = False
    """In conversation instead of as a text to continue."""
    done: Callable[[], None] = lambda: None
    """Hears of every answer."""

    def prompt(self, body: str, cue: str) -> Prompt:
        """A prompt: the body as a turn, or the body and a cue that the model continues."""
        return Chat((Message("user", body),)) if self.chat else Text(f"{body}\n{cue}")

    def how(self, most: int, *stop: str) -> Sampling:
        """The sampling for answers of at most so many tokens; stop texts are for texts, a conversation has turns."""
        own = () if self.chat else stop
        sampling = self.sampling
        return replace(sampling, max_tokens=min(most, sampling.max_tokens), stop=(*own, *sampling.stop))


@dataclass(frozen=True)
class Request:
    """One prompt."""

    id: str
    """Unique within its task."""
    prompt: Prompt
    """What the model sees."""
    sampling: Sampling
    """How the answer is drawn."""


@dataclass(frozen=True)
class Reply:
    """What came."""

    text: str
    """What was written."""
    outcome: Outcome
    """What became of it; everything counts in the denominator."""
    cut: bool = False
    """Whether the prompt lost its beginning, which only the policy cut-left allows."""
    read: int = 0
    """Tokens of the prompt."""
    shared: int = 0
    """Of them, those whose state was re-used."""


@dataclass(frozen=True)
class Replies:
    """All that came of a task's prompts."""

    got: dict[str, Reply]
    """By id."""
    missing: tuple[tuple[str, str], ...]
    """(id, why) of prompts without an answer: never counted as wrong."""

    def notes(self) -> list[str]:
        """What a reader has to know beside the figures."""
        told = []
        if cut := sum(reply.cut for reply in self.got.values()):
            told.append(f"CUT: {count(cut)} of {count(len(self.got))} prompts lost their beginning (--allow cut-left)")
        for outcome in OUTCOMES[1:]:
            if n := sum(reply.outcome == outcome for reply in self.got.values()):
                told.append(f"{count(n)} of {count(len(self.got))} answers were {outcome}: they count as they stand")
        if self.missing:
            total = len(self.got) + len(self.missing)
            told.append(f"MISSING: {count(len(self.missing))} of {count(total)} answers; first: {self.missing[0][1]}")
        return told

    def aside(self) -> tuple[str, ...]:
        """How much of what was read had been read before."""
        read, shared = (sum(getattr(reply, name) for reply in self.got.values()) for name in ("read", "shared"))
        return (f"{shared / read:.0%} of {count(read)} prompt tokens were shared between prompts",) if shared else ()


async def ask(requests: Sequence[Request], model: Asked, asking: Asking) -> Replies:
    """Ask all of them. Raises UserError, before anything is sent, on prompts that do not fit, with how many."""
    _fit(requests, model)
    missing: list[tuple[str, str]] = []
    got: dict[str, Reply] = {}

    async def one(request: Request) -> None:
        (came,) = await model.outcomes(request.prompt, request.sampling)
        if isinstance(came, Completion):
            got[request.id] = _reply(came)
        else:
            missing.append((request.id, str(came).splitlines()[0]))
        asking.done()

    await together(one(request) for request in sorted(requests, key=lambda r: seen(r.prompt)))
    place = {request.id: n for n, request in enumerate(requests)}
    return Replies(
        {id: got[id] for id in sorted(got, key=place.__getitem__)},
        tuple(sorted(missing, key=lambda lost: place[lost[0]])),
    )


def seen(prompt: Prompt) -> str:
    """A prompt as one text, for looking at and for sorting."""
    if isinstance(prompt, Text):
        return prompt.text
    return "\n".join(message.content for message in prompt.messages) + prompt.prefill


def _fit(requests: Sequence[Request], model: Asked) -> None:
    first: UserError | None = None
    n = 0
    for request in requests:
        try:
            model.check(request.prompt, request.sampling)
        except UserError as e:
            n, first = n + 1, first or type(e)(e.problem, where=f"{request.id}: {e.where}", remedy=e.remedy)
    if first is not None:
        problem = f"{first.problem} ({count(n)} of {count(len(requests))} prompts cannot be asked)"
        raise type(first)(problem, where=first.where, remedy=first.remedy)


def _reply(came: Completion) -> Reply:
    outcome: Outcome = "answered"
    if came.finish in ("refusal", "filter"):
        outcome = "refused"
    elif not came.text.strip():
        outcome = "empty"
    elif came.finish == "length":
        outcome = "truncated"
    cut = any("cut-left" in note for note in came.notes)
    return Reply(came.text, outcome, cut, came.usage.prompt_tokens, came.usage.cached_tokens)
