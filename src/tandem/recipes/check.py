"""What is wrong with a recipe, all of it at once: each problem with its key, its line and a remedy.

Two passes. The form: unknown keys (with close matches), wrong types, values out of range, as pydantic finds them. Then
what must agree between values, in `agreement`. So that one misspelling does not hide the rest, the second pass runs on
a repaired copy, and drops what it finds about keys that had to be repaired. What this does not do: accept the repaired
copy. Rejected: pydantic's own messages; they name Python types and say nothing about what to do.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tandem.errors import UserError
from tandem.recipes import toml
from tandem.recipes.recipe import Recipe
from tandem.recipes.toml import Key


@dataclass(frozen=True)
class Problem:
    """Something in a recipe that cannot be used."""

    key: Key
    """The key it is about."""
    what: str
    """The problem, as the rest of a sentence that begins with the key."""
    remedy: str = ""
    """What to do."""
    also: tuple[Key, ...] = ()
    """Other keys it depends on."""


class RecipeError(UserError):
    """A recipe with at least one problem; `problems` lists all that were found, in the order of the file."""

    def __init__(self, where: str, problems: Sequence[Problem], places: Sequence[str], names: Sequence[str]) -> None:
        self.problems = tuple(problems)
        if len(problems) == 1:
            only = problems[0]
            super().__init__(f"{names[0]} {only.what}", where=places[0], remedy=only.remedy or None)
            return
        lines = [f"{len(problems)} problems"]
        for problem, place, name in zip(problems, places, names, strict=True):
            lines.append(f"  {place}: {name} {problem.what}")
            if problem.remedy:
                lines.append(f"    → {problem.remedy}")
        super().__init__("\n".join(lines), where=where)


def suggest(given: str, known: Sequence[str]) -> str:
    """`did you mean 'warmup'?` when a known name is close, else nothing."""
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else ""


def validate(
    data: Mapping[str, Any], where: str, lines: Mapping[Key, int], overridden: Set[Key] = frozenset(), *, files: bool
) -> Recipe:
    """The recipe that plain TOML data describes.

    `lines` gives the line of a key, `overridden` are keys set from the command line, `where` names the file. With
    `files`, what the recipe reads must exist. Raises `RecipeError` with every problem found.
    """
    from tandem.recipes import agreement, missing

    problems: list[Problem] = []
    touched: set[Key] = set()
    repaired = copy.deepcopy(dict(data))
    recipe: Recipe | None = None
    while recipe is None:
        try:
            recipe = Recipe.model_validate(repaired)
        except ValidationError as e:
            new = [(error, _translate(error, repaired)) for error in e.errors(include_url=False)]
            new = [(error, problem) for error, problem in new if not _hangs_on(problem, touched)]
            meant = {(*problem.key[:-1], _meant(problem.key)) for error, problem in new if _is_unknown(error)}
            new = [(error, problem) for error, problem in new if error["type"] != "missing" or problem.key not in meant]
            problems += [problem for _, problem in new]
            repairs = [_repair(repaired, error, problem.key) for error, problem in new]
            touched.update(problem.key for _, problem in new)
            touched.update(meant)
            if not any(repairs):
                break
    if recipe is not None:
        found = agreement.problems(recipe) + (missing.files(recipe) if files else [])
        problems += [problem for problem in found if not _hangs_on(problem, touched)]
    if problems:
        problems.sort(key=lambda problem: toml.line_of(lines, problem.key) or 0)
        places = [_place(problem.key, where, lines, overridden) for problem in problems]
        raise RecipeError(where, problems, places, [_named(problem.key, data) for problem in problems])
    assert recipe is not None, "a form without problems is a recipe"
    return recipe


def _hangs_on(problem: Problem, touched: Set[Key]) -> bool:
    """Whether a problem may only be there because another key was repaired."""
    return any(
        key[: len(other)] == other or other[: len(key)] == key
        for key in (problem.key, *problem.also)
        for other in touched
    )


def _place(key: Key, where: str, lines: Mapping[Key, int], overridden: Set[Key]) -> str:
    if any(key[: len(other)] == other or other[: len(key)] == key for other in overridden):
        return "--set"
    line = toml.line_of(lines, key)
    return f"{where}:{line}" if line else where


def _named(key: Key, data: Any) -> str:
    """A key as --set takes it: items of a list go by their `name`."""
    path: Key = ()
    for part in key:
        data = data.get(part) if isinstance(data, Mapping) else data[part] if isinstance(part, int) else None
        name = data.get("name") if isinstance(part, int) and isinstance(data, Mapping) else None
        path = (*path, name if isinstance(name, str) else part)
    return toml.key_text(path)


# ── The form, in words ──────────────────────────────────────────────────────────────────────────────────────────────

_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_BOUNDS = {
    "greater_than_equal": "at least",
    "greater_than": "more than",
    "less_than_equal": "at most",
    "less_than": "less than",
}
_BOUND_KEYS = {"greater_than_equal": "ge", "greater_than": "gt", "less_than_equal": "le", "less_than": "lt"}


def _translate(error: ErrorDetails, data: Mapping[str, Any]) -> Problem:
    """One of pydantic's errors, as a problem."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    key: Key = tuple(part for part in error["loc"] if part != "[key]")
    name = str(key[-1]) if key else ""
    if _is_unknown(error):
        return Problem(key, "is not a key that recipes have", _remedy_for_unknown(key))
    if kind == "missing":
        return Problem(key, "is missing", f"add it: {description(key)}")
    if kind == "list_type" and key in (("stage",), ("provenance",)):
        return Problem(
            key, "is one table where a list of tables belongs", f"write [[{name}]], with two brackets each side"
        )
    if kind in _TYPES:
        return Problem(key, f"is {_kind(value)} where {_TYPES[kind]} belongs", description(key))
    if kind in _BOUNDS:
        bound = context[_BOUND_KEYS[kind]]
        return Problem(key, f"is {value}, and must be {_BOUNDS[kind]} {bound}", description(key))
    if kind == "literal_error":
        choices = _literals(_annotation(key))
        return Problem(
            key,
            f"is {_shown(value)}, not one of {', '.join(choices)}",
            suggest(str(value), choices) or description(key),
        )
    if kind == "string_pattern_mismatch":
        return Problem(key, f"'{value}' cannot be a name", "use letters, digits, dot, dash and underscore")
    if kind == "too_short":
        return Problem(key, "is empty", description(key))
    if kind == "value_error":
        return Problem(key, f"is {_shown(value)}", str(context["error"]))
    return Problem(key, error["msg"][0].lower() + error["msg"][1:], description(key))


def _repair(data: dict[str, Any], error: ErrorDetails, key: Key) -> bool:
    """Mend the copy so that the rest can be looked at: right a misspelling, fill or leave out what cannot be used."""
    at: Any = data
    for part in key[:-1]:
        at = at[part]
    if not isinstance(at, dict) or not key:
        return False
    last = str(key[-1])
    value = at.pop(last, None)
    if _is_unknown(error):
        meant = _meant(key)
        if meant and meant not in at:
            at[meant] = value
        return True
    model = _model(_annotation(key[:-1]))
    if model is not None and model.model_fields[last].is_required():
        kind = _annotation(key)
        if kind not in _FILLING and _model(kind) is None:
            return False
        at[last] = {} if _model(kind) else _FILLING[kind]
    return True


_FILLING: dict[Any, Any] = {int: 1, float: 1.0, str: "filling"}


def _is_unknown(error: ErrorDetails) -> bool:
    return error["type"] == "extra_forbidden"


def _meant(key: Key) -> str:
    """The known key that a misspelt one is closest to; empty when none is close."""
    close = difflib.get_close_matches(str(key[-1]), known_keys(key[:-1]), n=1)
    return close[0] if close else ""


def _remedy_for_unknown(key: Key) -> str:
    name, known = str(key[-1]), known_keys(key[:-1])
    close = suggest(name, known)
    elsewhere = [section for section, keys in _sections().items() if name in keys]
    if not close and elsewhere:
        return f"it is a key of {' and '.join(elsewhere)}"
    return close or f"known here: {', '.join(known)}"


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text '{value}'" if len(value) <= 40 else "text"
    if isinstance(value, int | float):
        return f"the number {value}"
    return "a list" if isinstance(value, list) else "a table" if isinstance(value, Mapping) else type(value).__name__


def _shown(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else _kind(value)


# ── The form, walked by key ─────────────────────────────────────────────────────────────────────────────────────────


def known_keys(section: Key) -> list[str]:
    """Keys a section of a recipe may have; empty where names are the user's own."""
    model = _model(_annotation(section))
    return list(model.model_fields) if model else []


def description(key: Key) -> str:
    """What a key means, in the schema's words."""
    model = _model(_annotation(key[:-1]))
    field = model.model_fields.get(str(key[-1])) if model else None
    return (field.description or "") if field else ""


def _annotation(key: Key) -> Any:
    """The type of what stands at a key; None where there is nothing."""
    at: Any = Recipe
    for part in key:
        at = bare(at)
        if get_origin(at) is dict:
            at = get_args(at)[1]
        elif get_origin(at) is list:
            at = get_args(at)[0]
        elif isinstance(at, type) and issubclass(at, BaseModel):
            field = at.model_fields.get(str(part))
            at = field.annotation if field else None
        else:
            return None
    return bare(at)


def bare(annotation: Any) -> Any:
    """Without `Annotated[…]` and `| None`."""
    if get_origin(annotation) is Annotated:
        return bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        inner = [a for a in get_args(annotation) if a is not type(None)]
        return bare(inner[0]) if len(inner) == 1 else annotation
    return annotation


def _model(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _literals(annotation: Any) -> list[str]:
    return [str(value) for value in get_args(annotation)]


def _sections() -> dict[str, list[str]]:
    """Every section by its header, with its keys."""
    return {"the top level": list(Recipe.model_fields)} | {
        header: list(model.model_fields) for header, model in sections(Recipe)
    }


def sections(model: type[BaseModel], prefix: str = "") -> list[tuple[str, type[BaseModel]]]:
    """Headers of all tables below a model, as written in TOML, each with its model, in order."""
    found: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        header, at, brackets = f"{prefix}{name}", bare(field.annotation), "[{}]"
        while get_origin(at) in (dict, list):
            if get_origin(at) is dict:
                header, at = f"{header}.{'ROW' if header.endswith('.NAME') else 'NAME'}", bare(get_args(at)[1])
            else:
                brackets, at = "[[{}]]", bare(get_args(at)[0])
        if (inner := _model(at)) is not None:
            found.append((brackets.format(header), inner))
            found += sections(inner, f"{header}.")
    return found
