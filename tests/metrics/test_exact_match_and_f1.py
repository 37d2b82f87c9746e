"""Exact match and token F1: the published rules, aliases, and the laws that hold for any answers."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.metrics.answers import AT_ONCE, CLOSED, exact_match, score_answers, token_f1
from tandem.metrics.normalise import normalise_answer

WORDS = ["the", "a", "red,", "Red", "fox", "fox.", "no", "yes", "+", "ž"]
words = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)


def f1_as_published(prediction, truth):
    """SQuAD's steps one after the other."""
    predicted, wanted = normalise_answer(prediction).split(), normalise_answer(truth).split()
    common = sum((Counter(predicted) & Counter(wanted)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(predicted), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


@given(words, words)
def test_f1_is_the_published_one_wherever_that_finds_words(prediction, truth):
    if normalise_answer(prediction) or normalise_answer(truth):
        assert token_f1(prediction, truth) == pytest.approx(f1_as_published(prediction, truth), abs=1e-12)


def test_two_words_of_three_in_common_give_two_thirds():
    assert token_f1("the quick fox", "a quick brown fox") == pytest.approx(0.8)
    assert token_f1("red fox jumps", "red fox sleeps") == pytest.approx(2 / 3)


@given(words, words)
def test_f1_is_symmetric(one, other):
    assert token_f1(one, other) == token_f1(other, one)


@given(words, words, st.booleans())
def test_exact_match_never_exceeds_f1(prediction, truth, closed):
    assert exact_match(prediction, truth) <= token_f1(prediction, truth, closed=CLOSED if closed else ()) <= 1


@given(words, st.lists(words, min_size=1, max_size=4))
def test_the_best_alias_counts(prediction, aliases):
    assert token_f1(prediction, aliases) == max(token_f1(prediction, alias) for alias in aliases)
    assert exact_match(prediction, aliases) == any(exact_match(prediction, alias) for alias in aliases)


def test_an_alias_can_only_help():
    alone = token_f1("New York City", ["NYC"])
    assert alone == 0 < token_f1("New York City", ["NYC", "New York"])


def test_yes_and_no_match_wholly_or_not_at_all_by_hotpotqas_rule():
    assert token_f1("yes it is", "yes") == pytest.approx(0.5)
    assert token_f1("yes it is", "yes", closed=CLOSED) == 0
    assert token_f1("No", ["yes", "no"], closed=CLOSED) == 1
    assert token_f1("a red fox", "fox", closed=CLOSED) == pytest.approx(2 / 3)


@given(st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=3)), min_size=1, max_size=8), st.booleans())
def test_many_answers_score_as_each_does(items, closed):
    rule = CLOSED if closed else ()
    found = score_answers([p for p, _ in items], [r for _, r in items], closed=rule)
    assert found.em.tolist() == [exact_match(p, r) for p, r in items]
    assert found.f1.tolist() == [token_f1(p, r, closed=rule) for p, r in items]


def test_long_answers_are_counted_as_short_ones_are():
    one, other = "w " * 40 + "x y", "w " * 35 + "y z z"
    assert token_f1(one, other) == pytest.approx(f1_as_published(one, other))


def test_more_answers_than_one_piece_of_the_work_stay_in_their_order():
    n = AT_ONCE + 3
    found = score_answers([str(i) for i in range(n)], [str(i if i % 2 else -1 - i) for i in range(n)])
    assert np.flatnonzero(found.em).tolist() == [i for i in range(n) if i % 2]


@pytest.mark.parametrize(
    ("predictions", "references", "told"),
    [
        (["a"], ["a", "b"], "different length: 1 predictions, 2 references"),
        ([], [], "no predictions and references"),
        (["a"], [[]], "without a reference"),
    ],
)
def test_lists_that_do_not_fit_are_refused(predictions, references, told):
    with pytest.raises(UserError, match=told):
        score_answers(predictions, references)
