"""What the command line gives to these tasks besides their settings, and where their data files are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tandem.errors import UserError
from tandem.evaluate.places import ENDINGS, HUB


@dataclass(frozen=True)
class Inputs:
    """What there is to work with."""

    data: tuple[Path, ...] = ()
    """Files, folders, NAME=FILE."""
    limit: int | None = None
    """The first so many items only."""
    shots: int = 0
    """Worked examples in front of a question."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UserError(f"is {self.limit}", where="--limit", remedy="give at least 1")
        if self.shots < 0:
            raise UserError(f"is {self.shots}", where="--shots", remedy="give 0 or more")

    def first(self, n: int) -> int:
        """As many of n as the limit leaves."""
        return n if self.limit is None else min(n, self.limit)


def find(name: str, places: Sequence[Path], form: str) -> Path | None:
    """The file of a name: NAME=FILE, a file NAME.jsonl (.gz) among the places or in a folder of them; None without.

    Raises UserError on a place that does not exist; `form` says what would be there.
    """
    for place in places:
        key, found, file = str(place).partition("=")
        if found and not place.exists():
            if key.strip() == name:
                if not Path(file).is_file():
                    raise UserError("no such file", where=file, remedy=form)
                return Path(file)
            continue
        if not place.exists() and str(place) != HUB:
            raise UserError("no such file or folder", where=str(place), remedy=form)
        if place.is_dir():
            for ending in ENDINGS:
                if (place / (name + ending)).is_file():
                    return place / (name + ending)
        elif any(place.name == name + ending for ending in ENDINGS):
            return place
    return None
