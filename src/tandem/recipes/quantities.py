"""Amounts as a recipe writes them: tokens ("800B", "4Mi", 879.37e9) and bytes ("6 MB", "1.5 GiB").

The two have units of their own, because B means a billion tokens in one and a byte in the other. What this does not
do: guess; a unit that belongs to the other kind is an error. Rejected: bare binary meaning for "4M"; 4M is 4,000,000
and 4Mi is 4,194,304, everywhere.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator

_DECIMAL = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
TOKEN_UNITS = {"": 1, **_DECIMAL, "k": 10**3, "B": 10**9, **_BINARY}
BYTE_UNITS = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    **{f"{unit}B": factor for unit, factor in _DECIMAL.items()},
    **{f"{unit}B": factor for unit, factor in _BINARY.items()},
}
_AMOUNT = re.compile(r"\s*([0-9][0-9_,]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)\s*")


def tokens(given: object) -> int:
    """A number of tokens (or items) from an int, a whole float or text with a unit; ValueError says what was wrong."""
    return _amount(given, TOKEN_UNITS, "tokens, such as 4_000_000, 879.37e9, '800B' or '4Mi'")


def n_bytes(given: object) -> int:
    """A number of bytes from an int, a whole float or text with a unit; ValueError says what was wrong."""
    return _amount(given, BYTE_UNITS, "bytes, such as 6_000_000, '6 MB' or '1.5 GiB'")


def _amount(given: object, units: dict[str, int], wanted: str) -> int:
    help_text = f"give a number of {wanted} (units: {', '.join(unit for unit in units if unit)})"
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise ValueError(help_text)
    if isinstance(given, str):
        match = _AMOUNT.fullmatch(given)
        if match is None or match.group(2) not in units:
            raise ValueError(help_text)
        exact = Decimal(re.sub("[_,]", "", match.group(1))) * units[match.group(2)]
    elif not math.isfinite(given):
        raise ValueError(help_text)
    else:
        exact = Decimal(repr(given))
    if exact != exact.to_integral_value():
        raise ValueError(f"not a whole number; {help_text}")
    if exact < 1:
        raise ValueError(f"less than one; {help_text}")
    return int(exact)


Tokens = Annotated[int, BeforeValidator(tokens)]
"""A positive whole number of tokens; `800B`, `4Mi` and 879.37e9 are understood."""
Bytes = Annotated[int, BeforeValidator(n_bytes)]
"""A positive whole number of bytes; `6 MB` and `1.5 GiB` are understood."""
