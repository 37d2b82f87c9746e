"""Files of chat evaluations: found by their usual names or named one by one, read with every field checked.

    outputs        instruction, output; generator and dataset may be there
    judgments      instruction, output_1 (baseline), output_2 (model), preference; raw_completion may be there
    questions      question_id, category, turns; gpt4_reference_answer and reference may be there

JSON Lines or a JSON list, gzip or not. What this does not do: fetch anything, or mend a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from tandem.errors import UserError
from tandem.evaluate.judged.pair import Outcome
from tandem.evaluate.judged.reading import recorded_logprobs
from tandem.evaluate.places import ENDINGS, chosen
from tandem.evaluate.row import Row
from tandem.programs import rows
from tandem.runs import file_hash

OUTPUTS = "a row has the fields instruction and output; generator and dataset may be there"
JUDGMENTS = (
    "a row has the fields instruction, output_1 (the baseline's), output_2 (the model's) and preference (1 to 2, or "
    "null); generator_1, generator_2, annotator and raw_completion may be there"
)

GRADED = "graded"
"""What the lines of a run call a grade that was read; among judgments of pairs the word is `preferred`."""


@dataclass(frozen=True)
class Output:
    """One output to one instruction."""

    instruction: str
    """What was asked."""
    text: str
    """What was answered."""
    dataset: str
    """The part of the data it belongs to; may be empty."""
    where: str
    """`file:line`."""


@dataclass(frozen=True)
class Outputs:
    """A file of outputs."""

    rows: tuple[Output, ...]
    """In the file's order."""
    generator: str
    """Who wrote them; the file's name where it does not say."""
    file: str
    """Its name, for people; no path."""
    sha256: str
    """Of its bytes."""


@dataclass(frozen=True)
class Recorded:
    """A judgment on record."""

    instruction: str
    """What was asked."""
    baseline: str
    """The baseline's output."""
    output: str
    """The model's output."""
    preference: float | None
    """From 1 to 2, or 0 for a draw; None where there is none."""
    dataset: str
    """The part of the data it belongs to; may be empty."""
    text: str
    """What the judge wrote, where it is on record."""
    logprobs: tuple[float | None, float | None] | None
    """Of m and M, where they are on record."""
    outcome: Outcome
    """What became of the judgment."""
    where: str
    """`file:line`."""


@dataclass(frozen=True)
class Judgments:
    """A file of judgments."""

    rows: tuple[Recorded, ...]
    """In the file's order."""
    baseline: str
    """Who wrote the first outputs."""
    model: str
    """Who wrote the second outputs."""
    judge: str
    """Who judged."""
    file: str
    """Its name, for people; no path."""
    sha256: str
    """Of its bytes."""


def one(places: Sequence[Path], task: str, option: str) -> Path | None:
    """The file an option names for a task; None where it names none. Raises UserError on more than one, and on none."""
    found = chosen(places, task)
    if len(found) > 1:
        remedy = f"name the task of each: {task}=FILE"
        raise UserError(f"names {len(found)} files for {task}", where=option, remedy=remedy)
    if found and not found[0].is_file():
        raise UserError("no such file", where=f"{option} {found[0]}", remedy="check the path")
    return found[0] if found else None


def find(places: Sequence[Path], task: str, name: str, form: str) -> Path:
    """A task's file of a usual name in folders, or the file named for it. Raises UserError where there is none."""
    for place in (found := chosen(places, task)):
        if not place.exists():
            raise UserError("no such file or folder", where=str(place), remedy=f"it would hold {name}.jsonl.gz")
        if place.is_file() and (place.name in [name + ending for ending in ENDINGS] or place not in places):
            return place
        for ending in ENDINGS:
            if (place / (name + ending)).is_file():
                return place / (name + ending)
    there = f" (looked in {', '.join(map(str, found))})" if found else ""
    remedy = f"put {name}.jsonl.gz into the folder, or name a file: {task}=FILE; {form}"
    raise UserError(f"no data for {task}{there}", where="--data", remedy=remedy)


def read(file: Path, form: str) -> Iterator[Row]:
    """The rows of a file. Raises UserError on a row that is no object, and on no rows."""
    number = -1
    for number, (where, fields) in enumerate(rows.read(file)):
        if not isinstance(fields, dict):
            raise UserError("is not an object", where=where, remedy=form)
        yield Row(where, number, fields, form)
    if number < 0:
        raise UserError("holds no rows", where=str(file), remedy=form)


def outputs(file: Path) -> Outputs:
    """A file of outputs. Raises UserError on a row that lacks a field, on several generators."""
    found = [*read(file, OUTPUTS)]
    texts = tuple(Output(r.text("instruction"), r.text("output"), optional(r, "dataset"), r.where) for r in found)
    return Outputs(texts, same(found, "generator") or file.name.partition(".")[0], file.name, file_hash(file))


def judgments(file: Path) -> Judgments:
    """A file of judgments. Raises UserError on a row that lacks a field, on a preference out of range."""
    found = [*read(file, JUDGMENTS)]
    return Judgments(
        tuple(map(_recorded, found)),
        same(found, "generator_1") or "baseline",
        same(found, "generator_2") or "model",
        same(found, "annotator") or "on record",
        file.name,
        file_hash(file),
    )


def _recorded(row: Row) -> Recorded:
    _, value = row.field("preference")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise row.error(f"preference is {value!r:.60}, not a number")
    preference = None if value is None or math.isnan(value) else float(value)
    if preference is not None and preference != 0 and not 1 <= preference <= 2:
        raise row.error(f"preference is {preference:g}, which is not between 1 and 2")
    raw = row.fields.get("raw_completion")
    own = row.fields.get("logprobs")
    logprobs = recorded_logprobs(raw)
    if logprobs is None and isinstance(own, dict) and {"m", "M"} & own.keys():
        logprobs = own.get("m"), own.get("M")
    text = raw if isinstance(raw, str) else raw.get("text", "") if isinstance(raw, dict) else ""
    return Recorded(
        row.text("instruction"),
        row.text("output_1"),
        row.text("output_2"),
        preference,
        optional(row, "dataset"),
        optional(row, "judge_text") or str(text),
        logprobs,
        outcome_of(row, preference),
        row.where,
    )


def optional(row: Row, name: str) -> str:
    """A text that may be missing; empty then."""
    return row.text(name) if row.fields.get(name) is not None else ""


def outcome_of(row: Row, value: float | None) -> Outcome:
    """What became of a judgment on record: `preferred` where it has a value, else what it says, else `unparsed`."""
    named = optional(row, "outcome") or "unparsed"
    named = "preferred" if named == GRADED else named
    known: tuple[Outcome, ...] = get_args(Outcome)
    outcome = next((one for one in known if one == named), None)
    if outcome is None:
        raise row.error(f"outcome is {named!r:.60}, none of {', '.join((*known, GRADED))}")
    return "preferred" if value is not None else "unparsed" if outcome == "preferred" else outcome


def same(found: Sequence[Row], name: str) -> str:
    """A text that every row has alike; empty where none has it. Raises UserError at the first that differs."""
    first = optional(found[0], name)
    for row in found:
        if (other := optional(row, name)) != first:
            raise row.error(f"{name} is {other!r:.60}, and {first!r:.60} in the rows before: one file, one {name}")
    return first


def aligned(baseline: Outputs, others: Sequence[tuple[str, str]], file: str) -> None:
    """Raise UserError unless row i of `others` ((instruction, where) pairs) has the baseline's instruction i."""
    for n, ((instruction, where), mine) in enumerate(zip(others, baseline.rows, strict=False)):
        if instruction != mine.instruction:
            elsewhere = next((o.where for o in baseline.rows if o.instruction == instruction), None)
            known = f"; the baseline has it at {elsewhere}" if elsewhere else "; the baseline has no such instruction"
            problem = f"row {n + 1} answers {instruction!r:.80}, the baseline's row {mine.instruction!r:.80}{known}"
            raise UserError(problem, where=where, remedy=f"put the rows in the order of {baseline.file}")
    if len(others) != len(baseline.rows):
        problem = f"has {len(others)} rows, and the baseline {baseline.file} has {len(baseline.rows)}"
        raise UserError(problem, where=file, remedy="give one output for each of the baseline's instructions")
