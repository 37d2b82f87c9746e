"""The form of answers: SQuAD's published rule, and where ours says more."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.metrics.normalise import answer_form, answer_forms, normalise_answer


def as_published(text):
    """SQuAD's steps one after the other."""
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def test_answers_are_compared_without_case_articles_and_punctuation():
    assert normalise_answer("The  Eiffel-Tower!") == normalise_answer("eiffeltower")
    assert normalise_answer("a cat") != normalise_answer("a cart")


words = st.sampled_from(
    ["a", "An", "THE", "the-", "cat", "+", "x.y", "\n", "\x1f", "–a", "“the”", "Élan", "theatre", "_"]
)


@given(st.lists(words | st.text(st.characters(max_codepoint=127), max_size=4), max_size=6).map(" ".join))
def test_the_form_is_the_published_one(text):
    assert normalise_answer(text) == as_published(text)


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    assert normalise_answer(normalise_answer(text)) == normalise_answer(text)


@pytest.mark.parametrize("text", ["C:\u0327", "J\u030c", "\u037e", "\u212a", "\u0130"])
def test_normalising_twice_changes_nothing_where_marks_meet_late(text):
    assert normalise_answer(normalise_answer(text)) == normalise_answer(text)


def test_an_accent_counts_however_it_is_encoded():
    assert normalise_answer("e\u0301lan") == normalise_answer("\u00e9lan") != normalise_answer("elan")


@pytest.mark.parametrize(("one", "other"), [("A", "The"), ("+", "-"), ("A+", "A")])
def test_answers_of_which_nothing_is_left_stay_as_they_are(one, other):
    assert not normalise_answer(one) and not normalise_answer(other)
    assert answer_form(one) != answer_form(other)
    assert answer_form(one.lower()) == answer_form(f" {one} ")


@given(st.lists(st.lists(words | st.text(max_size=4), max_size=5).map(" ".join), max_size=6))
def test_forms_of_many_are_those_of_each(texts):
    assert answer_forms(texts) == [answer_form(text) for text in texts]
