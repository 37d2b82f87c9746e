"""Tables in a terminal: Markdown, to be pasted as it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tandem.results import Table


def markdown(table: Table) -> str:
    """A table as Markdown, its columns lined up."""
    from tandem.report import wording
    from tandem.results import Figure

    def cell(value: object) -> str:
        if isinstance(value, Figure):
            return f"{wording.value(value)} {wording.interval(value)}".replace(wording.NARROW, " ").strip()
        return "" if value is None else str(value)

    rows = [list(table.columns), *([cell(value) for value in row] for row in table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
