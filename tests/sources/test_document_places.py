"""Where a passage can be looked at: from every folder, in old indexes, and in what a terminal shows."""

import asyncio
import json
import shutil

import pytest
import xxhash

from tandem.cli.main import main
from tandem.sources.documents.indexing import index
from tandem.sources.documents.reading import Reading, content_hash
from tandem.sources.passages import About, Document, Index, Origin, Passage, Passages, Writer
from tandem.sources.passages.document import from_here


@pytest.fixture
def made(tmp_path, monkeypatch):
    """notes/a.txt and notes/r.jsonl, indexed by relative names."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("The quokka treaty.")
    rows = [{"text": "A wombat."}, {"text": "An emu.", "url": "https://birds.example/emu"}]
    (tmp_path / "notes" / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    assert main(["index", "notes", "--out", "notes.index"]) == 0
    return tmp_path


def searched(capsys, query, folder):
    capsys.readouterr()
    assert main(["index", "--search", query, str(folder)]) == 0
    return capsys.readouterr().out.split()[0]


def test_a_place_is_shown_from_here_where_it_lies_below_and_else_in_whole(made, monkeypatch, capsys):
    assert searched(capsys, "quokka", "notes.index") == "notes/a.txt:1"
    monkeypatch.chdir("elsewhere")
    assert searched(capsys, "quokka", made / "notes.index") == f"{made}/notes/a.txt:1"
    assert searched(capsys, "wombat", made / "notes.index") == f"{made}/notes/r.jsonl:1"
    assert searched(capsys, "emu", made / "notes.index") == "https://birds.example/emu"
    monkeypatch.chdir(made / "notes")
    assert searched(capsys, "quokka", "../notes.index") == "a.txt:1"


def test_findings_say_the_same_wherever_the_source_is_asked(made, monkeypatch):
    def asked():
        source = Passages(made / "notes.index")
        try:
            return asyncio.run(source.look_up("quokka", 1)).findings
        finally:
            source.close()

    there = asked()
    monkeypatch.chdir("elsewhere")
    assert asked() == there and there[0].place == f"{made}/notes/a.txt:1"


def test_an_index_that_kept_files_as_they_were_named_shows_their_whole_paths(tmp_path):
    file = tmp_path / "notes" / "a.txt"
    with Writer(tmp_path / "old.index") as writer:
        about = About("a.txt", "a.txt", "../notes/a.txt")
        writer.add(Origin("bare", "0"), [])
        writer.add(Origin(str(file), "1"), [Document(about, [Passage("The quokka treaty.", 3, 3)])])
        writer.add(Origin("world", "2"), [Document(About("w", "w", "world.jsonl"), [Passage("A quokka.", 7, 7)])])
        writer.add(Origin("/bare", "3"), [])
    assert [hit.place for hit in Index(tmp_path / "old.index").search("quokka", 2)] == ["world.jsonl:7", f"{file}:3"]


def test_only_the_current_folder_itself_is_taken_off_a_place(made, monkeypatch):
    assert from_here(f"{made}/notes/a.pdf#page=2") == "notes/a.pdf#page=2"
    assert from_here(f"{made}2/a.txt:1") == f"{made}2/a.txt:1"
    assert from_here(f"https://x.example{made}/a") == f"https://x.example{made}/a"
    monkeypatch.chdir("elsewhere")
    shutil.rmtree(made / "elsewhere")
    assert from_here("/a.txt:1") == "/a.txt:1"


# ── Front matter ────────────────────────────────────────────────────────────────────────────────────────────────────


def read(tmp_path, text):
    """What the passages of a Markdown file say, its title and date, and the first hit's place."""
    (tmp_path / "a.md").write_text(text)
    with Writer(tmp_path / "out.index") as writer:
        index([tmp_path / "a.md"], writer)
    hits = Index(tmp_path / "out.index").search("body", 9)
    [about] = {hit.about for hit in hits}
    passages = sorted((hit.passage for hit in hits), key=lambda passage: passage.first)
    return about.title, about.date, [(p.first, p.heading, p.text) for p in passages]


@pytest.mark.parametrize(
    ("front", "title", "date"),
    [
        ("---\ntitle: The Orm\ndate: 2024-05-01\ntags:\n- secret\n---", "The Orm", "2024-05-01"),
        (
            "---\nTitle: 'The Orm''s length'  # why\ndate: \"2024-05-01T10:00\"\n...",
            "The Orm's length",
            "2024-05-01T10:00",
        ),
        ('---\n# secret\n\ntitle: "A \\"caf\\u00e9\\": b"\nmore: [secret,\n]\n---  ', 'A "café": b', ""),
        ("---\ntitle: >\n  folded secret\nauthor:\n  title: secret\ndate: 2024 # secret\n---", "a.md", "2024"),
        ("---\ntitle: first\n  secret\n---", "a.md", ""),
        ("---\n---", "a.md", ""),
        ('+++\ntitle = "The Orm"\ndate = 2024-05-01 # secret\n[secret]\ntitle = "no"\n+++', "The Orm", "2024-05-01"),
    ],
)
def test_front_matter_gives_title_and_date_and_is_no_text(tmp_path, front, title, date):
    text = f"{front}\n\nThe body is here.\n"
    assert read(tmp_path, text) == (title, date, [(front.count("\n") + 3, "", "The body is here.")])
    assert not Index(tmp_path / "out.index").search("secret", 1)
    assert ("orm" in title.lower()) == bool(Index(tmp_path / "out.index").search("orm", 1))


def test_a_heading_beside_the_title_of_front_matter_stays_a_heading(tmp_path):
    front = "---\ntitle: The Orm\n---\n"
    assert read(tmp_path, front + "# A river\nbody\n")[2] == [(5, "A river", "body")]
    assert read(tmp_path, front + "# The  Orm\nbody\n")[2] == [(5, "", "body")]


@pytest.mark.parametrize(
    "text",
    [
        "---\nA rule above body text.\n\n---\n\nAnd below.\n",
        "---\ntitle: never closed, body\n",
        "\n---\ntitle: body\n---\n",
        "First body.\n\n---\ntitle: body\n---\n",
        "--- \nTold: the body.\n\nMore prose, as it comes.\n\n---\n",
        "+++\ntitle = 'body'\n",
    ],
)
def test_a_rule_elsewhere_or_around_prose_stays_what_it_is(tmp_path, text):
    title, date, passages = read(tmp_path, text)
    assert (title, date) == ("a.md", "")
    told = "".join(heading + text for _, heading, text in passages)
    words = [word for word in text.replace("-", " ").replace("+", " ").split() if word != "="]
    assert all(word in told for word in words)


def test_a_file_with_front_matter_that_was_indexed_as_text_is_read_again(tmp_path):
    plain, front = tmp_path / "plain.md", tmp_path / "front.md"
    plain.write_text("# A\n")
    front.write_text("---\ntitle: A\n---\n")
    old = [
        xxhash.xxh3_128(json.dumps(["markdown", 100, "utf-8", {}]).encode() + p.read_bytes()) for p in (plain, front)
    ]
    now = [content_hash(path, Reading(), "markdown") for path in (plain, front)]
    assert [a.hexdigest() == b for a, b in zip(old, now)] == [True, False]
