"""What a training text holds of a task's items, in a line and in a table."""

from __future__ import annotations

from collections.abc import Sequence

from tandem.evaluate.overlap.items import Looked
from tandem.evaluate.overlap.words import WORDS
from tandem.results import Table

SHOWN = 200
"""Rows of the report's table; the items' records have all."""
NAMED = 3
"""Items that the line names."""

Apart = Sequence[tuple[str, str, str]]
"""A metric with its value on the items that were found, and on the others."""


def note(looked: Looked, apart: Apart = ()) -> str:
    """A line: how many items were found and which, how they score and how the others do."""
    short = f"; {looked.short:,} have fewer than {WORDS} words of their own in a row and cannot be found"
    short = short if looked.short else ""
    if not looked.found:
        return f"none of {looked.items:,} items was found in the training text ({WORDS} words in a row){short}"
    ids = list(looked.found)
    some = ", ".join(ids[:NAMED]) + (" …" if len(ids) > NAMED else "")
    scores = "".join(f"; {metric} {found} on them, {others} on the others" for metric, found, others in apart)
    return (
        f"CONTAMINATED: {len(ids):,} of {looked.items:,} items stand in the training text ({WORDS} words in a row): "
        f"{some}; the first at {looked.found[ids[0]].place}{scores}{short}"
    )


def table(looked: Looked) -> Table:
    """The items that were found, with the place."""
    rows = [(id, found.place, found.words, f"{found.runs} of {found.of}") for id, found in looked.found.items()]
    note = f"Runs: how many of the item's {WORDS} words in a row were found. The first place is told."
    note += f" {len(rows) - SHOWN:,} more are in the items' records." if len(rows) > SHOWN else ""
    return Table(
        "Items that stand in the training text", ("item", "place", "words", "runs"), tuple(rows[:SHOWN]), note=note
    )
