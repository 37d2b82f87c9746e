"""Chat templates: a conversation laid out by the Jinja template a tokenizer carries, as `transformers` renders it.

The template comes with the model and is nobody's code we trust: it runs in Jinja's immutable sandbox. Does not know
any template by name (`train` does) and does not tokenise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tandem.errors import UserError
from tandem.types import Message


def render(
    template: str, messages: Sequence[Message], *, add_generation_prompt: bool, marks: Mapping[str, str], where: str
) -> str:
    """The text of a conversation.

    `marks` maps a role to its token (eos, bos, pad, unk); the template sees them as `eos_token` and so on.

    Raises:
        UserError: the template is not valid Jinja, or it refuses the conversation (`raise_exception`).
    """
    try:
        return _compiled(template).render(
            messages=[{"role": message.role, "content": message.content} for message in messages],
            tools=None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            **{f"{role}_token": token for role, token in marks.items()},
        )
    except jinja2.TemplateError as e:
        raise UserError(
            f"its chat template fails: {e}",
            where=where,
            remedy="change the conversation to what the template takes, or choose a template by name, such as xgen",
        ) from None


def shield(messages: Sequence[Message], marks: Sequence[str]) -> tuple[list[Message], dict[str, str]]:
    """Messages with every mark that stands in them replaced by a private-use character, and what each replaces.

    Empty when there is nothing to replace, which is nearly always. No message may already hold the character.
    """
    content = "".join([message.content for message in messages])
    present = sorted((mark for mark in marks if mark in content), key=len, reverse=True)
    if not present:
        return list(messages), {}
    spare = (chr(c) for c in range(0xF0000, 0x10FFFE) if chr(c) not in content)
    shields = {next(spare): mark for mark in present}
    shielded = []
    for message in messages:
        text = message.content
        for character, mark in shields.items():
            text = text.replace(mark, character)
        shielded.append(Message(message.role, text))
    return shielded, shields


def unshield(text: str, shields: Mapping[str, str]) -> str:
    """Undo `shield`."""
    for character, mark in shields.items():
        text = text.replace(character, mark)
    return text


class _Generation(Extension):
    """`{% generation %}` … `{% endgeneration %}` marks the assistant's words for training; it prints what it holds."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=16)
def _compiled(template: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Plain JSON: Jinja's own filter escapes HTML, which models are not written in."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
