"""What is wrong with a tokenizer, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tandem.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Finding:
    """One."""

    name: str
    severity: Literal["error", "warning", "fact"]
    message: str
    example: str = ""


Report = tuple[Finding, ...]


def check(tokenizer: Tokenizer) -> Report:
    """Check."""
    return ()
