"""Answers of two systems to the same questions, joined by id.

A side is a file of JSON lines (.gz, or a JSON list, too), or a run's folder that holds one. Fields, the first that is
there:

    id        id, task_id, question_id
    prompt    question, instruction, prompt, messages
    answer    output, output_2, written, answer, answers, completion, response, text, prediction: the first with a text

`answers` is a list as `tandem generate` writes it, whose first counts; `output_2` is the measured model's, AlpacaEval's
name. Turns of a conversation are questions of their own. Of several samples of a question, told apart by `sample`, the
first counts. A row that says `error` instead has no answer and is counted. What this does not do: judge texts that
stand under different questions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.programs import rows
from tandem.runs import file_hash

IDS = ("id", "task_id", "question_id")
PROMPTS = ("question", "instruction", "prompt", "messages")
ANSWERS = ("output", "output_2", "written", "answer", "answers", "completion", "response", "text", "prediction")
PLACES = ("*-items.jsonl", "items.jsonl", "*/items.jsonl", "*.answers.jsonl", "answers.jsonl", "*-step*.jsonl")
"""Where a run's folder may hold answers."""

PER_SYSTEM = ("rationale", "reasoning", "steps", "trace", "model", "system")
"""Fields that belong to a system also where only one side has them."""


@dataclass(frozen=True)
class Fields:
    """Names of fields where the usual ones are not meant; empty takes those."""

    id: str = ""
    """Of the id."""
    prompt: str = ""
    """Of the prompt."""
    answer: str = ""
    """Of the answer."""
    show: tuple[str, ...] = ()
    """Further fields to show: above the answers where both sides say the same, else beside each."""


@dataclass(frozen=True)
class Answered:
    """One row of one side."""

    id: str
    prompt: str
    """Empty where the row has none."""
    answer: str | None
    """None where the call had failed."""
    shown: Mapping[str, str]
    """The further fields it has."""
    where: str
    """`file:line`."""


@dataclass(frozen=True)
class Side:
    """All answers of one system."""

    name: str
    """Short name, unlike the other's; no page of an annotator shows it."""
    file: Path
    """Where they are from."""
    sha256: str
    """Of its bytes."""
    rows: Mapping[str, Answered]
    """By id, in the file's order."""
    further: int = 0
    """Rows that are a second sample, or a later one, of a question."""


@dataclass(frozen=True)
class Pair:
    """One question with both answers."""

    id: str
    prompt: str
    answers: tuple[str, str]
    """Of the first and of the second system."""
    shared: tuple[tuple[str, str], ...] = ()
    """Further fields on which both sides agree: name, text."""
    beside: tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]] = ((), ())
    """Those of each side by itself."""


@dataclass(frozen=True)
class Joined:
    """What two sides have in common, and what not."""

    sides: tuple[Side, Side]
    pairs: tuple[Pair, ...]
    """In the first file's order."""
    unmatched: tuple[int, int]
    """Rows of each side whose id the other lacks."""
    unanswered: int
    """Ids that both have, where a side has no answer."""

    @property
    def names(self) -> tuple[str, str]:
        """The systems."""
        return self.sides[0].name, self.sides[1].name

    @property
    def alike(self) -> int:
        """Pairs whose two answers are the same text."""
        return sum(pair.answers[0] == pair.answers[1] for pair in self.pairs)


def side(path: Path, name: str, fields: Fields, task: str = "") -> Side:
    """Read one side. Raises UserError, with file and line, on what is missing, strange or there twice."""
    file = _file(path, task)
    found: dict[str, Answered] = {}
    firsts: dict[str, object] = {}
    further = 0
    usual: dict[str, str] = {}
    for where, row in rows.read(file):
        if not isinstance(row, dict):
            raise UserError(
                "is not an object", where=where, remedy='write one {"id": …, "prompt": …, "output": …} a line'
            )
        id = _id(row, _named("id", fields.id, IDS, row, where, usual), where)
        if "turn" in row:
            id = f"{id}, turn {row['turn']}"
        if id in found:
            if row.get("sample") != firsts[id]:
                further += 1
                continue
            remedy = "keep one of them, or number samples of one question from 0 in a field `sample`"
            raise UserError(f"the id {id!r} stands at {found[id].where} already", where=where, remedy=remedy)
        answer = None
        if "error" not in row or _has(row, fields.answer, ANSWERS):
            answer = _answer(
                row[name_of := _named("answer", fields.answer, ANSWERS, row, where, usual)], name_of, where
            )
        prompt = ""
        if fields.prompt or any(key in row for key in PROMPTS):
            key = _named("prompt", fields.prompt, PROMPTS, row, where, usual)
            prompt = _prompt(row[key], key, where)
        shown = {key: _shown(row[key]) for key in fields.show if row.get(key) not in (None, "", [], {})}
        found[id] = Answered(id, prompt, answer, shown, where)
        firsts[id] = row.get("sample")
    if not found:
        raise UserError("holds no rows", where=str(file), remedy="is the run that wrote it finished?")
    return Side(name, file, file_hash(file), found, further)


def join(first: Side, second: Side, show: Sequence[str] = ()) -> Joined:
    """The questions that both sides answered.

    Raises UserError where there is none, where a question has no prompt, or has another one on the other side, and on
    a field to show that no row has.
    """
    pairs, unanswered = [], 0
    for id, one in first.rows.items():
        other = second.rows.get(id)
        if other is None:
            continue
        if one.answer is None or other.answer is None:
            unanswered += 1
            continue
        if one.prompt and other.prompt and one.prompt != other.prompt:
            remedy = "name a field that holds the same question on both sides: --prompt FIELD"
            problem = f"the prompt of {id!r} is another one than at {other.where}, and would tell the systems apart"
            raise UserError(problem, where=one.where, remedy=remedy)
        if not (prompt := one.prompt or other.prompt):
            remedy = f"name the field: --prompt FIELD (usual: {', '.join(PROMPTS)})"
            raise UserError(f"{id!r} has no prompt on either side", where=one.where, remedy=remedy)
        shared = tuple((key, text) for key in show if (text := _agreed(key, one.shown, other.shown)) is not None)
        known = {key for key, _ in shared}
        beside = tuple(
            tuple((key, row.shown[key]) for key in show if key in row.shown and key not in known)
            for row in (one, other)
        )
        pairs.append(Pair(id, prompt, (one.answer, other.answer), shared, (beside[0], beside[1])))
    if not pairs:
        some = "; ".join(f"{s.file.name} begins with {', '.join(list(s.rows)[:3])}" for s in (first, second))
        raise UserError(f"no id has an answer on both sides ({some})", where=str(first.file), remedy="try --id FIELD")
    for key in show:
        if not any(key in row.shown for s in (first, second) for row in s.rows.values()):
            raise UserError(f"no row has the field {key!r}", where="--show", remedy="check its name")
    unmatched = (len(first.rows.keys() - second.rows.keys()), len(second.rows.keys() - first.rows.keys()))
    return Joined((first, second), tuple(pairs), unmatched, unanswered)


def names(paths: Sequence[Path]) -> tuple[str, str]:
    """Short names that differ: the ends of two paths, as long as it takes; the same path twice is numbered."""
    parts = [(*path.resolve().parts[:-1], path.name.partition(".json")[0] or path.name) for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        first, second = ("/".join(each[-length:]) for each in parts)
        if first != second:
            return first, second
    return f"{parts[0][-1]} (A)", f"{parts[1][-1]} (B)"


def _agreed(key: str, one: Mapping[str, str], other: Mapping[str, str]) -> str | None:
    """What both sides say in a field, or the one that has it; None where they differ, or it belongs to a system."""
    said = {side[key] for side in (one, other) if key in side}
    own = key in PER_SYSTEM and not (key in one and key in other)
    return None if len(said) != 1 or own else said.pop()


def _file(path: Path, task: str) -> Path:
    """The file of answers that a path means."""
    remedy = "name a file of JSON lines with id, prompt and output, or the folder of a run that holds one"
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError("no such file or folder", where=str(path), remedy=remedy)
    files = sorted({file for place in PLACES for file in path.glob(place) if file.is_file()})
    if task:
        files = [file for file in files if task in (file.stem, file.stem.removesuffix("-items"))]
    fitting = [file for file in files if _fits(file)]
    if len(fitting) > 1:
        names = ", ".join(str(file.relative_to(path)) for file in fitting)
        raise UserError(
            f"holds {len(fitting)} files of answers: {names}", where=str(path), remedy="name one: --task NAME"
        )
    if not fitting:
        looked = ", ".join(str(file.relative_to(path)) for file in files) or ", ".join(PLACES)
        raise UserError(f"holds no file of answers (looked at {looked})", where=str(path), remedy=remedy)
    return fitting[0]


def _fits(file: Path) -> bool:
    """Whether a file's first row has an answer in words."""
    try:
        _, row = next(rows.read(file))
    except (UserError, StopIteration):
        return False
    return isinstance(row, dict) and any(isinstance(row.get(name), str | list) for name in ANSWERS)


def _has(row: Mapping[str, Any], given: str, usual: Sequence[str]) -> bool:
    return given in row if given else any(name in row for name in usual)


def _named(
    what: str, given: str, usual: Sequence[str], row: Mapping[str, Any], where: str, taken: dict[str, str]
) -> str:
    """The field that holds something; the one that the file's first row has is meant in all rows.

    Of the usual ones a field with words goes before one with a number, such as an answer that was read out of a text.
    """
    there = sorted((name for name in usual if name in row), key=lambda name: not isinstance(row[name], str | list))
    name = given or taken.get(what) or next(iter(there), "")
    if not name or name not in row:
        has = ", ".join(map(str, row)) or "none"
        wanted = f"the field {name!r}" if name else f"one of {', '.join(usual)}"
        raise UserError(
            f"has not {wanted} (its fields: {has:.200})", where=where, remedy=f"name the field: --{what} FIELD"
        )
    taken.setdefault(what, name)
    return name


def _id(row: Mapping[str, Any], name: str, where: str) -> str:
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise UserError(f"{name} is {value!r:.60}", where=where, remedy="give a text or a whole number")
    return str(value)


def _answer(value: Any, name: str, where: str) -> str | None:
    """An answer's text; of a list the first; None where that is an error."""
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, dict):
        if "error" in first and "text" not in first:
            return None
        first = first.get("text")
    if not isinstance(first, str):
        remedy = "name the field that holds the answer's text: --answer FIELD"
        raise UserError(f"{name} is {value!r:.60}, not a text", where=where, remedy=remedy)
    return first


def _prompt(value: Any, name: str, where: str) -> str:
    """A prompt's text; of a conversation all messages, who says it in front where there are several."""
    if isinstance(value, str):
        return value
    messages = value if isinstance(value, list) else []
    texts = [(m.get("role"), m.get("content")) for m in messages if isinstance(m, dict)]
    if not texts or len(texts) != len(messages) or not all(isinstance(part, str) for pair in texts for part in pair):
        raise UserError(
            f"{name} is {value!r:.60}, not a text", where=where, remedy="name another field: --prompt FIELD"
        )
    return str(texts[0][1]) if len(texts) == 1 else "\n\n".join(f"{role}: {content}" for role, content in texts)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "\n".join(value)
    return json.dumps(value, ensure_ascii=False, indent=1)
