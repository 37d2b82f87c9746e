"""`tandem tokenizer …` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from tokenizers import normalizers

from tandem.cli.main import main
from tandem.tokenizer import Tokenizer, load


@pytest.fixture
def folder(trained: Tokenizer, tmp_path: Path) -> Path:
    trained.save(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def test_train_reads_files_and_writes_a_folder(
    sources: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text(sources[0])
    (tmp_path / "b.jsonl").write_text("".join(json.dumps({"body": text}) + "\n" for text in sources[1:9]))
    arguments = ["--text", str(tmp_path / "a.txt"), str(tmp_path / "b.jsonl"), "--field", "body", "--vocabulary", "600"]
    assert main(["tokenizer", "train", *arguments, "--special", "<|x|>", "--out", str(tmp_path / "out")]) == 0
    t = load(tmp_path / "out")
    assert t.live == 600 and t.id_of("<|x|>") == 599
    assert "600 live in 640 rows" in capsys.readouterr().out


def test_train_without_text_fails_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.txt").write_text("")
    status = main(["tokenizer", "train", "--text", str(tmp_path / "empty.txt"), "--out", str(tmp_path / "out")])
    assert status == 2 and not (tmp_path / "out").exists()
    assert "empty.txt" in capsys.readouterr().err


def test_xgen_writes_the_published_layout(ranks_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenizer", "xgen", "--ranks", str(ranks_file), "--out", str(tmp_path)]) == 0
    assert "50,313 live in 51,200 rows" in capsys.readouterr().out
    assert load(tmp_path).encode(" " * 31) == [50_257]


def test_check_passes_a_sound_tokenizer(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("words of mine\n")
    assert main(["tokenizer", "check", str(folder), "--text", str(tmp_path / "mine.txt")]) == 0
    out = capsys.readouterr().out
    assert "0 errors, 0 warnings" in out and "mine.txt:" in out
    assert max(map(len, out.splitlines())) <= 80


def test_check_exits_with_1_when_white_space_collapses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    core = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    core.normalizer = normalizers.Replace(tokenizers.Regex(r"\s+"), " ")
    core.save(str(folder / "tokenizer.json"))
    assert main(["tokenizer", "check", str(folder)]) == 1
    assert "Python breaks" in capsys.readouterr().out


def test_show_prints_each_token(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenizer", "show", str(folder), "    def é"]) == 0
    out = capsys.readouterr().out
    assert "'   '" in out and "10 bytes" in out


@pytest.mark.parametrize(
    "arguments", [["check", "nowhere"], ["show", "nowhere", "x"], ["xgen", "--ranks", "no", "--out", "o"]]
)
def test_what_is_not_there_is_named_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenizer", *arguments]) == 2
    assert "→" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["nan", "-1", "0", "inf", "6 XB"])
def test_a_limit_that_is_no_size_is_refused(tmp_path, capsys, limit):
    (tmp_path / "a.txt").write_text("some text to train on " * 50)
    flags = ["--text", str(tmp_path / "a.txt"), "--vocabulary", "400", "--limit", limit]
    assert main(["tokenizer", "train", *flags, "--out", str(tmp_path / "made")]) == 2
    assert "--limit" in capsys.readouterr().err


def test_a_tokenizer_that_stands_is_not_written_over(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("some text to train on " * 50)
    command = ["tokenizer", "train", "--text", str(tmp_path / "a.txt"), "--vocabulary", "400", "--out"]
    assert main([*command, str(tmp_path / "made")]) == 0
    before = (tmp_path / "made/tokenizer.json").read_bytes()
    assert main([*command, str(tmp_path / "made"), "--special", "<|more|>"]) == 2
    assert str(tmp_path / "made") in capsys.readouterr().err
    assert (tmp_path / "made/tokenizer.json").read_bytes() == before
