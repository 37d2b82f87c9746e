"""A file of questions: JSON Lines, gzip or not, in our own form or in that of the usual data sets.

    {"id": "q1", "question": "…", "answer": "…"}        only `question` is needed
    answers, aliases    more accepted answers            choices   options; `answer` is an index, a letter or a text
    claim, label        instead of question and answer   kind      short, label, letter or sentence
    context             passages that come with it       table     rows of cells, the first row the header

Recognised besides: paragraphs with titles (`paragraphs: [{title, text}]`, which marks of gold never leave), claims with
`SUPPORTS`, `REFUTES` and `NOT ENOUGH INFO` (FEVER), questions with a table (FeTaQA), and the names that the usual data
sets give their fields (`question_forms`). Every other field stays in `meta`.
Rows that do not fit are named with their line, all of them, the first ten with what is wrong, before anything is asked.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.reason import kinds
from tandem.reason.question_forms import own_form
from tandem.types import Question

LABELS = ("SUPPORTS", "REFUTES", "NOT ENOUGH INFO")
"""What is said about a claim unless its row has choices of its own."""
SHOWN = 10
"""Bad rows that are told with what is wrong."""
_USED = {
    "id",
    "_id",
    "feta_id",
    "question",
    "answer",
    "answers",
    "aliases",
    "choices",
    "claim",
    "label",
    "kind",
    "context",
    "paragraphs",
}


def read(file: Path) -> list[Question]:
    """The questions of a file. Raises UserError naming the rows that cannot be used, and on ids that occur twice."""
    found: dict[str, Question] = {}
    bad: list[str] = []
    numbers: list[int] = []
    for number, text in _lines(file):
        try:
            row = json.loads(text)
            if not isinstance(row, dict):
                raise UserError("is not a JSON object")
            question = of_row(row, str(number))
            if question.id in found:
                raise UserError(f"the id {question.id!r} occurs twice")
            found[question.id] = question
        except (ValueError, RecursionError) as e:  # UserError is one
            numbers.append(number)
            bad.append(f"line {number}: {e.problem if isinstance(e, UserError) else f'is not JSON ({e})'}")
    if bad:
        rest = ", ".join(map(str, numbers[SHOWN:]))
        more = f"\n  and line{'s' * (len(bad) > SHOWN + 1)} {rest}" if rest else ""
        problem = f"{len(bad)} of {len(bad) + len(found)} rows cannot be used:\n  " + "\n  ".join(bad[:SHOWN]) + more
        raise UserError(problem, where=str(file), remedy="mend or remove these rows (docs/answer.md)")
    if not found:
        raise UserError("holds no questions", where=str(file), remedy="give one JSON object a line (docs/answer.md)")
    return list(found.values())


def of_row(row: Mapping[str, Any], name: str) -> Question:
    """A question out of a row; `name` is its id where the row has none. Raises UserError on what does not fit."""
    row = own_form(row)
    claim = "claim" in row
    text = row.get("claim" if claim else "question")
    if not isinstance(text, str) or not text.strip():
        raise UserError("has no text under `question` (or `claim`)")
    choices = _choices(row)
    context, titles = _context(row)
    meta = {key: value for key, value in row.items() if key not in _USED}
    if claim:
        choices, meta["answer"] = choices or list(LABELS), "label"
    elif "table" in row:
        meta["answer"] = "sentence"
    if "kind" in row:
        if row["kind"] not in kinds.KINDS:
            raise UserError(f"kind {row['kind']!r} is none of {', '.join(kinds.KINDS)}")
        meta["answer"] = row["kind"]
    if titles:
        meta["titles"] = titles
    question = Question(
        id=_id(row, name),
        text=text.strip(),
        answers=tuple(_answers(row, choices, claim)),
        choices=tuple(choices),
        context=tuple(context),
        meta=meta,
    )
    kind = kinds.of(question)
    if kind.name in ("label", "letter"):
        for accepted in kinds.gold(question):
            if not kind.read(accepted, question):
                raise UserError(f"the answer {accepted!r} is none of its {len(choices)} choices")
    return question


def _id(row: Mapping[str, Any], name: str) -> str:
    given = next((row[key] for key in ("id", "_id", "feta_id") if row.get(key) not in (None, "")), name)
    if not isinstance(given, str | int | float) or isinstance(given, bool):
        raise UserError(f"the id {given!r} is neither a text nor a number")
    return str(given)


def _answers(row: Mapping[str, Any], choices: list[str], claim: bool) -> list[str]:
    name = "label" if claim else "answer"
    given = row.get(name)
    if isinstance(given, int) and not isinstance(given, bool) and choices:
        if not 0 <= given < len(choices):
            raise UserError(f"answer {given} is out of range: there are {len(choices)} choices, the first is 0")
        given = choices[given] if claim or row.get("kind") == "label" else kinds.letter(given)
    if not isinstance(given, str | int | float | None) or isinstance(given, bool):
        raise UserError(f"`{name}` is neither a text nor a number; several accepted answers stand under `answers`")
    first = [] if given is None or not str(given).strip() else [str(given)]
    return list(dict.fromkeys([*first, *_texts(row, "answers"), *_texts(row, "aliases")]))


def _context(row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Passages and their titles; no titles where they have none."""
    paragraphs = row.get("paragraphs")
    if paragraphs is not None:
        if not isinstance(paragraphs, list) or not all(
            isinstance(p, dict) and isinstance(p.get("text"), str) for p in paragraphs
        ):
            raise UserError("`paragraphs` is not a list of objects with a text")
        kept = [p for p in paragraphs if p["text"].strip()]
        return [p["text"] for p in kept], [str(p.get("title") or "") for p in kept]
    table = row.get("table")
    if table is not None and "context" not in row:
        if not isinstance(table, list) or not all(isinstance(cells, list) for cells in table):
            raise UserError("`table` is not a list of rows")
        titles = [str(row[key]) for key in ("page_title", "section_title") if row.get(key)]
        return [" | ".join([*titles, *(str(cell) for cells in table for cell in cells)])], []
    return [text for text in _texts(row, "context") if text.strip()], []


def _choices(row: Mapping[str, Any]) -> list[str]:
    choices = _texts(row, "choices")
    if any(not choice.strip() for choice in choices):
        raise UserError("one of the `choices` is empty")
    if len(choices) == 1:
        raise UserError("`choices` leave no choice: there is one")
    return choices


def _texts(row: Mapping[str, Any], name: str) -> list[str]:
    value = row.get(name, [])
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise UserError(f"`{name}` is not a list of texts")
    return value


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, line
    except FileNotFoundError:
        raise UserError("no such file", where=str(file), remedy="name a file of questions") from None
    except (OSError, UnicodeError, EOFError, zlib.error) as e:
        raise UserError(f"cannot be read: {e}", where=str(file), remedy="name JSON Lines in UTF-8") from None
