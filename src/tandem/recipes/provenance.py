"""Where each setting of a recipe comes from: published, derived, chosen here, or a default and whose.

A reader of a plan must be able to tell XGen's settings from LLaMA's and from ours. A recipe's [[provenance]] entries
say it of the keys they match; of the others, those written in the file are chosen, those left out are defaults. What
this does not do: check a claim against its source; the tests do that for the recipes that ship.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from tandem.recipes.recipe import Recipe

Status: TypeAlias = Literal["published", "derived", "chosen", "default"]

_LABELS = ("name", "title")
_NOT_SETTINGS = ("name", "title", "notes", "provenance", "plan", "sources")


@dataclass(frozen=True)
class Setting:
    """One key of a recipe and its value."""

    key: str
    """Dotted path; a stage goes by its name."""
    value: Any
    """As resolved: defaults and derived values included."""
    status: Status
    """Where it comes from."""
    source: str
    """Who published it, or whose default it is; may be empty."""


def settings(recipe: Recipe) -> list[Setting]:
    """All settings that decide what a run computes, in the order of the recipe; sources and planning are left out."""
    found = []
    for key, value, status, source in _walk(recipe, "", True):
        for entry in recipe.provenance:
            if any(matches(pattern, key) for pattern in entry.keys):
                status, source = entry.status, entry.source
                break
        found.append(Setting(key, value, status, source))
    return found


def matches(pattern: str, key: str) -> bool:
    """Whether a provenance pattern covers a key: `*` stands for any characters, and a section covers what is in it."""
    return fnmatchcase(key, pattern) or fnmatchcase(key, f"{pattern}.*")


def _walk(section: BaseModel, prefix: str, written: bool) -> Iterator[tuple[str, Any, Status, str]]:
    for name, field in type(section).model_fields.items():
        if name in (_LABELS if prefix else _NOT_SETTINGS):
            continue
        value, key = getattr(section, name), f"{prefix}{name}"
        here = written and name in section.model_fields_set
        if isinstance(value, BaseModel):
            yield from _walk(value, f"{key}.", here)
        elif isinstance(value, dict) and value:
            for inner, item in _leaves(value, f"{key}."):
                yield from _walk(item, inner, here)
        elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
            for item in value:
                yield from _walk(item, f"{key}.{getattr(item, 'name', '')}.", here)
        elif value is not None:
            extra = field.json_schema_extra
            source = "follows from other keys" if field.default is None else "Tandem"
            source = str(extra["source"]) if isinstance(extra, dict) else source
            yield (key, value, "chosen", "") if here else (key, value, "default", source)


def _leaves(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, BaseModel]]:
    for name, item in table.items():
        if isinstance(item, dict):
            yield from _leaves(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}.", item
