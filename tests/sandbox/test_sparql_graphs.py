"""From files to graphs: formats, named graphs, values, descriptions, stores, and what is said of useless files."""

import asyncio
import datetime
import decimal
import gzip

import asking
import pyoxigraph
import pytest

from tandem.errors import Failure, UserError
from tandem.sandbox.queries import Graph
from tandem.sandbox.rows import Blank, Iri, Typed, Worded

PREFIX = "@prefix e: <http://e/> . @prefix x: <http://www.w3.org/2001/XMLSchema#> .\n"
FACTS = PREFIX + (
    'e:ada e:name "Ada"@en ; e:born "1815-12-10"^^x:date ; e:age 36 ; e:height 1.65 ; e:weight 5e1 ; e:alive false ;'
    ' e:seen "2020-01-01T00:00:00Z"^^x:dateTime ; e:year "1815"^^x:gYear ; e:knows [ e:name "Bob" ] ; a e:Person .'
)
NAMED = '<urn:ada> <urn:name> "Ada"@en .'


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "tandem"


def refused(data):
    async def main():
        async with Graph(data, workers=1):
            raise AssertionError("opened")

    with pytest.raises(UserError) as caught:
        asyncio.run(main())
    return str(caught.value)


def test_values_come_as_pythons_own(tmp_path):
    (tmp_path / "facts.ttl").write_text(FACTS)
    with asking.graph(tmp_path / "facts.ttl") as opened:
        found = {str(p): o for p, o in opened("SELECT ?p ?o { <http://e/ada> ?p ?o }").rows}
    found = {p.removeprefix("http://e/"): o for p, o in found.items()}
    assert found["born"] == datetime.date(1815, 12, 10)
    assert (found["age"], found["height"], found["weight"], found["alive"]) == (
        36,
        decimal.Decimal("1.65"),
        50.0,
        False,
    )
    assert found["seen"] == datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    name, year = found["name"], found["year"]
    assert (name, type(name), name.language) == ("Ada", Worded, "en")
    assert (year, type(year), year.datatype) == ("1815", Typed, "http://www.w3.org/2001/XMLSchema#gYear")
    assert type(found["knows"]) is Blank
    assert found["http://www.w3.org/1999/02/22-rdf-syntax-ns#type"] == Iri("http://e/Person")


def test_literals_outside_pythons_types_keep_their_text(tmp_path):
    (tmp_path / "facts.ttl").write_text(
        PREFIX + f'e:a e:p "-0044-03-15"^^x:date, "{"9" * 5000}"^^x:integer, "NaN"^^x:double, "maybe"^^x:boolean .'
    )
    with asking.graph(tmp_path / "facts.ttl") as opened:
        found = [row[0] for row in opened("SELECT ?o { ?s ?p ?o }").rows]
    texts = {str(v) for v in found if isinstance(v, Typed)}
    assert texts == {"-0044-03-15", "9" * 5000, "maybe"}
    assert [v for v in found if isinstance(v, float) and v != v]


def test_ask_construct_and_describe_give_rows(tmp_path):
    (tmp_path / "facts.nt").write_text(NAMED)
    with asking.graph(tmp_path / "facts.nt") as opened:
        assert opened("ASK { ?s ?p 'nobody' }").rows == ((False,),)
        assert opened("ASK { ?s ?p ?o }").columns == ("answer",)
        made = opened("CONSTRUCT { ?s <urn:called> ?o } WHERE { ?s <urn:name> ?o }")
        assert (made.columns, made.rows) == (("subject", "predicate", "object"), (("urn:ada", "urn:called", "Ada"),))
        assert opened("DESCRIBE <urn:ada>").rows == (("urn:ada", "urn:name", "Ada"),)
        nothing = opened("SELECT ?s ?x { ?s <urn:nothing> ?x }")
        assert (nothing.columns, nothing.rows, nothing.complete) == (("s", "x"), (), True)
        assert opened("SELECT ?s ?x { ?s ?p ?o OPTIONAL { ?s <urn:no> ?x } }").rows == (("urn:ada", None),)


def test_every_format_is_read_with_and_without_compression(tmp_path):
    store = pyoxigraph.Store()
    store.load(NAMED, format=pyoxigraph.RdfFormat.N_TRIPLES)
    for ending, form in (
        (".ttl", pyoxigraph.RdfFormat.TURTLE),
        (".nt", pyoxigraph.RdfFormat.N_TRIPLES),
        (".rdf", pyoxigraph.RdfFormat.RDF_XML),
        (".jsonld", pyoxigraph.RdfFormat.JSON_LD),
    ):
        text = store.dump(format=form, from_graph=pyoxigraph.DefaultGraph())
        (tmp_path / f"facts{ending}").write_bytes(text)
        (tmp_path / f"facts{ending}.gz").write_bytes(gzip.compress(text))
        for name in (f"facts{ending}", f"facts{ending}.gz"):
            with asking.graph(tmp_path / name) as opened:
                opened.still_answers()


def test_patterns_match_named_graphs_and_graph_names_one(tmp_path):
    (tmp_path / "facts.nq").write_text(
        '<urn:ada> <urn:name> "Ada"@en <urn:g> .\n<urn:bob> <urn:name> "Bob" <urn:h> .\n'
    )
    with asking.graph(tmp_path / "facts.nq") as opened:
        assert len(opened("SELECT ?s { ?s <urn:name> ?n }")) == 2
        assert opened("SELECT ?s { GRAPH <urn:h> { ?s ?p ?o } }").rows == (("urn:bob",),)


def test_several_files_are_one_graph(tmp_path):
    (tmp_path / "one.nt").write_text(NAMED)
    (tmp_path / "two.ttl").write_text("<urn:ada> <urn:born> 1815 .")
    with asking.graph([tmp_path / "one.nt", tmp_path / "two.ttl"]) as opened:
        assert opened("SELECT ?n ?b { ?s <urn:name> ?n ; <urn:born> ?b }").rows == (("Ada", 1815),)


def test_a_large_graph_becomes_a_store_once(tmp_path, cache, monkeypatch):
    monkeypatch.setattr("tandem.sandbox.datasets.SHARED_GRAPH", -1)
    (tmp_path / "facts.nt.gz").write_bytes(gzip.compress(asking.GRAPH.encode()))
    for _ in range(2):
        with asking.graph(tmp_path / "facts.nt.gz") as opened:
            opened.still_answers()
            assert opened("SELECT (COUNT(*) AS ?n) { ?s ?p ?o }").rows == ((3003,),)
    assert len(list((cache / "graphs").iterdir())) == 1


def test_a_store_that_only_its_owner_may_read_can_be_asked(tmp_path):
    store = pyoxigraph.Store(str(tmp_path / "facts"))
    store.load(NAMED, format=pyoxigraph.RdfFormat.N_TRIPLES)
    store.flush()
    del store
    for inner in (tmp_path / "facts").iterdir():
        inner.chmod(0o600)
    (tmp_path / "facts").chmod(0o700)
    with asking.graph(tmp_path / "facts") as opened:
        opened.still_answers()


def test_a_description_counts_predicates_and_classes(tmp_path):
    (tmp_path / "facts.ttl").write_text(FACTS)
    with asking.graph(tmp_path / "facts.ttl") as opened:
        schema = opened.describe()
    assert schema.parts["<http://e/name>"] == "2 triples"
    assert schema.parts["<http://e/Person>"] == "a class of 1 things"
    assert "RDF graph" in schema.summary


def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path):
    (tmp_path / "broken.ttl").write_text("<urn:a> <urn:b> .\n")
    (tmp_path / "cut.nt.gz").write_bytes(gzip.compress(asking.GRAPH.encode())[:-400])
    (tmp_path / "facts.txt").write_text(NAMED)
    (tmp_path / "empty").mkdir()
    said = refused(tmp_path / "broken.ttl")
    assert "broken.ttl" in said
    assert "cannot be used" in said
    assert "cut.nt.gz" in refused(tmp_path / "cut.nt.gz")
    assert "names no format" in refused(tmp_path / "facts.txt")
    assert "no Oxigraph store" in refused(tmp_path / "empty")
    assert "No such file" in refused(tmp_path / "nothing.ttl")
    assert "no file" in refused([])


def test_a_graph_that_changes_under_a_query_is_a_failure(tmp_path):
    file = tmp_path / "facts.nt"
    file.write_text(NAMED)

    async def main():
        async with Graph(file, workers=1) as opened:
            assert len(await opened.query("SELECT * { ?s ?p ?o }")) == 1
            file.write_text(NAMED + "\n<urn:bob> <urn:name> 'Bob' .")
            with pytest.raises(Failure, match="changed since"):
                await opened.query("SELECT * { ?s ?p ?o }")

    asyncio.run(main())
