"""Which encoding a file is read in: UTF-8 wherever it is UTF-8, else what it declares, else what was named."""

import pytest

from tandem.sources.documents.confined import Confined
from tandem.sources.documents.encodings import canonical, declared, decoded
from tandem.sources.documents.indexing import index
from tandem.sources.documents.packed import Unreadable
from tandem.sources.documents.reading import Reading
from tandem.sources.passages import Index, Writer

GERMAN = "Zoë Müller lebte in Zürich, größer als Köln.\n"
JAPANESE = "橋は川の上にある。古い町です。\n"


@pytest.fixture(scope="module")
def child():
    with Confined() as child:
        yield child


def build(folder, child, **reading):
    with Writer(folder / "index") as writer:
        return index([folder / "files"], writer, Reading(**reading), confined=child)


def held(folder):
    found = Index(folder / "index")
    return " ".join(hit.passage.text for hit in found.search("a river town zürich jörg bridge 橋 川", 20))


@pytest.fixture
def files(tmp_path):
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def test_a_named_encoding_is_for_the_files_that_are_not_utf_8_and_changes_no_other(files, tmp_path, child):
    (files / "new.txt").write_text("a town: " + GERMAN)
    (files / "marked.txt").write_text("a town with a mark: " + GERMAN, encoding="utf-8-sig")
    (files / "old.txt").write_bytes("a river: Jörg aß Käse.\n".encode("cp1252"))
    first = build(tmp_path, child)
    assert first.books.read == 2 and first.books.skipped.total() == 1
    second = build(tmp_path, child, encoding="cp1252")
    assert (second.books.unchanged, second.books.read, second.replaced) == (2, 1, 0)
    third = build(tmp_path, child, encoding="windows-1252")
    assert (third.books.unchanged, third.books.read) == (3, 0)
    assert all(part in held(tmp_path) for part in ("Zürich, größer als Köln", "town with a mark: Zoë", "Jörg aß Käse"))


@pytest.mark.parametrize("damaged", [GERMAN.encode() * 60 + b"\xc3", GERMAN.encode() * 60 + b" \xff."])
def test_utf_8_with_a_damaged_byte_is_mended_and_not_taken_for_the_named_encoding(damaged):
    read = decoded(damaged, ["cp1252"])
    assert (read.encoding, read.repaired) == ("utf-8", True)
    assert read.text.startswith(GERMAN) and "\ufffd" in read.text


def test_one_letter_of_the_named_encoding_in_much_ascii_is_not_taken_for_damaged_utf_8():
    text = "plain words " * 300 + "Zürich" + " plain words" * 300
    assert decoded(text.encode("latin-1"), ["latin-1"]).text == text


@pytest.mark.parametrize("name", ["shift_jis", "euc-jp", "utf-16-le", "utf-16-be", "utf-32-le", "iso-2022-jp", "cp932"])
def test_japanese_is_read_in_the_encoding_that_is_named_and_utf_8_beside_it_as_utf_8(name):
    assert decoded((JAPANESE * 9).encode(name), [canonical(name)]).text == JAPANESE * 9
    for other in (JAPANESE * 9, GERMAN, "The Orm is long.\n"):
        read = decoded(other.encode(), [canonical(name)])
        assert (read.text, read.encoding) == (other, "utf-8")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("utf-16-le", GERMAN),
        ("cp037", GERMAN),
        ("hz", "桥在河上"),
        ("iso-2022-kr", "다리는 강 위에 있다"),
        ("utf-7", GERMAN),
    ],
)
def test_encodings_that_look_like_ascii_or_like_no_text_are_read_where_they_are_named(name, text):
    assert decoded(text.encode(name), [canonical(name)]).text == text


def test_bytes_that_are_no_text_stay_binary_whatever_is_named():
    for name in ("latin-1", "utf-16-le", "iso-2022-jp", "cp037"):
        with pytest.raises(Unreadable):
            decoded(bytes(range(256)) * 20, [canonical(name)])


PAGES = {
    "meta": ('<html><head><meta charset="windows-1251"></head><p>река и мост через реку', "cp1251"),
    "equiv": ("<meta http-equiv=Content-Type content='text/html; charset=Shift_JIS'><p>橋は川の上にある①", "cp932"),
    "xml": ('<?xml version="1.0" encoding="ISO-8859-1"?><html><p>“Zürich”', "cp1252"),
    "seven": ('<meta charset="iso-2022-jp"><p>橋は川の上にある', "iso2022_jp"),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_read_in_the_encoding_that_it_declares(page):
    text, encoding = PAGES[page]
    data = text.encode(encoding)
    assert declared(data) == encoding
    assert decoded(data, [declared(data), "latin-1"]).text == text


@pytest.mark.parametrize(
    "page",
    [
        "<p>none",
        "<meta charset=klingon>",
        "<!-- <meta charset=cp1251> -->",
        '<meta charset="utf-16">',
        "<meta charset>",
    ],
)
def test_a_page_that_declares_nothing_usable_is_read_like_any_file(page):
    assert declared(page.encode()) == ""
    data = (page + "<p>Zürich").encode("latin-1")
    assert decoded(data, [declared(data), "iso8859-1"]).text == page + "<p>Zürich"


def test_a_page_of_utf_8_that_declares_something_else_is_utf_8():
    data = f'<meta charset="iso-8859-1"><p>{GERMAN}'.encode()
    assert GERMAN in decoded(data, [declared(data), "utf-8"]).text


def test_pages_with_declarations_are_indexed_and_another_named_encoding_leaves_them_alone(files, tmp_path, child):
    for name, (text, encoding) in PAGES.items():
        (files / f"{name}.html").write_bytes(f"{text} bridge".encode(encoding))
    first = build(tmp_path, child)
    assert first.books.read == 4 and not first.books.repaired.total()
    assert all(part in held(tmp_path) for part in ("река и мост", "橋は川の上にある①", "“Zürich”"))
    assert build(tmp_path, child, encoding="cp1252").books.unchanged == 4
