"""Recorded feedback against ours, on rows invented in the published form."""

import asyncio
import json

import persd_feedback
import pytest
from persd_feedback import measure, read

TASK = '"""\nAdd one.\n"""\n\n'
HEADER = "def add(x):\n"


def row(id, program, said):
    prompt = f"Mend this.\n\nTASK: \n{TASK}\n\n{program}\nERROR: \n{said}\n\n{TASK}\n"
    return {"task_id": id, "finetuning_prompt": prompt, "finetuning_completion": ""}


ROWS = [
    row(1, "def add(x):\n    return x\n", "AssertionError\nINPUT: (1)\nOUTPUT: 1\nEXPECTED: 2"),
    row(2, "def add(x:\n    return x\n", "SyntaxError: invalid syntax : "),
    row(3, "def add(x):\n    return y\n", "NameError: name 'y' is not defined : "),
    row(4, "import absent_package\ndef add(x):\n    return 3\n", "AssertionError\nINPUT: (1)\nOUTPUT: 3\nEXPECTED: 2"),
    row(5, "def add(x):\n    return {3, 1}\n", "AssertionError\nINPUT: (1)\nOUTPUT: {3, 1}\nEXPECTED: 2"),
    row(6, "def add(x):\n    print('a\\nb')\n", "AssertionError\nINPUT: (1)\nOUTPUT: a\nb\nEXPECTED: 2"),
    row(7, "def add(x): return object()", "AssertionError\nINPUT: (1)\nOUTPUT: <object object at 0x7>\nEXPECTED: 2"),
    row(8, "def other(x):\n    return 1\n", "NameError: name 'add' is not defined : "),
    row(9, "def add(x):\n    return x\n", "AssertionError\nINPUT: (1)\nOUTPUT: 7\nEXPECTED: 2"),
    row(10, "def add(f):\n    return 0\n", "AssertionError\nINPUT: (lambda: 1)\nOUTPUT: 0\nEXPECTED: 2"),
]  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    place = tmp_path_factory.mktemp("persd")
    (place / "refine.jsonl").write_text("".join(json.dumps(r) + "\n" for r in ROWS))
    direct = [{"task_id": r["task_id"], "finetuning_prompt": TASK + HEADER} for r in ROWS]
    (place / "direct.jsonl").write_text("".join(json.dumps(r) + "\n" for r in direct))
    found = asyncio.run(measure(read(place / "refine.jsonl", place / "direct.jsonl")))
    return {id: (what, why) for what, reasons in found.items() for why, ids in reasons.items() for id in ids}


@pytest.mark.parametrize("id", [1, 2, 6, 8])
def test_what_can_be_met_again_agrees(found, id):
    assert found[id][0] == "agrees"


def test_an_error_whose_call_is_not_recorded_is_not_counted_either_way(found):
    assert found[3] == ("no call recorded", "NameError")


@pytest.mark.parametrize(
    ("id", "why"),
    [
        (4, "a package is not installed here"),
        (5, "same value, written in another way"),
        (7, "same but for addresses"),
        (9, "unexplained: another output"),
        (10, "a function is an argument, and is not sent to another process"),
    ],
)
def test_a_difference_is_put_down_to_what_can_be_shown(found, id, why):
    assert found[id] == ("differs", why)


def test_numbers_are_the_same_to_one_in_a_million_and_no_nearer():
    assert persd_feedback.same_numbers("[0.1234567891, 2]", "[0.1234567899, 2]")
    assert not persd_feedback.same_numbers("0.1234", "0.1235")
