"""Recipes in and out: load a TOML file with overrides, find those that ship with Tandem, write the resolved form.

Loading reports every problem it can find at once, each with its line, its key and a remedy. What this does not do:
look whether the files a recipe names exist, unless asked (`files=True`): planning needs none of them. Paths inside a
recipe are relative to the folder the command runs in, so that an override on the command line means what it says.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tandem
from tandem.errors import UserError
from tandem.recipes import check, toml
from tandem.recipes.check import RecipeError
from tandem.recipes.recipe import Recipe
from tandem.recipes.toml import Key

__all__ = ["Recipe", "RecipeError", "load", "parse", "resolved", "shipped", "shipped_file"]


def load(recipe: str | Path, overrides: Sequence[str] = (), *, files: bool = False) -> Recipe:
    """Read a recipe file, or the one of that name that ships with Tandem.

    `overrides` are `key.path=value` texts that replace keys of the file; a stage goes by its name
    (`stage.short.tokens`) and a value is TOML, or else plain text; no value takes the key out. With `files`, the files
    and folders that the recipe names must exist. Raises `RecipeError` (a `UserError`) with all problems found.
    """
    path = Path(recipe)
    if not path.suffix and not path.exists():
        path = shipped(str(recipe))
    try:
        text = path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except FileNotFoundError:
        names = ", ".join(sorted(p.stem for p in _recipes_folder().glob("*.toml")))
        raise UserError(
            "no such recipe file", where=str(path), remedy=f"check the path; by name there are {names}"
        ) from None
    except UnicodeDecodeError as e:
        raise UserError(
            f"byte {e.start} is not UTF-8", where=str(path), remedy="save the recipe as UTF-8 text"
        ) from None
    except OSError as e:
        raise UserError(f"cannot be read: {e.strerror}", where=str(path)) from None
    return parse(text, str(path), overrides, files=files)


def parse(text: str, where: str = "recipe", overrides: Sequence[str] = (), *, files: bool = False) -> Recipe:
    """`load` for a recipe given as TOML text; `where` names it in messages."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(e))
        place = f"{where}:{found.group(1) if found else max(1, len(text.splitlines()))}"
        problem = re.sub(r"\s*\(at .*\)", "", str(e))
        raise UserError(f"not TOML: {problem}", where=place, remedy="mend the line; strings need quotes") from None
    overridden = {_override(data, change) for change in overrides}
    return check.validate(data, where, toml.lines_of(text), overridden, files=files)


def resolved(recipe: Recipe) -> str:
    """The recipe as TOML with every default and derived value written out; `parse` gives the same recipe back."""
    return toml.write(recipe.model_dump())


def shipped(name: str) -> Path:
    """File of a recipe that ships with Tandem: `quickstart`, `gpu-1h`, `xgen-7b`, …"""
    found = _recipes_folder() / f"{name}.toml"
    if found.is_file():
        return found
    names = sorted(p.stem for p in _recipes_folder().glob("*.toml"))
    raise UserError(
        f"no recipe of the name '{name}'",
        where=name,
        remedy=check.suggest(name, names) or f"give a file, or one of: {', '.join(names)}",
    )


def shipped_file(in_checkout: str, in_wheel: str) -> Path:
    """A data file or folder that comes with Tandem: `in_wheel` inside the package, or `in_checkout` at the root."""
    package = Path(tandem.__file__).parent
    installed = package / "_shipped" / in_wheel
    return installed if installed.exists() else package.parents[1] / in_checkout


def _recipes_folder() -> Path:
    return shipped_file("recipes", "recipes")


def _override(data: dict[str, Any], change: str) -> Key:
    """Apply one `key.path=value` to the data; returns the path it changed."""
    left, equals, right = change.partition("=")
    key = toml.split_key(left)
    if not equals or key is None:
        raise UserError(
            "is not key=value", where=f"--set {change}", remedy="write it as in: --set stage.short.tokens=2M"
        )
    try:
        value = tomllib.loads(f"x = {right}")["x"]
    except tomllib.TOMLDecodeError:
        value = right.strip()
    at: Any = data
    path: Key = ()
    for i, part in enumerate(key):
        last = i == len(key) - 1
        if isinstance(at, list):
            names = [item.get("name") if isinstance(item, dict) else None for item in at]
            index = int(part) if part.isdigit() else names.index(part) if part in names else -1
            if not 0 <= index < len(at):
                known = [name for name in names if isinstance(name, str)]
                raise UserError(
                    f"there is no {key[i - 1]} '{part}'",
                    where=f"--set {change}",
                    remedy=check.suggest(part, known) or f"there are: {', '.join(known)}",
                )
            step: str | int = index
        elif isinstance(at, dict):
            step = part
            if not last and part not in at:
                at[part] = {}
        else:
            raise UserError(
                f"{toml.key_text(path)} is a value, not a table",
                where=f"--set {change}",
                remedy=f"set it as a whole: --set {toml.key_text(path)}=…",
            )
        path = (*path, step)
        if last and not right.strip() and isinstance(at, dict):
            at.pop(part, None)
        elif last:
            at[step] = value
        else:
            at = at[step]
    return path
