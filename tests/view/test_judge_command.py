"""`tandem judge` where it serves nothing: what it refuses, and the summary."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from judge_sample import two_files

from tandem.cli.main import main
from tandem.view.judging import ledger
from tandem.view.judging.ledger import Judging, Ledger


def folder(path: Path) -> Path:
    """A folder with two annotators' judgments."""
    path.mkdir()
    kept = Ledger(path / ledger.FILE, Judging(("cot", "edited"), "Which answer is more factual?", 4, 0, "x"))
    for name, choices in {"Ann": "left right tie left", "Ben": "left right tie right"}.items():
        for i, choice in enumerate(choices.split()):
            kept.judge(name, f"q{i}", choice, i % 2, "hm" if i == 3 else "")  # type: ignore[arg-type]
    kept.close()
    return path


def test_the_summary_prints_shares_agreement_and_position(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = folder(tmp_path / "out")
    for path in (found, found / "judgments.jsonl"):
        assert main(["judge", "--summary", str(path)]) == 0
        said = capsys.readouterr().out
        assert "Which answer is more factual?" in said
        assert "| Ann " in said and "50.0 % [15.0, 85.0]" in said  # two of four
        assert "Ann and Ben" in said and "κ" in said and "Answer 1" in said


def test_the_summary_as_json_and_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = folder(tmp_path / "out")
    assert main(["judge", "--summary", str(found), "--json", "--csv", str(tmp_path / "j.csv")]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["judging"]["names"] == ["cot", "edited"] and len(whole["judgments"]) == 8
    assert len((tmp_path / "j.csv").read_text().splitlines()) == 9


def test_the_summary_changes_nothing_and_needs_no_lock(tmp_path: Path) -> None:
    found = folder(tmp_path / "out")
    before = (found / "judgments.jsonl").read_bytes() + b'{"torn'
    (found / "judgments.jsonl").write_bytes(before)
    assert main(["judge", "--summary", str(found)]) == 0
    assert (found / "judgments.jsonl").read_bytes() == before and len(list(found.iterdir())) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["A"], "1 sides are given"),
        (["A", "B", "--items", "-1"], "--items"),
        (["A", "B", "--json"], "goes with --summary"),
        (["A", "B", "--host", "0.0.0.0"], "no loopback address"),
        (["A", "B", "--port", "70000"], "--port"),
        (["A", "B", "--annotator", "a/b"], "cannot be an annotator's name"),
        (["A", "B", "--names", "x", "x"], "--names"),
        (["A", "B", "--names", "x", "tie"], "--names"),
        (["A", "nowhere"], "no such file or folder"),
        (["--summary", "nowhere"], "cannot be read"),
        (["A", "B", "--answer", "nothing"], "has not the field 'nothing'"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    places = dict(zip("AB", map(str, two_files(tmp_path)), strict=True))
    arguments = [places.get(word, word) for word in given]
    assert main(["judge", *arguments, *([] if "--summary" in given else ["--out", str(tmp_path / "out")])]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_question_in_the_same_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = map(str, two_files(tmp_path))
    found = folder(tmp_path / "out")
    assert main(["judge", a, b, "--out", str(found), "--question", "Why?"]) == 2
    assert "about something else" in capsys.readouterr().err
    assert len(list(found.iterdir())) == 1


def test_the_summary_loads_neither_torch_nor_a_server(tmp_path: Path) -> None:
    found = folder(tmp_path / "out")
    code = (
        f"import sys; from tandem.cli.main import main; main(['judge', '--summary', {str(found)!r}]); "
        "print({'torch', 'starlette', 'uvicorn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
