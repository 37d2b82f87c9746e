"""One record as a page shows it: the prompt, the choices with their log-probabilities, what was answered, and the rest.

Every field is shown somewhere: those that are known by name in their place, numbers and short texts in a list, all
others by their names, and the whole record as JSON. What this does not do: look at other records, or draw pages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from tandem.report import strip, wording
from tandem.view.items import record as said
from tandem.view.items.record import Record

LONGEST = 200_000
"""Characters of a text that a page shows; the rest is in the file."""
STEPS, DEEP = 2_000, 40
"""Steps of a trace that are shown, and how deep."""
WHO = {
    "completion": "the model",
    "written": "the model",
    "output": "the model",
    "response": "the model",
    "output_1": "first output",
    "output_2": "second output",
    "answer": "the model",
    "answers": "the model",
    "explanation": "explanation",
    "judgment": "the judge",
    "judgments": "the judge",
    "raw_completion": "the judge",
    "result": "the tests",
    "feedback": "what the tests say",
    "seen_feedback": "what the seen tests say",
}
"""Who speaks in a field of outputs."""


@dataclass(frozen=True)
class Part:
    """A text with who wrote it."""

    who: str
    text: str
    verdict: str = ""
    """`right`, `wrong` or empty."""


@dataclass(frozen=True)
class Choice:
    """One of several answers to choose from."""

    letter: str
    text: str
    logprob: str
    each: str
    """Log-probability for each character."""
    share: str
    """Its part of the probability of all choices."""
    bar: Markup
    chosen: bool
    right: bool


@dataclass(frozen=True)
class StepView:
    """One step of a trace."""

    name: str
    outcome: str
    """Empty where it went well."""
    facts: list[tuple[str, str]]
    steps: list[StepView]
    more: int = 0
    """Steps inside it that are not shown."""


@dataclass(frozen=True)
class ItemView:
    """A record, ready to be written."""

    id: str
    verdict: str
    outcome: str
    prompt: list[Part]
    choices: list[Choice]
    outputs: list[Part]
    extracted: str | None
    expected: str
    facts: list[tuple[str, str]]
    trace: list[StepView]
    others: list[tuple[str, str]]
    raw: str


def tell(record: Record, *, verdict: int | None = None) -> ItemView:
    """The record's view; `verdict` where the file knows better than the record alone (1, 0, -1)."""
    reader = _Reader(record)
    right = said.verdict(record) if verdict is None or verdict < 0 else bool(verdict)
    mark = {True: "right", False: "wrong", None: ""}[right]
    prompt = reader.prompt()
    choices = reader.choices()
    outputs = reader.outputs("" if choices else mark)
    extracted = reader.extracted()
    expected = "" if choices else reader.expected()
    trace = reader.trace()
    facts, others = reader.rest()
    raw = cut(json.dumps(record, ensure_ascii=False, indent=2))
    id = said.id_of(record)
    return ItemView(
        id, mark, said.outcome(record), prompt, choices, outputs, extracted, expected, facts, trace, others, raw
    )


def cut(written: str) -> str:
    """A text short enough for a page, with a word on what is missing."""
    if len(written) <= LONGEST:
        return written
    return f"{written[:LONGEST]}\n… {len(written) - LONGEST:,} more characters: they are in the file"


@dataclass
class _Reader:
    """Takes fields out of a record and remembers which."""

    record: Record
    used: set[str] = field(default_factory=lambda: set(said.IDS))

    def take(self, name: str) -> Any:
        self.used.add(name)
        return self.record.get(name)

    def prompt(self) -> list[Part]:
        parts = []
        for name in said.PROMPTS:
            value = self.record.get(name)
            if isinstance(value, str) and value:
                parts.append(Part("" if name == "prompt" else name, cut(value)))
            elif name == "messages" and isinstance(value, list):
                for one in value:
                    message = one if isinstance(one, Mapping) else {"content": one}
                    parts.append(Part(str(message.get("role", "")), cut(words(message.get("content")))))
            elif name == "prompt" and isinstance(value, list) and value:
                if not isinstance(self.record.get("choices"), list):
                    parts += [Part("", cut(words(one))) for one in value]
                elif len({words(one) for one in value}) == 1:
                    parts.append(Part("", cut(words(value[0]))))
            else:
                continue
            self.used.add(name)
        return parts

    def choices(self) -> list[Choice]:
        given, logprobs = self.record.get("choices"), self.record.get("logprobs")
        right, chosen = said.right_choices(self.record), said.chosen(self.record)
        if not isinstance(given, list):
            if not (isinstance(logprobs, list) and right):
                return []
            given = [""] * len(logprobs)
        values = [said.number(p) for p in logprobs] if isinstance(logprobs, list) else []
        values += [None] * (len(given) - len(values))
        stems = self.record.get("prompt")
        stems = stems if isinstance(stems, list) and len({words(one) for one in stems}) > 1 else []
        self.used |= {"choices", "logprobs", "prediction", "gold", "prompt"}
        if "predictions" in self.record:
            self.used.add("answer")
        shares = _shares(values[: len(given)])
        made = []
        for place, (one, value, share) in enumerate(zip(given, values, shares, strict=False)):
            text = words(one)
            if place < len(stems):
                text = f"{words(stems[place])} {text}"
            made.append(
                Choice(
                    said.letter(place),
                    cut(text),
                    "" if value is None else wording.fixed(value, 2),
                    "" if value is None or not words(one) else wording.fixed(value / len(words(one)), 3),
                    "" if share is None else f"{wording.fixed(share * 100, 1)}{wording.NARROW}%",
                    Markup("") if share is None else strip.bar(share, 0.0, 1.0, track=True),
                    place == chosen,
                    place in right,
                )
            )
        return made

    def outputs(self, mark: str) -> list[Part]:
        parts: list[Part] = []
        for name in said.OUTPUTS:
            if name == "answer" and ("written" in self.record or "predictions" in self.record):
                continue
            value = self.record.get(name)
            who = WHO[name]
            generator = self.record.get(name.replace("output_", "generator_"))
            if name.startswith("output_") and isinstance(generator, str):
                who = generator
            if isinstance(value, str):
                found = [Part(who, cut(value))] if value or name in ("completion", "written") else []
            elif isinstance(value, list) and value:
                found = list(_several(who, value))
            else:
                continue
            self.used.add(name)
            parts += found
        error = self.record.get("error")
        if error:
            self.used.add("error")
            message = error.get("message") if isinstance(error, Mapping) else error
            parts.append(Part("error", cut(words(message)), "wrong"))
        said_word = self.record.get("prediction")
        if isinstance(said_word, str) and "choices" not in self.record:
            self.used.add("prediction")
            parts.insert(0, Part("the model", cut(said_word)))
        if parts and mark:
            parts[0] = Part(parts[0].who, parts[0].text, mark)
        return parts

    def extracted(self) -> str | None:
        """What was read out of the answer, where that is told apart from it."""
        name = "extracted" if "extracted" in self.record else "answer" if "written" in self.record else ""
        value = self.take(name) if name else None
        return None if value is None else cut(words(value))

    def expected(self) -> str:
        known = [name for name in said.GOLDS if self.record.get(name) not in (None, "", [])]
        if not known:
            return ""
        self.used |= {known[0]}
        return cut(said.gold(self.record))

    def trace(self) -> list[StepView]:
        given = self.take("trace")
        budget = [STEPS]
        steps = given if isinstance(given, list) else [given] if isinstance(given, Mapping) else []
        return [_step(one, budget, 0) for one in steps]

    def rest(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Numbers and short texts; then whatever is left."""
        facts, others = [], []
        for name, value in self.record.items():
            if name in self.used or value in (None, "", [], {}):
                continue
            if isinstance(value, bool):
                facts.append((name, "yes" if value else "no"))
            elif isinstance(value, int | float):
                number = said.number(value)
                facts.append((name, str(value) if number is None else _plain(value)))
            elif isinstance(value, str) and len(value) <= 80 and "\n" not in value:
                facts.append((name, value))
            else:
                others.append((name, cut(words(value))))
        if "margin" not in self.record and (apart := said.margin(self.record)) is not None:
            facts.append(("margin", wording.fixed(apart, 3)))
        return facts, others


def _several(who: str, values: list[Any]) -> Iterator[Part]:
    """Several texts in one field: answers with their ends, or plain texts."""
    for place, one in enumerate(values, 1):
        name = f"{who}, {place} of {len(values)}" if len(values) > 1 else who
        if not isinstance(one, Mapping):
            yield Part(name, cut(words(one)))
        elif "error" in one:
            error = one["error"]
            kind = error.get("kind", "error") if isinstance(error, Mapping) else "error"
            message = error.get("message", "") if isinstance(error, Mapping) else error
            yield Part(f"{name}: {kind}", cut(words(message)), "wrong")
        else:
            end = one.get("finish")
            yield Part(name if end in (None, "stop") else f"{name}: ended by {end}", cut(words(one.get("text"))))


def _shares(values: list[float | None]) -> list[float | None]:
    """Each choice's part of the probability of all."""
    known = [v for v in values if v is not None]
    if not known:
        return list(values)
    top = max(known)
    total = sum(math.exp(v - top) for v in known)
    return [None if v is None else math.exp(v - top) / total for v in values]


def _step(given: Any, budget: list[int], depth: int) -> StepView:
    """A step: `name`, its facts or `input` and `output`, its outcome, the steps inside it."""
    budget[0] -= 1
    if not isinstance(given, Mapping):
        return StepView("", "", [("", cut(words(given)))], [])
    inner = given.get("steps", given.get("children"))
    inner = inner if isinstance(inner, list) else []
    outcome = given.get("outcome")
    facts = [
        (str(name), cut(words(value)))
        for name, value in given.items()
        if name not in ("name", "facts", "steps", "children", "outcome") and value not in (None, "", [], {})
    ]
    told = given.get("facts")
    if isinstance(told, Mapping):
        facts += [(str(name), cut(words(value))) for name, value in told.items()]
    shown = []
    for one in inner:
        if budget[0] <= 0 or depth >= DEEP:
            break
        shown.append(_step(one, budget, depth + 1))
    ended = "" if outcome in (None, "done") else words(outcome)
    return StepView(words(given.get("name")), ended, facts, shown, len(inner) - len(shown))


def words(value: Any) -> str:
    """A JSON value as a text: texts as they are, the rest as JSON, over several lines where it is long."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    short = json.dumps(value, ensure_ascii=False)
    return short if len(short) <= 100 else json.dumps(value, ensure_ascii=False, indent=1)


def _plain(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) and abs(value) < 10**15 else wording.short(float(value))
