"""Ask a language model: one protocol, many back ends, every answer recorded.

    from tandem.lm import connect
    model = connect("embedded")
    completions = await model.generate(Text("Once upon a time"), Sampling(temperature=0.8), range(3))

Names are imported when they are used: neither torch nor aiohttp is loaded before a model needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tandem.lm.addresses import connect as connect
    from tandem.lm.budget import Budget as Budget
    from tandem.lm.budget import Prices as Prices
    from tandem.lm.model import BackEnd as BackEnd
    from tandem.lm.model import Model as Model
    from tandem.lm.scripted import Rule as Rule
    from tandem.lm.scripted import Said as Said
    from tandem.lm.scripted import Scripted as Scripted

_HOMES = {
    "BackEnd": "model",
    "Budget": "budget",
    "Model": "model",
    "Prices": "budget",
    "Rule": "scripted",
    "Said": "scripted",
    "Scripted": "scripted",
    "connect": "addresses",
}

__all__ = ["BackEnd", "Budget", "Model", "Prices", "Rule", "Said", "Scripted", "connect"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
