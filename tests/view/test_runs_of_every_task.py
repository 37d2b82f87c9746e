"""What `tandem evaluate` writes, whatever the task, is shown, compared and judged by people without a word of help."""

from pathlib import Path

import pytest

import code_sample
import judged_sample
from tandem.cli.main import main
from tandem.evaluate.compare import compare_sides, read
from tandem.view.items import ItemFile
from tandem.view.items import record as said
from tandem.view.judging import pairs
from tandem.view.judging.pairs import Fields

JUDGE = """
[abilities]
scoring = false
logprobs = false
[[rule]]
contains = "Rating: [["
answers = ["Rating: [[6]]"]
[[rule]]
answers = ["m"]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two runs of every kind of task that is answered in words."""
    root = tmp_path_factory.mktemp("every")
    data, programs = judged_sample.folder(root / "data"), code_sample.folder(root / "programs")
    (root / "judge.toml").write_text(JUDGE)
    for name in ("one", "two"):
        (root / f"{name}.toml").write_text(f'[[rule]]\nanswers = ["This is {name}."]\n')
        model = ["--model", f"scripted:{root / name}.toml"]
        words = ["--tasks", "alpaca_eval,mt_bench,multiplication", "--data", str(data), "--set", "sizes=1x1", "items=3"]
        judge = ["--judge", f"scripted:{root / 'judge.toml'}", "--length-control", "none"]
        assert main(["evaluate", *words, *model, *judge, "--out", str(root / name)]) == 0
        many = ["--tasks", "humaneval", "--data", str(programs), "--samples-per-task", "2", "--temperature", "1"]
        assert main(["evaluate", *many, *model, "--out", str(root / f"{name}-code")]) == 0
    return root


KINDS = [
    ("one/alpaca_eval-items.jsonl", "Name a colour.", "This is one."),
    ("one/mt_bench-items.jsonl", "Write a line on moss.", "This is one."),
    ("one/multiplication-items.jsonl", "Multiply", "This is one."),
    ("one-code/humaneval-step1.jsonl", "def double", "This is one."),
]


@pytest.mark.parametrize(("file", "asked", "answered"), KINDS)
def test_a_row_shows_what_was_asked_and_what_the_model_answered(place, file, asked, answered):
    index = ItemFile(place / file).index()
    assert index.wait(None, 10)
    record = index.record(0)
    assert asked in said.prompt(record) and said.output(record) == answered


@pytest.mark.parametrize(("file", "asked", "answered"), KINDS)
def test_people_can_judge_it(place, file, asked, answered):
    """Each question once, with the answer of the model that was measured."""
    folder, name = file.split("/")
    task = name.removesuffix(".jsonl").removesuffix("-items")
    sides = [pairs.side(place / folder.replace("one", which), which, Fields(), task=task) for which in ("one", "two")]
    found = pairs.join(sides[0], sides[1])
    assert asked in found.pairs[0].prompt and found.unmatched == (0, 0)
    assert {pair.answers for pair in found.pairs} == {("This is one.", "This is two.")}


@pytest.mark.parametrize("names", [("one", "two"), ("one-code", "two-code")])
def test_two_runs_are_compared_on_every_task(place, names):
    found = compare_sides(read([Path(place / name) for name in names], []))
    tasks = {row.task for row in found.rows}
    assert tasks == ({"humaneval"} if "one-code" in names else {"alpaca_eval", "mt_bench", "multiplication"})
    assert all(row.comparable for row in found.rows)
