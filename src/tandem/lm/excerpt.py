"""Prompts and samplings as a person reads them, for rules and for messages.

What this does not do: lay out a conversation for a model (its tokenizer's template does), or key an answer (the model's
canonical request does).
"""

from __future__ import annotations

from dataclasses import fields

from tandem.types import Prompt, Sampling, Text


def readable(prompt: Prompt) -> str:
    """The whole prompt: a text as it is, a conversation with one `role: content` a turn, the prefill at its end."""
    if isinstance(prompt, Text):
        return prompt.text
    turns = [f"{message.role}: {message.content}" for message in prompt.messages]
    return "\n".join([*turns, f"assistant: {prompt.prefill}"] if prompt.prefill else turns)


def excerpt(prompt: Prompt, width: int = 160) -> str:
    """The prompt on one line; of a long one the beginning and the end, where prompts of one task differ."""
    line = " ".join(readable(prompt).split())
    if len(line) <= width:
        return line
    head = (width - 3) // 3
    return f"{line[:head].rstrip()} … {line[len(line) - (width - 3 - head) :].lstrip()}"


def differing(sampling: Sampling) -> str:
    """What a sampling sets away from the defaults, as `temperature=0.7, stop=('\\n',)`; "defaults" when nothing."""
    usual = Sampling()
    changed = [
        f"{field.name}={getattr(sampling, field.name)!r}"
        for field in fields(sampling)
        if getattr(sampling, field.name) != getattr(usual, field.name)
    ]
    return ", ".join(changed) or "defaults"
