"""Addresses and sources.toml: what is opened, with which settings, and what is said of a mistake."""

from __future__ import annotations

import asyncio
import json
import sqlite3

import pytest

from tandem.errors import UserError
from tandem.sources import addresses
from tandem.sources.addresses import FORMS
from tandem.sources.recorded import Recorder
from tandem.sources.registry import Registry
from tandem.store import Store

TOML = """
[source.cards]
address = "flashcards:cards.jsonl"

[source.encyclopedia]
address = "wikipedia:de"
contact = "you@example.org"
what = "passages"
words = 80
entities = "capitalised"

[source.history]
address = "sql:people.csv"

[domain.medical]
about = "diseases, drugs, anatomy"
sources = ["cards", "encyclopedia"]

[domain.factual]
about = "people and places"
sources = ["history", "sparql:facts.ttl"]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cards.jsonl").write_text(json.dumps({"front": "What is a mill?", "back": "A house that grinds."}))
    (tmp_path / "people.csv").write_text("name,born\nAda,1815\n")
    (tmp_path / "facts.ttl").write_text('<http://x/a> <http://x/name> "Ada" .')
    (tmp_path / "sources.toml").write_text(TOML)
    return tmp_path


def test_domains_name_their_sources_in_order(folder):
    registry = Registry.read(folder / "sources.toml")
    assert [domain.about for domain in registry.domains.values()] == ["diseases, drugs, anatomy", "people and places"]
    assert [source.name for source in registry.serving("medical")] == ["cards", "encyclopedia"]
    assert [source.language for source in registry.serving("factual")] == ["sql", "sparql"]
    assert registry.source("cards") is registry.serving("medical")[0]


def test_every_source_is_to_be_had_also_one_that_no_domain_lists(folder):
    (folder / "sources.toml").write_text(TOML + '\n[source.own]\naddress = "dataset"\n')
    registry = Registry.read(folder / "sources.toml")
    names = ["cards", "encyclopedia", "history", "own", "sparql:facts.ttl"]
    assert [source.name for source in registry.all()] == names
    assert registry.all()[0] is registry.source("cards")


def test_files_are_looked_for_beside_the_toml_and_answer(folder, monkeypatch):
    monkeypatch.chdir("/")
    registry = Registry.read(folder / "sources.toml")

    async def main():
        try:
            queries = ("SELECT name FROM people", "SELECT ?n { ?s <http://x/name> ?n }")
            asked = zip(registry.serving("factual"), queries, strict=True)
            return [(await source.look_up(query, 3)).findings[0].text for source, query in asked]
        finally:
            await registry.close()

    assert asyncio.run(main()) == ["name: Ada", "n: Ada"]


def test_every_look_up_of_a_registry_is_recorded_and_replays(folder):
    async def main():
        with Store(folder / "a.db") as store:
            registry = Registry.read(folder / "sources.toml", recorder=Recorder(store))
            first = await registry.source("cards").look_up("mill", 1)
            replayed = addresses.open(f"replay:{folder / 'a.db'}#cards")
            return first, await replayed.look_up("mill", 1), replayed.name

    first, again, name = asyncio.run(main())
    assert first == again and first.findings and name == "cards"


@pytest.mark.parametrize(
    ("address", "name", "language"),
    [
        ("flashcards:cards.jsonl", "flashcards:cards.jsonl", "text"),
        ("sparql:facts.ttl", "sparql:facts.ttl", "sparql"),
        ("sql:people.csv", "sql:people.csv", "sql"),
        ("sql:sqlite:///made.db", "sql:made.db", "sql"),
        ("wikipedia", "wikipedia", "text"),
        ("wikipedia:it", "wikipedia:it", "text"),
        ("sparql:https://query.example.org/sparql", "sparql:query.example.org/sparql", "sparql"),
        ("web:brave#example.org", "web:brave#example.org", "text"),
        ("sql:postgresql://reader@/history", "sql:postgresql://reader@/history", "sql"),
    ],
)
def test_an_address_opens_its_source_without_asking_anything(folder, monkeypatch, address, name, language):
    monkeypatch.setenv("TANDEM_CONTACT", "you@example.org")
    monkeypatch.setenv("BRAVE_API_KEY", "k" * 20)
    sqlite3.connect(folder / "made.db").close()
    (folder / "made.db").touch()
    source = addresses.open(address, beside=folder)
    assert (source.name, source.language) == (name, language)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("flashcard:cards.jsonl", "did you mean 'flashcards:cards.jsonl'?"),
        ("flashcards:card.jsonl", "did you mean cards.jsonl?"),
        ("flashcards", "an address is one of:"),
        ("", "an address is one of:"),
        ("facts.ttl", "write sparql:"),
        ("web:brawe", "did you mean 'brave'?"),
        ("web:brave", "BRAVE_API_KEY"),
        ("wikipedia", "TANDEM_CONTACT"),
        ("wikipedia:English", "api.php"),
        ("sparql:https://x.example/sparql", "TANDEM_CONTACT"),
        ("sql:mysql://role:secretword@host/db", "trust = true"),
        ("postgresql://role:secretword@host/db", "an address is one of:"),
        ("replay:none.db", "check the path"),
        ("passages:nothere", "check the path"),
    ],
)
def test_an_address_that_is_wrong_is_said_with_what_may_be_meant(folder, monkeypatch, address, said):
    for variable in ("TANDEM_CONTACT", "BRAVE_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(folder)
    with pytest.raises(UserError) as caught:
        addresses.open(address)
    assert said in str(caught.value)
    assert "secretword" not in str(caught.value)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[source.a]\naddress = 3", "s.toml: source.a: has no address"),
        ('[source.a]\naddress = "wikipedia"\nconctact = "x"', "s.toml: source.a: no setting is called 'conctact'"),
        ('[source.a]\naddress = "wikipedia"\nhits = "x"', "hits cannot be 'x'"),
        ('[source.a]\naddress = "wikipedia"\nhits = true', "hits cannot be True"),
        ('[source.a]\naddress = "wikipedia"\ncontact = "a@b.org"\nwhat = "all"', "give first-sentences or passages"),
        ("[sources.a]\n", "did you mean 'source'?"),
        ('[domain.d]\nabout = "x"', "domain.d: needs about and sources"),
        ('[domain.d]\nabout = "x"\nsources = ["nobody"]', "no source is called 'nobody'"),
        ('[source.cards]\naddress = "wikipedia"\n[domain.d]\nabout = "x"\nsources = ["card"]', "did you mean 'cards'?"),
        ('[source.b]\naddress = "dataset"\nfoo = 1', "s.toml: source.b: no setting is called 'foo'"),
        ('[source.b]\naddress = "datset"', "s.toml: source.b: no source has the address 'datset'"),
        ('[source.b]\naddress = "sparql:http://x/"\nseconds = 0', "source.b: seconds cannot be 0"),
        ('[domain."art, music"]\nabout = "x"\nsources = ["dataset"]', "domain.art, music: cannot be chosen"),
        ('[domain."art."]\nabout = "x"\nsources = ["dataset"]', "domain.art.: cannot be chosen"),
        ("", "s.toml: names no source"),
        ("[source", "is no TOML"),
        ("source = 3", "is no table"),
    ],
)
def test_a_mistake_in_the_toml_is_said_with_its_place(tmp_path, toml, said):
    file = tmp_path / "s.toml"
    file.write_text(toml)
    with pytest.raises(UserError) as caught:
        Registry.read(file).source("a")
    assert said in str(caught.value)


def test_a_name_that_is_not_there_is_said(folder):
    registry = Registry.read(folder / "sources.toml")
    for ask, wrong, meant in ((registry.source, "card", "'cards'"), (registry.serving, "medicine", "'medical'")):
        with pytest.raises(UserError) as caught:
            ask(wrong)
        assert meant in caught.value.remedy


def test_every_form_that_is_told_of_is_understood():
    kinds = {form.partition(":")[0].partition("[")[0] for form in FORMS}
    assert kinds == set(addresses.SETTINGS)
