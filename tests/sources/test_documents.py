"""Files into passages: every place holds its text, and what cannot be read is named, counted, and stops nothing."""

import gzip
import io
import json
import os
import random
import shutil
import time
import zipfile
from itertools import pairwise
from pathlib import Path

import docx
import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from tandem.errors import UserError
from tandem.sources.documents import blocks, html
from tandem.sources.documents.chunking import passages, words_in
from tandem.sources.documents.confined import Confined
from tandem.sources.documents.indexing import index
from tandem.sources.documents.packed import Unreadable
from tandem.sources.documents.reading import Reading
from tandem.sources.passages import Index, Passage, Writer

WORDS = ["river", "stone", "bridge", "market", "tower", "garden", "winter", "letter", "copper", "window"]


def prose(seed, n):
    draws = random.Random(seed)
    return " ".join(" ".join(draws.choices(WORDS, k=draws.randint(4, 14))).capitalize() + "." for _ in range(n))


def pdf_bytes(pages, password=None):
    writer = pypdf.PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 300)
        font = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
        fonts = DictionaryObject({NameObject(k): NameObject(v) for k, v in font.items()})
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): writer._add_object(fonts)})}
        )
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    if password is not None:
        writer.encrypt(password, owner_password="owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def docx_bytes():
    document = docx.Document()
    document.core_properties.title = "The report"
    document.add_heading("Rivers", 1)
    document.add_paragraph("The Orm flows to the sea.")
    document.add_heading("Length", 2)
    table = document.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "Orm", "812 km"
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def build(paths, out, reading=None, **how):
    with Writer(out) as writer:
        return index(paths, writer, reading, **how)


def search(out, query, most=3):
    return [(hit.place, hit.passage.text) for hit in Index(out).search(query, most)]


@pytest.fixture(scope="module")
def confined():
    with Confined() as child:
        yield child


# ── Places ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def squeezed(text):
    return "".join(text.split())


def test_every_passage_stands_in_the_lines_it_names(tmp_path):
    (tmp_path / "a.txt").write_bytes(("\r\n\r\n".join(prose(i, 1 + i % 15) for i in range(20))).encode())
    (tmp_path / "wide.txt").write_text("é" + prose(1, 5) + "\n" * 3 + "水木" * 300, encoding="utf-16")
    (tmp_path / "line.txt").write_text("x" * 5000 + " " + prose(3, 200))
    md = f"# Title\n\n{prose(4, 30)}\n\n## Part\n- one\n- two\n\n```\ncode  here\n```\n\nUnder\n-----\n{prose(5, 3)}\n"
    (tmp_path / "b.md").write_text(md)
    shutil.copy(Path(blocks.__file__), tmp_path / "c.py")
    (tmp_path / "d.jsonl").write_text("".join(json.dumps({"text": prose(i, 20)}) + "\n" for i in range(9)))
    build([tmp_path], tmp_path / "out.index")
    held = Index(tmp_path / "out.index")
    checked = 0
    for segment in held._segments:
        for number in range(len(segment)):
            passage, about = segment.passage(number), segment.about(segment.owner(number))
            raw = Path(about.file).read_bytes()
            text = raw.decode("utf-16" if raw[:2] == b"\xff\xfe" else "utf-8")
            lines = blocks.lines_of(text)[passage.first - 1 : passage.last]
            if about.file.endswith(".jsonl"):
                lines = [json.loads(lines[0])["text"]]
            assert squeezed(passage.text) in squeezed("\n".join(lines)), about.file
            assert about.place(passage.first) == f"{about.file}:{passage.first}"
            checked += 1
    assert checked > 60


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab .\n水!é", max_size=400), max_size=5), st.integers(10, 60))
def test_passages_hold_every_character_of_their_blocks_and_none_is_much_too_long(texts, words):
    given_blocks = [block for text in texts for block in blocks.plain(text)]
    made = list(passages(given_blocks, words))
    assert all(words_in(p.text) <= words * 1.3 + 1 for p in made)
    everything = squeezed("".join(line for block in given_blocks for _, line in block.lines))
    told = "".join(squeezed(p.text) for p in made)
    assert len(told) >= len(everything) and set(told) == set(everything)
    if all(words_in(" ".join(line for _, line in b.lines)) <= words for b in given_blocks):
        assert told == everything  # nothing is repeated where no paragraph is split


def test_a_paragraph_that_is_split_overlaps_by_a_sentence():
    made = list(passages(blocks.plain(prose(7, 60)), 100))
    assert len(made) > 3
    for before, after in pairwise(made):
        last = before.text.rstrip(".").rpartition(". ")[2] + "."
        assert after.text.startswith(last)


def test_markdown_headings_title_and_fences_are_understood():
    text = "Title\n=====\n\nlead\n\n## A ##\n\n# not\n```py\n# no heading\n```\n### B\ntext\n\n## C\nend\n"
    title, found = blocks.markdown(text)
    assert title == "Title"
    assert [(b.lines[0][1], b.heading) for b in found] == [
        ("lead", ""),
        ("```py", "not"),
        ("text", "not › B"),
        ("end", "not › C"),
    ]


def test_python_is_cut_into_its_classes_and_functions():
    source = (
        '"""Doc.\n\ndef not_one():\n"""\nimport os\nx = 1\n@dataclass\nclass A:\n    x = 1\n\n    # why\n'
        "    def f(self):\n        return (\n)\n\ndef g():\n    pass\n\nrun()\n"
    )
    found = list(blocks.python(source))
    assert [(b.heading, b.lines[0][0]) for b in found] == [("", 1), ("A", 7), ("A › f", 11), ("g", 16), ("", 19)]


def test_a_page_gives_its_paragraphs_with_lines_and_without_scripts_and_navigation():
    page = """<html><head><title>Ard &amp; Belm</title><style>p{}</style></head>
<body><nav>Home</nav><h1>Ard</h1>
<p>It <b>lies</b> on
the Orm.<p>Unclosed</p>
<script>var x = "<p>no</p>";</script>
<h2>Past</h2><ul><li>built<li>burned</ul>
<table><tr><td>a</td><td>b</td></tr></table><pre>x  y</pre>
<footer>imprint</footer>"""
    title, found = html.read(page)
    assert title == "Ard & Belm"
    assert [(b.lines[0][0], " ".join(t for _, t in b.lines), b.heading) for b in found] == [
        (2, "Ard", "Ard"),
        (3, "It lies on the Orm.", "Ard"),
        (4, "Unclosed", "Ard"),
        (6, "Past", "Ard › Past"),
        (6, "built", "Ard › Past"),
        (6, "burned", "Ard › Past"),
        (7, "a | b", "Ard › Past"),
        (7, "x  y", "Ard › Past"),
    ]
    assert [b.lines for b in html.read("<nav>only this</nav>")[1]] == [((1, "only this"),)]


def test_pdf_places_are_pages_and_docx_places_are_paragraphs(tmp_path):
    (tmp_path / "a.pdf").write_bytes(pdf_bytes(["First page of rivers", "Second page of bridges"]))
    (tmp_path / "b.docx").write_bytes(docx_bytes())
    build([tmp_path], tmp_path / "out.index")
    assert search(tmp_path / "out.index", "second bridges")[0] == (f"{tmp_path}/a.pdf#page=2", "Second page of bridges")
    [hit] = Index(tmp_path / "out.index").search("orm 812", 1)
    assert (hit.place, hit.about.title) == (f"{tmp_path}/b.docx#paragraph=3", "The report")
    assert hit.passage == Passage("Length\n\nOrm | 812 km", 3, 4, "Rivers › Length")


def test_records_of_jsonl_bring_their_own_names_dates_and_addresses(tmp_path):
    rows = [
        {"body": "the orm", "id": 7, "title": "River", "date": "2020", "url": "https://x.example/7"},
        {"body": "the ard"},
    ]
    with gzip.open(tmp_path / "r.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows) + "[1]\nnot json\n{}\n")
    done = build([tmp_path], tmp_path / "out.index", Reading(fields={"text": "body"}))
    [hit] = Index(tmp_path / "out.index").search("orm", 1)
    assert (hit.about.id, hit.about.title, hit.about.date, hit.place) == ("7", "River", "2020", "https://x.example/7")
    assert search(tmp_path / "out.index", "ard")[0][0] == f"{tmp_path}/r.jsonl.gz:2"
    assert done.books.records.counts == {"not a JSON object": 2, "no text in field 'body'": 1}
    assert done.books.records.names["not a JSON object"][0].endswith("r.jsonl.gz:3")


# ── What cannot be read ─────────────────────────────────────────────────────────────────────────────────────────────


def bomb():
    """A DOCX whose document says of itself that it is 300 MB."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx_bytes())) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for item in source.infolist():
            made.writestr(item.filename, source.read(item))
        with made.open("word/media/big.bin", "w") as part:
            for _ in range(300):
                part.write(bytes(1 << 20))
    return out.getvalue()


def replaced(part, content):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx_bytes())) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for item in source.infolist():
            made.writestr(item.filename, content if item.filename == part else source.read(item))
    return out.getvalue()


LAUGHS = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
ENTITIES = f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a0 "ha">{LAUGHS}]><d>&a11;</d>'.encode()
DEEP = b"<w:document>" + b"<w:p>" * 200_000


BAD = {
    "broken.pdf": (b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog", "broken PDF"),
    "secret.pdf": (lambda: pdf_bytes(["hidden"], password="secret"), "encrypted: asks for a password"),
    "blank.pdf": (lambda: pdf_bytes([""]), "no text in it"),
    "old.docx": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "encrypted, or of Word 97"),
    "broken.docx": (b"PK\x03\x04 nothing", "broken DOCX"),
    "bomb.docx": (bomb, "unpacks to more than 256 MiB"),
    "entities.docx": (lambda: replaced("word/document.xml", ENTITIES), "broken DOCX"),
    "deep.docx": (lambda: replaced("word/document.xml", DEEP), "broken DOCX"),
    "program.txt": (bytes(range(256)) * 4, "binary"),
    "latin.txt": ("größe über fuß ".encode("latin-1") * 50, "not utf-8"),
    "empty.txt": (b"", "empty"),
    "spaces.txt": (b"  \n \n", "no text in it"),
    "records.jsonl": (b"[]\n7\n", "no record with text in it"),
    "zipped.jsonl.gz": (b"\x1f\x8b\x08 torn", "no record with text in it"),
}


def test_each_file_that_cannot_be_read_is_named_and_counted_and_the_rest_is_indexed(tmp_path):
    for name, (content, _) in BAD.items():
        (tmp_path / name).write_bytes(content() if callable(content) else content)
    (tmp_path / "large.txt").write_text("word " * 300_000)
    (tmp_path / "good.txt").write_text("the good text")
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "again").symlink_to(tmp_path)
    (tmp_path / "linked.txt").symlink_to(tmp_path / "good.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    began = time.monotonic()
    done = build([tmp_path], tmp_path.with_suffix(".index"), largest=1 << 20)
    assert time.monotonic() - began < 30
    reasons = {Path(name).name: reason for reason, names in done.books.skipped.names.items() for name in names}
    for name, (_, reason) in BAD.items():
        assert reasons.get(name, "read").startswith(reason), name
    assert reasons["large.txt"] == "larger than 1 MiB"
    assert reasons["linked.txt"] == "link, not followed"
    assert reasons["again"] == "link to a folder, not followed"
    assert reasons["pipe.txt"] == "not a regular file"
    assert done.books.skipped.total() == len(BAD) + 4 == done.books.found - 1
    assert search(tmp_path.with_suffix(".index"), "good") == [(f"{tmp_path}/good.txt:1", "the good text")]


def test_a_file_and_a_folder_without_permission_are_named(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("the super-user may read everything")
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.txt").write_text("text of b")
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.txt").chmod(0)
    (tmp_path / "closed").chmod(0)
    done = build([tmp_path], tmp_path.with_suffix(".index"))
    assert any("Permission denied" in reason for reason in done.books.skipped.counts)
    (tmp_path / "closed").chmod(0o700)


@pytest.mark.parametrize("content", [{}, {"x.txt": b"\0\1\2" * 99}])
def test_nothing_to_index_at_all_is_an_error(tmp_path, content):
    folder = tmp_path / "files"
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    with pytest.raises(UserError, match="nothing to index"):
        build([folder], tmp_path / "out.index")
    with pytest.raises(UserError, match="no such file"):
        build([tmp_path / "nowhere"], tmp_path / "out.index")


def test_a_pdf_that_opens_without_a_password_is_read(confined):
    _, _, found = confined.read("pdf", pdf_bytes(["open to all"], password=""))
    assert found[0].lines == ((1, "open to all"),)


def test_a_file_that_takes_too_long_ends_its_reader_and_the_next_is_read():
    with Confined(seconds=1.0) as child:
        child.read("html", b"<p>warm")
        slow = b"<!DOCTYPE html>" + b"<p><b>x</b>" * 3_000_000
        with pytest.raises(Unreadable, match="takes more than 1 s"):
            child.read("html", slow)
        assert child.read("html", b"<p>next")[2][0].lines == ((1, "next"),)


def test_a_file_that_takes_too_much_memory_is_named():
    with Confined(memory=256 << 20) as child:
        with pytest.raises(Unreadable, match=r"too much memory|ends the process"):
            child.read("html", b"<p>" + b"a b " * 40_000_000)
        assert child.read("html", b"<p>next")[2][0].lines == ((1, "next"),)


# ── Again ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_unchanged_files_are_not_read_changed_ones_replaced_and_gone_ones_told(tmp_path):
    folder, out = tmp_path / "files", tmp_path / "out.index"
    folder.mkdir()
    for name in "abcd":
        (folder / f"{name}.txt").write_text(f"text of {name}")
    build([folder], out)
    (folder / "b.txt").write_text("quite new")
    (folder / "c.txt").unlink()
    done = build([folder], out)
    assert (done.books.unchanged, done.books.read, done.replaced) == (2, 1, 1)
    assert [Path(name).name for name in done.missing] == ["c.txt"] and done.pruned == 0
    assert search(out, "c") and not [t for _, t in search(out, "text of b", 9) if t == "text of b"]
    assert build([folder], out, prune=True).pruned == 1
    assert not search(out, "c")
    fresh = tmp_path / "fresh.index"
    build([folder], fresh)
    assert Index(out).identity == Index(fresh).identity


def test_files_with_the_same_content_are_indexed_once_and_told(tmp_path):
    folder, out = tmp_path / "files", tmp_path / "out.index"
    folder.mkdir()
    (folder / "a.txt").write_text("twice")
    (folder / "b.txt").write_text("twice")
    done = build([folder], out)
    assert done.repeats == {str(folder / "b.txt"): str(folder / "a.txt")}
    assert [place for place, _ in search(out, "twice")] == [f"{folder}/a.txt:1"]
    (folder / "a.txt").write_text("other now")
    done = build([folder], out)
    assert not done.repeats
    assert [place for place, _ in search(out, "twice")] == [f"{folder}/b.txt:1"]


def test_a_file_that_can_be_read_no_longer_is_held_no_longer(tmp_path):
    (tmp_path / "a.txt").write_text("first text")
    (tmp_path / "b.txt").write_text("second text")
    build([tmp_path], tmp_path / "out.index")
    (tmp_path / "a.txt").write_bytes(bytes(100))
    done = build([tmp_path / "a.txt", tmp_path / "b.txt"], tmp_path / "out.index")
    assert done.books.skipped.counts == {"binary": 1}
    assert [text for _, text in search(tmp_path / "out.index", "text")] == ["second text"]
