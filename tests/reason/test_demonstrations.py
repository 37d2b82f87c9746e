import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from reasoning_sample import answered, model

from tandem.errors import UserError
from tandem.evaluate.multiple_choice.overlap import overlaps
from tandem.lm.scripted import Rule
from tandem.reason import kinds
from tandem.reason.chains import Asking
from tandem.reason.chains import read as read_chain
from tandem.reason.demonstrations import SETS, read, shipped, write
from tandem.reason.plain import cot
from tandem.types import Completion, Usage

REAL = Path(__file__).parents[3] / "shared" / "data"
KINDS = dict(zip(("short", "label", "letter", "sentence"), SETS, strict=True))
ALL = [d for kind in KINDS for d in shipped(kind, 6)]


@pytest.mark.parametrize("kind", KINDS)
def test_each_set_has_six_complete_examples_of_its_kind(kind):
    for d in shipped(kind, 6):
        assert kinds.of(d.question).name == kind
        assert d.steps and d.domains
        assert all(w.question.endswith("?") and w.passage and w.checked for w in d.steps)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_three_steps_of_a_set_show_a_correction_and_a_confirmation(kind):
    steps = [w for d in shipped(kind, 6) for w in d.steps][:3]  # what methods that check steps show
    assert {w.text == w.checked for w in steps} == {True, False}


def test_answers_of_claims_and_choices_are_not_all_the_same():
    assert {d.answer for d in shipped("label", 6)} == {"SUPPORTS", "REFUTES", "NOT ENOUGH INFO"}
    assert {d.answer for d in shipped("letter", 6)} == {"A", "B", "C", "D"}


@pytest.mark.parametrize("shots", [-1, 7])
def test_more_examples_than_there_are_are_an_error(shots):
    with pytest.raises(UserError, match="give 0 to 6"):
        shipped("short", shots)


def texts(value):
    """Every text in a row that can be a question, without the options and answers."""
    for name in ("question", "claim", "instruction", "prompt", "input", "goal", "sentence", "ctx", "ctx_a", "text"):
        if isinstance(value.get(name), str) and value[name].strip():
            yield value[name]


def test_no_shipped_example_is_an_item_of_a_benchmark_or_shares_13_words_in_a_row_with_one():
    """The same question, or 13 words in a row: the published demonstrations were test items in places."""
    if not REAL.exists():
        pytest.skip(f"the benchmark files are not here ({REAL}): the shipped demonstrations are NOT held against them")
    shown = [
        (
            d.question.text,
            " ".join(
                [
                    d.question.text,
                    *d.question.context,
                    *(f"{w.text} {w.question} {w.passage} {w.checked} {w.page}" for w in d.steps),
                ]
            ),
        )
        for d in ALL
    ]
    items = []
    for folder in ("questions", "choices", "instructions"):
        for file in sorted((REAL / folder).glob("*.jsonl.gz")):
            with gzip.open(file, "rt", encoding="utf-8") as lines:
                items += [text for line in lines for text in texts(json.loads(line))]
    assert len(items) > 50_000
    assert [(items[hit.item], ALL[hit.text].question.text) for hit in overlaps(items, shown)] == []


def test_a_test_item_among_examples_is_found_by_that_check():
    d = ALL[0]
    assert [hit.kind for hit in overlaps([d.question.text.upper()], [(d.question.text, d.question.text)])] == [
        "same question"
    ]


GOOD = {"question": "Where is it?", "answer": "There", "steps": ["It is there."]}


def written(folder, *rows):
    file = folder / "mine.jsonl"
    file.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return file


def test_examples_of_ones_own_need_a_question_and_an_answer_and_steps_may_be_sentences(tmp_path):
    (d,) = read(written(tmp_path, GOOD))
    assert (d.answer, d.steps[0].text, d.steps[0].passage) == ("There", "It is there.", "")
    assert read(written(tmp_path, {"question": "?", "answer": "x"}))[0].steps == ()


@pytest.mark.parametrize(
    "wrong",
    [
        "{",
        [1],
        {"question": "?"},
        GOOD | {"steps": "one"},
        GOOD | {"steps": [{"txt": "x"}]},
        GOOD | {"steps": [{"text": "x", "passage": 3}]},
        GOOD | {"steps": [{"text": "x", "passage": "y", "page": "z"}]},
        GOOD | {"anwser": "x"},
        GOOD | {"choices": ["x", "y"]},
        GOOD | {"kind": "label"},
        GOOD | {"domains": "medical"},
    ],
)
def test_an_example_that_does_not_fit_is_named_with_its_line(tmp_path, wrong):
    with pytest.raises(UserError, match=r"mine\.jsonl:2|question .*mine\.jsonl:2"):
        read(written(tmp_path, GOOD, wrong))


def test_a_file_without_examples_is_an_error(tmp_path):
    with pytest.raises(UserError, match="holds no demonstration"):
        read(written(tmp_path, ""))


def test_a_model_that_writes_as_the_shipped_examples_do_is_understood():
    lm = model(Rule((" x.\nAnswer: x",)), text=False)
    for d in ALL:
        answered(cot, replace(d.question, answers=()), lm, asking=Asking((d,)))
        (prompt, _, _) = lm.calls[0]
        lm.calls.clear()
        written = next(turn.content for turn in prompt.messages if turn.role == "assistant")
        chain = read_chain(d.question, Completion(written, "stop", None, Usage(1, 1), "m"))
        assert chain.steps == tuple(w.checked or w.text for w in d.steps)
        assert kinds.of(d.question).same(chain.answer, d.answer)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_again(kind, tmp_path):
    shown = shipped(kind, 6)
    write(shown, tmp_path / "shown.jsonl")
    again = read(tmp_path / "shown.jsonl")
    assert [replace(d, question=replace(d.question, id="")) for d in again] == [
        replace(d, question=replace(d.question, id="")) for d in shown
    ]
