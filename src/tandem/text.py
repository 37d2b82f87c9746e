"""Text as people see it (numbers, sizes, durations) and as it is hashed (canonical JSON)."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def count(n: float) -> str:
    """A count with thousands separated: `1374520` → `1,374,520`."""
    return f"{n:,.0f}"


def quantity(n: float) -> str:
    """A count in three significant digits and a unit: `6895702016` → `6.90 B`, `3300` → `3.30 K`."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(n) >= size:
            return f"{_three_digits(n / size)} {unit}"
    return f"{n:g}" if n == int(n) else f"{n:.3g}"


def size(n_bytes: float) -> str:
    """Bytes in powers of 1024: `1536` → `1.50 KiB`."""
    for limit, unit in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if abs(n_bytes) >= limit:
            return f"{_three_digits(n_bytes / limit)} {unit}"
    return f"{n_bytes:.0f} B"


def duration(seconds: float) -> str:
    """A duration in its two largest units: `3725` → `1 h 2 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def _three_digits(x: float) -> str:
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: the form in which things are hashed.

    A value with a lone surrogate, which a model can write and UTF-8 cannot, is escaped as a whole.
    """
    options: dict[str, Any] = {"sort_keys": True, "separators": (",", ":"), "allow_nan": False}
    try:
        return json.dumps(value, ensure_ascii=False, **options).encode()
    except UnicodeEncodeError:
        return json.dumps(value, **options).encode()


def fingerprint(value: Any) -> str:
    """First 16 hex digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()[:16]
