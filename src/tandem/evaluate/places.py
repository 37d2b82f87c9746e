"""Which of the places on a command line are meant for a task: those that name it, else those that name none.

    --data folder alpaca_eval=mine.jsonl      mine.jsonl for alpaca_eval, the folder for everybody else

What this does not do: look into the places; each kind of task knows the names of its files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

HUB = "hub"
"""Stands for the hub among the places."""
ENDINGS = (".jsonl.gz", ".jsonl", ".json", ".json.gz")
"""Of a file of rows, the first that is there."""


def chosen(places: Sequence[Path], task: str) -> list[Path]:
    """The places for one task. A path that exists is itself, whatever stands in its name."""
    named = [Path(str(place).partition("=")[2]) for place in places if str(place).startswith(f"{task}=")]
    return named or [place for place in places if place.exists() or not ("=" in str(place) or str(place) == HUB)]
