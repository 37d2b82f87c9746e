from __future__ import annotations

import gzip
import inspect
import json
import json.decoder
import random
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.corpus import library
from tandem.corpus.document import Document
from tandem.corpus.ledger import Ledger
from tandem.corpus.read import SourceSpec, read
from tandem.corpus.streams import Stream, cut_at
from tandem.errors import UserError


def texts(path: Path | str, **options: object) -> list[str]:
    return [d.text for d in read(SourceSpec(str(path), **options))]  # type: ignore[arg-type]


def books(path: Path | str, **options: object) -> tuple[list[Document], Ledger]:
    ledger = Ledger()
    return list(read(SourceSpec(str(path), **options), ledger)), ledger  # type: ignore[arg-type]


def jsonl(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


# ── Forms ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_text_file_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    documents, ledger = books(tmp_path / "a.txt")
    assert documents == [Document("one\n\ntwo\n", str(tmp_path / "a.txt"))]
    assert (ledger.step("files").came, ledger.step("documents").left) == (1, 1)


def test_lines_are_documents_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\r\nthree")
    documents, _ = books(tmp_path / "a.txt", form="lines")
    assert [(d.text.strip(), d.name[-2:]) for d in documents] == [("one", ":1"), ("two", ":3"), ("three", ":4")]


def test_jsonl_gives_the_chosen_field(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": "no", "body": "ja"}, {"body": "zwei\nZeilen"})
    assert texts(path, field="body") == ["ja", "zwei\nZeilen"]


def test_parquet_gives_the_chosen_column(tmp_path: Path) -> None:
    table = pa.table({"n": list(range(2000)), "text": [f"text {n}" if n % 7 else None for n in range(2000)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=300)
    documents, ledger = books(tmp_path / "a.parquet")
    assert [d.text for d in documents] == [f"text {n}" for n in range(2000) if n % 7]
    assert ledger.step("documents").removed == {"no text: 'text' is null": 286}


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_every_form_is_read_from_compressed_files_too(tmp_path: Path, suffix: str) -> None:
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}[suffix]
    (tmp_path / f"a.txt{suffix}").write_bytes(pack(b"plain"))
    (tmp_path / f"b.jsonl{suffix}").write_bytes(pack(b'{"text": "record"}\n'))
    (tmp_path / f"c.py{suffix}").write_bytes(pack(b"code()\n"))
    documents, _ = books(tmp_path)
    assert [(d.text, d.kind) for d in documents] == [("plain", "text"), ("record", "text"), ("code()\n", "code")]


def test_compressed_files_of_several_members_and_padding_are_read_whole(tmp_path: Path) -> None:
    parts = [random.Random(i).randbytes(40_000).hex().encode() for i in range(3)]
    (tmp_path / "a.txt.gz").write_bytes(b"".join(gzip.compress(p) for p in parts) + b"\0" * 512)
    zst = zstandard.ZstdCompressor()
    (tmp_path / "b.txt.zst").write_bytes(b"".join(zst.compress(p) for p in parts))
    assert texts(tmp_path) == [b"".join(parts).decode()] * 2


def test_code_is_known_by_its_name_and_everything_else_is_text(tmp_path: Path) -> None:
    for name in ("a.py", "b.RS", "c.md", "README", "d.cls"):
        (tmp_path / name).write_text("x")
    kinds = {Path(d.name).name: d.kind for d in books(tmp_path)[0]}
    assert kinds == {"a.py": "code", "b.RS": "code", "c.md": "text", "README": "text", "d.cls": "code"}
    assert {d.kind for d in books(tmp_path, form="code")[0]} == {"code"}


def test_utf_16_with_a_mark_is_read_as_what_it_is(tmp_path: Path) -> None:
    text = "Größe \U0001f600\n" * 30_000
    for name in ("utf-16-le", "utf-16-be"):
        mark = "\ufeff".encode(name)
        (tmp_path / name).write_bytes(mark + text.encode(name))
        assert "".join(texts(tmp_path / name)) == text


# ── Which files ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_is_walked_in_order_without_hidden_files_caches_and_links(tmp_path: Path) -> None:
    for name in ("b/two.py", "a/one.py", ".git/config", "a/__pycache__/x.py", "node_modules/y.js", ".hidden", "z.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "b" / "link.py").symlink_to(tmp_path / "a" / "one.py")
    documents, ledger = books(tmp_path)
    assert [d.text for d in documents] == ["z.txt", "a/one.py", "b/two.py"]
    assert ledger.step("files").removed == {"link, not followed": 1}


def test_a_glob_names_files_and_folders_once(tmp_path: Path) -> None:
    for name in ("a/1.txt", "b/2.txt", "b/3.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert texts(tmp_path / "*" / "*.txt") == ["a/1.txt", "b/2.txt"]
    assert texts(f"{tmp_path}/**/*.md") == ["b/3.md"]
    assert sorted(texts(f"{tmp_path}/**")) == ["a/1.txt", "b/2.txt", "b/3.md"]


def test_a_limit_takes_whole_documents_spread_over_the_folder(tmp_path: Path) -> None:
    for n in range(100):
        (tmp_path / f"{n:03}.txt").write_text(f"{n:03}" + "x" * 97)
    taken = [int(t[:3]) for t in texts(tmp_path, limit=2005)]
    assert len(taken) == 20
    assert taken == [int(t[:3]) for t in texts(tmp_path, limit=2005)]
    assert max(taken) > 50 > min(taken)
    assert set(taken) <= {int(t[:3]) for t in texts(tmp_path, limit=4000)}


def test_a_limit_inside_a_long_document_cuts_it_at_a_gap(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("seven b\n" * 1000)
    documents, ledger = books(tmp_path, limit=4003)
    assert [d.text for d in documents] == ["seven b\n" * 500]
    assert ledger.step("documents").changed == {"cut where the limit was reached": 1}
    assert texts(tmp_path, limit=1) == ["s"]


def test_the_files_under_a_limit_do_not_depend_on_where_the_folder_lies(tmp_path: Path) -> None:
    for place in ("here", "far/there"):
        (tmp_path / place).mkdir(parents=True)
        for n in range(30):
            (tmp_path / place / f"{n}.txt").write_text(str(n) * 50)
    assert texts(tmp_path / "here", limit=500) == texts(tmp_path / "far/there", limit=500)


# ── Python's own library ────────────────────────────────────────────────────────────────────────────────────────────


def test_pythons_library_gives_code_that_parses_without_tests_and_packages() -> None:
    documents, _ = books("python:code")
    assert len(documents) > 300
    names = {d.name for d in documents}
    assert "python:json/decoder.py" in names
    assert not any(part in name for name in names for part in ("/test/", "/tests/", "site-packages"))
    assert {d.kind for d in documents} == {"code"}
    assert documents == books("python:code")[0]


def test_docstrings_stand_under_their_qualified_names() -> None:
    text = library.docstrings(inspect.getsource(json.decoder), "json.decoder")
    assert "json.decoder.JSONDecoder.decode\nReturn the Python representation of ``s``" in text
    assert "def decode" not in text
    documents, _ = books("python:docstrings", limit=50_000)
    assert sum(len(d.text) for d in documents) > 40_000
    assert all(d.name.startswith("python:") and d.kind == "text" for d in documents)


def test_definitions_under_conditions_and_in_functions_are_found() -> None:
    code = (
        'if x:\n    def f():\n        """Outer."""\n        class C:\n            """Inner\n                more."""\n'
    )
    assert library.docstrings(code, "m") == "m.f\nOuter.\n\nm.f.C\nInner\nmore."


def test_a_limit_on_pythons_library_takes_a_spread_of_it() -> None:
    documents, _ = books("python:code", limit=1_000_000)
    assert 950_000 <= sum(len(d.text.encode()) for d in documents) <= 1_000_000
    assert len({d.name[7] for d in documents}) > 4, "files with as many different first letters"


# ── Bad input ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_invalid_utf_8_is_replaced_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9 " + b"and good text " * 20)
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "na\xefve"}\n{"text": "fine"}\n')
    documents, ledger = books(tmp_path)
    assert [(d.text[:6], d.repaired) for d in documents] == [
        ("caf\ufffd a", True),
        ("na\ufffdve", True),
        ("fine", False),
    ]
    assert ledger.step("documents").changed == {"invalid UTF-8 replaced": 2}
    assert ledger.step("documents").places["invalid UTF-8 replaced"][1].endswith("b.jsonl:1")


def test_a_file_with_much_that_is_no_text_is_binary_skipped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "noise.txt").write_bytes(random.Random(1).randbytes(5000))
    (tmp_path / "zeros.py").write_bytes(b"\0" * 5000)
    (tmp_path / "good.txt").write_text("gut " * 100 + "\N{GREEK SMALL LETTER ALPHA}" * 400)
    documents, ledger = books(tmp_path)
    assert len(documents) == 1
    assert ledger.step("files").removed == {"binary": 2}
    assert (ledger.step("files").came, ledger.step("files").left) == (3, 1)


def test_a_character_cut_by_the_sniffing_border_does_not_count_as_broken(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" + "€" * 100_000)
    documents, ledger = books(tmp_path / "a.txt", longest=1 << 22)
    assert documents[0].text == "x" + "€" * 100_000
    assert not ledger.step("documents").changed


def test_nothing_but_binaries_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "noise.bin").write_bytes(random.Random(1).randbytes(500))
    with pytest.raises(UserError, match=r"nothing to read here \(1 binary\)"):
        texts(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"', "not JSON"),
        ("{'text': 'a'}", "not JSON"),
        ('"just text"', "not a JSON object"),
        ('{"body": "a", "id": 7}', "no field 'text'; there are: body, id"),
        ('{"text": 7}', "holds int, not text"),
        ('{"text": ["a"]}', "holds list, not text"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_record_that_is_none_names_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good"}\n\n' + line + "\n")
    with pytest.raises(UserError, match=message) as e:
        texts(path)
    assert e.value.where == f"{path}:3"
    assert e.value.remedy


def test_a_null_field_is_counted_not_fatal(tmp_path: Path) -> None:
    documents, ledger = books(jsonl(tmp_path / "a.jsonl", {"text": None}, {"text": "good"}))
    assert [d.text for d in documents] == ["good"]
    assert ledger.step("documents").removed == {"no text: 'text' is null": 1}


def test_parquet_without_the_column_lists_those_there_are(tmp_path: Path) -> None:
    pq.write_table(pa.table({"title": ["a"], "body": ["b"]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="no field 'text'; there are: title, body"):
        texts(tmp_path / "a.parquet")


def test_a_parquet_column_of_numbers_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="holds int, not text"):
        texts(tmp_path / "a.parquet")


def test_a_parquet_file_cut_short_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a" * 1000] * 100}), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"a\.parquet: not a readable Parquet file"):
        texts(tmp_path / "a.parquet")


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_an_error_that_names_file_and_byte(tmp_path: Path, suffix: str, kept: float) -> None:
    pack = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}[suffix]
    data = pack(random.Random(1).randbytes(100_000).hex().encode())
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(UserError, match=r"(truncated|empty) near byte [\d,]+ of the compressed file") as e:
        texts(path)
    assert e.value.where == str(path)


def test_a_truncated_file_can_be_kept_as_far_as_it_goes(tmp_path: Path) -> None:
    records = [{"text": random.Random(n).randbytes(200).hex()} for n in range(1000)]
    data = gzip.compress("".join(json.dumps(r) + "\n" for r in records).encode())
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(data[: len(data) // 2])
    with Stream(path, keep_damaged=True) as stream:
        whole = stream.read(1 << 30)
        assert "truncated" in (stream.damage or "")
    path.write_bytes(gzip.compress(whole[: whole.rfind(b"\n") + 1])[:-8])  # the torn record aside
    documents, ledger = books(path, keep_damaged=True)
    assert [d.text for d in documents] == [r["text"] for r in records[: len(documents)]]
    assert 300 < len(documents) < 700
    assert ledger.step("files").changed == {"compressed file truncated: read up to there": 1}


def test_a_record_torn_by_the_truncation_is_counted_when_damage_is_kept(tmp_path: Path) -> None:
    data = gzip.compress(
        b"".join(b'{"text": "%s"}\n' % random.Random(n).randbytes(99).hex().encode() for n in range(999))
    )
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(data[: len(data) // 2])
    documents, ledger = books(path, keep_damaged=True)
    assert len(documents) > 100
    assert ledger.step("documents").removed == {"record torn by the end of a damaged file": 1}


def test_a_flipped_bit_in_gz_is_found(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(b"text " * 10_000))
    data[-6] ^= 1  # in the checksum
    (tmp_path / "a.txt.gz").write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        texts(tmp_path / "a.txt.gz")


def test_a_line_over_the_limit_is_skipped_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("w") as f:
        f.write('{"text": "before"}\n{"text": "')
        for _ in range(24):
            f.write("long " * 200_000)
        f.write('"}\n{"text": "after"}\n')
    tracemalloc.start()
    documents, ledger = books(path, longest_line=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(d.text, d.name[-2:]) for d in documents] == [("before", ":1"), ("after", ":3")]
    assert ledger.step("documents").removed == {"line longer than 1,048,576 bytes": 1}
    assert peak < 8 << 20


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_long_text_without_a_gap_is_split_in_bounded_memory(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    with gzip.open(path, "wb", compresslevel=1) if suffix else path.open("wb") as f:
        for _ in range(24):
            f.write("ä".encode() * 500_000)
    tracemalloc.start()
    total, number = 0, 0
    for document in read(SourceSpec(str(path), longest=1 << 20)):
        total, number = total + len(document.text), number + 1
        assert set(document.text) == {"ä"}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (total, number) == (12_000_000, 23)
    assert peak < 12 << 20


@pytest.mark.slow
def test_a_line_of_a_gigabyte_passes_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("w") as f:
        f.write('{"text": "before"}\n{"text": "')
        for _ in range(1024):
            f.write("y" * (1 << 20))
        f.write('"}\n{"text": "after"}\n')
    for form, expected in (("jsonl", 2), ("text", 1025), ("lines", 2)):
        tracemalloc.start()
        documents = sum(1 for _ in read(SourceSpec(str(path), form=form)))  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert documents == expected
        assert peak < 160 << 20, form


def test_a_missing_file_and_a_glob_without_match_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        texts(tmp_path / "missing.txt")
    with pytest.raises(UserError, match="the pattern matches no file"):
        texts(tmp_path / "*.txt")
    with pytest.raises(UserError, match="no files in this folder"):
        texts(tmp_path)
    with pytest.raises(UserError, match="no such part of Python's library"):
        texts("python:tests")
    with pytest.raises(UserError, match="unknown form"):
        texts(tmp_path, form="xml")


@settings(max_examples=60, deadline=None)
@given(text=st.text(min_size=1, max_size=400), longest=st.integers(8, 100))
def test_parts_of_a_long_document_are_short_enough_and_make_up_the_whole(
    tmp_path_factory: pytest.TempPathFactory, text: str, longest: int
) -> None:
    path = jsonl(tmp_path_factory.mktemp("s") / "a.jsonl", {"text": text})
    parts = texts(path, longest=longest)
    assert "".join(parts) == text
    assert all(len(p.encode("utf-8", "surrogatepass")) <= longest for p in parts)


def test_a_cut_prefers_a_blank_line_to_a_line_to_a_space() -> None:
    data = b"x" * 91 + b"\n\n" + b"a\nb c" + b"y" * 30
    assert cut_at(data, 100) == 93
    assert cut_at(data.replace(b"\n\n", b"--"), 100) == 95
    assert cut_at(data.replace(b"\n", b"-"), 100) == 97
    assert cut_at(b"x" * 99 + "€".encode(), 100) == 99


def test_an_empty_path_is_not_this_folder() -> None:
    with pytest.raises(UserError, match="empty"):
        texts("")
