"""Dumps: plain text out of wikitext, pages that are articles, and files that break off or are something else."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import json
import sqlite3
from itertools import islice

import pytest

from tandem.cli.main import main
from tandem.errors import Failure, UserError
from tandem.sources import addresses
from tandem.sources.passages import Index, Origin, Writer
from tandem.sources.wikipedia_dump import articles, documents, plain

pytest.importorskip("mwparserfromhell", reason="needs the packages of tandem-llm[wikipedia]")

TEXT = """{{Infobox mill|name=Orle {{nowrap|Mill}}|built=1731}}
[[File:Mill.jpg|thumb|The [[mill]] by night]]
The '''Orle mill'''<ref name="a">A book, p. 3.</ref> stands in [[Orle (village)|Orle]] near [[Alien: Besk]].

* It has [[wheel]]s.<ref name="a"/>
{| class="wikitable"
|-
| a cell || another
|}
== History ==
It burnt in 1802.
=== Fire &amp; water ===
Water came late.
== See also ==
* [[Other mills]]
=== More ===
* [[Even more]]
== Trade ==
It sold flour.
[[Category:Mills]] [[de:Mühle Orle]]
"""
ESCAPED = TEXT.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def page(title, number, text, *, ns=0, extra=""):
    return f"""  <page><title>{title}</title><ns>{ns}</ns><id>{number}</id>{extra}
    <revision><id>{number + 100}</id><timestamp>2024-03-05T06:07:08Z</timestamp>
      <contributor><id>5</id></contributor><text xml:space="preserve">{text}</text></revision></page>\n"""


def dump(*pages):
    return (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">\n'
        "  <siteinfo><sitename>W</sitename><base>https://wiki.example.org/wiki/Main_Page</base></siteinfo>\n"
        f"{''.join(pages)}</mediawiki>\n"
    )


WHOLE = dump(
    page("Orle mill", 1, ESCAPED),
    page("Talk:Orle mill", 2, "words", ns=1),
    page("Mill of Orle", 3, "#REDIRECT [[Orle mill]]", extra='<redirect title="Orle mill" />'),
    page("Vane", 4, "Vane may be:\n* [[Vane (river)]]\n{{disambiguation}}"),
    page("Vane (river)", 5, "The Vane is a river."),
)


def test_wikitext_becomes_sentences_without_boxes_notes_tables_and_pointers():
    assert plain(TEXT).split("\n") == [
        "The Orle mill stands in Orle near Alien: Besk.",
        "It has wheels.",
        "It burnt in 1802.",
        "Water came late.",
        "It sold flour.",
    ]


@pytest.mark.parametrize("suffix", ["", ".bz2", ".gz"])
def test_a_dump_gives_articles_with_their_revisions(tmp_path, suffix):
    path = tmp_path / f"pages-articles.xml{suffix}"
    pack = {"": bytes, ".bz2": bz2.compress, ".gz": gzip.compress}[suffix]
    path.write_bytes(pack(WHOLE.encode()))
    first, second = articles(path)
    assert (first.id, first.title, first.as_of) == ("1", "Orle mill", "2024-03-05T06:07:08Z")
    assert first.place == "https://wiki.example.org/wiki/Orle_mill?oldid=101"
    assert first.text == plain(TEXT)
    assert (second.title, second.text) == ("Vane (river)", "The Vane is a river.")


def test_ambiguous_names_come_on_demand(tmp_path):
    path = tmp_path / "d.xml"
    path.write_text(WHOLE)
    assert [article.title for article in articles(path, disambiguation=True)] == ["Orle mill", "Vane", "Vane (river)"]


def test_a_dump_is_read_as_it_goes(tmp_path):
    path = tmp_path / "d.xml.bz2"
    path.write_bytes(
        bz2.compress(dump(page("A", 1, "Once."), *(page("B", n, "x " * 5000) for n in range(99))).encode())[:-200]
    )
    assert next(articles(path)).title == "A"  # the end is missing, and not needed yet
    with pytest.raises(Failure, match="breaks off"):
        list(articles(path))


def test_two_streams_in_one_file_are_one_dump(tmp_path):
    path = tmp_path / "d.xml.bz2"
    half = len(WHOLE) // 2
    path.write_bytes(bz2.compress(WHOLE[:half].encode()) + bz2.compress(WHOLE[half:].encode()))
    assert len(list(articles(path))) == 2


def test_drqas_formats_are_read_with_the_line_or_row(tmp_path):
    lines = tmp_path / "wiki.jsonl.gz"
    lines.write_bytes(
        gzip.compress(b'{"id": "Orle", "text": "A village."}\n\n{"title": "Besk", "text": "A town.", "id": 7}\n')
    )
    first, second = articles(lines)
    assert (first.id, first.title, first.place) == ("Orle", "Orle", f"{lines}:1")
    assert (second.id, second.title, second.place) == ("7", "Besk", f"{lines}:3")
    database = tmp_path / "docs.db"
    with sqlite3.connect(database) as made:
        made.execute("CREATE TABLE documents (id PRIMARY KEY, text)")
        made.execute("INSERT INTO documents VALUES ('Orle', 'A village.')")
    (only,) = articles(database)
    assert (only.title, only.text, only.place) == ("Orle", "A village.", f"{database}#Orle")


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("d.xml", dump(page("A", 1, "x"))[:-40], Failure, "breaks off"),
        ("d.xml", "<mediawiki><page></wrong></mediawiki>", UserError, "d.xml:1: is no XML"),
        ("d.jsonl", '{"id": "a", "text": "b"}\n{"id": "a"}\n', UserError, "d.jsonl:2"),
        ("d.jsonl", '{"id": "a", "text": 3}\n', UserError, "d.jsonl:1"),
        ("d.csv", "a,b", UserError, "no dump"),
        ("d.db", "SQLite format 3\0" + "\0" * 200, UserError, "holds no documents"),
        (None, "", UserError, "no such file"),
    ],
)
def test_a_file_of_something_else_is_said_with_its_place(tmp_path, name, content, error, said):
    path = tmp_path / (name or "missing.xml")
    if name:
        path.write_text(content)
    with pytest.raises(error) as caught:
        list(articles(path))
    assert said in str(caught.value)


def test_a_dump_fills_an_index_whose_findings_name_the_revision(tmp_path):
    path = tmp_path / "d.xml"
    path.write_text(WHOLE)
    with Writer(tmp_path / "wiki.index") as writer:
        writer.add(Origin(str(path), "1"), documents(path))
    source = addresses.open(f"passages:{tmp_path / 'wiki.index'}")
    (found,) = asyncio.run(source.look_up("when did it burn, 1802?", 1)).findings
    asyncio.run(addresses.close([source]))
    assert found.text == "It burnt in 1802." and found.title == "Orle mill"
    assert found.place == "https://wiki.example.org/wiki/Orle_mill?oldid=101"
    assert (found.source, found.as_of) == ("passages:wiki.index", "2024-03-05T06:07:08Z")


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = main(["index", *arguments])
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


def test_the_command_indexes_a_dump_and_again_only_when_it_changed(tmp_path, typed):
    (tmp_path / "wiki.xml.bz2").write_bytes(bz2.compress(WHOLE.encode()))
    status, out, _ = typed("--wikipedia-dump", "wiki.xml.bz2", "--out", "ix")
    assert status == 0 and "read               1 files" in out and "documents          2, " in out
    _, out, _ = typed("--search", "when did it burn in 1802", "ix", "--limit", "1")
    assert out.startswith("https://wiki.example.org/wiki/Orle_mill?oldid=101  Orle mill  (")
    assert "unchanged          1 files" in typed("--wikipedia-dump", "wiki.xml.bz2", "--out", "ix")[1]
    (tmp_path / "wiki.xml.bz2").write_bytes(bz2.compress(dump(page("Vane", 5, "The Vane is dry.")).encode()))
    assert "1 of them changed" in typed("--wikipedia-dump", str(tmp_path / "wiki.xml.bz2"), "--out", "ix")[1]
    assert "nothing shares a word" in typed("--search", "burn", "ix")[1]


def test_files_and_dumps_of_one_index_leave_each_other_alone(tmp_path, typed):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("The Orm is long.")
    (tmp_path / "notes" / "wiki.xml").write_text(WHOLE)
    typed("notes/a.txt", "--wikipedia-dump", "notes/wiki.xml", "--out", "ix")
    assert len(Index(tmp_path / "ix")) == 7
    (tmp_path / "notes" / "a.txt").write_text("The Orm is short.")
    typed("notes/a.txt", "--out", "ix", "--prune")
    assert len(Index(tmp_path / "ix")) == 7
    _, out, _ = typed("--search", "flour, or is the Orm short?", "ix")
    assert "It sold flour." in out and "The Orm is short." in out


def test_a_dump_that_is_gone_is_told_and_pruned_when_another_is_indexed(tmp_path, typed):
    for name, text in (("old", "The Vane is wet."), ("new", "The Vane is dry.")):
        (tmp_path / f"{name}.xml").write_text(dump(page("Vane", 5, text)))
    typed("--wikipedia-dump", "old.xml", "--out", "ix")
    (tmp_path / "old.xml").unlink()
    assert "still in the index; --prune removes them" in typed("--wikipedia-dump", "new.xml", "--out", "ix")[1]
    assert len(Index(tmp_path / "ix")) == 2
    typed("--wikipedia-dump", "new.xml", "--out", "ix", "--prune")
    assert len(Index(tmp_path / "ix")) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--wikipedia-dump", "none.xml", "--out", "ix"), "no such file"),
        (("--wikipedia-dump", "empty.xml", "--out", "ix"), "holds no article"),
        (("--wikipedia-dump", "torn.xml", "--out", "ix"), "breaks off"),
        (("--out", "ix"), "nothing is named"),
        (("--search", "x", "--wikipedia-dump", "empty.xml"), "one index is searched"),
    ],
)
def test_a_dump_that_cannot_be_indexed_is_an_error_and_leaves_the_index_as_it_was(tmp_path, typed, arguments, said):
    (tmp_path / "good.xml").write_text(WHOLE)
    (tmp_path / "empty.xml").write_text(dump())
    (tmp_path / "torn.xml").write_text(WHOLE[:-60])
    typed("--wikipedia-dump", "good.xml", "--out", "ix")
    before = Index(tmp_path / "ix").identity
    status, _, err = typed(*arguments)
    assert status in (1, 2) and said in err
    assert Index(tmp_path / "ix").identity == before


def test_memory_does_not_grow_with_the_dump(tmp_path):
    import tracemalloc

    path = tmp_path / "lines.xml"
    text = json.dumps("word " * 2000)
    path.write_text(dump(*(page(f"T{n}", n + 1, text) for n in range(300))))
    tracemalloc.start()
    try:
        for _ in islice(articles(path), 300):
            pass
        assert tracemalloc.get_traced_memory()[1] < 2_500_000  # the file has 3 MB
    finally:
        tracemalloc.stop()
