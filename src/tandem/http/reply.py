"""What a caller gets back, and what it counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What a server answered to one request."""

    status: int
    """The HTTP status, 200 to 299."""
    json: dict[str, Any]
    """The body."""
    headers: Mapping[str, str]
    """Header fields; upper and lower case are the same."""
    seconds: float
    """From the call to the end of the answer, with all waiting."""
    tries: int
    """How often the request was sent."""


@dataclass
class Stats:
    """What became of the calls of one `Caller`. When none is under way, calls = answered + cancelled + failed."""

    calls: int = 0
    """Calls of `post`."""
    answered: int = 0
    """Calls that returned a reply."""
    cancelled: int = 0
    """Calls that were cancelled from outside."""
    failed: Counter[str] = field(default_factory=Counter)
    """Calls that raised: CallFailed by its kind, anything else as "unexpected"."""
    sent: int = 0
    """Requests sent, repeats included."""
    repeated: Counter[str] = field(default_factory=Counter)
    """Repeats, by the kind of failure that they follow."""
