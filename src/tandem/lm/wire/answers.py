"""From what a server returned to completions: stops cut, tokens placed, usage shared out, and what was not as asked.

Every wire format reads its own reply into `Choice`s and `Counts`; the rest is here, once. A field that a server passed
over in silence leaves a note with a name, which the reports count. What this does not do: ask again for samples that
did not come (`remote` does), or decide what a missing ability means (policies do).
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tandem.errors import CallFailed
from tandem.lm.wire.reply import Part
from tandem.lm.wire.spans import Piece, tokens
from tandem.types import Completion, Finish, Sampling, Token, Usage

NOTES = {
    "server-ignored-n": "fewer samples came than were asked for in one call; the rest was asked for again",
    "answer-broken-off": "the server broke off other answers of this call; they were dropped and asked for again",
    "more-samples-than-asked": "more samples came than were asked for, and were paid; the surplus was dropped",
    "server-ignored-logprobs": "log-probabilities were asked for and did not come",
    "server-ignored-alternatives": "the likeliest tokens of each place were asked for and did not come",
    "logprobs-do-not-fit": "the tokens that came do not add up to the answer; they were dropped",
    "server-ignored-stop": "the answer went on past a stop text; it was cut there",
    "stop-text-left-in": "the answer ended with the stop text; it was cut off",
    "stop-cut-here": "the stop text could not be sent, so the answer was cut here after it was paid in full",
    "server-ignored-max-tokens": "more tokens were written than were asked for",
    "answer-spent-on-reasoning": "the token limit was spent on hidden reasoning; nothing is left of the answer",
    "prefill-repeated": "the answer begins with the prefill again: the server may not have continued it",
    "prefill-trimmed": "white space at the end of the prefill could not be sent",
    "usage-estimated": "the server told no token counts; they are estimated",
    "finish-unknown": "the server gave a reason for ending that is not known here; taken as a stop",
}
"""What can stand in `Completion.notes` of a remote model, and what it means."""

_BEYOND_ASCII = bytes(range(0x80, 0x100))
_DIGITS = string.digits.encode()
_PUNCTUATION = string.punctuation.encode()


@dataclass(frozen=True)
class Choice:
    """One answer as a server returned it."""

    text: str
    """What it wrote."""
    finish: Finish
    """Why it ended."""
    pieces: tuple[Piece, ...] | None = None
    """Its tokens, where the server lists them."""
    reasoned: bool = False
    """Whether hidden reasoning came before the answer."""
    notes: tuple[str, ...] = ()
    """What the format noticed itself."""


@dataclass(frozen=True)
class Counts:
    """Tokens of a whole call, all its choices together."""

    read: int
    """Tokens of the prompt, cached ones included; a prompt counts once however many samples it has."""
    written: int
    """Tokens of all answers, reasoning included."""
    cached: int = 0
    """Of those read, those whose state was re-used."""
    reasoning: int = 0
    """Of those written, those of hidden reasoning."""


@dataclass(frozen=True)
class Asked:
    """What a reply is held against."""

    sampling: Sampling
    """How the answers were to be drawn."""
    samples: int
    """How many."""
    prefill: str = ""
    """The beginning of the answer that was sent along."""
    estimate: Callable[[], int] = lambda: 0
    """Estimates the tokens of the prompt, for servers that do not count."""
    stops_sent: tuple[str, ...] = ()
    """The stop texts that the server is told."""
    seed: int = 0
    """The seed that this call sends where a server takes one."""


def completions(reply: Part, choices: Sequence[Choice], counts: Counts | None, asked: Asked) -> tuple[Completion, ...]:
    """At most as many completions as were asked for, in the server's order.

    Token counts of the completions add up to the call's: the prompt counts with the first, the written tokens are
    shared by the listed tokens where there are any, else by bytes.
    """
    if not choices:
        raise reply.malformed("the reply has no answer")
    whole = [choice for choice in choices if choice.finish != "failed"]
    if not whole:
        raise CallFailed("the server broke its answer off", kind="server", where=reply.where, remedy="run again later")
    kept = whole[: asked.samples]
    common: list[str] = []
    if len(whole) < len(choices):
        common.append("answer-broken-off")
    if len(choices) > asked.samples:
        common.append("more-samples-than-asked")
    if len(choices) < asked.samples:
        common.append("server-ignored-n")
    if counts is None:
        common.append("usage-estimated")
        counts = Counts(asked.estimate(), sum(estimated(choice.text) for choice in choices))
    elif counts.written > asked.sampling.max_tokens * len(choices):
        common.append("server-ignored-max-tokens")
    model = reply.get("model")
    served = model.text() if model else ""
    return tuple(
        _completion(choice, usage, served, common, asked)
        for choice, usage in zip(kept, _shared(counts, kept), strict=True)
    )


def estimated(text: str) -> int:
    """About how many tokens a text has, by kinds of bytes.

    Between 0.8 and 1.1 of the true number for English, code and Hindi with SmolLM2's tokenizer, which has few words of
    other languages: half of it there, where a token per four bytes would be a quarter.
    """
    if not text:
        return 0
    data = text.encode(errors="replace")
    plain = data.translate(None, _BEYOND_ASCII)
    words = plain.translate(None, _DIGITS)
    letters = words.translate(None, _PUNCTUATION)
    digits, marks = len(plain) - len(words), len(words) - len(letters)
    return math.ceil(len(letters) / 4.8 + digits * 0.7 + marks * 0.6 + (len(data) - len(plain)) / 2.2)


def _completion(choice: Choice, usage: Usage, served: str, common: Sequence[str], asked: Asked) -> Completion:
    notes = [*choice.notes, *common]
    text, stopped = _without_stop(choice.text, asked)
    finish: Finish = choice.finish
    if stopped:
        notes.append(stopped)
        finish = "stop" if finish == "length" else finish
    if asked.prefill and text.startswith(asked.prefill):
        notes.append("prefill-repeated")
    if not text and finish == "length" and (choice.reasoned or usage.reasoning_tokens):
        notes.append("answer-spent-on-reasoning")
    listed: tuple[Token, ...] | None = None
    if asked.sampling.logprobs:
        if choice.text and not choice.pieces:
            notes.append("server-ignored-logprobs")
        else:
            late = choice.reasoned or usage.reasoning_tokens > 0
            listed = tokens(choice.text, choice.pieces or (), length=len(text.encode()), late=late)
            if listed is None:
                notes.append("logprobs-do-not-fit")
            elif asked.sampling.alternatives and listed and not any(token.alternatives for token in listed):
                notes.append("server-ignored-alternatives")
    return Completion(text, finish, listed, usage, served, tuple(dict.fromkeys(notes)))


def _without_stop(text: str, asked: Asked) -> tuple[str, str]:
    """The text up to the first stop text in it, and the note that belongs to the cut."""
    found = [(at, stop) for stop in asked.sampling.stop if stop and (at := text.find(stop)) >= 0]
    if not found:
        return text, ""
    at, stop = min(found, key=lambda place: place[0])
    if stop not in asked.stops_sent:
        return text[:at], "stop-cut-here"
    return text[:at], "stop-text-left-in" if at + len(stop) == len(text) else "server-ignored-stop"


def _shared(counts: Counts, choices: Sequence[Choice]) -> list[Usage]:
    """A call's counts as one `Usage` for each choice; their sums are the call's."""
    if len(choices) == 1:
        return [Usage(counts.read, counts.written, counts.cached, min(counts.reasoning, counts.written))]
    listed = [len(choice.pieces or ()) for choice in choices]
    weights = listed if all(listed) else [len(choice.text.encode()) for choice in choices]
    written = _apportioned(counts.written, weights)
    reasoning = _apportioned(counts.reasoning, written)
    return [
        Usage(counts.read if first else 0, w, counts.cached if first else 0, r)
        for first, w, r in zip((i == 0 for i in range(len(choices))), written, reasoning, strict=True)
    ]


def _apportioned(total: int, weights: Sequence[int]) -> list[int]:
    """Whole numbers that add up to `total`, in proportion to the weights (evenly where all are zero)."""
    whole = sum(weights)
    given, shares, passed = 0, [], 0
    for index, weight in enumerate(weights, 1):
        passed += weight
        upto = total * passed // whole if whole else total * index // len(weights)
        shares.append(upto - given)
        given = upto
    return shares
