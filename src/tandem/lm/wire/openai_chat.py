"""The wire format of OpenAI's chat completions, as OpenAI, vLLM, SGLang, Ollama and llama.cpp speak it.

Pure functions: a request's body out of what is asked, completions out of the reply's body. A begun answer is sent as
the assistant's last turn; vLLM and SGLang want it said that the turn goes on, llama.cpp and Ollama continue it by
themselves, OpenAI does not. What this does not do: call tools, send pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tandem.errors import Unsupported
from tandem.lm.endpoints import Endpoint
from tandem.lm.wire.answers import Asked, Choice, Counts, completions
from tandem.lm.wire.reply import Part
from tandem.lm.wire.spans import Piece, Span, place, spelled, torn
from tandem.lm.wire.streams import Choices, written
from tandem.types import Chat, Completion, Finish, Prompt, Score

PATH = "/chat/completions"
"""Below the endpoint's address."""

STREAMING: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
"""Fields that have the answer sent piece by piece, the usage at its end."""
streamed = Choices
"""What puts the pieces together."""

FINISHES: dict[str, Finish] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "content_filter": "filter",
    "abort": "failed",
    "error": "failed",
}
"""Reasons for ending that OpenAI and servers like it give."""


def body(endpoint: Endpoint, prompt: Prompt, asked: Asked) -> dict[str, Any]:
    """The request for `asked.samples` answers."""
    if not isinstance(prompt, Chat):
        raise Unsupported(
            "this endpoint takes conversations, not a plain text to continue",
            where=endpoint.name,
            remedy='declare one with format = "completions" in models.toml, or ask with a conversation',
        )
    return {
        "model": endpoint.model,
        "messages": _messages(prompt),
        **continued(endpoint, prompt.prefill),
        **drawing(endpoint, asked),
        **({"logprobs": True, "top_logprobs": max(1, asked.sampling.alternatives)} if asked.sampling.logprobs else {}),
        **endpoint.body,
    }


def answers(endpoint: Endpoint, reply: Part, asked: Asked) -> tuple[Completion, ...]:
    """The completions of a reply. Raises `CallFailed` that names the path of what is missing or of the wrong type."""
    choices = [_choice(part, asked.sampling.alternatives > 0) for part in reply["choices"].items()]
    return completions(reply, choices, counts(reply), asked)


def scoring_body(endpoint: Endpoint, context: Prompt, continuation: str) -> dict[str, Any]:
    """The request that has a continuation scored as the end of the assistant's turn."""
    if not isinstance(context, Chat):
        raise Unsupported("this endpoint scores answers in a conversation, not plain text", where=endpoint.name)
    return {
        "model": endpoint.model,
        "messages": _messages(Chat(context.messages, context.prefill + continuation)),
        **continued(endpoint, context.prefill + continuation),
        endpoint.max_tokens_field: 1,
        "temperature": 0.0,
        "prompt_logprobs": 1,
        **endpoint.body,
    }


def scored(endpoint: Endpoint, reply: Part, context: Prompt, continuation: str) -> Score:
    """How likely the continuation was, out of the reply to `scoring_body`."""
    prefill = context.prefill if isinstance(context, Chat) else ""
    return score_at_end(reply["prompt_logprobs"], prefill, continuation)


# ── Shared with the completions format ──────────────────────────────────────────────────────────────────────────────


def drawing(endpoint: Endpoint, asked: Asked) -> dict[str, Any]:
    """The fields that say how to draw, under the names both of OpenAI's formats have; what is default is left out."""
    sampling = asked.sampling
    fields: dict[str, Any] = {endpoint.max_tokens_field: sampling.max_tokens}
    if asked.samples > 1:
        fields["n"] = asked.samples
    if sampling.temperature is not None:
        fields["temperature"] = sampling.temperature
    if sampling.temperature != 0:  # at 0 there is nothing to draw
        if sampling.top_p < 1:
            fields["top_p"] = sampling.top_p
        if endpoint.abilities.seed:
            fields["seed"] = asked.seed
    if asked.stops_sent:
        fields["stop"] = list(asked.stops_sent)
    if sampling.presence_penalty:
        fields["presence_penalty"] = sampling.presence_penalty
    if sampling.ignore_end:
        fields["ignore_eos"] = True
    return fields


def counts(reply: Part) -> Counts | None:
    """Token counts of a reply, where it has any."""
    usage = reply.get("usage")
    if usage is None:
        return None
    cached = reasoning = 0
    if details := usage.get("prompt_tokens_details"):
        cached = _count(details, "cached_tokens")
    if details := usage.get("completion_tokens_details"):
        reasoning = _count(details, "reasoning_tokens")
    elif direct := usage.get("reasoning_tokens"):  # SGLang
        reasoning = direct.whole()
    return Counts(usage["prompt_tokens"].whole(), usage["completion_tokens"].whole(), cached, reasoning)


def finish(part: Part) -> tuple[Finish, tuple[str, ...]]:
    """Why a choice ended, and a note where the reason is not known here."""
    reason = part["finish_reason"].text()
    known = FINISHES.get(reason)
    return (known, ()) if known else ("stop", ("finish-unknown",))


def listed(part: Part, alternatives: bool = False) -> tuple[Piece, ...]:
    """Tokens as the chat format lists them; a token without `bytes` is spelled out.

    With `alternatives` the likeliest tokens in each place as well, where the server tells them.
    """
    if alternatives:
        return tuple(_listed(token)._replace(alternatives=_likeliest(token)) for token in part.items())
    values = part.value if isinstance(part.value, list) else []
    try:
        # The usual case first: a look at every value through a `Part` takes three times as long.
        if all(type(value["bytes"]) is list and type(value["logprob"]) is float for value in values):
            pieces = tuple([Piece(bytes(value["bytes"]), value["logprob"]) for value in values])
            if math.isfinite(math.fsum(piece.logprob or 0.0 for piece in pieces)):
                return pieces
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    return tuple(_listed(token) for token in part.items())


def _listed(token: Part) -> Piece:
    octets = token.get("bytes")
    data = octets.octets() if octets else spelled(token["token"].text())
    return Piece(data, token["logprob"].number())


def _likeliest(token: Part) -> tuple[tuple[str, float], ...]:
    listing = token.get("top_logprobs")
    return tuple((one["token"].text(), one["logprob"].number()) for one in listing.items()) if listing else ()


def score_at_end(listing: Part, before: str, continuation: str) -> Score:
    """Score of a continuation that ends a prompt whose tokens vLLM lists: of each, its and the likeliest logprob.

    `before` is what is known of the text in front of it; a chat template may have put more there.
    """
    pieces: list[Piece] = []
    for position in listing.items():
        if position.value is None:  # the first token of a prompt follows nothing, and its text is not told
            continue
        entries = position.entries()
        if not entries:
            raise position.malformed(f"{position.path} lists no token")
        # Its own entry stands first, the likeliest token's behind it, unless they are the same.
        own = entries[0][1]
        best = max(entry["logprob"].number() for _, entry in entries)
        logprob = own["logprob"].number()
        pieces.append(Piece(spelled(own["decoded_token"].text()), logprob, logprob >= best))
    data = [piece.data for piece in pieces]
    start = len(before.encode())
    if spans := place((before + continuation).encode(), data, late=True):
        return score(listing, pieces, spans, start)
    return score(listing, pieces, place(continuation.encode(), data, late=True), 0)


def score(listing: Part, pieces: Sequence[Piece], spans: Sequence[Span | None] | None, start: int) -> Score:
    """Sum over the tokens that reach beyond byte `start`; a token across the border belongs to the continuation."""
    if spans is None:
        raise listing.malformed(
            f"the tokens of {listing.path} do not add up to the text that was sent (the first one's is not told)"
        )
    if torn(spans, [piece.data for piece in pieces], start):
        raise listing.malformed(f"the tokens of {listing.path} hide where the continuation begins")
    inside = [
        piece for piece, span in zip(pieces, spans, strict=True) if span and (span.end > start or span.start >= start)
    ]
    if any(piece.logprob is None for piece in inside):
        raise listing.malformed(
            f"{listing.path} has no log-probability for the first token; this model needs a context before it"
        )
    return Score(
        math.fsum(piece.logprob for piece in inside if piece.logprob is not None),
        len(inside),
        all(piece.greedy for piece in inside),
    )


def continued(endpoint: Endpoint, prefill: str) -> dict[str, Any]:
    """Fields that make vLLM and SGLang go on with the last turn instead of beginning one."""
    if prefill and endpoint.prefill == "continue-final-message":
        return {"continue_final_message": True, "add_generation_prompt": False}
    return {}


def _messages(prompt: Chat) -> list[dict[str, str]]:
    messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
    return [*messages, {"role": "assistant", "content": prompt.prefill}] if prompt.prefill else messages


def _choice(part: Part, alternatives: bool) -> Choice:
    message = part["message"]
    content, refusal = message.get("content"), message.get("refusal")
    ended, notes = finish(part)
    text = written(content) if content else ""
    if refusal and refusal.text():
        ended, text = "refusal", text or refusal.text()
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    logprobs = part.get("logprobs")
    tokens = logprobs.get("content") if logprobs else None
    return Choice(
        text=text,
        finish=ended,
        pieces=listed(tokens, alternatives) if tokens else None,
        reasoned=bool(reasoning and reasoning.value),
        notes=notes,
    )


def _count(details: Part, key: str) -> int:
    found = details.get(key)
    return found.whole() if found else 0
