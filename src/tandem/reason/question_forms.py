"""Rows of the usual data sets as rows of our own form: what each of them calls by another name.

    HotpotQA    context: [[title, [sentence, …]], …], on the hub {"title": […], "sentences": [[…], …]}
    MedMCQA     opa, opb, opc, opd and cop, counted from 0 as on the hub (the original file counts from 1); -1 is none
    FeTaQA      table_array, table_page_title, table_section_title
    FEVER       has our form

What this does not do: guess. A row that has some of a form's fields and not all of them is named with what it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tandem.errors import UserError

OPTIONS = ("opa", "opb", "opc", "opd")
_TABLE = {"table_array": "table", "table_page_title": "page_title", "table_section_title": "section_title"}


def own_form(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row in our own form; itself where it has it already. Raises UserError on half of another form."""
    if "table_array" in row:
        row = {_TABLE.get(key, key): value for key, value in row.items()}
    if any(name in row for name in (*OPTIONS, "cop")) and "choices" not in row:
        row = _medmcqa(row)
    if isinstance(row.get("context"), dict) or _pairs(row.get("context")):
        row = _hotpotqa(row)
    return row


def _medmcqa(row: Mapping[str, Any]) -> Mapping[str, Any]:
    if lacking := [name for name in OPTIONS if not isinstance(row.get(name), str)]:
        raise UserError(f"has no text under `{lacking[0]}`, and other fields of MedMCQA")
    right = row.get("cop")
    if right is not None and (not isinstance(right, int) or isinstance(right, bool) or not -1 <= right <= 3):
        raise UserError(f"`cop` is {right!r}; it counts from 0, as on the hub (the original file counts from 1)")
    rest = {key: value for key, value in row.items() if key not in (*OPTIONS, "cop")}
    known = {"answer": right} if right is not None and right >= 0 else {}
    return {**rest, "choices": [row[name] for name in OPTIONS], **known}


def _pairs(context: Any) -> bool:
    return isinstance(context, list) and bool(context) and all(isinstance(each, list) for each in context)


def _hotpotqa(row: Mapping[str, Any]) -> Mapping[str, Any]:
    given: Any = row["context"]
    try:
        pairs = list(zip(given["title"], given["sentences"], strict=True)) if isinstance(given, dict) else given
        paragraphs = [{"title": _text(title), "text": "".join(map(_text, told)).strip()} for title, told in pairs]
    except (KeyError, TypeError, ValueError):
        raise UserError("`context` is neither a list of texts nor HotpotQA's titles with sentences") from None
    rest = {key: value for key, value in row.items() if key != "context"}
    return {**rest, "paragraphs": paragraphs}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
