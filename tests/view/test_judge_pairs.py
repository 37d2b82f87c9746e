"""Reading two sides: joined by id, everything left out is counted, everything strange has its place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from judge_sample import write

from tandem.errors import UserError
from tandem.view.judging import pairs
from tandem.view.judging.pairs import Fields, Joined


def joined(a: Path, b: Path, *show: str, prompt: str = "") -> Joined:
    fields = Fields(prompt=prompt, show=show)
    return pairs.join(pairs.side(a, "a", fields), pairs.side(b, "b", fields), show)


def test_sides_are_joined_by_id_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    rows = [{"id": i, "prompt": f"p{i}", "output": f"a{i}"} for i in range(5)]
    a = write(tmp_path / "a.jsonl", rows)
    failed = {"id": 3, "prompt": "p3", "error": {"kind": "server", "message": "down"}}
    b = write(tmp_path / "b.jsonl", [{"id": "1", "output": "b1"}, {"id": 2, "completion": "?", "output": "b2"}, failed])
    found = joined(a, b)
    assert [(p.id, p.prompt, p.answers) for p in found.pairs] == [("1", "p1", ("a1", "b1")), ("2", "p2", ("a2", "b2"))]
    assert (found.unmatched, found.unanswered, found.alike) == ((2, 0), 1, 0)


@pytest.mark.parametrize(
    "row",
    [
        {"id": "x", "prompt": "p", "output": " kept \n"},
        {"task_id": "x", "instruction": "p", "completion": " kept \n"},
        {"question_id": "x", "question": "p", "response": " kept \n", "prompt": "with demonstrations: p"},
        {"id": "x", "prompt": "p", "model": "m", "answers": [{"text": " kept \n", "finish": "stop"}, {"text": "2"}]},
        {"id": "x", "instruction": "p", "output_1": "the baseline's", "output_2": " kept \n", "preference": 1.5},
        {"id": "x", "question": "p", "answer": 12, "written": " kept \n"},
        {"id": "x", "messages": [{"role": "user", "content": "p"}], "text": " kept \n"},
    ],
)
def test_the_usual_fields_are_found_and_white_space_stays(tmp_path: Path, row: dict[str, object]) -> None:
    """`answers` is what `tandem generate` writes."""
    found = joined(write(tmp_path / "a.jsonl", [row]), write(tmp_path / "b.jsonl", [row]))
    assert [(p.id, p.prompt, p.answers) for p in found.pairs] == [("x", "p", (" kept \n", " kept \n"))]


def test_a_run_folder_gives_its_file_of_answers(tmp_path: Path) -> None:
    write(tmp_path / "talk-items.jsonl", [{"id": 1, "prompt": "p", "output": "o"}])
    write(tmp_path / "arc-items.jsonl", [{"id": 1, "prompt": "p", "choices": ["x"], "prediction": 0}])
    write(tmp_path / "events.jsonl", [{"event": "x", "text": "y"}])
    assert pairs.side(tmp_path, "a", Fields()).file.name == "talk-items.jsonl"
    write(tmp_path / "more-items.jsonl", [{"id": 1, "prompt": "p", "output": "o"}])
    with pytest.raises(UserError, match=r"2 files of answers: more-items\.jsonl, talk-items\.jsonl"):
        pairs.side(tmp_path, "a", Fields())
    assert pairs.side(tmp_path, "a", Fields(), task="more").file.name == "more-items.jsonl"


def test_turns_of_a_conversation_are_questions_of_their_own(tmp_path: Path) -> None:
    rows = [{"question_id": 81, "turn": turn, "question": f"p{turn}", "answer": f"a{turn}"} for turn in (1, 2)]
    found = joined(write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", rows))
    assert [(p.id, p.prompt) for p in found.pairs] == [("81, turn 1", "p1"), ("81, turn 2", "p2")]


def test_of_several_samples_the_first_counts_and_the_others_are_counted(tmp_path: Path) -> None:
    rows = [{"task_id": t, "prompt": t, "completion": f"{t}{n}", "sample": n} for t in ("x", "y") for n in range(3)]
    found = joined(write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", rows[::3]))
    assert [p.answers for p in found.pairs] == [("x0", "x0"), ("y0", "y0")]
    assert [side.further for side in found.sides] == [4, 0]


def test_a_packed_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps({"id": 1, "prompt": "p", "output": "o"}).encode()))
    assert list(pairs.side(file, "a", Fields()).rows) == ["1"]


GOOD = '{"id": 1, "prompt": "p", "output": "o"}'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": 1, "prompt": "p", "output": "again"}', "stands at"),
        ('{"prompt": "p", "output": "o"}', "has not the field 'id'"),
        ('{"id": 2, "prompt": "p"}', "has not the field 'output'"),
        ('{"id": 2, "prompt": "p", "answer": "o"}', "has not the field 'output'"),
        ('{"id": 2, "prompt": "p", "output": null}', "not a text"),
        ('{"id": 2, "prompt": 7, "output": "o"}', "not a text"),
        ('{"id": true, "prompt": "p", "output": "o"}', "id is True"),
        ('{"id": "", "prompt": "p", "output": "o"}', "id is ''"),
        ("[1]", "not an object"),
        ("{", "not JSON"),
    ],
)
def test_a_bad_line_is_named_with_its_file_and_number(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(f"{GOOD}\n{line}\n")
    with pytest.raises(UserError) as told:
        pairs.side(file, "a", Fields())
    assert said in told.value.problem and told.value.where == f"{file}:2" and told.value.remedy


def test_a_prompt_that_would_tell_the_systems_apart_is_an_error(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", [{"id": 1, "prompt": "Think step by step: q", "q": "q", "output": "o"}])
    b = write(tmp_path / "b.jsonl", [{"id": 1, "prompt": "q", "q": "q", "output": "o"}])
    with pytest.raises(UserError, match="tell the systems apart"):
        joined(a, b)
    assert joined(a, b, prompt="q").pairs[0].prompt == "q"


def test_nothing_in_common_or_no_prompt_is_an_error(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", [{"id": 1, "output": "o"}])
    with pytest.raises(UserError, match="no prompt on either side"):
        joined(a, a)
    with pytest.raises(UserError, match="no id has an answer on both sides"):
        joined(a, write(tmp_path / "b.jsonl", [{"id": 2, "output": "o"}]))


def test_shown_fields_stand_above_where_they_agree_and_beside_where_they_differ(tmp_path: Path) -> None:
    row = {"id": 1, "prompt": "p", "output": "o", "context": ["one", "two"], "rationale": "because"}
    a = write(tmp_path / "a.jsonl", [row])
    b = write(tmp_path / "b.jsonl", [{**row, "rationale": "therefore"}])
    (pair,) = joined(a, b, "context", "rationale").pairs
    assert pair.shared == (("context", "one\ntwo"),)
    assert pair.beside == ((("rationale", "because"),), (("rationale", "therefore"),))
    c = write(tmp_path / "c.jsonl", [{"id": 1, "prompt": "p", "output": "o"}])
    for sides in ((a, c), (c, a)):  # a context is of the question, a rationale of its system
        (pair,) = joined(*sides, "context", "rationale").pairs
        assert pair.shared == (("context", "one\ntwo"),) and sum(map(len, pair.beside)) == 1
    with pytest.raises(UserError, match="no row has the field 'nothing'"):
        joined(a, b, "nothing")


def test_names_are_as_long_as_it_takes_to_differ() -> None:
    assert pairs.names([Path("runs/a.jsonl"), Path("runs/b.jsonl")]) == ("a", "b")
    assert pairs.names([Path("one/items.jsonl"), Path("two/items.jsonl")]) == ("one/items", "two/items")
    assert pairs.names([Path("x.jsonl"), Path("x.jsonl")]) == ("x (A)", "x (B)")
