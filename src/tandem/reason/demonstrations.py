"""Worked examples in front of a question: data, not code. Ours are written for this project; yours load from a file.

One JSON object a line: `question`, `answer`, `steps`; a claim or a choice also has `choices`. A step has `text` (the
sentence of the chain), and for the methods that look things up `question` (what one would ask to check it), `passage`
(what one would find) and `checked` (the sentence that the passage supports: the step again, or corrected). `domains`
names the fields of knowledge the question needs.

`one` and `six` shots are the first one and six lines of a set. A test holds the shipped sets against benchmark files,
so that none of them is a test item.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.reason import kinds
from tandem.types import Question

SETS = ("questions", "claims", "choices", "tables")
"""The shipped sets: `short`, `label`, `letter` and `sentence` answers in turn."""
_OF_KIND = dict(zip(("short", "label", "letter", "sentence"), SETS, strict=True))


@dataclass(frozen=True)
class Worked:
    """One step of a worked example."""

    text: str
    """The sentence of the chain, as a model might write it."""
    question: str = ""
    """What one would ask to check it."""
    passage: str = ""
    """What one would find."""
    checked: str = ""
    """The sentence as the passage supports it."""
    page: str = ""
    """What one would read first, where the passage stands further down."""
    word: str = ""
    """What one would look for in the page then."""


@dataclass(frozen=True)
class Demonstration:
    """A question with its chain and answer."""

    question: Question
    """With `choices` where it has some; the first of `answers` is the answer."""
    steps: tuple[Worked, ...]
    """The chain in order."""
    domains: tuple[str, ...] = field(default=())
    """Fields of knowledge it needs."""

    @property
    def answer(self) -> str:
        """The answer as it is written in a prompt."""
        return kinds.gold(self.question)[0]


def shipped(kind: kinds.Name, shots: int) -> tuple[Demonstration, ...]:
    """The first `shots` demonstrations of the set for a kind of answer. Raises UserError on more than there are."""
    return _first(_shipped(_OF_KIND[kind]), shots, f"the shipped set `{_OF_KIND[kind]}`")


def read(file: Path, shots: int | None = None) -> tuple[Demonstration, ...]:
    """Demonstrations of a file; all, or the first `shots`. Raises UserError naming file, line and field."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as e:
        raise UserError(f"cannot be read: {e}", where=str(file), remedy="name a file of JSON lines") from None
    found = _parse(text, str(file))
    return found if shots is None else _first(found, shots, str(file))


def write(shown: Sequence[Demonstration], file: Path) -> None:
    """Demonstrations as a file that `read` takes."""
    rows = []
    for d in shown:
        q = d.question
        row: dict[str, Any] = {"question": q.text, "answer": q.answers[0]}
        row |= {"steps": [{name: text for name, text in vars(each).items() if text} for each in d.steps]}
        rest = {"choices": q.choices, "context": q.context, "domains": d.domains}
        row |= {name: list(texts) for name, texts in rest.items() if texts}
        rows.append(row | ({"kind": q.meta["answer"]} if "answer" in q.meta else {}))
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _first(found: Sequence[Demonstration], shots: int, where: str) -> tuple[Demonstration, ...]:
    if not 0 <= shots <= len(found):
        raise UserError(f"{shots} demonstrations were asked for", where=where, remedy=f"give 0 to {len(found)}")
    return tuple(found[:shots])


@lru_cache
def _shipped(name: str) -> tuple[Demonstration, ...]:
    resource = files("tandem.reason") / "shots" / f"{name}.jsonl"
    return _parse(resource.read_text(encoding="utf-8"), f"shots/{name}.jsonl")


def _parse(text: str, where: str) -> tuple[Demonstration, ...]:
    made = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as e:
                raise UserError(f"is not JSON ({e})", where=f"{where}:{number}") from None
            made.append(_demonstration(row, f"{where}:{number}"))
    if not made:
        raise UserError("holds no demonstration", where=where, remedy="give one JSON object a line")
    return tuple(made)


def _demonstration(row: Any, where: str) -> Demonstration:
    if not isinstance(row, dict):
        raise UserError("is not a JSON object", where=where)
    known = {"question", "answer", "steps", "choices", "kind", "context", "domains"}
    if odd := sorted(set(row) - known):
        raise UserError(f"has an unknown field {odd[0]!r}", where=where, remedy=f"known: {', '.join(sorted(known))}")
    steps = row.get("steps", [])
    if not isinstance(steps, list):
        raise UserError("`steps` is not a list", where=where)
    meta = {"answer": row["kind"]} if "kind" in row else {}
    question = Question(
        id=where,
        text=_text(row, "question", where),
        answers=(_text(row, "answer", where),),
        choices=tuple(_texts(row, "choices", where)),
        context=tuple(_texts(row, "context", where)),
        meta=meta,
    )
    kind = kinds.of(question)
    if not kind.right(kind.read(kinds.gold(question)[0], question), question):
        raise UserError(f"the answer {question.answers[0]!r} is none of its choices", where=where)
    worked = tuple(_worked(step, f"{where}, step {n}") for n, step in enumerate(steps, 1))
    return Demonstration(question, worked, tuple(_texts(row, "domains", where)))


def _worked(step: Any, where: str) -> Worked:
    if isinstance(step, str):
        step = {"text": step}
    names = ("question", "passage", "checked", "page", "word")
    if not isinstance(step, dict) or set(step) - {"text", *names}:
        raise UserError("is not a step", where=where, remedy=f"give text, {', '.join(names)}")
    rest = {name: _text(step, name, where) for name in names if name in step}
    if ("page" in rest) != ("word" in rest):
        raise UserError("has one of `page` and `word`", where=where, remedy="give both, or none")
    return Worked(_text(step, "text", where), **rest)


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"`{name}` is not a text", where=where)
    return value


def _texts(row: Mapping[str, Any], name: str, where: str) -> list[str]:
    value = row.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise UserError(f"`{name}` is not a list of texts", where=where)
    return value
