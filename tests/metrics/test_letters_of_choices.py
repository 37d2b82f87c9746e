"""Letters read from what models write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.metrics.letters import read_letter, score_letters


@pytest.mark.parametrize(
    ("written", "letter"),
    [
        ("B", "B"),
        (" (b) ", "B"),
        ("**B.**", "B"),
        ("The answer is (C).", "C"),
        ("the correct answer is: **C**", "C"),
        ("Answer: D because it is.", "D"),
        (r"So \boxed{B}", "B"),
        (r"$\boxed{\text{B}}$", "B"),
        ("I first thought the answer is A, but the answer is D", "D"),
        ("Option C is right, A and B are not", "C"),
        ("B) Paris", "B"),
        ("(B) Paris, not (A) Rome", "B"),
        ("B. Paris\nA. is wrong", "B"),
        ("A\nBecause it is a town", "A"),
        ("It must be (D), I think", "D"),
        ("I would say C", "C"),
    ],
)
def test_a_letter_is_read(written, letter):
    assert read_letter(written, 4) == (letter, "read")


@pytest.mark.parametrize(
    ("written", "reading"),
    [
        ("", "none"),
        ("I do not know.", "none"),
        ("A good question", "none"),
        ("the answer is a town", "none"),
        ("Either (A) or (B)", "several"),
        ("Both B and C", "several"),
        ("The answer is B or C", "several"),
        ("A and B", "several"),
        ("A or C", "several"),
        ("Both A and D", "several"),
        ("A, B", "several"),
        ("A but not B", "several"),
        ("E", "beyond"),
        ("The answer is Q.", "beyond"),
    ],
)
def test_where_no_letter_counts_it_is_said_why(written, reading):
    assert read_letter(written, 4) == ("", reading)


@given(st.text(max_size=40), st.integers(1, 26))
def test_what_is_read_is_always_a_choice(written, choices):
    letter, reading = read_letter(written, choices)
    assert (reading == "read") == (len(letter) == 1 and ord(letter) - ord("A") in range(choices))


def test_an_unread_answer_is_wrong():
    found = score_letters(["B", "no idea", "A"], ["B", "A", "C"], 4)
    assert found.right.tolist() == [1, 0, 0]
    assert found.readings == ("read", "none", "read")


def test_each_item_may_have_its_own_number_of_choices():
    assert score_letters(["D", "D"], ["C", "D"], [3, 5]).readings == ("beyond", "read")


@pytest.mark.parametrize(("references", "choices"), [(["E"], 4), (["b"], 4), (["AB"], 4), (["A"], 0), (["A"], [4, 4])])
def test_right_letters_that_cannot_be_are_refused(references, choices):
    with pytest.raises(UserError):
        score_letters(["A"], references, choices)
