"""A file of prices: what models cost per million tokens, for budgets and for the cost that is shown.

    ["org/model-70b"]           # a model's name, or MODEL@host where hosts differ
    input = 0.5
    output = 1.5
    cached = 0.1                # tokens read again from the provider's cache; left out: as much as others

TOML, or JSON of the same form. What this does not do: know a price that nobody wrote down, or convert currencies.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.lm.budget import Prices

_KEYS = ("input", "output", "cached")


def read(file: str | Path) -> dict[str, Prices]:
    """Every model's prices. Raises UserError naming file and key on anything a file of prices may not hold."""
    path = Path(file)
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise UserError("no such file", where=str(path), remedy="name a file of prices (docs/generate.md)") from None
    except (OSError, ValueError) as e:
        raise UserError(f"cannot be read: {e}", where=str(path), remedy="mend the file (docs/generate.md)") from None
    if not isinstance(data, dict):
        raise UserError("is not a table of models", where=str(path), remedy="write one table per model")
    return {name: _prices(prices, f"{path}: {name}") for name, prices in data.items()}


def find(prices: Mapping[str, Prices], name: str) -> Prices:
    """The prices of the model `name`, which is MODEL@host or a plain name. Raises UserError where there are none."""
    model = name.partition("+")[0]
    for key in (name, model, model.rpartition("@")[0]):
        if key in prices:
            return prices[key]
    near = difflib.get_close_matches(model, prices, n=1)
    remedy = f"did you mean {near[0]!r}?" if near else f"add a table [{json.dumps(model)}]"
    raise UserError(f"no prices are given for {model!r}", where="prices", remedy=remedy)


def _prices(data: Any, where: str) -> Prices:
    if not isinstance(data, dict):
        raise UserError(f"is {data!r}", where=where, remedy="give a table with input and output")
    for key, value in data.items():
        if key not in _KEYS:
            raise UserError(f"unknown key {key!r}", where=where, remedy=f"known: {', '.join(_KEYS)}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{key} is {value!r}", where=where, remedy="give money per million tokens")
    for key in ("input", "output"):
        if key not in data:
            raise UserError(f"has no {key}", where=where, remedy="give money per million tokens")
    return Prices(**data)
