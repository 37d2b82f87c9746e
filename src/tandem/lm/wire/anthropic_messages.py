"""The wire format of Anthropic's messages.

System turns go into a field of their own; a begun answer is the last, assistant's turn, which models before Claude 4.6
continue. One answer a call, no log-probabilities, no seed; from API version 2026-10-21 on no temperature and no top_p
either. What this does not do: call tools, cache prompts on request, set a budget for thinking (`body` can).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tandem.errors import Unsupported
from tandem.lm.endpoints import Endpoint
from tandem.lm.wire.answers import Asked, Choice, Counts, completions
from tandem.lm.wire.reply import Part
from tandem.lm.wire.streams import Blocks
from tandem.types import Chat, Completion, Finish, Prompt, Score

PATH = "/messages"
"""Below the endpoint's address."""
STREAMING: dict[str, Any] = {"stream": True}
"""Field that has the answer sent piece by piece."""
streamed = Blocks
"""What puts the pieces together."""

FINISHES: dict[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}
"""Reasons for ending a call without tools."""


def body(endpoint: Endpoint, prompt: Prompt, asked: Asked) -> dict[str, Any]:
    """The request for one answer."""
    if not isinstance(prompt, Chat):
        raise Unsupported(
            "this endpoint takes conversations, not a plain text to continue",
            where=endpoint.name,
            remedy="ask with a conversation",
        )
    assert asked.samples == 1
    sampling = asked.sampling
    turns = list(prompt.messages)
    system = []
    while turns and turns[0].role == "system":
        system.append(turns.pop(0).content)
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    if prefill := prompt.prefill.rstrip():
        messages.append({"role": "assistant", "content": prefill})
    fields: dict[str, Any] = {"model": endpoint.model, "max_tokens": sampling.max_tokens, "messages": messages}
    if system:
        fields["system"] = "\n\n".join(system)
    if asked.stops_sent:
        fields["stop_sequences"] = list(asked.stops_sent)
    if sampling.temperature is not None:
        fields["temperature"] = sampling.temperature
    if sampling.top_p < 1 and sampling.temperature != 0:
        fields["top_p"] = sampling.top_p
    return {**fields, **endpoint.body}


def sendable(stop: str) -> bool:
    """Whether a stop text may be sent: not one of white space alone."""
    return bool(stop.strip())


def answers(endpoint: Endpoint, reply: Part, asked: Asked) -> tuple[Completion, ...]:
    """The completion of a reply. Raises `CallFailed` that names the path of what is missing or of the wrong type."""
    texts, reasoned = [], False
    for block in reply["content"].items():
        kind = block["type"].text()
        if kind == "text":
            texts.append(block["text"].text())
        reasoned = reasoned or kind in ("thinking", "redacted_thinking")
    text = "".join(texts)
    notes: tuple[str, ...] = ()
    trimmed = asked.prefill[len(asked.prefill.rstrip()) :]
    if trimmed:
        # What was not sent is likely to come back at the beginning of the answer, and belongs to the prefill.
        text = text.removeprefix(trimmed)
        notes = ("prefill-trimmed",)
    reason = reply["stop_reason"].text()
    ended = FINISHES.get(reason)
    if ended is None:
        ended, notes = "stop", (*notes, "finish-unknown")
    choice = Choice(text, ended, reasoned=reasoned, notes=notes)
    prefill = asked.prefill.rstrip()
    return completions(reply, [choice], _counts(reply["usage"]), replace(asked, prefill=prefill))


def scoring_body(endpoint: Endpoint, context: Prompt, continuation: str) -> dict[str, Any]:
    """There is no request for this: the format has no log-probabilities."""
    raise Unsupported("Anthropic's messages have no log-probabilities to score with", where=endpoint.name)


def scored(endpoint: Endpoint, reply: Part, context: Prompt, continuation: str) -> Score:
    """Never called, since nothing can be sent."""
    raise Unsupported("Anthropic's messages have no log-probabilities to score with", where=endpoint.name)


def _counts(usage: Part) -> Counts:
    """Tokens read are those billed in full, those read from a cache and those written to one."""
    cached = _count(usage, "cache_read_input_tokens")
    read = usage["input_tokens"].whole() + cached + _count(usage, "cache_creation_input_tokens")
    details = usage.get("output_tokens_details")
    reasoning = _count(details, "thinking_tokens") if details else 0
    return Counts(read, usage["output_tokens"].whole(), cached, reasoning)


def _count(part: Part, key: str) -> int:
    found = part.get(key)
    return found.whole() if found else 0
