"""`tandem evaluate` on the base-model benchmarks: tables, run folders, requests and answers, bad input."""

import json
from pathlib import Path

import pytest

from choice_sample import folder, write
from tandem.cli.main import main


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.toml").write_text('[[rule]]\nscores = { " A" = -0.5, " some moss" = -0.5 }\nunlisted = -1.0\n')
    return folder(tmp_path / "data")


@pytest.fixture
def evaluate(place, capsys):
    def run(*arguments, tasks="mmlu,arc_challenge", data=place):
        given = ["evaluate", "--tasks", tasks, "--data", str(data), "--model", "scripted:rules.toml"]
        status = main([*given, *map(str, arguments)])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


def lines(file):
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def test_a_run_prints_a_table_to_paste_and_leaves_results_items_and_a_report(evaluate):
    status, out, _ = evaluate("--shots", "2", "--out", "run")
    assert status == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    assert rows[0] == ["task", "version", "shots", "metric", "direction", "value ± stderr", "95 %", "n"]
    assert ["mmlu", "1.0", "2", "acc", "↑", "0.4000 ± 0.2789", "[0.0000, 0.9466]", "5"] in rows
    assert ["– stem", "1.0", "2", "acc", "↑", "0.3333 ± 0.3333", "[0.0615, 0.7923]", "3"] in rows
    assert ["arc_challenge", "1.0", "2", "acc", "↑", "0.6667 ± 0.3333", "[0.2077, 0.9385]", "3"] in rows
    assert [row["id"] for row in lines("run/arc_challenge-items.jsonl")] == ["q1", "q2", "q3"]
    results = json.loads(Path("run/results.json").read_text())
    settings = dict(next(s for s in results["sections"] if s["key"] == "settings")["items"][0]["rows"])
    assert len(settings["mmlu: sha256"]) == len(settings["mmlu: examples_sha256"]) == 64
    assert settings["model"].startswith("scripted-")
    assert settings["shots"] == "2"
    assert "acc_norm" in Path("run/report.html").read_text()


def test_the_same_command_writes_the_same_results(evaluate):
    evaluate("--out", "run")
    before = Path("run/results.json").read_bytes(), Path("run/mmlu-items.jsonl").read_bytes()
    status, _, _ = evaluate("--out", "run")
    assert status == 0
    assert before == (Path("run/results.json").read_bytes(), Path("run/mmlu-items.jsonl").read_bytes())


def test_code_and_choices_give_a_table_each(evaluate, place, tmp_path):
    from code_sample import folder as code_folder

    code = code_folder(tmp_path / "code")
    rules = (code / "rules.toml").read_text() + "\n[[rule]]\nunlisted = -1.0\n"
    (tmp_path / "rules.toml").write_text(rules)
    for file in code.iterdir():
        if file.name != "rules.toml":
            file.rename(place / file.name)
    status, out, _ = evaluate("--out", "run", tasks="piqa,humaneval")
    assert status == 0
    assert len([line for line in out.splitlines() if line.startswith("| task")]) == 2


def test_requests_are_written_and_their_answers_scored_without_a_model(evaluate):
    status, out, _ = evaluate("--requests", "requests.jsonl", tasks="winogrande,truthfulqa_mc2")
    assert status == 0
    assert "requests.jsonl: 7 requests of 3 items" in out
    rows = lines("requests.jsonl")
    write(Path("answers.jsonl"), [row | {"logprob": -1.0 - row["choice"]} for row in rows])
    status, out, _ = evaluate("--answers", "answers.jsonl", "--out", "scored", tasks="winogrande,truthfulqa_mc2")
    assert status == 0
    assert "0.5000 ± 0.5000" in out
    assert len(lines("scored/winogrande-items.jsonl")) == 2
    assert json.loads(Path("scored/results.json").read_text())["title"] == "answers.jsonl on winogrande, truthfulqa_mc2"


def test_missing_answers_end_with_status_1_and_say_so(evaluate):
    evaluate("--requests", "requests.jsonl", tasks="winogrande")
    write(Path("answers.jsonl"), [row | {"logprob": -1.0} for row in lines("requests.jsonl")[:2]])
    status, out, err = evaluate("--answers", "answers.jsonl", tasks="winogrande")
    assert status == 1
    assert "MISSING: 1 of 2 items" in out
    assert "something is missing" in err


@pytest.mark.parametrize(
    ("arguments", "tasks", "problem"),
    [
        (("--out", "run"), "mmul", "no task is called 'mmul'"),
        (("--out", "run"), "mmlu_cooking", "no task is called 'mmlu_cooking'"),
        (("--out", "run", "--chat"), "piqa", "piqa is not asked in conversation"),
        (("--out", "run", "--limit", "0"), "piqa", "--limit: is 0"),
        (("--out", "run", "--shots", "4"), "mmlu", "4 examples of anatomy were asked for, there are 3"),
        (("--requests", "r.jsonl"), "humaneval", "--requests: is not for humaneval"),
        (("--answers", "none.jsonl"), "piqa", "none.jsonl: no such file"),
    ],
)
def test_what_cannot_be_is_told_with_status_2(evaluate, arguments, tasks, problem):
    status, _, err = evaluate(*arguments, tasks=tasks)
    assert status == 2
    assert problem in err
    assert not Path("run").exists()


def test_a_model_without_scoring_is_refused(evaluate, tmp_path):
    (tmp_path / "rules.toml").write_text('[abilities]\nscoring = false\n[[rule]]\nanswers = ["yes"]\n')
    status, _, err = evaluate("--out", "run", tasks="piqa")
    assert status == 2
    assert "does not have the ability 'scoring'" in err


def test_an_example_that_gives_an_item_away_is_told(evaluate, place):
    rows = lines(place / "arc_challenge_test.jsonl") if (place / "arc_challenge_test.jsonl").exists() else []
    for old in place.glob("arc_challenge_train.*"):
        old.unlink()
    write(place / "arc_challenge_train.jsonl", rows)
    _, out, _ = evaluate("--shots", "2", "--out", "run", tasks="arc_challenge")
    assert "arc_challenge: CONTAMINATED: 3 of 3 items stand among the examples" in out
    assert any("overlaps" in row for row in lines("run/arc_challenge-items.jsonl"))
