"""Conversation files in every form people have them, and every way in which they can be wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.train.conversations import Conversation, pair, read
from tandem.types import Message

REAL = Path(__file__).parents[2].parent / "shared/data/instructions"

USER, ANSWER = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}


def written(tmp_path: Path, *records: object, name: str = "data.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def turns(conversation: Conversation) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in conversation.messages]


FORMS = [
    ("chat", {"messages": [USER, ANSWER]}, [("user", "Why?"), ("assistant", "Because.")]),
    (
        "ShareGPT",
        {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]},
        [("user", "Why?"), ("assistant", "Because.")],
    ),
    (
        "ShareGPT",
        {"system": "Be kind.", "conversations": [{"from": "user", "value": "A"}, {"from": "assistant", "value": "B"}]},
        [("system", "Be kind."), ("user", "A"), ("assistant", "B")],
    ),
    ("Alpaca", {"instruction": "Add.", "output": "3"}, [("user", "Add."), ("assistant", "3")]),
    (
        "Alpaca",
        {"instruction": "Add.", "input": "1 2", "output": "3", "system": "Maths."},
        [("system", "Maths."), ("user", "Add.\n\n1 2"), ("assistant", "3")],
    ),
    (
        "Alpaca",
        {"instruction": "And 2?", "output": "4", "history": [["And 1?", "2"]]},
        [("user", "And 1?"), ("assistant", "2"), ("user", "And 2?"), ("assistant", "4")],
    ),
    ("pairs", {"prompt": "Hi", "response": "Hello"}, [("user", "Hi"), ("assistant", "Hello")]),
    ("pairs", {"prompt": "Hi", "completion": "Hello"}, [("user", "Hi"), ("assistant", "Hello")]),
]


@pytest.mark.parametrize(("form", "record", "expected"), FORMS)
def test_every_form_is_recognised_from_its_keys(tmp_path, form, record, expected):
    reading = read(written(tmp_path, record))
    assert dict(reading.forms) == {form: 1}
    assert [turns(c) for c in reading.conversations] == [expected]


def test_all_forms_may_stand_in_one_file(tmp_path):
    reading = read(written(tmp_path, *(record for _, record, _ in FORMS)))
    assert [turns(c) for c in reading.conversations] == [expected for _, _, expected in FORMS]


def test_a_self_instruct_record_becomes_one_conversation_per_instance(tmp_path):
    instances = [{"input": "1 2", "output": "3"}, {"input": "", "output": "0"}]
    reading = read(written(tmp_path, {"id": "s", "name": "sums", "instruction": "Add.", "instances": instances}))
    assert [c.opening for c in reading.conversations] == ["Add.\n\n1 2", "Add."]
    assert {c.task for c in reading.conversations} == {"sums"}
    assert len({c.id for c in reading.conversations}) == 2


def test_id_task_and_type_are_kept_and_a_missing_id_names_the_line(tmp_path):
    labelled = {"messages": [USER, ANSWER], "id": 7, "task": "why", "type": "reasons"}
    first, second = read(written(tmp_path, labelled, {"messages": [USER, ANSWER]})).conversations
    assert (first.id, first.task, first.type) == ("7", "why", "reasons")
    assert (second.id, second.task, second.type) == ("data.jsonl:2", None, None)


def test_a_repeated_id_gets_its_line_and_is_counted(tmp_path):
    reading = read(written(tmp_path, *[{"id": "x", "prompt": "Hi", "response": "Hello"}] * 3))
    assert len({c.id for c in reading.conversations}) == 3
    assert reading.renamed == 2


def test_a_json_array_reads_like_json_lines(tmp_path):
    records = [record for _, record, _ in FORMS]
    array = tmp_path / "data.json"
    array.write_text("\ufeff" + json.dumps(records, indent=2))
    assert [c.messages for c in read(array).conversations] == [
        c.messages for c in read(written(tmp_path, *records)).conversations
    ]


def test_gzip_is_recognised_by_content_not_by_name(tmp_path):
    plain = written(tmp_path, {"prompt": "Hi", "response": "Hello"})
    packed = tmp_path / "packed.jsonl"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read(packed).conversations[0].messages == read(plain).conversations[0].messages


def test_an_unanswered_last_turn_is_left_away_and_counted(tmp_path):
    reading = read(written(tmp_path, {"messages": [USER, ANSWER, USER]}))
    assert turns(reading.conversations[0])[-1] == ("assistant", "Because.")
    assert reading.trimmed == 1


def test_an_empty_system_turn_is_no_system_turn(tmp_path):
    reading = read(written(tmp_path, {"messages": [{"role": "system", "content": " "}, USER, ANSWER]}))
    assert turns(reading.conversations[0])[0][0] == "user"


SYSTEM = {"role": "system", "content": "Be kind."}
BAD = [
    ({"messages": [ANSWER]}, "the assistant speaks first (turn 1)"),
    ({"messages": [SYSTEM, ANSWER]}, "the assistant speaks first (turn 2)"),
    ({"messages": [USER, USER, ANSWER]}, "two user turns in a row (turns 1 and 2)"),
    ({"messages": [USER, ANSWER, ANSWER]}, "two assistant turns in a row (turns 2 and 3)"),
    ({"messages": [USER, SYSTEM, ANSWER]}, "turn 2 is a system turn"),
    ({"messages": [{"role": "oracle", "content": "x"}, ANSWER]}, "unknown role 'oracle'"),
    ({"messages": [USER, {"role": "assistant", "content": " \n"}]}, "the assistant's answer in turn 2 is empty"),
    ({"messages": [{"role": "user", "content": ""}, ANSWER]}, "the user's turn in turn 1 is empty"),
    ({"messages": [USER]}, "no assistant turn"),
    ({"messages": []}, "no assistant turn"),
    ({"messages": "Why?"}, "`messages` is a list of turns, this is text"),
    ({"messages": [USER, {"role": "assistant", "content": None}]}, "turn 2 (assistant) says nothing instead of text"),
    ({"messages": [USER, "Because."]}, "turn 2 of `messages` is text"),
    ({"messages": [USER, {"role": "assistant", "content": "\ud800"}]}, "half a surrogate pair"),
    ({"instruction": "Add."}, "`output` is missing"),
    ({"instruction": "Add.", "output": 3}, "`output` is a number instead of text"),
    ({"instruction": "Add.", "instances": []}, "`instances`"),
    ({"prompt": "Hi", "response": "Hello", "task": 3}, "`task` is a number instead of text"),
    ({"text": "Hi"}, "no known form: it has the keys text"),
]


@pytest.mark.parametrize(("record", "problem"), BAD)
def test_a_bad_record_is_named_with_file_line_and_problem(tmp_path, record, problem):
    path = written(tmp_path, {"prompt": "Hi", "response": "Hello"}, record)
    with pytest.raises(UserError) as caught:
        read(path)
    assert caught.value.where == f"{path}:2"
    assert problem in caught.value.problem


def test_bad_records_can_be_skipped_and_are_counted_with_their_reasons(tmp_path):
    good = {"prompt": "Hi", "response": "Hello"}
    path = written(tmp_path, good, *(record for record, _ in BAD), good)
    with path.open("ab") as f:
        f.write(b'{"prompt": "Hi", "respo\n{"prompt": "\xff"}\n5\n')
    reading = read(path, on_bad="skip")
    assert len(reading.conversations) == 2
    assert len(reading.skipped) == len(BAD) + 3
    for skipped, (_, problem) in zip(reading.skipped, BAD):
        assert problem in skipped.reason
    assert [s.reason.split(" (")[0] for s in reading.skipped[-3:-1]] == ["not JSON", "not UTF-8 at byte 12 of the line"]
    assert reading.skipped[-1].where == f"{path}:{len(BAD) + 5}"


def test_in_a_json_array_the_line_of_the_bad_record_is_named(tmp_path):
    path = tmp_path / "data.json"
    path.write_text('[\n {"prompt": "Hi",\n  "response": "Hello"},\n\n {"prompt": "Hi"}\n]\n')
    with pytest.raises(UserError) as caught:
        read(path)
    assert caught.value.where == f"{path}:5"


@pytest.mark.parametrize("text", ['[{"prompt": "Hi", "response": "Hello"}', '[{"prompt": "Hi"', "[", '[{"a": 1}] [1]'])
def test_a_json_array_that_is_cut_short_is_an_error_even_when_skipping(tmp_path, text):
    path = tmp_path / "data.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"data\.json"):
        read(path, on_bad="skip")


def test_a_truncated_gzip_file_is_an_error_even_when_skipping(tmp_path):
    path = tmp_path / "data.jsonl.gz"
    lines = "".join(json.dumps({"prompt": f"Hi {i}", "response": "Hello"}) + "\n" for i in range(1000))
    path.write_bytes(gzip.compress(lines.encode())[:-200])
    with pytest.raises(UserError, match="cut short"):
        read(path, on_bad="skip")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError) as caught:
        read(tmp_path / "nowhere.jsonl")
    assert "nowhere.jsonl" in str(caught.value)


def test_a_file_without_anything_usable_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no conversation to learn from: 1 records skipped"):
        read(written(tmp_path, {"text": "Hi"}), on_bad="skip")


SAYING = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(str.strip)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(SAYING, SAYING), min_size=1, max_size=4))
def test_whatever_is_said_comes_back_unchanged(tmp_path_factory, said):
    messages = [m for q, a in said for m in ({"role": "user", "content": q}, {"role": "assistant", "content": a})]
    path = written(tmp_path_factory.mktemp("said"), {"messages": messages})
    assert read(path).conversations[0].messages == tuple(Message(m["role"], m["content"]) for m in messages)


def test_a_pair_is_the_conversation_its_record_reads_as(tmp_path):
    record = {"id": "a", "prompt": "Hi", "response": "Hello", "task": "greet", "type": "talk"}
    assert read(written(tmp_path, record)).conversations == (pair("a", "Hi", "Hello", "greet", "talk"),)


@pytest.mark.parametrize(
    ("name", "usable", "skipped"),
    [
        ("self_instruct_seeds", 175, 0),
        ("code_alpaca_2k", 2015, 2),
        ("alpaca_eval_text_davinci_003_outputs", 803, 2),
        ("alpaca_eval_gpt4_turbo_outputs", 805, 0),
    ],
)
def test_published_instruction_files_are_read(name, usable, skipped):
    path = REAL / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is missing: published instruction files are not read in this run")
    reading = read(path, on_bad="skip")
    assert (len(reading.conversations), len(reading.skipped)) == (usable, skipped)
    assert all(s.reason == "the assistant's answer in turn 2 is empty" for s in reading.skipped)


def test_a_published_question_file_without_answers_is_refused():
    path = REAL / "wizardlm_testset.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is missing: the refusal of a real file without answers is not tested in this run")
    with pytest.raises(UserError, match="`output` is missing"):
        read(path)
