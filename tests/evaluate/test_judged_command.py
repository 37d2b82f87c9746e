"""`tandem evaluate` on the judged tasks: models, files, judgments on record, and what is refused."""

import json
from pathlib import Path

import pytest

from judged_sample import INSTRUCTIONS, QUESTIONS, folder, judgments, outputs, write
from tandem.cli.main import main

MODEL = '[[rule]]\nmatches = "\\\\Auser: "\nanswers = ["Mine."]\n'
JUDGE = """
[abilities]
scoring = false
logprobs = false
[[rule]]
contains = "assistant A"
answers = ["[[tie]]"]
[[rule]]
contains = "Rating: [["
answers = ["Rating: [[6]]"]
[[rule]]
contains = "JSON list"
answers = ['[{"model": "model_1", "rank": 1}, {"model": "model_2", "rank": 2}]']
[[rule]]
matches = 'Answer of m\\n\\nMine'
answers = ["m"]
[[rule]]
answers = ["M"]
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("model.toml").write_text(MODEL)
    Path("judge.toml").write_text(JUDGE)
    return folder(tmp_path / "data")


@pytest.fixture
def evaluate(place, capsys):
    def run(tasks, *arguments, model="scripted:model.toml", judge="scripted:judge.toml", data=place):
        given = ["evaluate", "--tasks", tasks, "--data", str(data), "--model", model]
        status = main([*given, *(["--judge", judge] if judge else []), *map(str, arguments)])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


def lines(file):
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def cells(out):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]


def test_a_run_of_all_tasks_prints_tables_and_leaves_items_and_a_report(evaluate):
    status, out, _ = evaluate("alpaca_eval,alpaca_eval_1,mt_bench", "--out", "run")
    assert status == 0
    rows = {(row[0], row[3]): row for row in cells(out)}
    assert rows["alpaca_eval", "win rate"][5].startswith("1.0000 ±")
    assert rows["alpaca_eval", "win rate"][1] == "2"
    assert rows["alpaca_eval_1", "win rate"][1] == "1"
    assert rows["mt_bench", "score"][5] == "6.0000"
    assert [row["preference"] for row in lines("run/alpaca_eval-items.jsonl")] == [2.0] * len(INSTRUCTIONS)
    assert [row["score"] for row in lines("run/mt_bench-items.jsonl")] == [6.0] * 2 * len(QUESTIONS)
    results = json.loads(Path("run/results.json").read_text())
    shown = dict(next(s for s in results["sections"] if s["key"] == "settings")["items"][0]["rows"])
    assert shown["alpaca_eval: judge"].startswith("scripted-")
    assert len(shown["mt_bench: questions_sha256"]) == 64
    assert "the judge took 6 calls" in out
    assert "Describe a tolk." in Path("run/report.html").read_text()


def test_the_same_command_asks_nothing_and_writes_the_same(evaluate):
    evaluate("alpaca_eval,mt_bench", "--out", "run")
    names = ("results.json", "alpaca_eval-items.jsonl", "mt_bench-items.jsonl")
    Path("run/results.json").unlink()
    status, out, _ = evaluate("alpaca_eval,mt_bench", "--out", "run")
    assert status == 0
    assert out.count("the judge took 0 calls") == 2
    before = [Path("run", name).read_bytes() for name in names[1:]]
    evaluate("alpaca_eval,mt_bench", "--out", "run")
    assert [Path("run", name).read_bytes() for name in names[1:]] == before


def test_outputs_of_files_are_judged_without_a_model(evaluate):
    write(Path("theirs.jsonl"), outputs(["Mine."] * 6, "theirs"))
    answers = [{"question_id": q["question_id"], "answers": ["a", "b"]} for q in QUESTIONS]
    write(Path("answers.jsonl"), answers)
    files = ("--outputs", "alpaca_eval=theirs.jsonl", "mt_bench=answers.jsonl", "--out", "run")
    status, out, _ = evaluate("alpaca_eval,mt_bench", *files, model="scripted:none.toml")
    assert status == 0
    assert "against" not in out
    assert lines("run/alpaca_eval-items.jsonl")[0]["generator_2"] == "theirs"
    title = json.loads(Path("run/results.json").read_text())["title"]
    assert title == "theirs.jsonl, answers.jsonl on alpaca_eval, mt_bench"


def test_two_models_are_compared_in_both_orders(evaluate):
    write(Path("o.jsonl"), [{"question_id": q["question_id"], "answers": ["a", "b"]} for q in QUESTIONS])
    status, out, _ = evaluate("mt_bench", "--pair", "--baseline", "o.jsonl", "--out", "run")
    assert status == 0
    assert "0 wins, 6 ties (0 where the orders differ), 0 losses" in out
    assert [row["winner"] for row in lines("run/mt_bench-pairs.jsonl")] == ["tie"] * 6


def test_judgments_on_record_need_neither_model_nor_judge(evaluate):
    write(Path("j.jsonl"), judgments([1.0, 2.0, 1.5, None]))
    status, out, _ = evaluate(
        "alpaca_eval", "--judgments", "j.jsonl", "--out", "run", judge=None, model="scripted:none"
    )
    assert status == 0
    assert cells(out)[2][5].startswith("0.5000")
    assert "NOT COUNTED: 1 of 4 judgments are unparsed" in out
    status, out, _ = evaluate("alpaca_eval", "--judgments", "run/alpaca_eval-items.jsonl", judge=None)
    assert status == 0
    assert cells(out)[2][5].startswith("0.5000")


def test_a_judge_that_never_gives_a_grade_leaves_a_row_without_a_figure(evaluate):
    Path("judge.toml").write_text('[[rule]]\nanswers = [{ text = "", finish = "refusal" }]\n')
    status, out, _ = evaluate("mt_bench", "--out", "run")
    assert status == 0
    (row,) = [row for row in cells(out) if row[0] == "mt_bench"]
    assert row[3:] == ["score", "↑", "–", "", "0"]
    assert "NOT COUNTED: 6 of 6 grades (6 refused)" in out and "; the first: \n" not in out


def test_grades_on_record_that_lack_turns_end_with_status_1(evaluate):
    write(Path("g.jsonl"), [{"question_id": 1, "turn": 1, "score": 8}])
    status, out, err = evaluate("mt_bench", "--judgments", "g.jsonl", judge=None)
    assert status == 1
    assert "NOT COUNTED: 5 of 6 grades (5 failed)" in out
    assert "something is missing" in err


def test_coefficients_give_the_length_controlled_win_rate(evaluate):
    write(Path("j.jsonl"), judgments([1.0, 2.0]))
    given = {"model": "mine", "baseline": "base", "coefficients": [-1, 0, 0.0], "instruction_difficulty": [1, 2]}
    Path("c.json").write_text(json.dumps(given))
    status, out, _ = evaluate("alpaca_eval", "--judgments", "j.jsonl", "--coefficients", "c.json", judge=None)
    assert status == 0
    row = next(row for row in cells(out) if row[3] == "length-controlled win rate")
    assert row[5] == "0.5000"
    assert "coefficients given" in out


def test_a_judge_that_fails_leaves_a_run_that_goes_on(evaluate):
    Path("judge.toml").write_text('[[rule]]\nfails = "server"\n')
    status, out, err = evaluate("alpaca_eval", "--out", "run")
    assert status == 1
    assert "NOT COUNTED: 6 of 6 judgments are failed" in out
    assert "the same command goes on, with --retry-failed also where a call has failed" in err
    Path("judge.toml").write_text(JUDGE)
    assert evaluate("alpaca_eval", "--out", "other", "--retry-failed")[0] == 0


def test_one_budget_holds_for_model_and_judge(evaluate):
    status, out, _ = evaluate("alpaca_eval", "--out", "run", "--budget-calls", 8)
    assert status == 1
    assert "are not asked" in out
    status, out, _ = evaluate("alpaca_eval", "--out", "run")
    assert status == 0


@pytest.mark.parametrize(
    ("tasks", "arguments", "judge", "problem"),
    [
        ("alpaca_eval", ("--out", "run"), None, "--judge: no judge"),
        ("alpaca_eval", ("--outputs", "o.jsonl"), "scripted:judge.toml", "no folder for the results"),
        ("alpaca_eval", ("--out", "run", "--outputs", "none.jsonl"), "scripted:judge.toml", "no such file"),
        ("alpaca_eval,piqa", ("--out", "run", "--outputs", "o.jsonl"), "scripted:judge.toml", "is not for piqa"),
        ("alpaca_eval,mt_bench", ("--out", "run", "--outputs", "o.jsonl"), "scripted:judge.toml", "is of one task"),
        ("mt_bench", ("--out", "run", "--pair"), "scripted:judge.toml", "--pair: needs another model to compare with"),
        (
            "alpaca_eval",
            ("--out", "run", "--length-control", "given"),
            "scripted:judge.toml",
            "no coefficients are given",
        ),
        ("alpaca_eval", ("--out", "run", "--limit", "0"), "scripted:judge.toml", "--limit: is 0"),
        ("alpaca_eval", ("--out", "run", "--outputs", "o.jsonl"), "scripted:judge.toml", "o.jsonl has 2 rows"),
        ("alpaca_eval", ("--out", "run"), "scripted:base.toml", "the judge takes no conversation"),
    ],
)
def test_what_cannot_be_is_told_with_status_2(evaluate, tasks, arguments, judge, problem):
    Path("base.toml").write_text('[abilities]\nchat = false\n[[rule]]\nanswers = ["m"]\n')
    write(Path("o.jsonl"), outputs(["a", "b"]))
    status, _, err = evaluate(tasks, *arguments, judge=judge)
    assert status == 2
    assert problem in err.replace(": has", " has")
