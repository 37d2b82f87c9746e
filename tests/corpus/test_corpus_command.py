from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tandem.cli.main import main
from tandem.corpus.shards import Shards
from tandem.tokenizer import train


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer") / "t"
    train(["some words to learn merges from, and some more words"] * 20, vocabulary=320).save(folder)
    return folder


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for n in range(20):
        (folder / f"{n}.txt").write_text(f"note number {n}\r\nwith some words <|endoftext|> inside\n")
    (folder / "copy.txt").write_text("note number 3\nwith some words <|endoftext|> inside")
    return folder


def test_a_folder_of_notes_becomes_a_corpus_and_can_be_inspected(
    tmp_path: Path, notes: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "corpus"
    arguments = ["corpus", "build", "--text", str(notes), "--tokenizer", str(tokenizer), "--out", str(out)]
    assert main([*arguments, "--validation", "0.2"]) == 0
    said = capsys.readouterr().out
    assert "removed 1: seen before" in said
    assert "altered 20: line ends made" in said
    assert all(len(line) <= 80 for line in said.splitlines() if str(tmp_path) not in line)
    documents = Shards(out / "train").documents + Shards(out / "validation").documents
    assert documents == 20

    assert main(["corpus", "inspect", str(out), "--tokenizer", str(tokenizer), "--verify"]) == 0
    said = capsys.readouterr().out
    assert f"{Shards(out / 'train').documents} documents, {Shards(out / 'train').tokens:,} tokens" in said
    assert "| with some words <|endoftext|> inside" in said, "the mark in a text is text, not the end of it"
    assert "every token is as it was written" in said


def test_inspecting_with_another_tokenizer_is_the_users_mistake(
    tmp_path: Path, notes: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["corpus", "build", "--text", str(notes), "--tokenizer", str(tokenizer), "--out", str(tmp_path / "c")])
    train(["other text altogether"] * 9, vocabulary=300).save(tmp_path / "other")
    capsys.readouterr()
    assert main(["corpus", "inspect", str(tmp_path / "c"), "--tokenizer", str(tmp_path / "other")]) == 2
    assert "another tokenizer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--text": "missing/"}, "no such file or folder"),
        ({"--limit": "six"}, "cannot read 'six'"),
        ({"--validation": "2"}, "validation share of 2"),
        ({"--form": "jsonl"}, "0.txt:1"),
    ],
)
def test_a_mistake_exits_with_status_2_and_leaves_nothing(
    tmp_path: Path,
    notes: Path,
    tokenizer: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str],
    message: str,
) -> None:
    options = {"--text": str(notes), "--tokenizer": str(tokenizer), "--out": str(tmp_path / "c")} | change
    assert main(["corpus", "build", *(word for pair in options.items() for word in pair)]) == 2
    assert message in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["notes"]


def test_the_help_screens_import_nothing_heavy() -> None:
    code = (
        "import sys; from tandem.cli.main import main\n"
        "try: main(['corpus', 'build', '--help'])\n"
        "except SystemExit: print({'numpy', 'torch', 'pyarrow', 'tokenizers'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "set()"
    assert "--keep-damaged" in done.stdout
