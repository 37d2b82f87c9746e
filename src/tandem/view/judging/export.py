"""Judgments to take elsewhere: a table as CSV, all of it as JSON, a line for each in a run's folder. No clock in them.

Cells of the CSV that a spreadsheet would take for a formula get an apostrophe in front: notes and ids are not ours.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from tandem.results import to_json
from tandem.view.judging import told
from tandem.view.judging.ledger import Record

COLUMNS = ("annotator", "id", "choice", "left", "preferred", "note")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def rows(record: Record) -> Iterator[dict[str, str]]:
    """Every judgment that counts, by annotator as they began, then by id."""
    names = record.judging.names
    for annotator, judged in record.by.items():
        for id, judgment in sorted(judged.items()):
            preferred = judgment.preferred
            cells = (
                annotator,
                id,
                judgment.choice,
                names[judgment.left],
                names[preferred] if isinstance(preferred, int) else preferred,
                judgment.note,
            )
            yield dict(zip(COLUMNS, cells, strict=True))


def as_csv(record: Record) -> str:
    """A head and a row for each judgment."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    for row in rows(record):
        writer.writerow({name: f"'{cell}" if cell.startswith(_FORMULA) else cell for name, cell in row.items()})
    return out.getvalue()


def as_lines(record: Record) -> str:
    """A line of JSON for each judgment, sorted by id, then by annotator."""
    found = sorted(rows(record), key=lambda row: (row["id"], row["annotator"]))
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)


def as_json(record: Record) -> str:
    """What was judged, the results, and every judgment."""
    whole: dict[str, Any] = {
        "judging": record.judging.to_json(),
        "finished": sorted(record.finished),
        "results": to_json(told.results(record)),
        "judgments": list(rows(record)),
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"
