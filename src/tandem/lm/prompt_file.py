"""Prompts out of a JSONL file, one a line: `{"prompt": "…"}` or `{"messages": [{"role": …, "content": …}, …]}`.

A prompt is what the user says, unless plain texts are asked for. Further keys: `id` (else the number of the line) and
`prefill`; whatever else stands in a line is carried to the output. What this does not do: guess what a strange line
means; reading a file to its end is how it is checked.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from tandem.errors import UserError
from tandem.types import Chat, Message, Prompt, Role, Text

WRITTEN = ("answers", "error", "model")
"""Keys that an output line gets; an input line may not have them."""


@dataclass(frozen=True)
class Line:
    """One prompt of a file."""

    number: int
    """Its line, from 1."""
    id: str | int
    """Its id; without one, the number of the line."""
    prompt: Prompt
    """What is asked."""
    given: Mapping[str, Any]
    """The line as it stands, `id` included."""


def read(file: Path, *, system: str = "", plain: bool = False) -> Iterator[Line]:
    """Every line in order, read as it goes. Raises UserError with file and line, and what to do.

    `system` opens every conversation that does not open with a system message of its own; with `plain` a prompt is a
    text to continue.
    """
    seen: dict[str | int, int] = {}
    with _opened(file) as lines:
        for number, raw in enumerate(lines, 1):
            where = f"{file}:{number}"
            if not raw.strip():
                continue
            line = _line(_object(raw, where), number, system, plain, where)
            if line.id in seen:
                raise UserError(
                    f"the id {line.id!r} stands in line {seen[line.id]} already", where=where, remedy="give another id"
                )
            seen[line.id] = number
            yield line
    if not seen:
        raise UserError("holds no prompts", where=str(file), remedy='write one {"prompt": "…"} a line')


@contextmanager
def _opened(file: Path) -> Iterator[Iterable[bytes]]:
    try:
        with file.open("rb") as raw:
            yield gzip.GzipFile(fileobj=raw) if file.suffix == ".gz" else raw
    except FileNotFoundError:
        raise UserError("no such file", where=str(file), remedy="name a JSONL file of prompts") from None
    except (OSError, EOFError, zlib.error) as e:
        raise UserError(f"cannot be read: {e}", where=str(file), remedy="name a JSONL file of prompts") from None


def _object(raw: bytes, where: str) -> dict[str, Any]:
    try:
        data = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as e:
        raise UserError(f"byte {e.start} is not UTF-8", where=where, remedy="save the file as UTF-8") from None
    except ValueError as e:
        problem = f"is not JSON: {e}"
        raise UserError(problem, where=where, remedy='write one object a line, as in {"prompt": "…"}') from None
    except RecursionError:
        raise UserError("is nested too deeply", where=where, remedy="write a flat object") from None
    if not isinstance(data, dict):
        raise UserError("is not an object", where=where, remedy='write one object a line, as in {"prompt": "…"}')
    return data


def _line(data: dict[str, Any], number: int, system: str, plain: bool, where: str) -> Line:
    for key in WRITTEN:
        if key in data:
            raise UserError(f"has the key {key!r}, which the output needs", where=where, remedy="rename or remove it")
    if ("prompt" in data) == ("messages" in data):
        problem = "has both prompt and messages" if "prompt" in data else "has neither prompt nor messages"
        raise UserError(problem, where=where, remedy='give one of {"prompt": "…"} and {"messages": […]}')
    id = data.get("id", number)
    if isinstance(id, bool) or not isinstance(id, str | int):
        raise UserError(f"the id is {id!r}", where=where, remedy="give a text or a whole number")
    prefill = _text(data.get("prefill", ""), "prefill", where)
    if "messages" in data:
        messages = _messages(data["messages"], where)
        if system and messages[0].role != "system":
            messages = (Message("system", system), *messages)
        return Line(number, id, Chat(messages, prefill), data)
    text = _text(data["prompt"], "prompt", where)
    if not text:
        raise UserError("the prompt is empty", where=where, remedy="write a prompt, or remove the line")
    if plain and prefill:
        raise UserError("a plain text has no prefill", where=where, remedy="put it at the end of the prompt")
    opening = (Message("system", system),) if system else ()
    prompt = Text(text) if plain else Chat((*opening, Message("user", text)), prefill)
    return Line(number, id, prompt, data)


def _messages(data: Any, where: str) -> tuple[Message, ...]:
    if not isinstance(data, list) or not data:
        raise UserError("messages is not a list of messages", where=where, remedy="give at least the user's")
    messages: list[Message] = []
    for n, one in enumerate(data, 1):
        if not isinstance(one, dict) or not {"role", "content"} <= one.keys():
            raise UserError(f"message {n} has no role and content", where=where, remedy="give both")
        if one["role"] not in get_args(Role):
            roles = ", ".join(get_args(Role))
            raise UserError(f"message {n} has the role {one['role']!r}", where=where, remedy=f"one of {roles}")
        messages.append(Message(one["role"], _text(one["content"], f"message {n}'s content", where)))
    if messages[-1].role == "assistant":
        remedy = "put the begun answer under prefill, or end with the user's message"
        raise UserError("the last message is the assistant's", where=where, remedy=remedy)
    if messages[-1].role == "system":
        raise UserError("the last message is the system's", where=where, remedy="end with the user's message")
    return tuple(messages)


def _text(value: Any, what: str, where: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"{what} is {value!r:.60}, not a text", where=where, remedy="put it in quotes")
    return value
