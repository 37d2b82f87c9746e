"""Read-only queries made at random: the answer is the plain engine's own, whatever guards and processes lie between."""

import contextlib
import math
import sqlite3

import asking
import duckdb
import pyoxigraph
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem.sandbox.rows import QueryInvalid

ORDINARY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LITERALS = st.one_of(
    st.integers(-5, 2000).map(str),
    st.sampled_from(["NULL", "'Ada'", "'b'", "''", "'it''s'", "1.5", "-0.25", "'é☃'"]),
)
COLUMNS = st.sampled_from(["id", "name", "born"])
NUMBERS = st.sampled_from(["id", "born", "(id + born)", "(id * 2)", "(born % 7)", "length(name)", "-id", "abs(id - 2)"])
TEXTS = st.sampled_from(
    ["name", "upper(name)", "(name || '!')", "substr(name, 1, 2)", "coalesce(name, 'none')", "trim(name)"]
)


@st.composite
def conditions(draw, depth=0):
    """A condition over the people."""
    kind = draw(st.integers(0, 6 if depth < 2 else 3))
    if kind == 0:
        return f"{draw(NUMBERS)} {draw(st.sampled_from(['<', '<=', '=', '<>', '>']))} {draw(st.integers(-3, 2000))}"
    if kind == 1:
        return f"{draw(TEXTS)} LIKE '{draw(st.sampled_from(['%a%', 'A%', '_o_', '%', 'x']))}'"
    if kind == 2:
        return f"{draw(COLUMNS)} IS {draw(st.sampled_from(['', 'NOT ']))}NULL"
    if kind == 3:
        return f"id IN (SELECT id FROM people WHERE born > {draw(st.integers(1800, 1950))})"
    left, right = draw(conditions(depth + 1)), draw(conditions(depth + 1))
    return {4: f"({left}) AND ({right})", 5: f"({left}) OR ({right})", 6: f"NOT ({left})"}[kind]


@st.composite
def selects(draw):
    """A query both SQL engines understand, with its order fixed."""
    where = draw(st.one_of(st.just(""), conditions().map(lambda c: f" WHERE {c}")))
    kind = draw(st.integers(0, 4))
    if kind == 0:
        values = ", ".join(draw(st.lists(st.one_of(NUMBERS, TEXTS, LITERALS), min_size=1, max_size=4)))
        return f"SELECT id, {values} FROM people{where} ORDER BY id LIMIT {draw(st.integers(0, 4))}"
    if kind == 1:
        return f"SELECT count(*), sum({draw(NUMBERS)}), min(name), max(born) FROM people{where}"
    if kind == 2:
        some = f"WITH p AS (SELECT * FROM people{where})"
        return f"{some} SELECT p.id, q.name FROM p JOIN people q ON q.id >= p.id ORDER BY 1, 2"
    if kind == 3:
        grouped = "GROUP BY 1 HAVING count(*) > 0 ORDER BY 2, 1"
        return f"SELECT born IS NULL AS gone, count(*) AS n FROM people{where} {grouped}"
    chosen = f"CASE WHEN {draw(NUMBERS)} > 2 THEN 'x' ELSE name END"
    return f"SELECT id, {chosen}, rank() OVER (ORDER BY id DESC) FROM people{where} ORDER BY id"


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory):
    file = asking.sqlite_file(tmp_path_factory.mktemp("sqlite") / "people.db")
    with asking.tables(file) as opened, contextlib.closing(sqlite3.connect(file)) as plain:
        yield opened, plain


@pytest.fixture(scope="module")
def duck(tmp_path_factory):
    file = asking.duckdb_file(tmp_path_factory.mktemp("duckdb") / "people.duckdb")
    with asking.tables(file) as opened, contextlib.closing(duckdb.connect(str(file), read_only=True)) as plain:
        yield opened, plain


def same(guarded, plain):
    """Equal in value and type, not-a-number included."""
    assert len(guarded) == len(plain)
    for one, other in zip(guarded, plain):
        assert [type(v) for v in one] == [type(v) for v in other]
        assert all(a == b or (a != a and b != b) for a, b in zip(one, other)), (one, other)


@ORDINARY
@given(query=selects())
def test_sqlite_answers_as_the_plain_engine_does(sqlite, query):
    opened, plain = sqlite
    found = opened(query)
    cursor = plain.execute(query)
    assert found.columns == tuple(d[0] for d in cursor.description)
    same(found.rows, cursor.fetchall())
    assert found.complete


@ORDINARY
@given(query=selects())
def test_duckdb_answers_as_the_plain_engine_does(duck, query):
    opened, plain = duck
    try:
        expected = plain.execute(query).fetchall()
    except duckdb.Error as error:
        with pytest.raises(QueryInvalid) as invalid:
            opened(query)
        assert str(error).split("\n")[0] in str(invalid.value)
        return
    same(opened(query).rows, expected)


@ORDINARY
@given(
    number=st.integers(-(2**63), 2**63 - 1),
    real=st.floats(),
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
    raw=st.binary(max_size=30),
)
def test_values_of_sqlite_arrive_as_they_are(sqlite, number, real, text, raw):
    opened, plain = sqlite
    shown = "NULL" if real != real else "9e999" if real == math.inf else "-9e999" if real == -math.inf else repr(real)
    exact = f"CAST({number} AS INTEGER)" if number > -(2**63) else "(-9223372036854775807 - 1)"
    quoted = text.replace("'", "''")
    query = f"SELECT {exact}, {shown}, '{quoted}', x'{raw.hex()}'"
    rows = opened(query).rows
    same(rows, plain.execute(query).fetchall())  # the engine rounds some very small numbers as it reads them
    assert (rows[0][0], *rows[0][2:]) == (number, text, raw)


TERMS = ["<urn:ada>", "<urn:n1>", "<urn:n2>", "?s", "?o"]
PATHS = [
    "<urn:name>",
    "<urn:born>",
    "<urn:next>",
    "?p",
    "^<urn:next>",
    "<urn:next>/<urn:next>",
    "(<urn:name>|<urn:born>)",
]


@st.composite
def patterns(draw):
    """A SELECT with its order fixed."""
    triples = [
        f"{draw(st.sampled_from(TERMS))} {draw(st.sampled_from(PATHS))} {draw(st.sampled_from(TERMS))} ."
        for _ in range(draw(st.integers(1, 2)))
    ]
    extra = draw(
        st.sampled_from(
            [
                "",
                "FILTER(isLiteral(?o))",
                "OPTIONAL { ?s <urn:born> ?b }",
                "MINUS { ?s <urn:name> ?n }",
                "BIND(STR(?s) AS ?t)",
            ]
        )
    )
    return f"SELECT DISTINCT ?s ?o {{ {' '.join(triples)} {extra} }} ORDER BY ?s ?o LIMIT 50"


@pytest.fixture(scope="module")
def triples(tmp_path_factory):
    file = tmp_path_factory.mktemp("graph") / "facts.nt"
    file.write_text(asking.GRAPH)
    plain = pyoxigraph.Store()
    plain.load(asking.GRAPH, format=pyoxigraph.RdfFormat.N_TRIPLES)
    with asking.graph(file) as opened:
        yield opened, plain


@ORDINARY
@given(query=patterns())
def test_a_graph_answers_as_the_plain_engine_does(triples, query):
    opened, plain = triples
    expected = [tuple(None if term is None else term.value for term in row) for row in plain.query(query)]
    assert [tuple(None if v is None else str(v) for v in row) for row in opened(query).rows] == expected
