"""Pairs from files: our own form, WikiSQL's, LC-QuAD's; what does not fit is named with its line."""

from __future__ import annotations

import gzip
import json
import sqlite3
from pathlib import Path

import pytest

from tandem.errors import UserError
from tandem.reason import query_forms
from tandem.reason.query_pairs import read, read_schemas
from tandem.world import Pair, World, pairs
from tandem.world.pairs import record

GOOD = {"language": "sql", "need": "Who?", "schema": "base", "query": "SELECT 1"}


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_the_pairs_of_a_world_are_read_whole(tmp_path: Path) -> None:
    made: list[Pair] = pairs(World.make(7, 1000), "train", 60)
    found = read(lines(tmp_path / "train.jsonl", *map(record, made)), called=lambda thing: f":{thing}").pairs
    assert len(found) == len(made)
    for one, pair in zip(found, made, strict=True):
        assert (one.id, one.language, one.need, one.query) == (pair.id, pair.language, pair.need, pair.query)
        assert one.wrong == tuple(wrong.query.strip() for wrong in pair.wrong) and one.split == "train"
        for _, called in one.names:
            assert pair.language == "sparql" and called[1:] in pair.entities.values()


def test_a_file_may_be_packed_or_an_array(tmp_path: Path) -> None:
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    array = tmp_path / "b.json"
    array.write_text(json.dumps([GOOD, {**GOOD, "need": "What?"}]))
    assert [len(read(path).pairs) for path in (packed, array)] == [1, 2]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({**GOOD, "language": "cypher"}, "is in the language 'cypher'; known: text, sparql, sql"),
        ({k: v for k, v in GOOD.items() if k != "language"}, "is in the language None"),
        ({k: v for k, v in GOOD.items() if k != "query"}, "has no text under `query`"),
        ({k: v for k, v in GOOD.items() if k != "schema"}, "has no text under `schema`"),
        ({**GOOD, "need": "  "}, "has no text under `need`"),
        ({**GOOD, "query": 3}, "has no text under `query`"),
        ({**GOOD, "entities": ["Q1"]}, "`entities` is no object of texts"),
        ({**GOOD, "wrong": "SELECT"}, "`wrong` is no list"),
        ({**GOOD, "wrong": [3]}, "`wrong` holds neither texts nor objects"),
        ("{broken", "is not JSON"),
        ("[1]x", "is no JSON array"),
        ("3", "is no JSON object"),
    ],
)
def test_a_row_that_does_not_fit_is_named_with_its_line_and_the_reason(tmp_path: Path, row, problem: str) -> None:
    first = [] if isinstance(row, str) and row.startswith("[") else [GOOD]
    with pytest.raises(UserError) as caught:
        read(lines(tmp_path / "pairs.jsonl", *first, row))
    assert problem in str(caught.value)
    assert not first or "pairs.jsonl:2" in str(caught.value)


def test_bad_rows_are_left_out_and_counted_where_that_is_asked_for(tmp_path: Path) -> None:
    path = lines(tmp_path / "pairs.jsonl", GOOD, {**GOOD, "language": "x"}, {**GOOD, "id": "pairs-1"})
    reading = read(path, skip=True)
    assert len(reading.pairs) == 1
    assert [where for where, _ in reading.skipped] == [f"{path}:2", f"{path}:3"]
    assert "the id 'pairs-1' occurs twice" in reading.skipped[1][1]


def test_a_file_without_a_usable_pair_or_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no pair that can be used"):
        read(lines(tmp_path / "none.jsonl", {}), skip=True)
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "missing.jsonl")


def test_descriptions_that_are_none_are_named(tmp_path: Path) -> None:
    path = tmp_path / "schemas.json"
    path.write_text('{"base": {"summary": "s", "parts": {"t": "a, b"}}}')
    assert read_schemas(path)["base"].parts == {"t": "a, b"}
    for bad in ("[]", '{"base": {"summary": 3, "parts": {}}}', "{", '{"base": 3}'):
        path.write_text(bad)
        with pytest.raises(UserError, match="holds no descriptions"):
            read_schemas(path)


# ── WikiSQL ─────────────────────────────────────────────────────────────────────────────────────────────────────────

TABLE = {
    "id": "1-77-2",
    "header": ["Lake", "Area (km²)", "Order", "Lake"],
    "types": ["text", "real", "text", "text"],
    "rows": [["Orn", "1,200", "first", "a"], ["Zell", 7.5, "it's", "b"], ["Karo", None, "third", "c"]],
}


def asked(sel: int, agg: int, *conds: list) -> dict:
    return {"question": "Which?", "table_id": "1-77-2", "sql": {"sel": sel, "agg": agg, "conds": list(conds)}}


@pytest.mark.parametrize(
    ("row", "rows"),
    [
        (asked(0, 0, [1, 1, "100"]), [("Orn",)]),
        (asked(0, 0, [2, 0, "IT'S"]), [("Zell",)]),
        (asked(1, 1), [(1200.0,)]),
        (asked(0, 3), [(3,)]),
        (asked(2, 0, [0, 0, "orn"], [1, 1, 1000]), [("first",)]),
        (asked(3, 0, [1, 2, "8"]), [("b",)]),
    ],
)
def test_a_wikisql_question_is_written_out_and_finds_its_rows(tmp_path: Path, row, rows) -> None:
    tables, questions = lines(tmp_path / "t.jsonl", TABLE), lines(tmp_path / "dev.jsonl", row)
    reading, schemas = query_forms.wikisql(questions, tables, tmp_path / "base.sqlite")
    (pair,) = reading.pairs
    assert pair.schema in schemas and pair.split == "dev"
    connection = sqlite3.connect(tmp_path / "base.sqlite")
    assert connection.execute(pair.query).fetchall() == rows
    connection.close()


def test_a_wikisql_description_names_the_columns_as_queries_have_to_write_them(tmp_path: Path) -> None:
    tables, questions = lines(tmp_path / "t.jsonl", TABLE), lines(tmp_path / "q.jsonl", asked(0, 0))
    _, schemas = query_forms.wikisql(questions, tables, tmp_path / "base.sqlite")
    assert schemas["1-77-2"].parts == {"table_1_77_2": 'Lake text, "Area (km²)" real, "Order" text, "Lake 3" text'}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (asked(9, 0), "column 9 is none of 0 to 3"),
        (asked(0, 6), "aggregate 6 is none of 0 to 5"),
        (asked(0, 0, [0, 3, "x"]), "comparison 3 is none of 0 to 2"),
        (asked(0, 0, [0, 0]), "a condition is"),
        ({**asked(0, 0), "table_id": "other"}, "asks the table 'other'"),
        ({**asked(0, 0), "sql": None}, "has no `sql`"),
        ({**asked(0, 0), "question": ""}, "has no text under `question`"),
    ],
)
def test_a_wikisql_row_that_does_not_fit_is_named(tmp_path: Path, row, problem: str) -> None:
    tables, questions = lines(tmp_path / "t.jsonl", TABLE), lines(tmp_path / "q.jsonl", asked(0, 0), row)
    with pytest.raises(UserError) as caught:
        query_forms.wikisql(questions, tables, tmp_path / "base.sqlite")
    assert "q.jsonl:2" in str(caught.value) and problem in str(caught.value)


def test_a_wikisql_table_that_does_not_fit_is_named(tmp_path: Path) -> None:
    tables = lines(tmp_path / "t.jsonl", TABLE, {**TABLE, "id": "2", "rows": [["short"]]})
    with pytest.raises(UserError, match=r"t\.jsonl:2: `rows` are no lists as long as the header"):
        query_forms.wikisql(lines(tmp_path / "q.jsonl", asked(0, 0)), tables, tmp_path / "base.sqlite")


# ── LC-QuAD ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_both_versions_of_lcquad_are_read_with_the_things_their_queries_name(tmp_path: Path) -> None:
    first = {
        "_id": "11",
        "corrected_question": "Who wrote The Lamp?",
        "sparql_query": "SELECT ?x WHERE { <http://dbpedia.org/resource/The_Lamp_%28book%29> "
        "<http://dbpedia.org/ontology/author> ?x }",
    }
    second = {
        "uid": 12,
        "question": None,
        "paraphrased_question": "What is the author?",
        "sparql_wikidata": "SELECT ?x WHERE { wd:Q9 wdt:P50 ?x . wd:Q10 wdt:P31 ?x }",
    }
    path = tmp_path / "train.json"
    path.write_text(json.dumps([first, second]))
    one, other = query_forms.lcquad(path, "graph").pairs
    assert one.names == (("The Lamp (book)", "<http://dbpedia.org/resource/The_Lamp_%28book%29>"),)
    assert (one.id, one.need, one.schema) == ("11", "Who wrote The Lamp?", "graph")
    assert other.names == (("Q10", "wd:Q10"), ("Q9", "wd:Q9")) and other.need == "What is the author?"


def test_an_lcquad_row_without_a_query_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps([{"_id": "1", "corrected_question": "Who?"}]))
    with pytest.raises(UserError, match="has no text under `sparql_query`"):
        query_forms.lcquad(path, "graph")
