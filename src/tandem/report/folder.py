"""What a run's folder says, read and checked before anything is drawn.

A page needs `results.json`; `events.jsonl`, `run.json` and `recipe.toml` are used where they are. Every field is held
against the types in `runs`, because a results file may have been edited, or written by another version: what does not
fit is a UserError naming the place, never a traceback from the middle of a plot. It computes nothing from what it
reads.
"""

from __future__ import annotations

import json
import math
import tomllib
import types
import typing
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from tandem import runs
from tandem.errors import UserError
from tandem.results import Curve, Edit, Results, Table

REMEDY = "mend or remove the file, or run the recipe again into a new folder"


@dataclass(frozen=True)
class Folder:
    """A run's folder in memory."""

    name: str
    """The folder's own name."""
    results: Results
    """What was found out, checked."""
    events: tuple[dict[str, Any], ...]
    """Lines of events.jsonl that are events, in order; empty where there is no such file."""
    about: dict[str, Any]
    """run.json: versions, seeds, hashes, host; empty where there is no such file."""
    recipe: str
    """The resolved recipe as it was written, empty where there is none."""
    recipe_values: dict[str, Any]
    """The same, parsed."""


def read(run: Path, meanwhile: Results | None = None) -> Folder:
    """Read a run's folder; `meanwhile` stands in for results that are not there yet.

    Raises UserError where it is missing, unfinished or does not parse.
    """
    if not run.is_dir():
        raise UserError("there is no such run folder", where=str(run), remedy="check the path; `tandem run` makes one")
    results = run / "results.json"
    try:
        found = runs.read_results(run) if meanwhile is None or results.exists() else meanwhile
    except (OSError, KeyError, AttributeError) as e:
        raise UserError(f"not a results file ({e!r})", where=str(results), remedy=REMEDY) from e
    fit = fitted(found, Results, "", str(results))
    assert isinstance(fit, Results)
    check_shapes(fit, str(results))
    recipe = _text(run / "recipe.toml")
    return Folder(run.resolve().name, fit, _events(run), _about(run / "run.json"), recipe, _toml(recipe, run))


def fitted(value: Any, hint: Any, place: str, file: str) -> Any:
    """The value, once it fits the type hint: null where a float is due becomes NaN, everything else must fit as it is.

    Raises UserError naming the file and the place in it, as in `sections[2].items[0].title`.
    """
    inner = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        if value is None and types.NoneType in inner:
            return None
        hint = next((choice for choice in inner if _belongs(value, choice)), hint)
        inner = typing.get_args(hint)
    if not _belongs(value, hint):
        raise UserError(f"{_short(value)} does not belong here", where=f"{file}: {place or 'top'}", remedy=REMEDY)
    if is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        places = {f.name: f"{place}.{f.name}".lstrip(".") for f in fields(hint)}
        kept = {name: fitted(getattr(value, name), hints[name], at, file) for name, at in places.items()}
        return typing.cast("type", hint)(**kept)
    if isinstance(value, tuple):
        each = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        return tuple(fitted(v, h, f"{place}[{i}]", file) for i, (v, h) in enumerate(zip(value, each, strict=True)))
    if hint is float:
        return math.nan if value is None else float(value)
    return value


def _belongs(value: Any, hint: Any) -> bool:
    """Whether a value is of this kind, seen from outside. Whole numbers beyond 200 bits are nobody's measurement."""
    if type(value) is int and value.bit_length() > 200:
        return False
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        return isinstance(value, tuple) and (inner[-1] is Ellipsis or len(inner) == len(value))
    if hint is float:
        return value is None or type(value) in (int, float)
    return isinstance(hint, type) and type(value) is hint


def check_shapes(results: Results, file: str) -> None:
    """Rows as wide as their table, series with as many x as y, at most one verdict per output. Raises UserError."""

    def refuse(problem: str, place: str) -> typing.NoReturn:
        raise UserError(problem, where=f"{file}: {place}", remedy=REMEDY)

    for s, section in enumerate(results.sections):
        for i, item in enumerate(section.items):
            place = f"sections[{s}].items[{i}]"
            if isinstance(item, Table):
                for r, row in enumerate(item.rows):
                    if len(row) != len(item.columns):
                        refuse(f"{len(row)} cells under {len(item.columns)} columns", f"{place}.rows[{r}]")
                if item.bars is not None and item.bars not in item.columns:
                    refuse(f"no column is called {_short(item.bars)}", f"{place}.bars")
            elif isinstance(item, Curve):
                for k, series in enumerate(item.series):
                    if len(series.x) != len(series.y):
                        refuse(f"{len(series.x)} positions for {len(series.y)} values", f"{place}.series[{k}]")
            elif isinstance(item, Edit):
                if len(item.correct) > 2:
                    refuse(f"{len(item.correct)} verdicts on 2 answers", f"{place}.correct")
            elif len(item.correct) > len(item.outputs):
                refuse(f"{len(item.correct)} verdicts on {len(item.outputs)} outputs", f"{place}.correct")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _events(run: Path) -> tuple[dict[str, Any], ...]:
    try:
        return tuple(e for e in runs.read_events(run) if isinstance(e, dict))
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"cannot be read ({e})", where=str(run / "events.jsonl"), remedy=REMEDY) from e


def _about(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        about = json.loads(text) if text else {}
    except ValueError as e:
        raise UserError(f"not JSON ({e})", where=str(path), remedy=REMEDY) from e
    if not isinstance(about, dict):
        raise UserError("not a JSON object", where=str(path), remedy=REMEDY)
    return about


def _text(path: Path) -> str:
    try:
        return path.read_text() if path.exists() else ""
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"cannot be read ({e})", where=str(path), remedy=REMEDY) from e


def _toml(text: str, run: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise UserError(f"not TOML ({e})", where=str(run / "recipe.toml"), remedy=REMEDY) from e
