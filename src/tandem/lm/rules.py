"""The file form of a scripted model: TOML or JSON, read strictly.

    [abilities]                 what the model can be asked for; left out: everything
    logprobs = false

    [[rule]]                    the keys are the fields of `scripted.Rule`
    contains = "capital"        a text, or a list of texts
    answers = ["Karo", { text = "I would rather not say.", finish = "refusal" }]

What this does not do: guess. An unknown key, a wrong type or an empty file is an error that names file and key.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable, Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

from tandem.errors import UserError
from tandem.lm.scripted import ABLE, Rule, Said
from tandem.types import Abilities, Finish


def read(file: Path) -> tuple[list[Rule], Abilities]:
    """Rules and abilities of a file. Raises UserError on anything it may not hold, with the key."""
    try:
        text = file.read_text(encoding="utf-8")
        data = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise UserError("no such file", where=str(file), remedy="name a file of rules (docs/models.md)") from None
    except (OSError, UnicodeError) as e:
        raise UserError(f"cannot be read: {e}", where=str(file), remedy="name a TOML or JSON file of rules") from None
    except ValueError as e:
        kind = "JSON" if file.suffix == ".json" else "TOML"
        raise UserError(f"is not {kind}: {e}", where=str(file), remedy="mend the file") from None
    top = _table(data, {"rule", "abilities"}, str(file))
    rules = _list(top.get("rule", []), f"{file}: rule")
    if not rules:
        raise UserError("holds no rules", where=str(file), remedy="add a table [[rule]]")
    return (
        [_rule(rule, f"{file}: rule {n}") for n, rule in enumerate(rules, 1)],
        _abilities(top.get("abilities", {}), f"{file}: abilities"),
    )


def _rule(data: Any, where: str) -> Rule:
    table = _table(data, {field.name for field in fields(Rule)}, where)
    given: dict[str, Any] = {}
    for key, value in table.items():
        place = f"{where}, {key}"
        if key == "contains":
            given[key] = (value,) if isinstance(value, str) else tuple(_text(v, place) for v in _list(value, place))
        elif key == "answers":
            answers = [value] if isinstance(value, str) else _list(value, place)
            given[key] = tuple(_said(answer, f"{place} {n}") for n, answer in enumerate(answers, 1))
        elif key == "scores":
            given[key] = {text: _number(p, f"{place} {text!r}") for text, p in _table(value, None, place).items()}
        else:
            reader: Callable[[Any, str], Any] = _text if key in ("matches", "fails") else _number
            given[key] = _whole(value, place) if key == "times" else reader(value, place)
    return Rule(**given)


def _said(data: Any, where: str) -> str | Said:
    if isinstance(data, str):
        return data
    table = _table(data, {field.name for field in fields(Said)}, where)
    if "text" not in table:
        raise UserError("has no text", where=where, remedy="give `text`")
    finish = table.get("finish", "stop")
    if finish not in get_args(Finish):
        raise UserError(f"finish is {finish!r}", where=where, remedy=f"one of {', '.join(get_args(Finish))}")
    logprobs = _list(table.get("logprobs", []), f"{where}, logprobs")
    return Said(_text(table["text"], where), finish, tuple(_number(p, f"{where}, logprobs") for p in logprobs))


def _abilities(data: Any, where: str) -> Abilities:
    kinds = {field.name: type(getattr(ABLE, field.name)) for field in fields(Abilities)}
    table = _table(data, kinds, where)
    for key, value in table.items():
        if type(value) is not kinds[key]:
            wanted = "true or false" if kinds[key] is bool else "a whole number"
            raise UserError(f"is {value!r}", where=f"{where}, {key}", remedy=f"give {wanted}")
    return replace(ABLE, **table)


# ── Checked values ──────────────────────────────────────────────────────────────────────────────────────────────────


def _table(value: Any, known: Collection[str] | None, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"is {value!r}, not a table", where=where, remedy="write it with keys and values")
    for key in value:
        if known is not None and key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise UserError(
                f"unknown key {key!r}",
                where=where,
                remedy=f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}",
            )
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise UserError(f"is {value!r}, not a list", where=where, remedy="put it in brackets")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"is {value!r}, not a text", where=where, remedy="put it in quotes")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"is {value!r}, not a number", where=where, remedy="give a number")
    return float(value)


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"is {value!r}, not a whole number", where=where, remedy="give a whole number")
    return value
