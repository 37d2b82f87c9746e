"""Answers that servers send piece by piece, put together as the reply that would have come in one piece.

So that everything behind it (stops, tokens, usage, notes) reads one kind of reply. OpenAI's chunks add to choices; the
usage comes last, without any. Anthropic's events open, extend and close blocks. The first answer's text is told on the
way. What this does not do: call tools, or tell reasoning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from tandem.lm.wire.reply import Part

Tell: TypeAlias = Callable[[str], None]
"""Called with all of the text that has come so far."""


class _Told:
    """Text as it grows."""

    def __init__(self, tell: Tell) -> None:
        self.begun = False
        self._tell = tell
        self._text = ""

    def more(self, text: str) -> None:
        """Append, and tell."""
        if text:
            self.begun = True
            self._text += text
            self._tell(self._text)


class Choices:
    """Chunks of OpenAI's chat completions and completions."""

    done = False

    def __init__(self, tell: Tell, where: str) -> None:
        self._told = _Told(tell)
        self._where = where
        self._choices: dict[int, dict[str, Any]] = {}
        self._rest: dict[str, Any] = {}

    @property
    def begun(self) -> bool:
        """Whether text was told."""
        return self._told.begun

    @property
    def complete(self) -> bool:
        """Whether every answer has ended."""
        return bool(self._choices) and all(choice.get("finish_reason") for choice in self._choices.values())

    def add(self, event: dict[str, Any]) -> None:
        """Take a chunk."""
        chunk = Part(event, self._where)
        self._rest |= {key: event[key] for key in ("model", "usage") if event.get(key) is not None}
        for part in choices.items() if (choices := chunk.get("choices")) else ():
            index = place.whole() if (place := part.get("index")) else 0
            choice = self._choices.setdefault(index, {})
            if delta := part.get("delta"):
                message = choice.setdefault("message", {})
                for key in ("reasoning_content", "reasoning", "refusal"):
                    if piece := delta.get(key):
                        message[key] = message.get(key, "") + piece.text()
                new = written(content) if (content := delta.get("content")) else ""
                message["content"] = message.get("content", "") + new
            else:
                new = piece.text() if (piece := part.get("text")) else ""
                choice["text"] = choice.get("text", "") + new
            if reason := part.get("finish_reason"):
                choice["finish_reason"] = reason.text()
            if logprobs := part.get("logprobs"):
                _extend(choice.setdefault("logprobs", {}), logprobs)
            if index == 0:
                self._told.more(new)

    def whole(self) -> dict[str, Any]:
        """The reply."""
        return {**self._rest, "choices": [self._choices[index] for index in sorted(self._choices)]}


class Blocks:
    """Events of Anthropic's messages."""

    def __init__(self, tell: Tell, where: str) -> None:
        self.done = False
        self._told = _Told(tell)
        self._where = where
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._usage: dict[str, Any] = {}

    @property
    def begun(self) -> bool:
        """Whether text was told."""
        return self._told.begun

    @property
    def complete(self) -> bool:
        """Whether the last event came."""
        return self.done

    def add(self, event: dict[str, Any]) -> None:
        """Take an event; kinds that are not known pass by."""
        part = Part(event, self._where)
        kind = part["type"].text()
        if kind == "message_start":
            self._message |= {key: value.value for key, value in part["message"].entries()}
            self._count(part["message"])
        elif kind == "content_block_start":
            block = part["content_block"]
            self._blocks[part["index"].whole()] = {key: value.value for key, value in block.entries()}
            if block["type"].text() == "text":
                self._told.more(block["text"].text())
        elif kind == "content_block_delta" and (piece := part["delta"].get("text")):
            block_so_far = self._blocks.setdefault(part["index"].whole(), {"type": "text"})
            block_so_far["text"] = block_so_far.get("text", "") + piece.text()
            self._told.more(piece.text())
        elif kind == "message_delta":
            self._message |= {key: value.value for key, value in part["delta"].entries()}
            self._count(part)
        elif kind == "message_stop":
            self.done = True

    def whole(self) -> dict[str, Any]:
        """The reply."""
        return {
            **self._message,
            "content": [self._blocks[index] for index in sorted(self._blocks)],
            "usage": self._usage,
        }

    def _count(self, part: Part) -> None:
        """Later counts are counts of the whole."""
        if usage := part.get("usage"):
            self._usage |= {key: value.value for key, value in usage.entries() if value.value is not None}


def written(content: Part) -> str:
    """The text of a content: a text, or, on some servers, a list of parts of which some are text."""
    if isinstance(content.value, list):
        return "".join(part["text"].text() for part in content.items() if part["type"].text() == "text")
    return content.text()


def _extend(whole: dict[str, Any], more: Part) -> None:
    """Lists of log-probabilities, whatever their names, one behind the other."""
    for key, values in more.entries():
        if isinstance(values.value, list):
            whole.setdefault(key, []).extend(values.value)
