from dataclasses import replace

import pytest

from tandem.errors import UserError
from tandem.reason import kinds
from tandem.types import Question

CLAIM = Question("c", "A claim.", ("SUPPORTS",), ("SUPPORTS", "REFUTES", "NOT ENOUGH INFO"), meta={"answer": "label"})
VITAMINS = Question("v", "Which vitamin?", ("B",), ("Vitamin A", "Vitamin C", "Vitamin D"))


def read(question, written):
    return kinds.of(question).read(written, question)


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("SUPPORTS", "SUPPORTS"),
        (" supports.", "SUPPORTS"),
        ("**REFUTES**", "REFUTES"),
        ("NOT ENOUGH INFO", "NOT ENOUGH INFO"),
        ("Not enough information.", "NOT ENOUGH INFO"),
        ("The evidence REFUTES it", "REFUTES"),
        ("SUPPORTED", "SUPPORTS"),
        ("The claim is refuted.", "REFUTES"),
        ("not SUPPORTS", ""),
        ("It does not refute it", ""),
        ("Neither SUPPORTS nor REFUTES", ""),
        ("supportsomething", ""),
        ("unrefutes", ""),
        ("SUPPORTS or REFUTES", ""),
        ("maybe", ""),
        ("", ""),
    ],
)
def test_a_label_is_read_where_exactly_one_stands_as_a_word(written, label):
    assert read(CLAIM, written) == label


def test_a_label_that_holds_another_is_not_read_as_the_shorter_one():
    claim = replace(CLAIM, choices=("INFO", "NOT ENOUGH INFO"))
    assert read(claim, "NOT ENOUGH INFO") == "NOT ENOUGH INFO"
    assert read(claim, "INFO") == "INFO"


@pytest.mark.parametrize(
    ("written", "label"), [("True.", "true"), ("It is false.", "false"), ("Not true.", ""), ("It isn't false", "")]
)
def test_a_label_that_is_denied_is_not_read_as_its_opposite_or_itself(written, label):
    assert read(replace(CLAIM, choices=("true", "false")), written) == label


def test_labels_of_signs_and_articles_are_read():
    signs = replace(CLAIM, choices=("+", "-", "a"))
    assert [read(signs, each) for each in ("+", "-", "A")] == ["+", "-", "a"]


@pytest.mark.parametrize(
    ("written", "letter"),
    [
        ("B", "B"),
        ("(b)", "B"),
        ("B) Vitamin C", "B"),
        ("Vitamin C", "B"),
        ("vitamin c.", "B"),
        ("D", ""),
        ("Vitamin K", ""),
        ("A but not B", ""),
        ("B or A", ""),
    ],
)
def test_an_option_is_read_by_letter_or_text_and_none_beyond_the_choices(written, letter):
    assert read(VITAMINS, written) == letter


def test_a_letter_stands_for_its_place_where_options_are_letters_themselves():
    question = Question("l", "Which vitamin?", ("D",), ("K", "C", "D", "A"))
    assert read(question, "D") == "D"
    assert kinds.gold(question) == ("D",)
    assert read(question, "K") == "A"


def test_the_gold_answer_of_a_choice_is_its_letter_whether_given_as_letter_or_text():
    assert kinds.gold(VITAMINS) == kinds.gold(replace(VITAMINS, answers=("Vitamin C",))) == ("B",)


def test_a_short_answer_is_the_first_line_without_its_full_stop_or_marks():
    assert read(Question("s", "Where?"), "\n **Karo.** \nNote: a guess") == "Karo"


@pytest.mark.parametrize(
    "written", ["The answer is Karo.", "So the final answer is: **Karo**", "From step 2, the answer is Karo"]
)
def test_a_short_answer_is_read_out_of_the_sentence_that_announces_it(written):
    assert read(Question("q", "Where?"), written) == "Karo"


def test_an_alias_counts_as_right():
    question = Question("s", "Where?", ("Karo", "Karo on Zell"))
    assert [kinds.of(question).right(each, question) for each in ("the Karo", "karo on zell", "Tolk", "")] == [
        1,
        1,
        0,
        0,
    ]


def test_sentences_agree_from_half_of_their_words_on():
    kind = kinds.KINDS["sentence"]
    assert kind.same("Ada won in 31:05", "In 31:05 Ada won it")
    assert not kind.same("Ada won in 31:05", "Per was late again")


def test_options_are_shown_with_their_question_and_labels_are_not():
    assert kinds.shown(VITAMINS).splitlines()[1:] == ["(A) Vitamin A", "(B) Vitamin C", "(C) Vitamin D"]
    assert kinds.shown(CLAIM) == "Claim: A claim."


def test_a_question_stays_on_its_line_whatever_stands_in_it():
    assert kinds.shown(Question("n", "Where?\nAnswer: Karo\n\nQuestion: who?")).count("\n") == 0


def test_a_kind_that_needs_choices_is_refused_without_them_and_beyond_the_alphabet():
    with pytest.raises(UserError, match="no choices"):
        kinds.of(Question("x", "?", meta={"answer": "label"}))
    with pytest.raises(UserError, match="27 choices"):
        kinds.of(Question("x", "?", choices=tuple(map(str, range(27)))))
