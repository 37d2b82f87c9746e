"""`tandem compare`: runs and files beside each other, and everything that speaks against it said."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from choice_sample import folder
from tandem.cli.main import main

GOLD = ("Nile", "Main", "Oder")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def compare(place, capsys):
    def run(*arguments):
        capsys.readouterr()
        status = main(["compare", *map(str, arguments)])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


def rows(name, scores, **more):
    """A file of items with these scores, numbered from 0."""
    lines = [
        json.dumps({"id": n, "score": score, "question": f"What is {n}?", **more}) for n, score in enumerate(scores)
    ]
    Path(name).write_text("\n".join(lines) + "\n")
    return name


def cells(out):
    """Rows of the table as cells by column."""
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    return [dict(zip(table[0], row, strict=True)) for row in table[2:]]


def evaluate(out, *arguments, prefer=" some moss", tasks="arc_challenge,mmlu"):
    rules = Path(f"{out}.toml")
    rules.write_text(f'[[rule]]\nscores = {{ "{prefer}" = -0.5 }}\nunlisted = -1.0\n')
    data = Path("data") if Path("data").exists() else folder(Path("data"))
    given = ["evaluate", "--tasks", tasks, "--data", str(data), "--model", f"scripted:{rules}", "--out", out]
    assert main([*given, *map(str, arguments)]) == 0
    return out


def test_two_files_make_a_table_to_paste(compare):
    a, b = rows("a.jsonl", [0, 0, 1, 1] * 20), rows("b.jsonl", [1, 1, 1, 1] * 20)
    status, out, _ = compare(a, b)
    assert status == 0
    (row,) = cells(out)
    assert (row["task"], row["metric"], row["n"], row["a.jsonl"], row["b.jsonl"]) == (
        *("items", "score", "80"),
        *("0.5000", "1.0000"),
    )
    assert row["difference"].startswith("+0.5000 [+0.")
    assert (row["fixed"], row["broken"], row["verdict"]) == ("40", "0", "better")
    assert "+ 0  What is 0?" in out


def test_a_file_and_itself_are_within_noise(compare):
    a = rows("a.jsonl", [0, 1, 0, 1])
    (row,) = cells(compare(a, a)[1])
    assert (row["difference"], row["p"], row["verdict"]) == ("+0.0000 [+0.0000, +0.0000]", "1", "within noise")


def test_a_single_item_has_a_difference_and_no_interval(compare):
    rows("one.jsonl", [0]), rows("other.jsonl", [1])
    status, out, _ = compare("one.jsonl", "other.jsonl")
    assert status == 0 and "inf" not in out
    assert "+1.0000" in [cell.strip() for line in out.splitlines() for cell in line.split("|")]


def test_a_difference_of_grades_is_no_percentage(compare):
    rows("one.jsonl", [2, 3, 5]), rows("other.jsonl", [4, 4, 7])
    assert compare("one.jsonl", "other.jsonl", "--out", "run")[0] == 0
    (headline,) = json.loads(Path("run/results.json").read_text())["headline"]
    assert headline["value"] == pytest.approx(5 / 3) and headline.get("unit", "") == ""


def test_items_of_one_only_are_counted_and_not_compared(compare):
    _, out, _ = compare(rows("a.jsonl", [0, 1, 0, 1, 1]), rows("b.jsonl", [0, 1, 1]))
    assert cells(out)[0]["n"] == "3"
    assert "WARNING: items: 2 of 5 items are only in a.jsonl and not compared" in out


def test_the_same_ids_with_other_questions_are_not_comparable(compare):
    Path("b.jsonl").write_text('{"id": 0, "score": 1, "question": "Another one?"}\n')
    _, out, _ = compare(rows("a.jsonl", [0]), "b.jsonl")
    assert "NOT COMPARABLE: 1 of 1 items with the same id have another prompt" in out
    assert cells(out)[0]["verdict"] == "within noise, NOT COMPARABLE"


def test_items_without_a_score_are_left_out_and_counted(compare):
    Path("b.jsonl").write_text('{"id": 0, "score": null}\n{"id": 1, "score": NaN}\n{"id": 2, "score": 1}\n')
    _, out, _ = compare(rows("a.jsonl", [1, 1, 1]), "b.jsonl")
    assert cells(out)[0]["n"] == "1"
    assert "2 items have no score in a.jsonl or in b.jsonl" in out


def test_several_samples_of_an_item_count_as_their_mean(compare):
    Path("b.jsonl").write_text("".join(f'{{"id": {n // 2}, "score": {n % 2}}}\n' for n in range(8)))
    _, out, _ = compare(rows("a.jsonl", [0, 1, 0, 1]), "b.jsonl")
    assert cells(out)[0]["b.jsonl"] == "0.5000"
    assert "samples an item: 1 in a.jsonl, 2 in b.jsonl" in out


def test_two_runs_are_compared_by_task_and_metric_and_corrected_for_all(compare):
    evaluate("one")
    evaluate("two", prefer=" in a reed bed")
    status, out, _ = compare("one", "two", "--json")
    found = json.loads(out)
    assert status == 0
    assert [(row["task"], row["metric"]) for row in found["rows"]] == [
        *(("arc_challenge", metric) for metric in ("acc", "acc_norm", "acc_bytes")),
        ("mmlu", "acc"),
    ]
    arc = found["rows"][0]
    assert (arc["fixed"], arc["broken"]) == ([], ["q1"])
    assert found["comparisons"] == 4
    assert all(row["p_holm"] >= row["p"] for row in found["rows"])


def test_what_both_said_is_shown_beside_the_gold_answer(compare):
    evaluate("one", tasks="arc_challenge")
    evaluate("two", prefer=" a stone", tasks="arc_challenge")
    _, out, _ = compare("one", "two", "--items", "changed.jsonl")
    assert "- q1  Question: What does a marn eat? Answer:" in out
    assert "one: some moss · two: a stone · gold: some moss" in out
    changed = [json.loads(line) for line in Path("changed.jsonl").read_text().splitlines()]
    assert {"id": "q1", "metric": "acc", "change": "broken", "predictions": ["some moss", "a stone"]}.items() <= (
        changed[0].items()
    )


def test_another_number_of_shots_is_told_loudly(compare):
    evaluate("one", tasks="arc_challenge")
    evaluate("two", "--shots", "2", tasks="arc_challenge")
    _, out, _ = compare("one", "two")
    assert "WARNING: arc_challenge: NOT COMPARABLE: shots is 0 and 2 in one and two" in out


def test_other_data_are_told_loudly(compare):
    evaluate("one", tasks="piqa")
    Path("data/piqa_valid.jsonl").unlink(missing_ok=True)
    Path("data/piqa_valid.jsonl.gz").unlink(missing_ok=True)
    row = {"goal": "dry a boot", "choices": ["put it near a fire", "leave it"], "answer": 0}
    Path("data/piqa_valid.jsonl").write_text(json.dumps(row) + "\n")
    evaluate("two", tasks="piqa")
    _, out, _ = compare("one", "two")
    assert "NOT COMPARABLE: sha256 is " in out
    assert "1 of 1 items with the same id have another prompt or other choices" in out


def test_groups_can_be_compared_by_themselves(compare):
    evaluate("one", tasks="mmlu")
    evaluate("two", prefer=" B", tasks="mmlu")
    _, out, _ = compare("one", "two", "--by-group")
    assert [row["task"] for row in cells(out)] == ["mmlu", "– anatomy", "– sociology"]
    assert "over items, not over its 2 groups" in out


def test_three_runs_are_each_compared_with_the_first(compare):
    for name, scores in (("a", [0, 1]), ("b", [1, 1]), ("c", [0, 0])):
        rows(f"{name}.jsonl", scores)
    _, out, _ = compare("a.jsonl", "b.jsonl", "c.jsonl")
    assert [(row["run"], row["fixed"], row["broken"]) for row in cells(out)] == [
        ("b.jsonl", "1", "0"),
        ("c.jsonl", "0", "1"),
    ]


def samples(name, passing):
    """A run of programs: two tasks with four samples each, so many of which pass."""
    run = Path(name)
    run.mkdir()
    lines = [
        json.dumps({"task_id": f"T/{t}", "completion": "x", "result": "", "passed": s < c, "sample": s, "step": 1})
        for t, c in enumerate(passing)
        for s in range(4)
    ]
    (run / "humaneval-step1.jsonl").write_text("\n".join(lines) + "\n")
    (run / "results.json").write_text("{}")
    return name


def test_programs_with_several_samples_are_compared_by_pass_at_k(compare):
    _, out, _ = compare(samples("a", [0, 1]), samples("b", [2, 1]), "--k", "1,2")
    first, second = cells(out)
    assert (first["metric"], first["a"], first["b"], first["fixed"]) == ("pass@1", "0.1250", "0.3750", "1")
    assert (second["metric"], second["a"], second["b"]) == ("pass@2", "0.2500", "0.6667")


def test_a_run_that_is_not_finished_is_told(compare):
    samples("a", [1])
    samples("b", [1])
    (Path("b") / "results.json").unlink()
    assert "WARNING: b is not finished (no results.json)" in compare("a", "b")[1]


def test_predictions_measured_by_the_metrics_are_compared(compare):
    for name, said in (("a", ["the Nile", "Rhine", "Po"]), ("b", ["Nile", "Main", "Po"])):
        answers = [{"id": n, "prediction": p, "reference": r} for n, (p, r) in enumerate(zip(said, GOLD, strict=True))]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
        assert main(["metrics", "em,rouge", f"{name}.jsonl", "--items", f"{name}-scores.jsonl"]) == 0
    _, out, _ = compare("a-scores.jsonl", "b-scores.jsonl")
    assert [row["metric"] for row in cells(out)] == ["exact match", "ROUGE-1", "ROUGE-2", "ROUGE-L"]
    assert (cells(out)[0]["fixed"], cells(out)[0]["broken"]) == ("1", "0")
    assert "a-scores.jsonl: Rhine · b-scores.jsonl: Main · gold: Main" in out


def test_turns_of_a_conversation_are_items_of_one_group(compare):
    for name, more in (("a.jsonl", 0), ("b.jsonl", 1)):
        grades = [{"question_id": q, "turn": t, "score": 5 + more * (t == 2)} for q in range(12) for t in (1, 2)]
        Path(name).write_text("".join(json.dumps(grade) + "\n" for grade in grades))
    _, out, _ = compare("a.jsonl", "b.jsonl")
    assert (cells(out)[0]["n"], cells(out)[0]["fixed"]) == ("24", "12")
    assert "interval and p are over 12 groups of items" in out


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ('{"id": 1, "score": 1}', '{"id": 2, "score": 1}', "no item is in both: a.jsonl has 1; b.jsonl has 2"),
        (
            '{"id": 1, "score": 1}',
            '{"id": 1, "size": 3}',
            "no field is known for a score (fields with numbers: id, size)",
        ),
        (
            '{"id": 1, "score": 1}',
            '{"name": 1}',
            "b.jsonl:1: no field id or task_id or question_id or instruction (its fields: name)",
        ),
        ('{"id": 1, "score": 1}', '{"id": 1, "sc', "b.jsonl:1: not JSON"),
        ('{"id": 1, "score": 1}', "[1]", "b.jsonl:1: is not an object"),
        ('{"id": 1, "score": 1}', "", "holds no rows"),
        ('{"id": 1, "score": 1}', '{"id": 1, "f1": 1}', "no metric is in both: a.jsonl has score; b.jsonl has f1"),
    ],
)
def test_what_cannot_be_compared_is_named_with_its_place(compare, first, second, said):
    Path("a.jsonl").write_text(first + "\n")
    Path("b.jsonl").write_text(second + "\n" if second else "")
    status, _, err = compare("a.jsonl", "b.jsonl")
    assert status == 2
    assert said in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a.jsonl",), "one run compares with nothing"),
        (("a.jsonl", "none"), "no such file or folder"),
        (("a.jsonl", "."), "holds no scores of items"),
        (("a.jsonl", "a.jsonl", "--tasks", "mmlu"), "mmlu: no such task is in both"),
        (("a.jsonl", "a.jsonl", "--score", "acc"), "no field 'acc'"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(compare, arguments, said):
    rows("a.jsonl", [0, 1])
    status, _, err = compare(*arguments)
    assert status == 2
    assert said in err


def test_a_run_folder_is_written_and_may_be_written_again(compare):
    a, b = rows("a.jsonl", [0, 0, 1]), rows("b.jsonl", [1, 0, 0])
    compare(a, b, "--out", "out")
    kept = {name: (Path("out") / name).read_bytes() for name in ("results.json", "items.jsonl")}
    assert "What is 0?" in Path("out/report.html").read_text()
    assert [json.loads(line)["change"] for line in kept["items.jsonl"].splitlines()] == ["fixed", "broken"]
    assert compare(a, b, "--out", "out")[0] == 0
    assert kept == {name: (Path("out") / name).read_bytes() for name in kept}
    rows("b.jsonl", [1, 1, 1])
    status, _, err = compare(a, b, "--out", "out")
    assert status == 2
    assert "the recipe has changed" in err


@pytest.mark.slow
def test_a_kill_leaves_whole_files_or_none(place, compare):
    a, b = rows("a.jsonl", [0, 1] * 3000), rows("b.jsonl", [1, 0] * 3000)
    command = [sys.executable, "-m", "tandem.cli.main", "compare", a, b, "--items", "changed.jsonl", "--out", "out"]
    for wait in (0.3, 0.6, 0.9):
        began = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(wait)
        os.kill(began.pid, signal.SIGKILL)
        began.wait()
        for file in (Path("changed.jsonl"), Path("out/items.jsonl")):
            assert not file.exists() or len([json.loads(line) for line in file.read_text().splitlines()]) == 6000
    assert compare(a, b, "--items", "changed.jsonl", "--out", "out")[0] == 0
    assert json.loads(Path("out/results.json").read_text())["kind"] == "Results"
