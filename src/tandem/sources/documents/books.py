"""What became of the files: counted by outcome and reason, with the first names of each."""

from __future__ import annotations

from dataclasses import dataclass, field

SHOWN = 3
"""Names kept of each reason."""


@dataclass
class Reasons:
    """How often something happened, and where first."""

    counts: dict[str, int] = field(default_factory=dict)
    """Times by reason."""
    names: dict[str, list[str]] = field(default_factory=dict)
    """The first names of each."""

    def add(self, reason: str, name: str) -> None:
        """It happened here."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        kept = self.names.setdefault(reason, [])
        if len(kept) < SHOWN:
            kept.append(name)

    def total(self) -> int:
        """All together."""
        return sum(self.counts.values())


@dataclass
class Books:
    """Files and records of one reading."""

    found: int = 0
    """Files found, those that were left out included."""
    read: int = 0
    """Files read anew."""
    unchanged: int = 0
    """Files that are held already as they are."""
    skipped: Reasons = field(default_factory=Reasons)
    """Files left out, by reason."""
    repaired: Reasons = field(default_factory=Reasons)
    """Files that were read, but not as they stand."""
    records: Reasons = field(default_factory=Reasons)
    """Lines of JSONL files left out, by reason."""
    documents: int = 0
    """Documents read anew."""
    passages: int = 0
    """Their passages."""
    bytes_read: int = 0
    """Bytes of the files read anew."""
