"""A prompt that is too long for its model, cut on its left: what stands nearest to the answer stays.

Of a conversation the oldest turns go first, from one user's turn to the next, and then the beginning of the last one's
text; system messages in front and a begun answer stay whole. Cutting is by characters, before a prompt is laid out, so
that the marks a text or a conversation begins with stay, and it serves back ends that tell no tokens.

What this does not do: cut unasked (a policy allows it), or summarise. Rejected: cutting token ids; of a conversation
that takes the system message and the mark a turn begins with.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from tandem.types import Chat, Message, Prompt, Text

Length: TypeAlias = Callable[[Prompt], int]
"""Tokens of a prompt, at most."""


def room(context: int, max_tokens: int) -> int:
    """Tokens that a prompt may have: what a whole answer leaves, and no less than half of the context."""
    return context - min(max_tokens, context // 2)


def fitted(prompt: Prompt, most: int, length: Length) -> Prompt | None:
    """The longest end of a prompt that has at most `most` tokens; None when not even its last character fits."""
    if length(prompt) <= most:
        return prompt
    if isinstance(prompt, Text):
        text = _end(prompt.text, lambda end: length(Text(end)) <= most)
        return Text(text) if text else None
    prompt = recent(prompt, most, length)
    if length(prompt) <= most:
        return prompt
    at = _leading(prompt)
    if at == len(prompt.messages):
        return None
    before, turn, behind = prompt.messages[:at], prompt.messages[at], prompt.messages[at + 1 :]

    def shortened(end: str) -> Chat:
        return replace(prompt, messages=(*before, Message(turn.role, end), *behind))

    text = _end(turn.content, lambda end: length(shortened(end)) <= most)
    return shortened(text) if text else None


def recent(prompt: Chat, most: int, length: Length) -> Chat:
    """A conversation without its oldest turns, as few as it takes to have at most `most` tokens; the last one stays."""
    first = _leading(prompt)
    system, turns = prompt.messages[:first], prompt.messages[first:]
    starts = [at for at, turn in enumerate(turns) if turn.role == "user" and at]
    while length(prompt) > most and starts:
        prompt = replace(prompt, messages=(*system, *turns[starts.pop(0) :]))
    return prompt


def _leading(prompt: Chat) -> int:
    """How many system messages stand in front."""
    return next((at for at, turn in enumerate(prompt.messages) if turn.role != "system"), len(prompt.messages))


def _end(text: str, fits: Callable[[str], bool]) -> str:
    """The longest end that fits."""
    return text[bisect.bisect_left(range(len(text)), True, key=lambda at: fits(text[at:])) :]
