"""What values metrics take from files: each function gives the value, or the reason why it cannot be used."""

from __future__ import annotations

import math
from typing import Any

from tandem.metrics.columns import Reason
from tandem.metrics.fever import LABELS
from tandem.metrics.letters import MOST as MOST_CHOICES

_KINDS = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)


def text(value: Any) -> Any:
    """A text, which may be empty."""
    return value if type(value) is str else Reason(f"{kind(value)}, not text")


def texts(value: Any) -> Any:
    """A text, or a list of texts that is not empty."""
    if type(value) is str:
        return value
    if type(value) is not list:
        return Reason(f"{kind(value)}, not text or a list of texts")
    if not value:
        return Reason("an empty list")
    for each in value:
        if type(each) is not str:
            return Reason(f"a list with {kind(each)}, not texts only")
    return value


def more_texts(value: Any) -> Any:
    """A text or a list of texts, which may be empty or null: none."""
    return [] if value is None or value == [] else texts(value)


def number(value: Any) -> Any:
    """A number; infinities have an order and may be there, NaN has none."""
    if type(value) not in (int, float):
        return Reason(f"{kind(value)}, not a number")
    if value != value:
        return Reason("NaN, not a number")
    return float(value)


def verdict(value: Any) -> Any:
    """Right or wrong: true or false, 1 or 0."""
    return (
        float(value) if type(value) in (bool, int, float) and value in (0, 1) else Reason(f"{kind(value)}, not 1 or 0")
    )


def label(value: Any) -> Any:
    """A label: text, a number, true or false (which become text, since 1 is not true)."""
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) not in (str, int, float):
        return Reason(f"{kind(value)}, not a label")
    return Reason("NaN, not a label") if value != value else value


def ratings(value: Any) -> Any:
    """A list of labels, null where one is missing; or an object from rater to label."""
    if type(value) is dict:
        value = list(value.values())
    if type(value) is not list:
        return Reason(f"{kind(value)}, not a list of ratings")
    found = [None if each is None else label(each) for each in value]
    return next((Reason(f"a list with {each}") for each in found if type(each) is Reason), found)


def letter(value: Any) -> Any:
    """The letter of a choice, or its number from 0."""
    if type(value) is int and 0 <= value < MOST_CHOICES:
        return chr(ord("A") + value)
    if type(value) is str and len(found := value.strip().upper()) == 1 and "A" <= found <= "Z":
        return found
    return Reason(f"{kind(value)}, not a letter or the number of a choice from 0")


def choices(value: Any) -> Any:
    """How many choices there are: a number, or the list of them; None leaves it open."""
    found = len(value) if type(value) is list else value
    if found is None or (type(found) is int and 1 <= found <= MOST_CHOICES):
        return found
    return Reason(f"{kind(value)}, not a number of choices from 1 to {MOST_CHOICES}, or a list of them")


def sentences(value: Any) -> Any:
    """Sentences as [page, number]."""
    if type(value) is not list:
        return Reason(f"{kind(value)}, not a list of [page, sentence number]")
    found = []
    for each in value:
        if type(each) is not list or [type(part) for part in each] != [str, int]:
            return Reason("a sentence that is not [page, number]")
        found.append((each[0], each[1]))
    return tuple(found)


def evidence(value: Any) -> Any:
    """Groups of sentences, each [page, number] or FEVER's [annotation, evidence, page, number]; null for none."""
    if value is None:
        return ()
    if type(value) is not list:
        return Reason(f"{kind(value)}, not a list of groups of sentences")
    groups = []
    for group in value:
        if type(group) is not list:
            return Reason("a group of evidence that is not a list of sentences")
        found = set()
        for each in group:
            if type(each) is not list or len(each) not in (2, 4):
                return Reason("gold evidence that is not [page, number] or [annotation, evidence, page, number]")
            page, place = each[-2:]
            if page is None and place is None:
                continue  # FEVER's own row for a claim without evidence
            if type(page) is not str or type(place) is not int:
                return Reason("gold evidence whose page is not text, or whose sentence is not a number")
            found.add((page, place))
        groups.append(frozenset(found))
    return tuple(group for group in groups if group)


def fever_label(value: Any) -> Any:
    """One of FEVER's labels, in capitals."""
    found = value.strip().upper() if type(value) is str else None
    return found if found in LABELS else Reason(f"{kind(value)} that is none of {', '.join(LABELS)}")
