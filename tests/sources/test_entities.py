"""Names in a text: the longest one, whatever its case and accents, and the thing that fits what stands around."""

from __future__ import annotations

import asyncio
import json

import pytest

from tandem.errors import UserError
from tandem.sources.entities import Entity, Linker, capitalised
from tandem.sources.sparql import GraphFile

ADA = Entity("Q7259", "Ada Lovelace", ("Ada", "Countess of Lovelace"), "wrote a program for an engine")
LOVELACE = Entity("Q90", "Lovelace", (), "a town in Texas")
MERCURY = Entity("Q308", "Mercury", (), "planet nearest to the sun")
METAL = Entity("Q925", "Mercury", ("quicksilver",), "metal that is liquid")
ZURICH = Entity("Q72", "Zürich")
LINKER = Linker([ADA, LOVELACE, MERCURY, METAL, ZURICH])


def ids(text, linker=LINKER):
    return [mention.best.id for mention in linker.link(text)]


def test_the_longest_name_wins_and_nothing_inside_it_counts():
    (mention,) = LINKER.link("When was Ada Lovelace born?")
    assert (mention.text, mention.start, mention.end, mention.best) == ("Ada Lovelace", 9, 21, ADA)
    assert ids("Lovelace, Ada") == ["Q90", "Q7259"]


def test_case_accents_and_forms_make_no_difference_and_the_text_is_given_as_written():
    for written in ("ZURICH", "zürich", "Zu\u0308rich", "Ｚürich"):
        (mention,) = LINKER.link(f"in {written}!")
        assert mention.best is ZURICH and mention.text == written


def test_a_name_is_whole_words():
    assert ids("Adamant quicksilvery") == []


def test_what_stands_around_tells_things_of_one_name_apart():
    assert ids("Is mercury a liquid metal?") == ["Q925"]
    assert ids("Which planet is near the sun, Mercury?") == ["Q308"]
    (mention,) = LINKER.link("Mercury?")
    assert mention.candidates == (MERCURY, METAL)


def test_names_are_told_once():
    assert LINKER.names("Ada and the Countess of Lovelace met in Zürich") == ["Ada Lovelace", "Zürich"]


def test_a_table_of_lines_and_one_of_columns_are_the_same(tmp_path):
    lines, columns = tmp_path / "e.jsonl", tmp_path / "e.tsv"
    told = [{"id": e.id, "label": e.label, "aliases": list(e.aliases), "about": e.about} for e in (ADA, METAL)]
    lines.write_text("\n".join(map(json.dumps, told)))
    rows = [f"{e.id}\t{e.label}\t{'|'.join(e.aliases)}\t{e.about}" for e in (ADA, METAL)]
    columns.write_text("\n".join(["id\tlabel\taliases\tabout", *rows]))
    for path in (lines, columns):
        linker = Linker.read(path)
        assert len(linker) == 2 and linker.link("quicksilver")[0].best == METAL
        assert linker.link("the countess of lovelace")[0].best == ADA


def test_a_graphs_labels_are_a_table_of_names(tmp_path):
    path = tmp_path / "g.ttl"
    path.write_text(
        """@prefix r: <http://www.w3.org/2000/01/rdf-schema#> . @prefix k: <http://www.w3.org/2004/02/skos/core#> .
        <http://x/1> r:label "Orle"@en, "Orla"@it ; k:altLabel "Orle upon Besk" ; r:comment "a village" .
        <http://x/2> r:label "Besk" ."""
    )

    async def main():
        source = GraphFile(path)
        try:
            return await Linker.of_graph(source)
        finally:
            await source.close()

    linker = asyncio.run(main())
    assert ids("From Orle upon Besk to Besk and Orla", linker) == ["http://x/1", "http://x/2", "http://x/1"]
    assert linker.link("orle")[0].best.about == "a village"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("e.jsonl", '{"id": "Q1"}', "e.jsonl:1: is no entity"),
        ("e.jsonl", '{"id": "Q1", "label": "a"}\n{"id": 1, "label": "b"}', "e.jsonl:2: id, label"),
        ("e.jsonl", '{"id": "Q1", "label": "a", "aliases": "b"}', "e.jsonl:1"),
        ("e.tsv", "Q1\tOrle\nQ2\n", "e.tsv:2: has no label"),
        (None, "", "cannot be read"),
    ],
)
def test_a_table_that_is_wrong_is_named_with_its_line(tmp_path, name, text, said):
    path = tmp_path / (name or "none.jsonl")
    if name:
        path.write_text(text)
    with pytest.raises(UserError) as caught:
        Linker.read(path)
    assert said in str(caught.value)


def test_runs_of_capitals_are_names_where_there_is_no_table():
    assert capitalised("Who met Ada Lovelace in New York before Élan did?") == ["Ada Lovelace", "New York", "Élan"]
    assert capitalised("The Bank of England and it") == ["The Bank of England"]
    assert capitalised("nobody here") == []
