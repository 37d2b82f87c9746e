"""`tandem index` as it is typed."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tandem.cli.main import main
from tandem.sources.passages import About, Document, Index, Origin, Passage, Writer


def typed(capsys, *arguments):
    status = main(["index", *map(str, arguments)])
    told = capsys.readouterr()
    return status, told.out, told.err


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "rivers.md").write_text("# Rivers\n\n## Orm\n\nThe Orm is 812 km long.\n")
    (folder / "towns.txt").write_text("Ard is a town.\n")
    (folder / "photo.png").write_bytes(bytes(range(256)))
    return folder


def test_documents_are_indexed_and_found_with_their_places(notes, tmp_path, capsys):
    status, out, _ = typed(capsys, notes, "--out", tmp_path / "index")
    assert status == 0
    assert "found              3 files" in out and "read               2 files" in out
    assert f"1 binary: {notes}/photo.png" in out and "2 passages of 2 documents" in out
    status, out, _ = typed(capsys, "--search", "How long is the Orm?", tmp_path / "index", "--limit", "1")
    assert status == 0
    assert out.startswith(f"{notes}/rivers.md:5  Rivers › Orm  (")
    assert "  The Orm is 812 km long.\n" in out
    assert "nothing shares a word" in typed(capsys, "--search", "zebra", tmp_path / "index")[1]


def test_given_again_it_tells_what_changed_and_prunes_when_told(notes, tmp_path, capsys):
    typed(capsys, notes, "--out", tmp_path / "index")
    (notes / "towns.txt").unlink()
    (notes / "rivers.md").write_text("The Orm is long.\n")
    (notes / "copy.md").write_text("The Orm is long.\n")
    _, out, _ = typed(capsys, notes, "--out", tmp_path / "index")
    assert "read               1 files   1 of them changed" in out
    assert "still in the index; --prune removes them" in out and "towns.txt" in out
    assert "repeats" in out
    _, out, _ = typed(capsys, notes, "--out", tmp_path / "index", "--prune")
    assert "removed" in out
    assert len(Index(tmp_path / "index")) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["{notes}"], "either --out or --search"),
        (["{notes}/nothing", "--out", "{out}"], "no such file or folder"),
        (["{notes}/photo.png", "--out", "{out}"], "nothing to index here (1 binary)"),
        (["{notes}", "--out", "{out}", "--words", "3"], "passages of 3 words"),
        (["{notes}", "--out", "{out}", "--field", "text"], "names no field"),
        (["{notes}", "--out", "{out}", "--largest", "many"], "cannot read 'many'"),
        (["{notes}", "--out", "{out}", "--encoding", "klingon"], "no encoding 'klingon'"),
        (["{notes}", "--out", "{notes}"], "holds no index"),
        (["--search", "x", "{notes}"], "no index of passages here"),
    ],
)
def test_what_cannot_be_done_is_said_with_status_two(notes, tmp_path, capsys, arguments, problem):
    given = [a.format(notes=notes, out=tmp_path / "index") for a in arguments]
    status, _, err = typed(capsys, *given)
    assert status == 2
    assert problem in err


def test_stems_are_fixed_when_an_index_is_begun(notes, tmp_path, capsys):
    typed(capsys, notes, "--out", tmp_path / "index", "--stem", "english")
    assert "Ard is a town" in typed(capsys, "--search", "towns", tmp_path / "index")[1]
    (notes / "new.txt").write_text("bridges")
    assert typed(capsys, notes, "--out", tmp_path / "index")[0] == 0
    assert "bridges" in typed(capsys, "--search", "bridge", tmp_path / "index")[1]
    status, _, err = typed(capsys, notes, "--out", tmp_path / "index", "--stem", "none")
    assert status == 2 and "stem is 'english' in the index, 'none' now" in err


def test_text_needs_no_reader_of_packed_formats(notes, tmp_path):
    script = (
        "import sys\nfrom tandem.cli.main import main\n"
        f"assert main(['index', {str(notes / 'towns.txt')!r}, '--out', {str(tmp_path / 'index')!r}]) == 0\n"
        "assert not {'pypdf', 'docx', 'torch', 'sentence_transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, env=os.environ)


def test_readers_that_open_while_others_write_see_whole_commits_only(tmp_path):
    folder, stop, seen, errors = tmp_path / "index", threading.Event(), set(), []
    documents = [Document(About(str(i)), [Passage(f"w{i} bridge"), Passage(f"v{i} bridge")]) for i in range(16)]

    def add(document):
        with Writer(folder) as writer:
            writer.add(Origin(document.about.id, "1"), [document])

    def read():
        while not stop.is_set():
            try:
                index = Index(folder)
                hits = index.search("bridge", 100)
                seen.add(len(hits))
                if len(hits) != len(index) or len(hits) % 2:
                    errors.append(len(hits))
            except Exception as e:
                errors.append(e)

    add(documents[0])
    reader = threading.Thread(target=read)
    reader.start()
    for document in documents[1:]:
        add(document)
    stop.set()
    reader.join()
    assert not errors and len(seen) > 1
    assert json.loads((folder / "index.json").read_text())["serial"] >= 16
    assert {p.name for p in folder.iterdir() if p.is_dir()} == {p.name for p in Index(folder).header.pieces}
    assert len(Index(folder).header.pieces) <= 6
    assert Path(folder, ".lock").exists()
