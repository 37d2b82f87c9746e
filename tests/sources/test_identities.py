"""What a source is recorded under changes with what it is and is told, and not with who asks or how fast."""

from __future__ import annotations

import asyncio
import json

import pyoxigraph
import pytest
from aiohttp import web
from source_servers import serving

from tandem.sources import addresses
from tandem.sources.blocking import described
from tandem.sources.entities import Entity, Linker, capitalised
from tandem.sources.recorded import Recorded, Recorder, identity_of, recorded_name
from tandem.sources.web import WebSearch
from tandem.sources.wikipedia import Taken, Wikipedia
from tandem.store import Store

CONTACT = "you@example.org"


def opened(address, folder, **settings):
    return addresses.open(address, settings=settings, beside=folder, name="it")


def differ(*sources):
    """Whether all are recorded under names of their own."""
    return len({recorded_name(source) for source in sources}) == len(sources)


@pytest.fixture
def folder(tmp_path):
    for town in ("karo", "zell"):
        (tmp_path / f"{town}.jsonl").write_text(json.dumps({"front": "Where was Ada born?", "back": town}))
        (tmp_path / f"{town}.csv").write_text("name,born\nAda,1815\n")
        (tmp_path / f"{town}.ttl").write_text(f'<http://x/ada> <http://x/born> "{town}" .')
        store = pyoxigraph.Store(str(tmp_path / f"{town}.store"))
        store.load(path=str(tmp_path / f"{town}.ttl"), format=pyoxigraph.RdfFormat.TURTLE)
        del store
    return tmp_path


# ── By kind ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_files_are_told_apart_by_what_they_hold(folder):
    for kind in ("flashcards:{}.jsonl", "sparql:{}.ttl", "sparql:{}.store"):
        karo, zell = (opened(kind.format(town), folder) for town in ("karo", "zell"))
        assert differ(karo, zell), kind
        assert identity_of(karo) == identity_of(opened(kind.format("karo"), folder))


def test_asking_a_store_of_triples_leaves_its_identity(folder):
    source = opened("sparql:karo.store", folder)

    async def main():
        found = await source.look_up("SELECT ?t { ?s <http://x/born> ?t }", 3)
        await source.close()
        return found.findings[0].text

    assert asyncio.run(main()) == "t: karo"
    assert identity_of(opened("sparql:karo.store", folder)) == source.identity


def test_tables_are_told_apart_by_their_files_names_too_since_queries_name_them(folder):
    karo, zell = (opened(f"sql:{town}.csv", folder) for town in ("karo", "zell"))
    assert differ(karo, zell)
    assert identity_of(karo) == identity_of(opened("sql:karo.csv", folder))


def test_the_language_of_labels_counts_for_a_graph(folder):
    assert differ(opened("sparql:karo.ttl", folder), opened("sparql:karo.ttl", folder, labels="de"))


def test_endpoints_are_told_apart_by_address_and_settings_but_not_by_etiquette(folder):
    def at(path, **settings):
        return opened(f"sparql:http://127.0.0.1:1/{path}", folder, **{"contact": CONTACT} | settings)

    told = {"<http://x/born>": "born in"}
    other = {"<http://x/born>": "place of birth"}
    more = {**told, "<http://x/died>": "died in"}
    ways = [at("one"), at("two"), at("one?graph=a"), at("one", labels="de"), at("one", predicates=told)]
    ways += [
        at("one", predicates=other),
        at("one", predicates=more),
        at("one", predicates=dict(reversed(more.items()))),
    ]
    assert differ(*ways)
    polite = at("one?apikey=hunter2", contact="me@example.org", seconds=3)
    assert identity_of(polite) == identity_of(at("one")) and "hunter2" not in identity_of(polite)


def test_a_wikipedia_is_told_apart_by_address_by_what_is_taken_and_by_names(folder):
    def wiki(entities=None, address="https://en.example.org/w/api.php", **taken):
        return Wikipedia(contact=CONTACT, address=address, taken=Taken(**taken), entities=entities)

    ada, bob = (Linker([Entity("1", name)]).names for name in ("Ada", "Bob"))
    ways = [wiki(), wiki(address="https://de.example.org/w/api.php"), wiki(hits=3), wiki(what="passages")]
    assert differ(*ways, wiki(capitalised), wiki(ada), wiki(bob))
    assert identity_of(wiki(ada)) == identity_of(wiki(Linker([Entity("1", "Ada")]).names))


def test_searches_of_the_web_are_told_apart_by_engine_site_and_address_not_by_key():
    def search(engine="brave", key="k" * 20, **more):
        return WebSearch(engine, environment={"BRAVE_API_KEY": key, "SERPER_API_KEY": key}, **more)

    assert differ(search(), search("serper"), search(site="x.org"), search(address="http://127.0.0.1:1"))
    assert identity_of(search()) == identity_of(search(key="z" * 20)) and "kkkk" not in identity_of(search())


def test_databases_are_told_apart_by_server_and_options_not_by_password(folder):
    pytest.importorskip("sqlalchemy", reason="needs the packages of tandem-llm[sql]")
    pytest.importorskip("psycopg", reason="needs the packages of tandem-llm[sql]")

    def at(tail):
        return opened(f"sql:postgresql://{tail}", folder)

    here = at("reader:hunter2@one/history?options=a&password=hunter3")
    assert differ(here, at("reader@two/history?options=a"), at("reader@one/history?options=b"), at("me@one/history"))
    assert identity_of(here) == identity_of(at("reader:hunter4@one/history?options=a"))
    assert "hunter" not in identity_of(here) + here.name


def test_the_order_of_paragraphs_counts_for_a_data_set(folder):
    assert differ(opened("dataset", folder), opened("dataset", folder, seed=1))


def test_a_record_is_told_apart_by_what_stands_in_it(folder):
    async def main(name, *queries):
        with Store(folder / name) as store:
            source = addresses.open("flashcards:karo.jsonl", beside=folder, recorder=Recorder(store))
            for query in queries:
                await source.look_up(query, 1)
        return opened(f"replay:{name}", folder)

    one, two = asyncio.run(main("one.db", "ada")), asyncio.run(main("two.db", "ada", "bob"))
    assert identity_of(one) != identity_of(two)
    assert identity_of(one) == identity_of(opened("replay:one.db", folder))


def test_a_recorded_source_has_the_identity_of_its_own(folder):
    cards = opened("flashcards:karo.jsonl", folder)
    assert identity_of(Recorded(cards, Recorder(None))) == cards.identity


# ── What it is for ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_source_of_the_same_name_with_another_address_or_settings_is_asked_anew(tmp_path):
    def answer(asked):
        row = {"t": {"type": "literal", "value": asked.path}}
        told = {"head": {"vars": ["t"]}, "results": {"bindings": [row]}}
        return web.json_response(told, content_type="application/sparql-results+json")

    async def ask(url, store, predicates):
        settings = {"contact": CONTACT, "predicates": predicates}
        source = addresses.open(f"sparql:{url}", settings=settings, recorder=Recorder(store), name="kb")
        found = await source.look_up("SELECT ?t { ?s <http://x/born> ?t }", 1)
        schema = await described(source)
        await source.close()
        return found.findings[0].text, schema.parts["p"]

    async def main():
        async with serving(answer) as server:
            with Store(tmp_path / "a.db") as store:
                ways = [("one", "born in"), ("two", "born in"), ("two", "place of birth"), ("one", "born in")]
                said = [await ask(f"{server.url}/{path}", store, {"p": told}) for path, told in ways]
            return said, len(server.requests)

    said, requests = asyncio.run(main())
    assert said == [
        ("t: /one", "born in"), ("t: /two", "born in"), ("t: /two", "place of birth"), ("t: /one", "born in")
    ]  # fmt: skip
    assert requests == 3
