"""The files for knowledge-grounded methods: the same bytes for the same seed, beside the files of before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tandem.cli.main import main
from tandem.errors import Failure, UserError
from tandem.runs import file_hash
from tandem.world import MECHANISM, PARTS, VERSION, Sizes, World, write, write_knowledge

SMALL = Sizes(claims=40, strata=16, table_questions=20, mixed=20, queries=40)
FLAGS = ["--facts", "800", "--questions", "12", "--choices", "8", "--per-task", "2", "--claims", "20", "--strata", "8",
         "--table-questions", "8", "--mixed", "8", "--queries", "20"]  # fmt: skip
FILES = {
    "triples": {"triples.nt"},
    "tables": {"world.sqlite", *(f"schemas/{n}.sqlite" for n in ("wide", "tall", "normalised-2", "wide-2", "tall-2")),
               *(f"tables/{t}.csv" for t in ("person", "town", "country", "organisation", "work", "alias", "residence",
                                             "employment", "marriage", "leadership"))},
    "claims": {"claims.jsonl"},
    "strata": {"strata.jsonl"},
    "table-questions": {"table_questions.jsonl"},
    "mixed": {f"mixed/{name}" for name in ("passages.jsonl", "triples.nt", "world.sqlite", "questions.jsonl")},
    "queries": {f"queries/{name}" for name in ("train.jsonl", "things.jsonl", "templates.jsonl", "relations.jsonl",
                                               "schemas.jsonl", "sources.json")},
}  # fmt: skip


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("knowledge")
    write_knowledge(World.make(7, 1500), made, SMALL)
    return made


def test_the_same_seed_gives_the_same_bytes_in_another_process_with_other_hashing(folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tandem.world import World, Sizes, write_knowledge;"
        "write_knowledge(World.make(7, 1500), Path(sys.argv[1]),"
        " Sizes(claims=40, strata=16, table_questions=20, mixed=20, queries=40))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "5"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, env=environment)
    assert files(tmp_path) == files(folder) == {"knowledge.json"}.union(*FILES.values())
    assert {f: file_hash(folder / f) for f in files(folder)} == {f: file_hash(tmp_path / f) for f in files(folder)}


def test_knowledge_json_says_what_there_is(folder: Path) -> None:
    about = json.loads((folder / "knowledge.json").read_text())
    assert (about["label"], about["version"], about["seed"]) == (MECHANISM, VERSION, 7)
    for key, name in {"claims": "claims.jsonl", "table questions": "table_questions.jsonl", "strata": "strata.jsonl",
                      "mixed questions": "mixed/questions.jsonl", "triples": "triples.nt",
                      "queries, relations": "queries/relations.jsonl"}.items():  # fmt: skip
        assert about["counts"][key] == len((folder / name).read_text().splitlines()) > 0
    assert sum(about["mixed"][source] for source in ("passages", "triples", "tables")) == 1500
    assert set(about["held_out_of_training_queries"]["schemas"]) < set(about["schemas"])


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_left_out_and_is_then_the_only_one_missing(part: str, folder: Path, tmp_path: Path) -> None:
    counts = write_knowledge(World.make(7, 1500), tmp_path, SMALL, without=[part])
    assert files(tmp_path) == files(folder) - FILES[part]
    assert counts.items() < json.loads((folder / "knowledge.json").read_text())["counts"].items()
    for name in files(tmp_path) - {"knowledge.json"}:
        assert file_hash(tmp_path / name) == file_hash(folder / name)


def test_the_command_adds_to_the_files_of_before_and_changes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, more in {"whole": [], "plain": ["--without", "knowledge"]}.items():
        assert main(["world", "--seed", "7", "--out", str(tmp_path / name), *FLAGS, *more]) == 0
    plain = files(tmp_path / "plain")
    written = tmp_path / "written"
    written.mkdir()
    write(World.make(7, 800), written, n_questions=12, n_choices=8, n_per_task=2)
    assert plain == files(written)
    assert files(tmp_path / "whole") - plain == {"knowledge.json"}.union(*FILES.values())
    for name in plain:
        assert file_hash(tmp_path / "plain" / name) == file_hash(tmp_path / "whole" / name) == file_hash(written / name)
    shown = capsys.readouterr().out
    assert "mixed questions" in shown and "queries, train" in shown


@pytest.mark.parametrize(
    "flags", [["--schemas", "2"], ["--claims", "-1"], ["--queries", "-1"], ["--without", "triples", "everything"]]
)
def test_what_cannot_be_made_exits_with_status_2_and_leaves_nothing(
    tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["world", "--seed", "7", "--out", str(tmp_path / "made"), *FLAGS, *flags]) == 2
    message = capsys.readouterr().err
    assert "→" in message and flags[0] in message
    assert list(tmp_path.iterdir()) == []


def test_parts_and_sizes_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    world = World.make(1, 200)
    with pytest.raises(UserError, match="no part"):
        write_knowledge(world, tmp_path, without=["poems"])
    with pytest.raises(UserError, match="size"):
        write_knowledge(world, tmp_path, Sizes(schemas=2))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_a_failure_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(Failure) as failed:
        write_knowledge(World.make(1, 200), tmp_path / "missing", without=PARTS[1:])
    assert str(tmp_path / "missing") in str(failed.value)


@pytest.mark.slow
def test_a_large_world_is_written_whole(tmp_path: Path) -> None:
    counts = write_knowledge(World.make(3, 200_000), tmp_path)
    assert counts["triples"] > 400_000 and counts["claims"] == 1200 and counts["queries, train"] == 2000
