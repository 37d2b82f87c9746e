"""The kinds of answers: how a question is shown, how an answer is read, and which two answers are the same.

    short      a name, a number, a few words; two are the same in SQuAD's normal form
    label      one of a claim's labels, the question's `choices`
    letter     the letter of one of the question's `choices`, which are shown with it, in every prompt
    sentence   free text; two are the same when half of their words are (token F1)

A question's kind is `meta["answer"]` where that is one of these, else `letter` with choices and `short` without.
What is no valid label or option is read as nothing, never as the nearest one. A single letter stands for the option at
its place even where an option's text is another letter, since letters are what is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tandem.errors import UserError
from tandem.metrics.answers import exact_match, token_f1
from tandem.metrics.letters import MOST, read_letter
from tandem.metrics.normalise import answer_form
from tandem.metrics.stem import stem
from tandem.reason.declining import declines
from tandem.types import Question

Name: TypeAlias = Literal["short", "label", "letter", "sentence"]
ALIKE = 0.5
"""Token F1 from which two sentences say the same."""
_ANNOUNCED = re.compile(r"(?:[^,]*,\s*)?(?:so |thus |hence |therefore )?the (?:final |correct )?answer is:?\s+", re.I)
"""What stands in front of an answer in a sentence."""
_DENIED = frozenset(
    ["not", "no", "never", "neither", "nor", "cannot", "hardly", "isnt", "arent", "wasnt", "doesnt", "didnt", "dont"]
)
"""Words that turn a label right behind them, or behind one more word, into its opposite."""
_SPELT = {"not enough information": "not enough info", "not enough evidence": "not enough info"}
"""Other spellings of a label, both in normal form."""


@dataclass(frozen=True)
class Kind:
    """A kind of answer."""

    name: Name
    """Its name."""
    asks: str
    """What the question is called in a prompt."""
    read: Callable[[str, Question], str]
    """The answer in what was written, in its own form; empty when there is none."""
    same: Callable[[str, str], bool]
    """Whether two answers that were read agree."""
    right: Callable[[str, Question], float]
    """Between 0 and 1: an answer that was read against the question's accepted ones."""


def of(question: Question) -> Kind:
    """The kind of a question. Raises UserError where labels or options are wanted and there are none."""
    wanted = str(question.meta.get("answer", ""))
    name = wanted if wanted in KINDS else "letter" if question.choices else "short"
    if name in ("label", "letter") and not question.choices:
        remedy = "give the labels or options as `choices`"
        raise UserError(f"a {name} is wanted, and there are no choices", where=f"question {question.id}", remedy=remedy)
    if name == "letter" and len(question.choices) > MOST:
        problem = f"{len(question.choices)} choices have no letters"
        raise UserError(problem, where=f"question {question.id}", remedy=f"give at most {MOST}")
    return KINDS[name]


def shown(question: Question, *, context: bool = False) -> str:
    """The question with everything that belongs to it: its options, and with `context` its passages."""
    kind = of(question)
    lines = [f"Passage: {_one_line(passage)}" for passage in question.context] if context else []
    lines.append(f"{kind.asks}: {_one_line(question.text)}")
    if kind.name == "letter":
        lines += [f"({letter(i)}) {_one_line(choice)}" for i, choice in enumerate(question.choices)]
    return "\n".join(lines)


def options(question: Question) -> str:
    """The question with its options and a line's end, for prompts about a part of it; nothing where it has none."""
    return f"{shown(question)}\n" if of(question).name == "letter" else ""


def listed(question: Question) -> str:
    """Its options on one line; nothing where it has none."""
    kept = enumerate(question.choices) if of(question).name == "letter" else ()
    return " ".join(f"({letter(i)}) {_one_line(choice)}" for i, choice in kept)


def letter(place: int) -> str:
    """The letter of an option."""
    return chr(ord("A") + place)


def gold(question: Question) -> tuple[str, ...]:
    """The accepted answers as this kind writes them: the letter where an option's text is given."""
    if of(question).name != "letter":
        return question.answers
    return tuple(_as_letter(answer, question) or answer for answer in question.answers)


# ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _line(written: str) -> str:
    return next((line.strip() for line in written.splitlines() if line.strip()), "")


def _short(written: str, question: Question) -> str:
    return _ANNOUNCED.sub("", _line(written).strip("*_` ")).strip("*_` ").removesuffix(".").strip()


def _sentence(written: str, question: Question) -> str:
    return " ".join(_line(written).split())


def _label(written: str, question: Question) -> str:
    """The one label that stands in the text, whatever its ending (`refuted` is REFUTES).

    `not enough info` does not hold a label that is a part of it, and `not true` is no label: which one it means is not
    for a program to say.
    """
    line = _short(written, question)
    exactly = [label for label in question.choices if label.casefold() == line.casefold()]
    if exactly:
        return exactly[0]
    plain = f" {answer_form(line)} "
    for spelt, usual in _SPELT.items():
        plain = plain.replace(f" {spelt} ", f" {usual} ")
    stems = {label: _stems(answer_form(label)) for label in question.choices}
    found = standing(_stems(plain), stems)
    if len(found) != 1 or len(set(stems.values())) < len(stems):
        return ""
    ((label, before),) = found.items()
    return "" if _DENIED.intersection(before[-2:]) else label


def _stems(form: str) -> str:
    return " ".join(stem(word) for word in form.split())


def standing(text: str, forms: Mapping[str, str]) -> dict[str, list[str]]:
    """The names whose form stands in a text as whole words, with the words before each, the longest form first.

    What is a part of a longer form that stands there does not stand there itself. Text and forms are normal forms.
    """
    left, found = f" {text} ", dict[str, list[str]]()
    for name in sorted(forms, key=lambda name: len(forms[name]), reverse=True):
        before, there, _ = left.partition(f" {forms[name]} ")
        if there:
            found[name] = before.split()
            left = left.replace(there, " | ")
    return found


def abstains(question: Question, written: str) -> bool:
    """Whether what was written for an answer in words says that there is none."""
    return of(question).name in ("short", "sentence") and declines(written)


def _letter(written: str, question: Question) -> str:
    line = _short(written, question)
    return _as_letter(line, question) or read_letter(line, len(question.choices))[0]


def _as_letter(answer: str, question: Question) -> str:
    """The letter of an answer that is a letter, or else an option's text."""
    texts = [answer_form(choice) for choice in question.choices]
    single = answer.strip().strip("().").upper()
    if single in [letter(i) for i in range(len(texts))]:
        return single
    form = answer_form(answer)
    return letter(texts.index(form)) if texts.count(form) == 1 else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _same_form(one: str, other: str) -> bool:
    return answer_form(one) == answer_form(other)


def _says_the_same(one: str, other: str) -> bool:
    return token_f1(one, other) >= ALIKE


def _exactly(answer: str, question: Question) -> float:
    return float(bool(answer) and bool(gold(question)) and exact_match(answer, gold(question)))


def _overlap(answer: str, question: Question) -> float:
    return token_f1(answer, question.answers) if answer and question.answers else 0.0


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("short", "Question", _short, _same_form, _exactly),
        Kind("label", "Claim", _label, _same_form, _exactly),
        Kind("letter", "Question", _letter, _same_form, _exactly),
        Kind("sentence", "Question", _sentence, _says_the_same, _overlap),
    )
}
"""All kinds, by name."""
