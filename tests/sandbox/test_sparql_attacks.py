"""Attacks by SPARQL, one a test: the graph stays as it is, no socket is opened, the error has the right name."""

import time

import asking
import pyoxigraph
import pytest

from tandem.sandbox import sparql_guard
from tandem.sandbox.answer import Stop
from tandem.sandbox.rows import QueryInvalid, QueryRefused, QueryTimeout, QueryTooLarge

HERE = "http://127.0.0.1:9999/"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    file = tmp_path_factory.mktemp("graph") / "facts.nt"
    file.write_text(asking.GRAPH)
    before = asking.state([file])
    with asking.graph(file) as opened:
        yield opened
    assert asking.state([file]) == before


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "facts"
    store = pyoxigraph.Store(str(folder))
    store.load(asking.GRAPH, format=pyoxigraph.RdfFormat.N_TRIPLES)
    store.flush()
    del store
    before = asking.state([p for p in folder.rglob("*") if p.is_file()])
    with asking.graph(folder) as opened:
        yield opened
    assert asking.state([p for p in folder.rglob("*") if p.is_file()]) == before


@pytest.fixture
def both(shared, stored):
    return shared, stored


def named(opened, kind, query, says=""):
    error = opened.error(query)
    assert type(error) is kind, f"{query[:60]}: {error!r}"
    assert says in str(error), str(error)


UPDATES = [
    "INSERT DATA { <urn:a> <urn:b> <urn:c> }",
    "INSERT { ?s <urn:x> ?o } WHERE { ?s ?p ?o }",
    "DELETE WHERE { ?s ?p ?o }",
    "DELETE DATA { <urn:ada> <urn:born> '1815' }",
    f"LOAD <{HERE}>",
    "LOAD SILENT <file:///etc/passwd> INTO GRAPH <urn:g>",
    "CLEAR ALL",
    "DROP ALL",
    "CREATE GRAPH <urn:g>",
    "COPY DEFAULT TO <urn:g>",
    "MOVE DEFAULT TO <urn:g>",
    "ADD DEFAULT TO <urn:g>",
    "WITH <urn:g> DELETE { ?s ?p ?o } WHERE { ?s ?p ?o }",
]


@pytest.mark.parametrize("update", UPDATES)
def test_an_update_is_refused_by_name(both, update):
    for opened in both:
        named(opened, QueryRefused, update, f"{update.split()[0]} is not allowed")


def test_an_update_behind_a_prefix_or_a_comment_is_refused(shared):
    named(shared, QueryRefused, "PREFIX x: <urn:x>\nPREFIX y: <urn:y> INSERT DATA { x:a x:b y:c }", "INSERT")
    named(shared, QueryRefused, "# SELECT\nBASE <urn:x> # y\n drop all", "DROP")


def test_an_update_after_a_query_is_refused(shared):
    named(shared, QueryRefused, "SELECT * { ?s ?p ?o } ; DROP ALL", "DROP")
    named(shared, QueryRefused, "ASK {};INSERT DATA { <urn:a> <urn:b> <urn:c> }", "INSERT")


SERVICES = {
    "plain": "SELECT * { SERVICE <H> { ?s ?p ?o } }",
    "silent": "SELECT * { SERVICE SILENT <H> { ?s ?p ?o } }",
    "in mixed case": "SELECT * { sErViCe <H> { ?s ?p ?o } }",
    "without spaces": "SELECT*{SERVICE<H>{?s ?p ?o}}",
    "of a name with an empty prefix": "PREFIX : <H> SELECT * { SERVICE:x { ?s ?p ?o } }",
    "after a word without a space": "PREFIX : <H> SELECT * { ?s ?p trueSERVICE:x { ?s ?p ?o } }",
    "after a number without a space": "SELECT * { ?s ?p 1SERVICE<H>{ ?s ?p ?o } }",
    "behind a comment": "SELECT * { # ' \"\nSERVICE#'''\n<H> { ?s ?p ?o } }",
    "behind a hash in a name": "SELECT * { <urn:x#y> ?p ?o . SERVICE <H> { ?s ?p ?o } }",
    "behind an escape in a name": "SELECT * { <urn:x\\u0041#y> ?p ?o . SERVICE <H> { ?s ?p ?o } }",
    "behind a less-than": "PREFIX x: <H> SELECT * { FILTER(1<2)SERVICE x:a#>\n{ ?s ?p ?o } }",
    "between two comparisons": "PREFIX : <H> SELECT * { FILTER(1<2)SERVICE:a#>\n{ ?s ?p ?o } }",
    "behind a text with quotes": "SELECT * { ?s ?p '''it's \\''' . }''' . SERVICE <H> { ?s ?p ?o } }",
    "behind a text with an escape": 'SELECT * { ?s ?p "\\\\" . SERVICE <H> { ?s ?p ?o } . ?s ?p "" }',
    "of a variable": "SELECT * { VALUES ?e { <H> } SERVICE ?e { ?s ?p ?o } }",
    "in a sub-select": "SELECT * { { SELECT * { SERVICE <H> { ?s ?p ?o } } } }",
    "in a filter": "SELECT * { FILTER EXISTS { SERVICE <H> { ?s ?p ?o } } }",
    "in a negation": "SELECT * { ?s ?p ?o MINUS { SERVICE <H> { ?s ?p ?o } } }",
    "in an optional part": "SELECT * { ?s ?p ?o OPTIONAL { SERVICE <H> { ?s ?p ?o } } }",
    "in a construct": "CONSTRUCT { ?s ?p ?o } WHERE { SERVICE <H> { ?s ?p ?o } }",
    "with its letters escaped": "SELECT * { \\u0053ERVICE <H> { ?s ?p ?o } }",
    "with all letters escaped": "SELECT * { \\U00000053\\u0045RV\\u0049CE <H> { ?s ?p ?o } }",
}


@pytest.mark.parametrize("how", SERVICES)
def test_a_service_is_refused(both, how):
    for opened in both:
        named(opened, QueryRefused, SERVICES[how].replace("<H>", f"<{HERE}>"), "SERVICE is not allowed")


def test_letters_that_look_like_service_are_no_keyword(shared):
    for word in ("ＳＥＲＶＩＣＥ", "ЅERVICE", "SER\u200bVICE", "ſERVICE"):
        named(shared, QueryInvalid, f"SELECT * {{ {word} <{HERE}> {{ ?s ?p ?o }} }}")


def test_the_word_in_names_texts_variables_and_tags_is_allowed(both):
    for opened in both:
        assert opened("SELECT ?service { <urn:ada> <urn:service> ?service } # SERVICE").rows == (("urn:desk",),)
        assert opened("SELECT ?s { ?s ?p 'SERVICE', \"x service\"@en-service, '''service''' }").rows == ()
        assert opened("PREFIX w: <http://w/> SELECT ?s { ?s w:customerService/w:service ?o }").rows == ()
        assert opened("SELECT ?s { ?s <http://host/a_(service)> ?o }").rows == ()


def test_another_data_set_is_refused(both):
    for opened in both:
        named(opened, QueryRefused, f"SELECT * FROM <{HERE}> {{ ?s ?p ?o }}", "FROM")
        named(opened, QueryRefused, "SELECT * FROM NAMED<file:///etc/passwd>{ GRAPH ?g { ?s ?p ?o } }", "FROM")
        assert opened("SELECT ?from { ?from <urn:name> 'FROM' }").rows == ()


def test_functions_of_ones_own_do_not_exist(shared):
    named(shared, QueryInvalid, "SELECT (<urn:f>(1) AS ?x) {}", "<urn:f>")


# ── bombs ──


def test_a_product_of_many_triples_is_ended(both):
    for opened in both:
        named(opened, QueryTimeout, "SELECT (COUNT(*) AS ?n) { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }", "processor time")


def test_a_bomb_of_paths_is_ended(both):
    for opened in both:
        bomb = "?a (<urn:next>*)* ?b . ?b (<urn:next>|^<urn:next>)+ ?c . ?c (<urn:next>/<urn:next>)* ?d"
        named(opened, QueryTimeout, f"SELECT (COUNT(*) AS ?n) {{ {bomb} }}")


def test_a_sorted_product_is_ended(shared):
    error = shared.error("SELECT * { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i } ORDER BY ?i")
    assert type(error) in (QueryTimeout, QueryTooLarge)


def test_a_text_joined_of_all_triples_is_ended(shared):
    joined = "GROUP_CONCAT(CONCAT(STR(?a), STR(?b), STR(?d), STR(?g)))"
    error = shared.error(f"SELECT ({joined} AS ?x) {{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }}")
    assert type(error) in (QueryTimeout, QueryTooLarge)


def test_a_value_that_grows_by_replacing_is_ended(both):
    bomb = "'aaaaaaaaaa'"
    for _ in range(12):
        bomb = f"REPLACE({bomb}, 'a', 'aaaaaaaaaa')"
    for opened in both:
        error = opened.error(f"SELECT ({bomb} AS ?x) {{}}")
        assert type(error) in (QueryTooLarge, QueryTimeout)


def test_patterns_are_linear_and_limited(shared):
    assert shared(f"SELECT (REGEX('{'a' * 20000}!', '^(a+)+$') AS ?x) {{}}").rows == ((False,),)
    assert shared("SELECT (REGEX('x', '((a{1,1000}){1,1000}){1,1000}') AS ?x) {}").rows == ((None,),)


def test_deep_nesting_is_refused(both):
    for opened in both:
        for deep in ("SELECT ({}1{} AS ?x) {{}}", "SELECT * {{ {}{} }}"):
            one, other = ("(", ")") if "AS" in deep else ("{", "}")
            named(opened, QueryTooLarge, deep.format(one * 20_000, other * 20_000), "nesting")
        named(opened, QueryTooLarge, f"SELECT ({'!' * 50_000}true AS ?x) {{}}", "nesting")


def test_a_huge_list_is_answered(both):
    for opened in both:
        names = ", ".join(f"<urn:n{i}>" for i in range(15_000))
        found = opened(f"SELECT DISTINCT ?s {{ ?s <urn:next> ?o FILTER(?s IN ({names})) }}")
        assert len(found) == 200


def test_a_huge_limit_gives_the_rows_asked_for(both):
    for opened in both:
        found = opened("SELECT * { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i } LIMIT 100000000000", rows=5)
        assert (len(found), found.complete) == (5, False)


def test_one_giant_value_is_left_out_whole(shared):
    bomb = "'aaaaaaaaaa'"
    for _ in range(6):
        bomb = f"REPLACE({bomb}, 'a', 'aaaaaaaaaa')"
    found = shared(f"SELECT ({bomb} AS ?x) {{}}")
    assert (found.columns, found.rows, found.complete) == (("x",), (), False)


def test_a_text_that_is_too_long_is_refused_before_it_runs(shared):
    named(shared, QueryTooLarge, f"ASK {{}} # {'x' * 300_000}", "characters")


def test_a_mistake_has_the_engines_own_words_and_the_place(shared):
    named(shared, QueryInvalid, "SELECT * {\n ?s ?p", "error at 2:")
    named(shared, QueryInvalid, "SELECT * { ?s nosuch:p ?o }", "Prefix not found")
    named(shared, QueryInvalid, "", "error at 1:1")
    named(shared, QueryInvalid, "SELECT ?s { ?s ?p ?o } GROUP BY ?p")


# ── the guard alone ──


def test_the_guard_reads_hostile_texts_in_time_linear_in_their_length():
    for text in ('"' * 100_000, "'" * 100_000, "<" * 100_000, "#" * 100_000, "'''" + "\\" * 100_000, ":" * 100_000):
        began = time.monotonic()
        sparql_guard.check(text)
        assert time.monotonic() - began < 5


def test_the_guard_passes_ordinary_queries():
    for query in (
        "PREFIX f: <http://x/f> SELECT ?n { ?p f:name ?n ; f:knows [ f:age ?a ] FILTER(?a < 3 && ?a > 1) }",
        "SELECT (COUNT(?x) AS ?n) { { ?x a <urn:A> } UNION { ?x a <urn:B> } } GROUP BY ?y HAVING (COUNT(?x) > 1)",
        "PREFIX copy: <urn:copy> SELECT * { ?s a <urn:x> ; copy:y ?z }",
        "ASK { ?s ?p 'drop; insert', \"load <x>\" }",
        "DESCRIBE <http://example.org/insert;drop>",
    ):
        sparql_guard.check(query)


def test_the_guard_gives_its_reason():
    with pytest.raises(Stop, match="only this graph") as stopped:
        sparql_guard.check("SELECT * { SERVICE <urn:x> {} }")
    assert stopped.value.kind == "refused"
