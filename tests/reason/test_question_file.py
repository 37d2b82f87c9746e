import gzip
import json

import pytest

from tandem.errors import UserError
from tandem.reason import kinds, question_file
from tandem.reason.running import without_gold


def written(folder, *rows, name="questions.jsonl"):
    file = folder / name
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    data = "".join(f"{line}\n" for line in lines).encode()
    file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return file


def read(folder, *rows, **how):
    return question_file.read(written(folder, *rows, **how))


@pytest.mark.parametrize("name", ["q.jsonl", "q.jsonl.gz"])
def test_only_a_question_is_needed_and_its_line_is_its_id(tmp_path, name):
    one, two = read(tmp_path, {"question": "Where?"}, "", {"question": " Who? "}, name=name)
    assert [(q.id, q.text, q.answers) for q in (one, two)] == [("1", "Where?", ()), ("3", "Who?", ())]


def test_answers_and_aliases_are_all_accepted_each_once(tmp_path):
    (q,) = read(
        tmp_path, {"question": "?", "answer": "Karo", "answers": ["Karo", "Karo on Zell"], "aliases": ["the Karo"]}
    )
    assert q.answers == ("Karo", "Karo on Zell", "the Karo")


@pytest.mark.parametrize(("answer", "letter"), [(1, "B"), ("B", "B"), ("In Karo", "B"), ("b", "B")])
def test_the_answer_of_a_choice_is_an_index_a_letter_or_a_text(tmp_path, answer, letter):
    (q,) = read(tmp_path, {"question": "?", "choices": ["In Brell", "In Karo"], "answer": answer})
    assert kinds.gold(q) == (letter,)


def test_an_index_means_a_place_even_where_options_are_letters_or_numbers(tmp_path):
    one, two = read(
        tmp_path,
        {"question": "?", "choices": ["K", "C", "D", "A"], "answer": 3},
        {"question": "?", "choices": ["3", "2", "1", "0"], "answer": 3},
    )
    assert kinds.gold(one) == kinds.gold(two) == ("D",)


def test_a_claim_has_the_usual_labels_or_its_own(tmp_path):
    one, two, three = read(
        tmp_path,
        {"claim": "It is.", "label": "REFUTES"},
        {"claim": "It is.", "choices": ["true", "false"], "label": "true"},
        {"claim": "It is.", "choices": ["true", "false"], "label": 1},
    )
    assert (kinds.of(one).name, one.choices) == ("label", question_file.LABELS)
    assert (two.answers, three.answers) == (("true",), ("false",))


def test_paragraphs_keep_their_titles_and_lose_the_marks_of_gold(tmp_path):
    (q,) = read(
        tmp_path, {"question": "?", "answer": "x", "paragraphs": [{"title": "T", "text": "Words.", "kind": "gold"}]}
    )
    assert (q.context, q.meta["titles"]) == (("Words.",), ["T"])
    seen = without_gold(q)
    assert (seen.answers, seen.meta) == ((), {"titles": ["T"]})


def test_a_table_becomes_a_passage_and_the_answer_a_sentence(tmp_path):
    (q,) = read(tmp_path, {"question": "?", "page_title": "Inns", "table": [["Inn", "Rooms"], ["Heron", 12]]})
    assert q.context == ("Inns | Inn | Rooms | Heron | 12",)
    assert kinds.of(q).name == "sentence"


BAD = {
    "no JSON": "{",
    "no object": "[1]",
    "no text": {"question": "  "},
    "text as a number": {"question": 3},
    "answer beyond the choices": {"question": "?", "choices": ["a", "b"], "answer": 2},
    "answer none of the choices": {"question": "?", "choices": ["x", "y"], "answer": "z"},
    "label none of the labels": {"claim": "It is.", "label": "MAYBE"},
    "answer as a list": {"question": "?", "answer": ["a", "b"]},
    "answer true": {"question": "?", "answer": True},
    "one choice": {"question": "?", "choices": ["x"]},
    "an empty choice": {"question": "?", "choices": ["x", " "]},
    "choices no texts": {"question": "?", "choices": [1, 2]},
    "unknown kind": {"question": "?", "kind": "essay"},
    "a letter without choices": {"question": "?", "kind": "letter"},
    "paragraphs without text": {"question": "?", "paragraphs": [{"title": "T"}]},
    "table no rows": {"question": "?", "table": ["a"]},
    "nested too deep": "[" * 100_000,
}


@pytest.mark.parametrize("row", BAD.values(), ids=BAD)
def test_a_row_that_does_not_fit_is_named_with_its_line(tmp_path, row):
    with pytest.raises(UserError, match=r"1 of 2 rows cannot be used:\n  line 2: \S"):
        read(tmp_path, {"question": "fine?"}, row)


def test_all_bad_rows_are_named_at_once(tmp_path):
    with pytest.raises(UserError) as raised:
        read(tmp_path, *[{"question": "?", "id": str(n)} for n in range(5)], *["{"] * 13)
    assert "13 of 18 rows" in str(raised.value)
    assert [f"line {n}: is not JSON" in str(raised.value) for n in range(6, 16)] == [True] * 10
    assert "and lines 16, 17, 18" in str(raised.value)


def test_one_bad_row_that_is_left_over_is_a_line(tmp_path):
    with pytest.raises(UserError, match=r"\n  and line 11\n"):
        read(tmp_path, *["{"] * 11)


def test_an_id_that_occurs_twice_is_a_bad_row(tmp_path):
    with pytest.raises(UserError, match="line 2: the id 'x' occurs twice"):
        read(tmp_path, {"question": "?", "id": "x"}, {"question": "!", "id": "x"})


@pytest.mark.parametrize("data", [b"", b"\n\n"])
def test_a_file_without_questions_is_an_error(tmp_path, data):
    (tmp_path / "q.jsonl").write_bytes(data)
    with pytest.raises(UserError, match="holds no questions"):
        question_file.read(tmp_path / "q.jsonl")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("q.jsonl.gz", b"not gzip"),
        ("q.jsonl.gz", gzip.compress(b'{"question": "?"}', mtime=0)[:-9]),
        ("q.jsonl", b"\xff\xfe"),
    ],
)
def test_a_file_that_cannot_be_read_says_so(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match="cannot be read"):
        question_file.read(tmp_path / name)


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    (tmp_path / "q.jsonl").write_bytes(b'\xef\xbb\xbf{"question": "?"}')
    assert len(question_file.read(tmp_path / "q.jsonl")) == 1


def test_rows_of_hotpotqa_are_read_as_published_and_as_on_the_hub(tmp_path):
    asked = {"_id": "5a", "question": "Where?", "answer": "Karo", "supporting_facts": [["Lend", 0]]}
    pairs = [["Lend", ["The Lend is long.", " It ends in Karo."]], ["Orn", ["A hill."]]]
    hub = {"title": [title for title, _ in pairs], "sentences": [told for _, told in pairs]}
    one, two = read(tmp_path, {**asked, "context": pairs}, {**asked, "_id": "5b", "context": hub})
    assert (one.id, two.id) == ("5a", "5b")
    assert one.context == two.context == ("The Lend is long. It ends in Karo.", "A hill.")
    assert one.meta["titles"] == ["Lend", "Orn"] and "supporting_facts" not in without_gold(one).meta


def test_rows_of_medmcqa_keep_their_options_and_the_right_one(tmp_path):
    row = {"question": "Which?", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "exp": "Since c."}
    one, two = read(tmp_path, {**row, "cop": 2, "id": "x"}, {**row, "cop": -1, "id": "y"})
    assert one.choices == ("a", "b", "c", "d") and kinds.gold(one) == ("C",)
    assert kinds.of(two).name == "letter" and not kinds.gold(two) and "cop" not in two.meta


def test_rows_of_fetaqa_keep_their_table_and_answer_in_a_sentence(tmp_path):
    table = [["Year", "Town"], ["1871", "Karo"]]
    row = {"feta_id": 7, "table_page_title": "Orn", "table_section_title": "Towns", "table_array": table}
    (q,) = read(tmp_path, {**row, "question": "When?", "answer": "In 1871 it was Karo."})
    assert (q.id, kinds.of(q).name) == ("7", "sentence")
    assert q.context == ("Orn | Towns | Year | Town | 1871 | Karo",)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"opa": "a", "opb": "b", "cop": 1}, "no text under `opc`"),
        ({"opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": 4}, "counts from 0, as on the hub"),
        ({"context": {"title": ["a"]}}, "nor HotpotQA's titles with sentences"),
        ({"context": [["a", "b", "c"]]}, "nor HotpotQA's titles with sentences"),
        ({"context": [["a", [1]]]}, "nor HotpotQA's titles with sentences"),
        ({"id": ["a"]}, "neither a text nor a number"),
    ],
)
def test_half_a_form_is_named_with_what_it_lacks(tmp_path, row, why):
    with pytest.raises(UserError, match=why):
        read(tmp_path, {"question": "?", **row})


def test_an_empty_id_is_none(tmp_path):
    found = read(tmp_path, {"id": "", "question": "a?"}, {"id": None, "question": "b?"}, {"id": 0, "question": "c?"})
    assert [q.id for q in found] == ["1", "2", "0"]
