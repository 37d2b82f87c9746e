"""The files of a world: whole or absent, the same bytes for the same seed, and labelled."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tandem.cli.main import main
from tandem.errors import Failure
from tandem.runs import file_hash
from tandem.world import MECHANISM, VERSION, World, write

VIEWS = ("entities", "facts", "passages", "questions", "choices", "tasks")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("world")
    write(World.make(7, 2000), made, n_questions=60, n_choices=40, n_per_task=20)
    return made


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_same_seed_gives_the_same_bytes_in_two_processes_with_different_hashing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tandem.world import World, write; out = Path(sys.argv[1]);"
        "out.mkdir(); write(World.make(7, 1500), out, n_questions=60, n_choices=40, n_per_task=20)"
    )
    hashes = []
    for hashing in ("1", "2"):
        out = tmp_path / hashing
        subprocess.run(
            [sys.executable, "-c", program, str(out)], check=True, env=os.environ | {"PYTHONHASHSEED": hashing}
        )
        hashes.append({p.name: file_hash(p) for p in sorted(out.iterdir())})
    assert len(hashes[0]) == len(VIEWS) + 1
    assert hashes[0] == hashes[1]


def test_world_json_says_what_the_files_hold_and_what_results_on_it_are_called(folder: Path) -> None:
    about = json.loads((folder / "world.json").read_text())
    assert (about["label"], about["version"], about["seed"]) == (MECHANISM, VERSION, 7) == ("mechanism", VERSION, 7)
    assert set(about["counts"]) == set(VIEWS)
    for view, count in about["counts"].items():
        assert len(lines(folder / f"{view}.jsonl")) == count > 0
    for key in ("facts_by_relation", "facts_by_status", "facts_by_mentions"):
        assert sum(about[key].values()) == 2000


def test_ids_are_unique_and_refer_to_lines_that_exist(folder: Path) -> None:
    ids = {view: [str(line["id"]) for line in lines(folder / f"{view}.jsonl")] for view in VIEWS}
    for found in ids.values():
        assert len(set(found)) == len(found)
    for fact in lines(folder / "facts.jsonl"):
        assert fact["subject"] in set(ids["entities"])
    text = (folder / "passages.jsonl").read_text()
    told = {m["fact"] for line in map(json.loads, text.splitlines()) for m in line["mentions"]}
    assert told <= set(ids["facts"])


def test_records_of_passages_and_tasks_have_the_keys_that_training_reads(folder: Path) -> None:
    for passage in lines(folder / "passages.jsonl"):
        assert isinstance(passage["text"], str) and passage["text"]
    for task in lines(folder / "tasks.jsonl"):
        assert all(isinstance(task[key], str) and task[key] for key in ("id", "task", "type", "prompt", "response"))


def test_half_of_questions_and_choices_are_in_held_out_words(folder: Path) -> None:
    for view in ("questions", "choices"):
        flags = [line["meta"]["template_held_out"] for line in lines(folder / f"{view}.jsonl")]  # type: ignore[index]
        assert sum(flags) * 2 == len(flags)


def test_the_command_writes_a_world_and_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made"
    size = ["--facts", "500", "--questions", "12", "--choices", "8", "--per-task", "4", "--without", "knowledge"]
    assert main(["world", "--seed", "7", "--out", str(out), *size]) == 0
    shown = capsys.readouterr().out
    assert f"{len(lines(out / 'passages.jsonl')):,}" in shown
    assert "mechanism" in shown
    assert sorted(p.name for p in out.iterdir()) == sorted([*(f"{view}.jsonl" for view in VIEWS), "world.json"])
    assert max(len(line) for line in shown.splitlines() if str(tmp_path) not in line) <= 80


@pytest.mark.parametrize("flags", [["--seed", "-1"], ["--facts", "99"], ["--questions", "-2"], ["--per-task", "-1"]])
def test_what_cannot_be_made_exits_with_status_2_and_leaves_nothing(
    tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made"
    assert main(["world", "--seed", "7", "--out", str(out), *flags]) == 2
    message = capsys.readouterr().err
    assert "→" in message and flags[0].removeprefix("--") in message
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "mine").write_text("precious")
    assert main(["world", "--seed", "7", "--out", str(tmp_path / "made"), "--facts", "100"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "made" / "mine").read_text() == "precious"


def test_a_folder_that_cannot_be_written_is_a_failure_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(Failure) as failed:
        write(World.make(1, 100), tmp_path / "missing")
    assert str(tmp_path / "missing") in str(failed.value)


def test_the_bytes_of_this_version_do_not_change(folder: Path) -> None:
    joined = "".join(file_hash(folder / f"{view}.jsonl") for view in VIEWS)
    digest = hashlib.sha256(joined.encode()).hexdigest()[:16]
    assert (VERSION, digest) == (2, "132ed6b876ed5ddc"), (
        "other bytes: raise VERSION in world.py, then write the new digest here"
    )
