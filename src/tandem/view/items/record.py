"""What one line of a file of items says: its id, whether it is right, what it can be filtered by, its words.

Records come from several commands, and from elsewhere: multiple choice (`choices`, `gold`, `prediction`), programs
(`completion`, `passed`), answers (`answers` with `text`), recipes (`written`, `right`), judgments. Fields are known by
name, the first that is there counts; a field nobody knows is still searched, filtered and shown. What this does not do:
score anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

Record: TypeAlias = Mapping[str, Any]
IDS = ("id", "task_id", "question_id")
VERDICTS = ("correct", "right", "passed", "acc", "em", "exact_match")
"""Fields that say right or wrong: true, false, 1 or 0."""
PROMPTS = ("prompt", "question", "instruction", "input", "messages", "claim", "source", "text")
OUTPUTS = (  # output_1 is AlpacaEval's baseline, output_2 what the measured model wrote
    *("completion", "written", "output", "response", "output_2", "output_1", "answers", "answer", "explanation"),
    *("judgment", "judgments", "raw_completion", "result", "feedback", "seen_feedback"),
)
WRITTEN = ("completion", "written")
GOLDS = ("gold", "reference", "references", "expected", "label", "target", "canonical_solution")
LETTERED = ("gold", "prediction", "answer")
"""Whole numbers here are places among choices, and are named by letter, where a record has choices."""
SHORT = 64
"""Characters of the longest text that is taken for a name."""

DEEPEST = 200
"""Values within values that a record may have."""


def id_of(record: Record) -> str:
    """The record's id, empty where it has none."""
    for name in IDS:
        value = record.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)
    return ""


def key_of(record: Record) -> str:
    """What a record of another run must share to be about the same item: its id, and whose answer it is."""
    id, system = id_of(record), record.get("system")
    if not isinstance(system, str) or not system:
        return id
    return f"{id.removesuffix(f'/{system}')}\n{system}"


def number(value: Any) -> float | None:
    """A finite number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        made = float(value)
    except OverflowError:
        return None
    return made if math.isfinite(made) else None


def lettered(record: Record) -> bool:
    """Whether whole numbers are places among choices; else they are numbers, such as a product."""
    return isinstance(record.get("choices"), list) or isinstance(record.get("logprobs"), list)


def right_choices(record: Record) -> tuple[int, ...]:
    """Places of the right choices; nothing where the record is no choice among several."""
    gold = record.get("gold", record.get("answer") if "predictions" in record else None)
    given = gold if isinstance(gold, list) else [gold]
    return tuple(g for g in given if isinstance(g, int) and not isinstance(g, bool))


def chosen(record: Record) -> int | None:
    """Place of the choice taken."""
    said = record.get("prediction")
    if said is None and isinstance(predictions := record.get("predictions"), list) and predictions:
        said = predictions[0]
    return said if isinstance(said, int) and not isinstance(said, bool) else None


def verdict(record: Record) -> bool | None:
    """Right, wrong, or not said."""
    for name in VERDICTS:
        value = record.get(name)
        if isinstance(value, bool):
            return value
        if isinstance(value, int | float) and value in (0, 1):
            return value == 1
    said, right = chosen(record), right_choices(record)
    return said in right if said is not None and right else None


def outcome(record: Record) -> str:
    """A named outcome: the record's own, the kind of its error, why it was set aside."""
    told = record.get("outcome")
    if isinstance(told, str):
        return told
    error = record.get("error")
    if isinstance(error, Mapping) and isinstance(error.get("kind"), str):
        return f"error: {error['kind']}"
    if isinstance(error, str) and error:
        return "error"
    answers = record.get("answers")
    if isinstance(answers, list):
        return next((outcome(one) for one in answers if isinstance(one, Mapping) and "error" in one), "")
    return ""


def margin(record: Record) -> float | None:
    """How far the best right choice's log-probability is above the best wrong one's; negative where it lost."""
    logprobs, right = record.get("logprobs"), right_choices(record)
    if not isinstance(logprobs, list) or not right:
        return None
    good = bad = -math.inf
    for place, value in enumerate(logprobs):
        if type(value) is float or (value := number(value)) is not None:
            if place in right:
                good = max(good, value)
            else:
                bad = max(bad, value)
    return good - bad if good > -math.inf and bad > -math.inf else None


def scalars(record: Record) -> Iterator[tuple[str, float | str]]:
    """What a record can be filtered and sorted by: numbers and short texts, some of them derived."""
    places = LETTERED if lettered(record) else ()
    for name, value in record.items():
        kind = type(value)
        if kind is float:
            if math.isfinite(value):
                yield name, value
        elif kind is str:
            if name != "id" and name != "outcome":
                yield name, value
        elif kind is bool:
            yield name, "true" if value else "false"
        elif kind is int and name != "id":
            if name in places:
                yield name, letter(value)
            elif (known := number(value)) is not None:
                yield name, known
    if said := outcome(record):
        yield "outcome", said
    if "finish" not in record and isinstance(answers := record.get("answers"), list):
        ends = {one["finish"] for one in answers if isinstance(one, Mapping) and isinstance(one.get("finish"), str)}
        if ends:
            yield "finish", ", ".join(sorted(ends))
    if "margin" not in record and (apart := margin(record)) is not None:
        yield "margin", apart


def letter(place: int) -> str:
    """A, B, C …; the number itself beyond Z."""
    return chr(65 + place) if 0 <= place < 26 else str(place)


def texts(value: Any) -> list[str]:
    """Every text in a JSON value, in order, names of fields left out. Raises RecursionError on one too deep to show."""
    found: list[str] = []
    _collect((value,), found, DEEPEST)
    return found


def _collect(values: Iterable[Any], found: list[str], deeper: int) -> None:
    if not deeper:
        raise RecursionError
    for value in values:  # exact types: JSON has no others, and this runs for every value of 100,000 records
        kind = type(value)
        if kind is str:
            found.append(value)
        elif kind is list:
            _collect(value, found, deeper - 1)
        elif kind is dict:
            _collect(value.values(), found, deeper - 1)


def prompt(record: Record) -> str:
    """What was asked, in words."""
    for name in PROMPTS:
        value = record.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list) and value:
            said = [one.get("content") if isinstance(one, Mapping) else one for one in value]
            return str(said[-1] if name == "messages" else said[0])
    return ""


def output(record: Record) -> str:
    """What was answered, in words: the choice taken, or the text."""
    choices, said = record.get("choices"), chosen(record)
    if said is not None and not lettered(record):
        return str(said)
    if said is not None:
        known = isinstance(choices, list) and 0 <= said < len(choices)
        return f"{letter(said)}  {choices[said]}" if known and isinstance(choices, list) else letter(said)
    for name in ("extracted", "prediction", *OUTPUTS):
        value = record.get(name)
        if name in WRITTEN and isinstance(value, str):  # what the model wrote, even if that is nothing
            return value
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, Mapping):
            value = value.get("text")
        if isinstance(value, str) and value.strip():
            return value
    error = record.get("error")
    if isinstance(error, Mapping):
        error = error.get("message")
    return error if isinstance(error, str) else ""


def gold(record: Record) -> str:
    """The right answer, in words; empty where the record does not hold it."""
    choices, right = record.get("choices"), right_choices(record)
    if right and lettered(record):
        known = choices if isinstance(choices, list) else []
        return " / ".join(f"{letter(r)}  {known[r]}" if 0 <= r < len(known) else letter(r) for r in right)
    for name in GOLDS:
        value = record.get(name)
        if isinstance(value, list):
            return " / ".join(map(str, value))
        if value not in (None, ""):
            return str(value)
    return ""
