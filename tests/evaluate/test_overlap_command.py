"""`tandem evaluate --training` and `tandem corpus overlap`: loud, per item, figures apart."""

import json
from pathlib import Path

import pytest

from choice_sample import write
from code_sample import HUMANEVAL
from code_sample import folder as code_folder
from tandem.cli.main import main

LONG = "Which of the many marn that live beside the grey river near the old mill eats moss at night"
ROWS = [
    {"id": "seen", "question": LONG, "choices": ["Ola", "Ebe"], "answer": 0},
    {"id": "new", "question": LONG.replace("moss", "rain").replace("grey", "blue"), "choices": ["x", "y"], "answer": 1},
    {"id": "short", "question": "Who?", "choices": ["Ola", "Ebe"], "answer": 0},
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    write(Path("data/arc_challenge_test.jsonl"), ROWS)
    Path("rules.toml").write_text('[[rule]]\nscores = { " Ola" = -0.5, " x" = -0.5 }\nunlisted = -1.0\n')
    Path("text").mkdir()
    Path("text/notes.txt").write_text(f"A first line.\nIt says: {LONG.upper()}!\n")
    return tmp_path


@pytest.fixture
def tandem(place, capsys):
    def run(*arguments):
        capsys.readouterr()
        status = main([*map(str, arguments)])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


GIVEN = ("evaluate", "--tasks", "arc_challenge", "--data", "data", "--model", "scripted:rules.toml", "--out", "run")


def test_items_in_the_training_text_are_told_loudly_with_the_figures_apart(tandem):
    status, out, _ = tandem(*GIVEN, "--training", "text")
    assert status == 0
    assert "CONTAMINATED: 1 of 3 items stand in the training text (13 words in a row): seen" in out
    assert "the first at text/notes.txt:2; acc 1.0000 on them, 0.5000 ± 0.5000 on the others" in out
    assert "1 have fewer than 13 words of their own in a row and cannot be found" in out
    rows = {row["id"]: row for row in map(json.loads, Path("run/arc_challenge-items.jsonl").read_text().splitlines())}
    assert rows["seen"]["training"]["place"] == "text/notes.txt:2"
    assert "training" not in rows["new"]
    results = Path("run/results.json").read_text()
    assert "Items in the training text, and the others" in results
    assert '"arc_challenge: training_hash"' in results
    assert "CONTAMINATED" in Path("run/report.html").read_text()


def test_where_nothing_is_found_that_is_said(tandem):
    Path("text/notes.txt").write_text("Nothing of it.\n")
    _, out, _ = tandem(*GIVEN, "--training", "text")
    assert "none of 3 items was found in the training text" in out
    assert "CONTAMINATED" not in out


def test_another_training_text_makes_another_run(tandem):
    tandem(*GIVEN, "--training", "text")
    assert tandem(*GIVEN, "--training", "text")[0] == 0
    Path("text/notes.txt").write_text("Something else.\n")
    status, _, err = tandem(*GIVEN, "--training", "text")
    assert status == 2
    assert "training_hash" in err


def test_given_answers_are_looked_at_the_same_way(tandem):
    tandem("evaluate", "--tasks", "arc_challenge", "--data", "data", "--requests", "r.jsonl")
    rows = [json.loads(line) | {"logprob": -1.0} for line in Path("r.jsonl").read_text().splitlines()]
    write(Path("a.jsonl"), rows)
    given = ("evaluate", "--tasks", "arc_challenge", "--data", "data", "--answers", "a.jsonl")
    assert "CONTAMINATED: 1 of 3" in tandem(*given, "--training", "text")[1]


def test_prompts_of_programs_are_looked_for(tandem, place):
    code = code_folder(place / "code")
    Path("text/code.py").write_text(f"import os\n{HUMANEVAL[1]['prompt']}")
    given = ("evaluate", "--tasks", "humaneval", "--data", code, "--model", f"scripted:{code}/rules.toml")
    _, out, _ = tandem(*given, "--out", "run", "--training", "text")
    assert "humaneval: CONTAMINATED: 1 of 3 items stand in the training text" in out
    assert "HumanEval/1; the first at text/code.py:2; pass@1 " in out
    rows = [json.loads(line) for line in Path("run/humaneval-step1.jsonl").read_text().splitlines()]
    assert [row["task_id"] for row in rows if "training" in row] == ["HumanEval/1"]
    write(Path("s.jsonl"), [{"task_id": row["task_id"], "completion": row["canonical_solution"]} for row in HUMANEVAL])
    given = ("evaluate", "--tasks", "humaneval", "--data", code, "--samples", "s.jsonl", "--training", "text")
    assert "pass@1 1.0000 on them, 1.0000 on the others" in tandem(*given)[1]


def test_a_corpus_is_checked_before_training(tandem):
    status, out, _ = tandem(
        *("corpus", "overlap", "--text", "text/*.txt", "--tasks", "arc_challenge", "--data", "data", "--out", "f.jsonl")
    )
    assert status == 0
    assert "arc_challenge: CONTAMINATED: 1 of 3 items" in out
    assert "| seen | text/notes.txt:2 | which of the many marn" in out
    (found,) = [json.loads(line) for line in Path("f.jsonl").read_text().splitlines()]
    assert (found["task"], found["id"], found["place"]) == ("arc_challenge", "seen", "text/notes.txt:2")


def test_items_of_ones_own_are_looked_for_with_their_answers(tandem):
    half, rest = LONG.split()[:8], LONG.split()[8:]
    write(Path("mine.jsonl"), [{"q": " ".join(half), "a": " ".join(rest)}, {"q": "none of it", "a": ""}])
    given = ("corpus", "overlap", "--text", "text", "--items", "mine.jsonl", "--question", "q", "--answer")
    assert "mine.jsonl: CONTAMINATED: 1 of 2 items" in tandem(*given, "a")[1]
    assert "mine.jsonl: none of 2 items" in tandem(*given, "other")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--text", "nowhere", "--tasks", "arc_challenge", "--data", "data"), "no such file or folder"),
        (("--text", "text"), "nothing to look for"),
        (("--text", "text", "--tasks", "arc"), "no task is called 'arc'"),
        (("--text", "text", "--items", "none.jsonl"), "no such file"),
        (("--text", "data", "--tasks", "arc_challenge", "--data", "data"), "no field 'text'; there are: id, question"),
        (("--text", "text", "--items", "data/arc_challenge_test.jsonl", "--question", "stem"), "no question"),
    ],
)
def test_what_cannot_be_looked_through_is_refused_with_its_place(tandem, arguments, said):
    status, _, err = tandem("corpus", "overlap", *arguments)
    assert status == 2
    assert said in err
