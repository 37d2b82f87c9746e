"""Conversations to learn from, read from the file forms people have: one record, one conversation.

Forms, recognised record by record from their keys:

    chat            {"messages": [{"role", "content"}, …]}            optional "id", "task", "type" here and below
    ShareGPT        {"conversations": [{"from", "value"}, …]}          from: human, user, gpt, assistant, system, …
    Alpaca          {"instruction", "input", "output"}                 optional "system", "history"
    Self-Instruct   {"instruction", "instances": [{"input", "output"}]}
    prompt pairs    {"prompt", "response"}  (or "completion")          the made-up world's tasks.jsonl

as JSON Lines or one JSON array, plain or gzip-compressed. A record that cannot be used is an error that names the line,
or, with `on_bad="skip"`, is left out and counted with its reason.

What this does not do: judge content, or mend a conversation. Merging two user turns into one, or inventing an empty
answer, was rejected: it teaches turns nobody said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tandem.errors import UserError
from tandem.train.records import RecordError, records
from tandem.types import Message, Role

_CHAT_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
}
_FORMS = (
    'chat {"messages"}, ShareGPT {"conversations"}, Alpaca {"instruction", "output"}, or pairs {"prompt", "response"}'
)

OnBad: TypeAlias = Literal["error", "skip"]


@dataclass(frozen=True)
class Conversation:
    """Turns between a user and an assistant, the last one the assistant's."""

    id: str
    """Unique within a reading."""
    messages: tuple[Message, ...]
    """At most one system turn, first; then user and assistant in turn, ending with the assistant."""
    task: str | None = None
    """Name of the task it is an instance of, where known."""
    type: str | None = None
    """Name of the kind of task, where known."""

    @property
    def opening(self) -> str:
        """What the user says first: two conversations with the same opening ask the same thing."""
        return next(m.content for m in self.messages if m.role == "user")


@dataclass(frozen=True)
class Skipped:
    """A record that was left out."""

    where: str
    """File and line."""
    reason: str
    """What is wrong with it."""


@dataclass(frozen=True)
class Reading:
    """What was read, and what was not."""

    conversations: tuple[Conversation, ...]
    """In the order of the files."""
    forms: Mapping[str, int]
    """Usable records of each form."""
    skipped: tuple[Skipped, ...] = ()
    """Records left out, with `on_bad="skip"`."""
    trimmed: int = 0
    """Conversations that ended with an unanswered user turn, which was left away."""
    renamed: int = 0
    """Records whose id was taken: the line was added to it."""


def pair(id: str, prompt: str, response: str, task: str | None = None, type: str | None = None) -> Conversation:
    """A conversation of one question and one answer."""
    return Conversation(id, (Message("user", prompt), Message("assistant", response)), task, type)


def read(*paths: Path, on_bad: OnBad = "error") -> Reading:
    """Read conversation files.

    Raises UserError, naming file and line, on a record that cannot be used (unless `on_bad="skip"`), on a missing,
    unreadable or truncated file, and when nothing usable is left.
    """
    conversations: list[Conversation] = []
    forms: Counter[str] = Counter()
    skipped: list[Skipped] = []
    taken: set[str] = set()
    trimmed = renamed = 0
    for path in paths:
        for line, found in records(path):
            where = f"{path}:{line}"
            try:
                if isinstance(found, RecordError):
                    raise found
                form, read_here = _understand(found, f"{path.name}:{line}")
            except RecordError as e:
                if on_bad == "error":
                    raise UserError(
                        str(e), where=where, remedy="mend the record, or skip such records with --on-bad skip"
                    ) from e
                skipped.append(Skipped(where, str(e)))
                continue
            forms[form] += 1
            for conversation, was_trimmed in read_here:
                trimmed += was_trimmed
                if conversation.id in taken:
                    renamed += 1
                    conversation = replace(conversation, id=_free(f"{conversation.id} ({path.name}:{line})", taken))
                taken.add(conversation.id)
                conversations.append(conversation)
    if not conversations:
        why = f": {len(skipped)} records skipped, the first because {skipped[0].reason}" if skipped else ""
        raise UserError(
            f"no conversation to learn from{why}", where=", ".join(map(str, paths)), remedy=f"forms read: {_FORMS}"
        )
    return Reading(tuple(conversations), dict(forms), tuple(skipped), trimmed, renamed)


def _free(name: str, taken: set[str]) -> str:
    candidate, n = name, 1
    while candidate in taken:
        n += 1
        candidate = f"{name} #{n}"
    return candidate


# ── Records ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _understand(record: Any, name: str) -> tuple[str, list[tuple[Conversation, bool]]]:
    """The record's form, and the conversations in it, each with whether an unanswered last turn was left away."""
    if not isinstance(record, dict):
        raise RecordError(f"a record is a JSON object, this is {_kind(record)}")
    if "messages" in record:
        form, many = "chat", [_turns(record["messages"], "messages")]
    elif "conversations" in record:
        form, many = "ShareGPT", [_turns(record["conversations"], "conversations")]
        system = _optional_text(record, "system")
        if system and many[0] and many[0][0].role != "system":
            many[0].insert(0, Message("system", system))
    elif "instruction" in record and "instances" in record:
        form, many = "Self-Instruct", _instances(record)
    elif "instruction" in record:
        form, many = "Alpaca", [_alpaca(record)]
    elif "prompt" in record:
        key = "completion" if "completion" in record else "response"
        form, many = "pairs", [[Message("user", _text(record, "prompt")), Message("assistant", _text(record, key))]]
    else:
        raise RecordError(
            f"no known form: it has the keys {', '.join(map(str, record)) or '(none)'}; known are {_FORMS}"
        )
    label = record.get("id")
    own = str(label) if isinstance(label, str | int) and str(label) else name
    task, type = _optional_text(record, "task"), _optional_text(record, "type")
    if form == "Self-Instruct" and task is None:
        task = _optional_text(record, "name")
    found = []
    for i, messages in enumerate(many):
        checked, trimmed = _checked(messages)
        found.append((Conversation(own if len(many) == 1 else f"{own}.{i + 1}", checked, task, type), trimmed))
    return form, found


def _turns(turns: Any, key: str) -> list[Message]:
    if not isinstance(turns, list):
        raise RecordError(f"`{key}` is a list of turns, this is {_kind(turns)}")
    messages = []
    for i, turn in enumerate(turns, 1):
        if not isinstance(turn, dict):
            raise RecordError(f"turn {i} of `{key}` is {_kind(turn)}, not an object")
        speaker = turn.get("role", turn.get("from"))
        if not isinstance(speaker, str) or speaker not in _CHAT_ROLES:
            raise RecordError(f"turn {i} has the unknown role {speaker!r}; known are {', '.join(_CHAT_ROLES)}")
        content = turn.get("content", turn.get("value"))
        if isinstance(content, list) and all(isinstance(p, dict) and p.get("type") == "text" for p in content):
            content = "".join(str(p.get("text", "")) for p in content)
        if not isinstance(content, str):
            raise RecordError(f"turn {i} ({speaker}) says {_kind(content)} instead of text")
        messages.append(Message(_CHAT_ROLES[speaker], content))
    return messages


def _alpaca(record: Mapping[str, Any]) -> list[Message]:
    messages = [Message("system", s)] if (s := _optional_text(record, "system")) else []
    history = record.get("history") or []
    if not isinstance(history, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(isinstance(t, str) for t in p) for p in history
    ):
        raise RecordError("`history` is a list of [instruction, output] pairs of texts")
    for asked, said in history:
        messages += [Message("user", asked), Message("assistant", said)]
    return [*messages, Message("user", _asked(record, record)), Message("assistant", _text(record, "output"))]


def _instances(record: Mapping[str, Any]) -> list[list[Message]]:
    instances = record["instances"]
    if not isinstance(instances, list) or not instances or not all(isinstance(i, dict) for i in instances):
        raise RecordError('`instances` is a list of {"input", "output"} objects, at least one')
    return [[Message("user", _asked(record, i)), Message("assistant", _text(i, "output"))] for i in instances]


def _asked(record: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    """Instruction, then a blank line and the input where there is one."""
    instruction, given = _text(record, "instruction"), _optional_text(instance, "input")
    return f"{instruction}\n\n{given}" if given else instruction


def _checked(messages: list[Message]) -> tuple[tuple[Message, ...], bool]:
    """The turns, if they are in order; an unanswered last user turn is left away, an empty system turn too."""
    if messages and messages[0].role == "system" and not messages[0].content.strip():
        messages = messages[1:]
    expected: Role = "user"
    for i, message in enumerate(messages, 1):
        if message.role == "system":
            if i > 1:
                raise RecordError(f"turn {i} is a system turn; it may only come first")
            continue
        if message.role != expected:
            if message.role == "assistant" and not any(m.role == "user" for m in messages[: i - 1]):
                raise RecordError(f"the assistant speaks first (turn {i})")
            raise RecordError(f"two {message.role} turns in a row (turns {i - 1} and {i})")
        if not message.content.strip():
            what = "the assistant's answer" if message.role == "assistant" else "the user's turn"
            raise RecordError(f"{what} in turn {i} is empty")
        expected = "assistant" if message.role == "user" else "user"
    if not any(m.role == "assistant" for m in messages):
        raise RecordError("no assistant turn: there is nothing to learn")
    for i, message in enumerate(messages, 1):
        try:
            message.content.encode()
        except UnicodeEncodeError as e:
            raise RecordError(f"turn {i} holds half a surrogate pair (\\u{ord(message.content[e.start]):04x})") from e
    trimmed = messages[-1].role == "user"
    return tuple(messages[:-1] if trimmed else messages), trimmed


def _text(record: Mapping[str, Any], key: str) -> str:
    if key not in record:
        raise RecordError(f"`{key}` is missing")
    if not isinstance(record[key], str):
        raise RecordError(f"`{key}` is {_kind(record[key])} instead of text")
    return str(record[key])


def _optional_text(record: Mapping[str, Any], key: str) -> str | None:
    return None if record.get(key) is None or record[key] == "" else _text(record, key)


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    names: dict[type, str] = {bool: "a truth value", int: "a number", float: "a number", str: "text"}
    names |= {list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
