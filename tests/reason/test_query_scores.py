"""Every query that is written is run in the sandbox: each outcome has its name, and right means the same rows."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tandem.errors import UserError
from tandem.lm.scripted import Rule, Scripted
from tandem.reason import query_scores
from tandem.reason.query_pairs import QueryPair
from tandem.reason.query_scores import Gold, ScoredQuery, accuracy, gained, gold, measure, orders, same_rows, valid
from tandem.sandbox import Graph, Limits, Tables
from tandem.sandbox.rows import Iri, Rows
from tandem.types import Schema

Came = TypeVar("Came")
SCHEMAS = {"base": Schema("A base.", {"person": "name, born"}), "graph": Schema("A graph.", {":p": "knows"})}
PAIR = QueryPair("1", "sql", "Who?", "SELECT name FROM person WHERE born < 1900", "base", split="things", where="f:1")
QUICK = Limits(cpu=1, wall=4, memory=512 << 20, output=1 << 20, scratch=1 << 20, threads=16)


class Held:
    """One loop, and the engines that live in it."""

    def __init__(self, folder: Path) -> None:
        connection = sqlite3.connect(folder / "base.sqlite")
        connection.execute("CREATE TABLE person (name TEXT, born INTEGER)")
        connection.executemany("INSERT INTO person VALUES (?, ?)", [("Ada", 1815), ("Orn", 1890), ("Zell", 1950)])
        connection.commit()
        connection.close()
        (folder / "graph.ttl").write_text("@prefix : <http://x.example/> . :a :p :b . :b :p :c .")
        self._runner = asyncio.Runner()
        self.tables, self.graph = Tables(folder / "base.sqlite", limits=QUICK, workers=1), Graph(folder / "graph.ttl")
        self.run(self.tables.__aenter__())
        self.run(self.graph.__aenter__())
        self.engines = {"base": self.tables, "graph": self.graph}

    def run(self, work: Coroutine[Any, Any, Came]) -> Came:
        return self._runner.run(work)

    def close(self) -> None:
        self.run(self.tables.__aexit__(None, None, None))
        self.run(self.graph.__aexit__(None, None, None))
        self._runner.close()

    def outcome(self, query: str, pair: QueryPair = PAIR) -> str:
        right = self.run(self.engines[pair.schema].query(pair.query))
        return self.run(query_scores.score(pair, query, right, self.engines[pair.schema])).outcome


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    made = Held(tmp_path_factory.mktemp("engines"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("query", "outcome"),
    [
        ("SELECT name FROM person WHERE born < 1900", "right"),
        ("SELECT name AS whatever FROM person WHERE NOT born >= 1900 ORDER BY born DESC", "right"),
        ("SELECT name FROM person", "wrong-rows"),
        ("SELECT name, born FROM person WHERE born < 1900", "wrong-rows"),
        ("SELECT name FROM person WHERE born < 1900 UNION ALL SELECT 'Ada'", "wrong-rows"),
        ("SELECT name FROM person WHERE born < 1", "empty"),
        ("SELECT nom FROM person", "invalid"),
        ("SELEKT", "invalid"),
        ("DROP TABLE person", "refused"),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n", "timeout"),
        ("SELECT 1" + " " * 300_000, "too-large"),
        ("", "no-query"),
    ],
)
def test_every_way_a_query_can_end_has_its_name(held: Held, query: str, outcome: str) -> None:
    assert held.outcome(query) == outcome


def test_order_counts_where_the_pairs_own_query_orders(held: Held) -> None:
    ordered = replace(PAIR, query="SELECT name FROM person ORDER BY born")
    assert held.outcome("SELECT name FROM person ORDER BY name", ordered) == "right"  # Ada, Orn, Zell either way
    assert held.outcome("SELECT name FROM person ORDER BY born DESC", ordered) == "wrong-rows"
    assert (
        held.outcome("SELECT name FROM person ORDER BY born DESC", replace(ordered, query=PAIR.query)) == "wrong-rows"
    )


def test_sparql_is_scored_by_its_rows_too(held: Held) -> None:
    prefix = "PREFIX : <http://x.example/> "
    pair = QueryPair("g", "sparql", "Whom?", prefix + "SELECT ?x { :a :p ?x }", "graph")
    assert held.outcome("SELECT ?who { <http://x.example/a> ?any ?who }", pair) == "right"
    assert held.outcome(prefix + "SELECT ?x { ?x :p :c }", pair) == "right"
    assert held.outcome(prefix + "SELECT ?x { ?x :p :b }", pair) == "wrong-rows"
    assert held.outcome(prefix + "SELECT ?x { :c :p ?x }", pair) == "empty"
    assert held.outcome("SELECT ?x { :a :p ?x }", pair) == "invalid"
    assert held.outcome(prefix + "SELECT ?x { SERVICE <http://x.example> { :a :p ?x } }", pair) == "refused"


def rows(*values: tuple[Any, ...]) -> Rows:
    return Rows(tuple("abc"[: len(values[0])]), values, True, 0.0)


def test_values_are_compared_by_what_they_are() -> None:
    assert same_rows(rows((1, "x")), rows((1.0, "x")), ordered=True)
    assert same_rows(rows((0.1 + 0.2,)), rows((0.3,)), ordered=True)
    assert same_rows(rows((Iri("http://x"),)), rows((Iri("http://x"),)), ordered=True)
    for one, other in ((1, "1"), (None, "None"), (True, 1), (b"x", "x"), (1, 2)):
        assert not same_rows(rows((one,)), rows((other,)), ordered=False), (one, other)
    assert same_rows(rows((1,), (2,), (2,)), rows((2,), (1,), (2,)), ordered=False)
    assert not same_rows(rows((1,), (2,), (2,)), rows((1,), (1,), (2,)), ordered=False)


@pytest.mark.parametrize(
    ("query", "ordered"),
    [
        ("SELECT a FROM b ORDER BY c", True),
        ("select a from b\norder  by c limit 1", True),
        ("SELECT a FROM (SELECT a FROM b ORDER BY c)", False),
        ("SELECT a, row_number() OVER (ORDER BY (c)) FROM b", False),
        ("SELECT 'order by' FROM b", False),
        ("SELECT ?x { ?x :p ?y } ORDER BY ?y", True),
        ("SELECT ?x { { SELECT ?x { ?x :p ?y } ORDER BY ?y } }", False),
        ("SELECT reorder by FROM b", False),
    ],
)
def test_an_answer_is_ordered_where_the_whole_query_orders_it(query: str, ordered: bool) -> None:
    assert orders(query) == ordered


# ── The pairs' own queries ──────────────────────────────────────────────────────────────────────────────────────────


def test_pairs_whose_own_query_fails_are_named_and_those_that_find_nothing_are_counted(held: Held) -> None:
    broken = replace(PAIR, id="2", query="SELECT nom FROM person", where="f:2")
    nothing = replace(PAIR, id="3", query="SELECT name FROM person WHERE born < 1", where="f:3")
    found = held.run(gold([PAIR, broken, nothing], held.engines))
    assert found.pairs == (PAIR,) and len(found.rows["1"]) == 2
    ((where, what),) = found.failed
    assert where == "f:2" and "fails on its own data: QueryInvalid: no such column: nom" in what
    assert found.empty == ("f:3",)


def test_a_schema_without_data_is_an_error_that_names_the_pair(held: Held) -> None:
    with pytest.raises(UserError, match=r"f:1: asks 'other', of which there is no data\n  → data: base, graph"):
        held.run(gold([replace(PAIR, schema="other")], held.engines))


# ── Measuring ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_is_measured_by_what_its_queries_find(held: Held) -> None:
    after = replace(
        PAIR, id="2", need="Who later?", query="SELECT name FROM person WHERE born > 1900", split="relations"
    )
    rules = [
        Rule((" SELECT name FROM person WHERE 1900 > born",), contains=("Need: Who?\nSQL:",)),
        Rule((" ```sql\nSELECT name FROM person;\n```",), contains=("Need: Who later?\nSQL:",)),
    ]
    known = held.run(gold([PAIR, after], held.engines))
    scored = held.run(measure(Scripted(rules), known, SCHEMAS, held.engines))
    assert [(one.pair.split, one.outcome) for one in scored] == [("things", "right"), ("relations", "wrong-rows")]
    assert (valid(scored).value, accuracy(scored).value) == (1.0, 0.5)
    assert scored[1].query == "SELECT name FROM person"


def test_worked_examples_stand_before_the_need(held: Held) -> None:
    shown = "Need: Who later?\nSQL: SELECT 1\n\nSchema: A base."
    lm = Scripted([Rule((" SELECT name FROM person WHERE born < 1900",), contains=(shown,))])
    shot = replace(PAIR, id="2", need="Who later?", query="SELECT 1")
    known = held.run(gold([PAIR], held.engines))
    (one,) = held.run(measure(lm, known, SCHEMAS, held.engines, shots=[shot]))
    assert one.outcome == "right"


def test_plain_questions_are_compared_as_words(held: Held) -> None:
    pair = QueryPair("t", "text", "Orn is in Zell.", "Where is Orn?", split="things")
    known = Gold((pair, replace(pair, id="u")), {})
    lm = Scripted([Rule((" where is the Orn",))])
    scored = held.run(measure(lm, known, {}, {}))
    assert [one.outcome for one in scored] == ["right", "right"]
    (one,) = held.run(measure(Scripted([Rule((" Who is Orn?",))]), Gold((pair,), {}), {}, {}))
    assert one.outcome == "other-words"
    assert query_scores.table("t", {"x": scored}).rows[0][3] is None


def scored(*outcomes: str, split: str = "things") -> list[ScoredQuery]:
    return [ScoredQuery(replace(PAIR, id=str(n), split=split), "q", how) for n, how in enumerate(outcomes)]


def test_the_gain_is_the_difference_of_the_shares_over_the_same_pairs() -> None:
    before, after = scored("right", "empty", "invalid", "invalid"), scored("right", "right", "right", "empty")
    found = gained(before, after)
    assert found.value == 0.5 and found.n == 4
    assert -1 <= found.low < 0 < found.value < found.high <= 1
    with pytest.raises(KeyError):
        gained(before[1:], after)


def test_where_nothing_changed_the_gain_still_has_a_width() -> None:
    found = gained(scored(*["invalid"] * 20), scored(*["invalid"] * 20))
    assert (found.value, found.low, found.high) == (
        0.0,
        pytest.approx(-0.161, abs=1e-3),
        pytest.approx(0.161, abs=1e-3),
    )


def test_verdicts_that_go_together_make_the_interval_of_the_gain_narrower() -> None:
    verdicts = ["right"] * 10 + ["invalid"] * 10
    together = gained(scored(*verdicts), scored(*verdicts))
    apart = gained(scored(*verdicts), scored(*reversed(verdicts)))
    assert together.value == apart.value == 0
    assert together.high - together.low < 0.2 * (apart.high - apart.low)


def test_the_table_tells_each_split_and_writer_apart_and_counts_what_went_wrong() -> None:
    before = scored("invalid", "empty") + scored("refused", split="relations")
    after = scored("right", "wrong-rows") + scored("right", split="relations")
    told = query_scores.table("Queries", {"before": before, "after": after})
    assert [row[:3] for row in told.rows] == [
        ("things", "before", 2),
        ("things", "after", 2),
        ("relations", "before", 1),
        ("relations", "after", 1),
    ]
    assert told.rows[0][5] == "1 empty, 1 invalid" and told.rows[1][5] == "1 wrong-rows"
