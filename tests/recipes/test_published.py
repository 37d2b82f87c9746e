from __future__ import annotations

import re
from pathlib import Path

import pytest

from tandem.errors import UserError
from tandem.recipes import published

TALK = Path(__file__).parents[2].parent / "shared/reference/talk.md"
OURS = ("xgen-run", "xgen-context-steps", "data-sets")  # figures of the talk's text, not of its tables


def test_a_figure_is_found_by_table_row_and_column() -> None:
    assert published.value("mmlu", "XGen-7b", "Weighted average") == 36.3
    assert published.value("mt-bench", "XGen-7b-inst", "Score") == 5.69
    assert published.value("verify-and-edit", ("CoT-SC + VE", "Dataset"), "EM (%)") == 56.8
    assert published.value("personalised-distillation", ("MBPP", "PERsD-refine"), "Pass@1 step=2") == 52.65
    assert published.value("ldp-english", ("Foundation BLOOM-7B1", "Unsupervised-LDP"), "Indic13-En BLEU") == 14.96


def test_what_is_not_there_or_not_one_row_is_told_with_what_is() -> None:
    with pytest.raises(UserError, match="did you mean 'mt-bench'"):
        published.table("mtbench")
    with pytest.raises(UserError, match="did you mean 'XGen-7b'"):
        published.value("mmlu", "XGen-7B", "STEM")
    with pytest.raises(UserError, match="no column 'Stem'"):
        published.value("mmlu", "XGen-7b", "Stem")
    with pytest.raises(UserError, match="4 rows 'CoT-SC"):
        published.value("verify-and-edit", "CoT-SC + VE", "EM (%)")


def test_rows_are_named_by_their_keys_without_repeats() -> None:
    for table in published.tables().values():
        names = [row[: table.keys] for row in table.rows]
        assert len(set(names)) == len(names), table.id


def test_the_data_tables_sum_to_their_totals() -> None:
    for id, total in (("xgen-stage-1", 1374.52), ("xgen-stage-2", 110)):
        table = published.table(id)
        *rows, last = table.column("Tokens (B)")
        assert sum(map(float, rows)) == pytest.approx(total)
        assert last == total
        *shares, whole = table.column("Sampling prop. (%)")
        assert sum(map(float, shares)) == pytest.approx(100)
        assert whole == 100


def test_the_gains_of_verify_and_edit_are_against_self_consistency() -> None:
    base = published.number("verify-and-edit", ("CoT-SC", "-"), "EM (%)")
    for row in published.table("verify-and-edit").rows:
        if row[0] == "CoT-SC + VE":
            assert float(row[3]) == pytest.approx(float(row[2]) - base)


def _talks_tables() -> list[list[list[str]]]:
    tables: list[list[list[str]]] = [[]]
    for line in TALK.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            tables[-1].append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif tables[-1]:
            tables.append([])
    return [table for table in tables if table]


def _figures(cells: list[str]) -> list[str]:
    return [m.group() for cell in cells if (m := re.match(r"[+-]?\d+(\.\d+)?(?=$|%| \(|[KB]$)", cell))]


def test_every_table_of_the_talk_is_there_with_every_figure() -> None:
    if not TALK.exists():
        pytest.skip(f"the talk's figures are not at {TALK}: cannot compare")
    ours = [table for table in published.tables().values() if table.id not in OURS]
    theirs = _talks_tables()
    assert len(theirs) == len(ours)
    for table, lines in zip(ours, theirs, strict=True):
        wanted = [figures for line in lines[2:] if (figures := _figures(line[1:]))]
        width = len(table.columns) - ("Note" in table.columns)
        found = [_figures([str(cell) for cell in row[1:width]]) for row in table.rows]
        assert [[float(x.rstrip("KB")) for x in row] for row in found] == [[float(x) for x in row] for row in wanted], (
            table.id
        )


def test_the_names_of_the_talks_rows_are_kept() -> None:
    if not TALK.exists():
        pytest.skip(f"the talk's figures are not at {TALK}: cannot compare")
    text = TALK.read_text(encoding="utf-8")
    for table in published.tables().values():
        if table.id in OURS:
            continue
        for row in table.rows:
            name = str(row[table.keys - 1])
            assert name in text or name.removeprefix("InpD").removeprefix("PERsD") in text, (table.id, name)
